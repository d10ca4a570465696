package main_test

// What dies in the middle of a sale: the gateway, and the store under it. No unit may
// be sold twice for it, and none may be lost that nobody can have bought.

import (
	"fmt"
	"testing"

	"penstock/limiter/stock/stocktest"
)

// Winners wait long for a slow shop, so that most of them have not started yet when
// the gateway dies.
const slowOnEmbedded = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 4
  max_concurrency: 4
  winners: {depth: 200, max_wait: 2s}
  timeout: {connect: 500ms, response: 1s, idle_body: 500ms}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100, reserve_for: 3s}
`

const slowOnRedis = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 4
  max_concurrency: 4
  winners: {depth: 200, max_wait: 2s}
  timeout: {connect: 500ms, response: 1s, idle_body: 500ms}
store: {redis: {addrs: ["REDIS"], timeout: 2s}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100, reserve_for: 3s}
`

// slow is a shop that takes 16 orders a second.
var slow = []string{"-stock=1000", "-workers=4", "-service=100ms"}

func TestKilledGatewayOnEmbeddedStore(t *testing.T) {
	for _, orders := range []int{1, 20} {
		t.Run(fmt.Sprintf("after %d orders", orders), func(t *testing.T) {
			s := startShop(t, slow...)
			survive(t, s, write(t, t.TempDir(), slowOnEmbedded, "SHOP", s.addr), orders)
		})
	}
}

func TestKilledGatewayOnRedis(t *testing.T) {
	for _, orders := range []int{1, 20} {
		t.Run(fmt.Sprintf("after %d orders", orders), func(t *testing.T) {
			redis := stocktest.StartRedis(t)
			s := startShop(t, slow...)
			survive(t, s, write(t, t.TempDir(), slowOnRedis, "SHOP", s.addr, "REDIS", redis.Addr), orders)
		})
	}
}

// survive kills the gateway once the shop has so many orders, and starts it again.
func survive(t *testing.T, s *shop, file string, orders int) {
	t.Helper()
	g := startGateway(t, file)
	over := make(chan struct{})
	go func() {
		defer close(over)
		arrive(t, g.proxy, 200, buyers("early", 2_000, 0, 0), g.exited) // errors are what is to be expected
	}()
	eventually(t, "orders", func() bool { return s.books(t).Count >= orders })
	g.kill()
	<-over

	g = startGateway(t, file)
	states := deadlinesPass(t, g, s)
	t.Logf("killed after %d orders: %v", orders, states)
	// An order's slot is given on before its unit is settled: four are under way, and
	// the end of four more may not have been written down.
	if states["free"] < 50 || states["held"] > 8 {
		t.Errorf("after the deadlines stock is %v, want those that waited free and at most 8 held", states)
	}
	for _, o := range s.books(t).Orders {
		refused(t, "the buyer of an order asks again", buy(t, g.proxy, o.Account), "already_bought", "order_pending")
	}

	s.told(t, "service=5ms")
	second := arrive(t, g.proxy, 200, buyers("late", 2_000, 0, 0), nil)
	counts := second.tally(t)
	t.Logf("second crowd: %v", counts)
	if won := second.winners(created); len(won) != states["free"] {
		t.Errorf("second crowd bought %d units, want the %d that were free: %v", len(won), states["free"], counts)
	}
	held := states["held"]
	states, _ = g.stock(t, "phone")
	if states["sold"] != units-held || states["held"] != held {
		t.Errorf("in the end stock is %v, want %d held and the rest sold", states, held)
	}
	if b := s.books(t); b.Units < states["sold"] || b.Units > units || b.Duplicates != 0 {
		t.Errorf("the shop has %d orders, %d tokens repeated, want %d to %d and 0", b.Units, b.Duplicates, states["sold"], units)
	}
}

// deadlinesPass waits until no unit is reserved or sending, and looks that none is
// lost or doubled meanwhile.
func deadlinesPass(t *testing.T, g *gateway, s *shop) (states map[string]int) {
	t.Helper()
	eventually(t, "the deadlines to pass", func() bool {
		orders := s.books(t).Units // before the look: more may follow
		var all int
		states, all = g.stock(t, "phone")
		if taken := all - states["free"] - states["withdrawn"]; all != units || orders > taken {
			t.Fatalf("stock is %v, the shop has %d orders: want a sum of %d, and no order without a unit", states, orders, units)
		}
		return states["reserved"]+states["sending"] == 0
	})
	return states
}

const saleAndPages = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 4, max_concurrency: 4}
store: {redis: {addrs: ["REDIS"], timeout: 300ms}}
routes:
  - {name: pages, match: {methods: [GET], path: "/**"}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100}
`

func TestKilledRedisRefusesOrdersAndNothingElse(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, slow...)
	g := startGateway(t, write(t, t.TempDir(), saleAndPages, "SHOP", s.addr, "REDIS", redis.Addr))
	for i := range 5 {
		if r := buy(t, g.proxy, fmt.Sprintf("before-%d", i)); r.status != 201 {
			t.Errorf("order %d: got %d %s, want 201", i+1, r.status, r.reason())
		}
	}
	redis.Kill()
	for i := range 20 {
		refused(t, "an order without a store", buy(t, g.proxy, fmt.Sprintf("after-%d", i)), "store_unavailable")
	}
	pagesAreServed(t, g)
	if n := s.books(t).Checkouts; n != 5 {
		t.Errorf("%d checkouts have reached the shop, want the 5 before Redis died", n)
	}
}

// pagesAreServed asserts that what takes no stock goes on without a store.
func pagesAreServed(t *testing.T, g *gateway) {
	t.Helper()
	if page := ask(t, g.proxy, request("GET", "/", "")); page.status != 200 || page.reason() != "admitted" {
		t.Errorf("a page without a store: got %d %q, want 200 of the shop", page.status, page.reason())
	}
	if !g.ready(t) {
		t.Error("not ready without a store: every gateway would be taken out at once")
	}
}

func TestRedisKilledInTheCrowd(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, slow...)
	g := startGateway(t, write(t, t.TempDir(), saleAndPages, "SHOP", s.addr, "REDIS", redis.Addr))
	over := make(chan arrival)
	go func() { over <- arrive(t, g.proxy, 200, buyers("early", 4_000, 0, 0), nil) }()
	eventually(t, "orders", func() bool { return s.books(t).Count >= 10 })
	redis.Kill()
	a := <-over
	counts := a.tally(t)
	t.Logf("the crowd in which Redis was killed: %v", counts)
	if counts["store_unavailable"] == 0 {
		t.Errorf("nobody heard store_unavailable, want at least those that had a unit and waited: %v", counts)
	}
	pagesAreServed(t, g)
	if b := s.books(t); b.Units > units || b.Duplicates != 0 {
		t.Errorf("the shop has %d orders, %d tokens repeated, want at most %d and 0", b.Units, b.Duplicates, units)
	}
}
