package ban

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gaissmai/bart"

	"penstock/limiter/shared"
	"penstock/proxy/gate"
)

// noEnd is the end, in Unix ms, of what has none.
const noEnd = int64(math.MaxInt64)

// index finds bans, each by its end in Unix ms. It is made once and then only read. It
// is not emptied as bans end: whoever asks compares, and the next one has them no more.
type index struct {
	empty  bool
	full   map[string]int64 // accounts with the letter of their source
	bare   map[string]int64 // without: of any source
	hashes map[uint64]int64
	table  bart.Table[int64] // of the longest network an address is in: the last end of all of them

	networks []network // until finish
}

type network struct {
	netip.Prefix
	until int64
}

func newIndex() *index {
	return &index{full: make(map[string]int64), bare: make(map[string]int64), hashes: make(map[uint64]int64)}
}

func (x *index) account(name string, until int64) {
	if h, ok := hashed(name); ok {
		x.hashes[h] = max(x.hashes[h], until)
	} else if shared.Sourced(name) {
		x.full[name] = max(x.full[name], until)
	} else if name != "" {
		x.bare[name] = max(x.bare[name], until)
	}
}

// hashed reads "#0123456789abcdef".
func hashed(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, "#")
	if !ok || len(digits) != 16 {
		return 0, false
	}
	h, err := strconv.ParseUint(digits, 16, 64)
	return h, err == nil
}

// finish puts the networks in, wide ones first, so that each knows the end of those around
// it: one look-up is enough, and a narrow ban that has ended hides no wide one.
func (x *index) finish() {
	slices.SortFunc(x.networks, func(a, b network) int { return cmp.Compare(a.Bits(), b.Bits()) })
	for _, n := range x.networks {
		p := n.Masked()
		around, _ := x.table.LookupPrefix(p)
		x.table.Insert(p, max(n.until, around))
	}
	x.networks = nil
	x.empty = len(x.full)+len(x.bare)+len(x.hashes)+x.table.Size() == 0
}

// until is when the last ban ends that meets the request; 0: none does. hash is of the
// account.
func (x *index) until(f *gate.Facts, hash uint64) (until int64) {
	if x.table.Size() > 0 {
		until, _ = x.table.Lookup(f.IP)
	}
	if f.Account == "" {
		return until
	}
	if len(x.full) > 0 {
		until = max(until, x.full[f.Account])
	}
	if len(x.bare) > 0 && shared.Sourced(f.Account) {
		until = max(until, x.bare[f.Account[2:]])
	}
	if len(x.hashes) > 0 {
		until = max(until, x.hashes[hash])
	}
	return until
}
