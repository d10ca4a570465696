// Package lease is the gate that asks whether an account runs too much, or asks too often,
// over all gateways together.
//
// Every gateway counts its own; what hot accounts do it tells the others about seven times a
// second, and hears from them. An account is hot that runs something, or that was charged at
// least twice before it had been quiet for as long as one charge takes to be paid and once
// more. Others' requests in flight count against Limits.Account.InFlight, others' charges
// against its rate (GCRA, as in limiter/rate). A gateway that tells nothing for a second
// counts no more, so one that dies locks nobody out. While the store is away each gateway
// counts for itself; nobody is refused because of that.
//
// It asks no store while a request waits, and so gives up exactness. What one gateway knows
// another hears within 400 ms and two round trips. With k gateways an account can get within
// that time what each of them gives: k times its cap in flight, and k bursts. What it was
// charged meanwhile is owed afterwards, so over any longer time it gets its rate and at most
// those k bursts. An account that stays below half of its rate at each gateway is told of by
// none, and gets up to k/2 times its rate. Where more than MostLeases accounts of a gateway
// are hot, those that were charged most are told of. On the other side a request that has
// ended elsewhere, and a charge, may count for as much longer.
//
// Accounts are told of by a keyed hash of sale and account, with a key that all gateways
// have and nobody else, so that nobody can aim at another's: two that meet by chance, one
// pair in 2⁶⁴, are counted as one.
package lease

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/dchest/siphash"

	"penstock/limiter/shared"
	"penstock/proxy/gate"
	"penstock/rules"
)

// retry is what a refused client is told: requests take about that long.
const retry = time.Second

// Store is what of shared.Store is used here.
type Store interface {
	Exchange(ctx context.Context, gateway string, mine []shared.Lease) (others []shared.Lease, err error)
}

// Gate is a gate.Gate. It hears of others while Run runs.
type Gate struct {
	store   Store
	gateway string
	report  func(error)
	k0, k1  uint64
	start   time.Time // all times below are counted from here
	stripes [stripes]stripe
	talk    talk
}

// New makes the gate of one gateway, which no other is named like. secret is the
// installation's; report, which may be nil, hears of the first failure of a row.
func New(s Store, gateway string, secret []byte, report func(error)) *Gate {
	if report == nil {
		report = func(error) {}
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("penstock: keys of leases"))
	sum := mac.Sum(nil)
	g := &Gate{
		store: s, gateway: gateway, report: report, start: time.Now(),
		k0: binary.LittleEndian.Uint64(sum), k1: binary.LittleEndian.Uint64(sum[8:]),
	}
	for i := range g.stripes {
		g.stripes[i].at = make(map[uint64]uint32)
	}
	return g
}

// limitOf is the account's limit; nil: nothing is counted. It depends on the facts alone, so
// Release finds what Admit found.
func limitOf(f *gate.Facts) *rules.Limit {
	if f.Sale == nil || f.Account == "" {
		return nil
	}
	l := &f.Sale.Limits.Account
	if l.InFlight == 0 && l.Every <= 0 {
		return nil
	}
	return l
}

// longest is of sale and account in one piece, for which no memory is taken.
const longest = 512

// key is never 0.
func (g *Gate) key(f *gate.Facts) uint64 {
	var room [longest]byte
	b := binary.LittleEndian.AppendUint32(room[:0], uint32(len(f.Sale.Name)))
	b = append(append(b, f.Sale.Name...), f.Account...)
	return siphash.Hash(g.k0, g.k1, b) | 1
}

func (g *Gate) stripe(key uint64) *stripe { return &g.stripes[key>>(64-stripeBits)] }

// Admit counts the request in, or refuses it as InFlight or RateLimited.
func (g *Gate) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	l := limitOf(f)
	if l == nil {
		return gate.Admit
	}
	key, now := g.key(f), max(0, f.At.Sub(g.start))
	s := g.stripe(key)
	s.Lock()
	defer s.Unlock()
	a := s.find(key)
	if a == nil {
		if a = s.add(key); a == nil {
			return gate.Admit // it is counted by its local limits
		}
	}
	if l.InFlight > 0 && int(a.running)+a.elsewhere(now) >= l.InFlight {
		return gate.Verdict{Reason: gate.InFlight, Retry: retry}
	}
	if l.Every > 0 {
		every, tolerance := terms(l)
		if wait := a.tat - now - tolerance; wait > 0 {
			return gate.Verdict{Reason: gate.RateLimited, Retry: wait}
		}
		a.charge(now, every)
	}
	a.running++
	return gate.Admit
}

// Release takes the request out of the count. What was charged stays so.
func (g *Gate) Release(f *gate.Facts, _ gate.End) {
	if limitOf(f) == nil {
		return
	}
	key := g.key(f)
	s := g.stripe(key)
	s.Lock()
	defer s.Unlock()
	if a := s.find(key); a != nil && a.running > 0 { // else there was no room for it
		a.running--
	}
}

// horizon is as good as never, and far enough from overflow.
const horizon = time.Duration(1 << 59)

// terms are GCRA's two parameters: the emission interval, and how far ahead of it a burst
// may run.
func terms(l *rules.Limit) (every, tolerance time.Duration) {
	every = min(l.Every, horizon)
	ahead := time.Duration(max(l.Burst, 1) - 1)
	if ahead > horizon/every {
		return every, horizon
	}
	return every, ahead * every
}
