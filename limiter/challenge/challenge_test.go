package challenge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"penstock/limiter/challenge/challengetest"
	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	within = 2 * time.Minute
	clears = 10 * time.Minute
)

// phone is a sale whose challenge is easy.
func phone() *rules.Sale {
	return &rules.Sale{Name: "phone", Challenge: &rules.Challenge{
		Everyone: true, Work: 64, Captcha: true, Within: within, Clears: clears, Enforce: true,
	}}
}

var secret = []byte("an installation's secret, 32 bytes")

// open makes a desk of the installation; what o leaves out is as in a shop of one gateway.
func open(o Options, sales ...*rules.Sale) *Desk {
	if o.Secret == nil {
		o.Secret = secret
	}
	if o.Claim == nil {
		o.Claim = new(spent).claim
	}
	d := New(o)
	d.Use(sales)
	return d
}

// spent is Options.Claim of gateways that share a list.
type spent struct{ ids sync.Map }

func (s *spent) claim(_ context.Context, id []byte, _ time.Duration) (first bool, err error) {
	_, known := s.ids.LoadOrStore(string(id), true)
	return !known, nil
}

func alice(s *rules.Sale) *gate.Facts { return by("c:alice", s) }

func by(account string, s *rules.Sale) *gate.Facts {
	return &gate.Facts{At: time.Now(), Account: account, Sale: s, IP: netip.MustParseAddr("192.0.2.7")}
}

// answered solves a puzzle in a browser.
func answered(p gate.Puzzle, device string) gate.Answer {
	return gate.Answer{Token: p.Token, Work: challengetest.Solve(p), Device: device}
}

// look reads the image.
func look(t testing.TB, d *Desk, p gate.Puzzle) string {
	t.Helper()
	k, err := d.challenges.open(p.Token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	digits := d.digits(&k, time.Now())
	return string(digits[:])
}

// solve makes alice's proof.
func solve(t testing.TB, d *Desk, s *rules.Sale, device string) gate.Solved {
	t.Helper()
	solved, err := d.Answer(context.Background(), answered(d.Puzzle(alice(s), device), device))
	if err != nil || solved.Sale != s.Name || solved.Proof == "" {
		t.Fatalf("a right answer: %+v, %v", solved, err)
	}
	return solved
}

// wrong checks that an answer is worth nothing.
func wrong(t testing.TB, d *Desk, a gate.Answer, want error) {
	t.Helper()
	if solved, err := d.Answer(context.Background(), a); !errors.Is(err, want) || solved != (gate.Solved{}) {
		t.Errorf("an answer got %+v, %v, want %v", solved, err, want)
	}
}

func TestAPersonGetsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := phone()
		d := open(Options{}, s)
		g := d.Gate()
		f := alice(s)
		if v := g.Admit(t.Context(), f); v != (gate.Verdict{Reason: gate.Challenge}) {
			t.Fatalf("without a clearance: %+v", v)
		}
		p := d.Puzzle(f, "browser")
		if p.Seed == "" || p.Parts*(1<<p.Bits) != 64 || !p.Captcha || p.Remote != nil || !p.Until.Equal(f.At.Add(within)) || p.Level != 0 {
			t.Fatalf("the puzzle is %+v", p)
		}
		time.Sleep(time.Minute)
		solved, err := d.Answer(t.Context(), answered(p, "browser"))
		if err != nil || solved.Sale != "phone" || solved.For != clears {
			t.Fatalf("answered: %+v, %v", solved, err)
		}
		at := time.Now()
		time.Sleep(clears - 1)
		later := alice(s)
		later.Cleared = d.Cleared(solved.Proof, later, "browser")
		if c := later.Cleared; !c.At.Equal(at) || !c.Asked.Equal(f.At) || c.Level != 0 {
			t.Errorf("cleared as %+v, want asked %v and solved %v", c, f.At, at)
		}
		if v := g.Admit(t.Context(), later); v != gate.Admit {
			t.Errorf("with a clearance: %+v", v)
		}
		time.Sleep(1)
		if c := d.Cleared(solved.Proof, alice(s), "browser"); c != (gate.Clearance{}) {
			t.Errorf("a proof that has run out: %+v", c)
		}
		if c := open(Options{}, s).Cleared(solved.Proof, alice(s), "browser"); c != (gate.Clearance{}) {
			t.Errorf("a proof that has run out, read anew: %+v", c)
		}
	})
}

func TestAdmit(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	none := gate.Clearance{}
	for _, c := range []struct {
		name     string
		everyone bool
		owes     bool
		level    uint8
		since    time.Time
		cleared  gate.Clearance
		want     gate.Reason
	}{
		{"nothing is owed", false, false, 9, now, none, gate.Admitted},
		{"everyone owes", true, false, 0, time.Time{}, none, gate.Challenge},
		{"one owes", false, true, 1, ago(time.Minute), none, gate.Challenge},
		{"everyone, cleared", true, false, 0, time.Time{}, gate.Clearance{At: ago(time.Minute)}, gate.Admitted},
		{"everyone, what the ladder says of level and time is of those who owe", true, false, 3, now, gate.Clearance{At: ago(time.Minute)}, gate.Admitted},
		{"just young enough", true, false, 0, time.Time{}, gate.Clearance{At: ago(clears - 1)}, gate.Admitted},
		{"just too old", true, false, 0, time.Time{}, gate.Clearance{At: ago(clears)}, gate.Challenge},
		{"harder, and later", true, true, 1, ago(time.Second), gate.Clearance{At: ago(time.Minute)}, gate.Challenge},
		{"harder, but before", true, true, 1, ago(time.Hour), gate.Clearance{At: ago(time.Minute)}, gate.Admitted},
		{"later, but as hard", false, true, 1, ago(time.Second), gate.Clearance{At: ago(time.Minute), Level: 1}, gate.Admitted},
		{"later, but easier", false, true, 1, ago(time.Second), gate.Clearance{At: ago(time.Minute), Level: 2}, gate.Admitted},
		{"harder, between the making and the solving", false, true, 1, ago(time.Minute),
			gate.Clearance{At: ago(time.Second), Asked: ago(2 * time.Minute)}, gate.Challenge},
		{"harder, before the making", false, true, 1, ago(time.Minute),
			gate.Clearance{At: ago(time.Second), Asked: ago(time.Minute)}, gate.Admitted},
	} {
		s := phone()
		s.Challenge.Everyone = c.everyone
		d := open(Options{Owes: func(*gate.Facts) (uint8, time.Time, bool) { return c.level, c.since, c.owes }}, s)
		for _, enforce := range []bool{true, false} {
			s.Challenge.Enforce = enforce
			want := gate.Verdict{Reason: c.want}
			if !enforce && c.want == gate.Challenge {
				want = gate.Verdict{Reason: gate.Admitted, Would: gate.Challenge}
			}
			if v := d.Gate().Admit(t.Context(), &gate.Facts{At: now, Account: "c:alice", Sale: s, Cleared: c.cleared}); v != want {
				t.Errorf("%s, enforce %v: %+v, want %+v", c.name, enforce, v, want)
			}
		}
	}
}

// TestAnOldPuzzleIsNoWayBack: who keeps an easy puzzle, then earns a harder one, and then
// solves the easy one has not done what is owed.
func TestAnOldPuzzleIsNoWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, level, since := phone(), uint8(0), time.Time{}
		d := open(Options{Owes: func(*gate.Facts) (uint8, time.Time, bool) { return level, since, level > 0 }}, s)
		kept := d.Puzzle(alice(s), "")
		time.Sleep(time.Second)
		level, since = 2, time.Now()
		time.Sleep(time.Second)
		admit := func(p gate.Puzzle) gate.Reason {
			solved, err := d.Answer(t.Context(), answered(p, ""))
			if err != nil {
				t.Fatal(err)
			}
			f := alice(s)
			f.Cleared = d.Cleared(solved.Proof, f, "")
			if f.Cleared.Level != p.Level {
				t.Errorf("a puzzle of level %d clears for level %d", p.Level, f.Cleared.Level)
			}
			return d.Gate().Admit(t.Context(), f).Reason
		}
		if r := admit(kept); r != gate.Challenge {
			t.Errorf("with the old puzzle: %v, want challenge", r)
		}
		p := d.Puzzle(alice(s), "")
		if p.Level != 2 || p.Parts*(1<<p.Bits) != 256 {
			t.Errorf("the puzzle that is owed is %+v, want level 2 and 256 hashes", p)
		}
		if r := admit(p); r != gate.Admitted {
			t.Errorf("with the new puzzle: %v, want admitted", r)
		}
	})
}

func TestNoChallenge(t *testing.T) {
	d := open(Options{})
	for _, s := range []*rules.Sale{nil, {Name: "free"}} {
		f := alice(s)
		if v := d.Gate().Admit(t.Context(), f); v != gate.Admit {
			t.Errorf("a request that no rule is for: %+v", v)
		}
		if p := d.Puzzle(f, "x"); p != (gate.Puzzle{}) {
			t.Errorf("its puzzle is %+v", p)
		}
		if c := d.Cleared("x", f, "x"); c != (gate.Clearance{}) {
			t.Errorf("it is cleared as %+v", c)
		}
	}
}

func TestGate(t *testing.T) {
	run := func(name string, capacity int, s *rules.Sale, cleared gate.Clearance) {
		t.Run(name, func(t *testing.T) {
			gatetest.Run(t, gatetest.Subject{
				New: func(testing.TB) gate.Gate { return open(Options{}, s).Gate() },
				Facts: func(i int) *gate.Facts {
					ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
					return &gate.Facts{At: noon, IP: ip, Account: fmt.Sprintf("c:%d", i), Sale: s, Units: 1, Cleared: cleared}
				},
				Capacity: capacity,
				Memory:   16 << 10,
			})
		})
	}
	lazy := phone()
	lazy.Challenge.Everyone = false
	run("everyone", 0, phone(), gate.Clearance{})
	run("cleared", -1, phone(), gate.Clearance{At: noon})
	run("nobody", -1, lazy, gate.Clearance{})
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
