package shedder

// Settling: the limit swings by a few per cent around its level, in slots of the wall
// clock, and the level follows what the swing shows. Slots come in pairs of one up and
// one down, every second pair the other way round, so that what changes slowly by itself
// cancels out. Several gateways that never speak swing together this way.

import (
	"math"
	"time"
)

const (
	widest       = .15 // in natural logarithms: the swing is this much up and down while little is known,
	narrow       = .06 // and this much later;
	alike        = .12 // where others swing, too, always this much
	sure         = .20 // standard error of the elasticity from which on enough is known
	wanted       = .10 // elasticity: the level rises while more requests bring more than this
	unwanted     = 0.  // and falls where they bring less than this
	mostUnwanted = .15 // or, where requests stay long, less than this: what is gained must be worth the wait
	impatience   = .04 // of elasticity, for each time at rest that they stay longer
	prior        = .5  // how far from 0 elasticities are, before anything is known
	strange      = .3  // the elasticity of an origin that has just become another one
	stride       = .6  // of the elasticity found, as a step in natural logarithms
	leastStep    = .05
	mostStep     = .26
	fewest       = 40 // answers in a slot
)

// swings is the order of ups and downs.
var swings = [4]int{1, -1, -1, 1}

type settle struct {
	slot   time.Duration // of the wall clock
	index  int64         // of the slot that runs; 0: none yet
	mark   reading       // when the origin had got used to the swing
	markAt time.Time
	marked bool
	easy   int     // slots in a row in which requests stayed no longer than at rest
	spoilt bool    // the origin paused in this slot
	pauses int     // and in so many before it
	halves [2]span // of the pair: down, up
	whole  [2]bool

	sxy, precision float64 // fading sums over pairs
	c2             float64 // variance of counts, as a multiple of Poisson's
	pairs          int
	e, s           float64 // elasticity and its standard error
	model          float64 // throughput expected at the level
	stale          bool    // what takes how long at rest is not what it was
	odd            int     // pairs in a row that were far from it
}

// width of the swing: more teaches more, and costs more. Gateways in front of one origin
// all swing alike, because one that swings farther than the others sees their share come
// and go, and takes that for throughput.
func (l *limit) width() float64 {
	switch {
	case l.shared:
		return alike
	case l.settle.knows():
		return narrow
	}
	return widest
}

// knows reports whether the elasticity is known well.
func (s *settle) knows() bool { return s.s > 0 && s.s < sure }

// forget drops what was learned at another level, or of another origin.
func (s *settle) forget() {
	s.sxy, s.precision, s.pairs, s.e, s.s, s.odd, s.model = 0, 0, 0, 0, 0, 0, 0
	s.whole = [2]bool{}
	s.index, s.marked = 0, false
}

// dither runs the slots.
func (l *limit) dither(now time.Time, r reading) {
	s := &l.settle
	index := now.UnixNano() / int64(s.slot)
	if index != s.index {
		l.endSlot(now, r, index)
		index = now.UnixNano() / int64(s.slot) // its length may have changed
		s.index, s.marked, s.spoilt = index, false, false
		l.swing = swings[index&3]
	}
	if s.pauses < pausesRow && l.paused(now) {
		s.spoilt = true
	}
	into := time.Duration(now.UnixNano() % int64(s.slot))
	if !s.marked && into >= s.used(l.resident) && into < s.slot*3/4 {
		s.mark, s.markAt, s.marked = r, now, true
	}
}

// used is how long the origin takes to get used to a swing.
func (s *settle) used(resident float64) time.Duration {
	return max(s.slot*3/8, min(s.slot*5/8, seconds(1.5*resident)))
}

// endSlot judges the slot that has ended and, after the second of a pair, the pair.
func (l *limit) endSlot(now time.Time, r reading, index int64) {
	s := &l.settle
	if l.swing == 0 {
		return
	}
	up := (l.swing + 1) / 2
	s.whole[up] = false
	if s.spoilt {
		s.pauses++
	} else {
		s.pauses = 0
	}
	if s.marked && index == s.index+1 && !s.spoilt {
		d := r.since(s.mark, now, s.markAt)
		s.halves[up] = d
		s.whole[up] = d.useful > 0 && d.saturated(float64(l.now()))
		if s.whole[up] {
			l.learned(&d)
			if l.guards(now, &d) || l.relaunch(now, &d) {
				return
			}
		}
	}
	if l.guard.probing > 0 && !s.whole[up] {
		l.unexplained(now)
	}
	if s.index&1 == 0 { // the first of its pair
		s.whole[1-up] = false
		return
	}
	if s.whole[0] && s.whole[1] {
		l.judge(now, &s.halves[0], &s.halves[1])
	}
	s.whole = [2]bool{}
	s.slot = l.slotLength()
}

// relaunch goes back to large steps where the launch was stopped too early: requests stay
// no longer than at rest.
func (l *limit) relaunch(now time.Time, d *span) bool {
	s := &l.settle
	if i := l.inflation(d); i == 0 || i >= launchFree || !l.rest.any() || s.stale || s.knows() || d.useful < launchCount ||
		l.fixed > 0 || now.Before(l.guard.ceilingTill) || l.level >= l.most {
		s.easy = 0
		return false
	}
	if s.easy++; s.easy < 2 {
		return false
	}
	s.easy = 0
	l.phase, l.swing = Launching, 0
	l.launch = launch{}
	return true
}

// slotLength is long enough to see the origin's answers to a swing, and enough of them.
func (l *limit) slotLength() time.Duration {
	long := 4 * l.resident
	if l.capacity > 0 {
		long = max(long, fewest/l.capacity)
	}
	for _, s := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond} {
		if s.Seconds() >= long {
			return s
		}
	}
	return 1600 * time.Millisecond
}

// judge takes a pair in and may move the level.
func (l *limit) judge(now time.Time, down, up *span) {
	s := &l.settle
	if down.area == 0 || up.area == 0 { // answers between two ticks: too fast to be seen
		return
	}
	swung := math.Log(up.n() / down.n())
	if swung < narrow {
		return
	}
	gained := math.Log(up.x() / down.x())
	w := 1 / (1/float64(down.useful) + 1/float64(up.useful))
	l.changed(up, down, w)
	if s.pairs > 1 {
		z := gained - s.e*swung
		s.c2 = max(.5, min(4, s.c2+.1*(min(9, z*z*w)-s.c2)))
	}
	fades := max(.8, min(.97, 1-float64(down.useful+up.useful)/2500))
	s.sxy = s.sxy*fades + swung*gained*w
	s.precision = s.precision*fades + swung*swung*w
	both := up.and(down)
	expected, spread := guess(l.inflation(&both)), prior
	switch {
	case s.stale:
		expected, spread = strange, 2*prior
	case !l.rest.any():
		expected = 0
	}
	certain := s.precision/s.c2 + 1/(spread*spread)
	s.e = (s.sxy/s.c2 + expected/(spread*spread)) / certain
	s.s = 1 / math.Sqrt(certain)
	if s.pairs++; s.pairs < 2 {
		return
	}
	less := unwanted
	if s.stale && s.knows() && s.e > -wanted {
		s.stale = false
		l.rest.scale(max(1, l.inflation(&both)/launchAim))
	} else if !s.stale {
		less = max(unwanted, min(mostUnwanted, impatience*(l.inflation(&both)-launchFull)))
	}
	more := less + wanted - unwanted
	switch {
	case s.e-s.s > more && l.affords(now):
		l.follow(min(mostStep, leastStep+stride*(s.e-s.s-more)), &both)
	case s.e+s.s < less:
		l.follow(-min(mostStep, leastStep-stride*(s.e+s.s-less)), &both)
	}
}

// guess is the elasticity that an inflation makes likely: where requests take no longer
// than at rest, more of them bring as many more answers.
func guess(inflation float64) float64 {
	if inflation == 0 {
		return 0
	}
	return max(0, min(1, (launchFull-inflation)/(launchFull-1)))
}

// follow moves the level. What was learned where it was counts the less, the farther away
// that is.
func (l *limit) follow(by float64, d *span) {
	l.move(l.level*math.Exp(by), Elastic, d)
	keep := math.Exp(-5 * math.Abs(by))
	l.settle.sxy *= keep
	l.settle.precision *= keep
}

// changed forgets the elasticity when the origin is suddenly another one: its throughput
// at the same level is twice in a row where chance does not bring it.
func (l *limit) changed(up, down *span, w float64) {
	s := &l.settle
	x := math.Sqrt(up.x()*down.x()) / l.level
	switch {
	case s.model == 0:
		s.model = x
	case math.Abs(math.Log(x/s.model)) > .1+3.5*math.Sqrt(s.c2/(4*w)):
		if s.odd++; s.odd >= 2 {
			s.sxy, s.precision, s.pairs, s.odd, s.model = 0, 0, 1, 0, x
			s.stale = true
		}
		return
	}
	s.odd = 0
	s.model += .2 * (x - s.model)
}
