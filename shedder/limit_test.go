package shedder

// The limit against simulated origins, and against counters that say anything at all.
// How good it gets is measured against the best of a few numbers that stay as they are.

import (
	"math"
	"slices"
	"testing"
	"time"

	"penstock/rules"
)

// scene is a quiet shop for three seconds, and then a crowd of three times what it can serve.
func scene(o simOrigin) simRun {
	return simRun{
		origin:  func(float64) simOrigin { return o },
		offered: after(3, .2*o.peak, 3*o.peak),
		lasts:   23,
		conf:    rules.Origin{MaxConcurrency: 4000},
	}
}

func after(at, before, then float64) func(float64) float64 {
	return func(t float64) float64 {
		if t < at {
			return before
		}
		return then
	}
}

// goodput is the answers per second in [from, to) as a part of what the best number gets.
// Several gateways are compared with one that has it all.
func goodput(s simRun, from, to, near int) float64 {
	got := mean(s.run().perSecond[from:to])
	best := 0.0
	s.gateways, s.remember, s.watch = 1, 0, nil
	for _, by := range []float64{.8, 1, 1.25} {
		s.conf.Concurrency = max(1, int(float64(near)*by))
		best = max(best, mean(s.run().perSecond[from:to]))
	}
	return got / best
}

func TestLimitFindsThePeak(t *testing.T) {
	for name, c := range map[string]struct {
		o     simOrigin
		seeds uint64
		from  int // seconds: where answers are rare, it takes longer to know
		want  float64
	}{
		"steady":    {steadyOrigin(), 2, 8, .95},
		"thrashing": {thrashingOrigin(), 4, 8, .95},
		"big":       {bigOrigin(), 1, 8, .95},
		"tiny":      {tinyOrigin(), 4, 8, .93},
	} {
		t.Run(name, func(t *testing.T) {
			sum := 0.0
			for seed := range c.seeds {
				s := scene(c.o)
				s.seed = seed
				if name == "big" {
					s.lasts = 13
				}
				g := goodput(s, c.from, int(s.lasts), c.o.best)
				t.Logf("seed %d: %.3f of the best", seed, g)
				sum += g / float64(c.seeds)
			}
			if sum < c.want {
				t.Errorf("answers %.3f of what the best number does, want %v", sum, c.want)
			}
		})
	}
}

func TestGatewaysShareAnOriginWithoutTalking(t *testing.T) {
	for seed := range uint64(2) {
		s := scene(thrashingOrigin())
		s.seed, s.gateways, s.lasts = seed, 4, 33
		s.clock = func(gw int, _ float64) time.Duration { return time.Duration(gw) * 20 * time.Millisecond }
		if g := goodput(s, 8, 33, thrashingOrigin().best); g < .93 {
			t.Errorf("seed %d: four gateways answer %.3f of what one with the best number does, want .93", seed, g)
		}
		useful := s.run().useful
		for gw, n := range useful {
			all := useful[0] + useful[1] + useful[2] + useful[3]
			if share := float64(n) / float64(all); share < .12 {
				t.Errorf("seed %d: gateway %d serves %.2f of all, want at least half of a fair share", seed, gw, share)
			}
		}
	}
}

func TestLatencyThatShiftsIsNotTakenForACrowd(t *testing.T) {
	sum := 0.0
	for seed := range uint64(4) {
		s := scene(thrashingOrigin())
		s.seed, s.lasts = seed, 55
		s.origin = func(t float64) simOrigin {
			if t < 20 {
				return thrashingOrigin()
			}
			return shiftedOrigin()
		}
		g := goodput(s, 35, 55, shiftedOrigin().best)
		t.Logf("seed %d: %.3f", seed, g)
		sum += g / 4
	}
	if sum < .88 {
		t.Errorf("15 s after I/O became slower %.3f of what the best number does is answered, want .88", sum)
	}
}

func TestRememberedLimitIsWhereItStarts(t *testing.T) {
	s := scene(thrashingOrigin())
	s.remember = thrashingOrigin().best
	if l := newLimit(rules.Origin{MaxConcurrency: 1000}, Remembered{Limit: 54}, time.Unix(0, 0), nil); l.now() != 54 {
		t.Errorf("starts at %d, want the remembered 54", l.now())
	}
	if l := newLimit(rules.Origin{MaxConcurrency: 20}, Remembered{Limit: 54}, time.Unix(0, 0), nil); l.now() != 20 {
		t.Errorf("starts at %d, want no more than the file allows, 20", l.now())
	}
	if g := goodput(s, 3, 5, s.remember); g < .9 {
		t.Errorf("in the first two seconds %.3f of the best is answered, want .9", g)
	}
}

func TestLimitKeepsWithinWhatTheFileAllows(t *testing.T) {
	for _, c := range []struct {
		most   int
		target time.Duration
		want   float64 // of what the highest level allowed gets
	}{{1, 0, .95}, {2, 0, .9}, {3, 0, .9}, {4000, time.Nanosecond, 0}} {
		s := scene(thrashingOrigin())
		s.conf = rules.Origin{MaxConcurrency: c.most, LatencyTarget: c.target}
		s.watch = func(at float64, l *limit) {
			if n := l.now(); n < 1 || n > c.most || l.level < 1 || l.level > float64(c.most) {
				t.Fatalf("at most %d: the limit is %d around %v after %.2f s", c.most, n, l.level, at)
			}
		}
		got := s.run()
		s.conf.Concurrency, s.watch = c.most, nil
		if best := mean(s.run().perSecond[8:23]); mean(got.perSecond[8:23]) < c.want*best {
			t.Errorf("at most %d: %.1f/s are answered, want %v of %.1f/s", c.most, mean(got.perSecond[8:23]), c.want, best)
		}
		if rest := 40.; c.target > 0 && (got.levels[0] < rest/2 || got.levels[0] > 1.5*rest) {
			t.Errorf("with a target nobody can hold the level is %v, want about the %v that stay little longer than at rest", got.levels[0], rest)
		}
	}
}

func TestANumberStays(t *testing.T) {
	s := scene(thrashingOrigin())
	s.conf.Concurrency = 90
	s.stalled = func(t float64) bool { return t > 10 && t < 14 }
	s.fails = func(t float64, _ int) float64 { return after(18, 0, .5)(t) }
	s.watch = func(at float64, l *limit) {
		if l.now() != 90 || l.level != 90 {
			t.Fatalf("after %.2f s the limit is %d around %v, want 90", at, l.now(), l.level)
		}
	}
	for _, m := range s.run().moves {
		if m.Why != Stall && m.Why != Revived || m.From != m.To {
			t.Errorf("a number moved: %+v", m)
		}
	}
	l := newLimit(s.conf, Remembered{}, time.Unix(0, 0), nil)
	if l.configure(rules.Origin{MaxConcurrency: 4000}); l.now() != 90 || l.state() != Launching {
		t.Errorf("auto after a number starts at %d, %v; want at 90, launching", l.now(), l.state())
	}
}

func TestObservingNeverLimitsAndSaysWhatItWould(t *testing.T) {
	o := steadyOrigin()
	s := scene(o)
	s.conf = rules.Origin{MaxConcurrency: 300, ObserveConcurrency: true}
	s.watch = func(at float64, l *limit) {
		if l.now() != 300 || l.state() != Observing {
			t.Fatalf("after %.2f s the limit is %d, %v", at, l.now(), l.state())
		}
	}
	r := s.run()
	if len(r.moves) == 0 {
		t.Fatal("says nothing about an origin with ten times too many")
	}
	if l := r.levels[0]; l < 15 || l > 60 {
		t.Errorf("would hold it at %.0f, want about what it serves at rest, 16 to 40", l)
	}
}

func TestEveryMoveHasAReasonAndStaysInBounds(t *testing.T) {
	why := map[string]int{}
	for seed := range uint64(3) {
		s := scene(thrashingOrigin())
		s.conf.MaxConcurrency, s.conf.LatencyTarget = 200, 400*time.Millisecond
		s.seed, s.lasts = seed, 40
		s.stalled = func(t float64) bool { return t > 12 && t < 15 }
		s.fails = func(t float64, _ int) float64 { return after(25, 0, .3)(t) }
		level := float64(firstLimit)
		for _, m := range s.run().moves {
			checkMove(t, m, 200)
			if m.From != level {
				t.Errorf("moves from %v, but the last move led to %v", m.From, level)
			}
			level = m.To
			why[m.Why]++
		}
	}
	for _, w := range []string{Rose, Elastic, Stall, Revived, Failures, Absolved} {
		if why[w] == 0 {
			t.Errorf("nothing moved for %q; moves were %v", w, why)
		}
	}
}

func checkMove(t failer, m Move, most float64) {
	reasons := []string{Rose, Fell, Elastic, Failures, Absolved, Target, Stall, Revived, Probed, Returned}
	if !slices.Contains(reasons, m.Why) {
		t.Fatalf("a move without a reason: %+v", m)
	}
	if m.From == m.To && m.Why != Stall && m.Why != Revived {
		t.Fatalf("a move that is none: %+v", m)
	}
	for _, x := range []float64{m.To, m.InFlight, m.Throughput, m.Inflation, m.Elasticity, m.Error} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			t.Fatalf("a move with a number that is none: %+v", m)
		}
	}
	if m.To < 1 || m.To > most {
		t.Fatalf("moved to %v, want within [1, %v]: %+v", m.To, most, m)
	}
}

type failer interface{ Fatalf(string, ...any) }

func TestClockThatIsSetMovesNothing(t *testing.T) {
	for _, step := range []time.Duration{time.Second, -time.Second, 170 * time.Millisecond, -170 * time.Millisecond} {
		s := scene(thrashingOrigin())
		s.clock = func(_ int, t float64) time.Duration {
			if t >= 15.13 && t < 18.1 {
				return step
			}
			return 0
		}
		var before float64
		s.watch = func(at float64, l *limit) {
			if at < 15.13 {
				before = l.level
			}
			if by := math.Abs(math.Log(l.level / before)); at > 15.13 && at < 15.5 && by > mostStep+.01 {
				t.Fatalf("clock set by %v: the level goes from %.1f to %.1f at once", step, before, l.level)
			}
		}
		r := s.run()
		for _, m := range r.moves {
			checkMove(t, m, 4000)
			if m.Why != Rose && m.Why != Fell && m.Why != Elastic {
				t.Errorf("clock set by %v: %+v", step, m)
			}
		}
		if g := goodput(s, 16, 23, thrashingOrigin().best); g < .9 {
			t.Errorf("clock set by %v: %.3f of the best is answered afterwards, want .9", step, g)
		}
	}
}
