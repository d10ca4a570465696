package proxy

// What is counted. Labels are bounded by the configuration: sale, route, gate,
// reason, priority, outcome; never an address, an account or a client's string.
// Counters are looked up once, when rules are put to use, not per request.

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/proxy/certs"
	"penstock/proxy/gate"
	"penstock/rules"
)

type metrics struct {
	requests  *prometheus.CounterVec
	watched   *prometheus.CounterVec
	decisions *prometheus.CounterVec
	outcomes  *prometheus.CounterVec
	wait      *prometheus.HistogramVec
	duration  *prometheus.HistogramVec
	gate      *prometheus.HistogramVec
	origin    *prometheus.HistogramVec
	panics    prometheus.Counter
	acceptErr prometheus.Counter
	surplus   prometheus.Counter

	connections [2]prometheus.Gauge // in use, idle

	headers    map[error]prometheus.Counter  // of PROXY, by what was wrong with them
	handshakes map[string]prometheus.Counter // of TLS, likewise
	forwarded  prometheus.Counter
	cached     *prometheus.CounterVec
	fetches    *prometheus.CounterVec

	passes     *prometheus.CounterVec
	voidPasses prometheus.Counter
}

// buckets span from a refusal to a very slow shop, in seconds.
var buckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "penstock", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "penstock", Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "penstock", Name: "connections", Help: "Connections of clients: active, or idle for a second and more.",
	}, []string{"state"})
	reg.MustRegister(connections)
	passes := counter("passes_total", "Passes of who holds a unit: issued, issued again, used, too many of a bearer at a time; void ones, which have no sale.", "sale", "event")
	headers, handshakes := map[error]prometheus.Counter{}, map[string]prometheus.Counter{}
	c := counter("proxy_protocol_errors_total", "Connections closed for want of a proper PROXY header.", "reason")
	for err, name := range headerFaults {
		headers[err] = c.WithLabelValues(name)
	}
	c = counter("tls_handshake_errors_total", "Handshakes that failed: not TLS at all, the client's certificate, too slow, other.", "reason")
	for _, why := range certs.Whys {
		handshakes[why] = c.WithLabelValues(why)
	}
	return &metrics{
		connections: [2]prometheus.Gauge{connections.WithLabelValues("active"), connections.WithLabelValues("idle")},
		surplus:     counter("connections_refused_total", "Connections over the budget that descriptors allow, refused or closed.").WithLabelValues(),
		headers:     headers, handshakes: handshakes,
		forwarded: counter("untrusted_forwarded_total", "Requests with X-Forwarded-For from a peer that is not in trusted_proxies.").WithLabelValues(),

		passes: passes, voidPasses: passes.WithLabelValues("", "void"),
		cached:    counter("cache_requests_total", "Requests of routes that keep answers: hit, stale; miss: after a fetch; failed with one; pass: went on alone; bypass: somebody's own.", "route", "result"),
		fetches:   counter("cache_fetches_total", "Answers fetched to be kept: stored, or why not.", "route", "result"),
		requests:  counter("requests_total", "Requests by what they were told; admitted ones were forwarded, or shown what their route keeps.", "sale", "route", "reason"),
		watched:   counter("observed_refusals_total", "Refusals that only watched (enforce: false), by gate and reason.", "sale", "gate", "reason"),
		decisions: counter("stock_decisions_total", "Requests for a unit by what the stock gate said.", "sale", "reason"),
		wait:      histogram("queue_wait_seconds", "Time requests waited for the origin, the ones that gave up included.", "priority"),
		outcomes:  counter("stock_outcomes_total", "What requests that held a unit came to.", "sale", "outcome"),
		duration:  histogram("request_duration_seconds", "From the head of a request to its settled end, for those that got as far as the stock or the origin; what memory alone refuses takes microseconds.", "sale", "route"),
		gate:      histogram("gate_duration_seconds", "Time spent in gates that may wait.", "gate"),
		origin:    histogram("origin_duration_seconds", "From the first byte sent to the origin to its answer.", "sale", "route"),
		panics:    counter("panics_total", "Panics contained to one request.").WithLabelValues(),
		acceptErr: counter("accept_errors_total", "Connections that could not be accepted, for want of descriptors or memory.").WithLabelValues(),
	}
}

// counts are the counters of one sale or route, ready to be bumped.
type counts struct {
	m         *metrics
	sale      string
	reasons   [64]prometheus.Counter
	decisions [64]prometheus.Counter         // of a sale
	outcomes  [3]prometheus.Counter          // of a sale
	passes    [passEvents]prometheus.Counter // of a sale
	duration  prometheus.Observer
	origin    prometheus.Observer
}

func (m *metrics) counts(sale, route string) *counts {
	c := &counts{
		m: m, sale: sale,
		duration: m.duration.WithLabelValues(sale, route),
		origin:   m.origin.WithLabelValues(sale, route),
	}
	for _, r := range gate.Reasons() {
		c.reasons[r] = m.requests.WithLabelValues(sale, route, r.String())
	}
	if sale != "" {
		for _, r := range gate.Reasons() {
			c.decisions[r] = m.decisions.WithLabelValues(sale, r.String())
		}
		for _, o := range []rules.Outcome{rules.OutcomeUnknown, rules.OutcomeSold, rules.OutcomeFree} {
			c.outcomes[o] = m.outcomes.WithLabelValues(sale, o.String())
		}
		for i, event := range passEventNames {
			c.passes[i] = m.passes.WithLabelValues(sale, event)
		}
	}
	return c
}

func (c *counts) observed(i int, reason gate.Reason) {
	c.m.watched.WithLabelValues(c.sale, gateNames[i], reason.String()).Inc()
}

// done counts a settled request.
func (c *counts) done(r *request) {
	if !r.late {
		c.reasons[r.answered].Inc()
		if r.facts.Token != (gate.Token{}) {
			c.duration.Observe(time.Since(r.facts.At).Seconds())
		}
	}
	if r.end.Kind == gate.Answered {
		c.origin.Observe(r.end.Took.Seconds())
	}
}

// waiting are the gates whose time is worth a clock: they may wait for something.
const waiting = 1<<stock | 1<<slot | 1<<start
