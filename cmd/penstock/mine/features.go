package mine

// What one account did, told from its requests in the order of time. Every request is seen;
// room per account is fixed but for its addresses, of which the first 65 536 are told apart.

import (
	"math"
	"math/bits"
	"slices"
	"sort"

	"penstock/proxy/gate"
)

// Seen is what one account did in one sale, or in all of them together. An ask is a request
// to buy or to order. Times are µs.
type Seen struct {
	Asks, Looks  uint32
	Refusals     [64]uint32 // asks by what they were told
	Watched      uint32     // asks that a rule which only watches would have refused
	Wins         uint32
	Early        uint32 // asks before the opening
	LooksBefore  uint32 // pages looked at before the first ask
	First        int64  // from the opening to the first ask after it; -1: none, or no opening is known
	Lead         int64  // from the last ask before the opening to First; -1: none
	Gaps         uint32 // intervals between asks
	Quick        uint32 // of them, under 150 ms
	Mean, CV     float64
	Even         float64 // of the intervals, the share that is the commonest within about 3 %
	Beat         int64   // the commonest interval
	Addresses    uint32
	Networks     uint32
	Switches     uint32 // asks from another address than the ask before
	Challenged   uint32
	Ignored      uint32 // asks refused as challenge and never solved
	Solved       uint32
	Moved        uint32 // the first ask after the opening was early, and not only from where it had been; of all sales: in how many
	Nearly       uint32 // the same of a reaction that few people have
	Sales, Rapid uint32 // of all sales together: how many, and in how many the reaction was a machine's
}

// solves are the reasons that are only given to those who owe no challenge.
var solves = [64]bool{
	gate.Admitted: true, gate.AlreadyBought: true, gate.OrderPending: true, gate.ReservationExpired: true, gate.Limit: true,
	gate.StoreUnavailable: true, gate.Overloaded: true, gate.OriginUnreachable: true, gate.OriginFailed: true, gate.OriginTimeout: true,
}

// place is an address as one account used it in one sale.
type place struct {
	site   site
	sale   uint16
	first  int64 // from the opening to its first ask from there after it; -1: none
	asks   uint32
	looked bool // at the page of the sale, from anywhere
	opened bool // first is the sale's first, too
}

const mostPlaces = 1 << 16

// study follows one account at a time.
type study struct {
	opens []int64 // Unix µs, by sale; 0: not known
	crowd *density

	// of the sale at hand
	seen         Seen
	sale         uint16
	last         int64 // t of the ask before
	lastSite     site
	sum, squares float64
	owed         uint32 // asks refused as challenge since the last solution
	buys, orders uint32 // won
	gaps         [64 * 32]uint32
	used         []uint16 // of gaps
	sketch       sketch
	moment       uint32 // of the ask before
	from         int    // in places: where the sale's begin
	at           map[site]int
	networks     map[site]struct{}
	places       []place
	sales        []Seen
	ids          []uint16
	sketches     []sketch
}

func newStudy(opened []int64, crowd *density) *study {
	return &study{opens: opened, crowd: crowd, at: map[site]int{}, networks: map[site]struct{}{}}
}

// begin forgets the account before.
func (s *study) begin() {
	s.places, s.sales, s.ids, s.sketches = s.places[:0], s.sales[:0], s.ids[:0], s.sketches[:0]
}

// beginSale must be followed by see for all of the sale, and endSale.
func (s *study) beginSale(sale uint16) {
	s.seen, s.sale = Seen{First: -1, Lead: -1}, sale
	s.last, s.lastSite, s.sum, s.squares, s.owed, s.buys, s.orders = 0, site{}, 0, 0, 0, 0, 0
	for _, i := range s.used {
		s.gaps[i] = 0
	}
	s.used, s.from = s.used[:0], len(s.places)
	s.sketch.reset()
	clear(s.at)
}

func (s *study) see(e *entry) {
	if e.step == gate.Looks {
		s.seen.Looks++
		if s.seen.Asks == 0 {
			s.seen.LooksBefore++
		}
		s.stay(e.site, -1, 0)
		return
	}
	after := s.sinceOpening(e)
	if after < 0 && (s.opens[s.sale] != 0 || e.reason == gate.NotOpen) {
		s.seen.Early++
	}
	opens := after >= 0 && s.seen.First < 0
	if opens {
		s.seen.First = after
		if s.seen.Asks > 0 {
			s.seen.Lead = e.t - s.last
		}
	}
	s.rhythm(e)
	s.answered(e)
	if opens {
		s.moved(e.site)
	}
	if s.stay(e.site, after, 1); opens {
		s.opened(e.site)
	}
	if moment := moment(s.sale, e.t); moment != s.moment || s.seen.Asks == 0 {
		s.moment = moment
		s.crowd.add(moment)
		s.sketch.add(moment)
	}
	s.seen.Asks++
	s.last, s.lastSite = e.t, e.site
}

// sinceOpening is µs; -1: before it, or it is not known.
func (s *study) sinceOpening(e *entry) int64 {
	switch open := s.opens[s.sale]; {
	case e.reason == gate.NotOpen:
		return -1
	case e.timed:
		return max(e.off*1000, -1)
	case open != 0:
		return max(e.t-open, -1)
	}
	return -1
}

func (s *study) rhythm(e *entry) {
	if s.seen.Asks == 0 {
		return
	}
	if e.site != s.lastSite {
		s.seen.Switches++
	}
	gap := e.t - s.last
	s.seen.Gaps++
	if gap < 150_000 {
		s.seen.Quick++
	}
	s.sum += float64(gap)
	s.squares += float64(gap) * float64(gap)
	i := slot(gap)
	if s.gaps[i] == 0 {
		s.used = append(s.used, i)
	}
	s.gaps[i]++
}

// slot is one of 32 in each octave: 3 % wide at most.
func slot(gap int64) uint16 {
	x := uint64(max(gap, 32))
	n := bits.Len64(x)
	return uint16(n<<5 | int(x>>(n-6)&31))
}

// least is where a slot begins.
func least(slot uint16) int64 { return int64(32|slot&31) << (slot>>5 - 6) }

func (s *study) answered(e *entry) {
	s.seen.Refusals[e.reason&63]++
	if e.would != gate.Unset && e.would != gate.Admitted {
		s.seen.Watched++
	}
	switch {
	case e.reason == gate.Challenge:
		s.seen.Challenged++
		s.owed++
	case s.owed > 0 && solves[e.reason&63]:
		s.seen.Solved++
		s.owed = 0
	}
	if e.won && e.step == gate.Orders {
		s.orders++
	} else if e.won {
		s.buys++
	}
}

// moved notes whether the first ask after the opening comes from elsewhere than all before: of the
// same version of IP, for whoever has both uses now the one and now the other.
func (s *study) moved(at site) {
	if s.seen.First >= moving {
		return
	}
	for _, p := range s.places[s.from:] {
		if p.site.network() == at.network() {
			s.seen.Moved = 0
			return
		}
		if p.site.kind == at.kind {
			s.seen.Moved = 1
		}
	}
}

// opened notes where the first ask after the opening came from.
func (s *study) opened(at site) {
	if i, known := s.at[at]; known {
		s.places[i].opened = true
	}
}

// stay notes where the account is.
func (s *study) stay(at site, after int64, asks uint32) {
	if at.kind == 0 {
		return
	}
	i, known := s.at[at]
	if !known {
		if len(s.places) >= mostPlaces {
			return
		}
		i = len(s.places)
		s.at[at] = i
		s.places = append(s.places, place{site: at, sale: s.sale, first: -1})
	}
	p := &s.places[i]
	p.asks += asks
	if after >= 0 && p.first < 0 {
		p.first = after
	}
}

func (s *study) endSale() {
	n := &s.seen
	if n.Gaps > 0 {
		count := float64(n.Gaps)
		n.Mean = s.sum / count
		if n.Mean > 0 {
			n.CV = math.Sqrt(max(s.squares/count-n.Mean*n.Mean, 0)) / n.Mean
		}
		n.Even, n.Beat = s.commonest()
	}
	for i := range s.places[s.from:] {
		s.places[s.from+i].looked = n.Looks > 0
	}
	n.Addresses = uint32(len(s.places) - s.from)
	n.Networks = s.countNetworks(s.places[s.from:])
	n.Ignored, n.Wins = s.owed, max(s.buys, s.orders)
	n.Sales = 1
	switch {
	case machine(n):
		n.Rapid = 1
	case n.First >= 0 && n.First < early && !restless(n):
		n.Nearly = 1
	}
	s.sales, s.ids, s.sketches = append(s.sales, *n), append(s.ids, s.sale), append(s.sketches, s.sketch)
}

// commonest is the share of intervals in the fullest two slots that touch, and where they begin.
func (s *study) commonest() (float64, int64) {
	slices.Sort(s.used)
	var most uint32
	var beat uint16
	for _, i := range s.used {
		if n := s.gaps[i] + s.gaps[i+1]; n > most {
			most, beat = n, i
		}
	}
	return float64(most) / float64(s.seen.Gaps), least(beat)
}

func (s *study) countNetworks(places []place) uint32 {
	clear(s.networks)
	for _, p := range places {
		s.networks[p.site.network()] = struct{}{}
	}
	return uint32(len(s.networks))
}

// all takes the sales of the account together. Counts add up; rhythm is that of the sale
// with the most intervals, for intervals of different sales are not one rhythm.
func (s *study) all() Seen {
	sort.Sort((*byID)(s))
	sum := Seen{First: -1, Lead: -1}
	for i := range s.sales {
		n := &s.sales[i]
		sum.Asks, sum.Looks, sum.Watched, sum.Wins = sum.Asks+n.Asks, sum.Looks+n.Looks, sum.Watched+n.Watched, sum.Wins+n.Wins
		sum.Early, sum.LooksBefore, sum.Quick = sum.Early+n.Early, sum.LooksBefore+n.LooksBefore, sum.Quick+n.Quick
		sum.Switches, sum.Challenged, sum.Ignored = sum.Switches+n.Switches, sum.Challenged+n.Challenged, sum.Ignored+n.Ignored
		sum.Solved, sum.Sales, sum.Rapid = sum.Solved+n.Solved, sum.Sales+1, sum.Rapid+n.Rapid
		sum.Moved, sum.Nearly = sum.Moved+n.Moved, sum.Nearly+n.Nearly
		for r, c := range n.Refusals {
			sum.Refusals[r] += c
		}
		if n.First >= 0 && (sum.First < 0 || n.First < sum.First) {
			sum.First, sum.Lead = n.First, n.Lead
		}
		if n.Gaps > sum.Gaps {
			sum.Gaps, sum.Mean, sum.CV, sum.Even, sum.Beat = n.Gaps, n.Mean, n.CV, n.Even, n.Beat
		}
	}
	clear(s.at)
	for i, p := range s.places {
		s.at[p.site] = i
	}
	sum.Addresses, sum.Networks = uint32(len(s.at)), s.countNetworks(s.places)
	return sum
}

// byID orders the sales, so that sums do not depend on which was met first.
type byID study

func (b *byID) Len() int           { return len(b.ids) }
func (b *byID) Less(i, j int) bool { return b.ids[i] < b.ids[j] }
func (b *byID) Swap(i, j int) {
	b.ids[i], b.ids[j] = b.ids[j], b.ids[i]
	b.sales[i], b.sales[j] = b.sales[j], b.sales[i]
	b.sketches[i], b.sketches[j] = b.sketches[j], b.sketches[i]
}
