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
		o.QueueDepth = 4 // three quarters of it for who browses
		gatetest.Run(t, gatetest.Subject{
			New:   func(testing.TB) gate.Gate { return New(o, Outside{}).Places() },
			Facts: facts, Capacity: 6, Total: 6, Holds: true, Routes: true,
		})
	})
	t.Run("slots", func(t *testing.T) {
		o := fixed(3)
		o.QueueMaxWait = time.Microsecond
		gatetest.Run(t, gatetest.Subject{
			New:   func(testing.TB) gate.Gate { return New(o, Outside{}).Slots() },
			Facts: facts, Capacity: 3, Total: 3, Holds: true, Routes: true, Store: true,
		})
	})
}

// queue puts requests behind a busy origin and answers the order they are served in.
func serve(t *testing.T, s *Shedder, classes ...*gate.Facts) []*gate.Facts {
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
		got := serve(t, New(fixed(1), Outside{}), pre, b1, w1, chk, b2, w2)
		want := []*gate.Facts{w1, w2, chk, b1, b2, pre}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("served in another order than winners, checkout, browse, prefetch")
		}
	})
}

func TestWaitEndsAndLosesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(fixed(1), Outside{})
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
	s := New(fixed(2), Outside{})
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
	for c, n := range s.Stats().Waiting {
		if n != 0 {
			t.Errorf("%d of class %d still wait", n, c)
		}
	}
}

func TestPlacesAreBoundedByClass(t *testing.T) {
	o := fixed(10)
	o.QueueDepth, o.WinnersDepth = 40, 7
	s := New(o, Outside{})
	take := func(f *gate.Facts) (n int) {
		for s.Places().Admit(t.Context(), f).OK() {
			n++
		}
		return n
	}
	if n := take(request(rules.Prefetch)); n != 10+10 {
		t.Errorf("prefetch got %d places, want the limit and a quarter of the depth: 20", n)
	}
	if n := take(request(rules.Browse)); n != 20 {
		t.Errorf("browse got %d more, want up to three quarters: 20", n)
	}
	if n := take(request(rules.Order)); n != 10 {
		t.Errorf("orders got %d more, want the rest: 10", n)
	}
	if n := take(request(rules.Checkout)); n < unknownRoom {
		t.Errorf("checkout got %d places, want %d of its own at least", n, unknownRoom)
	}
	if n := take(winner()); n != 17 {
		t.Errorf("winners got %d places, want the limit and their own 7", n)
	}
}

func TestStaticHasALimitOfItsOwn(t *testing.T) {
	s := New(fixed(1), Outside{})
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
		s := New(fixed(1), Outside{})
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
