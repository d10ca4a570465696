package main

// The store with a stopwatch: how long requests wait for it, by call.

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

// timedStore times the calls that a winner's request waits for.
type timedStore struct {
	stock.Store
	decide, start, settle prometheus.Observer
}

func newTimedStore(s stock.Store, reg prometheus.Registerer) timedStore {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "penstock_store_duration_seconds", Help: "Time the stock's store took, by call; failed calls included.",
		Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
	}, []string{"call"})
	reg.MustRegister(seconds)
	return timedStore{s, seconds.WithLabelValues("decide"), seconds.WithLabelValues("start"), seconds.WithLabelValues("settle")}
}

func (s timedStore) Decide(ctx context.Context, a stock.Ask) (stock.Decision, error) {
	defer took(s.decide, time.Now())
	return s.Store.Decide(ctx, a)
}

func (s timedStore) Start(ctx context.Context, l stock.Launch) (gate.Reason, error) {
	defer took(s.start, time.Now())
	return s.Store.Start(ctx, l)
}

func (s timedStore) Settle(ctx context.Context, d stock.Settlement) error {
	defer took(s.settle, time.Now())
	return s.Store.Settle(ctx, d)
}

// batchSizes counts how many calls each round trip to a shared store answered.
func batchSizes(reg prometheus.Registerer) func(calls int, took time.Duration) {
	size := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "penstock_store_batch_size", Help: "Decisions, starts and settlements answered by one round trip to the store.",
		Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
	})
	reg.MustRegister(size)
	return func(calls int, _ time.Duration) { size.Observe(float64(calls)) }
}

func took(o prometheus.Observer, since time.Time) { o.Observe(time.Since(since).Seconds()) }
