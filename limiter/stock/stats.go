package stock

import (
	"context"
	"fmt"
)

// Stats is what Stock knows of itself, for metrics.
type Stats struct {
	Ledgers map[string]Status
	Outbox  int  // settles that wait for the store
	Broken  bool // the store has failed so often that it is not asked
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
	stats := Stats{Ledgers: make(map[string]Status, len(all)), Outbox: s.outbox.length(), Broken: s.breaker.open()}
	for i, name := range names {
		l := all[name]
		status := Status{Frozen: l.frozen(), Latched: make(map[string]bool)}
		for item, t := range *l.items.Load() {
			status.Latched[item] = t.probes.Load() == 0
		}
		if err == nil {
			status.Picture = pictures[i]
		}
		stats.Ledgers[name] = status
	}
	return stats, err
}

// Latched reports whether an item is answered as sold out from memory.
func (s *Stock) Latched(ledger, item string) bool {
	l := s.ledger(ledger)
	return l != nil && l.item(item) != nil && l.item(item).probes.Load() == 0
}

// Ready reports whether the store is, and every ledger is there.
func (s *Stock) Ready(ctx context.Context) error {
	if err := s.store.Ready(ctx); err != nil {
		return err
	}
	for name, l := range *s.ledgers.Load() {
		if l.frozen() && l.ice.Load() != archived {
			return fmt.Errorf("ledger %q: %w", name, ErrFrozen)
		}
	}
	return nil
}
