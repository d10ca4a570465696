package proxy

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// headed is a head of these header lines.
func headed(t testing.TB, lines ...string) *head {
	t.Helper()
	h := new(head)
	if _, f := h.scanFields([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n")); f != "" {
		t.Fatalf("headers %q: %s", lines, f)
	}
	return h
}

var (
	proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	inner   = netip.MustParseAddr("10.0.0.1")
	outer   = netip.MustParseAddr("192.0.2.9")
)

func TestClientAddr(t *testing.T) {
	const xff = "X-Forwarded-For: "
	cases := []struct {
		name   string
		header string // "": X-Forwarded-For
		peer   netip.Addr
		lines  []string
		want   string
	}{
		{"no header", "", inner, nil, "10.0.0.1"},
		{"untrusted peer", "", outer, []string{xff + "1.1.1.1"}, "192.0.2.9"},
		{"one hop", "", inner, []string{xff + "1.1.1.1"}, "1.1.1.1"},
		{"rightmost untrusted", "", inner, []string{xff + "6.6.6.6, 1.1.1.1, 10.9.9.9"}, "1.1.1.1"},
		{"several lines", "", inner, []string{xff + "6.6.6.6", xff + "1.1.1.1", xff + "10.9.9.9,10.8.8.8"}, "1.1.1.1"},
		{"all trusted", "", inner, []string{xff + "10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"IPv6", "", inner, []string{xff + "2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets with port", "", inner, []string{xff + "[2001:db8::1]:443"}, "2001:db8::1"},
		{"zone", "", inner, []string{xff + "fe80::1%eth0"}, "fe80::1"},
		{"port", "", inner, []string{xff + "1.1.1.1:80"}, "1.1.1.1"},
		{"quotes", "", inner, []string{xff + `"1.1.1.1"`}, "1.1.1.1"},
		{"4 in 6", "", inner, []string{xff + "::ffff:1.1.1.1"}, "1.1.1.1"},
		{"4 in 6 is trusted", "", inner, []string{xff + "1.1.1.1, ::ffff:10.2.2.2"}, "1.1.1.1"},
		{"IPv6 proxy", "", netip.MustParseAddr("fd00::1"), []string{xff + "1.1.1.1, fd00::2"}, "1.1.1.1"},
		{"junk ends the walk", "", inner, []string{xff + "1.1.1.1, unknown, 10.2.2.2"}, "10.2.2.2"},
		{"empty element", "", inner, []string{xff + "1.1.1.1,,10.2.2.2"}, "10.2.2.2"},
		{"empty", "", inner, []string{xff}, "10.0.0.1"},
		{"blanks", "", inner, []string{xff + " 1.1.1.1\t, 10.2.2.2 "}, "1.1.1.1"},
		{"name in any case", "", inner, []string{"x-FORWARDED-for: 1.1.1.1"}, "1.1.1.1"},
		{"a client's own spelling", "", inner, []string{xff + "1.1.1.1", "X_Forwarded_For: 6.6.6.6"}, "1.1.1.1"},
		{"another header", "CF-Connecting-IP", inner, []string{xff + "6.6.6.6", "CF-Connecting-IP: 1.1.1.1"}, "1.1.1.1"},
		{"only the other header", "CF-Connecting-IP", inner, []string{xff + "6.6.6.6"}, "10.0.0.1"},
	}
	for _, c := range cases {
		set := &rules.Set{TrustedProxies: proxies, ClientIPHeader: c.header}
		if c.header == "" {
			set.ClientIPHeader = "X-Forwarded-For"
		}
		if got, _ := clientAddr(set, headed(t, c.lines...), c.peer); got.String() != c.want {
			t.Errorf("%s: %q from %s: got %s, want %s", c.name, c.lines, c.peer, got, c.want)
		}
	}
}

// FuzzClientAddr: whatever a client sends, in as many lines and spellings as it likes,
// the address is what the first trusted proxy saw of it.
func FuzzClientAddr(f *testing.F) {
	f.Add("X-Forwarded-For", "6.6.6.6", "6.6.6.6, ::1", true)
	f.Add("X_Forwarded-For", "10.1.1.1", "[::1]:1,", false)
	f.Add("x-forwarded-for", `"10.1.1.1"`, "fe80::1%a,,", true)
	f.Fuzz(func(t *testing.T, name, sent, more string, before bool) {
		set := &rules.Set{TrustedProxies: proxies, ClientIPHeader: "X-Forwarded-For"}
		if strings.ContainsAny(name+sent+more, "\r\n") {
			return // the lines are ours to make
		}
		h := new(head)
		if _, f := h.scanFields([]byte(name + ": " + sent + "\r\nX-Forwarded-For: " + more + "\r\n\r\n")); f != "" {
			return
		}
		if ip, trusted := clientAddr(set, h, outer); ip != outer || trusted {
			t.Errorf("straight from %s with %q: got %s", outer, sent, ip)
		}
		// A proxy adds what it saw at the end: to the last line, or as a line of its own
		// before or after those it passes on under other names.
		own := "X-Forwarded-For: " + more + ", 192.0.2.9, 10.2.2.2"
		lines := name + ": " + sent + "\r\n" + own
		if before && !strings.EqualFold(name, "X-Forwarded-For") {
			lines = own + "\r\n" + name + ": " + sent
		}
		h = new(head)
		if _, f := h.scanFields([]byte(lines + "\r\n\r\n")); f != "" {
			return
		}
		if ip, _ := clientAddr(set, h, inner); ip != outer {
			t.Errorf("%q behind two proxies: got %s, want %s", lines, ip, outer)
		}
	})
}

func TestPeerAddrOfOtherNetworksIsNobody(t *testing.T) {
	if ip := peerAddr(unixAddr{}); ip.IsValid() {
		t.Errorf("got %s, want no address", ip)
	}
}

type unixAddr struct{}

func (unixAddr) Network() string { return "unix" }
func (unixAddr) String() string  { return "@" }

func TestCookie(t *testing.T) {
	const twice = "the account's cookie is there twice"
	cases := []struct {
		lines []string
		want  string
		fault fault
	}{
		{nil, "", ""},
		{[]string{"Cookie: a=1"}, "", ""},
		{[]string{"Cookie: a=1; customer=bob; z=2"}, "bob", ""},
		{[]string{`Cookie: customer="bob"`}, "bob", ""},
		{[]string{"Cookie: customer=b%6fb"}, "bob", ""},
		{[]string{"Cookie: customer=  bob  ;a=1"}, "bob", ""},
		{[]string{"Cookie: customer=%20bob%20"}, "bob", ""},
		{[]string{"Cookie: customer=a+b"}, "a b", ""},
		{[]string{"Cookie: customer=%zz"}, "%zz", ""},
		{[]string{"Cookie: customer="}, "", ""},
		{[]string{"Cookie: customer"}, "", ""},
		{[]string{"Cookie: customer=a=b"}, "a=b", ""},
		{[]string{`Cookie: bad cookie; j={"k": "v;customer"}; customer=bob;;`}, "bob", ""},
		{[]string{`Cookie: bad cookie; j={"k": "v"}; e=;; customer=bob`}, "bob", ""},
		{[]string{"Cookie: xcustomer=1; customerx=2; customer=bob"}, "bob", ""},
		{[]string{"Cookie: customer=a; customer=a"}, "", twice},
		{[]string{"Cookie: customer=a", "Cookie: customer=b"}, "", twice},
		{[]string{"Cookie: customer=a; %63ustomer=b"}, "", twice},
		{[]string{"Cookie: customer =a; customer=b"}, "", twice},
		{[]string{"Cookie: Customer=a; customer=b"}, "", twice},
		{[]string{"Cookie: customer%00x=a; customer=b"}, "", twice},
		{[]string{"Cookie: customer[x]=a"}, "", twice},
		{[]string{"Cookie: customer; customer=b"}, "", twice},
	}
	for _, c := range cases {
		got, f := headed(t, c.lines...).cookie("customer")
		if f != c.fault || f == "" && got != c.want {
			t.Errorf("%q: got %q, %q; want %q, %q", c.lines, got, f, c.want, c.fault)
		}
	}
	for _, line := range []string{"Cookie: my.id=a; my_id=b", "Cookie: my[id=a; my_id=b", "Cookie: my_id=b; my%20id=a"} {
		if _, f := headed(t, line).cookie("my_id"); f != twice {
			t.Errorf("%q: got %q, want %q", line, f, twice)
		}
	}
}

// accountOf is what the rig makes of one request's account.
func (g *rig) accountOf(raw string) (account, reason string) {
	g.probes[schedule].facts = gate.Facts{}
	a := g.send(raw)
	return g.probes[schedule].facts.Account, a.reason()
}

func TestAccountSources(t *testing.T) {
	post := func(target string, lines ...string) string {
		return crlf(append([]string{"POST " + target + " HTTP/1.1", "Host: shop", "Content-Length: 0"}, lines...)...)
	}
	cases := []struct{ name, raw, trusted, untrusted string }{
		{"header first", post("/buy.php?user=q", "X-Account: h", "Cookie: customer=c"), "h:h", "c:c"},
		{"header in any case", post("/buy.php", "x-ACCOUNT: h"), "h:h", "no_account"},
		{"a client's own spelling", post("/buy.php", "X_Account: h"), "no_account", "no_account"},
		{"header twice", post("/buy.php", "X-Account: h", "X-Account: i"), "bad_request", "no_account"},
		{"both spellings", post("/buy.php", "X-Account: h", "X_Account: i"), "bad_request", "no_account"},
		{"empty header", post("/buy.php", "X-Account:", "Cookie: customer=c"), "c:c", "c:c"},
		{"cookie before query", post("/buy.php?user=q", "Cookie: customer=c"), "c:c", "c:c"},
		{"query", post("/buy.php?user=q%41"), "q:qA", "q:qA"},
		{"query twice", post("/buy.php?user=q&user=q"), "bad_request", "bad_request"},
		{"query as a list", post("/buy.php?user[]=q"), "bad_request", "bad_request"},
		{"query in capitals too", post("/buy.php?user=q&USER=r"), "bad_request", "bad_request"},
		{"none", post("/buy.php"), "no_account", "no_account"},
		{"too long", post("/buy.php?user=" + strings.Repeat("x", maxAccount+1)), "bad_request", "bad_request"},
		{"long", post("/buy.php?user=" + strings.Repeat("x", maxAccount)), "q:" + strings.Repeat("x", maxAccount), "q:" + strings.Repeat("x", maxAccount)},
	}
	for _, trusted := range []bool{true, false} {
		g := newRig(t, func(s *rules.Set) {
			s.Sales[0].Account = []rules.Source{
				{Kind: rules.FromHeader, Name: "X-Account"}, {Kind: rules.FromCookie, Name: "customer"}, {Kind: rules.FromQuery, Name: "user"},
			}
			if trusted {
				s.TrustedProxies = loopback
			}
		})
		for _, c := range cases {
			want := c.untrusted
			if trusted {
				want = c.trusted
			}
			account, reason := g.accountOf(c.raw)
			if account != want && reason != want {
				t.Errorf("%s, trusted %v: got %q, %s; want %q", c.name, trusted, account, reason, want)
			}
		}
		g.settled()
	}
}

func TestAccountInQueryAndBodyIsRefused(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		s.Sales[0].Account = []rules.Source{{Kind: rules.FromQuery, Name: "user"}}
	})
	for body, want := range map[string]string{"qty=1": "admitted", "qty=1&user=mallory": "bad_request", "us%65r[]=x": "bad_request"} {
		_, reason := g.accountOf(crlf("POST /buy.php?user=alice HTTP/1.1", "Host: shop", "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(body))) + body)
		if reason != want {
			t.Errorf("user=alice in the query, %q in the body: got %s, want %s", body, reason, want)
		}
	}
	g.settled()
}

func TestAliasesOfBelievedHeadersEndHere(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.TrustedProxies = loopback })
	g.send(crlf("GET / HTTP/1.1", "Host: shop", "X-Forwarded-For: 7.7.7.7", "X_Forwarded_For: 6.6.6.6", "X_Account: bob", "X_Real_IP: 6.6.6.6", "X_Forwarded_Proto: https", "X-Original-URL: /buy.php", "X-Rewrite-URL: /buy.php"))
	got := varying.ReplaceAllString(<-g.shop.arrived, "$1: …")
	want := crlf("GET / HTTP/1.1", "Host: shop", "X-Forwarded-For: 7.7.7.7, 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop", "X-Request-Id: …")
	if got != want {
		t.Errorf("the shop got\n%q, want\n%q", got, want)
	}
}

func TestVisitor(t *testing.T) {
	ask := func(g *rig, cookie string) (account, given string) {
		g.probes[schedule].facts = gate.Facts{}
		a := g.send(crlf("POST /buy.php HTTP/1.1", "Host: shop", "Content-Length: 0", "Cookie: "+cookie))
		if n := len(a.Header["Set-Cookie"]); n > 1 {
			t.Errorf("cookie %q: %d cookies were set", cookie, n)
		}
		given, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Set-Cookie"), visitorCookie+"="), ";")
		return g.probes[schedule].facts.Account, given
	}
	g := newRig(t, nil)
	g.probes[stock].says = refusing(gate.SoldOut) // or each wins, and gets a pass beside it
	account, given := ask(g, "")
	if !strings.HasPrefix(account, "v:") || given == "" || !strings.HasPrefix(given, account[2:]+".") {
		t.Fatalf("a newcomer is %q and was given %q, want a cookie that names it", account, given)
	}
	if again, more := ask(g, visitorCookie+"="+given); again != account || more != "" {
		t.Errorf("it came back as %q and was given %q, want %q and nothing", again, more, account)
	}
	flipped := []byte(given)
	flipped[3] ^= 1
	other, _ := secret("another secret of thirty-two bytes").newVisitor()
	_, foreign := secret("another secret of thirty-two bytes").newVisitor()
	for name, forged := range map[string]string{
		"tampered": string(flipped), "another's MAC": other + given[22:], "another secret": foreign,
		"no MAC": given[:22], "empty MAC": given[:23], "longer": given + "A", "junk": "x",
	} {
		if got, more := ask(g, visitorCookie+"="+forged); got == account || strings.HasPrefix("v:"+forged, got) || more == "" {
			t.Errorf("%s: %q came in as %q and was given %q, want a newcomer's name and cookie", name, forged, got, more)
		}
	}
	g.probes[schedule].says = refusing(gate.NotOpen)
	if _, given := ask(g, ""); given == "" {
		t.Error("a refused newcomer was given no cookie")
	}
	g.settled()
}

func TestAccountsOfOneRequestDoNotReachTheNext(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Sales[0].Account = s.Sales[0].Account[1:2] })
	c := g.dial()
	for i := range 50 {
		name := strings.Repeat(string(rune('a'+i%26)), 1+i%7)
		fmt.Fprint(c, strings.Replace(buy, "alice", name, 1))
		read(t, bufio.NewReader(c), false)
		if got := g.probes[start].facts.Account; got != "c:"+name {
			t.Fatalf("request %d: got account %q, want c:%s", i, got, name)
		}
	}
	if g.probes[start].facts.At.IsZero() || time.Since(g.probes[start].facts.At) > time.Minute {
		t.Errorf("arrival at %v, want just now", g.probes[start].facts.At)
	}
}
