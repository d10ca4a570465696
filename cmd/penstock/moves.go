package main

// Moves of the origin's limit, for people: each is a line in the log and counted by its
// reason. What the reasons mean stands in one table; the README has it, too.

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/shedder"
)

// whyMoved says what each reason means.
var whyMoved = map[string]string{
	shedder.Rose:     "the origin answers about as soon as at rest, so it can do more",
	shedder.Fell:     "requests stay at the origin much longer than at rest, or more of them brought fewer answers: there are too many",
	shedder.Elastic:  "swinging the limit a little has shown that this way more useful answers come, or no fewer",
	shedder.Failures: "too many answers are failures, so the origin may have too much to do",
	shedder.Absolved: "fewer requests did not make failures rarer, so they are not from load",
	shedder.Target:   "requests stay at the origin longer than origin.latency_target",
	shedder.Stall:    "the origin gives no answers: it gets single requests only, until one is answered",
	shedder.Revived:  "the origin gives answers again",
	shedder.Probed:   "requests stay far longer than at rest: is that our doing? fewer, for a moment",
	shedder.Returned: "fewer requests brought fewer answers: the origin has become slower by itself",
}

func newMoves() *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "penstock_origin_limit_moves_total", Help: "Moves of the origin's limit, by reason.",
	}, []string{"reason"})
	for reason := range whyMoved {
		v.WithLabelValues(reason) // there at 0 before the first
	}
	return v
}

// moved hears of every move. In observation it is what would have been.
func (g *gateway) moved(m shedder.Move) {
	g.moves.WithLabelValues(m.Why).Inc()
	g.log.Info("limit", "from", brief(m.From), "to", brief(m.To), "reason", m.Why, "why", whyMoved[m.Why],
		"phase", m.Phase.String(), "enforced", !g.set.Load().Origin.ObserveConcurrency,
		"in_flight", brief(m.InFlight), "throughput", brief(m.Throughput), "inflation", brief(m.Inflation),
		"elasticity", brief(m.Elasticity), "error", brief(m.Error))
}

// brief leaves as many digits as people read.
func brief(x float64) float64 { return math.Round(x*100) / 100 }
