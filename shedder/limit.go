package shedder

// How many requests the origin is given at a time. A fixed number, or a simple climb
// on counted throughput: doubling while more concurrency brings more useful answers,
// then small steps around the best level seen, back to it when throughput breaks.
// Latency alone never moves it up or down, because a slow origin and a queue in front
// of it look the same; the operator's latency target is a ceiling.
//
// It learns only while the origin is the bottleneck: quiet traffic never raises it.
// It gives up precision: it settles within a step or two of the best level.

import (
	"math"
	"time"

	"penstock/rules"
)

const (
	firstLimit = 16
	leastLimit = 4

	launchWindow = 150 * time.Millisecond
	launchCount  = 24 // answers
	settleWindow = 500 * time.Millisecond
	settleCount  = 120
	longWindow   = 3 * time.Second // judged with whatever has been counted by then
	leastStall   = time.Second

	step    = 1.15
	gains   = 1.10 // throughput that counts as more, per doubling
	flat    = .03  // throughput that counts as the same, per step
	breaks  = .80  // of the best throughput: back to where that was
	forgets = .995 // the best throughput, per window, so that a slower shop is accepted
)

// limit is the learned number. Time is an argument.
type limit struct {
	fixed   int // > 0: this many, for ever
	most    float64
	target  time.Duration
	current float64

	capacity float64 // useful answers/s, smoothed, while saturated

	saturated     bool // somebody waited or was refused in this window
	since, last   time.Time
	area          float64 // requests × seconds
	useful, ended int
	lastUseful    time.Time

	launching    bool
	skip         bool    // the level has just changed: this window mixes two
	before       float64 // throughput at the level before the last step
	up           bool
	best, bestAt float64
}

func newLimit(o rules.Origin, now time.Time) limit {
	l := limit{current: firstLimit, launching: true, since: now, last: now, lastUseful: now}
	l.configure(o)
	return l
}

func (l *limit) configure(o rules.Origin) {
	l.fixed, l.most, l.target = o.Concurrency, float64(o.MaxConcurrency), o.LatencyTarget
	l.set(l.current)
}

// now is the limit in requests.
func (l *limit) now() int {
	if l.fixed > 0 {
		return l.fixed
	}
	return int(math.Round(l.current))
}

// set moves the limit within its bounds and reports whether it moved.
func (l *limit) set(to float64) bool {
	to = max(min(leastLimit, l.most), min(to, l.most))
	moved := to != l.current
	l.current = to
	return moved
}

// busy accounts for n requests having been at the origin until now.
func (l *limit) busy(n int, now time.Time) {
	l.area += float64(n) * now.Sub(l.last).Seconds()
	l.last = now
}

// done counts an ended request and, at the end of a window, may move the limit. It
// reports whether limit or capacity changed.
func (l *limit) done(useful bool, now time.Time) bool {
	l.ended++
	if useful {
		l.useful++
		l.lastUseful = now
	}
	took := now.Sub(l.since)
	if !l.stalled(now) {
		window, count := settleWindow, settleCount
		if l.launching {
			window, count = launchWindow, launchCount
		}
		if took < longWindow && (took < window || l.ended < count) {
			return false
		}
	}
	n, x := l.area/took.Seconds(), float64(l.useful)/took.Seconds()
	learns := l.saturated
	l.since, l.area, l.useful, l.ended, l.saturated = now, 0, 0, 0, false
	if !learns || took <= 0 {
		l.skip = true // what came before says nothing about the next level
		return false
	}
	if l.capacity == 0 {
		l.capacity = x
	}
	l.capacity += .3 * (x - l.capacity)
	if l.fixed == 0 {
		l.learn(n, x, now)
	}
	return true
}

// stalled reports that nothing useful has come for far longer than usual.
func (l *limit) stalled(now time.Time) bool {
	quiet := leastStall
	if l.capacity > 0 {
		quiet = max(quiet, time.Duration(4*l.current/l.capacity*float64(time.Second)))
	}
	return now.Sub(l.lastUseful) > quiet
}

// learn moves the limit after a saturated window with n requests at the origin on
// average and x useful answers/s.
func (l *limit) learn(n, x float64, now time.Time) {
	switch {
	case l.stalled(now):
		l.lastUseful = now // once per stall's length
		l.set(l.current / 2)
		l.skip = true
		return
	case l.skip:
		l.skip = false
		return
	case l.target > 0 && x > 0 && n/x > l.target.Seconds():
		l.launching = false
		l.move(false, x)
		return
	}
	l.best *= forgets
	if x > l.best {
		l.best, l.bestAt = x, l.current
	}
	if l.launching {
		l.launch(x)
		return
	}
	l.settle(x)
}

// launch doubles while that pays.
func (l *limit) launch(x float64) {
	if l.before == 0 || x > gains*l.before {
		l.before = x
		if l.skip = l.set(l.current * 2); l.skip {
			return
		}
	}
	l.launching, l.up = false, false
	l.skip = l.set(l.bestAt)
	l.before = 0
}

// settle climbs in small steps. Where a step changes nothing the smaller level is
// better: its answers come sooner.
func (l *limit) settle(x float64) {
	switch {
	case x < breaks*l.best && l.current != l.bestAt:
		l.skip = l.set(l.bestAt)
		l.up, l.before = false, 0
		return
	case x < breaks*l.best: // the best level is not what it was
		l.best = x
	case l.before == 0:
	case x < (1-flat)*l.before:
		l.up = !l.up
	case x < (1+flat)*l.before:
		l.up = l.up && l.current < l.bestAt
	}
	l.move(l.up, x)
}

func (l *limit) move(up bool, x float64) {
	factor := step
	if !up {
		factor = 1 / step
	}
	l.before = x
	if l.skip = l.set(l.current * factor); !l.skip {
		l.up = !l.up
	}
}
