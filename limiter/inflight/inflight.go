// Package inflight is the gate that caps how many requests of one address, or of one
// account, run at the same time on this gateway.
//
// Counters exist only while something runs, so memory is bounded by the requests in
// flight. Two keys with the same 64-bit hash share a counter; hashes are seeded per
// process, so nobody can aim at that. It does not count over several gateways.
package inflight

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"penstock/proxy/gate"
)

// retry is what a refused client is told: requests take about that long.
const retry = time.Second

// stripes spreads the locks; a power of two.
const stripes = 64

// ByIP caps requests per address; an IPv6 address counts as its /64.
func ByIP() gate.Gate { return newCounter(false) }

// ByAccount caps requests per account; without one nothing is counted.
func ByAccount() gate.Gate { return newCounter(true) }

type counter struct {
	byAccount bool
	seed      maphash.Seed
	stripes   [stripes]stripe
}

type stripe struct {
	sync.Mutex
	running map[uint64]int
	_       [48]byte // no two locks on one cache line
}

func newCounter(byAccount bool) *counter {
	c := &counter{byAccount: byAccount, seed: maphash.MakeSeed()}
	for i := range c.stripes {
		c.stripes[i].running = map[uint64]int{}
	}
	return c
}

// Admit counts the request, or refuses it as InFlight.
func (c *counter) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	most := c.most(f)
	if most == 0 {
		return gate.Admit
	}
	key := c.key(f)
	s := &c.stripes[key%stripes]
	s.Lock()
	defer s.Unlock()
	if s.running[key] >= most {
		return gate.Verdict{Reason: gate.InFlight, Retry: retry}
	}
	s.running[key]++
	return gate.Admit
}

// Release takes the request off the count.
func (c *counter) Release(f *gate.Facts, _ gate.End) {
	if c.most(f) == 0 {
		return
	}
	key := c.key(f)
	s := &c.stripes[key%stripes]
	s.Lock()
	defer s.Unlock()
	if s.running[key]--; s.running[key] == 0 {
		delete(s.running, key)
	}
}

// most is the cap for this request; 0: none, and then nothing is counted. It depends
// only on the facts, so Release finds what Admit found, whatever was reloaded between.
func (c *counter) most(f *gate.Facts) int {
	switch {
	case f.Sale == nil:
		return 0
	case !c.byAccount:
		return f.Sale.Limits.IP.InFlight
	case f.Account == "":
		return 0
	}
	return f.Sale.Limits.Account.InFlight
}

func (c *counter) key(f *gate.Facts) uint64 {
	type subject struct{ sale, account string }
	if c.byAccount {
		return maphash.Comparable(c.seed, subject{f.Sale.Name, f.Account})
	}
	type address struct {
		sale string
		ip   [16]byte
	}
	return maphash.Comparable(c.seed, address{f.Sale.Name, f.Subject().As16()})
}
