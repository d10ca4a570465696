package shedder

// Launch: from what is known, or from a small number, to about the origin's best level in
// a few round trips. Each step waits until what was sent before it has been answered, or
// it would be judged by the level before.

import (
	"math"
	"time"
)

const (
	launchWindow = 2 * tick
	launchCount  = 40   // answers
	launchAim    = 1.5  // inflation at which it stops: a little past the product of throughput and time at rest
	launchFree   = 1.1  // inflation up to which more requests cost nothing
	launchNear   = 1.25 // and up to which they cost little
	launchFull   = 1.8  // inflation at which more requests bring nothing, as a first guess
	launchSteps  = 12
	surplus      = 1.3 // of the level: with more than that at the origin it is not the level that is seen
	loss         = .1  // of throughput, in natural logarithms, for which a step up is taken back
	worth        = .25 // elasticity of a step down from which on it is taken back
	longStep     = .3  // seconds at the origin: from here on large steps up are for what is known at rest
	launchPause  = time.Second
)

type launch struct {
	known   bool // the level is remembered, so it only has to be looked at
	from    reading
	fromAt  time.Time
	readyAt time.Time // what is answered before then was sent at the level before
	pauseAt time.Time // pauses since the last window that was judged began: they spoil it, but not for ever
	turned  int       // -1, 1: which way it went first
	steps   int
	before  span    // the last step,
	was     float64 // and the level then; 0: there was none
	worse   float64 // a level at which there were no more answers than at a lower one; 0: not known
	best    float64 // the most useful answers/s seen in observation, fading
}

func (l *limit) climb(now time.Time, r reading) {
	c := &l.launch
	paused := l.paused(now)
	if paused && c.pauseAt.IsZero() {
		c.pauseAt = now
	}
	if now.Before(c.readyAt) || c.fromAt.IsZero() || paused && now.Sub(c.pauseAt) < launchPause {
		c.from, c.fromAt = r, now
		return
	}
	d := r.since(c.from, now, c.fromAt)
	switch {
	case now.Sub(c.fromAt) < launchWindow,
		d.useful < launchCount && d.seconds < 1,
		d.useful == 0 && d.seconds < longest && l.capacity == 0, // it may just be slow
		d.useful > 0 && d.seconds < min(longest, d.resident()):
		return
	}
	c.from, c.fromAt, c.pauseAt = r, now, time.Time{}
	if !d.saturated(l.level) {
		l.overshot(now, &d)
		return
	}
	if c.was > l.level && d.n() > surplus*l.level+1 {
		return // what was sent before the step down is still there
	}
	if d.useful == 0 {
		l.move(l.level/2, Fell, &d)
		return
	}
	l.learned(&d)
	l.rest.assume(&d)
	l.step(now, &d)
}

// overshot takes back a step after which nobody waits any more, because the whole crowd
// fits in, and the origin has more than is good for it.
func (l *limit) overshot(now time.Time, d *span) {
	if i := l.inflation(d); l.launch.steps > 0 && d.useful >= launchCount && i > launchFull {
		l.move(d.n()/i*launchAim, Fell, d)
		l.settleDown(now)
	}
}

// step goes up or down by what the inflation says, and settles where that is little.
func (l *limit) step(now time.Time, d *span) {
	c := &l.launch
	switch {
	// Fewer brought fewer answers: it was not the crowd. Where they take very long that proves nothing.
	case c.was > l.level && c.before.resident() < longRest && d.x() < math.Pow(l.level/c.was, worth)*c.before.x():
		l.blame(&c.before)
		l.move(c.was, Returned, d)
		l.settleDown(now)
		return
	// More brought fewer answers: too many, however long they are believed to take at rest.
	case c.was > 0 && c.was < l.level && fewer(d, &c.before):
		l.move(c.was, Fell, d)
		l.settleDown(now)
		return
	case c.was > l.level && d.x() > c.before.x():
		c.worse = c.was
	}
	c.was = 0
	inflation := l.inflation(d)
	if inflation == 0 {
		inflation = 1
	}
	by := max(.25, launchAim/inflation)
	why := Rose
	switch {
	case inflation < launchNear && !l.rest.any() && d.resident() > longStep:
		by = 1 // slow by nature, or because of us or of other gateways? Small steps will tell
	case inflation < launchFree && !c.known:
		by = 2
	case inflation < launchNear && !c.known:
		by = 1.4
	}
	if by < 1 {
		why = Fell
	} else if c.worse > 0 {
		by = min(by, math.Sqrt(max(1, c.worse/l.level)))
	}
	c.steps++
	turned := c.turned*sign(by-1) < 0
	c.turned = sign(by - 1)
	if by > .8 && by < 1.25 || c.known && by > .5 {
		l.settleDown(now)
		return
	}
	c.before, c.was = *d, l.level
	l.move(l.level*by, why, d)
	if (turned && by > 1) || l.level == l.most || c.steps > launchSteps {
		l.settleDown(now)
		return
	}
	c.readyAt = now.Add(seconds(min(d.resident(), longest)))
}

// fewer reports whether d has a lower throughput than before, by more than chance makes it.
func fewer(d, before *span) bool {
	chance := 2 * math.Sqrt(1/float64(d.useful)+1/float64(before.useful))
	return math.Log(d.x()/before.x()) < -loss-chance
}

func (l *limit) settleDown(now time.Time) {
	l.phase = Settled
	l.launch = launch{}
	l.settle.forget()
}

func sign(x float64) int {
	if x < 0 {
		return -1
	}
	return 1
}

// watch works out what the limit would be, from counters that it does not shape.
func (l *limit) watch(now time.Time, r reading) {
	c := &l.launch
	if c.fromAt.IsZero() || now.Sub(c.fromAt) < time.Second {
		if c.fromAt.IsZero() {
			c.from, c.fromAt = r, now
		}
		return
	}
	d := r.since(c.from, now, c.fromAt)
	c.from, c.fromAt = r, now
	i := l.inflation(&d)
	if d.useful < launchCount || i < launchAim {
		return
	}
	l.learned(&d)
	l.launch.best = max(l.launch.best*.999, d.x())
	to, why := l.launch.best*d.resident()/i*launchAim, Fell
	if to > l.level {
		why = Rose
	}
	if to < l.level*.8 || to > l.level*1.25 {
		l.move(to, why, &d)
	}
}
