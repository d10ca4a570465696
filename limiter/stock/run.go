package stock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The background's pace. Every interval is jittered, so gateways do not fall in step.
const (
	sweepEvery = time.Second
	pollEvery  = 150 * time.Millisecond // and latched items open within two of these
	lookRest   = 50                     // times what a Look took is left between two of one ledger,
	longRest   = 5 * time.Second        // but no longer: it may have been the network, once
)

// Run keeps stock moving: it sweeps, watches what is latched, and settles what could not
// be settled at once. It returns after ctx has ended and the outbox was tried once more.
func (s *Stock) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.sweep(ctx) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.repay(ctx) })
	wg.Wait()
}

// jittered is d, a third more or less.
func jittered(d time.Duration) time.Duration { return d*2/3 + rand.N(d*2/3) }

// every calls f until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered(d)):
			f()
		}
	}
}

// sweep needs no election between gateways: each moves what it finds, once.
func (s *Stock) sweep(ctx context.Context) {
	every(ctx, sweepEvery, func() {
		for _, l := range *s.ledgers.Load() {
			n, err := SweepLimit, error(nil)
			for n == SweepLimit && err == nil {
				n, err = s.store.Sweep(ctx, l.name)
			}
			s.swept(ctx, l, err)
		}
	})
}

// swept reports the first failure in a row.
func (s *Stock) swept(ctx context.Context, l *ledger, err error) {
	if errors.Is(err, ErrNotLoaded) {
		s.freeze(l)
		return
	}
	if err != nil && !l.failing && ctx.Err() == nil {
		s.report(l.name, err)
	}
	l.failing = err != nil
}

// wantLook asks the watcher to look at the ledger soon.
func (s *Stock) wantLook(l *ledger) {
	l.want.Store(true)
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// watch looks at ledgers that have sold something out, one after the other, so there is
// never more than one Look under way.
func (s *Stock) watch(ctx context.Context) {
	poll := time.NewTimer(jittered(pollEvery))
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.look:
		case <-poll.C:
			s.poll(ctx)
			poll.Reset(jittered(pollEvery))
		}
		for _, l := range *s.ledgers.Load() {
			if l.want.Load() && !time.Now().Before(l.rest) {
				s.lookAt(ctx, l)
			}
		}
	}
}

// poll takes the pulse of every ledger, also of those that only other gateways sell: how
// far each had come must be known if the store goes back.
func (s *Stock) poll(ctx context.Context) {
	all := slices.Collect(maps.Values(*s.ledgers.Load()))
	s.pulse(ctx, all) // trouble shows in requests, and a latch stays as it is
}

// pulse compares ledgers with the store's. One that is gone, or older than it was, is
// frozen; one that was gone and is back as it was thaws. Where the holders of a latched
// one have changed it wants a Look.
func (s *Stock) pulse(ctx context.Context, ledgers []*ledger) error {
	if len(ledgers) == 0 {
		return nil
	}
	names, seen := make([]string, len(ledgers)), make([]uint64, len(ledgers))
	for i, l := range ledgers {
		names[i], seen[i] = l.name, l.seen.Load()
	}
	pictures, err := s.store.Pulse(ctx, names...)
	if err != nil {
		return err
	}
	for i, l := range ledgers {
		p := pictures[i]
		switch {
		case p.Items == nil:
			s.freeze(l)
			continue
		case p.Seq < seen[i]:
			s.cutShort(l)
			continue
		}
		l.ice.CompareAndSwap(gone, none)
		l.saw(p.Seq)
		if v := l.view.Load(); v != nil {
			l.glance(p)
			if p.Seq != v.seq {
				l.want.Store(true)
			}
		}
	}
	return nil
}

// lookAt leaves the store in peace for a while after a big one.
func (s *Stock) lookAt(ctx context.Context, l *ledger) {
	l.want.Store(false)
	mark, seen, began := l.mine.begin(), l.seen.Load(), time.Now()
	p, err := s.store.Look(ctx, l.name)
	took := time.Since(began)
	l.rest = began.Add(took + min(lookRest*took, longRest))
	switch {
	case errors.Is(err, ErrNotLoaded):
		s.freeze(l)
	case err == nil && p.Seq < seen:
		s.cutShort(l)
	case err != nil:
		l.want.Store(true)
	default:
		l.saw(p.Seq)
		l.install(p, mark)
	}
}

// Stats is what Stock knows of itself, for metrics.
type Stats struct {
	Ledgers map[string]Status
	Outbox  int // settles that wait for the store
}

// Status is one ledger's. Its Picture has no holders, and no items where the store does
// not know the ledger.
type Status struct {
	Picture
	Latched map[string]bool // by item: answered from memory
	Frozen  bool
}

// Pictures makes one call to the store. On an error the Stats are still true of what
// this gateway knows itself.
func (s *Stock) Pictures(ctx context.Context) (Stats, error) {
	all := *s.ledgers.Load()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	pictures, err := s.store.Pulse(ctx, names...)
	stats := Stats{Ledgers: make(map[string]Status, len(all)), Outbox: s.outbox.length()}
	for i, name := range names {
		l := all[name]
		status := Status{Frozen: l.frozen(), Latched: make(map[string]bool, len(l.items))}
		for item, t := range l.items {
			status.Latched[item] = t.probes.Load() == 0
		}
		if err == nil {
			status.Picture = pictures[i]
		}
		stats.Ledgers[name] = status
	}
	return stats, err
}

// Ready reports whether the store is, and every ledger is there.
func (s *Stock) Ready(ctx context.Context) error {
	if err := s.store.Ready(ctx); err != nil {
		return err
	}
	for name, l := range *s.ledgers.Load() {
		if l.frozen() {
			return fmt.Errorf("ledger %q: %w", name, ErrFrozen)
		}
	}
	return nil
}
