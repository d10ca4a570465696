package cheats

import (
	"net/netip"
	"time"

	"penstock/proxy/gate"
)

// People: they look, wait for the countdown, press with human hands, and put up with
// some of what they are told.

// person is one's temper.
type person struct {
	looks  []time.Duration
	press  time.Duration // for the first time
	twice  bool          // double-clicks
	hasty  bool          // presses again and again
	obeys  bool          // comes back when told to
	hope   int           // how often it asks again after a no
	pauses time.Duration // median between two presses

	pending int // presses without an answer
	solving bool
	done    bool
}

// react is how long a hand takes.
func (d dice) reaction() time.Duration {
	return max(160*time.Millisecond, d.spread(650*time.Millisecond, .6))
}

// people adds all of them: shares move from crowd to crowd.
func (w *draw) people(n int) {
	shared := int(float64(n) * w.between(.15, .35))
	mobile := int(float64(n) * w.between(.08, .2))
	never := w.between(.02, .05) // deep links and apps
	late := w.between(.15, .4)   // are not there when it opens
	add := func(at ...netip.Addr) *Agent { return w.person(Home, never, late, at...) }
	for left := shared; left > 0; {
		left -= w.office(left, add)
	}
	for range mobile {
		at := []netip.Addr{w.land.mobile(), w.land.home()}
		if w.chance(.3) {
			at = append(at, w.land.mobile())
		}
		w.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
		a := add(at...)
		a.Kind = Mobile
		for range w.n(1, 3) {
			a.moves = append(a.moves, w.span(-3*time.Minute, 2*time.Minute))
		}
	}
	for left := n - shared - mobile; left > 0; {
		at := w.land.home()
		for range min(left, 1+w.few(.25, 2)) {
			add(at)
			left--
		}
	}
	w.tempers(n)
}

// few is how often in a row something happens, at most so often.
func (d dice) few(p float64, most int) (n int) {
	for n < most && d.chance(p) {
		n++
	}
	return n
}

// office adds people behind one address, or a few next to each other: mostly offices of
// about thirty, some campuses and providers that hide hundreds.
func (w *draw) office(left int, add func(at ...netip.Addr) *Agent) int {
	size, addresses := int(w.about(10, 90)), 1
	if w.chance(.12) {
		size, addresses = int(w.about(150, 900)), w.n(1, 6)
	}
	size = min(size, left)
	at := []netip.Addr{w.land.line()}
	if addresses > 1 {
		at = w.land.near(addresses)
	}
	for range size {
		add(at[w.IntN(len(at))]).Kind = Shared
	}
	return size
}

// tempers makes some of those who are there impatient, and some without scripts.
func (w *draw) tempers(n int) {
	hasty, bare := w.between(.03, .09), w.between(.003, .012)
	for _, a := range w.crowd.Agents {
		p := a.mind.(*person)
		switch u := w.Float64(); {
		case u < hasty:
			a.Kind = Impatient
			p.twice, p.hasty, p.obeys = w.chance(.7), w.chance(.6), false
			p.hope, p.pauses = w.n(4, 25), w.span(250*time.Millisecond, 900*time.Millisecond)
			if p.hasty && p.press > 0 && p.press < 5*time.Second && w.chance(.5) {
				p.press = -w.exponential(2 * time.Second)
			}
		case u < hasty+bare:
			a.Kind, a.Script = NoScript, false
		}
	}
}

func (w *draw) person(k Kind, never, late float64, at ...netip.Addr) *Agent {
	a := w.agent(k, at...)
	a.speed = a.about(150e3, 1.2e6) // a telephone
	if a.chance(.4) {
		a.speed = a.about(8e5, 8e6) // a computer
	}
	a.away = a.spread(25*time.Millisecond, .6)
	p := &person{obeys: a.chance(.75), hope: a.few(.6, 8) + 2, pauses: a.span(700*time.Millisecond, 4*time.Second), twice: a.chance(.03)}
	p.press = a.reaction()
	switch u := a.Float64(); {
	case u < late:
		p.press = a.exponential(90*time.Second) + a.reaction()
	case u < late+.08: // too early
		p.press = -a.exponential(4 * time.Second)
	}
	p.looked(a, never)
	a.mind = p
	return a
}

// looked draws when the page is looked at: mostly minutes before, sometimes hours.
func (p *person) looked(a *Agent, never float64) {
	if a.chance(never) {
		return
	}
	if a.chance(.25) {
		p.looks = append(p.looks, p.press-a.span(10*time.Minute, 5*time.Hour))
		if a.chance(.3) {
			return // the tab stays open, and counts down
		}
	}
	at := p.press - a.spread(75*time.Second, 1.1) - time.Second
	for range 1 + a.few(.45, 12) {
		if at >= p.press {
			break
		}
		p.looks = append(p.looks, at)
		at += a.spread(8*time.Second, 1)
	}
}

func (p *person) begin(a *Agent, next []Action) []Action {
	for _, at := range p.looks {
		next = append(next, a.does(Look, at))
	}
	next = p.presses(a, p.press, next)
	if p.hasty { // does not wait for an answer
		at := p.press
		for range min(p.hope/3, 6) {
			at += a.spread(p.pauses, .35)
			next = p.presses(a, at, next)
		}
	}
	return next
}

func (p *person) presses(a *Agent, at time.Duration, next []Action) []Action {
	next = append(next, a.does(Buy, at))
	p.pending++
	if p.twice {
		next = append(next, a.does(Buy, at+a.span(70*time.Millisecond, 260*time.Millisecond)))
		p.pending++
	}
	return next
}

func (p *person) react(a *Agent, got *Answer, next []Action) []Action {
	at := a.heard(got)
	switch got.Step {
	case Look:
		return next
	case Solve:
		p.solving = false
		if got.Reason != gate.Admitted {
			return p.solve(a, got, at, next)
		}
		return p.presses(a, at+a.reaction(), next) // the page says: go on
	}
	p.pending--
	if p.done || p.solving {
		return next
	}
	switch got.Reason {
	case gate.Admitted, gate.AlreadyBought:
		p.done = p.done || got.Won
		if got.Won || p.pending > 0 {
			return next
		}
	case gate.Challenge:
		return p.solve(a, got, at, next)
	}
	if p.pending > 0 {
		return next
	}
	if p.hope--; p.hope < 0 {
		p.done = true
		return next
	}
	return p.again(a, got, at, next)
}

// again presses once more, after a no, if there is any sense in it.
func (p *person) again(a *Agent, got *Answer, at time.Duration, next []Action) []Action {
	switch got.Reason {
	case gate.SoldOut, gate.AlreadyBought, gate.Closed:
		if got.Reason == gate.Closed || !a.chance(.3) {
			p.done = true
			return next
		}
		return p.presses(a, at+a.spread(5*time.Second, .8), next)
	case gate.Banned, gate.NotEligible:
		if got.Retry > 5*time.Minute || !a.chance(.6) {
			p.done = true
			return next
		}
	case gate.NotOpen:
		p.hope++ // a countdown discourages nobody
		if p.obeys {
			return p.presses(a, max(at, 0)+a.reaction(), next)
		}
	}
	if p.obeys && got.Retry > 0 {
		return p.presses(a, at+got.Retry+a.reaction(), next)
	}
	return p.presses(a, at+a.spread(p.pauses, .5), next)
}

// solve lets the browser work, or types what is in the image. Some are put off.
func (p *person) solve(a *Agent, got *Answer, at time.Duration, next []Action) []Action {
	if a.chance(.02) {
		p.done = true
		return next
	}
	switch {
	case a.Script:
		at = a.solved(&got.Puzzle, at+a.spread(300*time.Millisecond, .4)) // the page loads first
	case got.Puzzle.Captcha:
		at += a.spread(12*time.Second, .5)
	default:
		if p.hope--; p.hope < 0 {
			p.done = true
			return next
		}
		return p.presses(a, at+a.spread(p.pauses, .5), next)
	}
	p.solving = true
	return append(next, a.does(Solve, at))
}
