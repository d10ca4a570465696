// Package shedder is the origin's queue and its limit: who may wait for the origin,
// who is served next, and how many requests the origin is given at a time.
//
// Two gates of one thing. Places answers at once whether waiting makes sense at all,
// with one comparison, so that most of a crowd is refused before it costs anything.
// Slots waits for the origin: who holds a unit first, and so on down the classes, but
// never so strictly that those who were given a place wait in vain. Run reads the
// counters of both, forty times a second, and moves the limit (limit.go), the room there
// is to wait, and the cut-off (places.go).
//
// It gives up fairness between those refused: there is no order among them. It does
// not know what a request is for, or what the origin answered beyond its status.
package shedder

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Outside is what a Shedder needs from elsewhere. The zero value is nothing.
type Outside struct {
	Wall       func() time.Time // nil: time.Now. Gateways in front of one origin share its slots
	Shared     bool             // there may be others
	Moved      func(Move)       // is told of every move of the limit; nil: nobody is
	Remembered Remembered       // from before a restart
}

// Shedder counts places and slots of one origin.
type Shedder struct {
	// What every request touches, without the lock.
	inFlight atomic.Int64
	limited  atomic.Int64 // how many there may be
	waiters  atomic.Int64 // requests that wait, of any class
	assets   atomic.Int64 // static requests that wait
	canary   atomic.Bool  // the next one may go to an origin that has stalled
	failed   atomic.Uint64
	done     [rules.Priorities]atomic.Uint64 // useful answers
	took     [rules.Priorities]atomic.Int64  // and their nanoseconds
	lines    [lines]atomic.Int64             // places taken
	placed   [rules.Priorities]atomic.Int64  // the same by class, for Stats
	room     [rules.Priorities]atomic.Int64  // how many places of its line a class may see taken
	refused  [rules.Priorities]atomic.Uint64
	retry    [lines]atomic.Int64 // when to come back, in nanoseconds
	cut      atomic.Uint32       // who is beyond it is refused while the origin is busy
	salt     atomic.Uint64
	seed     maphash.Seed

	static chan struct{} // the slots of static requests

	out Outside

	mu      sync.Mutex
	conf    rules.Origin
	queues  [rules.Priorities]queue
	credit  [rules.Priorities]float64
	waited  uint64 // requests that did not get the origin at once
	limit   *limit
	crowd   crowd
	area    float64
	lookAt  time.Time
	before  int64 // in flight, then
	moves   []Move
	stalled bool
}

// New makes a Shedder for one origin. Somebody has to Run it.
func New(o rules.Origin, out Outside) *Shedder {
	if out.Wall == nil {
		out.Wall = time.Now
	}
	now := out.Wall()
	s := &Shedder{conf: o, out: out, seed: maphash.MakeSeed(), static: make(chan struct{}, staticLimit), lookAt: now}
	s.limit = newLimit(o, out.Remembered, now, func(m Move) { s.moves = append(s.moves, m) })
	s.limit.shared = out.Shared
	s.limited.Store(int64(s.limit.now()))
	s.makeRoom(now)
	return s
}

// Configure applies new numbers. What is counted and what is learned stays.
func (s *Shedder) Configure(o rules.Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conf = o
	s.limit.configure(o)
	s.open()
	s.makeRoom(s.lookAt)
	s.grant()
}

// Run looks at the counters until ctx ends.
func (s *Shedder) Run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.look(s.out.Wall())
		}
	}
}

// look is one tick.
func (s *Shedder) look(now time.Time) {
	s.mu.Lock()
	r := s.read(now)
	s.limit.tick(now, r)
	s.open()
	stalled := s.limit.phase == Stalled
	if !stalled || s.limit.guard.canary {
		s.canary.Store(stalled) // and on offer until somebody comes
	}
	if stalled && !s.stalled {
		s.drop(rules.Browse, rules.Prefetch)
	}
	s.stalled = stalled
	s.makeRoom(now)
	s.grant()
	moves := s.moves
	s.moves = nil
	s.mu.Unlock()
	if s.out.Moved != nil {
		for _, m := range moves {
			s.out.Moved(m)
		}
	}
}

// open says how many there may be: nobody but canaries while the origin has stalled.
func (s *Shedder) open() {
	n := s.limit.now()
	if s.limit.phase == Stalled {
		n = 0
	}
	s.limited.Store(int64(n))
}

// read takes the counters. How long requests are at the origin is sampled: between two
// ticks of a busy origin their number is the limit.
func (s *Shedder) read(now time.Time) reading {
	in := s.inFlight.Load()
	s.area += float64(in+s.before) / 2 * now.Sub(s.lookAt).Seconds()
	s.before, s.lookAt = in, now
	r := reading{area: s.area, failed: s.failed.Load(), inFlight: int(in)}
	refused := uint64(0)
	for c := range s.done {
		r.done[c] = s.done[c].Load()
		r.took[c] = time.Duration(s.took[c].Load()).Seconds()
		r.useful += r.done[c]
		refused += s.refused[c].Load()
	}
	r.waited = s.waited + refused
	r.offered = r.useful + r.failed + uint64(in) + uint64(s.waiters.Load()) + refused
	return r
}

// Stats is the state of the queue at one moment.
type Stats struct {
	Limit, InFlight int                   // requests
	Level           float64               // what the limit swings around; in observation, what it would be
	Phase           Phase                 //
	Depth           [rules.Priorities]int // places taken, those at the origin included
	Waiting         [rules.Priorities]int // requests that wait for a slot
	Throughput      float64               // useful answers/s the origin gave when it was last busy; 0: never yet
	Resident        time.Duration         // how long a request was at the origin then
	Inflation       float64               // and that as a multiple of what it is at rest; 0: not known
	Elasticity      float64               // of throughput to requests in flight
	Kept            float64               // part of the browsing crowd that is not cut off
}

// Stats looks at the queue.
func (s *Shedder) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.limit
	st := Stats{
		Limit: l.now(), Level: l.level, Phase: l.state(), InFlight: int(s.inFlight.Load()), Throughput: l.capacity,
		Resident: seconds(l.resident), Inflation: l.inflation(&l.last), Elasticity: l.settle.e,
		Kept: float64(s.cut.Load()) / float64(everybody),
	}
	for c := range st.Depth {
		st.Depth[c] = int(s.placed[c].Load())
		st.Waiting[c] = len(s.queues[c])
	}
	return st
}

// Remember is what is worth keeping over a restart. It is the zero value until something
// has been learned.
func (s *Shedder) Remember() Remembered {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit.phase != Settled || s.limit.capacity == 0 || s.limit.fixed > 0 || s.limit.observe {
		return Remembered{}
	}
	return Remembered{Limit: int(s.limit.level), Rest: s.limit.rest.known()}
}

// class is how a request waits. A request for a unit counts as a winner from the
// start: there must be room for it to wait as one before it may take the unit.
//
// Items that a sale lets through ungated hold nothing, and nobody names a higher class
// for itself: only a unit makes a winner.
func class(f *gate.Facts) rules.Priority {
	if f.Sale != nil && f.Sale.Stock != nil && f.Sale.Enforce {
		if f.Order {
			if !f.Sale.Order.ForwardWithout {
				return rules.Winner
			}
			return max(f.Priority, rules.Checkout) // only its turn knows whether it has a reservation
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
