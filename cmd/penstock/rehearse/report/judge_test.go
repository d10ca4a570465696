package report

import (
	"slices"
	"strings"
	"testing"
)

// overloaded is a run of ten seconds at twice what the origin can do, all of it perfect.
func overloaded() *Result {
	r := &Result{
		Phases: []Phase{{"crowd", 0, 10000, 1000}},
		Totals: Totals{Requests: 10000, AtOnce: 5000},
		Stock:  Stock{Loaded: 1000, Units: Units{Sold: 1000}, Orders: 1000}, Winners: Winners{Got: 1000, Reached: 1000},
		Classes: []Class{{Name: "buy", Served: Latency{Count: 5000, P99: 300, Max: 900}, AtOnce: Latency{Count: 5000, P99: 2}}},
	}
	for range 10 {
		r.Seconds = append(r.Seconds, Second{Requests: 1000, Goodput: 500, Best: 500, Answers: map[string]int64{"overloaded": 500}})
	}
	return r
}

func TestEachExpectationCanBeMissed(t *testing.T) {
	quiet := func(r *Result, shed int64) {
		for i := range r.Seconds {
			r.Seconds[i].Requests, r.Seconds[i].Answers = 400, map[string]int64{"overloaded": shed}
		}
	}
	none := new(0.0)
	for _, c := range []struct {
		name  string
		wants Wants
		bend  func(*Result)
		says  string // of the only expectation that is missed; "": all are met
	}{
		{name: "perfect", wants: Wants{Winners: 0.999, Goodput: 0.97, Settle: 5000, ServedP99: map[string]Millis{"buy": 300}, AtOnceP99: 2, AfterWait: none, Failed: none, SoldOut: true}, bend: func(*Result) {}},
		{"eight winners lost", Wants{Winners: 0.999}, func(r *Result) { r.Winners.Reached = 992 },
			"winners served: 99.2 %, want ≥ 99.9 % — 8 of 1,000 who got a unit and did not give up never reached the end"},
		{"who gives up is not lost", Wants{Winners: 1}, func(r *Result) { r.Winners = Winners{1000, 10, 990} }, ""},
		{"a hair below is below", Wants{Winners: 0.999}, func(r *Result) { r.Winners = Winners{100000, 0, 99899} },
			"winners served: 99.8 %, want ≥ 99.9 % — 101 of 100,000 who got a unit and did not give up never reached the end"},
		{"no winners at all", Wants{Winners: 0.999}, func(r *Result) { r.Winners = Winners{} },
			"winners served: not measured, want ≥ 99.9 % — nobody got a unit and stayed, so this was not tried"},
		{"oversold by one", Wants{}, func(r *Result) { r.Stock.Orders, r.Stock.Oversold = 1001, 1 },
			"oversold: 1, want 0 — the shop has orders for 1 unit more than the 1,000 that were loaded"},
		{"the shop is not asked", Wants{}, func(r *Result) { r.Stock.Orders = -1 }, ""},
		{"a unit is nowhere", Wants{}, func(r *Result) { r.Stock.Units.Sold = 999 },
			"units accounted for: 999, want 1,000 — free, reserved, sending, held, sold and withdrawn come to 999, and 1,000 were loaded"},
		{"units left", Wants{SoldOut: true}, func(r *Result) { r.Stock.Units = Units{Sold: 990, Held: 3, Free: 7} },
			"sold: 990, want 1,000 — 7 free, 0 reserved, 0 sending and 3 held at the end"},
		{"withdrawn need no buyer", Wants{SoldOut: true}, func(r *Result) { r.Stock.Units = Units{Sold: 990, Withdrawn: 10} }, ""},
		{"we were late", Wants{}, func(r *Result) { r.Generator.LagP99 = 20.01 },
			"our own lag, p99: 20 ms, want ≤ 20 ms — this machine could not send on time: the crowd was slower than planned, and this run proves nothing"},
		{"we did not start one", Wants{}, func(r *Result) { r.Generator.NotStarted = 1 },
			"our own lag, p99: 0 ms, 1 not started, want ≤ 20 ms — 1 request could not be sent from here: the crowd was smaller than planned, and this run proves nothing"},
		{"half the goodput", Wants{Goodput: 0.97, Settle: 5000}, func(r *Result) { r.Seconds[9].Goodput = 250 },
			"goodput under overload: 90 %, want ≥ 97 % of the origin's best — 2,250 useful answers of 2,500 possible in 5 seconds that asked for more"},
		{"launch does not count", Wants{Goodput: 0.97, Settle: 5000}, func(r *Result) { r.Seconds[4].Goodput = 0 }, ""},
		{"nor what was broken on purpose", Wants{Goodput: 0.97, Settle: 1000}, func(r *Result) {
			r.Faults = []Fault{{"slow", 4000, 5000}}
			r.Seconds[4].Goodput, r.Seconds[5].Goodput = 0, 0
		}, ""},
		{"but what comes after does", Wants{Goodput: 0.97, Settle: 1000}, func(r *Result) {
			r.Faults = []Fault{{"slow", 4000, 5000}}
			r.Seconds[6].Goodput = 0
		}, "goodput under overload: 85.7 %, want ≥ 97 % of the origin's best — 3,000 useful answers of 3,500 possible in 7 seconds that asked for more"},
		{"never overloaded", Wants{Goodput: 0.97}, func(r *Result) { quiet(r, 0) },
			"goodput under overload: not measured, want ≥ 97 % of the origin's best — no settled second asked for more than the origin can do, or its best is not known"},
		{"slow answers", Wants{ServedP99: map[string]Millis{"buy": 299}}, func(*Result) {},
			"p99 of served buy: 300 ms, want ≤ 299 ms — of 5,000 answers; the slowest took 900 ms"},
		{"a class that never came", Wants{ServedP99: map[string]Millis{"thanks": 1000}}, func(*Result) {},
			"p99 of served thanks: not measured, want ≤ 1 s — nobody was served"},
		{"slow refusals", Wants{AtOnceP99: 1.5}, func(*Result) {},
			"p99 of refusals at once: 2 ms, want ≤ 1.5 ms — in the slowest class, buy"},
		{"nothing refused", Wants{AtOnceP99: 1, AfterWait: none}, func(r *Result) { r.Classes[0].AtOnce, r.Totals.AtOnce = Latency{}, 0 }, ""},
		{"late refusals", Wants{AfterWait: new(0.01)}, func(r *Result) { r.Totals.AfterWait = 51 },
			"refusals after a wait: 1.1 %, want ≤ 1 % — 51 of 5,051 refusals came only after a wait"},
		{"failures", Wants{Failed: none}, func(r *Result) { r.Totals.Failed = 1 },
			"failures: 0.1 %, want ≤ 0 % — 1 of 10,000 requests failed at the shop, or got no whole answer"},
		{"needless", Wants{Needless: new(0.0005)}, func(r *Result) { quiet(r, 1) },
			"needless refusals: 0.25 %, want ≤ 0.05 % — 10 of 4,000 requests were shed while the origin had room"},
		{"needed", Wants{Needless: new(0.0005)}, func(*Result) {},
			"needless refusals: not measured, want ≤ 0.05 % — the origin was never below 90 % of its best, or its best is not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := overloaded()
			c.bend(r)
			all, verdict := Judge(r, c.wants)
			r.Expectations = all
			var says []string
			for _, e := range r.Missed() {
				says = append(says, e.String())
			}
			if want := slices.DeleteFunc([]string{c.says}, func(s string) bool { return s == "" }); !slices.Equal(says, want) {
				t.Errorf("missed %q,\nwant %q", says, want)
			}
			if want := map[bool]Verdict{true: Go, false: NoGo}[c.says == ""]; verdict != want {
				t.Errorf("verdict %q, want %q", verdict, want)
			}
		})
	}
}

func TestNothingComparedIsNotAGo(t *testing.T) {
	r := &Result{}
	if h := r.Headline(); !strings.HasPrefix(h, "NO GO") {
		t.Errorf("the zero result says %q", h)
	}
	if _, v := Judge(r, Wants{}); v != NoGo {
		t.Errorf("a run without a request is %q", v)
	}
}
