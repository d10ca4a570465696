package main_test

// Ways around the gates: requests that the shop would take for an order and the
// gateway might not, or the other way round.

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const noTrustedPeer = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [192.0.2.1]      # not where these tests come from
origin: {url: "http://SHOP", concurrency: 4, max_concurrency: 4}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}, {cookie: customer}]
    stock: {units: 100, per_account: 10, quantity: {form: qty}}
    limits:
      ip: {rate: 1000/s, burst: 1000}
      account: {rate: 1000/s, burst: 1000}
      body_timeout: 1s
`

func TestWaysAroundTheGates(t *testing.T) {
	s := startShop(t, "-service=0")
	g := startGateway(t, write(t, t.TempDir(), noTrustedPeer, "SHOP", s.addr))
	const me = "Cookie: customer=me"
	for _, c := range []struct {
		name    string
		request []byte
		reason  string
	}{
		{"GET", request("GET", "/buy.php", "", me), "method"},
		{"HEAD", request("HEAD", "/buy.php", "", me), "method"},
		{"PUT", request("PUT", "/buy.php", "qty=1", me), "method"},
		{"lower-case post", request("post", "/buy.php", "qty=1", me), "method"},
		{"GET that means POST", request("GET", "/buy.php", "", me, "X-HTTP-Method-Override: POST"), "method"},
		{"POST that means GET", request("POST", "/buy.php", "qty=1", me, "X-HTTP-Method-Override: GET"), "bad_request"},
		{"doubled slash", request("POST", "//buy.php", "qty=1", me), "bad_request"},
		{"escaped letter", request("POST", "/%62uy.php", "qty=1", me), "bad_request"},
		{"dot segment", request("POST", "/x/../buy.php", "qty=1", me), "bad_request"},
		{"last slash", request("POST", "/buy.php/", "qty=1", me), "bad_request"},
		{"path parameter", request("POST", "/buy.php;a=b", "qty=1", me), "bad_request"},
		{"escaped twice", request("POST", "/%2562uy.php", "qty=1", me), "bad_request"},
		{"path info", request("POST", "/buy.php/info", "qty=1", me), "bad_request"},
		{"two quantities", request("POST", "/buy.php", "qty=1&qty=10", me), "bad_request"},
		{"list of quantities", request("POST", "/buy.php", "qty[]=10", me), "bad_request"},
		{"escaped second quantity", request("POST", "/buy.php", "qty=1&%71ty=10", me), "bad_request"},
		{"quantity in the query, too", request("POST", "/buy.php?qty=10", "qty=1", me), "bad_request"},
		{"quantity of none", request("POST", "/buy.php", "qty=0", me), "bad_request"},
		{"quantity above the account's", request("POST", "/buy.php", "qty=11", me), "limit"},
		{"account in a header", request("POST", "/buy.php", "qty=1", "X-Account: somebody"), "no_account"},
		{"two accounts", request("POST", "/buy.php", "qty=1", me, "Cookie: customer=you"), "bad_request"},
	} {
		r := ask(t, g.proxy, c.request)
		if r.reason() != c.reason || r.status != refusals[c.reason].status {
			t.Errorf("%s: got %d %s, want %s", c.name, r.status, r.reason(), c.reason)
		}
	}
	untouched(t, s, g)
}

// untouched asserts that nothing has reached the shop's checkout or the stock.
func untouched(t *testing.T, s *shop, g *gateway) {
	t.Helper()
	if states, all := g.stock(t, "phone"); all != units || states["free"] != units {
		t.Errorf("stock is %v, want all %d free", states, units)
	}
	if b := s.books(t); b.Checkouts != 0 {
		t.Errorf("%d checkouts have reached the shop, want none", b.Checkouts)
	}
}

func TestShopHearsNothingForged(t *testing.T) {
	s := startShop(t, "-service=0")
	g := startGateway(t, write(t, t.TempDir(), noTrustedPeer, "SHOP", s.addr))
	r := ask(t, g.proxy, request("POST", "/buy.php", "qty=2", "Cookie: customer=me",
		"X-Account: somebody", "x-account: else", "X-Forwarded-For: 203.0.113.9", "X-Real-IP: 203.0.113.9",
		"Penstock-Reservation: 00000000000000000000000000000000", "Penstock-Deadline: 1"))
	if r.status != 201 {
		t.Fatalf("an order with forged headers: got %d %s, want 201", r.status, r.reason())
	}
	got := s.last(t)
	if v := got.Values("X-Account"); v != nil {
		t.Errorf("the shop was told the account %q by an untrusted client", v)
	}
	for name, forged := range map[string]string{
		"X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9",
		"Penstock-Reservation": "00000000000000000000000000000000", "Penstock-Deadline": "1",
	} {
		for _, v := range got.Values(name) {
			if v == forged {
				t.Errorf("the shop was told %s: %s, which the client made up", name, v)
			}
		}
	}
	if v := got.Values("X-Forwarded-For"); len(v) != 1 || v[0] != "127.0.0.1" {
		t.Errorf("the shop was told X-Forwarded-For %q, want 127.0.0.1", v)
	}
	b := s.books(t)
	if len(b.Orders) != 1 || b.Orders[0].Account != "me" || b.Orders[0].Qty != 2 || len(b.Orders[0].Token) != 32 {
		t.Errorf("the shop has the orders %+v, want one of me for 2 units with a token", b.Orders)
	}
	if states, _ := g.stock(t, "phone"); states["sold"] != 2 {
		t.Errorf("stock is %v, want 2 sold", states)
	}
}

func TestDrippedBodyHoldsNothing(t *testing.T) {
	s := startShop(t, "-service=0")
	g := startGateway(t, write(t, t.TempDir(), noTrustedPeer, "SHOP", s.addr))
	c := &client{addr: g.proxy}
	defer c.close()
	head := fmt.Sprintf("POST /buy.php HTTP/1.1\r\nHost: shop.example\r\nCookie: customer=me\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\nqty=1&", 10_000)
	if err := c.send([]byte(head)); err != nil {
		t.Fatalf("send the head: %v", err)
	}
	answered := make(chan *reply, 1)
	go func() {
		r, err := c.answer(false)
		if err != nil {
			t.Errorf("read the answer: %v", err)
		}
		answered <- r
	}()
	drip := time.NewTicker(20 * time.Millisecond)
	defer drip.Stop()
	for drops := 0; ; drops++ {
		select {
		case r := <-answered:
			if r == nil || r.status != http.StatusRequestTimeout || r.reason() != "body_timeout" {
				t.Errorf("after %d drops: got %+v, want 408 body_timeout", drops, r)
			}
			untouched(t, s, g)
			return
		case <-drip.C:
			c.conn.Write([]byte("x")) // fails once the gateway has had enough
			untouched(t, s, g)
		}
	}
}
