// Package soak is the randomized fault suite of the stock gates and their stores. It has
// nothing but this count of what was done; all else is in its tests.
//
// One seed is one world: gateways before one store, shoppers before the gateways, a shop
// behind them whose own list of orders is the judge, and faults. A seed fixes what is
// tried and when, not how goroutines meet, so a failing one may need a few runs to fail
// again. It does not measure speed.
package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Tally counts over many worlds. The zero Tally is ready.
type Tally struct {
	mu       sync.Mutex
	seeds    []uint64
	faults   map[string]int
	counts   map[string]int
	failures []uint64
}

// Fault notes one that was injected.
func (t *Tally) Fault(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults == nil {
		t.faults = make(map[string]int)
	}
	t.faults[kind]++
}

// Count adds to a number of the table.
func (t *Tally) Count(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	t.counts[what] += n
}

// Seed notes that a world is over.
func (t *Tally) Seed(seed uint64, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds = append(t.seeds, seed)
	if failed {
		t.failures = append(t.failures, seed)
	}
}

// String is the table.
func (t *Tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	all := 0
	for _, n := range t.faults {
		all += n
	}
	fmt.Fprintf(&b, "%-28s %8d\n%-28s %8d\n", "seeds", len(t.seeds), "faults", all)
	for _, kind := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(&b, "  %-26s %8d\n", kind, t.faults[kind])
	}
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(&b, "%-28s %8d\n", what, t.counts[what])
	}
	fmt.Fprintf(&b, "%-28s %8d %v\n", "failed seeds", len(t.failures), t.failures)
	return b.String()
}
