package main

// The operators' commands against the API as it is served, on an embedded store.

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/proxy/admin"
	"penstock/proxy/gate"
	"penstock/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

// counter is a sale "phone" of ten red units, of which the accounts c:u1 … have some.
type counter struct {
	t     *testing.T
	store stock.Store
	set   *rules.Set
	flags []string // find the API
	log   bytes.Buffer
}

func newCounter(t *testing.T) *counter {
	t.Setenv("SUDO_USER", "")
	t.Setenv("USER", "ann")
	c := &counter{t: t, set: &rules.Set{Sales: []*rules.Sale{
		{Name: "phone", Stock: &rules.Stock{Ledger: "phone", Items: map[string]int{"red": 10}, PerAccount: 2, ReserveFor: time.Hour, SendingFor: time.Hour}},
		{Name: "lost", Stock: &rules.Stock{Ledger: "lost", Items: map[string]int{"": 5}, PerAccount: 1, ReserveFor: time.Hour, SendingFor: time.Hour}},
		{Name: "free"},
	}}}
	dir := t.TempDir()
	store, err := embedded.Open(filepath.Join(dir, "stock.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c.store = store
	phone := c.set.Sales[0]
	if _, _, err := store.Load(t.Context(), stock.Loading{Ledger: "phone", Items: phone.Stock.Items, Terms: stock.TermsOf(phone)}); err != nil {
		t.Fatal(err)
	}
	api := &office{desk: stock.NewDesk(store), set: func() *rules.Set { return c.set }}
	const token = "a-token-for-tests"
	server := httptest.NewServer(admin.Handler(admin.Options{
		Token: token, Registry: prometheus.NewRegistry(), Sales: api, Changed: logChange(slog.New(slog.NewTextHandler(&c.log, nil))),
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(dir, "admin.token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.flags = []string{"-admin", server.Listener.Addr().String(), "-token-file", file}
	return c
}

// take gives account u<n> a unit with token n, which then goes as far as stage.
func (c *counter) take(n byte, stage stock.Stage) {
	c.t.Helper()
	ctx, token := c.t.Context(), gate.Token{n}
	d, err := c.store.Decide(ctx, stock.Ask{Ledger: "phone", Account: fmt.Sprintf("c:u%d", n), Token: token, Item: "red", Units: 1})
	if err != nil || d.Reason != gate.Admitted {
		c.t.Fatalf("Decide(%d) = %v, %v", n, d.Reason, err)
	}
	if stage == stock.Reserved {
		return
	}
	if r, err := c.store.Start(ctx, stock.Launch{Ledger: "phone", Token: token, By: token}); err != nil || r != gate.Admitted {
		c.t.Fatalf("Start(%d) = %v, %v", n, r, err)
	}
	outcome, ok := map[stock.Stage]rules.Outcome{stock.Held: rules.OutcomeUnknown, stock.Sold: rules.OutcomeSold, stock.Cancelled: rules.OutcomeFree}[stage]
	if !ok {
		return
	}
	s := stock.Settlement{Ledger: "phone", Token: token, By: token, Outcome: outcome}
	if stage == stock.Sold {
		s.Ref = fmt.Sprintf("A-%d", n)
	}
	if err := c.store.Settle(ctx, s); err != nil {
		c.t.Fatalf("Settle(%d): %v", n, err)
	}
}

// run runs one command and answers what it said and its exit code.
func (c *counter) run(line ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = command(append(line, c.flags...), &o, &e)
	return code, o.String(), e.String()
}

// want runs a command that must end with code and say text.
func (c *counter) want(code int, text string, line ...string) string {
	c.t.Helper()
	got, out, errs := c.run(line...)
	if got != code || !strings.Contains(out+errs, text) {
		c.t.Errorf("penstock %s: exit code %d, out:\n%serr:\n%swant %d and %q", strings.Join(line, " "), got, out, errs, code, text)
	}
	return out
}

func hexNo(n byte) string { return hex.EncodeToString(append([]byte{n}, make([]byte, 15)...)) }

var anyTime = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// golden compares with a file of testdata, times aside.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = anyTime.ReplaceAllString(got, "2026-11-27T20:00:00Z")
	file := filepath.Join("testdata", "operators", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s%v", name, got, want, err)
	}
}

func TestOperatorsSeeTheStock(t *testing.T) {
	c := newCounter(t)
	for n, stage := range []stock.Stage{stock.Reserved, stock.Sending, stock.Held, stock.Sold, stock.Cancelled} {
		c.take(byte(n+1), stage)
	}
	c.set.Sales[0].Stock.Items = map[string]int{"red": 12, "blue": 1}
	golden(t, "show", c.want(0, "", "stock", "show"))
	golden(t, "reservations", sorted(c.want(0, "", "stock", "reservations", "phone")))
	golden(t, "sold", c.want(0, "", "stock", "reservations", "-stage", "sold", "phone"))
	golden(t, "token", c.want(0, "", "stock", "reservations", "phone", "-token", hexNo(5)))
	c.want(0, hexNo(3), "stock", "reservations", "phone", "-account", "u3")
	c.want(0, hexNo(4), "stock", "reservations", "phone", "-ref", "A-4")
	c.want(1, `no sale "cart"`, "stock", "show", "cart")
	c.want(1, "not a stage", "stock", "reservations", "phone", "-stage", "bought")
	c.want(1, "has no stock", "stock", "reservations", "free")
	c.want(1, "not loaded", "stock", "reservations", "nothing")

	var all struct{ Sales []admin.Sale }
	if err := json.Unmarshal([]byte(c.want(0, "", "stock", "show", "phone", "-json")), &all); err != nil || len(all.Sales) != 1 || all.Sales[0].Items[0].Held != 1 {
		t.Errorf("show -json = %+v, %v", all, err)
	}
	if c.log.Len() > 0 {
		t.Errorf("looking is logged: %s", c.log.String())
	}
}

// sorted puts lines below the first in order: a store finds tokens in none.
func sorted(text string) string {
	head, rest, _ := strings.Cut(text, "\n")
	lines := strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
	slices.Sort(lines)
	return head + "\n" + strings.Join(lines, "\n") + "\n"
}

func TestOperatorsChangeTheStock(t *testing.T) {
	c := newCounter(t)
	c.take(1, stock.Held)
	c.take(2, stock.Held)
	c.take(3, stock.Sending)
	c.take(4, stock.Sold)
	why := []string{"-why", "a test"}
	for _, x := range []struct {
		code int
		text string
		line []string
	}{
		{0, "phone: paused", []string{"sale", "pause", "phone"}},
		{0, "phone: opened", []string{"sale", "resume", "phone"}},
		{0, "phone: closed", []string{"sale", "close", "phone"}},
		{0, "phone: opened", []string{"sale", "open", "phone"}},
		{0, `added 5 units of item "red": 11 are free now`, []string{"stock", "add", "phone", "-item", "red", "-units", "5", "-token", hexNo(90)}},
		{0, `11 are free now`, []string{"stock", "add", "phone", "-item", "red", "-units", "5", "-token", hexNo(90)}},
		{0, `withdrew 2 units of item "red": 9 are free now`, []string{"stock", "withdraw", "phone", "-item", "red", "-units", "2"}},
		{1, "fewer units are free", []string{"stock", "withdraw", "phone", "-item", "red", "-units", "10"}},
		{1, `has an item "rde"`, []string{"stock", "add", "phone", "-item", "rde", "-units", "1"}},
		{1, "want at least 1", []string{"stock", "add", "phone", "-item", "red", "-units", "-3"}},
		{0, "is sold", []string{"stock", "commit", "phone", "-token", hexNo(1), "-ref", "B-1"}},
		{0, "its units are free", []string{"stock", "release", "phone", "-token", hexNo(2)}},
		{1, "being sent right now", []string{"stock", "release", "phone", "-token", hexNo(3)}},
		{1, "cancel it in the shop", []string{"stock", "release", "phone", "-token", hexNo(4)}},
		{1, "never seen this token", []string{"stock", "release", "phone", "-token", hexNo(77)}},
		{1, "is not a token", []string{"stock", "release", "phone", "-token", "77"}},
		{1, "see `penstock stock reservations`", []string{"sale", "archive", "phone"}},
		{0, "was loaded already", []string{"stock", "load", "phone"}},
		{1, "see `penstock stock load`", []string{"sale", "pause", "lost"}},
		{0, "lost: loaded, and frozen", []string{"stock", "load", "lost"}},
		{0, "lost: thawed", []string{"stock", "thaw", "lost"}},
		{0, "lost: archived", []string{"sale", "archive", "lost"}},
		{0, "lost: loaded\n", []string{"stock", "load", "lost"}},
		{1, `no sale "nothing" in the file`, []string{"stock", "load", "nothing"}},
	} {
		c.log.Reset()
		c.want(x.code, x.text, append(x.line, why...)...)
		if log := c.log.String(); !strings.Contains(log, `by=ann why="a test" sale=`+x.line[2]+" action="+x.line[1]) || strings.Contains(log, "failed") != (x.code == 1) {
			t.Errorf("%v is logged as %q", x.line, log)
		}
	}
}

func TestOperatorsAuditAgainstTheShop(t *testing.T) {
	c := newCounter(t)
	for n, stage := range []stock.Stage{stock.Held, stock.Sold, stock.Held, stock.Sold, stock.Cancelled} {
		c.take(byte(n+1), stage)
	}
	list := filepath.Join(t.TempDir(), "orders.csv")
	if err := os.WriteFile(list, []byte("token,ref,qty\n"+hexNo(1)+",B-1,1\n"+hexNo(2)+",A-2,1\n"+hexNo(5)+",B-5,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(0, "0 faults", "stock", "audit", "phone")
	golden(t, "audit", c.want(1, "", "stock", "audit", "phone", "-orders", list, "-free-missing", "1h"))
	if c.log.Len() > 0 {
		t.Errorf("an audit that changes nothing is logged: %s", c.log.String())
	}
	c.want(1, "2 settled, 0 failed", "stock", "audit", "phone", "-orders", list, "-free-missing", "1ns", "-apply", "-why", "by the list")
	if log := c.log.String(); strings.Count(log, `by=ann why="by the list" sale=phone action=audit`) != 2 {
		t.Errorf("two settlements are logged as %q", log)
	}
	c.want(0, "B-1", "stock", "reservations", "phone", "-token", hexNo(1))
	c.want(0, "cancelled", "stock", "reservations", "phone", "-token", hexNo(3))

	if err := os.WriteFile(list, []byte("ref\nB-1\nA-2\nA-4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(0, "3 orders in the list, 3 with a token here, 0 differences", "stock", "audit", "phone", "-orders", list)
	if err := os.WriteFile(list, []byte("account,time\nu1,yesterday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(1, "orders, line 2:", "stock", "audit", "phone", "-orders", list)
	c.want(1, "no such file", "stock", "audit", "phone", "-orders", list+".old")
}

func TestOperatorsAreToldWhatIsWrongWithALine(t *testing.T) {
	c := newCounter(t)
	t.Setenv("USER", "")
	for _, x := range []struct{ text, line string }{
		{"one of its commands", "stock"},
		{"one of its commands", "sale shows"},
		{"the sale's name is missing", "sale pause -why x -by ann"},
		{"-why TEXT, and -by NAME", "sale pause phone -by ann"},
		{"-why TEXT, and -by NAME", "sale pause phone -why x"},
		{"-units is missing", "stock add phone -why x -by ann"},
		{"-token is missing", "stock release phone -why x -by ann"},
		{"one word too many", "sale pause phone cart"},
		{"not defined: -units", "sale pause phone -units 3"},
		{"invalid value", "stock add phone -units many"},
		{"settling needs -orders", "stock audit phone -apply -why x -by ann"},
		{"-why TEXT, and -by NAME", "stock audit phone -orders x -apply -by ann"},
		{"want -config FILE or -admin", "stock show -admin="},
	} {
		line := strings.Fields(x.line)
		flags := c.flags
		if strings.HasSuffix(x.line, "-admin=") || strings.HasSuffix(x.line, "cart") {
			c.flags = nil
		}
		c.want(2, x.text, line...)
		c.flags = flags
	}
	if c.log.Len() > 0 {
		t.Errorf("a wrong line reached the gateway: %s", c.log.String())
	}
	if code := command([]string{"stock", "add", "-h"}, new(bytes.Buffer), new(bytes.Buffer)); code != 0 {
		t.Errorf("-h: exit code %d, want 0", code)
	}
}

func TestOperatorsWithoutTheTokenAreRefused(t *testing.T) {
	c := newCounter(t)
	c.flags = c.flags[:2]
	c.want(1, "token is missing or wrong", "stock", "show")
	c.flags = []string{"-admin", "127.0.0.1:1"}
	c.want(1, "ask gateway", "stock", "show")
	c.flags = []string{"-admin", "nowhere"}
	c.want(1, "find the admin API", "stock", "show")
}

func TestUsageNamesEveryCommand(t *testing.T) {
	var out bytes.Buffer
	if code := command([]string{"help"}, &out, &out); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, v := range verbs {
		if want := fmt.Sprintf("penstock %-5s %-12s  %s\n", v.group, v.name, v.does); !strings.Contains(out.String(), want) {
			t.Errorf("usage does not say %q", want)
		}
	}
}

func TestATerminalIsShownNoControls(t *testing.T) {
	var out bytes.Buffer
	printTokens(&out, []admin.Token{{Token: "01", Account: "c:\x1b[2Jann", Ref: "a\tb\nc"}})
	if strings.ContainsAny(out.String(), "\x1b\t") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("printed %q", out.String())
	}
}

func TestTheFileSaysWhereTheGatewayIs(t *testing.T) {
	c := newCounter(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "penstock.yaml")
	text := "listen: \":8080\"\norigin: {url: \"http://127.0.0.1:8081\"}\nadmin: {listen: \"" + c.flags[1] + "\", token_file: \"" + c.flags[3] + "\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.flags = []string{"-config", file}
	c.want(0, "phone  red", "stock", "show")
	if err := os.WriteFile(file, []byte("admin: {lisen: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(1, "lisen", "stock", "show")
}
