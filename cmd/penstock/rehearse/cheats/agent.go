package cheats

import (
	"net/netip"
	"time"

	"penstock/proxy/gate"
)

// Step is what an action is for.
type Step uint8

const (
	Look  Step = iota // at the product's page
	Buy               // press the button
	Solve             // send the answer to a challenge
)

// Action is something that an agent will do. Times count from the opening; before it they
// are negative.
type Action struct {
	At   time.Duration // when it reaches the gateway
	Step Step
	From netip.Addr
}

// Answer is what became of an action.
type Answer struct {
	At     time.Duration // when the gateway gave it
	Step   Step
	Reason gate.Reason // of Look and Buy; of Solve: Admitted, or Challenge if the answer was wrong
	Retry  time.Duration
	Won    bool
	Puzzle Puzzle // with Challenge
}

// Puzzle is how much a challenge asks.
type Puzzle struct {
	Parts   int
	Each    float64 // hashes expected of a part
	Captcha bool    // can be solved without scripts
}

// Agent is one account, and whoever uses it. The kind is the label: nothing that a
// gateway gets to see depends on it alone.
type Agent struct {
	ID      int
	Account string
	Kind    Kind
	Script  bool // runs JavaScript

	dice
	addresses []netip.Addr
	moves     []time.Duration // when it changes to the next address
	rotates   bool            // another address for each request
	away      time.Duration   // half of a round trip
	speed     float64         // hashes/s in its browser
	engine    *engine         // instead, of a farm; nil: none
	mind      mind
}

// mind decides. begin is asked once, react for every answer; both append what comes next.
type mind interface {
	begin(a *Agent, next []Action) []Action
	react(a *Agent, got *Answer, next []Action) []Action
}

// Next appends what the agent does next, having got an answer; nil: it has just come. An
// action cannot be taken back, whatever is answered to another one meanwhile.
func (a *Agent) Next(got *Answer, next []Action) []Action {
	if got == nil {
		return a.mind.begin(a, next)
	}
	return a.mind.react(a, got, next)
}

// does makes an action that is decided on at a time.
func (a *Agent) does(s Step, at time.Duration) Action {
	at += a.away
	return Action{At: at, Step: s, From: a.from(at)}
}

func (a *Agent) from(at time.Duration) netip.Addr {
	if a.rotates {
		return a.addresses[a.IntN(len(a.addresses))]
	}
	n := 0
	for _, m := range a.moves {
		if at >= m {
			n++
		}
	}
	return a.addresses[n%len(a.addresses)]
}

// heard is when an answer has come to the agent.
func (a *Agent) heard(got *Answer) time.Duration { return got.At + a.away }

// solved is when a proof of work that is begun at a time is done.
func (a *Agent) solved(p *Puzzle, at time.Duration) time.Duration {
	n := a.hashes(p.Parts, p.Each)
	if a.engine != nil {
		return a.engine.run(n, at)
	}
	return at + seconds(n/a.speed)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// engine is what a farm computes with: so many at a time, the others wait.
type engine struct {
	speed float64 // hashes/s of one core
	free  []time.Duration
}

func newEngine(cores int, speed float64) *engine {
	e := &engine{speed: speed, free: make([]time.Duration, cores)}
	for i := range e.free {
		e.free[i] = -1 << 62
	}
	return e
}

func (e *engine) run(hashes float64, at time.Duration) time.Duration {
	first := 0
	for i, f := range e.free {
		if f < e.free[first] {
			first = i
		}
	}
	e.free[first] = max(at, e.free[first]) + seconds(hashes/e.speed)
	return e.free[first]
}
