package main_test

// What operators do to the stock of a running gateway, as they do it: with commands, of
// which one wants to know that they did something, and who did it.

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"penstock/limiter/stock/stocktest"
)

const operated = `
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
    stock: {units: UNITS, per_account: EACH, reserve_for: 3s}
    order_ref: {body: '"order": ?"(\d+)"'}
    limits: {account: {rate: 1000/s, burst: 1000, in_flight: 8}}
`

func startOperated(t *testing.T, s *shop, store, units, each string) *gateway {
	t.Helper()
	return startGateway(t, write(t, t.TempDir(), operated, "SHOP", s.addr, "STORE", store, "UNITS", units, "EACH", each))
}

// must runs a command on the sale that ends with this exit code and says this.
func must(t *testing.T, g *gateway, code int, says string, words ...string) (said string) {
	t.Helper()
	got, said := operate(t, g, words...)
	if got != code || !strings.Contains(said, says) {
		t.Errorf("penstock %s: exit code %d, want %d and %q:\n%s", strings.Join(words, " "), got, code, says, said)
	}
	return said
}

// by makes a command one that changes something.
func by(name, why string, words ...string) []string { return append(words, "-by", name, "-why", why) }

// bought asserts that an account gets an order.
func bought(t *testing.T, g *gateway, accounts ...string) {
	t.Helper()
	for _, account := range accounts {
		if r := buy(t, g.proxy, account); r.status != 201 {
			t.Errorf("%s buys: got %d %q, want an order", account, r.status, r.reason())
		}
	}
}

// heldTokens loses the answer to one more order and returns the tokens that are held then.
func heldTokens(t *testing.T, s *shop, g *gateway, account, conduct string) []string {
	t.Helper()
	<-lost(t, s, g, account, conduct)
	s.told(t, "stall=0&hangup=0")
	var found []string
	eventually(t, "the order of "+account+" to be held", func() bool {
		_, out := operate(t, g, "stock", "reservations", "phone", "-stage", "held", "-account", account)
		found = regexp.MustCompile(`[0-9a-f]{32}`).FindAllString(out, -1)
		return len(found) > 0
	})
	return found
}

func TestOperatorsKeepTheBooks(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-stock=100", "-service=0")
		g := startOperated(t, s, store, "8", "1")
		bought(t, g, "ann", "bob")
		must(t, g, 0, "phone", "stock", "show", "phone")
		must(t, g, 0, "0 faults", "stock", "audit", "phone")
		must(t, g, 0, "added 5 units", by("ann", "restock", "stock", "add", "phone", "-units", "5")...)
		g.says(t, `"by":"ann","why":"restock","sale":"phone","action":"add"`)
		if g.metrics(t)[`penstock_config_mismatch{item="",sale="phone"}`] != 1 {
			t.Error("more units than in the file are no mismatch")
		}
		must(t, g, 0, "withdrew 5 units", by("ann", "damaged", "stock", "withdraw", "phone", "-units", "5")...)
		must(t, g, 1, "fewer units are free", by("ann", "x", "stock", "withdraw", "phone", "-units", "7")...)
		must(t, g, 2, "-why TEXT", "stock", "add", "phone", "-units", "5", "-by", "ann")
		must(t, g, 1, "no sale", "stock", "show", "watch")

		heldTokens(t, s, g, "cut", "hangup=1&hangup-at=head")
		_, list := fetch(t, "http://"+s.addr+"/orders.csv")
		file := filepath.Join(t.TempDir(), "orders.csv")
		if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
			t.Fatalf("write the shop's orders: %v", err)
		}
		must(t, g, 1, "3 orders in the list", "stock", "audit", "phone", "-orders", file)
		must(t, g, 1, "1 settled, 0 failed", by("bob", "by the list", "stock", "audit", "phone", "-orders", file, "-apply")...)
		g.says(t, `"by":"bob","why":"by the list","sale":"phone","action":"audit"`)
		must(t, g, 0, "0 differences", "stock", "audit", "phone", "-orders", file)

		token := heldTokens(t, s, g, "stalled", "stall=1")[0]
		must(t, g, 0, "free", by("bob", "not in the shop", "stock", "release", "phone", "-token", token)...)
		bought(t, g, "stalled")
		token = heldTokens(t, s, g, "cut again", "hangup=1&hangup-at=head")[0]
		must(t, g, 0, "is sold", by("bob", "the shop has it", "stock", "commit", "phone", "-token", token, "-ref", "5")...)
		must(t, g, 0, token, "stock", "reservations", "phone", "-ref", "5")
		refused(t, "its buyer", buy(t, g.proxy, "cut again"), "already_bought")
		must(t, g, 1, "cancel it in the shop", by("bob", "x", "stock", "release", "phone", "-token", token)...)
		settledAs(t, g, "phone", map[string]int{"sold": 5, "free": 3, "withdrawn": 5})
	})
}

func TestOperatorsOpenAndClose(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-stock=100", "-service=0")
		g := startOperated(t, s, store, "8", "1")
		bought(t, g, "ann")
		must(t, g, 0, "paused", by("ann", "a pause", "sale", "pause", "phone")...)
		refused(t, "a buyer in the pause", buy(t, g.proxy, "bob"), "paused")
		must(t, g, 0, "opened", by("ann", "go on", "sale", "resume", "phone")...)
		eventually(t, "the sale to go on", func() bool { return buy(t, g.proxy, "bob").status == 201 })
		must(t, g, 0, "closed", by("ann", "enough", "sale", "close", "phone")...)
		refused(t, "a buyer after the end", buy(t, g.proxy, "cleo"), "closed")
		must(t, g, 0, "opened", by("ann", "not enough", "sale", "open", "phone")...)
		eventually(t, "the sale to be open again", func() bool { return buy(t, g.proxy, "cleo").status == 201 })

		token := heldTokens(t, s, g, "cut", "hangup=1&hangup-at=head")[0]
		must(t, g, 1, "reservations", by("ann", "over", "sale", "archive", "phone")...)
		must(t, g, 0, "is sold", by("ann", "over", "stock", "commit", "phone", "-token", token)...)
		must(t, g, 0, "archived", by("ann", "over", "sale", "archive", "phone")...)
		eventually(t, "the archive to be known", func() bool { return buy(t, g.proxy, "dan").reason() == "closed" })
		g.signal(t, syscall.SIGHUP)
		g.says(t, `"msg":"reloaded"`)
		eventually(t, "the name to be sold under again", func() bool { return buy(t, g.proxy, "ann").status == 201 })
		settledAs(t, g, "phone", map[string]int{"sold": 1, "free": 7})
		for _, action := range []string{"pause", "resume", "close", "open", "archive"} {
			g.says(t, `"by":"ann","why":"[^"]+","sale":"phone","action":"`+action+`"`)
		}
	})
}

// Two gateways with different files: the store's rules hold at both.
func TestOperatorsOfTwoGateways(t *testing.T) {
	store := onRedis(stocktest.StartRedis(t))
	s := startShop(t, "-stock=100", "-service=0")
	one := startOperated(t, s, store, "8", "1")
	two := startOperated(t, s, store, "50", "3") // edited after the first had loaded it
	for g, want := range map[*gateway]float64{one: 0, two: 1} {
		m := g.metrics(t)
		if units, terms := m[`penstock_config_mismatch{item="",sale="phone"}`], m[`penstock_terms_mismatch{sale="phone"}`]; units != want || terms != want {
			t.Errorf("mismatch of units %v, of terms %v, want %v", units, terms, want)
		}
	}
	two.says(t, "units differ from those loaded")
	two.says(t, "rules differ from those in the store")
	if _, all := two.stock(t, "phone"); all != 8 {
		t.Errorf("%d units are loaded, want the first file's 8", all)
	}
	bought(t, one, "ann")
	bought(t, two, "bob")
	refused(t, "a second unit at the other gateway", buy(t, two.proxy, "ann"), "already_bought")
	refused(t, "a second unit at the generous gateway", buy(t, two.proxy, "bob"), "already_bought")

	must(t, one, 0, "paused", by("ann", "a pause", "sale", "pause", "phone")...)
	for _, g := range []*gateway{one, two} {
		refused(t, "a buyer in the pause", buy(t, g.proxy, "cleo"), "paused")
	}
	must(t, two, 0, "opened", by("ann", "go on", "sale", "resume", "phone")...)
	eventually(t, "the sale to go on at the first", func() bool { return buy(t, one.proxy, "cleo").status == 201 })
	eventually(t, "and at the second", func() bool { return buy(t, two.proxy, "dan").status == 201 })

	bought(t, two, "e", "f", "g", "h")
	for _, g := range []*gateway{one, two} {
		refused(t, "too late", buy(t, g.proxy, "late"), "sold_out")
		eventually(t, "the latch", func() bool {
			buy(t, g.proxy, "late")
			return g.metrics(t)[`penstock_sold_out_latched{item="",sale="phone"}`] == 1
		})
	}
	must(t, two, 0, "closed", by("ann", "sold out", "sale", "close", "phone")...)
	eventually(t, "the first, which refuses from memory, to hear of it", func() bool { return buy(t, one.proxy, "late").reason() == "closed" })
}
