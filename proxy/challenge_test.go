package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/bits"
	"net/url"
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
	sale    string        // of the puzzle that was asked for last
	useless bool          // proofs are worth nothing
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
	c.asked[z.Token], c.sale = strings.Clone(device), f.Sale.Name
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
	return gate.Solved{Sale: c.sale, Proof: "proof." + a.Device, For: c.clears}, nil
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
	if proof != "proof."+device || c.useless {
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
