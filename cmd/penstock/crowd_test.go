package main_test

// The sale itself: a crowd two hundred times larger than the stock, on a shop that
// would oversell.

import (
	"testing"
	"time"

	"penstock/limiter/stock/stocktest"
)

const (
	units     = 100
	accounts  = 20_000
	offenders = 5_000 // of them, who ask several times
	repeats   = 3
	crowd     = 2_000 // connections
)

// careless is a shop that has sold units+19 by the time it notices, if it is let: its
// first 20 checkouts all read the stock before any of them writes it.
var careless = []string{"-stock=100", "-workers=20", "-barrier=20", "-backlog=40000"}

const saleOnEmbedded = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100}
`

const saleOnRedis = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {redis: {addrs: ["REDIS"], timeout: 5s}}   # so patient because the machine is shared with the crowd
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100}
`

const saleOfRedirects = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100}
    sold_when: [{status: ["302"], location: "/thanks*"}]   # every failure of this shop is a 200 page
    free_when:
      - {status: ["200"], body_contains: "<h1>Sold out</h1>"}
      - {status: ["200"], body_contains: "<h1>Card declined</h1>"}
`

func created(r *reply) bool { return r.status == 201 }

func thanked(r *reply) bool { return r.status == 302 && r.header.Get("Location") != "" }

func TestCrowdOnEmbeddedStore(t *testing.T) {
	s := startShop(t, append(careless, "-service=20ms")...)
	sellOut(t, s, startGateway(t, write(t, t.TempDir(), saleOnEmbedded, "SHOP", s.addr)), created)
}

func TestCrowdOnRedis(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, append(careless, "-service=20ms")...)
	sellOut(t, s, startGateway(t, write(t, t.TempDir(), saleOnRedis, "SHOP", s.addr, "REDIS", redis.Addr)), created)
}

func TestCrowdAtShopThatRedirects(t *testing.T) {
	s := startShop(t, append(careless, "-service=20ms", "-flow=redirect")...)
	sellOut(t, s, startGateway(t, write(t, t.TempDir(), saleOfRedirects, "SHOP", s.addr)), thanked)
}

// The control: what is proved above is worth nothing unless the same crowd makes the
// same shop oversell.
func TestCrowdStraightAtShopOversells(t *testing.T) {
	s := startShop(t, append(careless, "-service=0")...)
	a := arrive(t, s.addr, crowd, buyers("buyer", accounts, offenders, repeats), nil)
	b := s.books(t)
	t.Logf("%d visits in %v: %d orders for %d units", len(a.heard), a.took.Round(time.Millisecond), b.Count, units)
	if b.Units <= units {
		t.Errorf("the shop sold %d units of %d by itself, want it to oversell", b.Units, units)
	}
}

// sellOut lets the crowd in and looks at what everybody got.
func sellOut(t *testing.T, s *shop, g *gateway, sold func(*reply) bool) {
	t.Helper()
	a := arrive(t, g.proxy, crowd, buyers("buyer", accounts, offenders, repeats), nil)
	counts := a.tally(t)
	t.Logf("%d visits of %d accounts in %v over %d connections: %v",
		len(a.heard), accounts, a.took.Round(time.Millisecond), a.dials, counts)
	if a.dials != crowd {
		t.Errorf("%d connections were opened, want %d, each kept", a.dials, crowd)
	}
	for reason := range counts {
		switch reason {
		case "admitted", "sold_out", "already_bought", "order_pending", "in_flight", "rate_limited", "overloaded":
		default:
			t.Errorf("%d buyers heard %s, which nothing in this sale calls for", counts[reason], reason)
		}
	}
	won := a.winners(sold)
	if len(won) != units || counts["admitted"] != units {
		t.Errorf("%d requests reached the shop and %d accounts have an order, want %d", counts["admitted"], len(won), units)
	}
	for i := range a.heard {
		if h := &a.heard[i]; h.reply != nil && won[h.account] && h.reason() == "sold_out" {
			t.Errorf("%s has an order and heard sold_out", h.account)
		}
	}
	balanced(t, s, won)
	settled(t, g, "phone", units)
	heardByMetrics(t, g, counts)
}

// balanced asserts one order for each winner, and no reservation twice.
func balanced(t *testing.T, s *shop, won map[string]bool) {
	t.Helper()
	b := s.books(t)
	if b.Count != units || b.Units != units || b.Checkouts != units || b.Duplicates != 0 {
		t.Errorf("the shop has %d orders for %d units from %d checkouts, %d tokens repeated, want %[5]d, %[5]d, %[5]d and 0",
			b.Count, b.Units, b.Checkouts, b.Duplicates, units)
	}
	by, tokens := map[string]bool{}, map[string]bool{}
	for _, o := range b.Orders {
		if by[o.Account] || tokens[o.Token] || o.Token == "" || !won[o.Account] {
			t.Errorf("order of %s with token %q: want one each, of an account that was told so", o.Account, o.Token)
		}
		by[o.Account], tokens[o.Token] = true, true
	}
}

// settled asserts that the whole stock of a sale is sold.
func settled(t *testing.T, g *gateway, sale string, want int) {
	t.Helper()
	states, all := g.stock(t, sale)
	if all != want || states["sold"] != want {
		t.Errorf("stock of %s is %v, want all %d sold", sale, states, want)
	}
}

// heardByMetrics asserts that the gateway has counted what the crowd heard. A request
// is counted a moment after its answer.
func heardByMetrics(t *testing.T, g *gateway, counts map[string]int) {
	t.Helper()
	series := func(reason string) string {
		return `penstock_requests_total{reason="` + reason + `",route="",sale="phone"}`
	}
	var m map[string]float64
	eventually(t, "the metrics to agree with the crowd", func() bool {
		m = g.metrics(t)
		for reason, n := range counts {
			if m[series(reason)] != float64(n) {
				return false
			}
		}
		return true
	})
}
