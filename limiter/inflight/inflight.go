// Package inflight is the gate that caps how many requests of one address, or of one
// account, run at the same time on this gateway.
//
// Counters exist only while something runs, so memory is bounded by the requests in
// flight. Two keys with the same 64-bit hash share a counter; hashes are seeded per
// process, so nobody can aim at that. It does not count over several gateways.
package inflight

import (
	"context"
	"sync"
	"time"

	"penstock/proxy/gate"
)

// retry is what a refused client is told: requests take about that long.
const retry = time.Second

// stripes spreads the locks and keeps the rows short; a power of two.
const stripes = 1024

// ByIP caps requests per address; an IPv6 address counts as its /64.
func ByIP() gate.Gate { return newCounter(false) }

// ByAccount caps requests per account; without one nothing is counted.
func ByAccount() gate.Gate { return newCounter(true) }

type counter struct {
	byAccount bool
	stripes   [stripes]stripe
}

// stripe is a short row of keys that have something running. A row is searched from
// end to end: a few entries in one place are found faster than in a map, and cost
// nothing to put in and take out.
type stripe struct {
	sync.Mutex
	running []running
	_       [32]byte // no two locks on one cache line
}

type running struct {
	key uint64
	n   int
}

// at finds the key's entry; -1: nothing of it is running.
func (s *stripe) at(key uint64) int {
	for i := range s.running {
		if s.running[i].key == key {
			return i
		}
	}
	return -1
}

func newCounter(byAccount bool) *counter {
	return &counter{byAccount: byAccount}
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
	i := s.at(key)
	switch {
	case i < 0:
		s.running = append(s.running, running{key, 1})
	case s.running[i].n >= most:
		return gate.Verdict{Reason: gate.InFlight, Retry: retry}
	default:
		s.running[i].n++
	}
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
	i := s.at(key)
	if s.running[i].n--; s.running[i].n == 0 {
		last := len(s.running) - 1
		s.running[i] = s.running[last]
		s.running = s.running[:last]
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
	if c.byAccount {
		return f.HashAccount()
	}
	return f.HashIP()
}
