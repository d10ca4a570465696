// Package behaviour scores, from 0 to 100, how little an account's requests look like a
// person's. It is a ladder.Scorer: what it keeps of an account lies in the ladder's own record
// of it, 24 bytes, and goes when that goes.
//
// Each rule of rules.Behaviour gives its points whole or not at all, but that asking nearly as
// soon after the opening as nobody can is worth half of Reaction; and each has its reason in
// words. None is proof: people reload at the very second, work where everyone shares an address,
// and travel. So the points are added, and what they lead to is the ladder's business.
//
// What honest people do that must not count: they obey our Retry-After, which is spread by up to
// half of it or two seconds, whichever is less, and so is never as even as what is asked for
// here; they move between the network at home and that of one mobile carrier, so two networks
// are nothing, but for the moment of the opening, when few have just moved; they have no account
// yet, only our visitor's cookie ("v:"), and may have looked at the page before they had that.
//
// It does not know what was asked of other gateways, or what a page view was worth.
package behaviour

import (
	"fmt"
	"strings"
	"time"

	"penstock/limiter/ladder"
	"penstock/limiter/ladder/distinct"
	"penstock/limiter/ladder/memory"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Networks is how many networks with accounts that move are remembered, about 300 bytes each.
const Networks = 1 << 14

// Score judges accounts.
type Score struct {
	rings *memory.Table[distinct.Set] // by network: the accounts that come from several and from there
}

// New makes a Score that has seen nothing.
func New() *Score {
	return &Score{rings: memory.NewTable[distinct.Set](Networks, nil, nil)}
}

const (
	rotates   = 3  // networks from which on an account is one that rotates
	company   = 2  // others that rotate make a network one of a ring
	quickly   = 2  // times Fastest after the opening until people ask in numbers
	early     = 3  // and until when those who have moved since they looked are few
	crowd     = 20 // accounts that make an address shared, where the ladder has no step for it
	most      = 100
	visitor   = "v:"
	openedFor = 10 * time.Second // after which nobody can ask soon after the opening any more
)

// Asked notes a request and says how many points its account has now.
func (s *Score) Asked(f *gate.Facts, seen ladder.Seen, notes *ladder.Notes) (points int) {
	b := f.Sale.Behaviour
	if b == nil {
		return 0
	}
	n := load(notes)
	n.asked(f, seen.Elsewhere)
	if b.Ring > 0 && seen.Networks >= rotates {
		s.rotated(f, seen, &n)
	}
	n.store(notes)
	n.rings = s.inRings(f, seen)
	each(f, seen, &n, func(p int, _ rule) { points += p })
	return min(points, most)
}

// rotated notes an account at each of its networks, once in a pane, and when there is one more.
func (s *Score) rotated(f *gate.Facts, seen ladder.Seen, n *note) {
	pane, nets := pane(f), uint8(min(seen.Networks, 255))
	if n.pane == uint8(pane) && n.nets == nets {
		return
	}
	n.pane, n.nets = uint8(pane), nets
	for _, network := range seen.From {
		if network == 0 {
			continue
		}
		h := s.rings.Take(key(network), 0)
		h.V.Add(f.HashAccount(), false, pane)
		h.Free()
	}
}

// inRings is how many of an account's networks others rotate through as well, by now.
func (s *Score) inRings(f *gate.Facts, seen ladder.Seen) (rings int) {
	if seen.Networks < rotates || f.Sale.Behaviour.Ring == 0 {
		return 0
	}
	for _, network := range seen.From {
		if network == 0 {
			continue
		}
		h := s.rings.Look(key(network), 0)
		if h.V != nil {
			set := *h.V // a copy: asking changes nothing
			if all, _ := set.Count(pane(f)); all > company {
				rings++
			}
		}
		h.Free()
	}
	return rings
}

func key(network uint32) uint64 { return uint64(network) << 32 }

// pane is the quarter of a window.
func pane(f *gate.Facts) uint32 {
	window := max(f.Sale.Ladder.Window, time.Second)
	return uint32(f.At.UnixNano() / int64(window/distinct.Panes))
}

// rule is one of rules.Behaviour.
type rule uint8

const (
	reaction rule = iota
	nearly
	atOpening
	regular
	noPage
	shared
	together
	moved
	ring
)

// each calls found for every rule that the account meets.
func each(f *gate.Facts, seen ladder.Seen, n *note, found func(points int, by rule)) {
	b := f.Sale.Behaviour
	if since := f.At.Sub(f.Sale.Opens); since >= 0 && since < max(f.Sale.Ladder.Window, openedFor) {
		switch {
		case b.Reaction == 0 || n.sooner == 0:
		case n.atOnce > 1:
			found(b.Reaction, atOpening)
		case time.Duration(n.sooner-1)*time.Millisecond < b.Fastest:
			found(b.Reaction, reaction)
		default:
			found(b.Reaction/2, nearly)
		}
		if b.Moved > 0 && n.moved {
			found(b.Moved, moved)
		}
	}
	if b.Regular > 0 && n.regular() {
		found(b.Regular, regular)
	}
	if b.NoPage > 0 && b.Page != "" && !seen.Looked && !strings.HasPrefix(f.Account, visitor) {
		found(b.NoPage, noPage)
	}
	if b.Shared > 0 && seen.Accounts >= crowded(f.Sale.Ladder.Accounts) {
		found(b.Shared, shared)
	}
	if b.Together > 0 && seen.Together > 0 {
		found(b.Together, together)
	}
	if b.Ring > 0 && n.rings >= rotates {
		found(b.Ring, ring)
	}
}

// crowded is how many accounts are many: the lowest step of the ladder that there is.
func crowded(s rules.Steps) int {
	for _, n := range []int{s.Observe, s.Challenge, s.Ban} {
		if n > 0 {
			return n
		}
	}
	return crowd
}

// Explain says what the points are for.
func (s *Score) Explain(f *gate.Facts, seen ladder.Seen, notes *ladder.Notes) (why []ladder.Point) {
	if f.Sale.Behaviour == nil {
		return nil
	}
	n := load(notes)
	n.rings = s.inRings(f, seen)
	each(f, seen, &n, func(points int, by rule) {
		why = append(why, ladder.Point{Points: points, Why: words(by, f, seen, &n)})
	})
	return why
}

func words(by rule, f *gate.Facts, seen ladder.Seen, n *note) string {
	switch by {
	case reaction:
		return fmt.Sprintf("asked %d ms after the opening", n.sooner-1)
	case nearly:
		return fmt.Sprintf("asked %d ms after the opening, as few people do: half the points", n.sooner-1)
	case atOpening:
		return fmt.Sprintf("asked %d times within %v of the opening, first after %d ms", n.atOnce, f.Sale.Behaviour.Fastest, n.sooner-1)
	case regular:
		return fmt.Sprintf("asks every %d ms, as evenly as a clock", int(n.mean))
	case noPage:
		return fmt.Sprintf("never looked at %s", f.Sale.Behaviour.Page)
	case shared:
		return fmt.Sprintf("its address has %d accounts that nothing vouches for", seen.Accounts)
	case together:
		return fmt.Sprintf("%d accounts of its address or network first asked together, sooner after the opening than so many people do", seen.Together)
	case moved:
		return fmt.Sprintf("asked within %v of the opening, from another network than before", early*f.Sale.Behaviour.Fastest)
	}
	return fmt.Sprintf("came from %d networks that other accounts rotate through as well", n.rings)
}
