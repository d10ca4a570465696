package main

// Who might still ask the store: everybody who is connected, but for requests that are
// known to be no sale's; and whoever holds a unit, also when nobody waits for that answer
// any more. When nobody is left the store can be given away.

import (
	"context"
	"sync/atomic"

	"penstock/proxy/gate"
)

// counted counts who is past a gate: requests of sales, or all others.
type counted struct {
	gate.Gate
	sales bool
	n     atomic.Int64
}

// Admit asks the gate.
func (c *counted) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	v := c.Gate.Admit(ctx, f)
	if v.OK() && (f.Sale != nil) == c.sales {
		c.n.Add(1)
	}
	return v
}

// Release counts back.
func (c *counted) Release(f *gate.Facts, e gate.End) {
	c.Gate.Release(f, e)
	if (f.Sale != nil) == c.sales {
		c.n.Add(-1)
	}
}

// census counts at the first gate, which every request passes, and at the stock's.
type census struct{ others, holders *counted }

// asking is how many may still ask the store, where open counts the connections on which
// anything can still be asked. It may be too high for a moment, never too low.
func (c *census) asking(open func() int) int64 {
	n := int64(open()) // first: who ends meanwhile must not be taken off twice
	n -= c.others.n.Load()
	if c.holders != nil {
		n += c.holders.n.Load()
	}
	return n
}
