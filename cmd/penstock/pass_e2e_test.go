package main_test

// The pass: who holds a unit gets through all pages of a shop that a browsing crowd has
// filled, and who does not show it is refused with the rest.

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A shop of four workers, and a queue that sixty people fill at once.
const crowdedSale = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 4
  max_concurrency: 4
  queue: {depth: 12, max_wait: 2s}
  timeout: {connect: 5s, response: 10s, idle_body: 5s}
store: {embedded: {path: penstock.db}}
routes:
  - {name: pay-callback, match: {methods: [POST], path: /pay/callback, from: [192.0.2.0/24]}, priority: checkout}
sales:
  - name: phone
    match: {methods: [POST], path: /cart/add}
    account: [{header: X-Account}]
    stock: {units: 100, reserve_for: 5m}
    order: {match: {methods: [POST], path: /checkout/place}, without: refuse}
    sold_when: [{status: ["302"], location: "/pay*"}]
    free_when: [{status: ["200"]}]
    limits: {ip: {rate: 100000/s, burst: 100000, in_flight: 1000}}
`

// browsers keep a shop full until stop: sixty people who look again as soon as they have
// seen something, and soon after they were refused.
func browsers(addr string, stop <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			c := &client{addr: addr}
			defer c.close()
			pause := time.NewTicker(25 * time.Millisecond)
			defer pause.Stop()
			for !closed(stop) {
				if r, err := c.do(request("GET", "/", "")); err != nil || r.status != 200 {
					<-pause.C
				}
			}
		})
	}
	return &all
}

// buyer walks through a cart shop as a browser does, if it keeps its cookies.
type buyer struct {
	addr, account string
	forgets       bool
	cookie        string
}

func (b *buyer) ask(method, target, form string, headers ...string) (*reply, error) {
	headers = append(headers, "X-Account: "+b.account)
	if b.cookie != "" {
		headers = append(headers, "Cookie: "+b.cookie)
	}
	c := &client{addr: b.addr}
	defer c.close()
	r, err := c.do(request(method, target, form, headers...))
	if err != nil {
		return nil, err
	}
	for _, line := range r.header["Set-Cookie"] {
		if strings.HasPrefix(line, "penstock_pass=") && !b.forgets {
			b.cookie, _, _ = strings.Cut(line, ";")
		}
	}
	return r, nil
}

// walk goes from the cart to the thank-you page. refused is the page it was not shown, ""
// if it has seen them all.
func (b *buyer) walk() (refused string, err error) {
	if r, err := b.ask("POST", "/cart/add", "qty=1"); err != nil || r.status != 303 {
		return "", fmt.Errorf("add to cart: %v, %v", r, err)
	}
	page := func(target string) (refused bool, err error) {
		r, err := b.ask("GET", target, "")
		if err == nil && r.reason() != "overloaded" && r.status != 200 {
			err = fmt.Errorf("%s: %d %s", target, r.status, r.reason())
		}
		return err == nil && r.reason() == "overloaded", err
	}
	for range 4 {
		if no, err := page("/checkout"); no || err != nil {
			return "/checkout", err
		}
	}
	placed, err := b.ask("POST", "/checkout/place", "confirm=1")
	if err != nil || placed.status != 302 {
		return "", fmt.Errorf("place the order: %v, %v", placed, err)
	}
	pay := placed.header.Get("Location")
	if no, err := page(pay); no || err != nil {
		return "/pay", err
	}
	order := strings.TrimPrefix(pay, "/pay?order=")
	paid := &buyer{addr: b.addr, account: "the payment provider"}
	if r, err := paid.ask("POST", "/pay/callback", "order="+order, "X-Forwarded-For: 192.0.2.9"); err != nil || r.status != 200 {
		return "", fmt.Errorf("callback of the payment: %v, %v", r, err)
	}
	if no, err := page("/thanks?order=" + order); no || err != nil {
		return "/thanks", err
	}
	return "", nil
}

func TestPassThroughACrowd(t *testing.T) {
	s := startShop(t, "-flow=cart", "-stock=1000", "-workers=4", "-service=40ms")
	g := startGateway(t, write(t, t.TempDir(), crowdedSale, "SHOP", s.addr))
	stop := make(chan struct{})
	crowd := browsers(g.proxy, stop)
	defer crowd.Wait()
	defer close(stop)
	overloaded := func() float64 { return g.metrics(t)[`penstock_requests_total{reason="overloaded",route="",sale=""}`] }
	eventually(t, "the crowd to be more than the shop can take", func() bool { return overloaded() > 100 })

	const walks = 8
	before := overloaded()
	for i := range walks {
		b := &buyer{addr: g.proxy, account: fmt.Sprintf("holder-%d", i)}
		if at, err := b.walk(); at != "" || err != nil {
			t.Errorf("%s holds a unit, and was not shown %q: %v", b.account, at, err)
		}
	}
	if n := overloaded() - before; n < walks {
		t.Errorf("only %v of the crowd were refused meanwhile: this proves nothing", n)
	}
	through := 0
	for i := range walks {
		b := &buyer{addr: g.proxy, account: fmt.Sprintf("forgetful-%d", i), forgets: true}
		at, err := b.walk()
		if err != nil {
			t.Fatal(err)
		}
		if at == "" {
			through++
		}
	}
	if through == walks {
		t.Errorf("all %d came through without showing the pass: this proves nothing", walks)
	}
	m := g.metrics(t)
	issued, used := m[`penstock_passes_total{event="issued",sale="phone"}`], m[`penstock_passes_total{event="used",sale="phone"}`]
	if issued < 2*walks || used < 6*walks || m[`penstock_passes_total{event="void",sale=""}`] != 0 {
		t.Errorf("%v passes were issued and %v used, want at least %d and %d", issued, used, 2*walks, 6*walks)
	}
	t.Logf("%d of %d came through without the pass", through, walks)
}
