// Package eligible is the gate that asks whether an account may take part: whether what is
// known of it is what the sale's terms say it must be.
//
// Some of it stands in the head of the request, some in files, and some in Redis. No
// request makes a trip for the last: whole copies are kept in memory (copies.go), so what
// they say is as old as their last reading. When in doubt the gate refuses: an attribute
// that is missing or cannot be read fails its term, and a copy that has never been read
// whole fails all who ask. It does not know where an account comes from, holds nothing,
// and keeps nothing of anybody.
package eligible

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Gate is the gate of Sale.Require.
type Gate struct {
	copies *Copies
	hash   func(account string) string

	plans  atomic.Pointer[map[*rules.Sale]*plan]
	mu     sync.Mutex // for making plans, and guards counts
	counts map[named]*count
}

// New makes the gate. hash names an account, with its letter, in 16 hex digits, as it is
// named in decisions; it is only called where a list has hashes in it.
func New(copies *Copies, hash func(account string) string) *Gate {
	g := &Gate{copies: copies, hash: hash, counts: map[named]*count{}}
	g.plans.Store(&map[*rules.Sale]*plan{})
	return g
}

// Use makes ready for the terms of these sales, and has copies made of what they ask for.
// It comes before the first request of theirs, and may be called at any time.
func (g *Gate) Use(sales []*rules.Sale) {
	g.copies.use(sales)
	g.mu.Lock()
	defer g.mu.Unlock()
	plans := make(map[*rules.Sale]*plan, len(sales))
	for _, s := range sales {
		plans[s] = g.makeLocked(s)
	}
	g.plans.Store(&plans)
}

// Admit answers NotEligible where a term does not hold, and StoreUnavailable where nobody
// knows yet and no other term fails for good. Terms that only watch say so in Would.
func (g *Gate) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if f.Sale == nil || len(f.Sale.Require.Terms) == 0 {
		return gate.Admit
	}
	terms := g.plan(f.Sale).terms
	var unread *term
	for i := range terms {
		t := &terms[i]
		switch g.holds(t, i, f) {
		case yes:
		case unknown:
			if unread == nil {
				unread = t
			}
		default:
			t.count.refused.Add(1)
			return said(f.Sale, gate.Verdict{Reason: gate.NotEligible})
		}
	}
	if unread != nil {
		unread.count.unread.Add(1)
		return said(f.Sale, gate.Verdict{Reason: gate.StoreUnavailable, Retry: 2 * again, Err: unread.copy.unread})
	}
	return gate.Admit
}

// Release has nothing to give back.
func (g *Gate) Release(*gate.Facts, gate.End) {}

// said is a refusal, or where the terms only watch, what it would have been.
func said(s *rules.Sale, v gate.Verdict) gate.Verdict {
	if s.Require.Enforce {
		return v
	}
	return gate.Verdict{Reason: gate.Admitted, Would: v.Reason}
}

// plan is a sale's terms, with what they need at hand.
type plan struct{ terms []term }

type term struct {
	*rules.Term
	copy  *held               // of what stands elsewhere
	words map[string]struct{} // with OneOf of many
	bare  bool                // some names of its list stand there without the letter of a source
	count *count
}

// fewWords are sooner compared than looked up.
const fewWords = 8

// plan makes one for a sale that Use has not named, or names no more: a request under way
// keeps the rules it began with.
func (g *Gate) plan(s *rules.Sale) *plan {
	if p := (*g.plans.Load())[s]; p != nil {
		return p
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	plans := maps.Clone(*g.plans.Load())
	p := g.makeLocked(s)
	plans[s] = p
	g.plans.Store(&plans)
	return p
}

func (g *Gate) makeLocked(s *rules.Sale) *plan {
	p := &plan{terms: make([]term, len(s.Require.Terms))}
	for i := range p.terms {
		t := &p.terms[i]
		t.Term = &s.Require.Terms[i]
		switch t.From.Kind {
		case rules.SaidByHeader, rules.SaidByJWT, rules.InList:
		default: // what nobody knows is a copy that is never read
			t.copy = g.copies.find(&t.From)
		}
		if l := t.From.List; l != nil {
			for name := range l.Values {
				t.bare = t.bare || !exact(name)
			}
		}
		if t.Must == rules.OneOf && len(t.Words) > fewWords {
			t.words = make(map[string]struct{}, len(t.Words))
			for _, w := range t.Words {
				t.words[w] = struct{}{}
			}
		}
		key := named{s.Name, t.Name}
		if g.counts[key] == nil {
			g.counts[key] = &count{}
		}
		t.count = g.counts[key]
	}
	return p
}

type named struct{ sale, term string }

type count struct{ refused, unread atomic.Uint64 }

// Stat is what one term of a sale has done since the start, over all reloads. A request is
// counted at the first term that fails it, also where it only watches.
type Stat struct {
	Sale, Term string
	Refused    uint64 // requests that it said no to
	Unread     uint64 // requests that it could not judge yet
}

// Stats is in no order.
func (g *Gate) Stats() []Stat {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Stat, 0, len(g.counts))
	for k, c := range g.counts {
		all = append(all, Stat{k.sale, k.term, c.refused.Load(), c.unread.Load()})
	}
	return all
}

// again is the pause after a reading that failed.
const again = time.Second
