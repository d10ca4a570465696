package challenge

import (
	"testing"

	"penstock/proxy/gate"
)

func FuzzAnswer(f *testing.F) {
	s := phone()
	d := open(Options{}, s)
	p := d.Puzzle(alice(s), "d")
	f.Add(p.Token, answered(p, "d").Work, "123456", "said", "d")
	f.Add(solve(f, d, s, "d").Proof, "1,2", "", "", "")
	f.Add("AAAA", ",", "１２", "", "")
	f.Fuzz(func(t *testing.T, token, work, text, remote, device string) {
		for _, token := range []string{token, p.Token} {
			solved, err := d.Answer(t.Context(), gate.Answer{Token: token, Work: work, Text: text, Remote: remote, Device: device})
			if (err == nil) != (solved.Proof != "") {
				t.Fatalf("%+v, %v", solved, err)
			}
			if err == nil && (token != p.Token || device != "d") {
				t.Fatalf("the answer %q %q %q %q is right", token, work, text, device)
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
		c := d.Cleared(text, by(account, s), device)
		if mine := text == proof && account == "c:alice" && device == "d"; mine == c.At.IsZero() {
			t.Fatalf("%q of %q on %q: %+v", text, account, device, c)
		}
	})
}
