package main_test

// A Redis that loses what it has said: all of it, the last of it, or what its replica had
// not heard yet. Nothing may be sold on the strength of what is left.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/limiter/stock/stocktest"
)

const forgetful = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 8, max_concurrency: 8}
store: {redis: {addrs: ["REDIS"], timeout: 2s, replicas_ack: ACK}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 60}
    limits: {ip: {rate: 100000/s, burst: 100000, in_flight: 1000}, account: {rate: 1000/s, burst: 1000, in_flight: 1}}
`

const forgetfulUnits = 60

// forgetfulFile is the configuration of one more gateway on that Redis.
func forgetfulFile(t *testing.T, s *shop, redis *stocktest.Server, ack string) string {
	t.Helper()
	return write(t, t.TempDir(), forgetful, "SHOP", s.addr, "REDIS", redis.Addr, "ACK", ack)
}

// sellEach has n new customers buy, turn by turn, at the gateways.
func sellEach(t *testing.T, prefix string, n int, gateways ...*gateway) {
	t.Helper()
	for i := range n {
		bought(t, gateways[i%len(gateways)], fmt.Sprintf("%s-%d", prefix, i))
	}
}

// frozen waits until every gateway says that the sale is frozen, or is not any more.
func frozen(t *testing.T, want float64, gateways ...*gateway) {
	t.Helper()
	for _, g := range gateways {
		eventually(t, fmt.Sprintf("frozen to be %v", want), func() bool {
			return g.metrics(t)[`penstock_stock_frozen{sale="phone"}`] == want
		})
	}
}

// nothingIsSold asserts that nobody gets as far as the shop.
func nothingIsSold(t *testing.T, s *shop, gateways ...*gateway) {
	t.Helper()
	before := s.books(t).Checkouts
	for _, g := range gateways {
		for range 5 {
			refused(t, "an order while the sale is frozen", buy(t, g.proxy, "nobody"), "store_unavailable")
		}
	}
	if after := s.books(t).Checkouts; after != before {
		t.Errorf("%d orders reached the shop from a frozen sale", after-before)
	}
}

// sellRest lets a crowd in and asserts that in the end the shop has the orders it may have.
func sellRest(t *testing.T, s *shop, want int, gateways ...*gateway) {
	t.Helper()
	for i, g := range gateways {
		arrive(t, g.proxy, 50, buyers(fmt.Sprintf("late-%d", i), 2*forgetfulUnits, 0, 0), nil)
	}
	b := s.books(t)
	if b.Units != want || b.Duplicates != 0 {
		t.Errorf("in the end the shop has %d orders, %d tokens repeated, want %d and 0", b.Units, b.Duplicates, want)
	}
	by := map[string]bool{}
	for _, o := range b.Orders {
		if by[o.Account] {
			t.Errorf("%s has two orders", o.Account)
		}
		by[o.Account] = true
	}
}

func flush(t *testing.T, redis *stocktest.Server) {
	t.Helper()
	if err := redis.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatalf("flush Redis: %v", err)
	}
}

func TestFlushedRedisIsToldAll(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, "-stock=1000", "-service=0")
	one, two := startGateway(t, forgetfulFile(t, s, redis, "0")), startGateway(t, forgetfulFile(t, s, redis, "0"))
	sellEach(t, "early", 20, one, two)
	settledAs(t, one, "phone", map[string]int{"sold": 20, "free": 40})
	flush(t, redis)
	frozen(t, 1, one, two)
	nothingIsSold(t, s, one, two)
	must(t, one, 0, "frozen until every gateway has told", by("ann", "redis was flushed", "stock", "load", "phone")...)
	frozen(t, 0, one, two)
	settledAs(t, one, "phone", map[string]int{"sold": 20, "free": 40})
	for i, g := range []*gateway{one, two} {
		refused(t, "an early buyer", buy(t, g.proxy, fmt.Sprintf("early-%d", i)), "already_bought")
		refused(t, "one of the other gateway", buy(t, g.proxy, fmt.Sprintf("early-%d", 1-i)), "already_bought")
	}
	sellRest(t, s, forgetfulUnits, one, two)
}

// A gateway that was started anew does not know what it had sold, so the sale stays
// frozen until an operator has compared it with the shop's orders.
func TestFlushedRedisAndRestartedGateway(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, "-stock=1000", "-service=0")
	one, file := startGateway(t, forgetfulFile(t, s, redis, "0")), forgetfulFile(t, s, redis, "0")
	two := startGateway(t, file)
	sellEach(t, "early", 20, one, two)
	settledAs(t, two, "phone", map[string]int{"sold": 20, "free": 40})
	eventually(t, "the second to have written down that it knows the sale", func() bool {
		b, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "penstock.state"))
		return strings.Contains(string(b), `"phone"`)
	})
	flush(t, redis)
	two.kill()
	two = startGateway(t, file)
	frozen(t, 1, one, two)
	nothingIsSold(t, s, one, two)
	must(t, one, 0, "frozen until every gateway has told", by("ann", "redis was flushed", "stock", "load", "phone")...)
	settledAsSoon(t, one, map[string]int{"sold": 10, "free": 50})
	nothingIsSold(t, s, one, two)

	_, list := fetch(t, "http://"+s.addr+"/orders.csv")
	orders := filepath.Join(t.TempDir(), "orders.csv")
	if err := os.WriteFile(orders, []byte(list), 0o600); err != nil {
		t.Fatalf("write the shop's orders: %v", err)
	}
	must(t, one, 1, "20 orders in the list, 10 with a token here, 10 differences", "stock", "audit", "phone", "-orders", orders)
	frozen(t, 1, one, two)
	must(t, one, 0, "withdrew 10 units", by("ann", "sold before the flush", "stock", "withdraw", "phone", "-units", "10")...)
	must(t, one, 0, "thawed", by("ann", "compared with the shop", "stock", "thaw", "phone")...)
	frozen(t, 0, one, two)
	sellRest(t, s, forgetfulUnits, one, two)
}

// settledAsSoon waits for these states.
func settledAsSoon(t *testing.T, g *gateway, want map[string]int) {
	t.Helper()
	eventually(t, fmt.Sprintf("stock to be %v", want), func() bool {
		states, _ := g.stock(t, "phone")
		for state, n := range states {
			if want[state] != n {
				return false
			}
		}
		return len(states) > 0
	})
}

func TestRedisRestartedFromAnOlderCopy(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, "-stock=1000", "-service=0")
	one, two := startGateway(t, forgetfulFile(t, s, redis, "0")), startGateway(t, forgetfulFile(t, s, redis, "0"))
	sellEach(t, "before the copy", 10, one, two)
	settledAs(t, one, "phone", map[string]int{"sold": 10, "free": 50})
	if err := redis.Client(t).Save(t.Context()).Err(); err != nil {
		t.Fatalf("save Redis: %v", err)
	}
	sellEach(t, "after the copy", 20, one, two)
	settledAs(t, one, "phone", map[string]int{"sold": 30, "free": 30})
	redis.Restart(t)
	frozen(t, 1, one, two)
	frozen(t, 0, one, two)
	settledAs(t, two, "phone", map[string]int{"sold": 30, "free": 30})
	refused(t, "a buyer the copy does not know", buy(t, two.proxy, "after the copy-0"), "already_bought")
	sellRest(t, s, forgetfulUnits, one, two)
}

func TestPromotedReplicaLacksWhatWasNotAcknowledged(t *testing.T) {
	for ack, lost := range map[string]bool{"0": true, "1": false} {
		t.Run("replicas_ack "+ack, func(t *testing.T) {
			if n, orders := promote(t, ack); (n > 0) != lost || orders < 10 {
				t.Errorf("%d of the shop's %d orders are not known to the promoted replica, want some: %v", n, orders, lost)
			}
		})
	}
}

// promote sells with a healthy replica and with one that has stalled, kills the primary and
// every gateway, and counts the orders of the shop that the promoted replica lacks.
func promote(t *testing.T, ack string) (lacking, orders int) {
	t.Helper()
	primary := stocktest.StartRedis(t)
	replica := stocktest.StartReplica(t, primary)
	eventually(t, "the replica to acknowledge", func() bool {
		n, err := primary.Client(t).Wait(t.Context(), 1, time.Second).Result()
		return err == nil && n == 1
	})
	s := startShop(t, "-stock=1000", "-service=0")
	g := startGateway(t, forgetfulFile(t, s, primary, ack))
	sellEach(t, "healthy", 10, g)
	replica.Pause()
	if err := primary.Client(t).Do(t.Context(), "CLIENT", "KILL", "TYPE", "REPLICA").Err(); err != nil {
		t.Fatalf("cut the replica off: %v", err) // else it finds all in the socket when it wakes
	}
	for i := range 4 {
		if r := buy(t, g.proxy, fmt.Sprintf("stalled-%d", i)); ack != "0" {
			refused(t, "an order without its replica", r, "store_unavailable")
		} else if r.status != 201 {
			t.Errorf("an order that waits for no replica: got %d %q", r.status, r.reason())
		}
	}
	primary.Kill()
	g.kill()
	replica.Continue()
	if err := replica.Client(t).ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatalf("promote the replica: %v", err)
	}

	after := startGateway(t, forgetfulFile(t, s, replica, "0"))
	_, known := operate(t, after, "stock", "reservations", "phone", "-stage", "all")
	b := s.books(t)
	for _, o := range b.Orders {
		if !strings.Contains(known, o.Token) {
			lacking++
		}
	}
	return lacking, b.Count
}
