package main_test

// Customers who give up on an answer and click again. What has not been sent is theirs to
// give up; what has been sent is seen through.

import "testing"

// One order at a time: whoever comes second waits.
const oneAtATime = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 1
  max_concurrency: 1
  winners: {depth: 10, max_wait: 60s}
  timeout: {connect: 1s, response: 60s, idle_body: 5s}
store: STORE
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 10}
    limits: {account: {rate: 1000/s, burst: 1000, in_flight: IN_FLIGHT}}
`

func order1(account string) []byte {
	return request("POST", "/buy.php", "qty=1", "X-Account: "+account)
}

// clicked sends an order and does not wait for its answer.
func clicked(t *testing.T, g *gateway, account string) *client {
	t.Helper()
	c := &client{addr: g.proxy}
	t.Cleanup(c.close)
	if err := c.send(order1(account)); err != nil {
		t.Fatalf("send the order of %s: %v", account, err)
	}
	return c
}

// inLine waits until so many orders wait with a unit.
func inLine(t *testing.T, g *gateway, n int) {
	t.Helper()
	eventually(t, "orders to wait with a unit", func() bool {
		states, _ := g.stock(t, "phone")
		return states["reserved"] == n
	})
}

// An account may have one request in flight, or several; what its next click hears is the
// same.
func TestSecondClickTakesThePlaceOfTheFirst(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		for _, inFlight := range []string{"1", "3"} {
			s := startShop(t, "-service=0", "-barrier=3")
			g := startGateway(t, write(t, t.TempDir(), oneAtATime, "SHOP", s.addr, "STORE", store, "IN_FLIGHT", inFlight))
			busy := underway(t, g, order1("busy "+inFlight))
			eventually(t, "the shop to be busy", func() bool { return s.books(t).Checkouts == 1 })

			ann := "ann " + inFlight
			first := clicked(t, g, ann)
			inLine(t, g, 1)
			refused(t, "a second click while the first one is waited for", buy(t, g.proxy, ann), "in_flight", "order_pending")
			first.close()
			second := underway(t, g, order1(ann))
			eventually(t, "the first click to be given up", func() bool {
				return g.metrics(t)[`penstock_requests_total{reason="client_gone",route="",sale="phone"}`] == 1
			})
			inLine(t, g, 1)
			s.told(t, "barrier=0")
			for who, answer := range map[string]chan *reply{"busy": busy, "the second click": second} {
				if r := <-answer; r.status != 201 {
					t.Errorf("%s: got %d %q, want an order", who, r.status, r.reason())
				}
			}
			refused(t, "a third click", buy(t, g.proxy, ann), "already_bought")
			if b := s.books(t); b.Count != 2 || b.Checkouts != 2 || b.Duplicates != 0 {
				t.Errorf("the shop has %d orders from %d checkouts, want one of each customer", b.Count, b.Checkouts)
			}
			g.kill()
		}
	})
}

func TestSecondClickAfterTheFirstWasSent(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-service=0", "-barrier=3")
		g := startGateway(t, write(t, t.TempDir(), oneAtATime, "SHOP", s.addr, "STORE", store, "IN_FLIGHT", "3"))
		first := clicked(t, g, "ann")
		eventually(t, "the shop to begin", func() bool { return s.books(t).Checkouts == 1 })
		first.close()
		for range 3 {
			refused(t, "another click", buy(t, g.proxy, "ann"), "order_pending")
		}
		s.told(t, "barrier=0")
		eventually(t, "the order to be known", func() bool { return buy(t, g.proxy, "ann").reason() == "already_bought" })
		settledAs(t, g, "phone", map[string]int{"sold": 1, "free": 9})
		if b := s.books(t); b.Count != 1 || b.Checkouts != 1 {
			t.Errorf("the shop has %d orders from %d checkouts, want one", b.Count, b.Checkouts)
		}
	})
}

// settledAs waits until no unit is on its way and asserts where all of them are.
func settledAs(t *testing.T, g *gateway, sale string, want map[string]int) {
	t.Helper()
	var states map[string]int
	eventually(t, "no unit to be on its way", func() bool {
		states, _ = g.stock(t, sale)
		return states["reserved"]+states["sending"] == 0
	})
	for state, n := range states {
		if want[state] != n {
			t.Errorf("stock of %s is %v, want %v and no others", sale, states, want)
			return
		}
	}
}
