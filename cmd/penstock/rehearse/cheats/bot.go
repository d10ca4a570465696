package cheats

import (
	"time"

	"penstock/proxy/gate"
)

// Cheats: programs that look, press and repeat as they are written. Those of one group
// are written alike.

// program is what the bots of one group have in common.
type program struct {
	first, within time.Duration // when the first request is sent, and how much later the last bot's is
	every         time.Duration // from an answer to the next request
	jitter        float64       // of every, as a share
	parallel      int           // requests at the same time
	most          int           // requests of one bot
	until         time.Duration // and no request after this
	looks         bool          // at the page, before
	obeys         bool          // reads Retry-After
	waits         bool          // after not_open, for the opening
	greedy        bool          // goes on when it has won
	restock       time.Duration // goes on when all is sold, so often; 0: it does not
	solves        bool          // challenges, if its browser or engine can
	blunt         int           // gives up after so many challenges or bans; 0: never
}

// cheats adds all of them, so many as people of that number attract.
func (w *draw) cheats(people int) {
	scale := float64(people) / 10000
	some := func(low, high float64) int { return max(1, int(scale*w.about(low, high)+.5)) }
	for range some(5, 30) {
		w.flood()
	}
	for range w.n(1, 4) {
		w.farm(max(20, int(min(scale, 1)*w.about(200, 1000))))
	}
	for range w.n(1, 3) {
		w.ring(some(30, 250))
	}
	for range some(15, 60) {
		w.kiddie()
	}
	w.careful(some(40, 250))
}

func (w *draw) flood() {
	p := &program{
		first: -w.exponential(time.Second), every: w.span(5*time.Millisecond, 100*time.Millisecond), jitter: w.between(0, .5),
		parallel: w.n(2, 40), most: int(w.about(150, 900)), until: w.span(10*time.Second, 2*time.Minute),
		looks: w.chance(.4), greedy: w.chance(.5), obeys: w.chance(.1), waits: w.chance(.3),
	}
	if w.chance(.5) {
		p.restock = p.every
	}
	a := w.agent(Flood, w.land.home())
	if w.chance(.2) {
		a.addresses = w.land.exits(w.n(1, 3), false)
	}
	a.speed, p.solves = a.about(1e6, 8e6), w.chance(.3)
	a.mind = &bot{program: p}
}

func (w *draw) farm(n int) {
	at := w.land.near(1)
	if w.chance(.5) {
		at = w.land.near(w.n(4, 250))
	}
	p := w.racer()
	p.looks, p.most, p.blunt = w.chance(.3), w.n(2, 12), w.n(0, 3)
	e := w.solver(p)
	for range n {
		a := w.agent(Farm, at[w.IntN(len(at))])
		a.engine, a.Script = e, p.solves
		a.mind = &bot{program: p}
	}
}

func (w *draw) ring(n int) {
	p := w.racer()
	p.looks, p.most, p.blunt = w.chance(.4), w.n(4, 25), w.n(0, 5)
	if w.chance(.5) { // runs warm: asks now and then whether it has begun
		p.first, p.within, p.waits = -w.span(5*time.Second, 90*time.Second), w.span(time.Second, 5*time.Second), w.chance(.5)
		p.most += 20
	}
	e := w.solver(p)
	pool := w.land.exits(max(10, int(float64(n)*w.about(.3, 2))), w.chance(.6))
	for range n {
		mine := pool
		if w.chance(.5) && len(pool) > 12 { // a session of the seller has some of them
			from := w.IntN(len(pool) - 8)
			mine = pool[from : from+w.n(3, 8)]
		}
		a := w.agent(Ring, mine...)
		a.rotates, a.engine, a.Script = true, e, p.solves
		a.away = a.span(40*time.Millisecond, 200*time.Millisecond) // through a proxy
		a.mind = &bot{program: p}
	}
}

// racer is a program that wants to be first.
func (w *draw) racer() *program {
	p := &program{
		first: w.span(-60*time.Millisecond, 40*time.Millisecond), within: time.Duration(w.about(20e6, 900e6)),
		every: time.Duration(w.about(20e6, 800e6)), jitter: w.between(0, .4), parallel: 1,
		until: w.span(20*time.Second, 2*time.Minute), obeys: w.chance(.4), waits: true, greedy: w.chance(.1),
	}
	if w.chance(.2) {
		p.parallel = w.n(2, 4)
	}
	if w.chance(.7) { // orders fail, carts run out: something may come back
		p.restock = time.Duration(w.about(5e8, 8e9))
	}
	return p
}

// solver gives a group something to solve challenges with, or nothing.
func (w *draw) solver(p *program) *engine {
	if p.solves = w.chance(.5); !p.solves {
		return nil
	}
	speed := w.about(5e5, 3e6) // a headless browser's
	if w.chance(.3) {
		speed = w.about(5e6, 2e7) // a program's
	}
	return newEngine(int(w.about(4, 64)), speed)
}

func (w *draw) kiddie() {
	p := &program{
		first: -w.exponential(40 * time.Second), every: w.span(100*time.Millisecond, time.Second), jitter: w.between(0, .1),
		parallel: 1, most: int(w.about(150, 1500)), until: w.span(20*time.Second, 4*time.Minute), greedy: w.chance(.6), looks: w.chance(.2),
	}
	if w.chance(.6) { // it reads no answers at all
		p.restock = p.every
	}
	at := w.land.home()
	for range 1 + w.few(.3, 4) {
		a := w.agent(Kiddie, at)
		a.Script = false
		a.mind = &bot{program: p}
	}
}

// careful is a farm of browsers, each with an address of its own, whose owner has read
// how people are told from programs.
func (w *draw) careful(n int) {
	e := newEngine(int(w.about(8, 64)), w.about(5e5, 3e6))
	for range n {
		a := w.agent(Careful, w.land.home())
		a.engine = e
		start := a.span(250*time.Millisecond, 900*time.Millisecond)
		a.mind = &bot{program: &program{
			first: start, every: a.span(700*time.Millisecond, 3*time.Second), jitter: .5, parallel: 1,
			most: 6, until: time.Minute, looks: true, obeys: true, waits: true, solves: true, blunt: 3,
		}}
	}
}

// bot runs a program with one account.
type bot struct {
	*program
	sent    int
	refused int // challenges and bans
	solving bool
	done    bool
}

func (b *bot) begin(a *Agent, next []Action) []Action {
	first := b.first + time.Duration(a.Float64()*float64(b.within))
	if b.looks {
		n := 1
		if a.Kind == Careful {
			n += a.few(.4, 4)
		}
		for range n {
			next = append(next, a.does(Look, first-a.span(2*time.Second, 4*time.Minute)))
		}
	}
	for i := range b.parallel {
		next = b.sends(a, first+time.Duration(i)*time.Millisecond, next)
	}
	return next
}

func (b *bot) sends(a *Agent, at time.Duration, next []Action) []Action {
	if b.sent >= b.most || at > b.until {
		return next
	}
	b.sent++
	return append(next, a.does(Buy, at))
}

func (b *bot) react(a *Agent, got *Answer, next []Action) []Action {
	at := a.heard(got)
	if got.Step == Look || b.done {
		return next
	}
	if got.Step == Solve {
		b.solving = false
		return b.sends(a, at, next)
	}
	wait := b.every + time.Duration(a.NormFloat64()*b.jitter*float64(b.every))
	switch got.Reason {
	case gate.Admitted, gate.AlreadyBought:
		if b.done = (got.Won || got.Reason == gate.AlreadyBought) && !b.greedy; b.done {
			return next
		}
	case gate.SoldOut, gate.Closed:
		if b.done = b.restock == 0; b.done {
			return next
		}
		wait = b.restock + time.Duration(a.NormFloat64()*b.jitter*float64(b.restock))
	case gate.NotOpen:
		if b.waits && at < 0 {
			wait = -at - a.away + a.span(0, 5*time.Millisecond) // to be there when it opens
		}
	case gate.Challenge, gate.Banned:
		if b.refused++; b.blunt > 0 && b.refused > b.blunt {
			b.done = true
			return next
		}
		if got.Reason == gate.Challenge && b.solves {
			if b.solving {
				return next
			}
			b.solving = true
			return append(next, a.does(Solve, a.solved(&got.Puzzle, at)))
		}
	default:
		if b.obeys && got.Retry > 0 {
			wait = got.Retry
		}
	}
	return b.sends(a, at+max(wait, time.Millisecond), next)
}
