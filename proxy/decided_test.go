package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"penstock/proxy/gate"
	"penstock/rules"
)

// witness notes decisions, in memory of its own.
type witness struct {
	mu   sync.Mutex
	all  []string
	fail bool
}

func (l *witness) Decided(d *gate.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf("%s %d %s %s would=%s won=%t", strings.Clone(d.Facts.Account), d.Step, d.Facts.Sale.Name, d.Reason, d.Would, d.Won))
	if l.fail {
		panic("the watcher")
	}
}

func (l *witness) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

func watchedRig(t *testing.T, change func(*rules.Set)) (*rig, *witness) {
	g := newRig(t, change)
	l := &witness{}
	g.proxy.watcher = l
	return g, l
}

func (l *witness) want(t *testing.T, name string, want ...string) {
	t.Helper()
	if got := l.heard(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: the watcher heard %q, want %q", name, got, want)
	}
}

func TestWatcherHearsOnceOfEveryRequestOfASale(t *testing.T) {
	g, l := watchedRig(t, func(s *rules.Set) {
		s.Sales[0].Behaviour = &rules.Behaviour{Page: "/p/**"}
	})
	g.send(buy)
	l.want(t, "a winner", "c:alice 0 phone admitted would=unset won=true")
	g.shop.says(func(string) []byte { return []byte("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n") })
	g.send(buy)
	l.want(t, "whom the shop refuses", "c:alice 0 phone admitted would=unset won=false")
	g.shop.says(nil)
	for i := range place {
		g.probes[i].says = refusing(gate.SoldOut)
		g.send(buy)
		l.want(t, "refused at "+gateNames[i], "c:alice 0 phone sold_out would=unset won=false")
		g.probes[i].says = nil
	}
	for raw, want := range map[string][]string{
		crlf("GET /p/1 HTTP/1.1", "Host: shop", "Cookie: customer=alice"):   {"c:alice 2 phone admitted would=unset won=false"},
		crlf("GET /p/1 HTTP/1.1", "Host: shop"):                             nil, // nobody knows who that is
		crlf("GET /else HTTP/1.1", "Host: shop", "Cookie: customer=alice"):  nil,
		crlf("GET /buy.php HTTP/1.1", "Host: shop", "Cookie: customer=bob"): nil, // another method: no request of the sale
	} {
		g.send(raw)
		l.want(t, raw, want...)
	}
	g.settled()
}

// TestWatcherHearsNothingOf pages that were not shown, and requests whose facts an observed
// sale cannot use.
func TestWatcherHearsNothingOf(t *testing.T) {
	g, l := watchedRig(t, func(s *rules.Set) {
		s.Sales[0].Behaviour = &rules.Behaviour{Page: "/p/**"}
		s.Sales[0].Enforce = false
	})
	g.probes[place].says = refusing(gate.Overloaded)
	if a := g.send(crlf("GET /p/1 HTTP/1.1", "Host: shop", "Cookie: customer=alice")); a.reason() != "overloaded" {
		t.Errorf("got %q, want overloaded", a.reason())
	}
	l.want(t, "a page that was not shown")
	g.probes[place].says = nil
	if a := g.send(crlf("POST /buy.php HTTP/1.1", "Host: shop", "Cookie: customer=alice; customer=bob", "Content-Length: 0")); a.reason() != "admitted" {
		t.Errorf("got %q, want admitted", a.reason())
	}
	l.want(t, "a request of two accounts")
	g.settled()
}

func TestWatcherHearsOfWhatOnlyWatches(t *testing.T) {
	off := map[int]func(*rules.Set){
		ladder:          func(s *rules.Set) { s.Sales[0].Ladder = &rules.Ladder{} },
		eligible:        func(s *rules.Set) { s.Sales[0].Require.Enforce = false },
		rateAccount:     func(s *rules.Set) { s.Sales[0].Limits.Account.Enforce = false },
		inFlightAccount: func(s *rules.Set) { s.Sales[0].Limits.Account.Enforce = false },
		lease:           func(s *rules.Set) { s.Sales[0].Limits.Account.Enforce = false },
		rateIP:          func(s *rules.Set) { s.Sales[0].Limits.IP.Enforce = false },
		inFlightIP:      func(s *rules.Set) { s.Sales[0].Limits.IP.Enforce = false },
		challenge:       func(s *rules.Set) { s.Sales[0].Challenge = &rules.Challenge{} },
	}
	for i, change := range off {
		g, l := watchedRig(t, change)
		g.probes[i].says = refusing(gate.Banned)
		if a := g.send(buy); a.reason() != "admitted" {
			t.Errorf("%s: got %q, want admitted", gateNames[i], a.reason())
		}
		l.want(t, gateNames[i], "c:alice 0 phone admitted would=banned won=true")
		g.probes[i].says = nil
		for j := range gates { // and no other gate is switched off by it
			g.probes[j].says = refusing(gate.Closed)
			if a := g.send(buy); a.reason() != "closed" && !sameSwitch(i, j) {
				t.Errorf("%s only watches, %s refuses: got %q, want closed", gateNames[i], gateNames[j], a.reason())
			}
			g.probes[j].says = nil
		}
		g.settled()
	}
}

// sameSwitch reports whether one setting switches both gates off.
func sameSwitch(i, j int) bool {
	account := 1<<rateAccount | 1<<inFlightAccount | 1<<lease
	address := 1<<rateIP | 1<<inFlightIP
	return i == j || account>>i&1 == 1 && account>>j&1 == 1 || address>>i&1 == 1 && address>>j&1 == 1
}

func TestVerdictThatWouldRefuseIsToldAndCounted(t *testing.T) {
	g, l := watchedRig(t, nil)
	g.probes[ladder].says = func(context.Context, *gate.Facts) gate.Verdict {
		return gate.Verdict{Reason: gate.Admitted, Would: gate.Banned}
	}
	if a := g.send(buy); a.reason() != "admitted" {
		t.Errorf("got %q, want admitted", a.reason())
	}
	l.want(t, "would", "c:alice 0 phone admitted would=banned won=true")
	g.settled()
}

func TestWatcherThatPanicsHarmsNobody(t *testing.T) {
	g, l := watchedRig(t, nil)
	l.fail = true
	if a := g.send(buy); a.reason() != "admitted" {
		t.Errorf("got %q, want admitted", a.reason())
	}
	g.settled()
}
