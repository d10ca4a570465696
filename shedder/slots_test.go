package shedder

// Slots: who is served next, how long somebody waits, and what a stalled origin is sent.

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

func order() *gate.Facts {
	f := winner()
	f.Order, f.Sale.Order = true, &rules.OrderStep{}
	return f
}

func TestPromisesAreKeptWhileWinnersNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 400
		var all []*gate.Facts
		for range each {
			all = append(all, winner(), request(rules.Checkout), request(rules.Order), request(rules.Browse), request(rules.Prefetch))
		}
		got := map[rules.Priority]int{}
		for _, f := range serve(t, New(fixed(1), Outside{}), all...)[:each] {
			got[class(f)]++
		}
		for c, want := range map[rules.Priority]int{rules.Checkout: each / 4, rules.Order: each / 10, rules.Browse: each / 20} {
			if n := got[c]; n < want-1 || n > want+1 {
				t.Errorf("%v got %d of %d slots, want what it was promised: %d", c, n, each, want)
			}
		}
		if got[rules.Prefetch] != 0 {
			t.Errorf("prefetch got %d slots while others waited", got[rules.Prefetch])
		}
	})
}

func TestEarliestDeadlineIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claim := func(at, runs time.Duration) *gate.Facts {
			f := winner()
			f.At, f.Sale.Stock.ReserveFor = time.Now().Add(at), runs
			return f
		}
		late, soon, middle := claim(0, 10*time.Minute), claim(0, time.Minute), claim(-2*time.Minute, 5*time.Minute)
		paying := order()
		paying.Reservation = gate.Token{1}
		got := serve(t, New(fixed(1), Outside{}), late, middle, soon, paying)
		for i, want := range []*gate.Facts{paying, soon, middle, late} {
			if got[i] != want {
				t.Errorf("turn %d is not the one whose time runs out first (orders run already)", i)
			}
		}
	})
}

func TestWaitIsCountedFromArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(fixed(1), Outside{})
		s.Slots().Admit(t.Context(), request(rules.Browse))
		for _, c := range []struct {
			f    *gate.Facts
			ago  time.Duration
			want time.Duration
		}{
			{request(rules.Browse), 0, time.Second},
			{request(rules.Browse), 300 * time.Millisecond, 700 * time.Millisecond},
			{request(rules.Prefetch), 2 * time.Second, 500 * time.Millisecond}, // it came in slowly
			{request(rules.Order), 100 * time.Millisecond, 900 * time.Millisecond},
			{request(rules.Checkout), 0, 30 * time.Second},
			{winner(), 0, 30 * time.Second},
		} {
			began := time.Now()
			c.f.At = began.Add(-c.ago)
			if v := s.Slots().Admit(t.Context(), c.f); v.Reason != gate.Overloaded || time.Since(began) != c.want {
				t.Errorf("%v that came %v ago got %v after %v, want overloaded after %v", class(c.f), c.ago, v.Reason, time.Since(began), c.want)
			}
		}
	})
}

func TestHopelessWaitIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(fixed(1), Outside{})
		s.limit.capacity = 10
		s.Slots().Admit(t.Context(), request(rules.Browse))
		ctx, cancel := context.WithCancel(t.Context())
		for range 11 { // ten are served in the second that the next may wait
			go s.Slots().Admit(ctx, request(rules.Order))
		}
		synctest.Wait()
		began := time.Now()
		if v := s.Slots().Admit(ctx, request(rules.Prefetch)); v.Reason != gate.Overloaded || time.Since(began) != 0 {
			t.Errorf("behind more than it can wait for: %v after %v, want overloaded at once", v.Reason, time.Since(began))
		}
		if n := s.waiters.Load(); n != 11 {
			t.Errorf("%d wait, want the 11 from before", n)
		}
		go s.Slots().Admit(ctx, winner())
		synctest.Wait()
		if n := s.waiters.Load(); n != 12 {
			t.Errorf("%d wait, want a winner to wait whatever is estimated", n)
		}
		cancel()
		synctest.Wait()
		if n := s.waiters.Load(); n != 0 {
			t.Errorf("%d still wait when all have left", n)
		}
	})
}

func TestWhatWasNeverSentTeachesNothing(t *testing.T) {
	s := New(fixed(4), Outside{})
	for _, c := range []struct {
		end            gate.End
		useful, failed uint64
	}{
		{gate.End{Kind: gate.Answered, Status: 200}, 1, 0},
		{gate.End{Kind: gate.Answered, Status: 404}, 1, 0},
		{gate.End{Kind: gate.Answered, Status: 503}, 0, 1},
		{gate.End{Kind: gate.Unknown}, 0, 1},
		{gate.End{Kind: gate.Unsent, Unreachable: true}, 0, 1},
		{gate.End{Kind: gate.Unsent}, 0, 0},
		{gate.End{Kind: gate.Refused}, 0, 0},
	} {
		before := s.read(time.Now())
		f := request(rules.Browse)
		s.Slots().Admit(t.Context(), f)
		s.Slots().Release(f, c.end)
		after := s.read(time.Now())
		if u, f := after.useful-before.useful, after.failed-before.failed; u != c.useful || f != c.failed {
			t.Errorf("%+v counts as %d useful and %d failed, want %d and %d", c.end, u, f, c.useful, c.failed)
		}
	}
}

func TestStallRefusesBrowsersAndSendsCanariesOfTheHighestClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := origin()
		p := open(t, New(o, Outside{Remembered: Remembered{Limit: 10}}), 50*time.Millisecond)
		p.keep(2*time.Millisecond, 4*time.Second, func(i int) *gate.Facts { f := request(rules.Browse); f.IP = from(i); return f })
		for i := 0; p.s.Stats().Waiting[rules.Browse] < 3; i++ { // from others each time: some are cut off
			p.come(browser(i))
			if time.Sleep(time.Millisecond); i > 10_000 {
				t.Fatal("no three browsers wait")
			}
		}
		p.setDown(true)
		for i := 0; p.s.Stats().Phase != Stalled; i++ {
			p.come(browser(i))
			if time.Sleep(tick / 5); i > 10_000 {
				t.Fatal("no stall is seen")
			}
		}
		synctest.Wait()
		if st := p.s.Stats(); st.Waiting[rules.Browse]+st.Waiting[rules.Prefetch] > 1 { // one place is left, for a canary
			t.Errorf("in a stall %v wait, want no browsers", st.Waiting)
		}
		began, most := time.Now(), max(p.s.Stats().InFlight, int(p.s.Stats().Level)+8)
		for range 5 {
			p.come(request(rules.Order))
			p.come(winner())
		}
		p.keep(10*time.Millisecond, 3*time.Second, func(int) *gate.Facts { return request(rules.Browse) })
		if n := p.s.Stats().Waiting[rules.Winner]; n == 0 {
			t.Error("no winner waits for the origin to come back")
		}
		if n := p.s.Stats().InFlight; n > most {
			t.Errorf("%d are at an origin that has stalled, want at most %d", n, most)
		}
		p.setDown(false)
		late := time.Now()
		time.Sleep(2 * time.Second)
		classes := map[rules.Priority]int{}
		for _, v := range p.since(began) {
			if !v.granted.IsZero() && v.granted.Before(late) {
				classes[class(v.f)]++
			}
			if class(v.f) == rules.Winner && !v.v.OK() {
				t.Errorf("a winner got %v after %v", v.v.Reason, v.waited)
			}
			if class(v.f) == rules.Browse && v.at.Before(late) && v.placed && v.granted.IsZero() && v.waited > time.Second {
				t.Errorf("a browser waited %v", v.waited)
			}
		}
		if classes[rules.Order]+classes[rules.Browse] > 1 || classes[rules.Winner] > 5 { // one, when no winner had come yet
			t.Errorf("canaries were %v, want winners only", classes)
		}
		p.close(t)
	})
}

func TestConfigureAtAnyMomentLosesNothing(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			p := open(t, New(fixed(4), Outside{}), 20*time.Millisecond)
			auto, observe := origin(), origin()
			observe.ObserveConcurrency = true
			observe.MaxConcurrency = 8
			auto.MaxConcurrency = 8
			p.keep(time.Millisecond, 5*time.Second, func(i int) *gate.Facts {
				if r.IntN(20) == 0 {
					p.s.Configure([]rules.Origin{fixed(1), fixed(2), fixed(8), auto, observe}[r.IntN(5)])
				}
				if r.IntN(10) == 0 {
					return winner()
				}
				f := request(rules.Priority(r.IntN(int(rules.Priorities))))
				f.IP = from(i)
				return f
			})
			p.all.Wait()
			if most := p.most; most > 8+staticLimit {
				t.Errorf("seed %d: %d were at the origin, want at most 8 and %d static ones", seed, most, staticLimit)
			}
			p.close(t)
		})
	}
}

// A configuration in a stall must not open the gate for a tick.
func TestConfigureInAStallOpensNothing(t *testing.T) {
	s := New(fixed(5), Outside{})
	s.limit.phase = Stalled
	for _, o := range []rules.Origin{fixed(6), origin(), fixed(5)} {
		if s.Configure(o); s.limited.Load() != 0 {
			t.Errorf("%d may go to an origin that has stalled", s.limited.Load())
		}
	}
}

func TestEverythingIsGivenBackUnderRandomUse(t *testing.T) {
	s := New(fixed(3), Outside{})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			for range 300 {
				switch r.IntN(30) {
				case 0:
					s.Configure(fixed(1 + r.IntN(5)))
				case 1:
					s.look(time.Now())
				case 2:
					s.Stats()
				}
				f := request(rules.Priority(r.IntN(int(rules.Priorities))))
				if r.IntN(4) == 0 {
					f = winner()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(300))*time.Microsecond)
				if s.Places().Admit(ctx, f).OK() {
					end := gate.End{Kind: gate.EndKind(r.IntN(4)), Status: 200}
					if s.Slots().Admit(ctx, f).OK() {
						s.Slots().Release(f, end)
					}
					s.Places().Release(f, end)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	empty(t, s)
}

func TestFreeSlotCostsNoAllocation(t *testing.T) {
	g, f := New(fixed(4), Outside{}).Slots(), request(rules.Browse)
	if n := testing.AllocsPerRun(100, func() {
		if g.Admit(t.Context(), f).OK() {
			g.Release(f, served)
		}
	}); n > 0 {
		t.Errorf("taking a free slot and giving it back allocates %v times", n)
	}
}
