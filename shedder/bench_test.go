package shedder

// What the gates cost. Run it with
//
//	go test ./shedder -run '^$' -bench . -cpu 2
//
// Ratios are to what any counter of requests in flight must cost at the least, measured in
// the same run; they travel between machines better than nanoseconds do.

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/rules"
)

func BenchmarkRefuseAtPlaces(b *testing.B) {
	o := fixed(1)
	o.QueueDepth = 1
	s := New(o, Outside{})
	f, g := request(rules.Prefetch), s.Places()
	for g.Admit(b.Context(), f).OK() {
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(ctx, f)
	}
}

func BenchmarkRefuseBeyondCutOff(b *testing.B) {
	for name, ip := range map[string]string{"v4": "192.0.2.1", "v6": "2001:db8::1"} {
		b.Run(name, func(b *testing.B) {
			s := New(fixed(1), Outside{})
			s.Slots().Admit(b.Context(), request(rules.Browse))
			s.cut.Store(0)
			f, g, ctx := request(rules.Browse), s.Places(), b.Context()
			f.IP = netip.MustParseAddr(ip)
			if g.Admit(ctx, f).OK() {
				b.Fatal("it is not cut off")
			}
			b.ReportAllocs()
			for b.Loop() {
				g.Admit(ctx, f)
			}
		})
	}
}

// contending is how many goroutines want a slot at a time.
const contending = 16

// contend has them take and give back, n times together, and answers nanoseconds each.
func contend(n int, once func()) float64 {
	var wg sync.WaitGroup
	began := time.Now()
	for range contending {
		wg.Go(func() {
			for range n / contending {
				once()
			}
		})
	}
	wg.Wait()
	return float64(time.Since(began)) / float64(max(contending, n/contending*contending))
}

// BenchmarkAcquireAndRelease has a slot for everybody: nobody waits.
func BenchmarkAcquireAndRelease(b *testing.B) {
	s := New(fixed(256), Outside{})
	g, f, ctx := s.Slots(), request(rules.Browse), context.Background()
	var mu sync.Mutex
	locked, counter := 0, atomic.Int64{}
	n := max(b.N, contending)
	b.ReportAllocs()
	b.ResetTimer()
	ours := contend(n, func() {
		if g.Admit(ctx, f).OK() {
			g.Release(f, served)
		}
	})
	b.StopTimer()
	mutex := contend(n, func() {
		mu.Lock()
		locked++
		mu.Unlock()
		mu.Lock()
		locked--
		mu.Unlock()
	})
	bare := contend(n, func() {
		counter.Add(1)
		counter.Add(-1)
	})
	if locked != 0 || counter.Load() != 0 || s.inFlight.Load() != 0 {
		b.Fatal("something was not given back")
	}
	b.ReportMetric(ours/mutex, "×mutex")
	b.ReportMetric(ours/bare, "×atomic")
}

// BenchmarkLook is one tick with 10,000 who wait.
func BenchmarkLook(b *testing.B) {
	s := New(fixed(1), Outside{})
	s.Slots().Admit(b.Context(), request(rules.Browse))
	now := time.Now()
	for i := range 10_000 {
		w := &waiter{granted: make(chan bool, 1), due: now, since: now, order: uint64(i)}
		s.queues[i%int(rules.Static)].push(w)
		s.waiters.Add(1)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(tick)
		s.limit.guard.alive = now // a stall would refuse those who wait
		s.look(now)
	}
	if n := s.waiters.Load(); n != 10_000 {
		b.Fatalf("%d still wait", n)
	}
}
