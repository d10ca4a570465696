package shedder

// How many requests the origin is given at a time.
//
// Throughput is counted, never derived from latency: a slow origin and a queue in front
// of it look the same in a latency, and only one of them wants a lower limit. Three
// things move the limit, and each move says why.
//
//   - Launch (launch.go): from rest, in a few round trips, by inflation: how much longer
//     a request stays at the origin than it does at rest (Little's law; the estimate is
//     BBR's, of the product of bandwidth and delay). A step up that brings fewer answers
//     is taken back, whatever the inflation says.
//   - Settling (settle.go): the limit swings a little up and down in slots of the wall
//     clock, and follows the elasticity of throughput: what part of one per cent more
//     useful answers one per cent more requests at the origin would bring. (Heiss and
//     Wagner, VLDB 1991, have the idea; the .NET thread pool has lived on it since 2010.)
//   - Guards (guard.go), which only lower: failures, the operator's latency target, stalls.
//
// It learns only while the origin is the bottleneck, so quiet traffic never winds it up.
// Several gateways in front of one origin swing in the same slots without talking to each
// other; a gateway that climbed alone would take the others' share for throughput.
//
// It gives up speed at slow origins: telling 3 % more throughput from chance takes some
// thousand answers, whoever looks.

import (
	"math"
	"time"

	"penstock/rules"
)

const (
	// tick is how often the counters are read.
	tick = 25 * time.Millisecond

	firstLimit = 16  // where a limit starts of which nothing is known
	waits      = .05 // the part of requests that had to wait which makes the origin the bottleneck
	fills      = .8  // and the part of the limit that must be in use
)

// reading is what the gates have counted at one moment. All but inFlight only grows.
type reading struct {
	area            float64                   // requests × seconds at the origin
	useful, failed  uint64                    // answers
	done            [rules.Priorities]uint64  // the useful ones by class,
	took            [rules.Priorities]float64 // and the seconds they took
	offered, waited uint64                    // requests that asked for the origin, and those that did not get it at once
	inFlight        int
}

// span is what happened between two readings.
type span struct {
	reading
	seconds float64
}

func (r reading) since(o reading, at, from time.Time) span {
	d := span{r, at.Sub(from).Seconds()}
	d.area -= o.area
	d.useful -= o.useful
	d.failed -= o.failed
	for i := range d.done {
		d.done[i] -= o.done[i]
		d.took[i] -= o.took[i]
	}
	d.offered -= o.offered
	d.waited -= o.waited
	return d
}

// and is both spans together.
func (d *span) and(o *span) span {
	b := *d
	b.area += o.area
	b.useful += o.useful
	b.failed += o.failed
	b.seconds += o.seconds
	for i := range b.done {
		b.done[i] += o.done[i]
		b.took[i] += o.took[i]
	}
	return b
}

func (d *span) n() float64 { return d.area / d.seconds }            // requests at the origin, on average
func (d *span) x() float64 { return float64(d.useful) / d.seconds } // useful answers/s
// resident is how many seconds a request is at the origin, by Little's law. What the
// answers say would be too little: those that take long come last, and hung ones never.
func (d *span) resident() float64 { return d.area / float64(d.useful) }

// saturated reports whether the origin was the bottleneck: requests had to wait for it,
// and it had about as many as the limit allows.
func (d *span) saturated(limit float64) bool {
	return float64(d.waited) > waits*float64(d.offered) && d.n() > fills*limit-1
}

// Phase is what the limit is doing.
type Phase uint8

const (
	Launching Phase = iota // looking for the origin's best level, in large steps
	Settled                // around it
	Stalled                // the origin gives no answers
	Fixed                  // the file says a number
	Observing              // nothing is limited; what would be is worked out
)

// String is the phase as it stands in logs and metrics.
func (p Phase) String() string {
	return [...]string{"launching", "settled", "stalled", "fixed", "observing"}[p]
}

// Move is one move of the limit, with what it was made from.
type Move struct {
	From, To   float64 // requests in flight
	Why        string  // one of a few words
	Phase      Phase
	InFlight   float64 // on average, when it was judged
	Throughput float64 // useful answers/s
	Inflation  float64 // time at the origin, as a multiple of that at rest; 0: not known
	Elasticity float64 // of throughput to requests in flight, and
	Error      float64 // its standard error; 0: it played no part
}

// Remembered is what a gateway may carry over a restart. The zero value is nothing.
type Remembered struct {
	Limit int                       // requests in flight
	Rest  [rules.Priorities]float64 // seconds an answer takes at rest, by class
}

// limit is the learned number. Time is an argument.
type limit struct {
	fixed   int  // > 0: this many, for ever
	observe bool // nothing is limited
	shared  bool // other gateways may give the same origin work
	most    float64
	target  float64 // seconds; 0: none

	level float64 // what the limit swings around
	swing int     // -1, 0 or 1: which way it does now
	phase Phase

	prev     reading
	prevAt   time.Time
	resident float64 // seconds at the origin, smoothed
	capacity float64 // useful answers/s while saturated, smoothed
	last     span    // what was judged last

	rest   rest
	launch launch
	settle settle
	guard  guard

	moved func(Move)
}

func newLimit(o rules.Origin, from Remembered, now time.Time, moved func(Move)) *limit {
	l := &limit{level: firstLimit, prevAt: now, moved: moved}
	if from.Limit > 0 {
		l.level = float64(from.Limit)
		l.launch.known = true
	}
	l.rest.usual = from.Rest
	for i, seconds := range from.Rest {
		l.rest.learned[i] = seconds > 0
	}
	l.settle.c2 = 1
	l.settle.slot = 400 * time.Millisecond
	l.guard.alive = now
	l.configure(o)
	return l
}

func (l *limit) configure(o rules.Origin) {
	was := l.fixed
	l.fixed, l.observe, l.most, l.target = o.Concurrency, o.ObserveConcurrency, float64(o.MaxConcurrency), o.LatencyTarget.Seconds()
	l.level = l.bound(l.level)
	phase := &l.phase
	if l.phase == Stalled { // that ends with an answer only
		phase = &l.guard.phase
	}
	switch {
	case l.fixed > 0:
		l.level, *phase, l.swing = float64(l.fixed), Settled, 0
	case was > 0: // what the operator had set is as good as remembered
		*phase = Launching
		l.launch = launch{known: true}
	}
}

func (l *limit) bound(n float64) float64 { return max(1, min(n, l.most)) }

// now is the limit in requests.
func (l *limit) now() int {
	switch {
	case l.fixed > 0:
		return l.fixed
	case l.observe:
		return int(l.most)
	}
	down := l.trough()
	switch {
	case l.swing < 0:
		return down
	case l.swing > 0: // at least one more, or there is nothing to compare
		return int(min(l.most, max(float64(down+1), math.Round(l.level*math.Exp(l.width())))))
	}
	return int(math.Round(l.level))
}

// trough is the limit in the lower half of a swing.
func (l *limit) trough() int {
	return int(max(1, math.Round(l.level*math.Exp(-l.width()))))
}

// steady is the limit that holds whichever way it swings.
func (l *limit) steady() int {
	if l.fixed > 0 || l.observe || l.swing == 0 {
		return l.now()
	}
	return l.trough()
}

// state is the phase as others see it.
func (l *limit) state() Phase {
	switch {
	case l.phase == Stalled:
		return Stalled
	case l.fixed > 0:
		return Fixed
	case l.observe:
		return Observing
	}
	return l.phase
}

// tick looks at the counters. It is to be called every tick, with a time that carries
// the wall clock and the monotonic one.
func (l *limit) tick(now time.Time, r reading) {
	d := r.since(l.prev, now, l.prevAt)
	if d.seconds <= 0 {
		return
	}
	l.prev, l.prevAt = r, now
	l.rest.look(now, r, float64(l.now()))
	switch {
	case l.stall(now, &d):
	case l.observe:
		l.watch(now, r)
	case l.phase == Launching:
		l.climb(now, r)
	default:
		l.dither(now, r)
	}
}

// move sets the level and says why.
func (l *limit) move(to float64, why string, d *span) {
	if to = l.bound(to); to == l.level || l.fixed > 0 {
		return
	}
	from := l.level
	l.level = to
	m := Move{
		From: from, To: to, Why: why, Phase: l.phase,
		InFlight: d.n(), Throughput: d.x(), Inflation: l.inflation(d),
	}
	if why == Elastic {
		m.Elasticity, m.Error = l.settle.e, l.settle.s
	}
	l.say(m)
}

// tell reports what is no move.
func (l *limit) tell(why string, d *span) {
	l.say(Move{From: l.level, To: l.level, Why: why, Phase: l.phase, InFlight: float64(d.inFlight)})
}

func (l *limit) say(m Move) {
	if l.moved != nil {
		l.moved(m)
	}
}

// The reasons of moves.
const (
	Rose     = "launch"   // the origin answers about as soon as at rest: it can do more
	Fell     = "inflated" // requests stay much longer than at rest, or more brought fewer answers: there are too many
	Elastic  = "elastic"  // more, or fewer, at the origin bring more useful answers
	Failures = "failures" // too many answers are failures
	Absolved = "absolved" // fewer requests did not make failures rarer: they are not from load
	Target   = "target"   // answers take longer than the operator wants
	Stall    = "stall"    // no answers
	Revived  = "revived"  // answers again
	Probed   = "probe"    // is it slow because of us? fewer, for a moment
	Returned = "return"   // it was not
)

// inflation is how much longer requests stay at the origin than at rest; 0 if what is at
// rest is not known.
func (l *limit) inflation(d *span) float64 {
	e := l.rest.expected(d)
	if e == 0 || d.useful == 0 {
		return 0
	}
	return d.resident() / e
}

// learned takes a saturated span into what estimates are made from.
func (l *limit) learned(d *span) {
	l.last = *d
	if d.useful == 0 {
		return
	}
	l.resident = blend(l.resident, min(d.resident(), longest))
	l.capacity = blend(l.capacity, d.x())
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// blend is a moving average that believes its first value.
func blend(old, now float64) float64 {
	if old == 0 {
		return now
	}
	return old + .25*(now-old)
}
