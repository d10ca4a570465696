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

const sold = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"

// newPassRig is a rig with routes of every priority beside the sale.
func newPassRig(t testing.TB, change func(*rules.Set)) *rig {
	return newRig(t, func(set *rules.Set) {
		for p := rules.Checkout; p < rules.Priorities; p++ {
			set.Routes = append(set.Routes, &rules.Route{Name: p.String(), Priority: p, Match: rules.Match{Path: "/" + p.String()}})
		}
		if change != nil {
			change(set)
		}
	})
}

func inSteps(set *rules.Set) {
	s := set.Sales[0]
	s.Order = &rules.OrderStep{Match: rules.Match{Methods: []string{"POST"}, Path: "/checkout/place"}}
	s.Stock.ReserveFor = time.Hour
}

// passOf is the pass that an answer carries, the same as a cookie and as a header; "" if
// none. cookie is its Set-Cookie line.
func passOf(t testing.TB, a *answered) (pass, cookie string) {
	t.Helper()
	for _, line := range a.Header["Set-Cookie"] {
		if value, ok := strings.CutPrefix(line, "penstock_pass="); ok {
			pass, _, _ = strings.Cut(value, ";")
			cookie = line
		}
	}
	if h := a.Header.Get("Penstock-Pass"); h != pass {
		t.Errorf("the cookie says %q, the header %q", pass, h)
	}
	return pass, cookie
}

// won is a pass that was just given.
func (g *rig) won() string {
	g.t.Helper()
	pass, _ := passOf(g.t, g.send(buy))
	if pass == "" {
		g.t.Fatal("the winner got no pass")
	}
	return pass
}

// browses asks for a page with these header lines, and returns the priority it had.
func (g *rig) browses(path string, lines ...string) rules.Priority {
	g.t.Helper()
	g.send("GET " + path + " HTTP/1.1\r\nHost: shop.example\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n")
	g.probes[place].mu.Lock()
	defer g.probes[place].mu.Unlock()
	return g.probes[place].facts.Priority
}

func withPass(pass string) string { return "Cookie: a=b; penstock_pass=" + pass + "; c=d" }

func TestWhoGetsAPass(t *testing.T) {
	const none, after, kept = time.Duration(0), passAfterOrder, time.Hour
	lost := func(g *rig) { g.shop.saysRaw("") }
	says := func(answer string) func(*rig) { return func(g *rig) { g.shop.saysRaw(answer) } }
	finds := func(answer string) func(*rig) {
		return func(g *rig) {
			g.shop.saysRaw(answer)
			g.probes[stock].says = func(context.Context, *gate.Facts) gate.Verdict {
				return gate.Verdict{Reason: gate.Admitted, Token: reserved}
			}
		}
	}
	stops := func(i int, r gate.Reason) func(*rig) { return func(g *rig) { g.probes[i].says = refusing(r) } }
	const declined = "HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\nno"
	const unclear = "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno"
	for name, c := range map[string]struct {
		rules   func(*rules.Set)
		setUp   func(*rig)
		request string
		want    time.Duration
	}{
		"sold":                        {nil, says(sold), buy, after},
		"given back":                  {nil, says(declined), buy, none},
		"nobody knows":                {nil, says(unclear), buy, after},
		"no answer":                   {nil, lost, buy, after},
		"sold out":                    {nil, stops(stock, gate.SoldOut), buy, none},
		"no slot":                     {nil, stops(slot, gate.Overloaded), buy, none},
		"not started":                 {nil, stops(start, gate.ReservationExpired), buy, none},
		"bought before, not from us":  {nil, stops(soldOut, gate.AlreadyBought), buy, none},
		"pending, not from us":        {nil, stops(stock, gate.OrderPending), buy, none},
		"a page":                      {nil, says(sold), "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", none},
		"observed":                    {func(s *rules.Set) { s.Sales[0].Enforce = false }, says(sold), buy, none},
		"without stock":               {func(s *rules.Set) { s.Sales[0].Stock = nil }, says(sold), buy, none},
		"an item that is not sold":    {func(s *rules.Set) { s.Sales[0].Stock.Items = map[string]int{"red": 1} }, says(sold), buy, none},
		"cart filled":                 {inSteps, says("HTTP/1.1 303 See Other\r\nContent-Length: 0\r\n\r\n"), buy, kept},
		"cart filled, unclear":        {inSteps, says(unclear), buy, kept},
		"cart not filled":             {inSteps, says(declined), buy, none},
		"ordered":                     {inSteps, finds(sold), order, after},
		"ordered, unclear":            {inSteps, finds(unclear), order, after},
		"order declined":              {inSteps, finds(declined), order, none},
		"ordered without reservation": {inSteps, says(sold), order, none},
	} {
		t.Run(name, func(t *testing.T) {
			g := newPassRig(t, c.rules)
			c.setUp(g)
			before := time.Now().Add(c.want).Unix()
			pass, cookie := passOf(t, g.send(c.request))
			if c.want == none {
				if cookie != "" {
					t.Errorf("got %q, want no pass", cookie)
				}
				return
			}
			k, sale := g.proxy.passes.read(g.proxy.current.Load(), []byte(pass), time.Now())
			if sale == nil || k.until < before || k.until > time.Now().Add(c.want).Unix() {
				t.Fatalf("got %q until %d, want one of the sale until %d", cookie, k.until, before)
			}
			if k.token == (gate.Token{}) || k.bearer != g.proxy.passes.bearer("phone", "c:alice") {
				t.Errorf("it holds %+v", k)
			}
			if !strings.Contains(cookie, "; Path=/; Max-Age=") || !strings.HasSuffix(cookie, "; HttpOnly; SameSite=Lax") || strings.Contains(cookie, "alice") {
				t.Errorf("Set-Cookie is %q", cookie)
			}
			g.settled()
		})
	}
}

// TestPassOverTLS: a hop that is trusted says so; whoever else says so is not believed.
func TestPassOverTLS(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		g := newPassRig(t, func(set *rules.Set) {
			if trusted {
				set.TrustedProxies = loopback
			}
		})
		_, cookie := passOf(t, g.send(strings.Replace(buy, "\r\n", "\r\nX-Forwarded-Proto: https\r\n", 1)))
		if got := strings.HasSuffix(cookie, "; HttpOnly; Secure; SameSite=None"); got != trusted {
			t.Errorf("trusted %v: Set-Cookie is %q", trusted, cookie)
		}
	}
}

func TestPassRaises(t *testing.T) {
	g := newPassRig(t, nil)
	pass := g.won()
	for p := rules.Checkout; p < rules.Priorities; p++ {
		want := rules.Checkout
		if p == rules.Static {
			want = rules.Static
		}
		for _, line := range []string{withPass(pass), "penstock-pass: " + pass} {
			if got := g.browses("/"+p.String(), line); got != want {
				t.Errorf("a %v request with %.20s… is %v, want %v", p, line, got, want)
			}
		}
	}
	if got := g.browses("/", "Cookie: penstock_pass="+pass, "Cookie: penstock_pass="+pass+" ;x=1", "Penstock-Pass: "+pass); got != rules.Checkout {
		t.Errorf("with the same pass three times: %v", got)
	}
	k, _ := g.proxy.passes.read(g.proxy.current.Load(), []byte(pass), time.Now())
	k.until++
	newer := g.proxy.passes.write("phone", k)
	for name, lines := range map[string][]string{
		"a newer cookie and an older header": {withPass(newer), "Penstock-Pass: " + pass},
		"two cookies":                        {withPass(newer), withPass(pass)},
		"a void one before it":               {withPass("x"), "Penstock-Pass: " + pass},
		"a void one behind it":               {withPass(pass), "Penstock-Pass: x"},
		"three":                              {withPass(pass), withPass(newer), "Penstock-Pass: x"},
		"quoted":                             {withPass(`"` + pass + `"`)},
		"quoted and not":                     {withPass(`"` + pass + `"`), withPass(pass), "Penstock-Pass: " + newer},
	} {
		if got := g.browses("/browse", lines...); got != rules.Checkout {
			t.Errorf("%s: %v, want checkout", name, got)
		}
	}
	if n := len(g.proxy.passes.inFlight); n != 0 {
		t.Errorf("%d bearers are still counted", n)
	}
}

func TestVoidPass(t *testing.T) {
	g := newPassRig(t, func(set *rules.Set) {
		other, observed, plain := sale(), sale(), sale()
		other.Name, other.Match.Path = "watch", "/watch.php"
		observed.Name, observed.Match.Path, observed.Enforce = "observed", "/observed.php", false
		plain.Name, plain.Match.Path, plain.Stock = "plain", "/plain.php", nil
		set.Sales = append(set.Sales, other, observed, plain)
	})
	pass := g.won()
	body, _, _ := strings.Cut(pass, ".")
	p := g.proxy.passes
	k, _ := p.read(g.proxy.current.Load(), []byte(pass), time.Now())
	late := k
	late.until = time.Now().Unix() - 1
	visitor, _ := g.proxy.secret.newVisitor()
	cases := map[string]string{
		"empty": withPass(""), "no name": withPass(body + "."), "no dot": withPass(body), "only a name": withPass(".phone"),
		"another sale's":               withPass(body + ".watch"),
		"of a sale not in the file":    withPass(p.write("gone", k)),
		"of a sale that only observes": withPass(p.write("observed", k)),
		"of a sale without stock":      withPass(p.write("plain", k)),
		"signed by another":            withPass(newPasses(make(secret, 32)).write("phone", k)),
		"expired":                      withPass(p.write("phone", late)),
		"a visitor's":                  withPass(visitor),
		"two void ones":                withPass("x") + "\r\nPenstock-Pass: " + p.write("gone", k),
		"behind two void ones":         withPass("x") + "\r\n" + withPass("y") + "\r\nPenstock-Pass: " + pass,
		"half in quotes":               withPass(`"` + pass),
		"quoted twice":                 withPass(`""` + pass + `""`),
		"a quote":                      withPass(`"`),
		"in another cookie's name":     "Cookie: xpenstock_pass=" + pass,
		"in another cookie's value":    "Cookie: a=penstock_pass=" + pass,
		"by another name":              "Cookie: Penstock_pass=" + pass,
		"in a header PHP cannot tell":  "Penstock_Pass: " + pass,
		"longer":                       withPass("A" + pass),
		"padded":                       withPass(body + "=.phone"),
	}
	for i := range pass {
		for _, c := range []byte{'A', '_', pass[i] ^ 1} {
			if c != pass[i] {
				cases[fmt.Sprintf("changed at %d to %q", i, c)] = withPass(pass[:i] + string(rune(c)) + pass[i+1:])
			}
		}
	}
	for name, line := range cases {
		if got := g.browses("/browse", line); got != rules.Browse {
			t.Errorf("%s: the request is %v, want browse", name, got)
		}
	}
	if got := g.browses("/browse", withPass(pass)); got != rules.Checkout {
		t.Errorf("the pass itself: %v", got)
	}
}

// TestPassAtTheGates: at a sale's own gates it counts only for the account and the sale.
func TestPassAtTheGates(t *testing.T) {
	g := newPassRig(t, func(set *rules.Set) {
		other := sale()
		other.Name, other.Match.Path = "watch", "/watch.php"
		set.Sales = append(set.Sales, other)
	})
	pass := g.won()
	for request, want := range map[string]rules.Priority{
		buy:                                     rules.Checkout,
		strings.Replace(buy, "alice", "bob", 1): rules.Order,
		strings.Replace(buy, "/buy.php", "/watch.php", 1):       rules.Order,
		strings.Replace(buy, "customer=alice", "x=y", 1):        rules.Order,
		"GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n":         rules.Checkout,
		"POST /callback HTTP/1.1\r\nHost: shop.example\r\n\r\n": rules.Checkout,
	} {
		g.send(strings.Replace(request, "\r\n", "\r\nPenstock-Pass: "+pass+"\r\n", 1))
		if got := g.probes[place].facts.Priority; got != want {
			t.Errorf("%q is %v, want %v", request, got, want)
		}
	}
}

func TestPassIsBetweenUsAndTheClient(t *testing.T) {
	g := newPassRig(t, nil)
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nSet-Cookie: penstock_pass=theirs\r\nSet-Cookie: =penstock_pass=theirs\r\n" +
		"Set-Cookie: \tpenstock_pass=theirs\r\nset-cookie: shop=1\r\nPenstock-Pass: theirs\r\npenstock-pass: theirs\r\nContent-Length: 2\r\n\r\nok")
	a := g.send(buy)
	if pass, _ := passOf(t, a); pass == "" || pass == "theirs" {
		t.Errorf("the pass is %q", pass)
	}
	if got := a.Header["Set-Cookie"]; len(got) != 2 || got[0] != "shop=1" || len(a.Header["Penstock-Pass"]) != 1 {
		t.Errorf("the client got %q, %q", got, a.Header["Penstock-Pass"])
	}
	<-g.shop.arrived
	pass, _ := passOf(t, a)
	for _, lines := range []string{withPass(pass), "Penstock-Pass: " + pass, "penstock_pass: " + pass, "Cookie: penstock_pass=" + pass, withPass("forged")} {
		a := g.send("GET / HTTP/1.1\r\nHost: shop.example\r\n" + lines + "\r\n\r\n")
		if _, cookie := passOf(t, a); cookie != "" {
			t.Errorf("%.20s…: a page sets %q", lines, cookie)
		}
		if sent := <-g.shop.arrived; strings.Contains(strings.ToLower(sent), "pass") {
			t.Errorf("the shop got %q", sent)
		}
	}
}

// TestPassAgain: who has won and asks again gets the same pass, not a longer one.
func TestPassAgain(t *testing.T) {
	for _, at := range []int{soldOut, stock} {
		for _, reason := range []gate.Reason{gate.AlreadyBought, gate.OrderPending, gate.SoldOut, gate.InFlight} {
			g := newPassRig(t, nil)
			pass := g.won()
			g.probes[at].says = refusing(reason)
			again, _ := passOf(t, g.send(buy))
			if want := reason == gate.AlreadyBought || reason == gate.OrderPending; (again == pass) != want || !want && again != "" {
				t.Errorf("%v: got %q, the first was %q", reason, again, pass)
			}
			if other, _ := passOf(t, g.send(strings.Replace(buy, "alice", "bob", 1))); other != "" {
				t.Errorf("%v: another account got %q", reason, other)
			}
		}
	}
}

func TestPassIsNotRepeatedToAnyoneWhoNamesTheAccount(t *testing.T) {
	g := newPassRig(t, func(set *rules.Set) {
		set.Sales[0].Account = []rules.Source{{Kind: rules.FromQuery, Name: "who"}}
	})
	request := strings.Replace(buy, "/buy.php", "/buy.php?who=alice", 1)
	if pass, _ := passOf(t, g.send(request)); pass == "" {
		t.Error("the winner got none")
	}
	g.probes[soldOut].says = refusing(gate.AlreadyBought)
	if pass, _ := passOf(t, g.send(request)); pass != "" {
		t.Errorf("it was repeated: %q", pass)
	}
}

// TestPassEnds: whose order was declined has no unit any more.
func TestPassEnds(t *testing.T) {
	g := newPassRig(t, inSteps)
	pass := g.won()
	k, _ := g.proxy.passes.read(g.proxy.current.Load(), []byte(pass), time.Now())
	g.shop.saysRaw("HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\nno")
	g.probes[stock].says = func(context.Context, *gate.Facts) gate.Verdict {
		return gate.Verdict{Reason: gate.Admitted, Token: k.token}
	}
	a := g.send(strings.Replace(order, "customer=alice", "customer=alice; penstock_pass="+pass, 1))
	if got := a.Header.Get("Set-Cookie"); got != "penstock_pass=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax" {
		t.Errorf("Set-Cookie is %q", got)
	}
	g.probes[stock].says = refusing(gate.OrderPending)
	if again, _ := passOf(t, g.send(buy)); again != "" {
		t.Errorf("it was repeated: %q", again)
	}
}
