package shedder

// What lowers the limit at once, and what must not.

import (
	"math"
	"testing"
	"time"
)

// reasons counts the moves.
func reasons(moves []Move) map[string]int {
	n := map[string]int{}
	for _, m := range moves {
		n[m.Why]++
	}
	return n
}

func TestStalledOriginGetsNothingButCanaries(t *testing.T) {
	for seed := range uint64(3) {
		s := scene(thrashingOrigin())
		s.seed, s.lasts = seed, 34
		s.stalled = func(t float64) bool { return t > 15 && t < 23 }
		var before, known float64 // the level when it stalled, and patience
		most := 0.0
		s.watch = func(at float64, l *limit) {
			if at < 15 {
				before, known = l.level, l.patience().Seconds()
			}
			if l.phase == Stalled {
				if l.level != before && at < 23 {
					t.Fatalf("seed %d: the level moves from %v to %v in a stall", seed, before, l.level)
				}
				before = l.level
			}
			most = max(most, before)
		}
		r := s.run()
		if known < .5 || known > 2 {
			t.Errorf("seed %d: an origin may say nothing for %.1f s, want .5 to 2", seed, known)
		}
		sent := 0.0
		for _, n := range r.sent[17:23] {
			sent += n
		}
		if sent > 8 { // the first seconds' gaps are short, and a swing may have left some room
			t.Errorf("seed %d: %v requests went to an origin full of them that gives no answers, want a canary now and then", seed, sent)
		}
		if n := reasons(r.moves); n[Stall] != 1 || n[Revived] != 2 {
			t.Errorf("seed %d: moves are %v, want one stall and back in two steps", seed, n)
		}
		var back []Move
		for _, m := range r.moves {
			if m.Why == Revived {
				back = append(back, m)
			}
		}
		if len(back) == 2 && (math.Abs(back[0].To-revival*back[0].From) > .01 || back[1].To != back[0].From) {
			t.Errorf("seed %d: back from %.1f by way of %.1f to %.1f, want by way of %v of it", seed, back[0].From, back[0].To, back[1].To, revival)
		}
		if g := goodput(s, 25, 34, thrashingOrigin().best); g < .93 {
			t.Errorf("seed %d: two seconds later %.3f of the best is answered, want .93", seed, g)
		}
	}
}

// What was at the origin when it died is gone at some time: then canaries find out.
func TestCanariesGoSeldomerAndOnlyWhileThereIsRoom(t *testing.T) {
	l := newLimit(origin(), Remembered{Limit: 10}, time.Unix(0, 0), nil)
	at, r, sent := time.Unix(0, 0), reading{inFlight: 10}, []time.Duration{}
	stalled := time.Duration(0)
	for range 27_000 / 25 {
		at = at.Add(tick)
		r.area += float64(r.inFlight) * tick.Seconds()
		l.tick(at, r)
		if l.phase == Stalled && stalled == 0 {
			stalled = at.Sub(time.Unix(0, 0))
		}
		if l.guard.canary {
			sent = append(sent, at.Sub(time.Unix(0, 0)))
			if r.inFlight >= int(l.most) {
				t.Fatalf("a canary with %d at the origin", r.inFlight)
			}
			if len(sent) > 2 {
				r.inFlight-- // it gave up on an old one
			}
			r.inFlight++
		}
		if len(sent) == 2 {
			r.inFlight = 10
		}
	}
	if stalled < stallUnknown || stalled > stallUnknown+2*tick {
		t.Errorf("stalled after %v, want %v where nothing is known", stalled, stallUnknown)
	}
	if len(sent) < 8 || len(sent) > 14 {
		t.Errorf("%d canaries in 17 s, want about one in %v: %v", len(sent), canaryRarely, sent)
	}
	for i := 1; i < len(sent); i++ {
		gap := sent[i] - sent[i-1]
		if want := min(canaryRarely, canaryEvery<<(i-1)); gap < want || gap > want+2*tick {
			t.Errorf("canary %d comes %v after the last, want %v", i, gap, want)
		}
	}
}

func TestPauseOfTheOriginMovesNothing(t *testing.T) {
	s := scene(thrashingOrigin())
	s.lasts = 33
	s.stalled = func(t float64) bool { return t > 8 && t-float64(int(t/5))*5 < .3 }
	s.watch = func(at float64, l *limit) {
		if l.phase == Stalled {
			t.Fatalf("a pause is taken for a stall after %.2f s", at)
		}
	}
	if g := goodput(s, 8, 33, thrashingOrigin().best); g < .95 {
		t.Errorf("with pauses %.3f of the best is answered, want .95", g)
	}
	if n := reasons(s.run().moves); n[Failures]+n[Stall]+n[Revived]+n[Fell] > 0 {
		t.Errorf("pauses move the limit: %v", n)
	}
}

func TestFailuresFromLoadLowerTheLimit(t *testing.T) {
	s := scene(thrashingOrigin())
	s.remember, s.lasts = 61, 33
	s.fails = func(t float64, busy int) float64 {
		if t > 10 && busy > 40 {
			return .4
		}
		return 0
	}
	var before, soon float64
	s.watch = func(t float64, l *limit) {
		if t < 10 {
			before = l.level
		}
		if t < 12 {
			soon = l.level
		}
	}
	r := s.run()
	if n := reasons(r.moves); n[Failures] == 0 || soon > before/backOff {
		t.Errorf("two seconds after the origin breaks with more than 40 the level is %.0f of %.0f, moved for %v", soon, before, n)
	}
	if r.levels[0] > 46 {
		t.Errorf("the level is %.0f at last, want about what the origin bears: 40", r.levels[0])
	}
	if g := goodput(s, 15, 33, 38); g < .8 {
		t.Errorf("%.3f of the best is answered, want .8", g)
	}
}

func TestFailuresFromElsewhereAreAbsolved(t *testing.T) {
	o := thrashingOrigin()
	s := scene(o)
	s.lasts = 43
	s.fails = func(t float64, _ int) float64 { return after(12, 0, .3)(t) }
	r := s.run()
	if n := reasons(r.moves); n[Failures] == 0 || n[Absolved] == 0 || n[Failures] > 3*(inVain+1) {
		t.Errorf("a shop that is broken moves the limit for %v, want down a few times and back", n)
	}
	if g := goodput(s, 23, 43, o.best); g < .93 {
		t.Errorf("afterwards %.3f of the best is answered, want .93", g)
	}
}

// An origin that says no at once when it has too many looks fast, and serves nobody.
func TestFastFailuresAreNoUsefulAnswers(t *testing.T) {
	o := steadyOrigin()
	s := scene(o)
	s.lasts = 33
	s.refuses = func(busy int) bool { return busy >= 50 }
	r := s.run()
	if r.levels[0] > 70 {
		t.Errorf("the level is %.0f at last, want about the 50 that are not refused", r.levels[0])
	}
	if g := goodput(s, 10, 33, 45); g < .95 {
		t.Errorf("%.3f of the best is answered, want .95", g)
	}
	s.fails = func(float64, int) float64 { return 1 }
	s.refuses = nil
	for _, m := range s.run().moves {
		if m.To > firstLimit+2 {
			t.Errorf("an origin that only fails raises the limit: %+v", m)
		}
	}
}

func TestLatencyTargetIsHeld(t *testing.T) {
	for _, target := range []time.Duration{80 * time.Millisecond, 150 * time.Millisecond} {
		s := scene(steadyOrigin())
		s.lasts = 33
		s.conf.LatencyTarget = target
		r := s.run()
		sum, n := 0.0, 0.0
		for i := 10; i < 33; i++ {
			sum, n = sum+r.seconds[i], n+r.perSecond[i]
		}
		if got := sum / n; got > 1.1*target.Seconds() {
			t.Errorf("answers take %.3f s, want %v", got, target)
		}
		if x := n / 23; x < .9*steadyOrigin().peak {
			t.Errorf("with a target of %v that takes nothing from the origin it answers %.0f/s of 500", target, x)
		}
	}
}
