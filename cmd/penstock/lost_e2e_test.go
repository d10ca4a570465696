package main_test

// Lost answers. Somebody has paid, or may have, and does not know it: the one thing
// such a buyer must never hear is that everything is sold out.

import (
	"testing"
	"time"

	"penstock/limiter/stock/stocktest"
)

const impatientOnEmbedded = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 4
  max_concurrency: 4
  winners: {max_wait: 2s}
  timeout: {connect: 500ms, response: 500ms, idle_body: 500ms}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 8, reserve_for: 3s}
    limits: {account: {rate: 1000/s, burst: 1000, in_flight: 8}}
`

const impatientOnRedis = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 4
  max_concurrency: 4
  winners: {max_wait: 2s}
  timeout: {connect: 500ms, response: 500ms, idle_body: 500ms}
store: {redis: {addrs: ["REDIS"], timeout: 2s}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 8, reserve_for: 3s}
    limits: {account: {rate: 1000/s, burst: 1000, in_flight: 8}}
`

func TestLostAnswersOnEmbeddedStore(t *testing.T) {
	s := startShop(t, "-stock=100", "-workers=20")
	loseAnswers(t, s, write(t, t.TempDir(), impatientOnEmbedded, "SHOP", s.addr))
}

func TestLostAnswersOnRedis(t *testing.T) {
	redis := stocktest.StartRedis(t)
	s := startShop(t, "-stock=100", "-workers=20")
	loseAnswers(t, s, write(t, t.TempDir(), impatientOnRedis, "SHOP", s.addr, "REDIS", redis.Addr))
}

// loseAnswers loses them in every way the shop knows, and sells the rest to others.
func loseAnswers(t *testing.T, s *shop, file string) {
	t.Helper()
	g := startGateway(t, file)

	lose := func(account, conduct string, reasons ...string) {
		t.Helper()
		s.told(t, "stall=0&hangup=0&service=100ms")
		s.told(t, conduct)
		refused(t, account, buy(t, g.proxy, account), reasons...)
		refused(t, account+" asks again", buy(t, g.proxy, account), "order_pending", "already_bought")
	}
	leave(t, s, g, "left")
	lose("stalled", "stall=1", "origin_timeout")
	lose("late", "service=800ms", "origin_timeout")
	lose("cut in the head", "hangup=1&hangup-at=head", "origin_failed")
	lose("cut in the body", "hangup=1&hangup-at=body", "origin_failed")
	lose("cut between chunks", "hangup=1&hangup-at=chunk", "origin_failed")
	s.told(t, "stall=0&hangup=0&service=0")

	eventually(t, "late answers to be heard or given up", func() bool {
		states, _ := g.stock(t, "phone")
		return states["reserved"]+states["sending"] == 0
	})
	if states, _ := g.stock(t, "phone"); states["sold"] != 2 || states["held"] != 4 || states["free"] != 2 {
		t.Errorf("stock is %v, want 2 sold (left, late), 4 held and 2 free", states)
	}
	for _, account := range []string{"other", "another"} {
		if r := buy(t, g.proxy, account); r.status != 201 {
			t.Errorf("%s buys one of the last two: got %d %s", account, r.status, r.reason())
		}
	}
	losersAskAgain(t, g)
	g.kill()
	losersAskAgain(t, startGateway(t, file))

	if b := s.books(t); b.Count != 7 || b.Checkouts != 8 || b.Duplicates != 0 {
		t.Errorf("the shop has %d orders from %d checkouts, %d tokens repeated, want 7 (the stalled one sold nothing), 8 and 0", b.Count, b.Checkouts, b.Duplicates)
	}
}

// leave has a client send an order and go away while the shop is at work.
func leave(t *testing.T, s *shop, g *gateway, account string) {
	t.Helper()
	s.told(t, "service=400ms")
	c := &client{addr: g.proxy}
	if err := c.send(request("POST", "/buy.php", "qty=1", "X-Account: "+account)); err != nil {
		t.Fatalf("send the order of %s: %v", account, err)
	}
	eventually(t, "the shop to begin", func() bool { return s.books(t).Checkouts == 1 })
	c.close()
	eventually(t, "the order of a client that left", func() bool {
		refused(t, account+" asks again", buy(t, g.proxy, account), "order_pending", "already_bought")
		return s.books(t).Count == 1
	})
	eventually(t, "the order to be known", func() bool { return buy(t, g.proxy, account).reason() == "already_bought" })
}

// losersAskAgain asks, before and after the item is latched, what buyers hear whose
// answers were lost.
func losersAskAgain(t *testing.T, g *gateway) {
	t.Helper()
	all := func(when string) {
		t.Helper()
		for account, want := range map[string]string{
			"left": "already_bought", "late": "already_bought", "stalled": "order_pending",
			"cut in the head": "order_pending", "cut in the body": "order_pending", "cut between chunks": "order_pending",
			"other": "already_bought", "another": "already_bought",
		} {
			refused(t, account+" asks "+when, buy(t, g.proxy, account), want)
		}
	}
	all("before the latch")
	eventually(t, "the latch", func() bool {
		refused(t, "a stranger", buy(t, g.proxy, "stranger "+time.Now().String()), "sold_out")
		return g.metrics(t)[`penstock_sold_out_latched{item="",sale="phone"}`] == 1
	})
	all("after the latch")
}
