package main_test

// A person at a sale that asks everyone for a challenge: the real gateway behind TLS, with
// its defaults, and a real browser. It needs chromium in PATH (make needs installs it) and
// fails without. What the page does when something goes wrong is tried in package proxy.

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"penstock/proxy/certs/certstest"
)

const asksEveryone = `
listen: "127.0.0.1:0"
tls: {cert: tls.crt, key: tls.key}
admin: {listen: "127.0.0.1:0"}
origin: {url: "http://SHOP", concurrency: 4, max_concurrency: 4}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{visitor: true}]
    stock: {units: 10}
    challenge: {of: everyone}
`

// visitPatience bounds one visit of a browser.
const visitPatience = 60 * time.Second

func TestChallengeOfAPerson(t *testing.T) {
	s, dir := startShop(t, "-stock=10"), t.TempDir()
	a := certstest.New(t)
	a.Write(a.Issue("localhost", time.Now().Add(90*24*time.Hour)), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	g := startGateway(t, write(t, dir, asksEveryone, "SHOP", s.addr))
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(t.TempDir()), chromedp.ExecPath("chromium"), chromedp.WSURLReadTimeout(visitPatience))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(stop)
	browser, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start chromium (make needs installs it): %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil {
			t.Errorf("end the browser: %v", err)
		}
	})

	t.Run("whose browser works", func(t *testing.T) {
		tab := person(t, browser)
		follow(t, tab, chromedp.Navigate("https://"+g.proxy+"/"), press("form[action='/buy.php'] button"), reads("Thank you"),
			press("#back"), press("form[action='/buy.php'] button"))
		eventually(t, "an order", func() bool { return s.books(t).Count == 1 })
	})
	t.Run("without scripts, who types wrongly", func(t *testing.T) {
		tab := person(t, browser)
		if _, err := chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			t.Fatal(err)
		}
		follow(t, tab, chromedp.Navigate("https://"+g.proxy+"/"), press("form[action='/buy.php'] button"),
			chromedp.WaitVisible(chromedp.CSS("noscript img")),
			chromedp.SendKeys(chromedp.CSS("#text"), "no digits"), press("#typed button"), reads("That did not work"))
		if b := s.books(t); b.Count != 1 {
			t.Errorf("the shop has %d orders", b.Count)
		}
	})
	all := g.metrics(t)
	for event, want := range map[string]float64{"shown": 2, "solved": 1, "image": 1} {
		if got := all[fmt.Sprintf("penstock_challenge_events_total{event=%q}", event)]; got != want {
			t.Errorf("%v challenges are counted as %s, want %v", got, event, want)
		}
	}
	// Whoever types as fast as a test does may be told that nobody may answer so soon.
	if n := all[`penstock_challenge_events_total{event="wrong"}`] + all[`penstock_challenge_events_total{event="early"}`]; n != 1 {
		t.Errorf("%v answers are counted as wrong or early, want 1", n)
	}
}

// person opens a tab with no cookies of others.
func person(t *testing.T, browser context.Context) context.Context {
	t.Helper()
	tab, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	if err := chromedp.Do(tab); err != nil { // whose context is the tab's life
		t.Fatalf("open a tab: %v", err)
	}
	bounded, stop := context.WithTimeout(tab, visitPatience)
	t.Cleanup(stop)
	return bounded
}

func press(button chromedp.CSS) chromedp.Action[chromedp.Void] { return chromedp.Click(button) }

// reads waits for a heading or a paragraph that has the words in it.
func reads(words string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.Search(fmt.Sprintf(`//*[self::h1 or self::p][contains(., %q)]`, words)))
}

func follow(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, step := range steps {
		if err := chromedp.Do(tab, step); err != nil {
			last, stop := context.WithTimeout(context.WithoutCancel(tab), 2*time.Second)
			defer stop()
			text, _ := chromedp.Run(last, chromedp.OuterHTML(chromedp.CSS("main"))) // a dead tab has nothing to say
			t.Fatalf("step %d: %v; the page: %s", i+1, err, text)
		}
	}
}
