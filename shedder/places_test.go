package shedder

// Places: who may wait, how the room for the browsing crowd follows it, and who is cut off.

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// browser is one of a crowd in which everybody has an address.
func browser(i int) *gate.Facts {
	f := request(rules.Browse)
	f.IP = from(i)
	return f
}

func outcome(all []visit) (served, refusedAtOnce, refusedLate int) {
	for _, v := range all {
		switch {
		case v.v.OK():
			served++
		case v.waited > 0:
			refusedLate++
		default:
			refusedAtOnce++
		}
	}
	return
}

func TestBurstIntoAnIdleGatewayIsAbsorbedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, New(fixed(10), Outside{}), 50*time.Millisecond)
		p.keep(100*time.Millisecond, 2*time.Second, browser)
		began := time.Now()
		for i := range 80 {
			p.come(browser(i))
		}
		if served, _, _ := outcome(p.since(began)); served != 80 {
			t.Errorf("%d of a burst of 80 are served by an origin that can do so in half a second", served)
		}
		p.close(t)
	})
}

// In a crowd that stays, waiting a second gives nobody more than waiting a moment does.
func TestRoomShrinksWhileTheQueueStandsAndNobodyWaitsInVain(t *testing.T) {
	varies := rand.New(rand.NewPCG(1, 1))
	for _, takes := range []func() time.Duration{nil, func() time.Duration { return seconds(.05 * varies.ExpFloat64()) }} {
		synctest.Test(t, func(t *testing.T) { standingCrowd(t, takes) })
	}
}

func standingCrowd(t *testing.T, takes func() time.Duration) {
	p := open(t, New(fixed(10), Outside{}), 50*time.Millisecond) // 200/s
	p.varies = takes
	before := p.s.room[rules.Browse].Load()
	p.keep(1250*time.Microsecond, 3*time.Second, browser)
	began := time.Now()
	p.keep(1250*time.Microsecond, 10*time.Second, browser)
	if n := p.s.room[rules.Browse].Load(); n >= before/2 {
		t.Errorf("there is room for %d, want far less than the %d of an idle gateway", n, before)
	}
	all := p.since(began)
	served, atOnce, late := outcome(all)
	if served < 1850 {
		t.Errorf("%d are served in 10 s by an origin that does about 2000", served)
	}
	if late*100 > atOnce+late {
		t.Errorf("%d of %d refusals come after a wait, want at most 1 %%", late, atOnce+late)
	}
	for _, v := range all {
		if v.v.OK() && v.waited > 200*time.Millisecond {
			t.Fatalf("one is served after %v, want a short wait", v.waited)
		}
	}
	time.Sleep(2 * time.Second)
	if n := p.s.room[rules.Browse].Load(); n < before/2 {
		t.Errorf("when the crowd has gone there is room for %d, want about %d again", n, before)
	}
	p.close(t)
}

// people cut off, of a thousand addresses.
func cutOff(s *Shedder) map[int]bool {
	out := map[int]bool{}
	for i := range 1000 {
		if s.Places().(places).beyond(browser(i)) {
			out[i] = true
		}
	}
	return out
}

func TestCutOffIsTheSameForAnAddressUntilTheSaltChanges(t *testing.T) {
	s := New(fixed(1), Outside{})
	start := time.Now()
	s.crowd.rate = 400
	s.cutOff(start, true, 100/spare)
	busy := request(rules.Browse)
	if n := len(cutOff(s)); n > 0 {
		t.Errorf("%d are cut off while a slot is free", n)
	}
	s.Slots().Admit(t.Context(), busy)
	first := cutOff(s)
	if n := len(first); n < 650 || n > 850 {
		t.Errorf("of a crowd four times what can be served %d of 1000 are cut off, want about three quarters", n)
	}
	s.cutOff(start.Add(cutKept-time.Second), true, 100/spare)
	if again := cutOff(s); !maps.Equal(again, first) {
		t.Errorf("%d, and not the same %d, are cut off before the salt changes", len(again), len(first))
	}
	s.cutOff(start.Add(cutKept-time.Second), true, 110/spare)
	for i := range cutOff(s) {
		if !first[i] {
			t.Errorf("when more can be served, %d, who was in, is out", i)
		}
	}
	s.cutOff(start.Add(cutKept+time.Second), true, 100/spare)
	others := 0
	for i := range cutOff(s) {
		if !first[i] {
			others++
		}
	}
	if others < 100 {
		t.Errorf("after %v only %d of 1000 others are cut off", cutKept, others)
	}
	for _, c := range []struct {
		stands bool
		theirs float64
	}{{false, 100}, {true, 400}} {
		s.cutOff(start, c.stands, c.theirs)
		if n := len(cutOff(s)); n > 0 {
			t.Errorf("%d are cut off of a crowd that can wait: %+v", n, c)
		}
	}
	s.Slots().Release(busy, served)
}

// A crowd behind one address is not locked out as a whole.
func TestOneAddressAloneIsServedAtFullSpeed(t *testing.T) {
	for address := range 4 {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, New(fixed(8), Outside{}), 20*time.Millisecond) // 400/s
			p.keep(300*time.Microsecond, 2*time.Second, func(int) *gate.Facts { return browser(address) })
			began, kept := time.Now(), p.s.Stats().Kept
			p.keep(300*time.Microsecond, 3*time.Second, func(int) *gate.Facts { return browser(address) })
			if served, _, _ := outcome(p.since(began)); served < 1080 || kept > .5 {
				t.Errorf("%d are served in 3 s by an origin that does 1200, while %.2f of a crowd are kept", served, kept)
			}
			p.close(t)
		})
	}
}

func TestRetryGrowsWithTheCrowd(t *testing.T) {
	s := New(fixed(10), Outside{})
	last := time.Duration(0)
	for _, rate := range []float64{0, 50, 500, 2000, 1e5, 1e12} {
		s.crowd.rate = rate
		s.estimate(100, 100)
		retry := s.Places().(places).refuse(rules.Browse).Retry
		if want := seconds(max(1, min(60, rate/100))); retry != want {
			t.Errorf("a crowd of %v/s at 100/s is to come back after %v, want %v", rate, retry, want)
		}
		if retry < last {
			t.Errorf("a larger crowd is to come back sooner: %v after %v", retry, last)
		}
		last = retry
	}
	s.lines[winning].Store(510)
	s.estimate(100, 100)
	if retry := s.Places().(places).refuse(rules.Winner).Retry; retry != 5*time.Second {
		t.Errorf("with 500 winners ahead at 100/s the next is to come back after %v, want 5s", retry)
	}
}

func TestWinnersHaveRoomForWhatIsServedWithinTheirWait(t *testing.T) {
	s := New(fixed(10), Outside{})
	s.limit.capacity = 200
	s.makeRoom(time.Now())
	if n := s.room[rules.Winner].Load(); n != 10+6000-78 {
		t.Errorf("there is room for %d winners, want those at the origin and 30 s of 200/s, less what chance takes", n)
	}
	s.limit.capacity = .1
	s.makeRoom(time.Now())
	if n := s.room[rules.Winner].Load(); n != 10+leastRoom {
		t.Errorf("there is room for %d winners, want %d at least", n, leastRoom)
	}
	s.conf.WinnersDepth = 7
	s.makeRoom(time.Now())
	if n := s.room[rules.Winner].Load(); n != 17 {
		t.Errorf("there is room for %d winners, want the file's 7 and the limit", n)
	}
}

func TestWinnersRoomIsThatOfTheLowerLimit(t *testing.T) {
	o := fixed(0)
	o.MaxConcurrency = 1000
	s := New(o, Outside{})
	s.limit.level, s.limit.capacity, s.limit.swing = 100, 400, -1
	for _, class := range []rules.Priority{rules.Winner, rules.Checkout} {
		s.limit.swing = -1
		s.makeRoom(time.Now())
		low, down := s.room[class].Load(), s.limit.now()
		s.limit.swing = 1
		s.makeRoom(time.Now())
		if high := s.room[class].Load(); high != low || s.limit.now() <= down {
			t.Errorf("class %d has room for %d while the limit is %d and for %d while it is %d, want no more than with the lower one", class, low, down, high, s.limit.now())
		}
	}
	s.limit.observe = true // a swing from before is none
	s.makeRoom(time.Now())
	if n, served := s.room[rules.Winner].Load(), int64(400*30-109); n != 1000+served-1 {
		t.Errorf("observing lets 1000 through, and there is room for %d winners, want for %d", n, 1000+served-1)
	}
}

func TestStalledOriginHasNoRoomForBrowsers(t *testing.T) {
	o := fixed(10)
	o.WinnersMaxWait = 10 * time.Millisecond
	s := New(o, Outside{})
	for _, class := range []rules.Priority{rules.Winner, rules.Checkout} {
		if n := s.room[class].Load(); n != 10+unknownRoom {
			t.Errorf("class %d has room for %d while the origin's speed is not known, want %d at least", class, n, 10+unknownRoom)
		}
	}
	s.limit.phase = Stalled
	s.makeRoom(time.Now())
	if n := s.room[rules.Browse].Load(); n > 1 {
		t.Errorf("there is room for %d browsers, want one for a canary", n)
	}
	if n := s.room[rules.Winner].Load(); n < 10+leastRoom {
		t.Errorf("there is room for %d winners, want them to wait", n)
	}
}

func TestRefusingCostsNoAllocation(t *testing.T) {
	s := New(fixed(1), Outside{})
	full, cut := request(rules.Prefetch), browser(1)
	cut.IP = netip.MustParseAddr("2001:db8::1")
	for s.Places().Admit(t.Context(), full).OK() {
	}
	busy := request(rules.Browse)
	s.Slots().Admit(t.Context(), busy)
	g := s.Places()
	for name, f := range map[string]*gate.Facts{"full": full, "cut off": cut} {
		s.cut.Store(0)
		if n := testing.AllocsPerRun(100, func() {
			if g.Admit(t.Context(), f).OK() {
				t.Errorf("%s: admitted", name)
			}
		}); n > 0 {
			t.Errorf("%s: a refusal allocates %v times", name, n)
		}
	}
}
