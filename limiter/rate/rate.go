// Package rate is the gate that asks whether an address, or an account, has asked too
// often. Each limit is one gate: a rate and a burst, counted by GCRA.
//
// It counts in a table that never grows, so it gives up exactness where more keys are
// in debt at once than the table has room for, and then errs on the strict side: a key
// that was forgotten does not come back with a clean slate. Limits of several sales
// share the table. It does not count over several gateways, does not queue, and does
// not make anybody wait longer for having been refused.
package rate

import (
	"context"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Keys is a table size that fits most shops: a million keys in 20 MB.
const Keys = 1 << 20

// ByIP returns the gate for Limits.IP, with room for about so many addresses.
func ByIP(keys int) gate.Gate { return newLimiter(keys, false) }

// ByAccount returns the gate for Limits.Account, with room for about so many accounts.
// Requests without one are admitted: that is another gate's business.
func ByAccount(keys int) gate.Gate { return newLimiter(keys, true) }

type limiter struct {
	byAccount bool
	start     time.Time // times in the table are counted from here, by the monotonic clock
	table     table
}

func newLimiter(keys int, byAccount bool) *limiter {
	return &limiter{byAccount: byAccount, start: time.Now(), table: newTable(keys)}
}

// Admit charges the request to its key, or answers RateLimited with the time until the
// key's next slot and charges nothing.
func (l *limiter) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if f.Sale == nil || l.byAccount && f.Account == "" {
		return gate.Admit
	}
	limit := &f.Sale.Limits.IP
	if l.byAccount {
		limit = &f.Sale.Limits.Account
	}
	if limit.Every <= 0 {
		return gate.Admit
	}
	every, tolerance := terms(limit)
	now := max(0, f.At.Sub(l.start)) // one clock reading older than the gate is as good as the first
	if wait := l.table.take(l.key(f), now, every, tolerance); wait > 0 {
		return gate.Verdict{Reason: gate.RateLimited, Retry: wait}
	}
	return gate.Admit
}

// Release has nothing to give back: what was asked has been asked.
func (l *limiter) Release(*gate.Facts, gate.End) {}

// key is never 0: that is an empty way.
func (l *limiter) key(f *gate.Facts) uint64 {
	if l.byAccount {
		return f.HashAccount() | 1
	}
	return f.HashIP() | 1
}

// horizon is as good as never, and far enough from overflow.
const horizon = time.Duration(1 << 61)

// terms are GCRA's two parameters: the emission interval, and how far ahead of it a
// burst may run.
func terms(l *rules.Limit) (every, tolerance time.Duration) {
	every = min(l.Every, horizon)
	ahead := time.Duration(max(l.Burst, 1) - 1)
	if ahead > horizon/every {
		return every, horizon
	}
	return every, ahead * every
}
