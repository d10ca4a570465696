package shedder

// Places: who may wait. There is as much room as the origin serves within the wait that
// each class is promised (Little's law), and no more than the file allows.
//
// For the browsing crowd that is not enough: a full queue of a second would only make
// everybody who is served wait a second longer. While its queue stands, there is room for
// a fraction of a request's own time (CoDel's idea, Nichols and Jacobson 2012, at the tail
// and on arrival, so that nobody is refused after a wait). And while the crowd is far
// larger than what can be served, a cut-off by a hash of the address says who may try at
// all: a person who is in gets whole pages, instead of everybody the hundredth part of one.

import (
	"context"
	"hash/maphash"
	"math"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Lines are the classes that share places.
const (
	winning  = iota // those who hold, or try for, a unit
	buying          // those with a pass, and what a route calls checkout
	browsing        // everybody else
	lines
)

const (
	unknownRoom    = 64                     // places for winners, at the least, until the origin's speed has been measured,
	leastRoom      = 4                      // and then
	guessedService = 100 * time.Millisecond // until then
	standing       = 500 * time.Millisecond // a queue that has not been short for so long will not be
	dissolved      = 200 * time.Millisecond // and one that has been gone for so long does not stand
	shortWait      = 20 * time.Millisecond  // what counts as short, at the least
	shortQueue     = 4                      // requests, at the least
	promised       = .15                    // of the origin, to those who hold nothing

	everybody = math.MaxUint32
	spare     = 1.3 // what is let in, of what can be served, so that the queue never runs dry
	hopeless  = 1.5 // times what can be served: from here on the crowd is cut off
	cutEvery  = 100 * time.Millisecond
	cutKept   = 5 * time.Minute // then others are in

	leastRetry, mostRetry = time.Second, time.Minute
)

// part of the common queue that a class may fill; what stands above it is kept for
// higher classes.
var part = [rules.Priorities]float64{rules.Order: 1, rules.Browse: .75, rules.Prefetch: .25}

func lineOf(c rules.Priority) int { return min(int(c), browsing) }

// Places is the gate that asks whether there is a place to wait, with a wait worth
// waiting. A place is kept while the request is at the origin.
func (s *Shedder) Places() gate.Gate { return places{s} }

type places struct{ *Shedder }

func (p places) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	c := class(f)
	if c == rules.Static {
		return gate.Admit // it has no queue, only slots
	}
	line := &p.lines[lineOf(c)]
	if line.Load() >= p.room[c].Load() || c >= rules.Browse && p.beyond(f) {
		return p.refuse(c)
	}
	if line.Add(1) > p.room[c].Load() {
		line.Add(-1)
		return p.refuse(c)
	}
	p.placed[c].Add(1)
	return gate.Admit
}

func (p places) Release(f *gate.Facts, _ gate.End) {
	if c := class(f); c != rules.Static {
		p.lines[lineOf(c)].Add(-1)
		p.placed[c].Add(-1)
	}
}

// refuse without a lock: the wait has been estimated before.
func (p places) refuse(c rules.Priority) gate.Verdict {
	p.refused[c].Add(1)
	return gate.Verdict{Reason: gate.Overloaded, Retry: time.Duration(p.retry[lineOf(c)].Load())}
}

// beyond reports whether the cut-off is for this one. It never is while the origin has a
// slot to give: a crowd behind one address must not be locked out as a whole.
func (p places) beyond(f *gate.Facts) bool {
	cut := p.cut.Load()
	if cut == everybody || p.inFlight.Load() < p.limited.Load() {
		return false
	}
	ip := f.Subject().As16()
	h := maphash.Bytes(p.seed, ip[:]) ^ p.salt.Load()
	h *= 0x9e3779b97f4a7c15
	if uint32(h>>32) <= cut {
		return false
	}
	lot := (p.refused[rules.Browse].Load() + 1) * 0x9e3779b97f4a7c15 // some all the same: an address may be a whole town
	return uint32(lot>>32) > cut/4
}

// crowd is what is known of those who want to browse.
type crowd struct {
	shortAt   time.Time // their queue was short
	thereAt   time.Time // and there was one at all
	stands    bool
	from      time.Time
	offers    uint64
	higher    uint64
	all       uint64
	rate      float64 // offers/s
	share     float64 // of the origin that goes to those who buy
	saltUntil time.Time
}

// makeRoom derives how many places there are, and who is cut off.
func (s *Shedder) makeRoom(now time.Time) {
	limit, perSecond, least := float64(s.limit.now()), s.limit.capacity, float64(leastRoom)
	if perSecond == 0 {
		perSecond, least = limit/guessedService.Seconds(), unknownRoom
	}
	served := perSecond * s.conf.WinnersMaxWait.Seconds()
	served -= math.Sqrt(served)         // by chance it may be as many fewer
	steady := float64(s.limit.steady()) // who is let in while the limit is up must not wait in vain when it is down
	winners := float64(s.conf.WinnersDepth)
	if winners == 0 {
		winners = max(least, served)
	}
	s.room[rules.Winner].Store(int64(steady + winners))
	s.room[rules.Checkout].Store(int64(steady + max(least, promises[rules.Checkout]*served)))

	s.count(now)
	theirs := perSecond * max(promised, 1-s.crowd.share)
	depth := min(float64(s.conf.QueueDepth), theirs*s.conf.QueueMaxWait.Seconds())
	waiting, higher := 0, float64(s.inFlight.Load())
	for c := rules.Order; c < rules.Static; c++ {
		waiting += len(s.queues[c])
	}
	there := float64(s.lines[browsing].Load()) - float64(waiting)
	higher -= there
	serving := max(there, limit-higher)
	short := max(shortWait, seconds(s.limit.resident/2))
	stands := s.stands(now, short)
	for c := rules.Order; c < rules.Static; c++ {
		d := part[c] * depth
		if c >= rules.Browse && stands {
			d = min(d, max(shortQueue, part[c]*theirs*short.Seconds()))
		}
		if c >= rules.Browse && s.limit.phase == Stalled {
			d, serving = 0, there // one more: a canary has to come from somewhere
		}
		s.room[c].Store(int64(serving + max(1, d)))
	}
	s.cutOff(now, stands, theirs)
	s.estimate(perSecond, theirs)
}

// stands reports whether the browsing crowd's queue stands: it has not been short for a
// while, and since then it has not been gone for a while.
func (s *Shedder) stands(now time.Time, short time.Duration) bool {
	c := &s.crowd
	oldest, waiting := now, false
	for p := rules.Order; p < rules.Static; p++ {
		if q := s.queues[p]; len(q) > 0 {
			waiting = true
			if q[0].since.Before(oldest) {
				oldest = q[0].since
			}
		}
	}
	if now.Sub(oldest) < short {
		c.shortAt = now
	}
	if waiting {
		c.thereAt = now
	}
	c.stands = c.stands && now.Sub(c.thereAt) < dissolved || now.Sub(c.shortAt) > standing
	return c.stands
}

// count measures how large the crowd is, and what those who buy leave for it.
func (s *Shedder) count(now time.Time) {
	c := &s.crowd
	seconds := now.Sub(c.from).Seconds()
	if c.from.IsZero() || seconds < cutEvery.Seconds() {
		if c.from.IsZero() {
			c.from = now
		}
		return
	}
	var offers, higher, all uint64
	for p := range s.done {
		n := s.done[p].Load()
		all += n
		switch {
		case p <= int(rules.Checkout):
			higher += n
		case p == int(rules.Browse) || p == int(rules.Prefetch):
			offers += n + s.refused[p].Load()
		}
	}
	c.rate = blend(c.rate, float64(offers-c.offers)/seconds)
	if all > c.all {
		c.share += .25 * (float64(higher-c.higher)/float64(all-c.all) - c.share)
	}
	c.from, c.offers, c.higher, c.all = now, offers, higher, all
}

// cutOff says how much of the crowd may try.
func (s *Shedder) cutOff(now time.Time, stands bool, theirs float64) {
	if !now.Before(s.crowd.saltUntil) {
		s.crowd.saltUntil = now.Add(cutKept)
		s.salt.Store(maphash.Bytes(s.seed, []byte(now.String())))
	}
	cut := uint32(everybody)
	if stands && s.crowd.rate > hopeless*theirs {
		cut = uint32(everybody * min(1, spare*theirs/s.crowd.rate))
	}
	s.cut.Store(cut)
}

// estimate says when to come back: when those who have a place will have been served, or,
// in a crowd, as much later as it is larger than what can be served.
func (s *Shedder) estimate(perSecond, theirs float64) {
	limit := s.limit.now()
	for l := range s.retry {
		seconds := float64(s.lines[l].Load()-int64(limit)) / perSecond
		if l == browsing {
			seconds = max(float64(s.lines[l].Load())/theirs, s.crowd.rate/theirs)
		}
		d := time.Duration(min(seconds, mostRetry.Seconds()) * float64(time.Second))
		s.retry[l].Store(int64(max(d, leastRetry)))
	}
}
