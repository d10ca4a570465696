package main

// Connections to the shop that are open before the crowd is there. A sale that opens at
// eight finds as many as the shop may be given requests, and the first buyers do not wait
// for handshakes. They are renewed every second, because an idle one is good for a few
// seconds only. Some minutes later traffic keeps them by itself, or there is none.
//
// The first look is also the last thing that readiness waits for; but a shop that cannot
// be reached must not take every gateway out of its balancer, so that wait ends.

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"penstock/rules"
)

const (
	warmEvery  = time.Second
	warmBefore = time.Minute      // a sale opens
	warmAfter  = 10 * time.Minute // it has opened
	warmWithin = 5 * time.Second  // the gateway is ready, with or without the shop
)

// warmer opens connections in time.
type warmer struct {
	log   *slog.Logger
	sales func() []*rules.Sale // in use: a reload may change them
	limit func() int           // requests that the shop may be given now
	warm  func(ctx context.Context, n int) error

	looked atomic.Bool // the shop was reached, or was waited for long enough
	failed bool        // the last try, and it has been said
}

func (g *gateway) newWarmer() *warmer {
	return &warmer{
		log:   g.log,
		sales: func() []*rules.Sale { return g.set.Load().Sales },
		limit: func() int { return g.shedder.Stats().Limit },
		warm:  g.proxy.Warm,
	}
}

// run looks every second until ctx ends.
func (w *warmer) run(ctx context.Context) {
	began := time.Now()
	t := time.NewTicker(warmEvery)
	defer t.Stop()
	for now := began; ; {
		w.look(ctx, now, began)
		select {
		case <-ctx.Done():
			return
		case now = <-t.C:
		}
	}
}

func (w *warmer) look(ctx context.Context, now, began time.Time) {
	n := w.wanted(now)
	if n == 0 && w.looked.Load() {
		return
	}
	err := w.warm(ctx, max(n, 1))
	if ctx.Err() != nil {
		return
	}
	if err == nil || now.Sub(began) >= warmWithin {
		w.looked.Store(true)
	}
	if err != nil && !w.failed {
		w.log.Warn("the shop cannot be connected to in advance", "connections", max(n, 1), "err", err)
	}
	w.failed = err != nil
}

// wanted is how many connections there should be, 0 where no sale is about to open.
func (w *warmer) wanted(now time.Time) int {
	for _, s := range w.sales() {
		if !s.Opens.IsZero() && now.After(s.Opens.Add(-warmBefore)) && now.Before(s.Opens.Add(warmAfter)) && (s.Closes.IsZero() || now.Before(s.Closes)) {
			return w.limit()
		}
	}
	return 0
}

// ready reports whether readiness still waits for the shop.
func (w *warmer) ready() error {
	if !w.looked.Load() {
		return errors.New("no connection to the shop yet")
	}
	return nil
}
