// Package ban is the gate that asks whether an address or an account is banned: by an
// operator's hand, by another gateway, or by a list in a file.
//
// It looks things up and counts nothing; who is banned it is told whole (Told by a
// shared.Book, Use at a reload). What an account earns by what it does here is the ladder's.
// It holds nothing, waits for nothing and asks no store.
package ban

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"penstock/limiter/shared"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Gate is a gate.Gate. It admits everybody until it is told of somebody.
type Gate struct {
	hash   func(account string) uint64
	told   atomic.Pointer[index]
	listed atomic.Pointer[listed]
}

type listed struct {
	*index
	enforce bool
}

// New makes the gate. hash is the keyed hash under which accounts stand in the log of
// decisions, as a number; it is asked only where somebody is banned by it, and may be nil
// where nobody can be.
func New(hash func(account string) uint64) *Gate {
	g := &Gate{hash: hash}
	g.Told(nil)
	g.Use(rules.Bans{})
	return g
}

// Told has these bans count, and none that it was told of before. They are always enforced.
func (g *Gate) Told(bans []shared.Note) {
	next := newIndex()
	for i := range bans {
		n := &bans[i]
		until := noEnd
		if !n.Until.IsZero() {
			until = n.Until.UnixMilli()
		}
		if n.Subject.Network.IsValid() {
			next.networks = append(next.networks, network{n.Subject.Network, until})
		} else {
			next.account(n.Subject.Account, until)
		}
	}
	next.finish()
	g.told.Store(next)
}

// Use has the lists of b count, and none that were used before. Unless they are enforced
// they only say what they would have refused.
func (g *Gate) Use(b rules.Bans) {
	next := &listed{newIndex(), b.Enforce}
	if b.Listed != nil {
		for account := range b.Listed.Values {
			next.account(account, noEnd)
		}
		for _, p := range b.Listed.Networks {
			next.networks = append(next.networks, network{plain(p), noEnd})
		}
	}
	next.finish()
	g.listed.Store(next)
}

// plain is a network of IPv4 addresses written as IPv6 in its own form: Facts have no other.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// Admit refuses as Banned, until the last of the bans that meet the request ends.
func (g *Gate) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if f.Sale == nil {
		return gate.Admit
	}
	told, lists := g.told.Load(), g.listed.Load()
	if told.empty && lists.empty {
		return gate.Admit
	}
	var hash uint64
	if g.hash != nil && f.Account != "" && len(told.hashes)+len(lists.hashes) > 0 {
		hash = g.hash(f.Account)
	}
	now := f.At.UnixMilli()
	until := told.until(f, hash)
	if lists.until(f, hash) == noEnd {
		if !lists.enforce && until <= now {
			return gate.Verdict{Reason: gate.Admitted, Would: gate.Banned}
		}
		if lists.enforce {
			until = noEnd
		}
	}
	switch {
	case until <= now:
		return gate.Admit
	case until == noEnd:
		return gate.Verdict{Reason: gate.Banned}
	}
	return gate.Verdict{Reason: gate.Banned, Retry: time.Duration(min(until-now, mostRetry)) * time.Millisecond}
}

// mostRetry keeps a far end from overflow: 200 years, in ms.
const mostRetry = 200 * 365 * 24 * int64(time.Hour/time.Millisecond)

// Release has nothing to give back.
func (g *Gate) Release(*gate.Facts, gate.End) {}
