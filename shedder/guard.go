package shedder

// Guards: what lowers the limit at once, because waiting for evidence would cost more.

import (
	"math"
	"time"
)

const (
	failing     = .05 // part of the answers that are failures, beyond the usual
	leastFailed = 5
	backOff     = 1.4
	inVain      = 3                // times the limit is lowered for failures that do not get rarer
	ceilingKept = 20 * time.Second // then the level at which answers failed may be tried again

	slowest = 1.2 // of the time at rest: the least that a latency target can ask for

	pauseLeast   = 3 * tick
	pauseTimes   = 1.25 // times a request is at the origin: those that came together may go together
	pauseAnswers = 8    // that did not come
	pausesRow    = 2    // slots in a row that a pause may spoil

	stallLeast   = 500 * time.Millisecond // a pause of the origin's memory management moves nothing
	stallTimes   = 8                      // times a request is at the origin
	stallAnswers = 20                     // that did not come
	stallUnknown = 10 * time.Second       // where nothing is known yet
	canaryEvery  = 250 * time.Millisecond // at first
	canaryRarely = 2 * time.Second        // at last
	revival      = .6                     // of the limit, until what piled up has been answered

	crowded    = 2.5              // inflation that wants an explanation
	crowdSlots = 3                // in a row
	crowdCount = 20               // answers in each
	probeDown  = 1.7              // times fewer requests
	probeSlots = 3                // the first of which still has those from before
	probeLoss  = .85              // of the answers: with fewer than that it was not the crowd
	probeAgain = 20 * time.Second // after one that proved nothing: with other gateways about, none ever would
)

type guard struct {
	alive     time.Time // the origin gave a useful answer, or had nothing to do
	canary    bool      // one more may be sent to an origin that has stalled
	canaryAt  time.Time // and the next one then
	canaryGap time.Duration
	before    float64 // the level when it stalled
	phase     Phase   // and the phase
	fullAt    time.Time

	usual       float64 // part of the answers that fail anyway
	lowered     int     // times in a row
	first       float64 // part that failed when that began,
	since       span    // what has been answered since then
	original    float64 // and the level
	ceiling     float64 // where failures began
	ceilingTill time.Time

	crowds       int       // slots in a row that were crowded
	crowd        span      // those slots
	probing      int       // slots left of a probe
	calm, probed span      // before the probe, and in it
	probeAt      time.Time // the next one, at the earliest
}

// stall looks for an origin that gives no useful answer although it has requests. It
// reports whether the limit stands still.
func (l *limit) stall(now time.Time, d *span) bool {
	g := &l.guard
	g.canary = false
	if d.seconds > 4*tick.Seconds() { // nobody looked, and nobody read answers
		g.alive = g.alive.Add(seconds(d.seconds))
	}
	if d.useful > 0 || d.inFlight == 0 {
		g.alive = now
		if l.phase == Stalled {
			l.revive(now, d)
		}
	}
	if l.phase != Stalled {
		if !g.fullAt.IsZero() && !now.Before(g.fullAt) {
			g.fullAt = time.Time{}
			l.move(g.before, Revived, d)
			l.settle.forget()
		}
		if l.observe || now.Sub(g.alive) <= l.patience() || float64(d.inFlight) < fills*float64(l.now())-1 {
			return false
		}
		g.before, g.phase = l.level, l.phase
		g.canaryAt, g.canaryGap = now, canaryEvery
		l.phase, l.swing = Stalled, 0
		l.tell(Stall, d)
	}
	if !now.Before(g.canaryAt) && d.inFlight < int(l.most) {
		g.canary = true
		g.canaryAt = now.Add(g.canaryGap)
		g.canaryGap = min(2*g.canaryGap, canaryRarely)
	}
	return true
}

// patience is how long an origin may say nothing.
func (l *limit) patience() time.Duration {
	if l.resident == 0 {
		return stallUnknown
	}
	return max(stallLeast, seconds(max(stallTimes*l.resident, stallAnswers/l.capacity)))
}

// paused reports whether the origin has just been silent for longer than chance makes it:
// what it did before and after says nothing of how many requests it should have.
func (l *limit) paused(now time.Time) bool {
	silent := now.Sub(l.guard.alive)
	return silent >= max(pauseLeast, seconds(pauseTimes*l.resident)) && l.capacity*silent.Seconds() > pauseAnswers
}

// revive goes on with fewer than before: what piled up in the origin takes its time.
func (l *limit) revive(now time.Time, d *span) {
	g := &l.guard
	l.phase = g.phase
	l.launch.fromAt, l.launch.was = time.Time{}, 0 // what is measured across the stall is the stall
	l.settle.forget()
	if l.fixed > 0 {
		l.tell(Revived, d)
		return
	}
	l.move(g.before*revival, Revived, d)
	if l.phase == Settled {
		g.fullAt = now.Add(max(4*tick, seconds(2*l.resident)))
	}
}

// guards looks at a slot in which the origin was the bottleneck, and reports whether the
// level is theirs now.
func (l *limit) guards(now time.Time, d *span) bool {
	return l.fixed == 0 && (l.failures(now, d) || l.slow(d) || l.probe(now, d))
}

// failures lowers the limit while too many answers fail, unless that does not help: then
// it is the shop that is broken, not the load too high.
func (l *limit) failures(now time.Time, d *span) bool {
	g := &l.guard
	answers := float64(d.failed + d.useful)
	part := float64(d.failed) / answers
	chance := 2 * math.Sqrt(g.usual*(1-g.usual)/answers) // a slot has few answers, and there are many slots
	if part <= g.usual+failing+chance || d.failed < leastFailed {
		g.usual += .05 * (part - g.usual)
		g.lowered = 0
		return false
	}
	switch {
	case g.lowered == 0:
		g.first, g.original, g.since = part, l.level, span{}
	case g.lowered >= inVain && part > .7*g.first:
		g.since = g.since.and(d)
		g.usual = float64(g.since.failed) / float64(g.since.failed+g.since.useful)
		g.lowered, g.ceilingTill = 0, time.Time{}
		l.move(g.original, Absolved, d)
		l.settle.forget()
		return true
	}
	g.lowered++
	g.since = g.since.and(d)
	g.ceiling, g.ceilingTill = l.level*.95, now.Add(ceilingKept)
	l.move(l.level/backOff, Failures, d)
	l.settle.forget()
	return true
}

// slow holds the operator's latency target.
func (l *limit) slow(d *span) bool {
	target := max(l.target, slowest*l.rest.expected(d)) // no limit makes it faster than at rest
	if l.target == 0 || d.resident() <= target || l.level <= 1 {
		return false
	}
	l.move(l.level*max(math.Exp(-mostStep), target/d.resident()), Target, d)
	l.settle.forget()
	return true
}

// affords reports whether the level may rise.
func (l *limit) affords(now time.Time) bool {
	g := &l.guard
	if now.Before(g.ceilingTill) && l.level*math.Exp(leastStep) > g.ceiling {
		return false
	}
	return l.target == 0 || l.last.resident()*math.Exp(widest) < l.target
}

// probe asks, when requests stay far longer than at rest and the elasticity is not known
// well, whether that is because there are too many: it lowers the limit boldly for a
// moment. If about as many are answered as before, it was; if not, the origin has become
// slower by itself.
func (l *limit) probe(now time.Time, d *span) bool {
	g := &l.guard
	switch {
	case g.probing > 0:
		g.probed = g.probed.and(d)
		if g.probing == probeSlots {
			g.probed = span{}
		}
		if g.probing--; g.probing == 0 {
			l.explained(now)
		}
		return true
	case l.inflation(d) < crowded || d.useful < crowdCount || l.level < 2 || l.settle.knows() || now.Before(g.probeAt):
		g.crowds, g.crowd = 0, span{}
		return false
	}
	g.crowd = g.crowd.and(d)
	if g.crowds++; g.crowds < crowdSlots {
		return false
	}
	g.calm, g.probing = g.crowd, probeSlots
	g.crowds, g.crowd = 0, span{}
	l.move(l.level/probeDown, Probed, d)
	l.settle.forget()
	return true
}

// blame takes an origin for slower than it was known to be: fewer requests brought fewer
// answers. With other gateways in front of it that proves nothing, they may have got them.
// Nor does it where the answers are of a class that was never seen at rest.
func (l *limit) blame(d *span) {
	if i := l.inflation(d); i > 0 && !l.shared {
		l.rest.scale(i / launchAim)
	}
}

// explained ends a probe.
func (l *limit) explained(now time.Time) {
	g := &l.guard
	if g.probed.x() < probeLoss*g.calm.x() && g.calm.resident() < longest {
		l.blame(&g.probed)
		l.move(l.level*probeDown, Returned, &g.probed)
		g.probeAt = now.Add(probeAgain)
	}
	l.settle.forget()
}

// unexplained ends a probe in which there was nothing to see.
func (l *limit) unexplained(now time.Time) {
	l.guard.probing, l.guard.probeAt = 0, now.Add(probeAgain)
	l.move(l.level*probeDown, Returned, &l.last)
	l.settle.forget()
}
