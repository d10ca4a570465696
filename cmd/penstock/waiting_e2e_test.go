package main_test

// A thousand have won and wait for a slow shop when their gateway is killed. Only what was
// being sent may be in doubt; all others never had anything to lose but their place.

import (
	"testing"

	"penstock/limiter/stock/stocktest"
)

const winnersWaiting = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 4
  max_concurrency: 4
  queue: {depth: 2000, max_wait: 10s}
  winners: {depth: 1500, max_wait: 10s}
  timeout: {connect: 500ms, response: 20s, idle_body: 5s}
store: STORE
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 1000, reserve_for: 10500ms}
`

const manyUnits = 1000

// The stores take turns at filling their queues, so that nobody gives up before the last
// has come, and wait for the deadlines at the same time.
func TestKilledWithAThousandWinnersWaiting(t *testing.T) {
	embedded := killWithWinnersWaiting(t, onEmbedded)
	redis := killWithWinnersWaiting(t, onRedis(stocktest.StartRedis(t)))
	embedded()
	redis()
}

// killWithWinnersWaiting does so; what it returns looks at what is left.
func killWithWinnersWaiting(t *testing.T, store string) (look func()) {
	t.Helper()
	s := startShop(t, "-stock=5000", "-workers=20", "-service=0", "-barrier=20")
	file := write(t, t.TempDir(), winnersWaiting, "SHOP", s.addr, "STORE", store)
	g := startGateway(t, file)
	over := make(chan struct{})
	go func() {
		defer close(over)
		arrive(t, g.proxy, manyUnits, buyers("early", manyUnits, 0, 0), g.exited) // errors are what is to be expected
	}()
	eventually(t, "all to have won, four of them at the shop", func() bool {
		states, _ := g.stock(t, "phone")
		return states["reserved"] == manyUnits-4 && states["sending"] == 4 && s.books(t).Checkouts == 4
	})
	g.kill()
	<-over
	return func() {
		t.Helper()
		onlyThoseSentAreInDoubt(t, s, startGateway(t, file))
	}
}

func onlyThoseSentAreInDoubt(t *testing.T, s *shop, g *gateway) {
	t.Helper()
	var states map[string]int
	eventually(t, "the deadlines to pass", func() bool {
		var all int
		if states, all = g.stock(t, "phone"); all != manyUnits || states["sold"] != 0 {
			t.Fatalf("stock is %v, want a sum of %d and none sold", states, manyUnits)
		}
		return states["reserved"] == 0
	})
	if states["sending"]+states["held"] != 4 || states["free"] != manyUnits-4 {
		t.Errorf("after the kill stock is %v, want the 4 that were being sent in doubt and all others free", states)
	}

	s.told(t, "barrier=0")
	eventually(t, "the shop to take the four orders", func() bool { return s.books(t).Count == 4 })
	second := arrive(t, g.proxy, 200, buyers("late", manyUnits+500, 0, 0), nil)
	if won := second.winners(created); len(won) != manyUnits-4 {
		t.Errorf("the second crowd bought %d units, want the %d that had come back: %v", len(won), manyUnits-4, second.tally(t))
	}
	eventually(t, "the orders to be settled", func() bool {
		states, _ = g.stock(t, "phone")
		return states["sold"] == manyUnits-4
	})
	if b := s.books(t); b.Units != manyUnits || b.Duplicates != 0 || states["sending"]+states["held"] != 4 {
		t.Errorf("the shop has %d orders, %d tokens repeated, stock is %v, want %d, 0 and 4 in doubt", b.Units, b.Duplicates, states, manyUnits)
	}
}
