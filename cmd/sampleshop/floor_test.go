package main

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestServiceTime(t *testing.T) {
	const rest = 100 * time.Millisecond
	for _, c := range []struct {
		workers, n int
		want       time.Duration
	}{
		{20, 1, 100 * time.Millisecond},
		{20, 20, 250 * time.Millisecond},
		{20, 40, 375 * time.Millisecond},
		{20, 531, 3443750 * time.Microsecond},
		{1, 1, 100 * time.Millisecond},
		{1, 2, 375 * time.Millisecond},
	} {
		if got := service(rest, c.workers, c.n); got != c.want {
			t.Errorf("service(%v, %d workers, %d inside) = %v, want %v", rest, c.workers, c.n, got, c.want)
		}
	}
}

func TestThroughputRisesToSaturationAndFallsAfter(t *testing.T) {
	const workers = 20
	throughput := func(n int) float64 {
		return float64(min(n, workers)) / service(100*time.Millisecond, workers, n).Seconds()
	}
	for n := 1; n < 600; n++ {
		here, next := throughput(n), throughput(n+1)
		if rises := next > here; rises != (n < workers) {
			t.Errorf("throughput from %d to %d inside: %.1f/s to %.1f/s, want it to rise up to %d and fall after", n, n+1, here, next, workers)
		}
	}
}

func TestFloorServesNoMoreThanItsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor(2, 3)
		var mu sync.Mutex
		var busy, most, served, refused int
		count := func(n *int, by int) {
			mu.Lock()
			defer mu.Unlock()
			*n += by
			most = max(most, busy)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() {
				if !f.enter() {
					count(&refused, 1)
					return
				}
				defer f.leave()
				count(&busy, 1)
				time.Sleep(time.Second)
				count(&busy, -1)
				count(&served, 1)
			})
		}
		wg.Wait()
		if most != 2 || served != 5 || refused != 4 {
			t.Errorf("9 requests, 2 workers, backlog 3: %d at once, %d served, %d refused, want 2, 5, 4", most, served, refused)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("5 requests of 1 s by 2 workers took %v, want 3s", took)
		}
		if f.inside != 0 || f.peak != 5 || f.turnedAway != 4 {
			t.Errorf("after it: inside %d, peak %d, turned away %d, want 0, 5, 4", f.inside, f.peak, f.turnedAway)
		}
	})
}
