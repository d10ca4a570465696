package redis_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// patient rules have no call repeated because the machine is busy.
func patient(s *stocktest.Server) rules.Redis {
	r := s.Rules()
	r.Timeout = time.Minute
	return r
}

// TestOneRoundTripForMany: what comes while a round trip is under way shares the next.
func TestOneRoundTripForMany(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, patient(server)), 500)
	c := raw(t, server.Addr)
	s.decide(10_000, gate.Admitted)
	var largest atomic.Int64
	s.store.Observe = func(batch int, took time.Duration) {
		if took <= 0 {
			t.Errorf("a batch took %v", took)
		}
		largest.Store(max(largest.Load(), int64(batch)))
	}
	before := calls(t, c)
	wake := freeze(t, server.Addr) // all arrive during the first one's round trip
	var wg sync.WaitGroup
	const many = 600
	for n := range many {
		wg.Go(func() {
			d, err := s.store.Decide(t.Context(), s.ask(n))
			if err != nil || d.Reason != gate.Admitted && d.Reason != gate.SoldOut {
				t.Errorf("Decide(%d) = %+v, %v", n, d, err)
			}
		})
	}
	redis.Queued(s.store, s.ledger, many-1)
	wake()
	wg.Wait()
	if n := calls(t, c) - before; n != 1+3 || largest.Load() != redis.BatchLimit {
		t.Errorf("%d calls took %d round trips, the largest batch was %d; want 4, and %d", many, n, largest.Load(), redis.BatchLimit)
	}
	s.counts(stock.Counts{Loaded: 500, Reserved: 500})
}

// TestAloneGoesAtOnce: with nothing under way a call starts no goroutine and waits for none.
func TestAloneGoesAtOnce(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 100)
	s.decide(0, gate.Admitted)
	c := raw(t, server.Addr)
	before := calls(t, c)
	batches := 0
	s.store.Observe = func(batch int, _ time.Duration) { batches += batch } // a race, were it another goroutine
	for n := 1; n <= 20; n++ {
		s.decide(n, gate.Admitted)
		s.start(n, gate.Admitted)
		s.settle(s.sold(n), nil)
	}
	if n := calls(t, c) - before; n != 60 || batches != 60 {
		t.Errorf("60 calls one after the other took %d round trips and %d batches, want 60", n, batches)
	}
}

// TestGoneBeforeSent: a call whose caller has left by the time it would be sent is not,
// and its caller has been told so.
func TestGoneBeforeSent(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, patient(server)), 100)
	s.decide(0, gate.Admitted)
	wake := freeze(t, server.Addr)
	var wg sync.WaitGroup
	wg.Go(func() { s.store.Decide(t.Context(), s.ask(1)) })
	redis.Busy(s.store, s.ledger)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 3)
	for n := range 3 {
		go func() {
			_, err := s.store.Decide(ctx, s.ask(10+n))
			left <- err
		}()
	}
	redis.Queued(s.store, s.ledger, 3)
	leave()
	for range 3 {
		if err := <-left; !errors.Is(err, redis.ErrNotDone) || !errors.Is(err, context.Canceled) {
			t.Errorf("who left was told %v, want that nothing was done", err)
		}
	}
	wg.Go(func() { s.decide(20, gate.Admitted) }) // who stays is not disturbed
	redis.Queued(s.store, s.ledger, 4)
	wake()
	wg.Wait()
	s.counts(stock.Counts{Loaded: 100, Free: 97, Reserved: 3}) // 0, 1 and 20

	if _, err := s.store.Decide(ctx, s.ask(30)); !errors.Is(err, redis.ErrNotDone) {
		t.Errorf("a call with a dead context was told %v, want that nothing was done", err)
	}
}

// TestGoneWhileUnderWay: a caller that leaves after its call was sent is not told that
// nothing was done.
func TestGoneWhileUnderWay(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, patient(server)), 100)
	s.decide(0, gate.Admitted)
	wake := freeze(t, server.Addr)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.store.Decide(ctx, s.ask(1))
	if err == nil || errors.Is(err, redis.ErrNotDone) {
		t.Errorf("with its call under way the caller was told %v, want trouble and no promise", err)
	}
	wake()
	s.settle(s.free(1), nil)
	s.counts(stock.Counts{Loaded: 100, Free: 99, Reserved: 1})
}

// TestSlowRedisPilesUpNothing: the queue is bounded, callers leave in time, and once Redis
// is back everything is as before.
func TestSlowRedisPilesUpNothing(t *testing.T) {
	server := stocktest.StartRedis(t)
	r := server.Rules()
	s := newShop(t, open(t, patient(server)), 100)
	r.Timeout = 200 * time.Millisecond
	hasty := &shop{t, open(t, r), s.ledger}
	s.decide(0, gate.Admitted)
	idle := runtime.NumGoroutine()
	wake := freeze(t, server.Addr)
	var wg sync.WaitGroup
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	wg.Go(func() { s.decide(1, gate.Admitted) })
	redis.Busy(s.store, s.ledger)
	for n := range redis.QueueLimit {
		wg.Go(func() {
			if _, err := s.store.Decide(ctx, s.ask(n+2)); !errors.Is(err, redis.ErrNotDone) {
				t.Errorf("who left the queue was told %v, want that nothing was done", err)
			}
		})
	}
	redis.Queued(s.store, s.ledger, redis.QueueLimit)
	if _, err := s.store.Decide(t.Context(), s.ask(1<<20)); !redis.IsFull(err) || !errors.Is(err, redis.ErrNotDone) {
		t.Errorf("with the queue full Decide = %v, want that at once", err)
	}
	var late sync.WaitGroup
	for n := range 10 { // whose time is over leaves by himself
		late.Go(func() {
			if _, err := hasty.store.Decide(t.Context(), s.ask(n+2)); err == nil {
				t.Error("a frozen Redis has decided")
			}
		})
	}
	late.Wait()
	leave()
	eventually(t, "only who is under way waits", func() bool { return runtime.NumGoroutine() < idle+100 })
	wake()
	wg.Wait()
	eventually(t, "it decides again", func() bool {
		d, err := s.store.Decide(t.Context(), s.ask(1<<20))
		return err == nil && d.Reason == gate.Admitted
	})
	eventually(t, "goroutines are as few as before", func() bool { return runtime.NumGoroutine() <= idle+8 })
}

// TestBatchIsOneInstant: the same account and the same token many times in one batch.
func TestBatchIsOneInstant(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, patient(server)), 10)
	s.decide(0, gate.Admitted)
	wake := freeze(t, server.Addr)
	var wg sync.WaitGroup
	wg.Go(func() { s.store.Decide(t.Context(), s.ask(1)) })
	redis.Busy(s.store, s.ledger)
	var won, pending, again atomic.Int64
	for n := range 20 {
		wg.Go(func() {
			a := s.ask(2)
			a.Token = stocktest.Token(100 + n/2) // each twice
			d, err := s.store.Decide(t.Context(), a)
			switch {
			case err == nil && d.Reason == gate.Admitted:
				won.Add(1)
			case err == nil && d.Reason == gate.OrderPending:
				pending.Add(1)
			default:
				t.Errorf("Decide = %+v, %v", d, err)
			}
		})
		wg.Go(func() {
			if err := s.store.Settle(t.Context(), s.free(0)); err == nil {
				again.Add(1)
			}
		})
	}
	redis.Queued(s.store, s.ledger, 40)
	wake()
	wg.Wait()
	if won.Load() != 2 || pending.Load() != 18 || again.Load() != 20 {
		t.Errorf("one account with ten tokens, each twice: %d won, %d pending; want 2 and 18", won.Load(), pending.Load())
	}
	s.counts(stock.Counts{Loaded: 10, Free: 8, Reserved: 2})
}
