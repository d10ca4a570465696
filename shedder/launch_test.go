package shedder

// What the launch and the guards believe, at single readings made by hand.

import (
	"math"
	"slices"
	"testing"
	"time"

	"penstock/rules"
)

// learnt is a limit in launch that knows what a page takes at rest, in seconds.
func learnt(level, rest float64) *limit {
	l := newLimit(rules.Origin{MaxConcurrency: 1000}, Remembered{}, time.Unix(1_700_000_000, 0), nil)
	l.level = level
	l.rest.usual[rules.Browse], l.rest.learned[rules.Browse] = rest, true
	return l
}

// second is one in which n requests at the origin brought so many answers.
func second(n float64, answers uint64) *span {
	d := &span{reading: reading{area: n, useful: answers, offered: 2 * answers, waited: answers, inFlight: int(n)}, seconds: 1}
	d.done[rules.Browse] = answers
	return d
}

func TestStepDownThatCostAnswersIsTakenBack(t *testing.T) {
	for _, c := range []struct {
		answers uint64
		to      float64
	}{
		{answers: 75, to: 16}, // three quarters for half: it was not the crowd that made it slow
		{answers: 90, to: 8},  // nearly as many: it was
	} {
		l := learnt(8, .05)
		l.launch.before, l.launch.was, l.launch.turned = *second(16, 100), 16, -1
		l.step(l.prevAt, second(8, c.answers))
		if math.Abs(l.level-c.to) > c.to/4 || l.phase != Settled {
			t.Errorf("16 requests brought 100 answers and 8 bring %d: the level is %.1f and %v, want about %v and settled", c.answers, l.level, l.phase, c.to)
		}
	}
}

func TestStepBeforeAStallIsNotJudgedAfterIt(t *testing.T) {
	l := learnt(8, .05)
	var why []string
	l.moved = func(m Move) { why = append(why, m.Why) }
	l.launch.before, l.launch.was, l.launch.turned = *second(16, 100), 16, -1
	l.phase, l.guard.phase, l.guard.before = Stalled, Launching, 8
	l.revive(l.prevAt, second(1, 1))
	l.step(l.prevAt, second(l.level, 50))
	if len(why) == 0 || why[0] != Revived || slices.Contains(why, Returned) {
		t.Errorf("moved for %q, want %q first, and never %q", why, Revived, Returned)
	}
}

func TestLaunchDoesNotGoBackToWhatWasWorse(t *testing.T) {
	l := learnt(22, .12)
	l.launch.before, l.launch.was, l.launch.turned, l.launch.steps = *second(32, 126), 22/.69, -1, 2
	l.step(l.prevAt, second(22, 152)) // as good as at rest, so there is room above
	if most := math.Sqrt(22 * 22 / .69); l.level > most+.01 || l.level < 22 {
		t.Errorf("32 requests brought fewer answers than 22, and the level is %.1f, want no more than half-way back, %.1f", l.level, most)
	}
	l = learnt(22, .12)
	l.launch.turned, l.launch.steps = 1, 2
	l.step(l.prevAt, second(22, 152))
	if l.level < 1.3*22 {
		t.Errorf("nothing is known of higher levels, and the level is %.1f, want a large step up from 22", l.level)
	}
}

func TestStepUpThatCostAnswersIsTakenBack(t *testing.T) {
	for _, c := range []struct {
		answers uint64
		back    bool
	}{
		{answers: 60, back: true},   // far fewer for twice as many
		{answers: 190, back: false}, // fewer by no more than chance makes it
		{answers: 240, back: false},
	} {
		l := learnt(62, .25)
		l.step(l.prevAt, second(62, 240)) // as soon as at rest
		if high := l.level; high < 1.9*62 {
			t.Fatalf("the level is %.1f, want a large step up from 62", high)
		}
		l.rest = rest{} // nobody knows how long these take at rest
		l.step(l.prevAt, second(l.level, c.answers))
		if back := l.level == 62 && l.phase == Settled; back != c.back {
			t.Errorf("62 requests brought 240 answers and 124 bring %d: the level is %.1f and %v, want it back: %v", c.answers, l.level, l.phase, c.back)
		}
	}
}

// Of a class that was never seen at rest nobody knows how long it stays, and not knowing is
// no reason for large steps.
func TestUnknownClassSaysNothingOfTheOrigin(t *testing.T) {
	orders := second(60, 240)
	orders.done = [rules.Priorities]uint64{}
	orders.done[rules.Order] = 240

	l := learnt(60, .1)
	if i := l.inflation(orders); i != 0 {
		t.Fatalf("the inflation of answers that nothing is known of is %v", i)
	}
	l.blame(orders)
	if rest := l.rest.usual[rules.Browse]; rest != .1 {
		t.Errorf("blamed for orders, pages take %v s at rest, want .1 as before", rest)
	}

	l = learnt(60, .1)
	l.phase = Settled
	for range 4 {
		l.relaunch(l.prevAt, orders)
	}
	if l.phase != Settled {
		t.Errorf("after slots of answers that nothing is known of the limit is %v, want settled", l.phase)
	}
	for range 4 {
		l.relaunch(l.prevAt, second(6, 60))
	}
	if l.phase != Launching {
		t.Errorf("after slots of answers as soon as at rest the limit is %v, want launching", l.phase)
	}
}

func TestRestIsNotBelievedAtOnce(t *testing.T) {
	l := newLimit(rules.Origin{MaxConcurrency: 1000}, Remembered{}, time.Unix(1_700_000_000, 0), nil)
	h := &history{at: l.prevAt}
	look := func() { l.rest.look(h.at, h.reading, 16) }
	look()
	for n := range 2 * restLooks {
		for range restWindow/tick + 1 {
			h.add(1, 10, 0, 10, 0, .010)
		}
		look()
		if known := l.rest.any(); known != (n+1 >= restLooks) {
			t.Errorf("after %d windows with 90 answers each it is %v that rest is known, want %d windows", n+1, known, restLooks)
		}
	}
	l.rest.scale(3)
	scaled := l.rest.usual[rules.Browse]
	for range restWindow/tick + 1 {
		h.add(1, 10, 0, 10, 0, .010)
	}
	if look(); l.rest.usual[rules.Browse] != scaled {
		t.Errorf("rest was found to be %v s, and one window makes it %v s", scaled, l.rest.usual[rules.Browse])
	}
}

func TestBatchIsNoPause(t *testing.T) {
	for _, c := range []struct {
		resident float64
		paused   bool
	}{{.1, true}, {.5, false}} { // requests that came together, half a second ago, go together
		l := learnt(20, .05)
		l.capacity, l.resident = 40, c.resident
		if got := l.paused(l.guard.alive.Add(450 * time.Millisecond)); got != c.paused {
			t.Errorf("requests stay %v s, and no answer for .45 s is a pause: %v, want %v", c.resident, got, c.paused)
		}
	}
}

func TestProbesInVainAreRare(t *testing.T) {
	l := learnt(20, .05)
	l.phase, l.shared = Settled, true // alone, it would take the origin for slower, and not ask again
	now := l.prevAt
	slow := second(20, 100) // four times as long as at rest
	probes := func() bool {
		for range crowdSlots {
			l.probe(now, slow)
		}
		return l.guard.probing > 0
	}
	if !probes() {
		t.Fatalf("requests stay four times as long as at rest for %d slots, and nobody asks why", crowdSlots)
	}
	for name, ends := range map[string]func(){
		"nothing to see": func() { l.unexplained(now) },
		"fewer answers":  func() { l.guard.probed = *second(12, 50); l.guard.probing = 0; l.explained(now) },
	} {
		ends()
		if l.level < 19.9 || l.level > 20.1 {
			t.Errorf("%s: after the probe the level is %v, want 20 again", name, l.level)
		}
		now = now.Add(probeAgain - 1)
		if probes() {
			t.Errorf("%s: asked again at once, and those who ask lose their share to other gateways", name)
		}
		now = now.Add(1)
		if !probes() {
			t.Fatalf("%s: not asked again after %v", name, probeAgain)
		}
	}
}

func TestGatewaysOfOneOriginSwingAlike(t *testing.T) {
	for _, shared := range []bool{false, true} {
		knows, ignorant := New(origin(), Outside{Shared: shared}).limit, New(origin(), Outside{Shared: shared}).limit
		knows.level, ignorant.level = 100, 100
		knows.settle.s = sure / 2
		for _, swing := range []int{-1, 1} {
			knows.swing, ignorant.swing = swing, swing
			if same := knows.now() == ignorant.now(); same != shared {
				t.Errorf("several gateways: %v; the limit is %d where the elasticity is known and %d where it is not", shared, knows.now(), ignorant.now())
			}
		}
	}
}

func TestShareThatOthersTookIsNotTheOriginsFault(t *testing.T) {
	for _, shared := range []bool{false, true} {
		l := learnt(8, .05)
		l.shared = shared
		l.launch.before, l.launch.was, l.launch.turned = *second(16, 100), 16, -1
		l.step(l.prevAt, second(8, 50))
		if slower := l.rest.usual[rules.Browse] > .051; slower == shared || math.Abs(l.level-16) > .01 {
			t.Errorf("several gateways: %v; half as many requests bring half as many answers: rest is %v and the level %v, want 16 again and rest longer only without others", shared, l.rest.usual[rules.Browse], l.level)
		}
	}
}
