package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

func TestWinnerIsForwardedOnceAndSettled(t *testing.T) {
	g := newRig(t, nil)
	g.shop.saysRaw("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nsold")
	a := g.send(buy)
	if a.StatusCode != 201 || a.body != "sold" || a.reason() != "admitted" {
		t.Fatalf("got %d %q %q, want 201 sold admitted", a.StatusCode, a.body, a.reason())
	}
	if n := g.shop.count(); n != 1 {
		t.Fatalf("the shop got %d requests, want 1", n)
	}
	g.settled()
	end := g.probes[stock].ends[0]
	if end.Kind != gate.Answered || end.Outcome != rules.OutcomeSold || end.Status != 201 {
		t.Errorf("the stock gate was told %+v, want an answer of 201 that sold", end)
	}
	f := g.probes[stock].facts
	if f.Account != "c:alice" || f.Units != 1 || f.IP.String() != "127.0.0.1" || f.Token == (gate.Token{}) {
		t.Errorf("facts %+v, want account c:alice, 1 unit, 127.0.0.1 and a token", f)
	}
}

func TestRefusalAtEachGateGivesBackWhatWasTakenBefore(t *testing.T) {
	for i := range gates {
		g := newRig(t, nil)
		g.probes[i].says = refusing(gate.SoldOut)
		a := g.send(buy)
		if a.StatusCode != 409 || a.reason() != "sold_out" {
			t.Errorf("refused at %s: got %d %q, want 409 sold_out", gateNames[i], a.StatusCode, a.reason())
		}
		for j, p := range g.probes {
			if want := btoi(j < i); p.admits != want || p.releases != want {
				t.Errorf("refused at %s: gate %s admitted %d and released %d, want %d of both", gateNames[i], gateNames[j], p.admits, p.releases, want)
			}
			if j < i && p.ends[0].Kind == gate.Unknown {
				t.Errorf("refused at %s: gate %s heard of an unknown end, which keeps the unit", gateNames[i], gateNames[j])
			}
		}
		if n := g.shop.count(); n != 0 {
			t.Errorf("refused at %s: the shop got %d requests, want none", gateNames[i], n)
		}
	}
}

func TestPanicAtEachGateLeavesNothingHeld(t *testing.T) {
	for i := range gates {
		g := newRig(t, nil)
		g.probes[i].says = func(context.Context, *gate.Facts) gate.Verdict { panic("boom") }
		a := g.send(buy)
		if a.StatusCode != 500 || a.reason() != "internal" {
			t.Errorf("panic at %s: got %d %q, want 500 internal", gateNames[i], a.StatusCode, a.reason())
		}
		g.settled()
		g.probes[i].says = nil
		if a := g.send(buy); a.StatusCode != 200 {
			t.Errorf("after a panic at %s: got %d, want 200", gateNames[i], a.StatusCode)
		}
	}
}

func TestObservedSaleIsNeverRefusedButByTheQueue(t *testing.T) {
	for i := range gates {
		g := newRig(t, func(s *rules.Set) { s.Sales[0].Enforce = false })
		g.probes[i].says = refusing(gate.RateLimited)
		a := g.send(buy)
		want := "admitted"
		if i == place || i == slot {
			want = "rate_limited"
		}
		if a.reason() != want {
			t.Errorf("observed, refused at %s: got %q, want %q", gateNames[i], a.reason(), want)
		}
		g.settled()
	}
}

func TestObservedLimitLeavesTheOthersEnforced(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Sales[0].Limits.IP.Enforce = false })
	g.probes[rateIP].says = refusing(gate.RateLimited)
	g.probes[inFlightIP].says = refusing(gate.InFlight)
	if a := g.send(buy); a.reason() != "admitted" {
		t.Errorf("observed limits refused: %q", a.reason())
	}
	g.probes[rateAccount].says = refusing(gate.RateLimited)
	if a := g.send(buy); a.reason() != "rate_limited" {
		t.Errorf("enforced limit: got %q, want rate_limited", a.reason())
	}
	g.settled()
}

func TestObservedSaleForwardsWhatItCannotRead(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Sales[0].Enforce = false; s.Sales[0].Account = s.Sales[0].Account[:2] })
	for name, raw := range map[string]string{
		"no account": strings.Replace(buy, "Cookie: customer=alice\r\n", "", 1),
		"twice":      "POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\nqty=1&qty=10",
	} {
		if a := g.send(raw); a.reason() != "admitted" {
			t.Errorf("%s: got %q, want admitted", name, a.reason())
		}
	}
	if n := g.probes[stock].admits; n != 0 {
		t.Errorf("the stock gate was asked %d times about facts nobody could read", n)
	}
	g.settled()
}

func TestEndsByWhatTheOriginDoes(t *testing.T) {
	cases := []struct {
		name, answer   string
		status         int
		reason         string
		kind           gate.EndKind
		outcome        rules.Outcome
		timeout, wrong bool
	}{
		{"sold", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, "admitted", gate.Answered, rules.OutcomeSold, false, false},
		{"declined", "HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\nno", 402, "admitted", gate.Answered, rules.OutcomeFree, false, false},
		{"server error", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500, "admitted", gate.Answered, rules.OutcomeUnknown, false, false},
		{"says so itself", "HTTP/1.1 500 Oops\r\nPenstock-Outcome: free\r\nContent-Length: 0\r\n\r\n", 500, "admitted", gate.Answered, rules.OutcomeFree, false, false},
		{"hangs up", "", 502, "origin_failed", gate.Unknown, rules.OutcomeUnknown, false, false},
		{"half an answer", "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf\r\nCUT", 502, "origin_failed", gate.Unknown, rules.OutcomeUnknown, false, false},
		{"cut chunks", "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nCUT", 502, "origin_failed", gate.Unknown, rules.OutcomeUnknown, false, false},
		{"not HTTP", "hello\r\n\r\n\r\nCUT", 502, "origin_failed", gate.Unknown, rules.OutcomeUnknown, false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			g.shop.saysRaw(c.answer)
			a := g.send(buy)
			if a.StatusCode != c.status || a.reason() != c.reason {
				t.Errorf("got %d %q, want %d %q", a.StatusCode, a.reason(), c.status, c.reason)
			}
			g.settled()
			if end := g.probes[stock].ends[0]; end.Kind != c.kind || end.Outcome != c.outcome {
				t.Errorf("stock was told %+v, want kind %d outcome %v", end, c.kind, c.outcome)
			}
			if n := g.shop.count(); n != 1 {
				t.Errorf("the shop got the order %d times, want once", n)
			}
			if a.Header.Get("Penstock-Outcome") != "" {
				t.Error("Penstock-Outcome reached the client")
			}
		})
	}
}

func TestOriginDownGivesTheUnitBack(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	g := newRig(t, func(s *rules.Set) { s.Origin.Address = ln.Addr().String() })
	a := g.send(buy)
	if a.StatusCode != 502 || a.reason() != "origin_unreachable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %q, Retry-After %q; want 502 origin_unreachable with Retry-After", a.StatusCode, a.reason(), a.Header.Get("Retry-After"))
	}
	g.settled()
	if end := g.probes[stock].ends[0]; end.Kind != gate.Unsent {
		t.Errorf("stock was told %+v, want unsent", end)
	}
}

func TestLateAnswerSettlesSlotAndUnitOnce(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Origin.ResponseTimeout = 50 * time.Millisecond })
	g.probes[stock].released = make(chan gate.End, 1)
	g.probes[slot].released = make(chan gate.End, 1)
	finish := make(chan struct{})
	g.shop.says(func(string) []byte {
		<-finish
		return []byte("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
	})
	g.proxy.current.Load().set.Origin.ResponseTimeout = time.Minute // patience of the late wait only
	a := g.send(buy)
	if a.StatusCode != 504 || a.reason() != "origin_timeout" {
		t.Fatalf("got %d %q, want 504 origin_timeout", a.StatusCode, a.reason())
	}
	if g.probes[slot].held() != 1 || g.probes[stock].held() != 1 || g.probes[place].held() != 0 {
		t.Errorf("while the origin is at work slot %d, unit %d, place %d are held; want 1, 1, 0",
			g.probes[slot].held(), g.probes[stock].held(), g.probes[place].held())
	}
	close(finish)
	if end := <-g.probes[stock].released; end.Outcome != rules.OutcomeSold {
		t.Errorf("the late answer told stock %+v, want sold", end)
	}
	<-g.probes[slot].released
	g.proxy.late.Wait()
	g.settled()
}

func TestAnswerThatNeverComesKeepsTheUnit(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Origin.ResponseTimeout = 20 * time.Millisecond })
	g.probes[stock].released = make(chan gate.End, 1)
	never := make(chan struct{})
	defer close(never)
	g.shop.says(func(string) []byte { <-never; return nil })
	if a := g.send(buy); a.reason() != "origin_timeout" {
		t.Fatalf("got %q, want origin_timeout", a.reason())
	}
	if end := <-g.probes[stock].released; end.Kind != gate.Unknown {
		t.Errorf("stock was told %+v, want unknown, which keeps the unit", end)
	}
}

func TestClientThatLeftCostsNothing(t *testing.T) {
	for _, at := range []int{place, slot} {
		g := newRig(t, nil)
		asked, leave := make(chan struct{}), make(chan struct{})
		g.probes[at].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
			if f.Sale == nil {
				return gate.Admit // the other client's
			}
			close(asked)
			<-leave
			return gate.Admit
		}
		g.probes[schedule].released = make(chan gate.End, 2) // the last to be given back
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, buy)
		<-asked
		c.Close()
		waitGone(t, g)
		close(leave)
		<-g.probes[schedule].released
		<-g.probes[schedule].released
		if n := g.shop.count(); n != 1 { // the other client's
			t.Errorf("left during %s: the shop got %d requests, want only the other client's", gateNames[at], n)
		}
		for _, end := range g.probes[stock].ends {
			if end.Kind == gate.Unknown {
				t.Errorf("left during %s: stock was told %+v, want unsent", gateNames[at], end)
			}
		}
		if n := g.probes[start].admits; n != 1 {
			t.Errorf("left during %s: the order was started all the same", gateNames[at])
		}
	}
}

// waitGone returns when a fresh connection's end would have been seen: loopback
// delivers in order, so a full round trip after the close is proof enough.
func waitGone(t *testing.T, g *rig) {
	t.Helper()
	if a := g.send("GET /elsewhere HTTP/1.1\r\nHost: shop\r\n\r\n"); a.StatusCode == 0 {
		t.Fatal("no answer")
	}
}

func TestDrippedBodyHoldsNoUnit(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Sales[0].Limits.BodyTimeout = 100 * time.Millisecond })
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, strings.TrimSuffix(buy, "ty=1"))
	a := read(t, bufio.NewReader(c), false)
	if a.StatusCode != 408 || a.reason() != "body_timeout" {
		t.Errorf("got %d %q, want 408 body_timeout", a.StatusCode, a.reason())
	}
	if n := g.probes[stock].admits; n != 0 {
		t.Errorf("the stock gate was asked %d times while the body dripped", n)
	}
	g.settled()
}

func TestBadFactsTakeNothing(t *testing.T) {
	form := func(body string) string {
		return fmt.Sprintf("POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for name, raw := range map[string]string{
		"qty twice":          form("qty=1&qty=10"),
		"qty escaped twice":  form("qty=1&%71ty=10"),
		"qty as a list":      form("qty[]=1"),
		"qty in the query":   strings.Replace(form(""), "/buy.php", "/buy.php?qty=3", 1),
		"qty in both":        strings.Replace(form("qty=1"), "/buy.php", "/buy.php?qty=3", 1),
		"qty zero":           form("qty=0"),
		"qty octal":          form("qty=010"),
		"qty huge":           form("qty=10000"),
		"qty negative":       form("qty=-1"),
		"foreign type":       strings.Replace(form("qty=1"), "application/x-www-form-urlencoded", "text/plain", 1),
		"JSON for a form":    strings.Replace(form(`{"qty":2}`), "application/x-www-form-urlencoded", "application/json", 1),
		"broken multipart":   strings.Replace(form("qty=1"), "application/x-www-form-urlencoded", "multipart/form-data", 1),
		"cookie twice":       strings.Replace(form("qty=1"), "customer=a", "customer=a; customer=b", 1),
		"cookie in disguise": strings.Replace(form("qty=1"), "customer=a", "customer=a; %63ustomer=b", 1),
		"two cookie lines":   strings.Replace(form("qty=1"), "customer=a", "customer=a\r\nCookie: customer=b", 1),
	} {
		g := newRig(t, nil)
		a := g.send(raw)
		if a.StatusCode != 400 || a.reason() != "bad_request" || !strings.Contains(a.body, `"detail":"`) {
			t.Errorf("%s: got %d %q %s, want 400 bad_request with a detail", name, a.StatusCode, a.reason(), a.body)
		}
		if n := g.probes[stock].admits + g.shop.count(); n != 0 {
			t.Errorf("%s: it took a unit or reached the shop", name)
		}
		g.settled()
	}
}

func TestLargeBodyIsRefusedBeforeItIsRead(t *testing.T) {
	g := newRig(t, nil)
	a := g.send("POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Length: 100000\r\n\r\nx")
	if a.StatusCode != 413 || !a.Close {
		t.Errorf("got %d, close %v; want 413 and a closed connection", a.StatusCode, a.Close)
	}
	big := strings.Repeat("x", 5000)
	a = g.send(fmt.Sprintf("POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big))
	if a.StatusCode != 413 {
		t.Errorf("chunked: got %d, want 413", a.StatusCode)
	}
	g.settled()
}

func TestSaleMatchedByItsBody(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		s.Sales[0].Match = rules.Match{Methods: []string{"POST"}, Path: "/cart/add", Form: map[string]string{"sku": "PHONE"}}
	})
	add := func(body, kind string) *answered {
		return g.send(fmt.Sprintf("POST /cart/add HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body))
	}
	const form = "application/x-www-form-urlencoded"
	add("sku=CASE", form)
	if n := g.probes[stock].facts.Sale; n != nil {
		t.Error("another article counted as the sale's")
	}
	for _, body := range []string{"sku=PHONE", "%73ku=PHON%45", "sku=CASE&sku=PHONE"} {
		g.probes[stock].facts = gate.Facts{}
		add(body, form)
		if g.probes[stock].facts.Sale == nil {
			t.Errorf("%q went past the sale", body)
		}
	}
	if a := add("sku=PHONE", "text/plain"); a.StatusCode != 400 {
		t.Errorf("a body nobody can read: got %d, want 400", a.StatusCode)
	}
	if got := <-g.shop.arrived; !strings.HasSuffix(got, "sku=CASE") {
		t.Errorf("the shop got %q, want the body as it was sent", got)
	}
	g.settled()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
