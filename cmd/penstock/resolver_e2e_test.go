package main_test

// Orders whose answers were lost, in sales that do not leave them to a person: the shop is
// asked, or the units are given back after a while.

import (
	"strings"
	"testing"
	"time"
)

const lossySale = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 8
  max_concurrency: 8
  winners: {max_wait: 2s}
  timeout: {connect: 500ms, response: 500ms, idle_body: 500ms}
store: STORE
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 8, reserve_for: 3s, unknown: UNKNOWN}
    order_ref: {body: '"order": ?"(\d+)"'}
    limits: {account: {rate: 1000/s, burst: 1000, in_flight: 8}}
`

// lost sends an order that meets this conduct of the shop, and returns once it is there.
func lost(t *testing.T, s *shop, g *gateway, account, conduct string) chan *reply {
	t.Helper()
	n := s.books(t).Checkouts
	s.told(t, "stall=0&hangup=0&service=0")
	s.told(t, conduct)
	done := underway(t, g, order1(account))
	eventually(t, "the shop to have the order of "+account, func() bool { return s.books(t).Checkouts > n })
	return done
}

func TestShopIsAskedForOrdersWithoutAnswer(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-stock=100", "-workers=20")
		g := startGateway(t, write(t, t.TempDir(), lossySale, "SHOP", s.addr, "STORE", store,
			"UNKNOWN", `{resolve: {url: "http://`+s.addr+`/-/order-status?token={token}", every: 1s, timeout: 2s}}`))
		waits := map[string]chan *reply{
			"too slow": lost(t, s, g, "too slow", "service=2500ms"), // asked for while it is still under way
			"stalled":  lost(t, s, g, "stalled", "stall=1"),
			"cut":      lost(t, s, g, "cut", "hangup=1&hangup-at=head"),
		}
		for account, want := range map[string]string{"too slow": "origin_timeout", "stalled": "origin_timeout", "cut": "origin_failed"} {
			refused(t, account, <-waits[account], want)
			refused(t, account+" asks again", buy(t, g.proxy, account), "order_pending", "already_bought")
		}
		s.told(t, "stall=0&hangup=0&service=0")
		eventually(t, "all to be settled by asking", func() bool {
			states, _ := g.stock(t, "phone")
			return states["sold"] == 2 && states["free"] == 6
		})
		for _, account := range []string{"too slow", "cut"} {
			refused(t, account+" asks at last", buy(t, g.proxy, account), "already_bought")
		}
		if r := buy(t, g.proxy, "stalled"); r.status != 201 {
			t.Errorf("the buyer whose order came to nothing: got %d %q, want an order", r.status, r.reason())
		}
		settledAs(t, g, "phone", map[string]int{"sold": 3, "free": 5})
		known(t, s, g)
		m := g.metrics(t)
		if m[`penstock_resolved_total{answer="sold",sale="phone"}`] != 2 || m[`penstock_resolved_total{answer="free",sale="phone"}`] != 1 {
			t.Errorf("the metrics do not show two orders found and one not: %v", m)
		}
	})
}

// known asserts that every order of the shop is sold here with its token and number.
func known(t *testing.T, s *shop, g *gateway) {
	t.Helper()
	b := s.books(t)
	if b.Count != 3 || b.Duplicates != 0 {
		t.Errorf("the shop has %d orders, %d tokens repeated, want 3 and 0", b.Count, b.Duplicates)
	}
	for _, o := range b.Orders {
		code, out := operate(t, g, "stock", "reservations", "phone", "-ref", o.Order)
		if code != 0 || !strings.Contains(out, o.Token) || !strings.Contains(out, "sold") {
			t.Errorf("order %+v is not found by its number: %d\n%s", o, code, out)
		}
	}
}

func TestUnitsWithoutAnswerAreReleased(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-stock=100", "-workers=20")
		g := startGateway(t, write(t, t.TempDir(), lossySale, "SHOP", s.addr, "STORE", store, "UNKNOWN", "{release_after: 2500ms}"))
		began := time.Now()
		refused(t, "an order cut off", <-lost(t, s, g, "cut", "hangup=1&hangup-at=head"), "origin_failed")
		refused(t, "and again", buy(t, g.proxy, "cut"), "order_pending")
		s.told(t, "hangup=0")
		eventually(t, "its unit to be released", func() bool {
			states, _ := g.stock(t, "phone")
			return states["free"] == 8
		})
		if took := time.Since(began); took < 2500*time.Millisecond {
			t.Errorf("released after %v, before its time", took)
		}
		if r := buy(t, g.proxy, "cut"); r.status != 201 {
			t.Errorf("a second order: got %d %q, want one: the sale's rules risk it", r.status, r.reason())
		}
		settledAs(t, g, "phone", map[string]int{"sold": 1, "free": 7})
	})
}
