package shedder

// Slots: who is served next, and the wait for it. With a slot free and nobody waiting, to
// take one and to give it back takes no lock.

import (
	"context"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// staticLimit is the number of static requests at the origin: they are cheap, and
// must not take what customers wait for.
const (
	staticLimit = 16
	staticQueue = 128 // that may wait for one of these slots,
	staticWait  = time.Second
)

// promises are the parts of the slots that classes get while higher ones wait, too: enough
// that nobody who was given a place waits in vain. What nobody waits for, others get.
var promises = [rules.Priorities]float64{rules.Checkout: .25, rules.Order: .10, rules.Browse: .05}

// Slots is the gate that waits for the origin.
func (s *Shedder) Slots() gate.Gate { return slots{s} }

type slots struct{ *Shedder }

func (s slots) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	c := turn(f)
	if c == rules.Static {
		return s.asset(ctx)
	}
	if s.waiters.Load() == 0 && s.take() {
		return gate.Admit
	}
	return s.wait(ctx, f, c)
}

// asset waits for one of the slots of static requests, in no order: a page has several.
func (s slots) asset(ctx context.Context) gate.Verdict {
	select {
	case s.static <- struct{}{}:
		return gate.Admit
	default:
	}
	late := gate.Verdict{Reason: gate.Overloaded, Retry: leastRetry}
	if s.assets.Add(1) > staticQueue {
		s.assets.Add(-1)
		return late
	}
	defer s.assets.Add(-1)
	timer := time.NewTimer(staticWait)
	defer timer.Stop()
	select {
	case s.static <- struct{}{}:
		return gate.Admit
	case <-timer.C:
	case <-ctx.Done():
	}
	return late
}

// take takes a slot if one is free.
func (s *Shedder) take() bool {
	for {
		n := s.inFlight.Load()
		if n >= s.limited.Load() {
			return s.canary.Load() && s.canary.CompareAndSwap(true, false) && s.inFlight.Add(1) > 0
		}
		if s.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// wait queues. It counts as waiting before it looks for a slot a last time: who gives one
// back after that look sees somebody waiting.
func (s slots) wait(ctx context.Context, f *gate.Facts, c rules.Priority) gate.Verdict {
	w := &waiter{granted: make(chan bool, 1), due: f.At}
	if c == rules.Winner && !f.Order {
		w.due = f.At.Add(f.Sale.Stock.ReserveFor) // an order's reservation runs longer already
	}
	s.mu.Lock()
	patience := s.patience(f, c)
	s.waited++
	if s.hopeless(c, patience) {
		s.mu.Unlock()
		return s.late(c)
	}
	w.since, w.order = s.out.Wall(), s.waited
	s.waiters.Add(1)
	s.queues[c].push(w)
	s.grant()
	s.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case ok := <-w.granted:
		return s.told(ok, c)
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.queues[c].remove(w) { // a grant that comes together with the end counts: the slot is ours already
		return s.told(<-w.granted, c)
	}
	s.waiters.Add(-1)
	return s.late(c)
}

func (s slots) told(granted bool, c rules.Priority) gate.Verdict {
	if granted {
		return gate.Admit
	}
	return s.late(c)
}

func (s slots) late(c rules.Priority) gate.Verdict {
	return gate.Verdict{Reason: gate.Overloaded, Retry: time.Duration(s.retry[lineOf(c)].Load())}
}

// patience is how long a request may wait, counted from its arrival.
func (s slots) patience(f *gate.Facts, c rules.Priority) time.Duration {
	if c <= rules.Checkout {
		return s.conf.WinnersMaxWait
	}
	return max(s.conf.QueueMaxWait/2, s.conf.QueueMaxWait-time.Since(f.At)) // a slow upload is no wait
}

// hopeless reports whether so many are ahead that the wait would outlast the patience.
func (s *Shedder) hopeless(c rules.Priority, patience time.Duration) bool {
	if c == rules.Winner || s.limit.capacity == 0 {
		return false
	}
	ahead := 0
	for i := range s.queues[:c+1] {
		ahead += len(s.queues[i])
	}
	served := s.limit.capacity
	if p := promises[c]; p > 0 {
		return float64(len(s.queues[c]))/(p*served) > patience.Seconds() && float64(ahead)/served > patience.Seconds()
	}
	return float64(ahead)/served > patience.Seconds()
}

// Release gives the slot back, counts what the limit learns from, and serves who is next.
// Only an answer below 500 was useful; everything else took the origin's time for nothing.
func (s slots) Release(f *gate.Facts, end gate.End) {
	c := turn(f)
	if c == rules.Static {
		<-s.static
		return
	}
	if end.Kind == gate.Answered && end.Status < 500 {
		s.took[c].Add(int64(max(end.Took, end.Held)))
		s.done[c].Add(1)
	} else if end.Kind == gate.Answered || end.Kind == gate.Unknown || end.Unreachable {
		s.failed.Add(1)
	}
	s.inFlight.Add(-1)
	if s.waiters.Load() > 0 {
		s.mu.Lock()
		s.grant()
		s.mu.Unlock()
	}
}

// grant hands out the free slots.
func (s *Shedder) grant() {
	for s.waiters.Load() > 0 && s.take() {
		w := s.next()
		s.waiters.Add(-1)
		w.granted <- true
	}
}

// next takes out who is served next: the highest class, unless a lower one has waited for
// what it was promised. Every class that waits is credited with every slot, whoever gets it.
func (s *Shedder) next() *waiter {
	first, owed := -1, -1
	for c := range s.queues {
		switch {
		case len(s.queues[c]) == 0:
			s.credit[c] = 0
		case first < 0:
			first = c
		default:
			if s.credit[c] += promises[c]; s.credit[c] >= 1 && owed < 0 {
				owed = c
			}
		}
	}
	if owed >= 0 {
		s.credit[owed]--
		return s.queues[owed].pop()
	}
	return s.queues[first].pop()
}

// drop refuses all who wait in these classes.
func (s *Shedder) drop(classes ...rules.Priority) {
	for _, c := range classes {
		for len(s.queues[c]) > 0 {
			s.waiters.Add(-1)
			s.queues[c].pop().granted <- false
		}
	}
}
