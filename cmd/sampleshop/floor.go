package main

import (
	"sync"
	"time"
)

// The floor: the workers and the queue before them. A request waits until a worker
// is free, first come first served. Nobody leaves the queue: as in a listen backlog,
// a request whose client is gone is served all the same.

type floor struct {
	backlog int
	workers chan struct{} // one element per busy worker

	mu         sync.Mutex
	inside     int // served and waiting
	peak       int // the most that were ever inside
	turnedAway int
}

func newFloor(workers, backlog int) *floor {
	return &floor{backlog: backlog, workers: make(chan struct{}, workers)}
}

// enter waits for a worker; the caller owes a leave. It reports false at once, and
// nothing is owed, if the backlog is full.
func (f *floor) enter() bool {
	f.mu.Lock()
	if f.inside == cap(f.workers)+f.backlog {
		f.turnedAway++
		f.mu.Unlock()
		return false
	}
	f.inside++
	f.peak = max(f.peak, f.inside)
	f.mu.Unlock()
	f.workers <- struct{}{}
	return true
}

// leave gives the worker to whoever has waited longest.
func (f *floor) leave() {
	f.mu.Lock()
	f.inside--
	f.mu.Unlock()
	<-f.workers
}

// work is how long a request that starts now takes.
func (f *floor) work(rest time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return service(rest, cap(f.workers), f.inside)
}

// service is the time a request takes that takes rest when alone, with n requests
// inside, itself and those waiting included:
//
//	n <= workers: rest × (1 + 1.5 × (n-1)/(workers-1))
//	n >  workers: rest × 2.5 × (1 + (n-workers)/(2×workers))
//
// The second line is the avalanche: whoever waits takes memory and locks from those
// being served, so throughput, min(n, workers)/service, falls where it should stay
// flat. With 20 workers and a rest of 100 ms it is 10/s for one request (100 ms),
// 80/s at saturation (250 ms), 53/s with 20 waiting (375 ms), 6/s with 511 (3.4 s).
func service(rest time.Duration, workers, n int) time.Duration {
	slower := 2.5 * (1 + float64(n-workers)/float64(2*workers))
	if n <= workers {
		slower = 1 + 1.5*float64(n-1)/float64(max(workers-1, 1))
	}
	return time.Duration(slower * float64(rest))
}
