package rehearse

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"penstock/cmd/penstock/rehearse/crowd"
	"penstock/cmd/penstock/rehearse/report"
	"penstock/proxy/gate"
)

// From what the crowd has counted to what the report tells.

func millis(micros int64) report.Millis { return report.Millis(float64(micros) / 1000) }

func pair(h *hdrhistogram.Histogram) *report.Pair {
	if h == nil {
		return nil
	}
	return &report.Pair{P50: millis(h.ValueAtQuantile(50)), P99: millis(h.ValueAtQuantile(99))}
}

func latency(h *hdrhistogram.Histogram) report.Latency {
	if h == nil {
		return report.Latency{}
	}
	return report.Latency{
		Count: h.TotalCount(), P50: millis(h.ValueAtQuantile(50)), P90: millis(h.ValueAtQuantile(90)),
		P99: millis(h.ValueAtQuantile(99)), P999: millis(h.ValueAtQuantile(99.9)), Max: millis(h.Max()),
	}
}

// tell fills the result from the tally.
func (p *play) tell(t *crowd.Tally, plan *crowd.Plan, seen *watch, began time.Time) {
	r := &p.result
	r.Took = report.Ms(t.Took)
	for i, f := range t.Phases {
		r.Phases = append(r.Phases, report.Phase{Name: f.Name, From: report.Ms(f.From), To: report.Ms(f.To), Offered: offered(&plan.Phases[i])})
	}
	for i := range t.Seconds {
		s := p.second(i, &t.Seconds[i], t.Classes, began.Add(time.Duration(i)*time.Second))
		s.Gateway = seen.at(i)
		r.Seconds = append(r.Seconds, s)
	}
	r.Totals = report.Totals{Arrivals: t.Arrivals, Requests: t.Requests, Answers: map[string]int64{}}
	for _, name := range t.Classes {
		var served, atOnce, waited *hdrhistogram.Histogram
		for i := range t.Groups {
			g := &t.Groups[i]
			if g.Class != name {
				continue
			}
			r.Totals.Answers[g.Reason] += g.Count
			switch g.Kind {
			case crowd.Served:
				served = merged(served, g.Latency)
				r.Totals.Useful += g.Count
			case crowd.Refused:
				if g.Waited {
					waited, r.Totals.AfterWait = merged(waited, g.Latency), r.Totals.AfterWait+g.Count
				} else {
					atOnce, r.Totals.AtOnce = merged(atOnce, g.Latency), r.Totals.AtOnce+g.Count
				}
			case crowd.Failed, crowd.Reset, crowd.Timeout, crowd.Unreached:
				r.Totals.Failed += g.Count
			case crowd.Trouble:
				r.Generator.NotStarted += g.Count
			}
		}
		r.Classes = append(r.Classes, report.Class{Name: name, Served: latency(served), AtOnce: latency(atOnce), AfterWait: latency(waited)})
	}
	r.Totals.Goodput = r.Totals.Useful // nobody in the crowd waits longer than they are patient
	r.Generator.LagP99, r.Generator.LagMax = millis(t.Lag.ValueAtQuantile(99)), millis(t.Lag.Max())
	r.Winners = p.winners(t)
}

func merged(to, h *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	if to == nil {
		return hdrhistogram.Import(h.Export())
	}
	to.Merge(h)
	return to
}

func offered(f *crowd.Phase) float64 {
	switch f.Shape {
	case crowd.Ramp:
		return (f.From + f.Rate) / 2
	case crowd.Spikes:
		within := f.Width.Seconds() / f.Every.Seconds()
		return f.Rate*within + f.From*(1-within)
	}
	return f.Rate
}

// winners counts those who got a unit. Where one request takes it and orders, the others
// cannot tell whether they had one: whoever was failed counts as having had.
func (p *play) winners(t *crowd.Tally) (w report.Winners) {
	if p.sale.Order == nil {
		for _, g := range t.Groups {
			switch {
			case g.Class != buy:
			case g.Kind == crowd.Served:
				w.Got, w.Reached = w.Got+g.Count, w.Reached+g.Count
			case g.Kind == crowd.Failed, g.Kind == crowd.Timeout, g.Kind == crowd.Reset:
				w.Got += g.Count
			}
		}
		return w
	}
	for _, j := range t.Journeys {
		if !slices.Contains([]string{claim, onward, order, thanks}, j.Reached) {
			continue
		}
		w.Got += j.Count
		switch {
		case j.Through, slices.Contains(ordered, j.Reason):
			w.Reached += j.Count
		case j.End == crowd.Left && j.Reason != crowd.AtTheEnd, j.End == crowd.Served:
			w.GaveUp += j.Count // of their own will, or still thinking at the end
		}
	}
	return w
}

// ordered is what somebody hears who has pressed twice, and whose first press has ordered.
var ordered = []string{gate.OrderPending.String(), gate.AlreadyBought.String()}

// wants is what the file promises, and what we were told to ask for.
func (p *play) wants(t *crowd.Tally) report.Wants {
	slack := max(time.Second, 4*p.limit.p99) // what the shop itself may take
	w := report.Wants{
		Winners: .999, AtOnceP99: report.Ms(p.RefuseWithin), LagP99: report.Ms(p.MaxLag), Failed: new(float64),
		Settle: report.Ms(5 * time.Second),
		ServedP99: map[string]report.Millis{
			page: report.Ms(p.set.Origin.QueueMaxWait + slack),
		},
	}
	class := buy
	if p.sale.Order != nil {
		class = order
		w.ServedP99[claim] = report.Ms(p.set.Origin.WinnersMaxWait + slack)
	}
	w.ServedP99[class] = report.Ms(p.set.Origin.WinnersMaxWait + slack)
	if p.bestAt(time.Now()) > 0 && p.For > 10*time.Second {
		w.Goodput = p.Goodput
	}
	if p.sale.Order == nil && p.Dead == nil {
		w.SoldOut = p.asked(t) >= 2*p.result.Stock.Loaded
	}
	return w
}

// asked is how many requests there were for units.
func (p *play) asked(t *crowd.Tally) (n int64) {
	for _, g := range t.Groups {
		if g.Class == buy {
			n += g.Count
		}
	}
	return n
}
