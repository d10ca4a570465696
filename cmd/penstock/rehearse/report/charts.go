package report

// What the page draws: charts made of the seconds of a result, each with the same figures
// as a table. Everything is bounded, however many reasons, classes and queues there were.

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

const (
	mostReasons = 8  // in the chart; the rest is one band
	mostClasses = 8  // that get a chart each
	mostRows    = 20 // of the table under a chart
)

// chart is one drawing.
type chart struct {
	ID     string   `json:"id"`
	Title  string   `json:"-"`
	Says   string   `json:"-"`    // how to read it
	Unit   string   `json:"unit"` // "ms", or a word for what is counted
	Log    bool     `json:"log"`
	Series []series `json:"series"`
	Table  table    `json:"-"`
}

// Empty reports whether there is nothing to draw.
func (c chart) Empty() bool { return len(c.Series) == 0 }

// series is one line or band of a chart.
type series struct {
	Label  string `json:"label"`
	Tone   int    `json:"tone"`  // a colour of the page's
	Dash   bool   `json:"dash"`  // so that lines differ without colour
	Stack  bool   `json:"stack"` // a band on top of the bands before it
	Values column `json:"v"`     // by second
	worst  bool   // of several seconds the largest is told, not the mean
}

// column is one value for each second; NaN is none.
type column []float64

// MarshalJSON writes three digits that count, which is more than a chart can show, and
// keeps the page small.
func (c column) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		switch a := math.Abs(v); {
		case math.IsNaN(v) || math.IsInf(v, 0):
			b = append(b, "null"...)
		case a >= 100:
			b = strconv.AppendFloat(b, v, 'f', 0, 64)
		default:
			b = append(b, trim(strconv.FormatFloat(v, 'f', 2, 64))...)
		}
	}
	return append(b, ']'), nil
}

var _ json.Marshaler = column{}

// column is f of every second.
func (r *Result) column(f func(s *Second) float64) column {
	c := make(column, len(r.Seconds))
	for i := range r.Seconds {
		c[i] = f(&r.Seconds[i])
	}
	return c
}

// gauge is f of every second in which the gateway could be asked.
func (r *Result) gauge(f func(g *Gauges) float64) column {
	return r.column(func(s *Second) float64 {
		if s.Gateway == nil {
			return math.NaN()
		}
		return f(s.Gateway)
	})
}

func (c column) none() bool {
	return !slices.ContainsFunc(c, func(v float64) bool { return !math.IsNaN(v) && v != 0 })
}

// charts are the drawings of the page.
func charts(r *Result) []chart {
	all := []chart{r.answersChart(), r.goodputChart()}
	all = append(all, r.latencyCharts()...)
	all = append(all, r.limitChart(), r.queueChart())
	if r.Stock.Loaded > 0 {
		all = append(all, r.stockChart())
	}
	for i := range all {
		all[i].ID = fmt.Sprintf("chart-%d", i)
		all[i].Table = r.table(all[i])
	}
	return all
}

func (r *Result) answersChart() chart {
	c := chart{Title: "Arrivals, and answers by reason", Unit: "per second",
		Says: "Bands are the ends of requests by reason, on top of each other. The lines are what was asked: where they run above the bands, answers came later."}
	totals := map[string]int64{}
	for _, s := range r.Seconds {
		for reason, n := range s.Answers {
			totals[reason] += n
		}
	}
	keys, rest := frequent(totals, mostReasons)
	for i, reason := range keys {
		c.Series = append(c.Series, series{Label: reason, Tone: i, Stack: true, Values: r.column(func(s *Second) float64 { return float64(s.Answers[reason]) })})
	}
	if rest > 0 {
		c.Series = append(c.Series, series{Label: "all others", Tone: mostReasons, Stack: true, Values: r.column(func(s *Second) float64 {
			var n int64
			for reason, k := range s.Answers {
				if !slices.Contains(keys, reason) {
					n += k
				}
			}
			return float64(n)
		})})
	}
	c.Series = append(c.Series,
		series{Label: "requests due", Tone: toneInk, Values: r.column(func(s *Second) float64 { return float64(s.Requests) })},
		series{Label: "visitors arriving", Tone: toneInk, Dash: true, Values: r.column(func(s *Second) float64 { return float64(s.Arrivals) })})
	return c
}

// toneInk is the colour of the page's writing.
const toneInk = mostReasons + 1

func (r *Result) goodputChart() chart {
	c := chart{Title: "Goodput against the origin's best", Unit: "per second",
		Says: "Goodput is useful answers within " + span(r.Patience) + ": what visitors came for, in time."}
	c.Series = []series{{Label: "goodput", Values: r.column(func(s *Second) float64 { return float64(s.Goodput) })}}
	best := r.column(func(s *Second) float64 {
		if s.Best <= 0 {
			return math.NaN()
		}
		return s.Best
	})
	if best.none() {
		c.Says += " What the origin can do at its best is not known."
		return c
	}
	c.Series = append(c.Series, series{Label: "origin's best", Tone: toneInk, Dash: true, Values: best})
	return c
}

// latencyCharts are one chart for each class: four lines are as many as one can read.
func (r *Result) latencyCharts() []chart {
	var names []string
	for _, c := range r.Classes {
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		seen := map[string]bool{}
		for _, s := range r.Seconds {
			for name := range s.Classes {
				seen[name] = true
			}
		}
		names = slices.Sorted(maps.Keys(seen))
	}
	var all []chart
	for _, name := range names[:min(len(names), mostClasses)] {
		c := chart{Title: "Latency: " + name, Unit: "ms", Log: true, Says: "Counted from when a request was due, waiting included. Each step upwards is ten times as long."}
		for _, l := range []struct {
			label string
			tone  int
			dash  bool
			of    func(m Moment) *Pair
			pick  func(p *Pair) Millis
		}{
			{"served, p99", 0, false, func(m Moment) *Pair { return m.Served }, func(p *Pair) Millis { return p.P99 }},
			{"served, p50", 0, true, func(m Moment) *Pair { return m.Served }, func(p *Pair) Millis { return p.P50 }},
			{"refused, p99", 1, false, func(m Moment) *Pair { return m.Refused }, func(p *Pair) Millis { return p.P99 }},
			{"refused, p50", 1, true, func(m Moment) *Pair { return m.Refused }, func(p *Pair) Millis { return p.P50 }},
		} {
			v := r.column(func(s *Second) float64 {
				if p := l.of(s.Classes[name]); p != nil {
					return max(0.01, float64(l.pick(p))) // a logarithm has no zero
				}
				return math.NaN()
			})
			if !v.none() {
				c.Series = append(c.Series, series{Label: l.label, Tone: l.tone, Dash: l.dash, Values: v, worst: true})
			}
		}
		all = append(all, c)
	}
	return all
}

func (r *Result) limitChart() chart {
	c := chart{Title: "Limit and requests in flight", Unit: "requests", Says: "How many requests the gateway lets the origin work on at once, and how many it worked on at the end of each second."}
	for _, s := range []series{
		{Label: "in flight", Values: r.gauge(func(g *Gauges) float64 { return g.InFlight })},
		{Label: "limit", Tone: toneInk, Dash: true, Values: r.gauge(func(g *Gauges) float64 {
			if g.Limit <= 0 {
				return math.NaN()
			}
			return g.Limit
		})},
	} {
		if !s.Values.none() {
			c.Series = append(c.Series, s)
		}
	}
	return c
}

// queues are the priorities in the order in which they are served; what else is waiting
// follows by name.
var queues = [...]string{"winner", "checkout", "order", "browse", "prefetch", "static"}

func (r *Result) queueChart() chart {
	c := chart{Title: "Waiting, by priority", Unit: "requests", Says: "Requests that wait for the origin at the end of each second, the highest priority at the bottom."}
	totals := map[string]int64{}
	for _, s := range r.Seconds {
		if s.Gateway != nil {
			for name, n := range s.Gateway.Queue {
				totals[name] += max(n, 0)
			}
		}
	}
	names := slices.Collect(func(yield func(string) bool) {
		for _, name := range append(queues[:], slices.Sorted(maps.Keys(totals))...) {
			if totals[name] > 0 && !yield(name) {
				return
			}
		}
	})
	for i, name := range distinct(names, mostReasons) {
		c.Series = append(c.Series, series{Label: name, Tone: i, Stack: true, Values: r.gauge(func(g *Gauges) float64 { return float64(g.Queue[name]) })})
	}
	return c
}

// distinct are the first n different names.
func distinct(names []string, n int) []string {
	var out []string
	for _, name := range names {
		if len(out) < n && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func (r *Result) stockChart() chart {
	c := chart{Title: "Stock by state", Unit: "units", Says: "Every unit is in exactly one state, so the top of the bands is a straight line at " + count(r.Stock.Loaded) + ", or the count is wrong."}
	for i, name := range states {
		v := r.column(func(s *Second) float64 {
			if s.Gateway == nil || s.Gateway.Units == nil {
				return math.NaN()
			}
			return float64(s.Gateway.Units.states()[i])
		})
		if !v.none() {
			c.Series = append(c.Series, series{Label: name, Tone: i, Stack: true, Values: v})
		}
	}
	return c
}
