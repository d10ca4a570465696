package challenge

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/rules"
)

// taken is a text taken apart.
type taken struct {
	parts []string
	mac   string
}

func take(t interface{ Fatal(...any) }, text string) (a taken) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	body := b[:len(b)-macLen]
	a.mac = string(b[len(b)-macLen:])
	for len(body) > 0 {
		p, rest, ok := cut(body)
		if !ok {
			t.Fatal("a text of ours cannot be read")
		}
		a.parts, body = append(a.parts, string(p)), rest
	}
	return a
}

func (a taken) text() string {
	var b []byte
	for _, p := range a.parts {
		b = part(b, p)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, a.mac...))
}

// worthless checks that a text is good for nothing, whoever brings it.
func worthless(t interface {
	Helper()
	Errorf(string, ...any)
}, d *Desk, s *rules.Sale, text string) {
	t.Helper()
	for _, account := range []string{"c:alice", "c:bob"} {
		for _, device := range []string{"d", "e", ""} {
			if c := d.Cleared(text, by(account, s), device); c != (gate.Clearance{}) {
				t.Errorf("%q clears %s on %q: %+v", text, account, device, c)
			}
			if _, err := d.challenges.open(text, time.Now()); !errors.Is(err, gate.ErrForeign) && !errors.Is(err, gate.ErrLateAnswer) {
				t.Errorf("%q is taken for a challenge: %v", text, err)
			}
		}
	}
}

// drawn is a challenge, or the proof of one, of somebody.
func drawn(r *rapid.T, d *Desk, sales []*rules.Sale, label string) string {
	s := rapid.SampledFrom(sales).Draw(r, label+" sale")
	f := by(rapid.SampledFrom([]string{"c:alice", "c:bob"}).Draw(r, label+" account"), s)
	device := rapid.SampledFrom([]string{"d", "e", ""}).Draw(r, label+" device")
	p := d.Puzzle(f, device)
	if rapid.Bool().Draw(r, label+" is a challenge") {
		return p.Token
	}
	solved, err := d.Answer(r.Context(), answered(p, device))
	if err != nil {
		r.Fatal(err)
	}
	return solved.Proof
}

// TestSpliced moves parts from one text to another, of whatever kind, and the MAC, too.
func TestSpliced(t *testing.T) {
	s, other := phone(), phone()
	other.Name = "tablet"
	sales := []*rules.Sale{s, other}
	d := open(Options{}, sales...)
	rapid.Check(t, func(r *rapid.T) {
		one, two := drawn(r, d, sales, "one"), drawn(r, d, sales, "two")
		a, b := take(r, one), take(r, two)
		from := rapid.IntRange(0, len(a.parts)-1).Draw(r, "from")
		to := rapid.IntRange(from+1, len(a.parts)).Draw(r, "to")
		copy(a.parts[from:to], b.parts[from:to])
		if rapid.Bool().Draw(r, "the MAC, too") {
			a.mac = b.mac
		}
		if text := a.text(); text != one && text != two {
			worthless(r, d, s, text)
			worthless(r, d, other, text)
		}
	})
}

// TestMovedEnds: what ends one part cannot begin the next.
func TestMovedEnds(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	for _, text := range []string{d.Puzzle(alice(s), "d").Token, solve(t, d, s, "d").Proof} {
		for i := range take(t, text).parts[1:] {
			a := take(t, text)
			n := len(a.parts[i])
			a.parts[i], a.parts[i+1] = a.parts[i][:n-1], a.parts[i][n-1:]+a.parts[i+1]
			worthless(t, d, s, a.text())
		}
	}
}

// TestEveryBit of a text counts, and it has no other spelling.
func TestEveryBit(t *testing.T) {
	s := phone()
	s.Name = "tablet" // or the last letter would have no bits to spare
	d := open(Options{}, s)
	for _, text := range []string{d.Puzzle(alice(s), "d").Token, solve(t, d, s, "d").Proof} {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(b) * 8 {
			b[i/8] ^= 1 << (i % 8)
			worthless(t, d, s, base64.RawURLEncoding.EncodeToString(b))
			b[i/8] ^= 1 << (i % 8)
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/.%\x00\r\n "
		for _, c := range alphabet {
			if last := len(text) - 1; rune(text[last]) != c {
				worthless(t, d, s, text[:last]+string(c))
			}
			worthless(t, d, s, text+string(c))
			worthless(t, d, s, string(c)+text)
			worthless(t, d, s, text[:7]+string(c)+text[7:])
		}
		for i := range len(text) {
			worthless(t, d, s, text[:i])
		}
		worthless(t, d, s, text+strings.Repeat("\n", 4))
		worthless(t, d, s, text+text)
		worthless(t, d, s, strings.Repeat("A", 1<<20))
	}
}

// TestPurposes: three keys that have nothing to do with each other, and other ones each day
// and for each installation.
func TestPurposes(t *testing.T) {
	seen := map[string]string{}
	for _, installation := range []string{string(secret), "another"} {
		for _, purpose := range []string{"challenge", "clearance", "captcha", "name"} {
			for _, day := range []uint32{0, 1, 11, 20784} {
				k := string(derive([]byte(installation), purpose, day))
				if before, ok := seen[k]; ok || len(k) != 32 {
					t.Errorf("the key of %s %s %d is that of %s", installation, purpose, day, before)
				}
				seen[k] = purpose
			}
		}
	}
}

// TestKeysChange at every midnight, and what was signed before it stays good for its time.
func TestKeysChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at a midnight
		s := phone()
		s.Challenge.Within, s.Challenge.Clears = 20*time.Hour, 20*time.Hour
		d := open(Options{}, s)
		keys := map[string]bool{}
		for range 20 {
			p := d.Puzzle(alice(s), "d")
			keys[take(t, p.Token).parts[1]] = true
			time.Sleep(19 * time.Hour)
			fresh := open(Options{}, s) // a gateway that has started since
			solved, err := fresh.Answer(t.Context(), answered(p, "d"))
			if err != nil {
				t.Fatalf("at %v: %v", time.Now(), err)
			}
			time.Sleep(19 * time.Hour)
			for _, d := range []*Desk{d, fresh, open(Options{}, s)} {
				if d.Cleared(solved.Proof, alice(s), "d").At.IsZero() {
					t.Fatalf("at %v the proof is worth nothing", time.Now())
				}
			}
		}
		if len(keys) != 20 {
			t.Errorf("%d keys in %d days, want another for each challenge", len(keys), 20*38/24)
		}
	})
}

// TestWhichKeys are good: today's, yesterday's, and tomorrow's where clocks may be there.
func TestWhichKeys(t *testing.T) {
	l := &seal{secret: secret, purpose: "challenge"}
	midnight := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	today := dayOf(midnight)
	for _, c := range []struct {
		at   time.Time
		day  uint32
		good bool
	}{
		{midnight, today, true},
		{midnight, today - 1, true},
		{midnight, today - 2, false},
		{midnight, today + 1, false},
		{midnight.Add(epoch - 1), today, true},
		{midnight.Add(epoch - 1), today - 1, true},
		{midnight.Add(epoch - 1), today + 1, true},
		{midnight.Add(epoch - 1), today + 2, false},
		{midnight.Add(epoch - skew - 1), today + 1, false},
		{midnight, 0, false},
		{midnight, 1<<32 - 1, false},
	} {
		g := l.signer(c.day, c.at)
		if (g != nil) != c.good {
			t.Errorf("on %v the key of day %d (today is %d): good %v, want %v", c.at, c.day, today, g != nil, c.good)
		}
		if w := (&seal{secret: secret, purpose: "challenge"}).signer(c.day, c.at); g != nil && g.name("", "", "x") != w.name("", "", "x") {
			t.Errorf("on %v the key of day %d depends on what was asked before", c.at, c.day)
		}
	}
}

// TestNothingInClear: a token tells neither account nor device.
func TestNothingInClear(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	f := by("c:alice@shop.example", s)
	p := d.Puzzle(f, "device-4711")
	solved, err := d.Answer(t.Context(), answered(p, "device-4711"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{p.Token, solved.Proof} {
		b, _ := base64.RawURLEncoding.DecodeString(text)
		for _, told := range []string{"alice", "4711"} {
			if strings.Contains(string(b), told) {
				t.Errorf("%q tells %q", b, told)
			}
		}
	}
	if a, b := d.Puzzle(f, ""), d.Puzzle(f, ""); a.Token == b.Token || a.Seed == b.Seed {
		t.Error("two challenges are the same")
	}
	longest := phone()
	longest.Name = strings.Repeat("n", 63)
	if p := d.Puzzle(by(strings.Repeat("a", 4096), longest), strings.Repeat("d", 4096)); len(p.Token) > maxText {
		t.Errorf("a token has %d bytes, want at most %d", len(p.Token), maxText)
	}
}
