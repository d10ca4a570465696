package mine

// What is held against an account, and with how many points: all of it is here, for it is
// what support people will be asked about. Points add up to a score of at most 100.
//
// No habit that honest people may have reaches Threshold by itself: not pressing early, not a
// page that asks again by itself, not an office's or a phone network's shared address. A ring
// that is no chance comes near it, and passes it with any habit of a machine or from about
// 40 accounts on.

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"penstock/proxy/gate"
)

// Threshold is the score from which on a list names an account.
const Threshold = 60

const (
	reactionPoints = 25 // first ask under machineFast after the opening, in half of the sales or more
	onceFastPoints = 12 // the same, in fewer
	nearlyPoints   = 12 // under early, as an eighth of people, in half of the sales or more
	movedPoints    = 30 // first ask under moving after the opening, from another network than before, likewise
	steadyPoints   = 25 // intervals that vary by under 5 %
	evenPoints     = 15 // intervals that vary by under 10 %, or nine of ten the same: a page that asks by itself does this too
	pacePoints     = 20 // more than half of at least 20 intervals under 150 ms: faster than fingers
	noPagePoints   = 22 // never looked at a page, in sales where others do
	bannedPoints   = 40 // refused as banned: the gateway was sure enough, or a person was
	deafPoints     = 50 // the same ten times or more: it asks on
	ignoredPoints  = 30 // five challenges or more that were never solved
	puzzledPoints  = 8  // fewer
	limitedPoints  = 10 // most of at least 20 asks refused for coming too fast
	hopPoints      = 20 // five networks or more, and another address with every third ask
	switchPoints   = 10 // the same with three addresses
	crowdPoints    = 3  // an address that 50 other accounts use; a phone network's is such a one
	earlyPoints    = 10 // 30 asks or more before the opening

	strongRing = 45 // a ring by the opening or by moments, of five accounts; more by size
	soonRing   = 60 // by a place where more asked early than people do
	bareRing   = 35 // by a place where many never looked: that counts as well, for each, and together is no proof
	poolRing   = 30 // by a pool of addresses: some phone networks look like this
	shareRing  = 20 // by sharing several addresses: families do, but not of five
	ringGrowth = 5  // for each doubling of a strong ring, up to ringMost
	ringMost   = 15
	smallRing  = 10 // of three or four accounts
)

const machineFast = 180_000 // µs: people need 200 ms and more from seeing to pressing

// machine reports a reaction that was a machine's. Whoever asks all the time anyway reacts to
// nothing: that one of its asks falls behind the opening is chance.
func machine(s *Seen) bool {
	return s.First >= 0 && s.First < machineFast && !restless(s)
}

func restless(s *Seen) bool { return s.Lead >= 0 && s.Lead <= 2_000_000 }

// hops reports whether an account changes its address as people do not.
func hops(s *Seen) bool { return s.Addresses >= 3 && s.Switches >= 3 && s.Switches*3 >= s.Asks }

// verdict is a score and its reasons, the heaviest first.
type verdict struct {
	points  int
	reasons []reason
}

type reason struct {
	points int
	say    string
}

func (v *verdict) add(points int, format string, args ...any) {
	v.points += points
	v.reasons = append(v.reasons, reason{points, fmt.Sprintf(format, args...)})
}

func (v *verdict) score() int { return min(v.points, 100) }

// String is the reasons in one line.
func (v *verdict) String() string {
	slices.SortStableFunc(v.reasons, func(a, b reason) int { return cmp.Compare(b.points, a.points) })
	var said []string
	for _, r := range v.reasons {
		said = append(said, r.say)
	}
	return strings.Join(said, "; ")
}

// standing is what is known of an account beside what it did itself.
type standing struct {
	ring      *Ring // nil: none
	neighbour int   // accounts at its fullest address, itself included
	pages     bool  // of its sales, one had people look at pages
	hops      bool  // in one of its sales
}

// weigh judges what an account did in all sales together.
func weigh(s *Seen, k standing) (v verdict) {
	v.ring(k.ring)
	v.speed(s)
	v.rhythm(s)
	v.manners(s, k)
	v.addresses(s, k)
	return v
}

func (v *verdict) ring(r *Ring) {
	if r == nil {
		return
	}
	points := smallRing
	if r.Accounts >= 5 {
		switch {
		case r.Soon:
			points = soonRing
		case r.Bare && !r.Opening && !r.Moments:
			points = bareRing
		case r.Opening || r.Moments:
			points = strongRing + min(ringMost, int(ringGrowth*math.Log2(float64(r.Accounts)/5)))
		case r.Pool:
			points = poolRing
		default:
			points = shareRing
		}
	}
	switch {
	case r.Soon && r.At != "" && r.cohort.kind == bySoon:
		v.add(points, "one of %d accounts, %d of them from %s and asked first within %d ms of the opening: more than people do", r.Accounts, r.Most, r.At, early/1000)
	case r.Bare && r.At != "" && r.cohort.kind == byBare:
		v.add(points, "one of %d accounts, %d of them at %s and without a look at the product page", r.Accounts, r.Most, r.At)
	case r.Opening && r.At != "":
		v.add(points, "one of %d accounts, %d of them at %s and all asked within %.0f ms of each other, %.0f ms after the opening", r.Accounts, r.Most, r.At, math.Ceil(r.Within), r.From)
	case r.Moments:
		v.add(points, "one of %d accounts that ask at the same moments again and again", r.Accounts)
	case r.Pool:
		v.add(points, "one of %d accounts that rotate over the same %d addresses", r.Accounts, r.Addresses)
	default:
		v.add(points, "one of %d accounts that share several addresses with nobody else", r.Accounts)
	}
}

func (v *verdict) speed(s *Seen) {
	switch {
	case s.Rapid > 0 && s.Rapid*2 >= s.Sales:
		v.add(reactionPoints, "asked %.0f ms after the opening", float64(s.First)/1000)
	case s.Rapid > 0:
		v.add(onceFastPoints, "asked %.0f ms after the opening, in %d of %d sales", float64(s.First)/1000, s.Rapid, s.Sales)
	}
	if s.Nearly*2 >= max(s.Sales, 1) && s.Rapid == 0 {
		v.add(nearlyPoints, "asked %.0f ms after the opening, as few people do", float64(s.First)/1000)
	}
	if s.Moved*2 >= max(s.Sales, 1) {
		v.add(movedPoints, "asked within %d ms of the opening, from another network than before", moving/1000)
	}
	if s.Gaps >= 20 && s.Quick*2 > s.Gaps {
		v.add(pacePoints, "%d of %d asks came within 150 ms of the one before", s.Quick, s.Gaps+1)
	}
	if s.Early >= 30 {
		v.add(earlyPoints, "asked %d times before the opening", s.Early)
	}
}

func (v *verdict) rhythm(s *Seen) {
	if s.Gaps < 10 || s.Mean <= 0 {
		return
	}
	switch {
	case s.CV < .05:
		v.add(steadyPoints, "asked every %.0f ms, steady to %.1f %%", s.Mean/1000, s.CV*100)
	case s.CV < .1 || s.Even >= .9:
		v.add(evenPoints, "asked every %.0f ms, %.0f %% of the time", float64(s.Beat)/1000, s.Even*100)
	}
}

func (v *verdict) manners(s *Seen, k standing) {
	if k.pages && s.LooksBefore == 0 && s.Asks > 0 {
		v.add(noPagePoints, "never looked at the product page")
	}
	switch n := s.Refusals[gate.Banned]; { // a ban is often for challenges that were ignored: both count once
	case n >= 10:
		v.add(deafPoints, "refused as banned %d times, and asked on", n)
	case n > 0:
		v.add(bannedPoints, "refused as banned, %d times", n)
	case s.Solved == 0 && s.Ignored >= 5:
		v.add(ignoredPoints, "ignored %d challenges", s.Ignored)
	case s.Solved == 0 && s.Ignored >= 1:
		v.add(puzzledPoints, "left %d challenges unsolved", s.Ignored)
	}
	if n := s.Refusals[gate.RateLimited] + s.Refusals[gate.InFlight]; n >= 20 && n*2 > s.Asks {
		v.add(limitedPoints, "refused %d times of %d for asking too fast", n, s.Asks)
	}
}

func (v *verdict) addresses(s *Seen, k standing) {
	switch {
	case k.hops && s.Networks >= 5:
		v.add(hopPoints, "%d addresses in %d networks, changed %d times", s.Addresses, s.Networks, s.Switches)
	case k.hops:
		v.add(switchPoints, "%d addresses, changed %d times", s.Addresses, s.Switches)
	}
	if k.neighbour > 50 {
		v.add(crowdPoints, "an address with %d accounts", k.neighbour)
	}
}
