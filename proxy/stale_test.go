package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// oldAtOnce keeps answers whose period is over as soon as they are there.
func oldAtOnce(c *rules.Cache) { c.TTL = 1 }

// refreshed waits until no fetch is under way.
func (g *rig) refreshed() { g.proxy.late.Wait() }

// An origin that is in trouble, or a gateway that sheds: the old page is shown.
func TestStaleInTrouble(t *testing.T) {
	for name, trouble := range map[string]func(*rig){
		"closes":        func(g *rig) { g.shop.saysRaw("") },
		"cut":           func(g *rig) { g.shop.saysRaw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx\r\nCUT") },
		"503":           func(g *rig) { g.shop.says(func(string) []byte { return saying("503 Busy", "sorry") }) },
		"no connection": func(g *rig) { g.shop.close() },
		"no place":      func(g *rig) { g.probes[place].says = refusing(gate.Overloaded) },
		"no slot":       func(g *rig) { g.probes[slot].says = refusing(gate.Overloaded) },
		"panics": func(g *rig) {
			g.probes[slot].says = func(context.Context, *gate.Facts) gate.Verdict { panic("boom") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, keepingPages(oldAtOnce))
			g.shop.says(pageFor())
			if a := g.get("/p/1"); a.how() != "miss" {
				t.Fatalf("first: %q", a.how())
			}
			trouble(g)
			for i := range 3 {
				a := g.get("/p/1")
				if a.StatusCode != 200 || a.how() != "stale" || a.body != "page of GET /p/1 HTTP/1.1" || a.Header.Get("Age") == "" {
					t.Errorf("%d in trouble: %d %q from %q", i, a.StatusCode, a.body, a.how())
				}
				g.refreshed()
			}
			g.settled()
		})
	}
}

// Without an old page the trouble of the fetch is told to who waits for it, and nobody
// asks a second time.
func TestTroubleWithoutAnOldPage(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(*rig)
		reason  string
		asked   int
	}{
		"closes": {func(g *rig) { g.shop.saysRaw("") }, "origin_failed", 1},
		"cut": {func(g *rig) {
			g.shop.saysRaw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx\r\nCUT")
		}, "origin_failed", 1},
		"no connection": {func(g *rig) { g.shop.close() }, "origin_unreachable", 0},
		"503":           {func(g *rig) { g.shop.saysRaw(string(saying("503 Busy", "sorry"))) }, "admitted", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, keepingPages(nil))
			c.trouble(g)
			a := g.get("/p/1")
			if a.reason() != c.reason || a.StatusCode < 500 || g.shop.count() != c.asked {
				t.Errorf("got %d %s, and the shop saw %d, want %s and %d", a.StatusCode, a.reason(), g.shop.count(), c.reason, c.asked)
			}
			if c.reason == "admitted" && a.body != "sorry" {
				t.Errorf("the shop's own page became %q", a.body)
			}
			g.refreshed()
			g.settled()
		})
	}
}

// The first fetch teaches what a page varies by; who waited for it is shown their own.
func TestPageThatVariesByLanguage(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.shop.says(func(request string) []byte {
		language := "any"
		if _, rest, ok := strings.Cut(request, "accept-language: "); ok {
			language, _, _ = strings.Cut(rest, "\r\n")
		}
		return saying("200 OK", "in "+language, "Vary: Accept-Language")
	})
	for i, c := range []struct {
		language, how string
		asked         int
	}{{"de", "miss", 2}, {"de", "hit", 2}, {"en", "miss", 3}, {"de", "hit", 3}, {"en", "hit", 3}} {
		a := g.get("/p/1", "Accept-Language: "+c.language)
		if a.body != "in "+c.language || a.how() != c.how || g.shop.count() != c.asked {
			t.Errorf("%d: %s is shown %q from %q, and the shop saw %d, want a %s and %d", i, c.language, a.body, a.how(), g.shop.count(), c.how, c.asked)
		}
	}
	if a := g.get("/p/1"); a.body != "in any" || a.how() != "hit" {
		t.Errorf("without a language: %q from %q", a.body, a.how())
	}
}

// A page of an error that is somebody's own is fetched once, and then everybody gets theirs.
func TestErrorThatIsSomebodysOwn(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.shop.says(func(string) []byte { return saying("500 Oops", "sorry", "Set-Cookie: PHPSESSID=fresh") })
	a := g.get("/p/1")
	if a.StatusCode != 500 || a.how() != "" || a.Header.Get("Set-Cookie") != "PHPSESSID=fresh" || g.shop.count() != 2 {
		t.Errorf("got %d from %q, and the shop saw %d, want its own answer to the second", a.StatusCode, a.how(), g.shop.count())
	}
	g.refreshed()
	g.settled()
}

// A head that does not come in time is told, and the slot stays taken until the shop is done.
func TestLateFetch(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		keepingPages(nil)(s)
		s.Origin.ResponseTimeout = 200 * time.Millisecond
		s.Origin.QueueMaxWait = time.Minute
	})
	released := make(chan gate.End, 10)
	g.probes[slot].released = released
	answer := make(chan struct{})
	g.shop.says(func(string) []byte { <-answer; return saying("200 OK", "late") })
	if a := g.get("/p/1"); a.reason() != "origin_timeout" {
		t.Errorf("got %s, want origin_timeout", a.reason())
	}
	select {
	case end := <-released:
		t.Errorf("the slot was given back with %+v before the shop was done", end)
	default:
	}
	close(answer)
	if end := <-released; end.Kind != gate.Answered {
		t.Errorf("the slot was told %+v, want answered", end)
	}
	g.refreshed()
	g.settled()
}

// Exactly one fetch renews a page while everybody is shown the old one; then the new one.
func TestOneRenews(t *testing.T) {
	g := newRig(t, keepingPages(func(c *rules.Cache) { c.TTL = 100 * time.Millisecond }))
	g.shop.says(pageFor())
	g.get("/p/1")
	<-g.shop.arrived
	answer := make(chan struct{})
	g.shop.says(func(string) []byte { <-answer; return saying("200 OK", "new") })
	eventually(t, "the period is over", func() bool { return g.get("/p/1").how() == "stale" })
	<-g.shop.arrived
	for range 50 {
		if a := g.get("/p/1"); a.how() != "stale" || a.body != "page of GET /p/1 HTTP/1.1" {
			t.Fatalf("while it is renewed: %q from %q", a.body, a.how())
		}
	}
	if n := g.shop.count(); n != 2 {
		t.Errorf("the shop saw %d requests, want 2", n)
	}
	close(answer)
	g.refreshed()
	if a := g.get("/p/1"); a.body != "new" {
		t.Errorf("after that: %q from %q", a.body, a.how())
	}
	g.settled()
}

// Who waits for a fetch and leaves is noticed, and ends nobody else's wait.
func TestWhoWaitsForAFetchAndLeaves(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	answer := make(chan struct{})
	g.shop.says(func(r string) []byte { <-answer; return pageFor()(r) })
	ask := crlf("GET /p/1 HTTP/1.1", "Host: shop.example")
	waiting := func(n int) func() bool {
		return func() bool {
			g.srv.watch.mu.Lock()
			defer g.srv.watch.mu.Unlock()
			return len(g.srv.watch.leavers) == n
		}
	}
	leaves, stays := g.open(), g.open()
	fmt.Fprint(leaves, ask)
	fmt.Fprint(stays, ask)
	eventually(t, "both wait", waiting(2))
	leaves.Close()
	eventually(t, "one has left", waiting(1))
	eventually(t, "it is counted", func() bool {
		return counted(t, g.proxy.metrics.requests)["reason=client_gone route=product sale="] == 1
	})
	close(answer)
	if a := read(t, stays.Reader, false); a.how() != "miss" || a.body != "page of GET /p/1 HTTP/1.1" {
		t.Errorf("the other got %q from %q", a.body, a.how())
	}
	if n, places := g.shop.count(), g.probes[place].admits; n != 1 || places != 1 {
		t.Errorf("the shop saw %d requests, and %d places were taken, want 1", n, places)
	}
	g.refreshed()
	g.settled()
}

// A buyer with a pass is not refused with the browsing crowd's fetch.
func TestBuyersAreNotRefusedWithTheFetch(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	bought := g.send(buy)
	text := bought.Header.Get(passHeader)
	if text == "" {
		t.Fatal("there is no pass")
	}
	g.probes[place].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
		if f.Priority != rules.Checkout {
			return gate.Verdict{Reason: gate.Overloaded, Retry: time.Second}
		}
		return gate.Admit
	}
	if a := g.get("/p/1"); a.reason() != "overloaded" {
		t.Errorf("the crowd: %s, want overloaded", a.reason())
	}
	a := g.get("/p/1", passHeader+": "+text)
	if a.reason() != "admitted" || a.how() != "" {
		t.Errorf("the buyer: %s from %q, want the shop's own answer", a.reason(), a.how())
	}
	g.settled()
}

// A reload forgets what is kept, and follows the file.
func TestReloadForgets(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.get("/p/1")
	bytes, n := g.proxy.current.Load().kept.Stats()
	if n != 1 || bytes <= 0 {
		t.Errorf("%d bytes and %d answers are kept, want 1", bytes, n)
	}
	g.proxy.Use(g.set)
	if a := g.get("/p/1"); a.how() != "miss" {
		t.Errorf("after a reload: %q", a.how())
	}
	next := *g.set
	plain := *g.set.Routes[0]
	plain.Cache = nil
	next.Routes = []*rules.Route{&plain}
	g.proxy.Use(&next)
	if a := g.get("/p/1"); a.how() != "" || g.shop.count() != 3 {
		t.Errorf("without cache: %q, and the shop saw %d", a.how(), g.shop.count())
	}
}

// Large bodies go out whole, and a kept-alive connection stays in step behind them.
func TestLargeKeptBody(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	long := strings.Repeat("0123456789abcdef", 30_000)
	g.shop.says(func(string) []byte { return saying("200 OK", long) })
	c := g.open()
	for i := range 5 {
		fmt.Fprint(c, crlf("GET /p/1 HTTP/1.1", "Host: shop.example"))
		if a := read(t, c.Reader, false); a.body != long || a.err != nil {
			t.Fatalf("%d: %d bytes and %v", i, len(a.body), a.err)
		}
	}
	if n := g.shop.count(); n != 1 {
		t.Errorf("the shop saw %d requests, want 1", n)
	}
}

// A sale's answers are never kept, whatever a route says.
func TestSalesAreNeverKept(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		keepingPages(nil)(s)
		s.Routes[0].Match.Path = "/**"
		s.Sales[0].Match.Methods = []string{"GET"}
		s.Sales[0].Stock.Quantity = nil
	})
	for range 3 {
		g.get("/buy.php", "Cookie: PHPSESSID=1")
	}
	if n := g.shop.count(); n != 3 {
		t.Errorf("the shop saw %d requests, want 3", n)
	}
}

// The route's own limits come first: who is refused there is not shown a page.
func TestGatesInFrontStillCount(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.get("/p/1")
	g.probes[rateIP].says = refusing(gate.RateLimited)
	if a := g.get("/p/1"); a.reason() != "rate_limited" {
		t.Errorf("got %s, want rate_limited", a.reason())
	}
	g.probes[rateIP].says = nil
	g.probes[place].says = refusing(gate.Overloaded)
	if a := g.get("/p/1"); a.how() != "hit" {
		t.Errorf("got %s, want a hit without a place", a.reason())
	}
	g.settled()
}

// Who waits is refused with the fetch, but for who has another place to wait.
func TestRefusedWithTheFetch(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.probes[slot].says = func(context.Context, *gate.Facts) gate.Verdict {
		return gate.Verdict{Reason: gate.Overloaded, Retry: time.Second}
	}
	a := g.get("/p/1")
	if a.StatusCode != 503 || a.reason() != "overloaded" || a.Header.Get("Retry-After") == "" || g.shop.count() != 0 {
		t.Errorf("got %d %s, and the shop saw %d", a.StatusCode, a.reason(), g.shop.count())
	}
	if g.probes[slot].says = nil; g.get("/p/1").how() != "miss" {
		t.Error("later it is not fetched again")
	}
	g.settled()
}
