package main

// Metrics of things that are counted elsewhere and looked at when somebody asks:
// stock, the queue, the build.

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"penstock/limiter/stock"
	"penstock/rules"
	"penstock/shedder"
)

// register makes everything visible that the packages themselves do not count.
func (g *gateway) register() {
	g.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "penstock_reload_total", Help: "Times the file was read again, by result.",
	}, []string{"result"})
	g.tlsReloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "penstock_tls_reload_total", Help: "Times the certificate's files had changed and were read again, by result.",
	}, []string{"result"})
	for _, result := range []string{"applied", "rejected"} {
		g.reloads.WithLabelValues(result) // there at 0 before the first
		g.tlsReloads.WithLabelValues(result)
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "penstock_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	info.Set(1)
	g.registry.MustRegister(g.reloads, g.tlsReloads, g.moves, g.resolved, info, watch{g}, g.cheats,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// watch collects what gates and store know at the moment of the scrape.
type watch struct{ g *gateway }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("penstock_"+name, help, labels, nil)
}

var (
	originInFlight = desc("origin_in_flight", "Requests at the origin.")
	originLimit    = desc("origin_limit", "Requests the origin is given at a time.")
	originLevel    = desc("origin_limit_level", "What the limit swings around; in observation, what it would be.")
	originPhase    = desc("origin_limit_phase", "1 for what the limit is doing: launching, settled, stalled, fixed or observing.", "phase")
	originRate     = desc("origin_throughput", "Useful answers per second that the origin gave when it was last busy; 0: never yet.")
	originResident = desc("origin_resident_seconds", "How long a request was at the origin then.")
	originInflated = desc("origin_inflation", "And that as a multiple of what it is at rest; 0: not known.")
	originElastic  = desc("origin_elasticity", "Per cent more useful answers for one per cent more requests at the origin; 0 also where it is not known.")
	queueDepth     = desc("queue_depth", "Places taken, by priority, the ones at the origin included.", "priority")
	queueWaiting   = desc("queue_waiting", "Requests that wait for the origin, by priority.", "priority")
	crowdAdmitted  = desc("crowd_admitted_ratio", "Part of the browsing crowd that may try at all while the origin is busy; 1: nobody is cut off.")
	stockUnits     = desc("stock_units", "Units by state; the states add up to what was loaded.", "sale", "item", "state")
	stockOversold  = desc("stock_oversold_units", "Units sold that were not there.", "sale")
	stockLatched   = desc("sold_out_latched", "1 while an item is answered as sold out from memory.", "sale", "item")
	stockFrozen    = desc("stock_frozen", "1 while the store has lost a sale's stock.", "sale")
	stockOutbox    = desc("stock_outbox", "Settled units the store has not been told of yet.")
	stockPaused    = desc("stock_state", "1 for the state a sale's stock is in: open, paused or closed by an operator.", "sale", "state")
	storeBroken    = desc("store_broken", "1 while the store has failed so often that it is not asked.")
	storeWarnings  = desc("store_warnings", "What was found unwise in how the store is set up, at the start; the log says what.")
	termsMismatch  = desc("terms_mismatch", "1 where the file has other rules for a sale's stock than the store.", "sale")
	mismatch       = desc("config_mismatch", "1 where the file asks for other units than were loaded.", "sale", "item")
	certificate    = desc("tls_cert_expiry_seconds", "Until the certificate that clients are shown runs out; below zero: it has.")
	forwardPeers   = desc("untrusted_forwarding_peers", "Peers outside trusted_proxies that lately forwarded for many clients: a balancer that is missing there, or somebody who forges.")
	storeUp        = desc("store_info", "1, with the kind of store; 0 while it does not answer.", "kind")
)

// Describe implements prometheus.Collector.
func (w watch) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		originInFlight, originLimit, originLevel, originPhase, originRate, originResident, originInflated, originElastic,
		queueDepth, queueWaiting, crowdAdmitted, stockUnits, stockOversold, stockLatched, stockFrozen, stockOutbox, mismatch, storeUp,
		stockPaused, storeBroken, storeWarnings, termsMismatch, certificate, forwardPeers,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w watch) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	w.origin(gauge)
	gauge(forwardPeers, float64(len(w.g.proxy.Forwarders())))
	if ends := w.g.proxy.CertificateEnds(); !ends.IsZero() {
		gauge(certificate, time.Until(ends).Seconds())
	}
	if w.g.stock == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	stats, err := w.g.stock.Pictures(ctx)
	gauge(storeUp, truth(err == nil), w.kind())
	gauge(stockOutbox, float64(stats.Outbox))
	gauge(storeBroken, truth(stats.Broken))
	gauge(storeWarnings, float64(w.g.storeWarnings))
	for name, l := range stats.Ledgers {
		gauge(stockFrozen, truth(l.Frozen), name)
		gauge(stockOversold, float64(l.Oversold), name)
		for item, latched := range l.Latched {
			gauge(stockLatched, truth(latched), name, item)
		}
		for item, c := range l.Items {
			for state, n := range states(c) {
				gauge(stockUnits, float64(n), name, item, state)
			}
			gauge(mismatch, truth(w.g.differs(name, item, c)), name, item)
		}
		for state, word := range stateWords {
			gauge(stockPaused, truth(l.State == state && l.Items != nil), name, word)
		}
		gauge(termsMismatch, truth(w.g.termsDiffer(name, l)), name)
	}
}

// origin is what the shedder knows of it.
func (w watch) origin(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	q := w.g.shedder.Stats()
	gauge(originInFlight, float64(q.InFlight))
	gauge(originLimit, float64(q.Limit))
	gauge(originLevel, q.Level)
	for p := shedder.Launching; p <= shedder.Observing; p++ {
		gauge(originPhase, truth(p == q.Phase), p.String())
	}
	gauge(originRate, q.Throughput)
	gauge(originResident, q.Resident.Seconds())
	gauge(originInflated, q.Inflation)
	gauge(originElastic, q.Elasticity)
	for p := range rules.Priorities {
		gauge(queueDepth, float64(q.Depth[p]), p.String())
		gauge(queueWaiting, float64(q.Waiting[p]), p.String())
	}
	gauge(crowdAdmitted, q.Kept)
}

func states(c stock.Counts) map[string]int {
	return map[string]int{
		"free": c.Free, "reserved": c.Reserved, "sending": c.Sending,
		"held": c.Held, "sold": c.Sold, "withdrawn": c.Withdrawn,
	}
}

func (w watch) kind() string {
	if w.g.set.Load().Store.Redis != nil {
		return "redis"
	}
	return "embedded"
}

// differs reports whether the file in use asks for other units than are loaded. A sale
// that has left the file asks for nothing.
func (g *gateway) differs(ledger, item string, c stock.Counts) bool {
	for _, s := range g.set.Load().Sales {
		if s.Stock != nil && s.Stock.Ledger == ledger {
			return s.Stock.Items[item] != c.Loaded-c.Withdrawn
		}
	}
	return false
}

// termsDiffer is the same for the rules of its stock.
func (g *gateway) termsDiffer(ledger string, l stock.Status) bool {
	for _, s := range g.set.Load().Sales {
		if s.Stock != nil && s.Stock.Ledger == ledger && l.Items != nil {
			return len(l.Terms.Differences(stock.TermsOf(s))) > 0
		}
	}
	return false
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
