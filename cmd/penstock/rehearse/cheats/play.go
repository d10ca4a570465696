package cheats

import (
	"container/heap"
	"context"
	"encoding/binary"
	"math"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Play in virtual time: a clock that jumps from event to event, real gates, and a model of
// the rest of a request's life.

// Gates are what a crowd is played against. Nil and empty: that gate is open.
type Gates struct {
	Before  []gate.Gate    // asked in this order, up to in flight; nil entries are left out
	After   []gate.Gate    // asked between sold out and stock
	Watches []gate.Watcher // hear of every decision

	// Puzzle is what an agent is shown whose request was challenged; nil: from the sale.
	Puzzle func(f *gate.Facts) gate.Puzzle
	// Clear is what a solution is worth that came at f.At and would earn c; nil: c.
	Clear func(f *gate.Facts, c gate.Clearance) gate.Clearance
	// Score and Rung are what is thought of an account and where it stands, asked after
	// each of its decisions; nil: nothing, nowhere.
	Score func(f *gate.Facts) float64
	Rung  func(f *gate.Facts) rules.Rung
}

// Shop is the model of what stands behind the gates.
type Shop struct {
	Workers int           // orders at the same time; 0: 32
	Service time.Duration // median of one; 0: 150ms
	Fails   float64       // share of orders that end without a sale
}

// Tell is called with every decision, in order of time, before the watchers; a is who
// asked, which no gate gets to know.
type Tell func(d *gate.Decision, at time.Duration, a *Agent)

// Play plays the crowd before the gates. s says when it opens and what it asks; its
// opening must be later than the clock when the gates were made, as they count from there.
// The same crowd, sale and kind of gates give the same result.
func Play(c *Crowd, s *rules.Sale, g Gates, shop Shop, tell Tell) *Result {
	if shop.Workers == 0 {
		shop.Workers = 32
	}
	if shop.Service == 0 {
		shop.Service = 150 * time.Millisecond
	}
	p := &play{
		crowd: c, sale: s, gates: g, shop: shop, tell: tell, dice: newDice(c.Seed, 1<<63),
		left: c.Units, workers: newEngine(shop.Workers, 1), holds: make([]holding, len(c.Agents)), result: NewResult(c),
	}
	p.run()
	return p.result
}

// holding is what an account has.
type holding uint8

const (
	nothing holding = iota
	ordering
	bought
)

// shown is a challenge that was shown: what its solution earns, and how long it must take.
type shown struct {
	gate.Clearance
	wait time.Duration
}

// event is something due: an action that arrives, an order that is done, an answer that is
// ready, or, of no agent, an operator who looks at everybody.
type event struct {
	at     time.Duration
	seq    uint64 // keeps the order of what is due at the same time
	agent  *Agent
	action Action
	order  *request // an order that is done
	answer bool
	got    Answer
}

type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// request is one that a gate owes something to.
type request struct {
	facts gate.Facts
	held  []gate.Gate
	would gate.Reason
	end   gate.End
}

type play struct {
	dice
	crowd   *Crowd
	sale    *rules.Sale
	gates   Gates
	shop    Shop
	tell    Tell
	queue   queue
	seq     uint64
	left    int // units that nobody holds
	ordered int // units whose orders are under way
	workers *engine
	holds   []holding
	cleared map[*Agent]gate.Clearance
	shown   map[*Agent]shown // the last challenge
	next    []Action
	last    []*gate.Facts // of each agent's last request
	result  *Result
}

// sweeps are when an operator looks at everybody who has asked: what is thought of those who
// were first depends on who came after them.
var sweeps = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute}

func (p *play) run() {
	p.cleared, p.shown = map[*Agent]gate.Clearance{}, map[*Agent]shown{}
	p.last = make([]*gate.Facts, len(p.crowd.Agents))
	for _, at := range sweeps {
		p.push(&event{at: at})
	}
	for _, a := range p.crowd.Agents {
		p.goesOn(a, nil)
	}
	for len(p.queue) > 0 {
		switch e := heap.Pop(&p.queue).(*event); {
		case e.agent == nil:
			p.sweep(e.at)
		case e.order != nil:
			p.ordered--
			p.settle(e)
		case e.answer:
			p.goesOn(e.agent, &e.got)
		default:
			p.arrive(e)
		}
	}
}

func (p *play) goesOn(a *Agent, got *Answer) {
	p.next = a.Next(got, p.next[:0])
	for _, n := range p.next {
		p.push(&event{at: n.At, agent: a, action: n})
	}
}

func (p *play) push(e *event) {
	p.seq++
	e.seq = p.seq
	heap.Push(&p.queue, e)
}

func (p *play) facts(e *event) *request {
	r := &request{facts: gate.Facts{
		At: p.sale.Opens.Add(e.at), IP: e.action.From, Account: e.agent.Account, Sale: p.sale, Units: 1, Cleared: p.cleared[e.agent],
	}}
	f := &r.facts
	binary.BigEndian.PutUint64(f.Token[:], p.seq)
	binary.BigEndian.PutUint64(f.Token[8:], p.Uint64())
	if c := p.sale.Challenge; c != nil && c.Clears > 0 && f.At.Sub(f.Cleared.At) > c.Clears {
		f.Cleared = gate.Clearance{}
	}
	f.Hash()
	return r
}

// arrive is a request's life up to its verdict.
func (p *play) arrive(e *event) {
	r := p.facts(e)
	switch e.action.Step {
	case Look:
		r.end = gate.End{Kind: gate.Answered, Status: 200, Took: 20 * time.Millisecond}
		p.decided(e, r, gate.Looks, gate.Verdict{Reason: gate.Admitted})
		return
	case Solve:
		p.solve(e, &r.facts)
		return
	}
	v := p.ask(r, p.gates.Before)
	if v.OK() {
		v = p.known(e.agent)
	}
	if v.OK() {
		v = p.ask(r, p.gates.After)
	}
	if !v.OK() {
		r.end = gate.End{Kind: gate.Refused}
		p.decided(e, r, gate.Buys, v)
		return
	}
	p.left--
	p.ordered++
	p.holds[e.agent.ID] = ordering
	took := p.spread(p.shop.Service, .4)
	done := p.workers.run(took.Seconds(), e.at)
	r.end = gate.End{Kind: gate.Answered, Status: 302, Outcome: rules.OutcomeSold, Took: took}
	if p.chance(p.shop.Fails) {
		r.end.Status, r.end.Outcome = 409, rules.OutcomeFree
	}
	p.push(&event{at: done, agent: e.agent, action: e.action, order: r})
}

// ask goes through gates until one refuses.
func (p *play) ask(r *request, gates []gate.Gate) gate.Verdict {
	for _, g := range gates {
		if g == nil {
			continue
		}
		v := g.Admit(context.Background(), &r.facts)
		if !v.OK() {
			return v
		}
		r.held = append(r.held, g)
		if r.would == gate.Unset {
			r.would = v.Would
		}
	}
	return gate.Admit
}

// known is what memory says of stock and of what the account has.
func (p *play) known(a *Agent) gate.Verdict {
	switch {
	case p.holds[a.ID] == bought:
		return gate.Verdict{Reason: gate.AlreadyBought}
	case p.holds[a.ID] == ordering:
		return gate.Verdict{Reason: gate.OrderPending}
	case p.left == 0 && p.ordered > 0:
		return gate.Verdict{Reason: gate.SoldOut, Retry: 2 * time.Second}
	case p.left == 0:
		return gate.Verdict{Reason: gate.SoldOut}
	}
	return gate.Admit
}

// settle is the end of an order.
func (p *play) settle(e *event) {
	p.holds[e.agent.ID] = bought
	if e.order.end.Outcome != rules.OutcomeSold {
		p.holds[e.agent.ID] = nothing
		p.left++
	}
	p.decided(e, e.order, gate.Buys, gate.Admit)
}

// decided gives back what is held, tells everybody, and answers.
func (p *play) decided(e *event, r *request, step gate.Step, v gate.Verdict) {
	for i := len(r.held) - 1; i >= 0; i-- {
		r.held[i].Release(&r.facts, r.end)
	}
	a := e.agent
	d := gate.Decision{Facts: &r.facts, Step: step, Reason: v.Reason, Would: r.would, End: r.end, Won: p.holds[a.ID] == bought || p.holds[a.ID] == ordering}
	if p.tell != nil {
		p.tell(&d, e.at, a)
	}
	for _, w := range p.gates.Watches {
		w.Decided(&d)
	}
	p.result.decided(a, &d)
	if step == gate.Buys {
		p.last[a.ID] = &r.facts
	}
	p.look(a, &r.facts)
	got := Answer{At: e.at + time.Millisecond, Step: e.action.Step, Reason: v.Reason, Retry: retryAfter(v.Retry), Won: p.holds[a.ID] == bought}
	if v.Reason == gate.Challenge {
		got.Puzzle = p.puzzle(a, &r.facts)
	}
	p.push(&event{at: got.At, agent: a, answer: true, got: got})
}

// retryAfter is a wait as it stands in an answer, in whole seconds.
func retryAfter(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds())) * time.Second
}

// sweep asks of everybody who has asked what is thought of them now.
func (p *play) sweep(at time.Duration) {
	for i, f := range p.last {
		if f == nil {
			continue
		}
		now := *f
		now.At = p.sale.Opens.Add(at)
		p.look(p.crowd.Agents[i], &now)
	}
}

// look asks what is thought of the account by now.
func (p *play) look(a *Agent, f *gate.Facts) {
	t := &p.result.Accounts[a.ID]
	if p.gates.Score != nil {
		t.Score = max(t.Score, p.gates.Score(f))
	}
	if p.gates.Rung != nil {
		t.Rung = max(t.Rung, p.gates.Rung(f))
	}
}

func (p *play) puzzle(a *Agent, f *gate.Facts) Puzzle {
	s := shown{Clearance: gate.Clearance{Asked: f.At}}
	defer func() { p.shown[a] = s }()
	if p.gates.Puzzle != nil {
		z := p.gates.Puzzle(f)
		s.Level, s.wait = z.Level, z.Wait
		return Puzzle{Parts: z.Parts, Each: math.Exp2(float64(z.Bits)), Captcha: z.Captcha}
	}
	if c := p.sale.Challenge; c != nil {
		s.wait = c.Least
		return Puzzle{Parts: 16, Each: float64(c.Work) / 16, Captcha: c.Captcha}
	}
	return Puzzle{}
}

// misread is how often people type an image wrongly.
const misread = .12

func (p *play) solve(e *event, f *gate.Facts) {
	got := Answer{At: e.at + time.Millisecond, Step: Solve, Reason: gate.Admitted}
	shown := p.shown[e.agent]
	if early := shown.wait - f.At.Sub(shown.Asked); early > 0 { // whoever solves it sooner waits with it
		e.at += early
		p.push(e)
		return
	}
	if !e.agent.Script && p.chance(misread) {
		got.Reason, got.Puzzle = gate.Challenge, p.puzzle(e.agent, f)
	} else {
		c := shown.Clearance
		if c.At = f.At; p.gates.Clear != nil {
			c = p.gates.Clear(f, c)
		}
		p.cleared[e.agent] = c
	}
	p.push(&event{at: got.At, agent: e.agent, answer: true, got: got})
}
