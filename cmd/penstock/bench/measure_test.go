package bench

// One crowd at one front, and what it made of it.

import (
	"os"
	"strconv"
	"testing"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
)

// warm is how long a crowd comes before it is measured: the limit is found, Apache has
// started its workers; three times as long where so few answers a second show the limit's
// way slowly. leaves is how long visitors wait at most.
const (
	warm   = 20 * time.Second
	few    = 100.
	leaves = 3 * time.Second
	most   = 16000 // connections
)

// setInt is a number from the environment, for the make targets.
func setInt(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s is %q, want a number", name, text)
	}
	return n
}

// visitors come once, for one thing, and do not come back.
func visitors(step crowd.Step) []crowd.Visitor {
	return []crowd.Visitor{{
		Name: step.Class, Steps: []crowd.Step{step}, OneShot: .2, Patience: leaves,
		Cookies: []string{"customer={account}"}, Header: []string{"X-Forwarded-For: {address}"},
	}}
}

// measure sends the crowd through a fresh front to a fresh shop.
func measure(tb testing.TB, f front, s *shop, who []crowd.Visitor, rate float64, warm, measured time.Duration, seed uint64) figures {
	tb.Helper()
	behind := s.start(tb)
	defer behind.stop()
	before := f.start(tb, behind.addr)
	defer before.stop()
	c, err := crowd.New(crowd.Plan{
		Target: before.addr, Host: "shop.example", Seed: seed, Visitors: who, Connections: most, Grace: leaves,
		Phases: []crowd.Phase{{Name: "flat", For: warm + measured, Rate: rate}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	r := figures{Seconds: measured.Seconds(), Losses: map[string]int{}}
	var served, refused, lag []time.Duration
	c.Run(tb.Context(), func(o *crowd.Outcome) {
		if o.Due < warm || o.Due >= warm+measured {
			return
		}
		r.Arrivals++
		lag = append(lag, o.Sent-o.Due)
		switch o.Kind {
		case crowd.Served:
			r.Served++
			served = append(served, o.Latency())
			if o.Latency() <= useful {
				r.Useful++
			}
		case crowd.Refused:
			r.Refused++
			if o.Waited {
				r.Waited++
			} else {
				refused = append(refused, o.Done-o.Sent)
			}
		case crowd.Trouble:
			r.Trouble++
		default:
			r.Lost++
			r.Losses[o.Kind.String()+": "+o.Reason]++
		}
	})
	r.P50, r.P99 = quantile(served, .5), quantile(served, .99)
	r.Arrival, r.Lag = quantile(refused, .99), quantile(lag, .99)
	if r.Trouble > r.Arrivals/100 {
		tb.Logf("%s: %.0f of %.0f requests could not be sent: this round proves nothing", f.name, r.Trouble, r.Arrivals)
	}
	return r
}

// sweep finds what the shop can do, and the setting by which HAProxy gets most of it. The
// crowd is twice what it can do. Of queue times that get as much the longest is taken: it
// refuses least when the crowd is smaller.
func sweep(b *testing.B, r *report, s *shop, who []crowd.Visitor) (best setting, capacity float64) {
	b.Helper()
	const short, each = 3 * time.Second, 4 * time.Second
	rate := s.guess
	middle := setting{s.conns[len(s.conns)/2], time.Second / 4}
	for {
		f := measure(b, haproxy(middle), s, who, rate, short, each, 1)
		if capacity = f.Served / f.Seconds; f.Served < .9*f.Arrivals {
			break
		}
		rate *= 2
	}
	rate = 2 * capacity
	r.line("| HAProxy, %.0f requests/s | useful/s | served/s | p99 |", rate)
	r.line("|---|---|---|---|")
	try := func(at setting, enough float64) bool {
		f := measure(b, haproxy(at), s, who, rate, short, each, 2)
		b.Logf("%v: %.1f useful/s, %.1f served/s of %.0f", at, f.goodput(), f.Served/f.Seconds, rate)
		r.line("| %v | %.1f | %.1f | %.0f ms |", at, f.goodput(), f.Served/f.Seconds, f.P99.Seconds()*1000)
		if f.goodput() > enough {
			best, capacity = at, f.goodput()
			return true
		}
		return false
	}
	capacity = 0
	for _, n := range s.conns {
		try(setting{n, middle.queue}, capacity)
	}
	for _, q := range []time.Duration{time.Second, time.Second / 2} {
		if try(setting{best.maxconn, q}, .99*capacity) {
			return best, capacity
		}
	}
	try(setting{best.maxconn, time.Second / 10}, 1.01*capacity)
	return best, capacity
}
