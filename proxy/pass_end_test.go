package proxy

// To whom a pass is repeated, and that none outlives its unit.

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

const declines = "HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\nno"

// token is that of a pass, or none.
func (g *rig) token(pass string) gate.Token {
	k, _ := g.proxy.passes.read(g.proxy.current.Load(), []byte(pass), time.Now())
	return k.token
}

// orders places the order of the unit that this pass is for.
func (g *rig) orders(pass string, shown string) *answered {
	k := g.token(pass)
	g.probes[stock].says = func(context.Context, *gate.Facts) gate.Verdict {
		return gate.Verdict{Reason: gate.Admitted, Token: k}
	}
	defer func() { g.probes[stock].says = nil }()
	return g.send(strings.Replace(order, "customer=alice", "customer=alice; penstock_pass="+shown, 1))
}

// TestWhomAPassIsRepeatedTo: a customer's number in a cookie proves nobody.
func TestWhomAPassIsRepeatedTo(t *testing.T) {
	const query = "GET /buy.php?who=alice HTTP/1.1\r\nHost: shop.example\r\n"
	for name, c := range map[string]struct {
		source      rules.Source
		lines       string
		first, then string
		want        bool
	}{
		"cookie, same address":          {rules.Source{Kind: rules.FromCookie, Name: "customer"}, "Cookie: customer=alice", "192.0.2.1", "192.0.2.1", true},
		"cookie, another address":       {rules.Source{Kind: rules.FromCookie, Name: "customer"}, "Cookie: customer=alice", "192.0.2.1", "192.0.2.2", false},
		"cookie, same subscriber":       {rules.Source{Kind: rules.FromCookie, Name: "customer"}, "Cookie: customer=alice", "2001:db8::1", "2001:db8::2", true},
		"cookie, another subscriber":    {rules.Source{Kind: rules.FromCookie, Name: "customer"}, "Cookie: customer=alice", "2001:db8::1", "2001:db8:0:1::1", false},
		"header, another address":       {rules.Source{Kind: rules.FromHeader, Name: "X-Account"}, "X-Account: alice", "192.0.2.1", "192.0.2.2", true},
		"query, same address":           {rules.Source{Kind: rules.FromQuery, Name: "who"}, "", "192.0.2.1", "192.0.2.1", false},
		"visitor, from another address": {rules.Source{Kind: rules.FromVisitor}, "Cookie: VISITOR", "192.0.2.1", "192.0.2.2", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newPassRig(t, func(set *rules.Set) {
				set.TrustedProxies = append([]netip.Prefix{}, loopback...)
				set.Sales[0].Account = []rules.Source{c.source}
				set.Sales[0].Match.Methods = []string{"GET"}
				set.Sales[0].Stock.Quantity = nil
			})
			_, visitor := g.proxy.secret.newVisitor()
			lines := strings.Replace(c.lines, "VISITOR", visitorCookie+"="+visitor, 1)
			if lines != "" {
				lines += "\r\n"
			}
			from := func(ip string) string { return query + lines + "X-Forwarded-For: " + ip + "\r\n\r\n" }
			pass, _ := passOf(t, g.send(from(c.first)))
			if pass == "" {
				t.Fatal("the winner got none")
			}
			g.probes[soldOut].says = refusing(gate.AlreadyBought)
			again, _ := passOf(t, g.send(from(c.then)))
			if (again == pass) != c.want || !c.want && again != "" {
				t.Errorf("got %q, the first was %q, want it repeated: %v", again, pass, c.want)
			}
		})
	}
}

// TestPassEndsWithItsUnit: what was free again is nobody's priority, nor repeated.
func TestPassEndsWithItsUnit(t *testing.T) {
	g := newPassRig(t, inSteps)
	pass := g.won()
	if got := g.browses("/browse", withPass(pass)); got != rules.Checkout {
		t.Fatalf("before: %v, want checkout", got)
	}
	g.shop.saysRaw(declines)
	g.orders(pass, "")
	if got := g.browses("/browse", withPass(pass)); got != rules.Browse {
		t.Errorf("the unit is free again, its pass still makes %v", got)
	}
	g.probes[stock].says = refusing(gate.OrderPending)
	if again, _ := passOf(t, g.send(buy)); again != "" {
		t.Errorf("it was repeated: %q", again)
	}
	g.probes[stock].says = nil
	g.shop.saysRaw(sold)
	if next := g.won(); g.browses("/browse", withPass(next)) != rules.Checkout {
		t.Error("the next unit's pass is void")
	}
}

// TestPassEndsWithALateAnswer: the answer that gave up was told in doubt, with a pass.
func TestPassEndsWithALateAnswer(t *testing.T) {
	g := newPassRig(t, func(set *rules.Set) { set.Origin.ResponseTimeout = 50 * time.Millisecond })
	g.proxy.current.Load().set.Origin.ResponseTimeout = time.Minute // patience of the late wait only
	answer := make(chan struct{})
	g.shop.says(func(string) []byte { <-answer; return []byte(declines) })
	a := g.send(buy)
	pass, _ := passOf(t, a)
	if a.reason() != "origin_timeout" || g.token(pass) == (gate.Token{}) {
		t.Fatalf("got %s with %q, want origin_timeout with a pass", a.reason(), pass)
	}
	close(answer)
	g.proxy.late.Wait()
	if g.token(pass) != (gate.Token{}) {
		t.Error("the unit went back, its pass is still good")
	}
}

// TestPassesOfTwoUnits: the one that goes back takes no other pass with it.
func TestPassesOfTwoUnits(t *testing.T) {
	for name, c := range map[string]struct {
		declined, shown int
		cookie          int // the pass that the answer sets; -1: none, and takes none
	}{
		"the newer, shown":         {1, 1, 0},
		"the older, shown":         {0, 0, 1},
		"the older, newer shown":   {0, 1, -1},
		"the newer, the other one": {1, 0, -1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newPassRig(t, func(s *rules.Set) { inSteps(s); s.Sales[0].Stock.PerAccount = 2 })
			passes := []string{g.won(), g.won()}
			if passes[0] == passes[1] {
				t.Fatal("two units have the same pass")
			}
			g.shop.saysRaw(declines)
			pass, cookie := passOf(t, g.orders(passes[c.declined], passes[c.shown]))
			if c.cookie < 0 && cookie != "" || c.cookie >= 0 && pass != passes[c.cookie] {
				t.Errorf("the answer sets %q", cookie)
			}
			kept := passes[1-c.declined]
			if got := g.browses("/browse", withPass(kept)); got != rules.Checkout {
				t.Errorf("the pass of the unit that is kept makes %v", got)
			}
			if got := g.browses("/browse", withPass(passes[c.declined])); got != rules.Browse {
				t.Errorf("the pass of the unit that went back makes %v", got)
			}
			g.probes[stock].says = refusing(gate.OrderPending)
			if again, _ := passOf(t, g.send(buy)); again != kept {
				t.Errorf("repeated is %q, want %q", again, kept)
			}
		})
	}
}
