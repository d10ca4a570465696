package shedder

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func origin() rules.Origin {
	return rules.Origin{
		MaxConcurrency: 256, QueueDepth: 500, QueueMaxWait: time.Second, WinnersMaxWait: 30 * time.Second,
	}
}

func fixed(n int) rules.Origin {
	o := origin()
	o.Concurrency = n
	return o
}

func request(p rules.Priority) *gate.Facts {
	return &gate.Facts{At: time.Now(), IP: netip.MustParseAddr("192.0.2.1"), Priority: p}
}

func winner() *gate.Facts {
	f := request(rules.Order)
	f.Sale = &rules.Sale{Name: "s", Enforce: true, Stock: &rules.Stock{Items: map[string]int{"": 1}}}
	return f
}

var served = gate.End{Kind: gate.Answered, Status: 200}

func TestGatesKeepTheContract(t *testing.T) {
	facts := func(i int) *gate.Facts {
		f := request(rules.Browse)
		f.Account = fmt.Sprint("c:", i)
		return f
	}
	t.Run("places", func(t *testing.T) {
		o := fixed(3)
		o.QueueDepth = 4
		gatetest.Run(t, gatetest.Subject{
			New:   func(testing.TB) gate.Gate { return New(o).Places() },
			Facts: facts, Capacity: 6, Total: 6, Holds: true, Routes: true,
		})
	})
	t.Run("slots", func(t *testing.T) {
		o := fixed(3)
		o.QueueMaxWait = time.Microsecond
		gatetest.Run(t, gatetest.Subject{
			New:   func(testing.TB) gate.Gate { return New(o).Slots() },
			Facts: facts, Capacity: 3, Total: 3, Holds: true, Routes: true, Store: true,
		})
	})
}

// queue puts requests behind a busy origin and answers the order they are served in.
func queue(t *testing.T, s *Shedder, classes ...*gate.Facts) []*gate.Facts {
	g := s.Slots()
	blocker := request(rules.Browse)
	if v := g.Admit(t.Context(), blocker); !v.OK() {
		t.Fatalf("an idle origin answered %v", v.Reason)
	}
	var order []*gate.Facts
	for _, f := range classes {
		go func() {
			if g.Admit(t.Context(), f).OK() {
				order = append(order, f)
				g.Release(f, served)
			}
		}()
		synctest.Wait()
	}
	g.Release(blocker, served)
	synctest.Wait()
	return order
}

func TestWinnersAreServedFirstThenByClassThenByArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b1, b2, pre, chk, w1, w2 := request(rules.Browse), request(rules.Browse), request(rules.Prefetch), request(rules.Checkout), winner(), winner()
		got := queue(t, New(fixed(1)), pre, b1, w1, chk, b2, w2)
		want := []*gate.Facts{w1, w2, chk, b1, b2, pre}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("served in another order than winners, checkout, browse, prefetch")
		}
	})
}

func TestWaitEndsAndLosesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(fixed(1))
		g := s.Slots()
		busy := request(rules.Browse)
		g.Admit(t.Context(), busy)
		began := time.Now()
		if v := g.Admit(t.Context(), request(rules.Browse)); v.Reason != gate.Overloaded || v.Retry < time.Second {
			t.Errorf("got %+v after the wait, want overloaded with a retry", v)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v, want the queue's 1s", waited)
		}
		began = time.Now()
		if v := g.Admit(t.Context(), winner()); v.OK() || time.Since(began) != 30*time.Second {
			t.Errorf("a winner got %v after %v, want overloaded after 30s", v.Reason, time.Since(began))
		}
		g.Release(busy, served)
		if st := s.Stats(); st.InFlight != 0 {
			t.Errorf("%d slots are lost", st.InFlight)
		}
	})
}

func TestGrantAndGivingUpNeverLoseASlot(t *testing.T) {
	s := New(fixed(2))
	g := s.Slots()
	var inFlight, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(200))*time.Microsecond)
				if f := request(rules.Priority(r.IntN(5))); g.Admit(ctx, f).OK() {
					n := inFlight.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					inFlight.Add(-1)
					g.Release(f, served)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() > 2 {
		t.Errorf("%d were at the origin at once, want at most 2", most.Load())
	}
	if st := s.Stats(); st.InFlight != 0 {
		t.Errorf("%d slots are lost", st.InFlight)
	}
	for c := range s.waiting {
		if s.waiting[c].n != 0 || s.waiting[c].first != nil {
			t.Errorf("class %d still waits", c)
		}
	}
}

func TestPlacesAreBoundedByClass(t *testing.T) {
	o := fixed(10)
	o.QueueDepth, o.WinnersDepth = 100, 7
	s := New(o)
	take := func(f *gate.Facts) (n int) {
		for s.Places().Admit(t.Context(), f).OK() {
			n++
		}
		return n
	}
	if n := take(request(rules.Prefetch)); n != 10+25 {
		t.Errorf("prefetch got %d places, want the limit and a quarter of the depth: 35", n)
	}
	if n := take(request(rules.Browse)); n != 10+75-35 {
		t.Errorf("browse got %d more, want up to three quarters: 50", n)
	}
	if n := take(request(rules.Checkout)); n != 25 {
		t.Errorf("checkout got %d more, want the rest: 25", n)
	}
	if n := take(winner()); n != 17 {
		t.Errorf("winners got %d places, want the limit and their own 7", n)
	}
}

func TestStaticHasALimitOfItsOwn(t *testing.T) {
	s := New(fixed(1))
	s.Slots().Admit(t.Context(), request(rules.Browse))
	for i := range staticLimit {
		if v := s.Slots().Admit(t.Context(), request(rules.Static)); !v.OK() {
			t.Fatalf("static request %d got %v", i, v.Reason)
		}
	}
	if v := s.Slots().Admit(t.Context(), request(rules.Static)); v.Reason != gate.Overloaded {
		t.Errorf("static request %d got %v, want overloaded", staticLimit+1, v.Reason)
	}
	for range staticLimit {
		s.Slots().Release(request(rules.Static), served)
	}
	if v := s.Slots().Admit(t.Context(), request(rules.Static)); !v.OK() {
		t.Errorf("after all were released: %v", v.Reason)
	}
}

func TestConfigureServesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(fixed(1))
		s.Slots().Admit(t.Context(), request(rules.Browse))
		var got gate.Verdict
		go func() { got = s.Slots().Admit(t.Context(), request(rules.Browse)) }()
		synctest.Wait()
		s.Configure(fixed(2))
		synctest.Wait()
		if !got.OK() {
			t.Errorf("a waiter got %v when the limit rose, want admitted", got.Reason)
		}
		if st := s.Stats(); st.InFlight != 2 || st.Limit != 2 {
			t.Errorf("got %+v, want 2 in flight of 2", st)
		}
	})
}

func TestOnlyAUnitMakesAWinner(t *testing.T) {
	ungated := winner()
	ungated.Sale.Stock.ForwardOther = true
	ungated.Item = "case"
	for name, c := range map[string]struct {
		f    *gate.Facts
		want rules.Priority
	}{
		"an item of the sale":             {winner(), rules.Winner},
		"an item let through ungated":     {ungated, rules.Order},
		"a request that claims to be one": {request(rules.Winner), rules.Checkout},
		"a browsing one":                  {request(rules.Browse), rules.Browse},
		"a sale that only observes":       {&gate.Facts{Priority: rules.Order, Sale: &rules.Sale{Stock: &rules.Stock{}}}, rules.Order},
	} {
		if got := class(c.f); got != c.want {
			t.Errorf("%s waits as %v, want %v", name, got, c.want)
		}
	}
}

func TestARefusalNamesTheQueuesOwnWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fixed(1)
		o.QueueDepth, o.WinnersDepth = 100, 20
		s := New(o)
		f := winner()
		for range 200 { // one answer a second
			s.Places().Admit(t.Context(), f)
			s.Slots().Admit(t.Context(), f)
			go s.Slots().Admit(t.Context(), f) // somebody waits: the origin is the bottleneck
			synctest.Wait()
			time.Sleep(time.Second)
			s.Slots().Release(f, served)
			s.Slots().Release(f, served)
			s.Places().Release(f, served)
		}
		for s.Places().Admit(t.Context(), f).OK() {
		}
		v := s.Places().Admit(t.Context(), f)
		if v.Retry < 5*time.Second || v.Retry > 30*time.Second {
			t.Errorf("behind twenty and about two answers a second: told to come back in %v", v.Retry)
		}
	})
}

// shop is an origin with 20 workers whose throughput falls when more are inside:
// 100 ms at rest, 250 ms with all workers busy, ever more beyond.
func service(inside int) time.Duration {
	const rest, workers = 100 * time.Millisecond, 20
	if inside <= workers {
		return rest + rest*15/10*time.Duration(inside-1)/(workers-1)
	}
	return rest * 25 / 10 * time.Duration(inside*inside) / (workers * workers)
}

// play offers perSecond requests for a time and answers how many were served and
// refused after the first five seconds, per second.
func play(t *testing.T, o rules.Origin, perSecond int, lasts time.Duration) (goodput, refusals float64) {
	synctest.Test(t, func(t *testing.T) {
		s := New(o)
		places, slots := s.Places(), s.Slots()
		var inside, done, refused atomic.Int64
		r := rand.New(rand.NewPCG(7, 7))
		began := time.Now()
		var wg sync.WaitGroup
		for time.Since(began) < lasts {
			time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second) / float64(perSecond)))
			wg.Go(func() {
				f := request(rules.Browse)
				count := time.Since(began) > 5*time.Second
				if !places.Admit(t.Context(), f).OK() {
					if count {
						refused.Add(1)
					}
					return
				}
				defer places.Release(f, served)
				if !slots.Admit(t.Context(), f).OK() {
					if count {
						refused.Add(1)
					}
					return
				}
				time.Sleep(service(int(inside.Add(1))))
				inside.Add(-1)
				slots.Release(f, served)
				if time.Since(began) < lasts && count {
					done.Add(1)
				}
			})
		}
		wg.Wait()
		window := (lasts - 5*time.Second).Seconds()
		goodput, refusals = float64(done.Load())/window, float64(refused.Load())/window
	})
	return goodput, refusals
}

func TestLimitFindsTheOriginsPeak(t *testing.T) {
	best := 0.0
	for _, n := range []int{12, 16, 20, 24} {
		got, _ := play(t, fixed(n), 800, 30*time.Second)
		best = max(best, got)
	}
	got, _ := play(t, origin(), 800, 30*time.Second)
	if got < .85*best {
		t.Errorf("at ten times the load %.1f/s were served, want at least 85 %% of the best fixed limit's %.1f/s", got, best)
	}
	t.Logf("goodput %.1f/s of %.1f/s", got, best)
}

func TestHalfTheLoadIsNotRefused(t *testing.T) {
	if _, refused := play(t, origin(), 40, 30*time.Second); refused > 0 {
		t.Errorf("at half the load %.2f/s were refused, want none", refused)
	}
}

func TestStallHalvesTheLimit(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLimit(origin(), now)
	l.current = 64
	l.saturated = true
	now = now.Add(2 * time.Second)
	l.busy(64, now)
	l.done(false, now)
	if l.now() != 32 {
		t.Errorf("after two seconds without an answer the limit is %d, want 32", l.now())
	}
	l.saturated = true
	l.done(false, now.Add(100*time.Millisecond))
	if l.now() != 32 {
		t.Errorf("a moment later it is %d, want 32 still", l.now())
	}
}

func BenchmarkRefuseAtPlaces(b *testing.B) {
	o := fixed(1)
	o.QueueDepth = 1
	s := New(o)
	f := request(rules.Prefetch)
	for s.Places().Admit(b.Context(), f).OK() {
	}
	g := s.Places()
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(b.Context(), f)
	}
}

func BenchmarkAcquireAndRelease(b *testing.B) {
	s := New(fixed(256))
	g := s.Slots()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		f := request(rules.Browse)
		for pb.Next() {
			if g.Admit(b.Context(), f).OK() {
				g.Release(f, served)
			}
		}
	})
}
