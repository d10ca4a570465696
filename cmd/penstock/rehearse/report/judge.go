package report

// What was wanted of a rehearsal, and whether it came. It knows no thresholds of its own
// but those of honesty: nothing is oversold, the units add up, and we kept to our plan.
//
// What was wanted and could not be measured is not met: a rehearsal in which nobody got a
// unit says nothing about winners. Only a rule for refusals is met if nothing was refused.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Wants are the thresholds. A field that is zero, or nil, is not asked for.
type Wants struct {
	Winners   float64           // share of those who got a unit and did not give up who reached the end, at least
	Goodput   float64           // share of the origin's best, at least, in seconds that asked for more than that
	Settle    Millis            // how long after a phase or fault has begun or ended those seconds do not count yet
	ServedP99 map[string]Millis // by class, at most
	AtOnceP99 Millis            // of refusals that did not wait, in every class, at most
	AfterWait *float64          // share of refusals that came after a wait, at most
	Failed    *float64          // share of requests at which the shop or the gateway failed, at most
	Needless  *float64          // share of requests shed in seconds that asked for less than 90 % of the origin's best, at most
	SoldOut   bool              // every unit is sold at the end

	LagP99 Millis // of our own sending; 0: 20 ms
}

// shed are the reasons that say that the origin has no room.
var shed = [...]string{"overloaded", "status 503", "unreached"}

// Judge compares r with what was wanted. It is a pure function of both.
func Judge(r *Result, w Wants) ([]Expectation, Verdict) {
	all := []Expectation{generator(r, w)}
	if r.Stock.Loaded > 0 {
		all = append(all, oversold(r), units(r))
		if w.SoldOut {
			all = append(all, soldOut(r))
		}
	}
	if w.Winners > 0 {
		all = append(all, winners(r, w))
	}
	if w.Goodput > 0 {
		all = append(all, goodput(r, w))
	}
	for _, class := range slices.Sorted(maps.Keys(w.ServedP99)) {
		all = append(all, servedP99(r, class, w.ServedP99[class]))
	}
	if w.AtOnceP99 > 0 {
		all = append(all, atOnce(r, w))
	}
	if w.AfterWait != nil {
		refused := r.Totals.AtOnce + r.Totals.AfterWait
		e := atMost("refusals after a wait", r.Totals.AfterWait, refused, *w.AfterWait, "refusals came only after a wait", "nothing was refused")
		e.OK = e.OK || refused == 0
		all = append(all, e)
	}
	if w.Failed != nil {
		all = append(all, atMost("failures", r.Totals.Failed, r.Totals.Requests, *w.Failed,
			"requests failed at the shop, or got no whole answer", "no requests were sent"))
	}
	if w.Needless != nil {
		turned, asked := needless(r, w)
		all = append(all, atMost("needless refusals", turned, asked, *w.Needless,
			"requests were shed while the origin had room", "the origin was never below 90 % of its best, or its best is not known"))
	}
	for _, e := range all {
		if !e.OK {
			return all, NoGo
		}
	}
	return all, Go
}

// String is the expectation as a sentence.
func (e Expectation) String() string {
	return plain(e.Name) + ": " + plain(e.Got) + ", want " + plain(e.Want) + " — " + e.Why
}

// Missed are those that were not met.
func (r *Result) Missed() []Expectation {
	var missed []Expectation
	for _, e := range r.Expectations {
		if !e.OK {
			missed = append(missed, e)
		}
	}
	return missed
}

// Headline is the verdict as a sentence.
func (r *Result) Headline() string {
	missed, n := r.Missed(), len(r.Expectations)
	switch {
	case r.Verdict == Go:
		return "GO: " + few(int64(n), "expectation is met", "expectations are all met")
	case n == 0:
		return "NO GO: nothing was compared"
	}
	return fmt.Sprintf("NO GO: %d of %s not met", len(missed), few(int64(n), "expectation", "expectations"))
}

func generator(r *Result, w Wants) Expectation {
	limit, g := w.LagP99, r.Generator
	if limit == 0 {
		limit = 20
	}
	e := Expectation{Name: "our own lag, p99", Want: "≤ " + span(limit), Got: span(g.LagP99), OK: g.LagP99 <= limit && g.NotStarted == 0,
		Why: "requests left when they were due, so the crowd was as large as planned"}
	switch {
	case g.NotStarted > 0:
		e.Got += ", " + few(g.NotStarted, "not started", "not started")
		e.Why = few(g.NotStarted, "request", "requests") + " could not be sent from here: the crowd was smaller than planned, and this run proves nothing"
	case !e.OK:
		e.Why = "this machine could not send on time: the crowd was slower than planned, and this run proves nothing"
	case r.Totals.Requests == 0:
		e.OK, e.Got, e.Why = false, "nothing sent", "no request was sent: this run proves nothing"
	}
	return e
}

func oversold(r *Result) Expectation {
	s := r.Stock
	e := Expectation{Name: "oversold", Want: "0", Got: count(s.Oversold), OK: s.Oversold == 0}
	switch {
	case s.Oversold > 0:
		e.Why = "the shop has orders for " + few(s.Oversold, "unit", "units") + " more than the " + count(s.Loaded) + " that were loaded"
	case s.Orders < 0 && s.Units.Sold > s.Loaded:
		e.OK, e.Why = false, "the gateway counts more units as sold than were loaded"
	case s.Orders < 0:
		e.Why = "by the gateway's own count; the shop could not be asked for its orders"
	default:
		e.Why = "the shop has orders for " + count(s.Orders) + " of " + few(s.Loaded, "unit", "units")
	}
	return e
}

func units(r *Result) Expectation {
	sum, loaded := r.Stock.Units.Sum(), r.Stock.Loaded
	e := Expectation{Name: "units accounted for", Want: count(loaded), Got: count(sum), OK: sum == loaded,
		Why: "every unit is in exactly one state"}
	if !e.OK {
		e.Why = "free, reserved, sending, held, sold and withdrawn come to " + count(sum) + ", and " + count(loaded) + " were loaded"
	}
	return e
}

func soldOut(r *Result) Expectation {
	u := r.Stock.Units
	want := r.Stock.Loaded - u.Withdrawn
	e := Expectation{Name: "sold", Want: count(want), Got: count(u.Sold), OK: u.Sold >= want, Why: "every unit found a buyer"}
	if !e.OK {
		e.Why = fmt.Sprintf("%s free, %s reserved, %s sending and %s held at the end", count(u.Free), count(u.Reserved), count(u.Sending), count(u.Held))
	}
	return e
}

func winners(r *Result, w Wants) Expectation {
	n := r.Winners.Got - r.Winners.GaveUp
	return atLeast("winners served", r.Winners.Reached, n, w.Winners,
		"who got a unit and did not give up", "reached the end", "nobody got a unit and stayed, so this was not tried")
}

// goodput counts seconds that asked for more than the origin can do, apart from those in
// which something had just changed: what comes first is launch, and has its own charts.
func goodput(r *Result, w Wants) Expectation {
	var got int64
	var best float64
	n := 0
	for i, s := range r.Seconds {
		if s.Best <= 0 || float64(s.Requests) < s.Best || r.unsettled(Millis(i)*1000, w.Settle) {
			continue
		}
		got, best, n = got+s.Goodput, best+s.Best, n+1
	}
	d := places(w.Goodput)
	e := Expectation{Name: "goodput under overload", Want: "≥ " + percent(w.Goodput, d, true) + " of the origin's best"}
	if n == 0 {
		e.Got, e.Why = "not measured", "no settled second asked for more than the origin can do, or its best is not known"
		return e
	}
	share := float64(got) / best
	e.Got, e.OK = percent(share, d, true), share >= w.Goodput
	e.Why = fmt.Sprintf("%s useful answers of %s possible in %s that asked for more", count(got), count(int64(best+0.5)), few(int64(n), "second", "seconds"))
	return e
}

// unsettled reports whether the second that starts at is within a fault, or less than
// settle after something changed.
func (r *Result) unsettled(at, settle Millis) bool {
	for _, p := range r.Phases {
		if at+1000 > p.From && at < p.From+settle {
			return true
		}
	}
	end := Millis(0)
	if n := len(r.Phases); n > 0 {
		end = r.Phases[n-1].To
	}
	for _, f := range r.Faults {
		if at+1000 > f.From && (f.To == 0 || at < f.To+settle) {
			return true
		}
	}
	return end > 0 && at+1000 > end // the last of the crowd is leaving
}

func needless(r *Result, w Wants) (turned, asked int64) {
	for i, s := range r.Seconds {
		if s.Best <= 0 || float64(s.Requests) >= 0.9*s.Best || r.unsettled(Millis(i)*1000, w.Settle) {
			continue
		}
		asked += s.Requests
		for _, reason := range shed {
			turned += s.Answers[reason]
		}
	}
	return turned, asked
}

func servedP99(r *Result, class string, limit Millis) Expectation {
	e := Expectation{Name: "p99 of served " + class, Want: "≤ " + span(limit), Got: "not measured", Why: "nobody was served"}
	if c := r.class(class); c != nil && c.Served.Count > 0 {
		e.Got, e.OK = span(c.Served.P99), c.Served.P99 <= limit
		e.Why = fmt.Sprintf("of %s; the slowest took %s", few(c.Served.Count, "answer", "answers"), span(c.Served.Max))
	}
	return e
}

func (r *Result) class(name string) *Class {
	i := slices.IndexFunc(r.Classes, func(c Class) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Classes[i]
}

func atOnce(r *Result, w Wants) Expectation {
	e := Expectation{Name: "p99 of refusals at once", Want: "≤ " + span(w.AtOnceP99), Got: "none", OK: true, Why: "nothing was refused at once"}
	var slow []string
	worst := Class{}
	for _, c := range r.Classes {
		if c.AtOnce.Count > 0 && (worst.Name == "" || c.AtOnce.P99 > worst.AtOnce.P99) {
			worst = c
		}
		if c.AtOnce.P99 > w.AtOnceP99 {
			slow = append(slow, c.Name)
		}
	}
	if worst.Name != "" {
		e.Got, e.OK = span(worst.AtOnce.P99), len(slow) == 0
		e.Why = "in the slowest class, " + worst.Name
	}
	if len(slow) > 1 {
		e.Why = "too slow in " + strings.Join(slow, ", ")
	}
	return e
}

// atLeast wants a share of n people to do something.
func atLeast(name string, got, n int64, want float64, who, did, none string) Expectation {
	d := places(want)
	e := Expectation{Name: name, Want: "≥ " + percent(want, d, true), Got: "not measured", Why: none}
	if n <= 0 {
		return e
	}
	share := float64(got) / float64(n)
	e.Got, e.OK = percent(share, d, true), share >= want
	if e.Why = fmt.Sprintf("all %s %s %s", count(n), who, did); got != n {
		e.Why = fmt.Sprintf("%s of %s %s never %s", count(n-got), count(n), who, did)
	}
	return e
}

// atMost wants a share of n things to be small.
func atMost(name string, got, n int64, want float64, what, none string) Expectation {
	d := places(want)
	e := Expectation{Name: name, Want: "≤ " + percent(want, d, false), Got: "not measured", Why: none}
	if n <= 0 {
		return e
	}
	share := float64(got) / float64(n)
	e.Got, e.OK = percent(share, d, false), share <= want
	e.Why = fmt.Sprintf("%s of %s %s", count(got), count(n), what)
	return e
}
