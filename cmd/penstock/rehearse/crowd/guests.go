package crowd

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"
)

// Guests are visitors whose every request is decided by somebody else, who hears what
// became of the ones before. They use a plan's steps, cookies and headers, and come from
// addresses that are said to them; its weights, tempers and rates are not theirs.
//
// It gives up cookies that two requests of one guest bring at the same time: the later
// answer's are kept.

// Guest is one of them.
type Guest struct {
	Person  int    // index in Plan.Visitors: whose steps, cookies and header
	Account string // becomes {account}, after Plan.Names

	// Next appends what the guest does next, having heard of an earlier deed; nil: at the
	// start. It is called by one at a time. What is due in the past is done at once.
	Next func(got *Told, next []Deed) []Deed
}

// Deed is one request of a guest.
type Deed struct {
	Due     time.Duration
	Step    int    // index in Visitor.Steps
	Address string // becomes {address}
	Body    string // instead of the step's; "": the step's
}

// Told is what became of a deed.
type Told struct {
	Deed    Deed
	Outcome *Outcome
	Answer  *Answer // nil: none came. Its Body is there if the step has a Good
}

// Entertain is Run for guests: it plays until nobody does anything any more, Grace is
// over, or ctx ends. A crowd runs once.
func (c *Crowd) Entertain(ctx context.Context, guests []Guest, each func(*Outcome)) *Tally {
	return c.run(ctx, each, func(run context.Context, inside *sync.WaitGroup) {
		p := &party{crowd: c, wake: make(chan struct{}, 1)}
		for i := range guests {
			p.welcome(&guests[i], uint64(i+1))
		}
		p.send(run, inside)
	})
}

// party is who is there and what is due.
type party struct {
	crowd *Crowd
	wake  chan struct{} // something earlier may be due, or nothing more will come

	mu     sync.Mutex
	due    deeds
	seq    uint64
	flying int // deeds that are being done
}

// host looks after one guest.
type host struct {
	mu    sync.Mutex // of all below, and of Next
	guest *Guest
	self  visitor
	next  []Deed
}

// deed is one with who does it; seq keeps the order of what is due at the same time.
type deed struct {
	Deed
	seq uint64
	of  *host
}

type deeds []deed

func (d deeds) Len() int { return len(d) }
func (d deeds) Less(i, j int) bool {
	return d[i].Due < d[j].Due || d[i].Due == d[j].Due && d[i].seq < d[j].seq
}
func (d deeds) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *deeds) Push(x any)   { *d = append(*d, x.(deed)) }
func (d *deeds) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}

func (p *party) welcome(g *Guest, id uint64) {
	s := &p.crowd.scripts[g.Person]
	h := &host{guest: g, self: visitor{crowd: p.crowd, script: s, person: g.Person, id: id, account: g.Account}}
	for _, t := range s.cookies {
		h.self.cookies = append(h.self.cookies, string(t.fill(nil, &h.self)))
	}
	h.next = g.Next(nil, nil)
	if len(h.next) > 0 {
		first := slices.MinFunc(h.next, func(a, b Deed) int { return int(a.Due - b.Due) })
		p.crowd.book.arrived(max(0, first.Due))
	}
	p.plan(h)
}

// plan puts what the guest does next among what is due.
func (p *party) plan(h *host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range h.next {
		p.seq++
		heap.Push(&p.due, deed{Deed: d, seq: p.seq, of: h})
	}
}

// send starts deeds when they are due.
func (p *party) send(ctx context.Context, inside *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, ok := p.start(inside)
		if !ok {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
			return
		}
	}
}

// start starts what is due, and says how long there is nothing to do; ok is false when
// nothing will ever be.
func (p *party) start(inside *sync.WaitGroup) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.crowd.now()
	for len(p.due) > 0 && p.due[0].Due <= now {
		d := heap.Pop(&p.due).(deed)
		p.flying++
		inside.Go(func() { p.do(d) })
	}
	switch {
	case len(p.due) > 0 && p.due[0].Due < p.crowd.ends:
		return p.due[0].Due - now, true
	case p.flying > 0:
		return p.crowd.ends - now, true
	}
	return 0, false
}

// do sends one request, and asks what comes of it.
func (p *party) do(d deed) {
	h := d.of
	h.mu.Lock()
	v := h.self
	before := h.self.cookies
	v.cookies = slices.Clone(before)
	h.mu.Unlock()

	v.from, v.body = d.Address, d.Body
	l := &v.script.steps[d.Step]
	o := Outcome{Visitor: v.id, Person: v.person, Step: d.Step, Due: max(0, d.Due)}
	a := v.ask(&o, l, true)
	p.crowd.book.record(&o, l.class)

	h.mu.Lock()
	if !slices.Equal(before, v.cookies) {
		h.self.cookies = v.cookies
	}
	h.next = h.guest.Next(&Told{Deed: d.Deed, Outcome: &o, Answer: a}, h.next[:0])
	p.plan(h)
	h.mu.Unlock()

	p.mu.Lock()
	p.flying--
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
