package main_test

// What operators do to a running gateway: check a file, change it, stop it.

import (
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const leaving = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {embedded: {path: penstock.db}}
shutdown: {delay: 500ms, timeout: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100}
`

// underway sends an order that the shop keeps at its barrier; done has the answer.
func underway(t *testing.T, g *gateway, order []byte) (done chan *reply) {
	done = make(chan *reply, 1)
	go func() {
		c := &client{addr: g.proxy}
		defer c.close()
		r, err := c.do(order)
		if err != nil {
			t.Errorf("%q: %v", order, err)
			r = &reply{}
		}
		done <- r
	}()
	return done
}

func TestTermDrains(t *testing.T) {
	s := startShop(t, "-service=0", "-barrier=11", "-workers=20")
	file := write(t, t.TempDir(), leaving, "SHOP", s.addr)
	g := startGateway(t, file)
	var orders []chan *reply
	for _, account := range strings.Split("abcdefghij", "") {
		orders = append(orders, underway(t, g, of("phone", account)))
	}
	eventually(t, "ten orders at the shop", func() bool { return s.books(t).Checkouts == 10 })

	g.signal(t, syscall.SIGTERM)
	eventually(t, "readiness to go red", func() bool {
		status, _ := fetch(t, "http://"+g.admin+"/readyz")
		return status == 503
	})
	eventually(t, "the door to close", func() bool {
		c := &client{addr: g.proxy}
		defer c.close()
		r, err := c.do(request("POST", "/buy.php", "qty=1", "X-Account: a"))
		return err != nil || r.reason() == "draining"
	})
	if n := s.books(t).Count; n != 0 {
		t.Fatalf("%d orders are through, want them all under way", n)
	}
	s.told(t, "barrier=0")
	for i, done := range orders {
		if r := <-done; r.status != 201 {
			t.Errorf("order %d under way: got %d %s, want 201", i+1, r.status, r.reason())
		}
	}
	if code := g.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	states, all := startGateway(t, file).stock(t, "phone")
	if all != units || states["sold"] != 10 || states["free"] != 90 {
		t.Errorf("after a restart stock is %v, want 10 sold and 90 free", states)
	}
}

const before = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {embedded: {path: penstock.db}}
shutdown: {delay: 0s, timeout: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php, query: {sku: phone}}
    account: [{header: X-Account}]
    stock: {units: 100}
`

const after = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {embedded: {path: penstock.db}}
shutdown: {delay: 0s, timeout: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php, query: {sku: phone}}
    account: [{header: X-Account}]
    stock: {units: 100}
    limits: {account: {rate: 1/h, burst: 1}}
  - name: watch
    match: {methods: [POST], path: /buy.php, query: {sku: watch}}
    account: [{header: X-Account}]
    stock: {units: 5}
`

const faulty = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: many}
store: {embedded: {path: penstock.db}}
shutdwon: {delay: 0s, timeout: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 0}
    limits: {account: {rate: 1000}}
  - name: radio
    match: {methods: [POST], path: /buy.php, query: {sku: radio}}
    account: [{header: X-Account}]
    stock: {units: 5}
`

// faults are what must be told of the faulty file, by line.
var faults = []string{
	"penstock.yaml:5: origin.max_concurrency: ", "penstock.yaml:7: shutdwon: ", "penstock.yaml:12: sales[phone].stock.units: ",
	"penstock.yaml:13: sales[phone].limits.account.rate: ", "penstock.yaml:14: sales[radio]: ",
}

func of(sku, account string) []byte {
	return request("POST", "/buy.php?sku="+sku, "qty=1", "X-Account: "+account)
}

func TestHangupReloads(t *testing.T) {
	s := startShop(t, "-service=0", "-workers=20")
	dir := t.TempDir()
	g := startGateway(t, write(t, dir, before, "SHOP", s.addr))
	if r := ask(t, g.proxy, of("phone", "early")); r.status != 201 {
		t.Fatalf("an order before the reload: got %d %s, want 201", r.status, r.reason())
	}
	s.told(t, "barrier=2")
	done := underway(t, g, of("phone", "later"))
	eventually(t, "an order at the shop", func() bool { return s.books(t).Checkouts == 2 })

	write(t, dir, after, "SHOP", s.addr)
	g.signal(t, syscall.SIGHUP)
	g.says(t, `"msg":"reloaded"`)
	s.told(t, "barrier=0")
	if r := <-done; r.status != 201 {
		t.Errorf("the order under way: got %d %s, want 201", r.status, r.reason())
	}
	if r := ask(t, g.proxy, of("watch", "early")); r.status != 201 {
		t.Errorf("the first order of the new sale: got %d %s, want 201", r.status, r.reason())
	}
	refused(t, "the first buyer of phones", ask(t, g.proxy, of("phone", "early")), "already_bought", "rate_limited")
	refused(t, "the same within the new limit's hour", ask(t, g.proxy, of("phone", "early")), "rate_limited")
	twoPhonesOneWatch(t, g)

	write(t, dir, faulty, "SHOP", s.addr)
	g.signal(t, syscall.SIGHUP)
	for _, f := range faults {
		g.says(t, regexp.QuoteMeta(f))
	}
	twoPhonesOneWatch(t, g)
	refused(t, "the first buyer of watches", ask(t, g.proxy, of("watch", "early")), "already_bought")
	if r := ask(t, g.proxy, of("watch", "new")); r.status != 201 {
		t.Errorf("an order after a reload that failed: got %d %s, want 201", r.status, r.reason())
	}
	if m := g.metrics(t); m[`penstock_reload_total{result="applied"}`] != 1 || m[`penstock_reload_total{result="rejected"}`] != 1 || !g.ready(t) {
		t.Error("want one reload applied, one rejected, and the gateway ready all the same")
	}
}

// twoPhonesOneWatch asserts that stock and counters have outlived the reloads.
func twoPhonesOneWatch(t *testing.T, g *gateway) {
	t.Helper()
	phones, _ := g.stock(t, "phone")
	watches, _ := g.stock(t, "watch")
	if phones["sold"] != 2 || phones["free"] != 98 || watches["sold"] != 1 || watches["free"] != 4 {
		t.Errorf("stock is %v and %v, want 2 phones and 1 watch sold", phones, watches)
	}
	eventually(t, "both orders of phones in the counters", func() bool {
		return g.metrics(t)[`penstock_requests_total{reason="admitted",route="",sale="phone"}`] == 2
	})
}

func TestCheck(t *testing.T) {
	check := func(text string) (code int, out string) {
		cmd := exec.Command(penstock, "check", "-config", write(t, t.TempDir(), text, "SHOP", "127.0.0.1:8081", "REDIS", "127.0.0.1:6379"))
		b, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatalf("run check: %v", err)
		}
		return cmd.ProcessState.ExitCode(), string(b)
	}
	for _, good := range []string{saleOnEmbedded, saleOfRedirects, slowOnEmbedded, slowOnRedis, impatientOnEmbedded, before, after} {
		if code, out := check(good); code != 0 {
			t.Errorf("a good file: exit code %d, want 0:\n%s", code, out)
		}
	}
	code, out := check(faulty)
	if code != 1 {
		t.Errorf("a bad file: exit code %d, want 1", code)
	}
	for _, f := range faults {
		if !strings.Contains(out, f) {
			t.Errorf("check does not tell of %q:\n%s", f, out)
		}
	}
	if n := len(regexp.MustCompile(`penstock\.yaml:\d+: `).FindAllString(out, -1)); n != len(faults) {
		t.Errorf("check tells of %d faults, want %d:\n%s", n, len(faults), out)
	}
}
