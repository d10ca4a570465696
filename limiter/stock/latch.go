package stock

import (
	"context"
	"sync/atomic"

	"penstock/limiter/stock/guard"
	"penstock/proxy/gate"
	"penstock/rules"
)

// probesMin is how many requests go to the store at least when units have come back to a
// latched item, so that one unit does not let the whole crowd loose, and one lost probe
// does not waste it.
const probesMin = 4

// latch is one item's. probes is how many requests may still go to the store before it
// answers again; open: any number.
type latch struct {
	probes  atomic.Int64
	pending atomic.Bool // units may come back, or are there for those who probe

	mark atomic.Int64 // so few free units are the sign to look
}

// firstLook is the share of an item that is left when its holders are looked at first, and
// then whenever half of the rest has gone. So the look that latches has little to read, and
// few are still sent to the store for nothing while it reads.
const firstLook = 8

const open = -1

func newLatch() *latch {
	t := &latch{}
	t.probes.Store(open)
	return t
}

// glance notes whether "sold out" is final: units that are held for good are. Units that
// came back move the mark up again.
func (t *latch) glance(c Counts, unknown rules.Unknown) {
	t.pending.Store(c.Free > 0 || c.Pending() > 0 || c.Held > 0 && unknown != rules.Keep)
	up := int64(min(c.Free/2, c.Loaded/firstLook))
	if old := t.mark.Load(); up > old {
		t.mark.CompareAndSwap(old, up)
	}
}

// halved reports, to one who asks, that half of what was free at the last mark is gone.
func (t *latch) halved(free int) bool {
	for {
		old := t.mark.Load()
		if int64(free) > old {
			return false
		}
		next := int64(free / 2)
		if free <= 0 {
			next = -1
		}
		if t.mark.CompareAndSwap(old, next) {
			return true
		}
	}
}

// close sends nobody to the store any more.
func (t *latch) close() { t.probes.Store(0) }

// allow makes room for probes where units are free again, or still.
func (t *latch) allow(free int) {
	if t == nil || free <= 0 || t.probes.Load() == open {
		return
	}
	if guard.Off("latch bound") {
		t.probes.Store(open)
		return
	}
	t.probes.Store(int64(max(probesMin, 2*free)))
}

// probe reports whether one more request may go to the store.
func (t *latch) probe() bool {
	for {
		n := t.probes.Load()
		if n == 0 {
			return false
		}
		if n == open || t.probes.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// SoldOut is the gate that refuses from memory: no store, no allocation.
func (s *Stock) SoldOut() gate.Gate { return latched{s} }

type latched struct{ *Stock }

// Admit lets orders of what was reserved before pass: they want nothing new.
func (g latched) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	st, v := sells(f)
	if st == nil || f.Order {
		if f.Order {
			return gate.Admit
		}
		return v
	}
	l := g.ledger(st.Ledger)
	if l == nil {
		return gate.Admit
	}
	t := l.item(f.Item)
	state := State(l.state.Load())
	if t == nil || t.probes.Load() == open && state != Paused && state != Closed {
		return gate.Admit
	}
	h := l.holders.get(f.Account)
	switch {
	case h.Open:
		return gate.Verdict{Reason: gate.OrderPending}
	case h.Bought >= l.terms.Load().PerAccount:
		return gate.Verdict{Reason: gate.AlreadyBought}
	case state == Paused:
		return gate.Verdict{Reason: gate.Paused, Retry: retryPaused}
	case state == Closed:
		return gate.Verdict{Reason: gate.Closed}
	case t.probe():
		return gate.Admit
	case h.Bought > 0:
		return gate.Verdict{Reason: gate.AlreadyBought}
	}
	return soldOut(t.pending.Load())
}

func (latched) Release(*gate.Facts, gate.End) {}
