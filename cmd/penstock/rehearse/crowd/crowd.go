package crowd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Crowd is one run of a plan.
type Crowd struct {
	plan     Plan
	scripts  []script
	upTo     []float64 // cumulated weights
	expected float64   // visitors
	book     *book
	pool     *pool

	began time.Time
	last  time.Duration // when the last phase is over
	ends  time.Duration // when those who are still inside are sent home
	ctx   context.Context
	gone  chan struct{} // closed then
	ready chan struct{} // closed when began is set
}

// New makes a crowd of a plan, or says all that is wrong with it.
func New(p Plan) (*Crowd, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	p.fill()
	c := &Crowd{plan: p, pool: newPool(p.Target, p.Connections), gone: make(chan struct{}), ready: make(chan struct{})}
	var classes []string
	class := func(name string) int {
		if !slices.Contains(classes, name) {
			classes = append(classes, name)
		}
		return slices.Index(classes, name)
	}
	sum := 0.0
	for _, v := range p.Visitors {
		c.scripts = append(c.scripts, ready(v, class))
		sum += v.Weight
		c.upTo = append(c.upTo, sum)
	}
	for i := range p.Phases {
		c.ends += p.Phases[i].For
		c.expected += p.Phases[i].expected()
	}
	c.last, c.ends = c.ends, c.ends+p.Grace
	c.book = newBook(classes, p.spans())
	return c, nil
}

// check names every fault.
func (p *Plan) check() error {
	var all []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	wrong(p.Target == "", "no target")
	wrong(len(p.Phases) == 0, "no phases")
	wrong(len(p.Visitors) == 0, "no visitors")
	for _, f := range p.Phases {
		wrong(f.For <= 0 || f.Rate < 0 || f.From < 0, "phase %q: For must be above 0, and no rate below", f.Name)
		wrong(f.Shape == Spikes && (f.Every <= 0 || f.Width <= 0 || f.Width > f.Every), "phase %q: spikes need Every, and a Width within it", f.Name)
	}
	for _, v := range p.Visitors {
		wrong(len(v.Steps) == 0, "visitor %q has no steps", v.Name)
		wrong(v.Weight < 0 || v.Weight == 0 && len(p.Visitors) > 1, "visitor %q: Weight must be above 0", v.Name)
		for _, s := range v.Steps {
			wrong(s.Class == "" || s.Method == "" || s.Path == "", "visitor %q: a step needs Class, Method and Path", v.Name)
		}
	}
	return errors.Join(all...)
}

// fill puts defaults where nothing is said, in copies of what the caller owns.
func (p *Plan) fill() {
	def(&p.Host, p.Target)
	def(&p.Connections, 4096)
	def(&p.Timeout, time.Minute)
	def(&p.Grace, 10*time.Second)
	def(&p.Wait, 50*time.Millisecond)
	p.Phases, p.Visitors = slices.Clone(p.Phases), slices.Clone(p.Visitors)
	for i := range p.Visitors {
		v := &p.Visitors[i]
		def(&v.Weight, 1)
		def(&v.Click, 150*time.Millisecond)
		def(&v.Pause, 500*time.Millisecond)
		v.Steps = slices.Clone(v.Steps)
		for j := range v.Steps {
			def(&v.Steps[j].Accept, "*/*")
			def(&v.Steps[j].Times, 50)
		}
	}
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Run sends the crowd and waits until everybody is gone, Grace is over, or ctx ends. Each
// outcome is told to each, if it is not nil, one after the other; it must be quick. A
// crowd runs once.
func (c *Crowd) Run(ctx context.Context, each func(*Outcome)) *Tally {
	return c.run(ctx, each, c.send)
}

// run opens the doors, lets send send, and waits for those who are inside.
func (c *Crowd) run(ctx context.Context, each func(*Outcome), send func(context.Context, *sync.WaitGroup)) *Tally {
	c.book.each = each
	c.began = time.Now()
	run, cancel := context.WithDeadline(ctx, c.began.Add(c.ends))
	defer cancel()
	c.ctx = run
	close(c.ready)

	var background, inside sync.WaitGroup
	background.Go(func() { c.count(run) })
	stop := context.AfterFunc(run, func() {
		close(c.gone)
		c.pool.end()
	})
	send(run, &inside)
	inside.Wait()
	took := c.now()
	if stop() {
		c.pool.end()
	}
	cancel()
	background.Wait()
	t := c.book.close(took)
	t.Dials, t.Connections = c.pool.dials, c.pool.peak
	return t
}

// send starts visitors when they are due, and never asks how the others are doing.
func (c *Crowd) send(ctx context.Context, inside *sync.WaitGroup) {
	s := newSchedule(&c.plan)
	for id := uint64(1); ; id++ {
		due, ok := s.next()
		if !ok || !c.sleepUntil(due) {
			return
		}
		c.book.arrived(due)
		v := c.newVisitor(id)
		inside.Go(func() { v.walk(due) })
	}
}

// count notes the connections, second by second.
func (c *Crowd) count(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for n := time.Duration(0); ; n++ {
		select {
		case <-t.C:
			c.book.opened(n*time.Second, c.pool.opened())
		case <-ctx.Done():
			return
		}
	}
}

// Tick is the second that ended last, without its histograms; ok is false before there
// is one. It may be called while the crowd runs.
func (c *Crowd) Tick() (n int, s Second, ok bool) {
	select {
	case <-c.ready:
		return c.book.look(c.now())
	default:
		return 0, Second{}, false
	}
}

// Classes are those of the plan's steps, in order of appearance.
func (c *Crowd) Classes() []string { return c.book.tally.Classes }

// choose is the kind of visitor that a number in [0, 1) stands for.
func (c *Crowd) choose(u float64) int {
	n, _ := slices.BinarySearch(c.upTo, u*c.upTo[len(c.upTo)-1])
	return min(n, len(c.upTo)-1)
}

func (c *Crowd) now() time.Duration { return time.Since(c.began) }

// sleepUntil reports false if the run has ended, or would have by then.
func (c *Crowd) sleepUntil(due time.Duration) bool {
	if due >= c.ends {
		return false
	}
	wait := due - c.now()
	if wait <= 0 {
		return c.ctx.Err() == nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.gone:
		return false
	}
}
