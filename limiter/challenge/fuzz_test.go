package challenge

import (
	"context"
	"testing"
	"time"

	"penstock/proxy/gate"
)

// The processes of a fuzzer share the installation's secret and the corpus, so what one of
// them has made is genuine in the others, too.

func FuzzAnswer(f *testing.F) {
	s := phone()
	d := open(Options{Claim: func(context.Context, []byte, time.Duration) (bool, error) { return true, nil }}, s)
	p := d.Puzzle(alice(s), "d")
	digits := look(f, d, p)
	f.Add(p.Token, answered(p, "d").Work, digits, "said", "d")
	f.Add(p.Token, "", digits, "", "d")
	f.Add(solve(f, d, s, "d").Proof, "1,2", "", "", "")
	f.Add("AAAA", ",", "１２", "", "")
	f.Fuzz(func(t *testing.T, token, work, text, remote, device string) {
		for _, token := range []string{token, p.Token} {
			d.spent.Purge()
			solved, err := d.Answer(t.Context(), gate.Answer{Token: token, Work: work, Text: text, Remote: remote, Device: device})
			if (err == nil) != (solved.Proof != "") || err == nil && device != "d" {
				t.Fatalf("on %q: %+v, %v", device, solved, err)
			}
			if token != p.Token || device != "d" {
				continue
			}
			right := worked(p.Seed, work, uint8(p.Parts), uint8(p.Bits)) || work == "" && len(text) <= maxTyped && typed(text) == digits
			if right != (err == nil) {
				t.Fatalf("the answer %q %q is right: %v, but %v", work, text, right, err)
			}
		}
	})
}

func FuzzCleared(f *testing.F) {
	s := phone()
	d := open(Options{}, s)
	proof := solve(f, d, s, "d").Proof
	f.Add(proof, "c:alice", "d")
	f.Add(d.Puzzle(alice(s), "d").Token, "c:alice", "d")
	f.Add("AAAA", "", "")
	f.Fuzz(func(t *testing.T, text, account, device string) {
		whose := account == "c:alice" && device == "d"
		if c := d.Cleared(text, by(account, s), device); !whose && c != (gate.Clearance{}) {
			t.Fatalf("%q of %q on %q: %+v", text, account, device, c)
		}
		if c := d.Cleared(proof, by(account, s), device); whose == c.At.IsZero() {
			t.Fatalf("alice's proof of %q on %q: %+v", account, device, c)
		}
	})
}
