package rehearse

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
	"penstock/cmd/penstock/rehearse/report"
)

// The performance: the crowd, what is broken meanwhile, and what the gateway says of
// itself, second by second.

const settleFor = 10 * time.Second // after the crowd, for units whose orders are under way

// watch is what was seen of the gateway, by second.
type watch struct {
	mu     sync.Mutex
	gauges []*report.Gauges
}

func (w *watch) put(n int, g *report.Gauges) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.gauges) <= n {
		w.gauges = append(w.gauges, nil)
	}
	w.gauges[n] = g
}

func (w *watch) at(n int) *report.Gauges {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < 0 || n >= len(w.gauges) {
		return nil
	}
	return w.gauges[n]
}

func (p *play) perform(ctx context.Context) error {
	phases := p.phases()
	s, err := newScript(p.set, p.sale, p.Page, p.origin != nil && p.origin.paths)
	if err != nil {
		return &Misuse{err}
	}
	host := p.sale.Match.Host
	if host == "" {
		host = p.gateway.host
	}
	plan := crowd.Plan{
		Target: p.gateway.address, Host: host, Seed: p.Seed, Names: time.Now().Format("150405") + "n",
		Phases: phases, Visitors: s.visitors(), Grace: min(s.buying, 30*time.Second), Connections: 8192,
	}
	c, err := crowd.New(plan)
	if err != nil {
		return &Misuse{err}
	}
	p.result.Target, p.result.Started = p.gateway.address, time.Now()
	p.result.Patience = report.Ms(s.buying)
	loaded, err := p.gateway.desk.gauges(ctx, p.sale.Name)
	if err == nil && loaded.Units != nil {
		p.result.Stock.Loaded = loaded.Units.Sum()
	}

	var seen watch
	around, cancel := context.WithCancel(ctx)
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(func() { p.follow(around, c, &seen, phases) })
	for _, f := range []*Fault{p.Slow, p.Dead} {
		if f != nil {
			beside.Go(func() { p.spoil(around, f) })
			p.result.Faults = append(p.result.Faults, f.told())
		}
	}
	began := time.Now()
	t := c.Run(ctx, nil)
	cancel()
	beside.Wait()
	if ctx.Err() != nil {
		return errors.New("the rehearsal was called off")
	}
	p.tell(t, &plan, &seen, began)
	if err := p.audit(ctx); err != nil {
		return err
	}
	p.result.Expectations, p.result.Verdict = report.Judge(&p.result, p.wants(t))
	return nil
}

// told is the fault in words.
func (f *Fault) told() report.Fault {
	r := report.Fault{What: "Redis is gone", From: report.Ms(f.At)}
	if f.Delay > 0 {
		r.What = "Redis answers " + f.Delay.String() + " late"
	}
	if f.For > 0 {
		r.To = report.Ms(f.At + f.For)
	}
	return r
}

// spoil does to Redis what was asked for.
func (p *play) spoil(ctx context.Context, f *Fault) {
	if pause(ctx, f.At) != nil {
		return
	}
	if f.Delay > 0 {
		p.link.become(sound, f.Delay)
	} else {
		p.link.become(cut, 0)
	}
	if f.For > 0 && pause(ctx, f.For) == nil {
		p.link.become(sound, 0)
	}
}

// follow looks at the gateway at the end of each second and says how it goes.
func (p *play) follow(ctx context.Context, c *crowd.Crowd, seen *watch, phases []crowd.Phase) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if g, err := p.gateway.desk.gauges(ctx, p.sale.Name); err == nil {
			seen.put(n, g)
		}
		at, s, ok := c.Tick()
		if !ok || p.Progress == nil {
			continue
		}
		second := p.second(at, &s, c.Classes(), time.Now())
		second.Gateway = seen.at(at)
		p.Progress(report.Progress(at, phaseAt(phases, at), &second, 160))
	}
}

func phaseAt(phases []crowd.Phase, second int) string {
	at := time.Duration(second) * time.Second
	for _, f := range phases {
		if at < f.For {
			return f.Name
		}
		at -= f.For
	}
	return "after"
}

// second is one of the crowd's, as the report has them.
func (p *play) second(n int, s *crowd.Second, classes []string, at time.Time) report.Second {
	r := report.Second{Arrivals: s.Arrivals, Requests: s.Due, Answers: s.Reasons, Classes: map[string]report.Moment{}}
	weight := 0.0
	for i := range s.Classes {
		m := &s.Classes[i]
		served := m.Counts[crowd.Served]
		r.Goodput += served
		weight += float64(served) * p.cost(classes[i])
		r.Classes[classes[i]] = report.Moment{Served: pair(m.Served), Refused: pair(m.Refused)}
	}
	if r.Best = p.bestAt(at); r.Goodput > 0 {
		r.Best *= float64(r.Goodput) / weight // as many answers of this mix
	}
	return r
}

// cost is what a request of a class costs the origin, as a multiple of a page.
func (p *play) cost(class string) float64 {
	if p.origin == nil || p.origin.dear == 0 || !slices.Contains([]string{claim, buy, order}, class) {
		return 1
	}
	return p.origin.dear
}

func (p *play) bestAt(at time.Time) float64 {
	if p.origin != nil && p.origin.best != nil && p.Capacity == 0 {
		return p.origin.best(at)
	}
	return p.limit.rate
}

// audit waits until no order is under way any more, and compares what was sold. What was
// broken is whole again by then: what the gateway has kept must come to light.
func (p *play) audit(ctx context.Context) error {
	p.result.Stock.Orders = -1
	if p.result.Stock.Loaded == 0 {
		return nil
	}
	if p.link != nil {
		p.link.become(sound, 0)
	}
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	end := time.Now().Add(settleFor)
	for {
		g, err := p.gateway.desk.gauges(ctx, p.sale.Name)
		if err == nil && g.Units != nil {
			p.result.Stock.Units = *g.Units
			carts := p.sale.Order != nil
			if g.InFlight == 0 && g.Units.Sending == 0 && (carts || g.Units.Reserved == 0) {
				break
			}
		}
		if time.Now().After(end) {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.origin != nil && p.origin.orders != nil {
		sold, err := p.origin.orders(ctx)
		if err != nil {
			return err
		}
		p.result.Stock.Orders = sold
		p.result.Stock.Oversold = max(0, sold-p.result.Stock.Loaded)
	}
	return nil
}
