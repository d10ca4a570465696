package shedder

// What answers take at rest, by class: learned while nobody waits and at most half of the
// limit is in use. It serves launch and guards; the settled limit does not depend on it.

import (
	"time"

	"penstock/rules"
)

const (
	restWindow = 200 * time.Millisecond
	restFades  = .98 // per window: about ten seconds
	restCount  = 30  // answers,
	restLooks  = 5   // in so many windows, before they are believed: the first to come are those that take little
	restOdd    = 3   // times the usual: more than that is a hiccup, not rest
	longRest   = 1.  // seconds: the longest that is taken for rest where nothing is known
	longest    = 5.  // seconds: what takes longer is as good as hung
)

type rest struct {
	usual   [rules.Priorities]float64 // seconds
	n, sum  [rules.Priorities]float64 // answers, and seconds, fading
	looks   [rules.Priorities]int     // windows with any
	learned [rules.Priorities]bool    // that was, and not only assumed
	from    reading
	fromAt  time.Time
}

// look takes the counters in.
func (r *rest) look(now time.Time, c reading, level float64) {
	if r.fromAt.IsZero() {
		r.from, r.fromAt = c, now
	}
	d := c.since(r.from, now, r.fromAt)
	if d.waited == 0 && d.area <= level/2*d.seconds && now.Sub(r.fromAt) < restWindow {
		return
	}
	r.from, r.fromAt = c, now
	if d.waited > 0 || d.area > level/2*d.seconds {
		return
	}
	for i, k := range d.done {
		if k > 0 {
			r.looks[i]++
		}
		r.n[i] = r.n[i]*restFades + float64(k)
		took := d.took[i]
		if r.usual[i] > 0 {
			took = min(took, restOdd*r.usual[i]*float64(k))
		}
		r.sum[i] = r.sum[i]*restFades + took
		if r.n[i] >= restCount && r.looks[i] >= restLooks {
			r.usual[i], r.learned[i] = r.sum[i]/r.n[i], true
		}
	}
}

// expected is what the answers of d would have taken at rest, in seconds on average; 0 if
// nobody knows.
func (r *rest) expected(d *span) float64 {
	sum, n := 0.0, 0.0
	for i, k := range d.done {
		if r.usual[i] > 0 {
			sum += r.usual[i] * float64(k)
			n += float64(k)
		}
	}
	if n < float64(d.useful)/2 {
		return 0
	}
	return sum / n
}

// assume takes d for what is usual where nothing better is known: it cannot be more.
func (r *rest) assume(d *span) {
	for i, k := range d.done {
		if k > 0 && !r.learned[i] && (r.usual[i] == 0 || d.resident() < r.usual[i]) {
			r.usual[i] = min(d.resident(), longRest)
		}
	}
}

// any reports whether something was learned.
func (r *rest) any() bool { return r.learned != [rules.Priorities]bool{} }

// known is what was learned.
func (r *rest) known() (usual [rules.Priorities]float64) {
	for i, yes := range r.learned {
		if yes {
			usual[i] = r.usual[i]
		}
	}
	return usual
}

// scale accepts that the origin has become slower, or faster, without our doing.
func (r *rest) scale(by float64) {
	for i := range r.usual {
		r.usual[i] *= by
		r.looks[i] = 0
		r.n[i] = 0
		r.sum[i] = 0
	}
}
