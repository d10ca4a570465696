package report

// The result as text for a terminal. It says in words whatever it shows in colour, and
// its columns stand one below the other whatever a name contains.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	red   = "\x1b[1;31m"
	green = "\x1b[1;32m"
	faint = "\x1b[2m"
	clear = "\x1b[0m"
)

// text is what is written so far.
type text struct {
	strings.Builder
	colour bool
}

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *text) paint(colour, s string) string {
	if !t.colour {
		return s
	}
	return colour + s + clear
}

// head is a title above a table.
func (t *text) head(s string) { t.line("\n%s", s) }

// Text is the whole result, to be read by people.
func Text(r *Result, colour bool) string {
	t := &text{colour: colour}
	t.line("Rehearsal of %s", plain(r.Sale))
	t.line("  file      %s", plain(r.File))
	t.line("  target    %s, %s behind it", plain(r.Target), plain(r.Origin))
	t.line("  crowd     seed %d, %s, %s, %s", r.Seed, span(r.Took), few(r.Totals.Arrivals, "visitor", "visitors"), few(r.Totals.Requests, "request", "requests"))
	for i, c := range r.Changes {
		t.line("  %-9s %s", [2]string{"changed", ""}[min(i, 1)], sentence(c))
	}
	t.plan(r)
	t.answers(r)
	t.latencies(r)
	t.outcome(r)
	t.verdict(r)
	if r.Command != "" {
		t.line("\nAgain: %s", sentence(r.Command))
	}
	return t.String()
}

// sentence is plain, for what may be long.
func sentence(s string) string {
	parts := strings.Fields(s)
	for i := range parts {
		parts[i] = plain(parts[i])
	}
	return strings.Join(parts, " ")
}

func (t *text) plan(r *Result) {
	rows := [][]string{{"phase", "from", "to", "visitors/s"}}
	for _, p := range r.Phases {
		rows = append(rows, []string{plain(p.Name), span(p.From), span(p.To), decimal(p.Offered)})
	}
	if len(rows) > 1 {
		t.head("Plan")
		t.table(rows, 1)
	}
	for _, f := range r.Faults {
		t.line("  broken on purpose, %s: %s", f.when(), sentence(f.What))
	}
}

// when is a fault's time in words.
func (f Fault) when() string {
	if f.To == 0 {
		return "from " + span(f.From) + " on"
	}
	return "from " + span(f.From) + " to " + span(f.To)
}

// decimal is a rate.
func decimal(v float64) string {
	if v >= 100 {
		return count(int64(v + 0.5))
	}
	return trim(fmt.Sprintf("%.1f", v))
}

func (t *text) answers(r *Result) {
	t.head("Answers")
	t.table(append([][]string{{"reason", "answers", "share"}}, r.reasons()...), 1)
	t.line("  useful %s, of those within %s %s; refused at once %s, after a wait %s; failed %s", count(r.Totals.Useful), span(r.Patience),
		count(r.Totals.Goodput), count(r.Totals.AtOnce), count(r.Totals.AfterWait), count(r.Totals.Failed))
}

// reasons are the answers by reason, with their share of all.
func (r *Result) reasons() [][]string {
	var rows [][]string
	var sum int64
	for _, n := range r.Totals.Answers {
		sum += n
	}
	keys, rest := frequent(r.Totals.Answers, 20)
	add := func(name string, n int64) {
		rows = append(rows, []string{plain(name), count(n), fmt.Sprintf("%.2f %%", 100*float64(n)/float64(sum))})
	}
	for _, k := range keys {
		add(k, r.Totals.Answers[k])
	}
	if rest > 0 {
		add("all others", rest)
	}
	return rows
}

func (t *text) latencies(r *Result) {
	rows := [][]string{{"class", "what came", "count", "p50", "p90", "p99", "p99.9", "max"}}
	for _, c := range r.Classes {
		for _, k := range c.kinds() {
			if l := k.Latency; l.Count > 0 {
				rows = append(rows, []string{plain(c.Name), k.Name, count(l.Count), span(l.P50), span(l.P90), span(l.P99), span(l.P999), span(l.Max)})
			}
		}
	}
	if len(rows) > 1 {
		t.head("Latency, counted from when a request was due")
		t.table(rows, 2)
	}
}

// kind is one of the ways a class of requests is answered.
type kind struct {
	Class, Name string
	Latency
}

func (c *Class) kinds() []kind {
	return []kind{{c.Name, "served", c.Served}, {c.Name, "refused at once", c.AtOnce}, {c.Name, "refused after a wait", c.AfterWait}}
}

func (t *text) outcome(r *Result) {
	if w := r.Winners; w.Got > 0 || r.Stock.Loaded > 0 {
		t.head("Buyers")
		t.line("  %s got a unit, %s gave up, %s reached the end", count(w.Got), count(w.GaveUp), count(w.Reached))
	}
	if r.Stock.Loaded > 0 {
		t.line("  of %s: %s", few(r.Stock.Loaded, "unit", "units"), r.Stock.Units.words())
		t.line("  %s", r.Stock.shop())
	}
	t.head("Our own sending")
	t.line("  behind schedule by %s at p99, %s at most; %s not started", span(r.Generator.LagP99), span(r.Generator.LagMax), count(r.Generator.NotStarted))
}

// words are the states that have units.
func (u Units) words() string {
	var parts []string
	for i, n := range u.states() {
		if n != 0 {
			parts = append(parts, count(n)+" "+states[i])
		}
	}
	if len(parts) == 0 {
		return "none in any state"
	}
	return strings.Join(parts, ", ")
}

// states are the names of a unit's states, in the order in which they are drawn.
var states = [...]string{"sold", "sending", "held", "reserved", "withdrawn", "free"}

func (u Units) states() [len(states)]int64 {
	return [...]int64{u.Sold, u.Sending, u.Held, u.Reserved, u.Withdrawn, u.Free}
}

// shop is what the shop says of its orders.
func (s Stock) shop() string {
	if s.Orders < 0 {
		return "the shop could not be asked for its orders"
	}
	return "the shop has orders for " + few(s.Orders, "unit", "units") + "; oversold: " + count(s.Oversold)
}

func (t *text) verdict(r *Result) {
	t.head(t.paint(map[bool]string{true: green, false: red}[r.Verdict == Go], r.Headline()))
	rows := [][]string{{"", "expectation", "want", "got", "why"}}
	for _, e := range r.Expectations {
		rows = append(rows, []string{met(e.OK), plain(e.Name), plain(e.Want), plain(e.Got), sentence(e.Why)})
	}
	if len(rows) > 1 {
		t.table(rows, 5)
	}
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}

// table writes rows; the first is the head, the first left columns are words and the
// rest numbers.
func (t *text) table(rows [][]string, left int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], width(cell))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-width(cell))
			if i < left {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString("  " + cell)
		}
		line := strings.TrimRight(b.String(), " ")
		switch {
		case n == 0:
			line = t.paint(faint, line)
		case row[0] == met(false):
			line = t.paint(red, line)
		}
		t.line("%s", line)
	}
}

// Progress is one line about the second that has just ended: what matters most first, and
// no more than fits into cells columns. at is the number of the second.
func Progress(at int, phase string, s *Second, cells int) string {
	parts := []string{
		fmt.Sprintf("%d s", at+1), plain(phase),
		"asked " + count(s.Requests), "useful " + count(s.Goodput) + best(s.Best),
	}
	if p := s.slowest(); p != nil {
		parts = append(parts, "p99 "+span(p.P99))
	}
	if g := s.Gateway; g != nil {
		if u := g.Units; u != nil {
			parts = append(parts, fmt.Sprintf("sold %s of %s", count(u.Sold), count(u.Sum())))
		}
		if g.Limit > 0 {
			parts = append(parts, fmt.Sprintf("in flight %s of %s", decimal(g.InFlight), decimal(g.Limit)))
		}
		var waiting int64
		for _, n := range g.Queue {
			waiting += n
		}
		parts = append(parts, "waiting "+count(waiting))
	}
	keys, _ := frequent(s.Answers, 5)
	for _, k := range keys {
		parts = append(parts, plain(k)+" "+count(s.Answers[k]))
	}
	line := ""
	for _, p := range slices.DeleteFunc(parts, func(p string) bool { return p == "" }) {
		next := p
		if line != "" {
			next = line + "  " + p
		}
		if width(next) > cells {
			break
		}
		line = next
	}
	return line
}

func best(v float64) string {
	if v <= 0 {
		return ""
	}
	return " of " + decimal(v)
}

// slowest is the class whose served were slowest; nil: nobody was served.
func (s *Second) slowest() *Pair {
	var worst *Pair
	for _, class := range slices.Sorted(maps.Keys(s.Classes)) {
		if p := s.Classes[class].Served; p != nil && (worst == nil || p.P99 > worst.P99) {
			worst = p
		}
	}
	return worst
}
