package mine

// Rings: accounts joined by links that are strong enough.

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
)

// Kinds of links.
const (
	byOpening = 1 << iota // one address or network, and all asked within a moment of the opening
	byPool                // each hops between addresses, and these are the same
	byMoments             // asked at the same moments again and again
	bySharing             // the same few addresses, several of them, shared by nobody else
	bySoon                // one address or network where more asked early than people do
	byBare                // one address or network where many never looked at the page
)

// A link is made of weights that are added up. From linked on, two accounts are one ring.
const linked = 3 * 256

// edge is one weight between two accounts.
func appendEdge(b []byte, x, y uint64, weight uint16, kind uint8) []byte {
	if x > y {
		x, y = y, x
	}
	b = binary.BigEndian.AppendUint64(b, mix(x^mix(y)))
	b = binary.BigEndian.AppendUint64(b, x)
	b = binary.BigEndian.AppendUint64(b, y)
	return append(binary.BigEndian.AppendUint16(b, weight), kind)
}

// rings is a union-find over the numbers of accounts, with paths halved. A ring's root is
// its least number, so that the order of joining does not show.
type rings struct {
	mu      sync.Mutex
	parent  []uint32
	kinds   []uint8 // of links that joined it, by account
	cohorts []cohort
}

// cohort is what was seen at one address or network.
type cohort struct {
	member   uint64 // one of them
	accounts int    // that behave as one
	among    int    // accounts there
	kind     uint8
	wide     bool // the network, not the address
	site     site
	within   int64 // µs between the first and the last of them
	from     int64 // µs from the opening to the first of them
}

func newRings(n int) *rings {
	r := &rings{parent: make([]uint32, n), kinds: make([]uint8, n)}
	for i := range r.parent {
		r.parent[i] = uint32(i)
	}
	return r
}

func (r *rings) root(i uint32) uint32 {
	for r.parent[i] != i {
		r.parent[i] = r.parent[r.parent[i]]
		i = r.parent[i]
	}
	return i
}

func (r *rings) join(a, b uint32, kind uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[a] |= kind
	a, b = r.root(a), r.root(b)
	r.parent[max(a, b)] = min(a, b)
}

// Ring is a ring as it is told to people.
type Ring struct {
	ID        int     `json:"id"`
	Accounts  int     `json:"accounts"`
	Opening   bool    `json:"opening,omitempty"` // they asked within a moment of the opening, from one place
	Pool      bool    `json:"pool,omitempty"`    // they hop between the same addresses
	Moments   bool    `json:"moments,omitempty"` // they ask at the same moments again and again
	Sharing   bool    `json:"sharing,omitempty"` // they share several addresses with nobody else
	Soon      bool    `json:"soon,omitempty"`    // from one place more of them asked early than people do
	Bare      bool    `json:"bare,omitempty"`    // at one place more of them never looked at the page than people do
	Addresses int     `json:"addresses,omitempty"`
	At        string  `json:"at,omitempty"`     // where most of them were seen behaving as one
	Most      int     `json:"most,omitempty"`   // how many of them were, there
	Within    float64 `json:"within,omitempty"` // ms between the first and the last of those
	From      float64 `json:"from,omitempty"`   // ms from the opening to the first of those
	cohort    cohort
}

const smallestRing = 3

// found tells the rings of at least smallestRing accounts, by root, the largest numbered 1.
func (r *rings) found(number func(ref uint64) uint32) map[uint32]*Ring {
	sizes := make([]uint32, len(r.parent))
	kinds := make([]uint8, len(r.parent))
	for i := range r.parent {
		root := r.root(uint32(i))
		r.parent[i] = root
		sizes[root]++
		kinds[root] |= r.kinds[i]
	}
	all := map[uint32]*Ring{}
	for root, n := range sizes {
		if k := kinds[root]; n >= smallestRing {
			all[uint32(root)] = &Ring{
				Accounts: int(n), Opening: k&byOpening != 0, Pool: k&byPool != 0, Moments: k&byMoments != 0, Sharing: k&bySharing != 0, Soon: k&bySoon != 0, Bare: k&byBare != 0,
			}
		}
	}
	for _, c := range r.cohorts {
		if ring := all[r.root(number(c.member))]; ring != nil {
			ring.tell(c)
		}
	}
	roots := slices.SortedFunc(maps.Keys(all), func(a, b uint32) int {
		return cmp.Or(cmp.Compare(all[b].Accounts, all[a].Accounts), cmp.Compare(a, b))
	})
	for i, root := range roots {
		all[root].ID = i + 1
	}
	return all
}

// tell keeps the cohort that says most: of the opening before others, then the largest.
func (r *Ring) tell(c cohort) {
	if c.kind == byPool {
		r.Addresses++
	}
	better := r.At == "" || cmp.Or(cmp.Compare(c.kind&byOpening, r.cohort.kind&byOpening), cmp.Compare(c.accounts, r.Most),
		narrow(c)-narrow(r.cohort), cmp.Compare(r.cohort.site.bits, c.site.bits), cmp.Compare(r.cohort.within, c.within), cmp.Compare(r.cohort.from, c.from)) > 0
	if !better {
		return
	}
	r.cohort, r.At, r.Most, r.Within, r.From = c, c.site.String(), c.accounts, float64(c.within)/1000, float64(c.from)/1000
	if c.wide {
		r.At = c.site.wide()
	}
}

// narrow prefers an address to its network.
func narrow(c cohort) int {
	if c.wide {
		return 0
	}
	return 1
}
