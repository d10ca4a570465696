// Package bench holds Penstock to a real shop and to the best that a hand-tuned proxy
// makes of it: the same open-loop crowd at the shop alone, behind HAProxy with the
// maxconn and queue time that a sweep found best, and behind Penstock with
// `concurrency: auto`, in rounds that take turns. Figures are ratios of one round.
//
// And it measures what one request costs, beside nginx, HAProxy and bare fasthttp.
//
// It is all benchmarks, which only `make bench-wire`, `make bench-legacy` and `make
// bench-peers` run; each writes its table beside, into WIRE.md, CARTS.md, LEGACY.md or
// PEERS.md. Crowd, proxy and shop share one
// machine: a busy machine makes bad figures, and the crowd's own lag in the table tells.
// It gives up everything that the wire of a loopback does not have.
package bench

import (
	"slices"
	"time"
)

// useful is how soon an answer must come to be of use, from the scheduled arrival.
const useful = time.Second

// figures are what one crowd made of one front, in its measured part.
type figures struct {
	Seconds  float64
	Arrivals float64 // due
	Served   float64 // answers the visitors came for, whenever
	Useful   float64 // of them, within useful
	Refused  float64
	Waited   float64       // of them, after a wait
	Lost     float64       // failed, reset, timed out, or left by an impatient visitor
	P50, P99 time.Duration // of served
	Arrival  time.Duration // p99 of refusals that did not wait, from when they were sent
	Lag      time.Duration // p99 of our own
	Trouble  float64       // requests that the crowd could not send

	Losses map[string]int // what was lost, in words
}

// goodput is useful answers a second.
func (f *figures) goodput() float64 { return f.Useful / f.Seconds }

// ratio is a to b, and 0 where there is no b.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// spread is the least, the median and the greatest of some values, at least one.
func spread(values []float64) (least, median, most float64) {
	v := slices.Sorted(slices.Values(values))
	return v[0], v[len(v)/2], v[len(v)-1]
}

// quantile of durations; 0 where there are none. It sorts them.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}
