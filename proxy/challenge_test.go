package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/bits"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// riddler is a Challenger in memory that judges as the contract says.
type riddler struct {
	mu      sync.Mutex
	next    gate.Puzzle // what is asked of the next one; its token and seed are made
	asked   map[string]string
	spent   map[string]bool
	answers []gate.Answer
	err     error         // of the next answers
	clears  time.Duration // what a proof says of its life
	block   chan struct{} // images wait for it; nil: they do not
	shown   []string      // proofs that Cleared was asked about
}

func newRiddler() *riddler {
	return &riddler{
		next:  gate.Puzzle{Level: 1, Parts: 4, Bits: 8, Captcha: true, Until: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
		asked: map[string]string{}, spent: map[string]bool{}, clears: time.Hour,
	}
}

func (c *riddler) Puzzle(f *gate.Facts, device string) gate.Puzzle {
	c.mu.Lock()
	defer c.mu.Unlock()
	z := c.next
	z.Token = fmt.Sprintf("token-%d", len(c.asked))
	if z.Parts > 0 {
		z.Seed = fmt.Sprintf("seed-%d", len(c.asked))
	}
	c.asked[z.Token] = strings.Clone(device)
	return z
}

func (c *riddler) Image(token string) ([]byte, error) {
	c.mu.Lock()
	_, known := c.asked[token]
	block := c.block
	c.mu.Unlock()
	if !known {
		return nil, gate.ErrForeign
	}
	if block != nil {
		<-block
	}
	var b bytes.Buffer
	err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 80, 30)))
	return b.Bytes(), err
}

func (c *riddler) Sound(token string) ([]byte, error) { return []byte("RIFF" + token), nil }

const digits = "4711"

func (c *riddler) Answer(_ context.Context, a gate.Answer) (gate.Solved, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = append(c.answers, a)
	device, known := c.asked[a.Token]
	switch {
	case c.err != nil:
		return gate.Solved{}, c.err
	case !known || device != a.Device:
		return gate.Solved{}, fmt.Errorf("%w: %q asked, %q answers", gate.ErrForeign, device, a.Device)
	case c.spent[a.Token]:
		return gate.Solved{}, gate.ErrSpent
	}
	c.spent[a.Token] = true
	if a.Text != digits && a.Remote != "a person" && !worked(&c.next, strings.Replace(a.Token, "token", "seed", 1), a.Work) {
		return gate.Solved{}, gate.ErrWrongAnswer
	}
	return gate.Solved{Sale: "phone", Proof: "proof." + a.Device, For: c.clears}, nil
}

// worked checks a proof of work.
func worked(z *gate.Puzzle, seed, work string) bool {
	numbers := strings.Split(work, ",")
	for i, n := range numbers {
		if _, err := strconv.ParseUint(n, 10, 53); err != nil {
			return false
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d:%s", seed, i, n))
		if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) < z.Bits {
			return false
		}
	}
	return len(numbers) == z.Parts
}

func (c *riddler) Cleared(proof string, _ *gate.Facts, device string) gate.Clearance {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = append(c.shown, strings.Clone(proof))
	if proof != "proof."+device {
		return gate.Clearance{}
	}
	return gate.Clearance{At: time.Unix(1, 0), Level: 1}
}

func (c *riddler) change(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }

// challenged is a rig whose challenge gate asks everyone for a proof.
func challenged(t testing.TB, change func(*rules.Set)) (*rig, *riddler) {
	t.Helper()
	c := newRiddler()
	g := newChallengedRig(t, c, func(s *rules.Set) {
		s.Sales[0].Challenge = &rules.Challenge{Everyone: true, Enforce: true}
		if change != nil {
			change(s)
		}
	})
	g.probes[challenge].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
		if f.Sale != nil && f.Cleared.At.IsZero() {
			return gate.Verdict{Reason: gate.Challenge}
		}
		return gate.Admit
	}
	return g, c
}

const (
	asHTML = "Accept: text/html,*/*;q=0.8"
	asJSON = "Accept: application/json"
)

// post sends a body.
func post(g *rig, path, kind, body string, lines ...string) *answered {
	lines = append([]string{"POST " + path + " HTTP/1.1", "Host: shop.example", "Content-Type: " + kind, "Content-Length: " + strconv.Itoa(len(body))}, lines...)
	return g.send(crlf(lines...) + body)
}

const form = "application/x-www-form-urlencoded"

func buys(g *rig, lines ...string) *answered {
	return post(g, "/buy.php", form, "qty=1", append(lines, "X-Other: 1")...)
}

func reply(g *rig, v url.Values, lines ...string) *answered {
	return post(g, answerPath, form, v.Encode(), lines...)
}

// cookie is a cookie that an answer sets, as it is sent back.
func (a *answered) cookie(name string) string {
	for _, c := range a.Cookies() {
		if c.Name == name {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// asked is the problem that an app gets.
type asked struct {
	problem
	Error     string
	Challenge *puzzle
}

func (a *answered) asked(t testing.TB) (p asked) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%s is not JSON: %v", a.body, err)
	}
	return p
}

// solve works as an app does.
func solve(z *puzzle) string {
	var found []string
	for i := range z.Parts {
		for n := 0; ; n++ {
			sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d:%d", z.Seed, i, n))
			if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) >= z.Bits {
				found = append(found, strconv.Itoa(n))
				break
			}
		}
	}
	return strings.Join(found, ",")
}

func TestAppsSolveFromTheProblem(t *testing.T) {
	g, c := challenged(t, nil)
	a := buys(g, "Cookie: customer=alice")
	p := a.asked(t)
	if a.StatusCode != 403 || a.reason() != "challenge" || p.Reason != "challenge" || p.Challenge == nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %s", a.StatusCode, a.body)
	}
	if a.cookie(visitorCookie) != "" {
		t.Error("an app was handed a cookie")
	}
	solution, err := json.Marshal(map[string]string{"token": p.Challenge.Token, "work": solve(p.Challenge)})
	if err != nil {
		t.Fatal(err)
	}
	b := post(g, p.Challenge.AnswerURL, "application/json", string(solution))
	var got struct {
		Cleared, Sale string
		ForMS         int64 `json:"for_ms"`
	}
	if err := json.Unmarshal([]byte(b.body), &got); err != nil || b.StatusCode != 200 || got.Cleared != "proof." || got.Sale != "phone" || got.ForMS != 3600000 {
		t.Fatalf("got %d %s", b.StatusCode, b.body)
	}
	if h := buys(g, "Cookie: customer=alice", "Penstock-Cleared: "+got.Cleared); h.StatusCode != 200 || h.reason() != "admitted" {
		t.Errorf("with the header: %d %s", h.StatusCode, h.reason())
	}
	if h := buys(g, "Cookie: customer=bob; "+b.cookie("penstock_cleared_phone")); h.StatusCode != 200 {
		t.Errorf("with the cookie: %d %s", h.StatusCode, h.reason())
	}
	for _, seen := range g.shop.requests {
		if strings.Contains(seen, "proof") || strings.Contains(seen, "leared") {
			t.Errorf("the shop was shown the proof: %q", seen)
		}
	}
	if a := c.answers[0]; a.IP.String() != "127.0.0.1" || a.Device != "" {
		t.Errorf("judged %+v", a)
	}
	g.settled()
}

func TestAVisitorsProofIsBoundToItsCookie(t *testing.T) {
	g, c := challenged(t, nil)
	for _, lines := range [][]string{{asHTML}, {asHTML, "Cookie: customer=alice"}, {}} {
		a := buys(g, lines...)
		visitor := a.cookie(visitorCookie)
		if visitor == "" || strings.Count(strings.Join(a.Header["Set-Cookie"], "|"), visitorCookie) != 1 {
			t.Fatalf("%q: got cookies %q, want one of a visitor", lines, a.Header["Set-Cookie"])
		}
		token := fmt.Sprintf("token-%d", len(c.asked)-1)
		b := reply(g, url.Values{"token": {token}, "text": {digits}}, "Cookie: "+visitor)
		proof := b.cookie("penstock_cleared_phone")
		if b.StatusCode != 200 || !strings.Contains(proof, strings.Split(visitor, "=")[1][:visitorID]) {
			t.Fatalf("%q: got %d %s, %q", lines, b.StatusCode, b.body, proof)
		}
		if d := buys(g, asHTML, "Cookie: customer=alice; "+visitor+"; "+proof); d.StatusCode != 200 {
			t.Errorf("%q: with both cookies: %d", lines, d.StatusCode)
		}
		if d := buys(g, asHTML, "Cookie: customer=alice; "+proof); d.StatusCode != 403 {
			t.Errorf("%q: without the visitor's: %d", lines, d.StatusCode)
		}
	}
	// A cookie that is not signed is no device.
	buys(g, "Cookie: customer=alice; "+visitorCookie+"="+strings.Repeat("a", visitorID)+"."+strings.Repeat("b", visitorID))
	if d := c.asked[fmt.Sprintf("token-%d", len(c.asked)-1)]; d != "" {
		t.Errorf("a forged cookie is device %q", d)
	}
}

func TestSignerReadsVisitorsAsTheSecretDoes(t *testing.T) {
	s := secret("0123456789abcdef0123456789abcdef")
	k := newSigner(s)
	for range 100 {
		id, cookie := s.newVisitor()
		if got := k.visitor(cookie); got != id {
			t.Fatalf("%q is %q, want %q", cookie, got, id)
		}
		wrong := []byte(cookie)
		wrong[len(id)/2] ^= 1
		if got := k.visitor(string(wrong)); got != "" {
			t.Fatalf("%q is %q", wrong, got)
		}
	}
}

func TestProofsAreOnlyReadWhereTheyCount(t *testing.T) {
	g, c := challenged(t, func(s *rules.Set) {
		other := sale()
		other.Name, other.Match.Path = "other", "/other.php"
		s.Sales = append(s.Sales, other)
	})
	for _, k := range []struct {
		path, cookie, header string
		want                 []string
	}{
		{"/buy.php", "customer=a", "", nil},
		{"/buy.php", "customer=a; penstock_cleared_phone=x", "", []string{"x"}},
		{"/buy.php", "penstock_cleared_phone=x;penstock_cleared_phone=y; penstock_cleared_phone=z", "", []string{"x", "y"}},
		{"/buy.php", "penstock_cleared_phone2=x; penstock_cleared_phon=y; a penstock_cleared_phone=z; q=penstock_cleared_phone=1", "", nil},
		{"/buy.php", "penstock_cleared_phone=", "", nil},
		{"/buy.php", "customer=a; penstock_cleared_phone=x", "h", []string{"h", "x"}},
		{"/buy.php", "customer=a; penstock_cleared_phone=x", "proof.", []string{"proof."}},
		{"/other.php", "customer=a; penstock_cleared_other=x", "h", nil},
		{"/elsewhere", "customer=a; penstock_cleared_phone=x", "h", nil},
	} {
		c.change(func() { c.shown = nil })
		lines := []string{"Cookie: " + k.cookie}
		if k.header != "" {
			lines = slices.Insert(lines, 0, "Penstock-Cleared: "+k.header)
		}
		post(g, k.path, form, "qty=1", lines...)
		c.change(func() {
			if !slices.Equal(c.shown, k.want) {
				t.Errorf("%s, %q, %q: asked about %q, want %q", k.path, k.cookie, k.header, c.shown, k.want)
			}
		})
	}
}

// remote is a provider as an operator's file has it.
func remote() *rules.Remote {
	return &rules.Remote{Script: "https://widgets.example/api.js", Class: "w-box", Field: "w-response", SiteKey: "public", Secret: "hidden", Verify: "https://widgets.example/verify"}
}

// TestGoldenPuzzles: the page and the problem, of each kind of puzzle.
func TestGoldenPuzzles(t *testing.T) {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, z := range map[string]gate.Puzzle{
		"work":    {Level: 1, Parts: 8, Bits: 15, Until: until},
		"captcha": {Level: 2, Parts: 8, Bits: 15, Captcha: true, Until: until},
		"remote":  {Level: 1, Parts: 8, Bits: 15, Remote: remote(), Until: until},
		"typed":   {Level: 1, Captcha: true, Until: until},
	} {
		g, c := challenged(t, nil)
		c.next = z
		for ext, accept := range map[string]string{".json": asJSON, ".html": asHTML} {
			c.asked = map[string]string{}
			a := buys(g, accept, "Cookie: customer=alice", "Referer: http://shop.example/p/1?a=<b>&c")
			if strings.Contains(a.body, "hidden") && ext == ".json" || strings.Contains(a.body, "/verify") {
				t.Errorf("%s%s tells a secret", name, ext)
			}
			for name, want := range map[string]string{"Penstock-Reason": "challenge", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
				if a.Header.Get(name) != want {
					t.Errorf("%s%s: %s is %q", name, ext, name, a.Header.Get(name))
				}
			}
			if got := a.Header.Get("Content-Security-Policy"); (got != "") != (ext == ".html") || ext == ".html" && strings.Contains(got, "strict-dynamic") != (z.Remote != nil) {
				t.Errorf("%s%s: policy %q", name, ext, got)
			}
			path := filepath.Join("testdata", "challenge", name+ext)
			if *update {
				if err := os.WriteFile(path, []byte(a.body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if a.body != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s", path, a.body, want)
			}
		}
	}
}

func TestOperatorsOwnAnswerToAChallenge(t *testing.T) {
	const slots = `<script>go({challenge})</script><input value="{token}"><a href="{back}">`
	for _, k := range []struct {
		name, accept string
		own          rules.Answer
		puzzle       bool
		body         string
	}{
		{"page", asHTML, rules.Answer{Page: []byte("<p>own</p>")}, false, "<p>own</p>"},
		{"page with slots", asHTML, rules.Answer{Page: []byte(slots), Status: 401}, true, `<script>go({"token":"token-0",`},
		{"page, to an app", asJSON, rules.Answer{Page: []byte(slots)}, true, `"challenge":{"token":"token-0"`},
		{"redirect", asHTML, rules.Answer{Redirect: "/check"}, false, ""},
		{"redirect, to an app", asJSON, rules.Answer{Redirect: "/check"}, true, `"challenge":{`},
		{"json", asJSON, rules.Answer{JSON: []byte(`{"own":1}`)}, false, `{"own":1}`},
		{"json, to a person", asHTML, rules.Answer{JSON: []byte(`{"own":1}`)}, true, `id="puzzle"`},
	} {
		g, c := challenged(t, func(s *rules.Set) { s.Answers = map[string]*rules.Answer{"challenge": &k.own} })
		a := buys(g, k.accept, "Cookie: customer=alice")
		if len(c.asked) > 0 != k.puzzle || !strings.Contains(a.body, k.body) || strings.Contains(a.body, "{token}") {
			t.Errorf("%s: %d puzzles and %d %q", k.name, len(c.asked), a.StatusCode, a.body)
		}
		if k.own.Status != 0 && a.StatusCode != k.own.Status || k.own.Redirect != "" && k.accept == asHTML && a.Header.Get("Location") != "/check" {
			t.Errorf("%s: %d, to %q", k.name, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

func TestChallengesNeedASaleThatHasThem(t *testing.T) {
	g, c := challenged(t, func(s *rules.Set) { s.Sales[0].Challenge = nil })
	a := buys(g, "Cookie: customer=alice")
	if a.StatusCode != 403 || strings.Contains(a.body, `"challenge":{`) || len(c.asked) != 0 {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	if a := g.send(crlf("GET "+answerPath+" HTTP/1.1", "Host: shop")); a.StatusCode != 200 || g.shop.count() != 1 {
		t.Errorf("without challenges the path is the shop's: %d, %d requests", a.StatusCode, g.shop.count())
	}
}

func TestPagesToReturnTo(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/p/1?a=b": "/p/1?a=b", "": "/", "p": "/", "//evil.example": "/", `/\evil.example`: "/", "/\t/evil.example": "/",
		"https://evil.example/": "/", "/a b": "/", "/ü": "/", "/" + strings.Repeat("a", maxBack): "/", `/p//x\y`: `/p//x\y`,
	} {
		if got := localPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	for _, k := range []struct{ method, target, referer, want string }{
		{"GET", "/sale?x=1", "http://shop.example/p", "/sale?x=1"},
		{"POST", "/sale", "http://shop.example/p?q=1", "/p?q=1"},
		{"POST", "/sale", "https://shop.example/p", "/p"},
		{"POST", "/sale", "https://shop.example", "/"},
		{"POST", "/sale", "https://shop.example.evil.example/p", "/"},
		{"POST", "/sale", "https://evil.example/p", "/"},
		{"POST", "/sale", "", "/"},
	} {
		r := &request{}
		r.head.method, r.head.target, r.head.hostValue = []byte(k.method), []byte(k.target), []byte("shop.example")
		if k.referer != "" {
			r.head.fields = []field{{name: []byte("Referer"), value: []byte(k.referer)}}
		}
		if got := r.cameFrom(); got != k.want {
			t.Errorf("%+v: %q", k, got)
		}
	}
}

var errDown = errors.New("the store is down")

func TestWhatIsSaidOfAnswers(t *testing.T) {
	g, c := challenged(t, nil)
	for _, k := range []struct {
		err    error
		status int
		name   string
		words  string
	}{
		{gate.ErrWrongAnswer, 403, "wrong", "press the button again"},
		{gate.ErrLateAnswer, 403, "late", "too late"},
		{gate.ErrSpent, 403, "spent", "answered before"},
		{gate.ErrForeign, 403, "foreign", "Allow cookies"},
		{fmt.Errorf("%w: %w", gate.ErrUnchecked, errDown), 503, "unchecked", "right now"},
		{errDown, 503, "unchecked", "right now"},
		{fmt.Errorf("sale x: %w", gate.ErrSpent), 403, "spent", "answered before"},
	} {
		c.change(func() { c.err = k.err })
		v := url.Values{"token": {"t"}, "text": {"1"}, "back": {"/p/1"}}
		a := reply(g, v, asJSON)
		p := a.asked(t)
		if a.StatusCode != k.status || p.Status != k.status || p.Error != k.name || p.Reason != "challenge" || !strings.Contains(p.Detail, k.words) || a.reason() != "challenge" {
			t.Errorf("%v: got %d %s", k.err, a.StatusCode, a.body)
		}
		if (a.Header.Get("Retry-After") != "") != (k.status == 503) || a.Header.Get("Cache-Control") != "no-store" || a.cookie("penstock_cleared_phone") != "" {
			t.Errorf("%v: headers %v", k.err, a.Header)
		}
		a = reply(g, v, asHTML)
		if a.StatusCode != k.status || !strings.Contains(a.body, k.words) || !strings.Contains(a.body, `href="/p/1"`) || strings.Contains(a.body, "down") {
			t.Errorf("%v: as a page: %d %s", k.err, a.StatusCode, a.body)
		}
	}
	if got := g.shop.count(); got != 0 {
		t.Errorf("%d requests reached the shop", got)
	}
}

func TestFormsWithoutScripts(t *testing.T) {
	g, c := challenged(t, nil)
	visitor := buys(g, asHTML).cookie(visitorCookie)
	a := reply(g, url.Values{"token": {"token-0"}, "text": {digits}, "back": {"/p/1?x=%2F&y"}}, asHTML, "Cookie: "+visitor)
	to := a.Header.Get("Location")
	if a.StatusCode != 303 || !strings.HasPrefix(to, answerPath+"?sale=phone&back=%2Fp%2F1") || a.body != "" {
		t.Fatalf("got %d to %q", a.StatusCode, to)
	}
	set := a.Header.Get("Set-Cookie")
	for _, part := range []string{"penstock_cleared_phone=proof.", "; Path=/", "; Max-Age=3600", "; HttpOnly", "; SameSite=Lax"} {
		if !strings.Contains(set, part) {
			t.Errorf("cookie %q has no %q", set, part)
		}
	}
	thanks := g.send(crlf("GET "+to+" HTTP/1.1", "Host: shop.example", asHTML, "Cookie: "+visitor+"; "+a.cookie("penstock_cleared_phone")))
	if thanks.StatusCode != 200 || !strings.Contains(thanks.body, "Thank you") || !strings.Contains(thanks.body, `href="/p/1?x=%2F&amp;y"`) {
		t.Errorf("got %d %s", thanks.StatusCode, thanks.body)
	}
	off := g.send(crlf("GET "+to+" HTTP/1.1", "Host: shop.example", asHTML))
	if off.StatusCode != 200 || !strings.Contains(off.body, "Cookies are off") {
		t.Errorf("without cookies: %d %s", off.StatusCode, off.body)
	}
	evil := g.send(crlf("GET "+answerPath+"?back=//evil.example HTTP/1.1", "Host: shop.example", asHTML))
	if strings.Contains(evil.body, "evil") {
		t.Error("the page leads to another shop")
	}
	if c.answers[0].Text != digits {
		t.Errorf("judged %+v", c.answers[0])
	}
}

func TestCookieOfAProofOverTLS(t *testing.T) {
	g, _ := challenged(t, func(s *rules.Set) { s.TrustedProxies = loopback })
	buys(g, "Cookie: customer=alice")
	a := reply(g, url.Values{"token": {"token-0"}, "text": {digits}}, "X-Forwarded-Proto: https")
	if set := a.Header.Get("Set-Cookie"); !strings.Contains(set, "; Secure; SameSite=None") {
		t.Errorf("behind TLS: %q", set)
	}
}
