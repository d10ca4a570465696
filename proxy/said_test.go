package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"penstock/proxy/gate"
	"penstock/rules"
)

// termed is a rig whose sale asks for a level by header, and for a claim of a token.
func termed(t testing.TB, trusted bool, more func(*rules.Set)) *rig {
	return newRig(t, func(s *rules.Set) {
		if trusted {
			s.TrustedProxies = loopback
		}
		s.Sales[0].Require = rules.Require{Enforce: true, Terms: []rules.Term{
			{Name: "list", Must: rules.Unlisted, From: rules.Attribute{Kind: rules.InList, List: &rules.List{}}},
			{Name: "level", Must: rules.AtLeast, Least: 3, From: rules.Attribute{Kind: rules.SaidByHeader, Name: "X-Level"}},
			{Name: "since", Must: rules.OlderThan, From: rules.Attribute{Kind: rules.SaidByJWT, JWT: &rules.JWT{
				Header: "X-Token", Claim: "since", Keys: []rules.JWTKey{{Alg: "HS256", Key: termsKey}}}}},
		}}
		if more != nil {
			more(s)
		}
	})
}

var termsKey = []byte("a secret of at least thirty-two bytes")

// termsToken is good for an hour from now.
func termsToken(t *testing.T, since any) string {
	return signed(t, jwt.SigningMethodHS256, termsKey, "", jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "since": since})
}

// buying is a request with more header lines.
func buying(lines ...string) string {
	return crlf(append([]string{"POST /buy.php HTTP/1.1", "Host: shop", "Cookie: customer=alice", "Content-Length: 0"}, lines...)...)
}

// ear keeps what a gate was told: the facts of a probe do not last that long.
type ear struct {
	mu   sync.Mutex
	said *[rules.MostTerms]string
}

// listen puts an ear on the eligible gate.
func (g *rig) listen() *ear {
	e := &ear{}
	g.probes[eligible].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.said = nil
		if f.Said != nil {
			said := *f.Said
			for i := range said {
				said[i] = strings.Clone(said[i])
			}
			e.said = &said
		}
		return gate.Admit
	}
	return e
}

func (e *ear) heard() (level, since string, any bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.said == nil {
		return "", "", false
	}
	return e.said[1], e.said[2], true
}

// heard is what the eligible gate was told: the values, and whether there were any.
func (g *rig) heard(raw string) (level, since, reason string, any bool) {
	g.t.Helper()
	e := g.listen()
	reason = g.send(raw).reason()
	level, since, any = e.heard()
	return level, since, reason, any
}

func TestSaid(t *testing.T) {
	good := "X-Token: " + termsToken(t, 1700000000)
	forged := "X-Token: " + signed(t, jwt.SigningMethodHS256, []byte("another secret of more than 32 bytes"), "",
		jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "since": 1})
	cases := []struct {
		name          string
		lines         []string
		level, since  string
		reason        string // of a trusted proxy
		fromUntrusted string // "": the same
	}{
		{"nothing", nil, "", "", "admitted", ""},
		{"a line", []string{"X-Level: 5"}, "5", "", "admitted", ""},
		{"in any case", []string{"x-LEVEL:  5 "}, "5", "", "admitted", ""},
		{"empty", []string{"X-Level:"}, "", "", "admitted", ""},
		{"twice", []string{"X-Level: 5", "X-Level: 5"}, "", "", "bad_request", "admitted"},
		{"a client's own spelling", []string{"X_Level: 5"}, "", "", "admitted", ""},
		{"both spellings", []string{"X-Level: 1", "X_Level: 5"}, "", "", "bad_request", "admitted"},
		{"a token", []string{good}, "", "1700000000", "admitted", ""},
		{"both", []string{good, "X-Level: 5"}, "5", "1700000000", "admitted", ""},
		{"a forged token", []string{forged}, "", "", "bad_request", ""},
		{"two tokens", []string{good, good}, "", "", "bad_request", ""},
		{"no token", []string{"X-Token: junk"}, "", "", "bad_request", ""},
	}
	for _, trusted := range []bool{true, false} {
		g := termed(t, trusted, nil)
		for _, c := range cases {
			wantLevel, wantReason := c.level, c.reason
			if !trusted {
				wantLevel = ""
				if c.fromUntrusted != "" {
					wantReason = c.fromUntrusted
				}
			}
			level, since, reason, _ := g.heard(buying(c.lines...))
			if level != wantLevel || since != c.since || reason != wantReason {
				t.Errorf("%s, trusted %v: got level %q, since %q, %s; want %q, %q, %s", c.name, trusted, level, since, reason, wantLevel, c.since, wantReason)
			}
		}
		g.settled()
	}
}

func TestNothingIsSaidToSalesThatDoNotAsk(t *testing.T) {
	g := termed(t, true, func(s *rules.Set) { s.Sales[0].Require.Terms = s.Sales[0].Require.Terms[:1] })
	if _, _, reason, any := g.heard(buying("X-Level: 5", "X-Level: 5")); any || reason != "admitted" {
		t.Errorf("got %s, said: %v; want admitted and nothing", reason, any)
	}
}

// TestTermsThatWatchRefuseNobody: not for what cannot be read, either.
func TestTermsThatWatchRefuseNobody(t *testing.T) {
	g := termed(t, true, func(s *rules.Set) { s.Sales[0].Require.Enforce = false })
	if level, since, reason, _ := g.heard(buying("X-Level: 5", "X-Level: 5")); level != "" || since != "" || reason != "admitted" {
		t.Errorf("twice: got %q, %q, %s; want nothing and admitted", level, since, reason)
	}
	if level, _, reason, _ := g.heard(buying("X-Level: 5", "X-Token: junk")); level != "" || reason != "admitted" {
		t.Errorf("a bad token: got %q, %s; want nothing and admitted", level, reason)
	}
	g.settled()
	observed := termed(t, true, func(s *rules.Set) { s.Sales[0].Enforce = false })
	if _, _, reason, _ := observed.heard(buying("X-Token: junk")); reason != "admitted" {
		t.Errorf("a sale that observes: got %s, want admitted", reason)
	}
	observed.settled()
}

// TestTermsOfOthersDoNotReachTheShop: it may believe them.
func TestTermsOfOthersDoNotReachTheShop(t *testing.T) {
	for _, c := range []struct {
		trusted bool
		line    string
		arrives bool
	}{
		{true, "X-Level: 5", true}, {true, "X_Level: 5", false}, {false, "X-Level: 5", false},
		{false, "x_level: 5", false}, {false, "X-Levels: 5", true},
	} {
		g := termed(t, c.trusted, nil)
		for _, raw := range []string{buying(c.line), crlf("GET / HTTP/1.1", "Host: shop", c.line)} {
			g.send(raw)
			if got := <-g.shop.arrived; strings.Contains(strings.ToLower(got), "level") != c.arrives {
				t.Errorf("%q, trusted %v: the shop got\n%s, want the line in it: %v", c.line, c.trusted, got, c.arrives)
			}
		}
	}
}

// TestWhatWasSaidDoesNotReachTheNext: requests share memory.
func TestWhatWasSaidDoesNotReachTheNext(t *testing.T) {
	g := termed(t, true, nil)
	e := g.listen()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for i := range 60 {
		want := strings.Repeat(fmt.Sprint(i%10), 1+i%7)
		line := "X-Level: " + want
		if i%3 == 2 {
			line, want = "X-Other: 9", ""
		}
		fmt.Fprint(c, buying(line))
		read(t, br, false)
		if got, _, _ := e.heard(); got != want {
			t.Fatalf("request %d: got %q, want %q", i, got, want)
		}
	}
}

func TestClaimsAsText(t *testing.T) {
	rule := &rules.JWT{Header: "X-Token", Claim: "since", Keys: []rules.JWTKey{{Alg: "HS256", Key: termsKey}}}
	for _, c := range []struct {
		claim any
		want  string
	}{
		{nil, ""}, {"", ""}, {"gold", "gold"}, {"a \"b\"", "a \"b\""}, {true, "true"}, {false, "false"},
		{5, "5"}, {0, "0"}, {1764288000, "1764288000"}, {9007199254740993, "9007199254740993"}, {1.5, "1.5"}, {-1, "-1"},
		{[]string{"gold"}, `["gold"]`}, {map[string]any{"a": 1}, `{"a":1}`}, {[]string{}, "[]"},
	} {
		h := headed(t, "X-Token: "+termsToken(t, c.claim))
		j := newJWTs()
		for range 2 { // the second time from memory
			if got, f := j.said(h, rule, time.Now()); got != c.want || f != "" {
				t.Errorf("%v: got %q, %q; want %q", c.claim, got, f, c.want)
			}
		}
	}
}

// TestClaimsAreRememberedApart: one token, asked by several rules, and by one rule for two
// purposes.
func TestClaimsAreRememberedApart(t *testing.T) {
	keys := []rules.JWTKey{{Alg: "HS256", Key: termsKey}}
	rule := func(claim string) *rules.JWT { return &rules.JWT{Header: "X-Token", Claim: claim, Keys: keys} }
	who, level, none := rule("sub"), rule("level"), rule("missing")
	h := headed(t, "X-Token: "+signed(t, jwt.SigningMethodHS256, termsKey, "", claims(jwt.MapClaims{"level": 7})))
	j := newJWTs()
	for range 3 {
		for _, c := range []struct {
			rule    *rules.JWT
			ask     func(*head, *rules.JWT, time.Time) (string, fault)
			want    string
			refused bool
		}{
			{who, j.account, "alice", false}, {level, j.said, "7", false}, {none, j.said, "", false}, {who, j.said, "alice", false},
			{level, j.account, "", true}, {none, j.account, "", true},
		} {
			if got, f := c.ask(h, c.rule, noon); got != c.want || (f != "") != c.refused {
				t.Errorf("claim %s: got %q, %q; want %q, refused %v", c.rule.Claim, got, f, c.want, c.refused)
			}
		}
	}
	if got, f := j.said(h, level, noon.Add(2*time.Hour)); got != "" || f == "" {
		t.Errorf("run out: got %q, %q; want a fault", got, f)
	}
}

// BenchmarkSaid is what the head's terms cost each request of their sale.
func BenchmarkSaid(b *testing.B) {
	for _, name := range []string{"none", "header", "token"} {
		b.Run(name, func(b *testing.B) {
			terms := map[string][]rules.Term{
				"none":   {{From: rules.Attribute{Kind: rules.InList}}},
				"header": {{From: rules.Attribute{Kind: rules.SaidByHeader, Name: "X-Level"}}},
				"token": {{From: rules.Attribute{Kind: rules.SaidByJWT, JWT: &rules.JWT{
					Header: "X-Token", Claim: "level", Keys: []rules.JWTKey{{Alg: "HS256", Key: termsKey}}}}}},
			}[name]
			token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "level": 7}).SignedString(termsKey)
			if err != nil {
				b.Fatal(err)
			}
			p := &Proxy{jwts: newJWTs()}
			r := &request{trusted: true, head: *headed(b, "Host: shop", "Accept: text/html", "Cookie: customer=alice", "X-Level: 5", "X-Token: "+token)}
			r.facts.At = time.Now()
			s := &rules.Sale{Require: rules.Require{Terms: terms, Enforce: true}}
			b.ReportAllocs()
			for b.Loop() {
				if f := p.said(r, s); f != "" {
					b.Fatal(f)
				}
			}
		})
	}
}
