// Package shedder is the origin's queue and its limit: who may wait for the origin,
// who is served next, and how many requests the origin is given at a time.
//
// Two gates of one thing. Places answers at once whether waiting makes sense at all,
// with one comparison, so that most of a crowd is refused before it costs anything.
// Slots waits for the origin: strict priority between classes, arrival order within
// one. Who holds a unit of stock waits as a winner, with room of its own, and is
// served before everybody else.
//
// It gives up fairness between those refused: there is no order among them. It does
// not know what a request is for, or what the origin answered beyond its status.
package shedder

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

const (
	// staticLimit is the number of static requests at the origin: they are cheap, and
	// must not take what customers wait for.
	staticLimit = 16
	// leastRoom is the least number of places for winners.
	leastRoom = 64
	// guessedService stands for the origin's service time until it has been measured.
	guessedService = 100 * time.Millisecond

	leastRetry, mostRetry = time.Second, time.Minute
)

// part of the common queue that a class may fill; what stands above it is kept for
// higher classes.
var part = [rules.Priorities]float64{rules.Checkout: 1, rules.Order: 1, rules.Browse: .75, rules.Prefetch: .25}

// Shedder counts places and slots of one origin.
type Shedder struct {
	winners atomic.Int64                   // places taken by those who hold, or try for, a unit
	others  atomic.Int64                   // places taken by all others, static left out
	static  atomic.Int64                   // static requests at the origin
	room    [rules.Priorities]atomic.Int64 // how many places may be taken, by class
	placed  [rules.Priorities]atomic.Int64 // how many are, by class, for Stats
	refused atomic.Bool                    // somebody was, since the limit last learned

	limited atomic.Int64  // the limit, and
	pace    atomic.Uint64 // the bits of useful answers/s: for estimates without the lock

	mu       sync.Mutex
	conf     rules.Origin
	inFlight int
	waiting  [rules.Priorities]fifo
	limit    limit
}

// New makes a Shedder for one origin.
func New(o rules.Origin) *Shedder {
	s := &Shedder{conf: o}
	s.limit = newLimit(o, time.Now())
	s.makeRoom()
	return s
}

// Configure applies new numbers. What is counted and what is learned stays.
func (s *Shedder) Configure(o rules.Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conf = o
	s.limit.configure(o)
	s.makeRoom()
	s.grant()
}

// Stats is the state of the queue at one moment.
type Stats struct {
	Limit, InFlight int                   // requests
	Depth           [rules.Priorities]int // places taken, those at the origin included
	Throughput      float64               // useful answers/s the origin gave when it was last busy; 0: never yet
}

// Stats looks at the queue.
func (s *Shedder) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Limit: s.limit.now(), InFlight: s.inFlight, Throughput: s.limit.capacity}
	for c := range st.Depth {
		st.Depth[c] = int(s.placed[c].Load())
	}
	return st
}

// class is how a request waits. A request for a unit counts as a winner from the
// start: there must be room for it to wait as one before it may take the unit.
//
// Items that a sale lets through ungated hold nothing, and nobody names a higher class
// for itself: only a unit makes a winner.
func class(f *gate.Facts) rules.Priority {
	if f.Sale != nil && f.Sale.Stock != nil && f.Sale.Enforce {
		if f.Order && !f.Sale.Order.ForwardWithout {
			return rules.Winner
		}
		if _, sold := f.Sale.Stock.Items[f.Item]; sold || !f.Sale.Stock.ForwardOther {
			return rules.Winner
		}
	}
	return max(f.Priority, rules.Checkout)
}

// turn is the class in which a request waits for its slot. Where a sale lets orders of
// other things through, only by now is it known which of them have a reservation.
func turn(f *gate.Facts) rules.Priority {
	if f.Order && f.Reservation != (gate.Token{}) && f.Sale.Enforce {
		return rules.Winner
	}
	return class(f)
}

// Places is the gate that asks whether there is a place to wait, with a wait worth
// waiting. A place is kept while the request is at the origin.
func (s *Shedder) Places() gate.Gate { return places{s} }

// Slots is the gate that waits for the origin.
func (s *Shedder) Slots() gate.Gate { return slots{s} }

type places struct{ *Shedder }

func (p places) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	c := class(f)
	if c == rules.Static {
		return gate.Admit // it has no queue, only slots
	}
	taken := p.taken(c)
	if taken.Load() >= p.room[c].Load() {
		return p.refuse(c)
	}
	if taken.Add(1) > p.room[c].Load() {
		taken.Add(-1)
		return p.refuse(c)
	}
	p.placed[c].Add(1)
	return gate.Admit
}

func (p places) Release(f *gate.Facts, _ gate.End) {
	if c := class(f); c != rules.Static {
		p.taken(c).Add(-1)
		p.placed[c].Add(-1)
	}
}

func (s *Shedder) taken(c rules.Priority) *atomic.Int64 {
	if c == rules.Winner {
		return &s.winners
	}
	return &s.others
}

// refuse without a lock: the wait is estimated from the places that are taken.
func (p places) refuse(c rules.Priority) gate.Verdict {
	if !p.refused.Load() {
		p.refused.Store(true)
	}
	return gate.Verdict{Reason: gate.Overloaded, Retry: p.retry(p.taken(c).Load() - p.limited.Load())}
}

type slots struct{ *Shedder }

func (s slots) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	c := turn(f)
	if c == rules.Static {
		if s.static.Add(1) > staticLimit {
			s.static.Add(-1)
			return gate.Verdict{Reason: gate.Overloaded, Retry: leastRetry}
		}
		return gate.Admit
	}
	s.mu.Lock()
	if s.inFlight < s.limit.now() && !s.behind(c) {
		s.take()
		s.mu.Unlock()
		return gate.Admit
	}
	w := &waiter{granted: make(chan struct{})}
	s.waiting[c].push(w)
	s.limit.saturated = true
	patience := s.conf.QueueMaxWait
	if c == rules.Winner {
		patience = s.conf.WinnersMaxWait
	}
	s.mu.Unlock()
	return s.await(ctx, w, c, patience)
}

// await waits for a grant. A grant that comes together with the end of the patience
// counts: the slot is ours already.
func (s slots) await(ctx context.Context, w *waiter, c rules.Priority, patience time.Duration) gate.Verdict {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.granted:
		return gate.Admit
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting[c].remove(w) {
		return gate.Admit
	}
	return gate.Verdict{Reason: gate.Overloaded, Retry: s.retry(s.winners.Load() + s.others.Load())}
}

// Release gives the slot back, lets the limit learn, and serves who is next. Only an
// answer below 500 was useful; everything else took the origin's time for nothing.
func (s slots) Release(f *gate.Facts, end gate.End) {
	if turn(f) == rules.Static {
		s.static.Add(-1)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.limit.busy(s.inFlight, now)
	s.inFlight--
	if s.refused.Load() {
		s.limit.saturated = true
		s.refused.Store(false)
	}
	if s.limit.done(end.Kind == gate.Answered && end.Status < 500, now) {
		s.makeRoom()
	}
	s.grant()
}

// behind reports whether somebody of this class or a higher one waits already.
func (s *Shedder) behind(c rules.Priority) bool {
	for i := range s.waiting[:c+1] {
		if s.waiting[i].first != nil {
			return true
		}
	}
	return false
}

func (s *Shedder) take() {
	s.limit.busy(s.inFlight, time.Now())
	s.inFlight++
}

// grant hands out the free slots, highest class first.
func (s *Shedder) grant() {
	for c := range s.waiting {
		for s.inFlight < s.limit.now() {
			w := s.waiting[c].pop()
			if w == nil {
				break
			}
			s.take()
			close(w.granted)
		}
	}
}

// makeRoom derives how many places there are: as many as can be served within the
// wait each class is promised (Little's law), and no more than the file allows.
func (s *Shedder) makeRoom() {
	at := float64(s.limit.now())
	perSecond := s.limit.capacity
	queue := float64(s.conf.QueueDepth)
	if perSecond > 0 {
		queue = min(queue, perSecond*s.conf.QueueMaxWait.Seconds())
	} else {
		perSecond = at / guessedService.Seconds()
	}
	winners := float64(s.conf.WinnersDepth)
	if winners == 0 {
		winners = max(leastRoom, perSecond*s.conf.WinnersMaxWait.Seconds())
	}
	s.limited.Store(int64(at))
	s.pace.Store(math.Float64bits(perSecond))
	for c, share := range part {
		s.room[c].Store(int64(at + max(1, share*queue)))
	}
	s.room[rules.Winner].Store(int64(at + winners))
}

// retry estimates how long the origin takes for n requests.
func (s *Shedder) retry(n int64) time.Duration {
	seconds := float64(n) / math.Float64frombits(s.pace.Load())
	return time.Duration(min(max(seconds, leastRetry.Seconds()), mostRetry.Seconds()) * float64(time.Second))
}

// waiter is one request in the queue.
type waiter struct {
	granted    chan struct{}
	prev, next *waiter
	queued     bool
}

// fifo is a queue whose members can leave from the middle.
type fifo struct {
	first, last *waiter
	n           int
}

func (q *fifo) push(w *waiter) {
	w.queued, w.prev = true, q.last
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.n++
}

func (q *fifo) pop() *waiter {
	w := q.first
	if w != nil {
		q.remove(w)
	}
	return w
}

// remove takes w out; false if it is not in the queue any more.
func (q *fifo) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	q.n--
	return true
}
