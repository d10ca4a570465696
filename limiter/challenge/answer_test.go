package challenge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"penstock/proxy/gate"
	"penstock/rules"
)

func TestReplayed(t *testing.T) {
	s, spent, trips := phone(), &spent{}, 0
	here, there := open(Options{Claim: spent.claim}, s), open(Options{Claim: spent.claim}, s)
	p := here.Puzzle(alice(s), "d")
	a := answered(p, "d")
	if _, err := there.Answer(t.Context(), a); err != nil {
		t.Fatalf("the answer at another gateway: %v", err)
	}
	text := gate.Answer{Token: p.Token, Text: look(t, here, p), Device: "d"}
	for _, d := range []*Desk{there, here, here, open(Options{Claim: spent.claim}, s)} {
		wrong(t, d, a, gate.ErrSpent)
		wrong(t, d, text, gate.ErrSpent)
	}
	lone := open(Options{Claim: func(context.Context, []byte, time.Duration) (bool, error) { trips++; return false, nil }}, s)
	for range 3 {
		if wrong(t, lone, a, gate.ErrSpent); trips != 1 {
			t.Errorf("replays made %d trips, want 1", trips)
		}
	}
}

// TestOneOfManyWins: a thousand send the same answer to two gateways at once.
func TestOneOfManyWins(t *testing.T) {
	s, spent := phone(), &spent{}
	desks := []*Desk{open(Options{Claim: spent.claim}, s), open(Options{Claim: spent.claim}, s)}
	a := answered(desks[0].Puzzle(alice(s), "d"), "d")
	var won, lost atomic.Int32
	atOnce(1000, func(i int) {
		switch solved, err := desks[i%2].Answer(context.Background(), a); {
		case err == nil && solved.Proof != "":
			won.Add(1)
		case errors.Is(err, gate.ErrSpent) && solved == gate.Solved{}:
			lost.Add(1)
		}
	})
	if won.Load() != 1 || lost.Load() != 999 {
		t.Errorf("%d won and %d lost, want 1 and 999", won.Load(), lost.Load())
	}
}

// TestManyWin: a thousand solve one challenge each.
func TestManyWin(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	atOnce(1000, func(i int) {
		account, device := fmt.Sprintf("c:%d", i), fmt.Sprint(i)
		solved, err := d.Answer(context.Background(), answered(d.Puzzle(by(account, s), device), device))
		if err != nil {
			t.Errorf("solver %d: %v", i, err)
		}
		for range 2 { // read, and remembered
			if c := d.Cleared(solved.Proof, by(account, s), device); c.At.IsZero() {
				t.Errorf("solver %d is not cleared", i)
			}
			if c := d.Cleared(solved.Proof, by(fmt.Sprintf("c:%d", i+1), s), device); c != (gate.Clearance{}) {
				t.Errorf("solver %d clears another: %+v", i, c)
			}
		}
	})
}

func atOnce(n int, do func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { <-start; do(i) })
	}
	close(start)
	all.Wait()
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := phone()
		d := open(Options{}, s)
		first, second := d.Puzzle(alice(s), "d"), d.Puzzle(alice(s), "d")
		a, b := answered(first, "d"), answered(second, "d")
		time.Sleep(within - 1)
		if _, err := d.Answer(t.Context(), a); err != nil {
			t.Errorf("at the last moment: %v", err)
		}
		time.Sleep(1)
		wrong(t, d, b, gate.ErrLateAnswer)
		wrong(t, d, a, gate.ErrLateAnswer)
		if _, err := d.Image(second.Token); !errors.Is(err, gate.ErrLateAnswer) {
			t.Errorf("the image of a late challenge: %v", err)
		}
		time.Sleep(72 * time.Hour) // the key is forgotten
		wrong(t, d, b, gate.ErrLateAnswer)
	})
}

// TestTooSoon: however fast somebody's machine, and whatever the way of answering; and what
// came too soon is good when its time has come.
func TestTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := phone()
		s.Challenge.Least = 2 * time.Second
		d := open(Options{}, s)
		p := d.Puzzle(alice(s), "d")
		if p.Wait != s.Challenge.Least {
			t.Errorf("is told to wait %v, want %v", p.Wait, s.Challenge.Least)
		}
		a, text := answered(p, "d"), gate.Answer{Token: p.Token, Text: look(t, d, p), Device: "d"}
		time.Sleep(2*time.Second - 1)
		wrong(t, d, a, gate.ErrEarlyAnswer)
		wrong(t, d, text, gate.ErrEarlyAnswer)
		time.Sleep(1)
		if _, err := d.Answer(t.Context(), a); err != nil {
			t.Errorf("when its time has come: %v", err)
		}
	})
}

// TestSuspectsWaitLonger: as long again for each level.
func TestSuspectsWaitLonger(t *testing.T) {
	for level := range uint8(rules.MostLevel + 1) {
		synctest.Test(t, func(t *testing.T) {
			s := phone()
			s.Challenge.Least = 2 * time.Second
			d := open(Options{Owes: func(*gate.Facts) (uint8, time.Time, bool) { return level, time.Time{}, true }}, s)
			p, want := d.Puzzle(alice(s), "d"), time.Duration(1+level)*2*time.Second
			if p.Wait != want {
				t.Errorf("at level %d is told to wait %v, want %v", level, p.Wait, want)
			}
			text := gate.Answer{Token: p.Token, Text: look(t, d, p), Device: "d"}
			time.Sleep(want - 1)
			wrong(t, d, text, gate.ErrEarlyAnswer)
			time.Sleep(1)
			if _, err := d.Answer(t.Context(), text); err != nil {
				t.Errorf("at level %d, when its time has come: %v", level, err)
			}
		})
	}
}

// TestTheLongestTimes: rules that ask for more than a key lasts get what it does.
func TestTheLongestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := phone()
		s.Challenge.Within, s.Challenge.Clears = 1000*time.Hour, 1000*time.Hour
		d := open(Options{}, s)
		time.Sleep(time.Hour)
		p := d.Puzzle(alice(s), "d")
		if left := time.Until(p.Until); left != 24*time.Hour {
			t.Errorf("answered within %v, want 24h", left)
		}
		time.Sleep(24*time.Hour - 1)
		solved, err := d.Answer(t.Context(), answered(p, "d"))
		if err != nil || solved.For != 24*time.Hour {
			t.Fatalf("answered: %+v, %v", solved, err)
		}
		time.Sleep(solved.For - 1)
		if c := d.Cleared(solved.Proof, alice(s), "d"); c.At.IsZero() {
			t.Error("the proof runs out before it says")
		}
	})
}

func TestForeign(t *testing.T) {
	s, other := phone(), phone()
	other.Name = "tablet"
	d := open(Options{}, s, other)
	p := d.Puzzle(alice(s), "d")
	a := answered(p, "d")
	t.Run("device", func(t *testing.T) {
		for _, device := range []string{"", "e", "dd"} {
			wrong(t, d, gate.Answer{Token: a.Token, Work: a.Work, Device: device}, gate.ErrForeign)
		}
	})
	t.Run("installation", func(t *testing.T) {
		wrong(t, open(Options{Secret: []byte("another installation's, 32 bytes long")}, s), a, gate.ErrForeign)
	})
	t.Run("no such sale", func(t *testing.T) {
		wrong(t, open(Options{}, other), a, gate.ErrForeign)
		none := phone()
		none.Challenge = nil
		wrong(t, open(Options{}, none), a, gate.ErrForeign)
	})
	t.Run("work of another challenge", func(t *testing.T) {
		b := answered(d.Puzzle(alice(s), "d"), "d")
		wrong(t, d, gate.Answer{Token: a.Token, Work: b.Work, Device: "d"}, gate.ErrWrongAnswer)
	})
	t.Run("from before it was made", func(t *testing.T) {
		f := alice(s)
		f.At = f.At.Add(2 * skew)
		wrong(t, d, answered(d.Puzzle(f, "d"), "d"), gate.ErrForeign)
		f.At = time.Now().Add(skew / 2)
		if _, err := d.Answer(t.Context(), answered(d.Puzzle(f, "d"), "d")); err != nil {
			t.Errorf("from a gateway whose clock is ahead: %v", err)
		}
	})
	t.Run("proof", func(t *testing.T) {
		solved, err := d.Answer(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		strange := open(Options{Secret: []byte("another installation's, 32 bytes long")}, s, other)
		for range 2 { // before it is remembered, and after
			for name, c := range map[string]gate.Clearance{
				"account":      d.Cleared(solved.Proof, by("c:bob", s), "d"),
				"no account":   d.Cleared(solved.Proof, by("", s), "d"),
				"device":       d.Cleared(solved.Proof, alice(s), "e"),
				"no device":    d.Cleared(solved.Proof, alice(s), ""),
				"sale":         d.Cleared(solved.Proof, alice(other), "d"),
				"installation": strange.Cleared(solved.Proof, alice(s), "d"),
				"challenge":    d.Cleared(a.Token, alice(s), "d"),
			} {
				if c != (gate.Clearance{}) {
					t.Errorf("another %s is cleared: %+v", name, c)
				}
			}
			if c := d.Cleared(solved.Proof, alice(s), "d"); c.At.IsZero() {
				t.Error("whose it is is not cleared")
			}
		}
		wrong(t, d, gate.Answer{Token: solved.Proof, Work: a.Work, Device: "d"}, gate.ErrForeign)
		if _, err := d.Image(solved.Proof); !errors.Is(err, gate.ErrForeign) {
			t.Errorf("the image of a proof: %v", err)
		}
	})
}

// TestNoCookies: a client that keeps none is its account, whatever device it seems to be.
func TestNoCookies(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	solved, err := d.Answer(t.Context(), answered(d.Puzzle(alice(s), ""), "new"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, device := range []string{"", "new", "other"} {
			if d.Cleared(solved.Proof, alice(s), device).At.IsZero() {
				t.Errorf("as device %q it is not cleared", device)
			}
		}
		if c := d.Cleared(solved.Proof, by("c:bob", s), ""); c != (gate.Clearance{}) {
			t.Errorf("it clears another account: %+v", c)
		}
	}
	// And a browser without an account is its device.
	nobody := by("", s)
	solved, err = d.Answer(t.Context(), answered(d.Puzzle(nobody, "d"), "d"))
	if err != nil || d.Cleared(solved.Proof, nobody, "d").At.IsZero() || d.Cleared(solved.Proof, nobody, "e") != (gate.Clearance{}) {
		t.Errorf("a browser without an account: %v, or cleared wrongly", err)
	}
	// But nobody at all is not somebody.
	wrong(t, d, answered(d.Puzzle(nobody, ""), ""), gate.ErrForeign)
}

// TestWrongWork may be mended; TestGuesses may not.
// TestWhatIsLentIsNotKept: proofs and accounts lie in memory that the next request writes
// over, and then nobody's proof is somebody else's; and of a long name nothing is kept.
func TestWhatIsLentIsNotKept(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	proof := []byte(solve(t, d, s, "d").Proof)
	account, device := []byte("c:alice"), []byte("d")
	lent := func(b []byte) string { return unsafe.String(&b[0], len(b)) }
	shown := string(proof)
	if c := d.Cleared(lent(proof), by(lent(account), s), lent(device)); c.At.IsZero() {
		t.Fatal("the proof is worth nothing")
	}
	copy(account, "c:mallo")
	copy(device, "x")
	clear(proof)
	if c := d.Cleared(shown, by("c:mallo", s), "d"); !c.At.IsZero() {
		t.Error("whoever comes next has solved it, too")
	}
	if c := d.Cleared(shown, alice(s), "d"); c.At.IsZero() {
		t.Error("the proof is worth nothing any more")
	}
	if !d.proofs.Contains(shown) || d.proofs.Len() != 1 {
		t.Error("the proof is not found again under its own text")
	}
	long := by("c:"+strings.Repeat("x", maxKept), s)
	solved, err := d.Answer(t.Context(), answered(d.Puzzle(long, "d"), "d"))
	if err != nil {
		t.Fatal(err)
	}
	if c := d.Cleared(solved.Proof, long, "d"); c.At.IsZero() || d.proofs.Len() != 1 {
		t.Errorf("%d proofs are kept, or that of a long name is worth nothing", d.proofs.Len())
	}
}

func TestWrongWork(t *testing.T) {
	s, claims := phone(), 0
	d := open(Options{Claim: func(context.Context, []byte, time.Duration) (bool, error) { claims++; return true, nil }}, s)
	p := d.Puzzle(alice(s), "d")
	a := answered(p, "d")
	for _, w := range []string{",", strings.Repeat("x", 1<<20), a.Work + ",1", strings.TrimSuffix(a.Work, a.Work[strings.LastIndex(a.Work, ","):])} {
		wrong(t, d, gate.Answer{Token: a.Token, Work: w, Device: "d"}, gate.ErrWrongAnswer)
	}
	wrong(t, d, gate.Answer{Token: a.Token, Device: "d"}, gate.ErrWrongAnswer)
	wrong(t, d, gate.Answer{Token: a.Token, Remote: "a widget that was not asked", Device: "d"}, gate.ErrWrongAnswer)
	if claims != 0 {
		t.Errorf("wrong answers made %d trips, want none", claims)
	}
	if _, err := d.Answer(t.Context(), a); err != nil || claims != 1 {
		t.Errorf("mended: %v, %d trips", err, claims)
	}
}

func TestGuesses(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	ask := func() (gate.Puzzle, gate.Answer) {
		p := d.Puzzle(alice(s), "d")
		return p, gate.Answer{Token: p.Token, Text: look(t, d, p), Device: "d"}
	}
	p, right := ask()
	guess := right
	guess.Text = string('0'+('9'-right.Text[0])) + right.Text[1:] // never the same digit
	wrong(t, d, guess, gate.ErrWrongAnswer)
	wrong(t, d, right, gate.ErrSpent)
	wrong(t, d, answered(p, "d"), gate.ErrSpent)

	_, right = ask()
	right.Text = right.Text[:3] + " " + string(rune(right.Text[3]-'0')+'\uff10') + "\u3000" + right.Text[4:]
	if _, err := d.Answer(t.Context(), right); err != nil {
		t.Errorf("%q: %v", right.Text, err)
	}
	_, right = ask()
	right.Text = strings.Repeat(" ", maxTyped) + right.Text
	wrong(t, d, right, gate.ErrWrongAnswer)
	_, right = ask()
	s.Challenge.Captcha = false // the rule has changed
	wrong(t, d, right, gate.ErrWrongAnswer)
	if p, _ := ask(); p.Captcha {
		t.Error("an image is offered that the rule does not have")
	} else if _, err := d.Image(p.Token); !errors.Is(err, gate.ErrForeign) {
		t.Errorf("it can be seen: %v", err)
	}
}

// TestNothingWithoutTheList: what cannot be claimed is not granted, right or wrong, and
// nothing shows which it was.
func TestNothingWithoutTheList(t *testing.T) {
	s := phone()
	down := errors.New("the store is down")
	var keeps []time.Duration
	d := open(Options{Claim: func(_ context.Context, id []byte, keep time.Duration) (bool, error) {
		keeps = append(keeps, keep)
		return len(id) == 16, down // whatever it says besides
	}}, s)
	p := d.Puzzle(alice(s), "d")
	for _, a := range []gate.Answer{
		answered(p, "d"),
		{Token: p.Token, Text: look(t, d, p), Device: "d"},
		{Token: p.Token, Text: "not", Device: "d"},
	} {
		wrong(t, d, a, gate.ErrUnchecked)
		wrong(t, d, a, down)
	}
	for _, k := range keeps {
		if k <= within+skew || k > within+2*skew {
			t.Errorf("claimed for %v: a gateway whose clock is slow would take it again", k)
		}
	}
	wrong(t, New(Options{Secret: secret}), answered(p, "d"), gate.ErrForeign)
	lone := New(Options{Secret: secret})
	lone.Use([]*rules.Sale{s})
	wrong(t, lone, answered(p, "d"), gate.ErrUnchecked)
}
