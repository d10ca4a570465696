package mine

// Accounts that ask at the same moments again and again.
//
// Time is cut into moments of 10 ms. A sketch is the 16 least hashes of an account's moments
// in a sale (a bottom-k MinHash sketch: Broder, "On the resemblance and containment of
// documents", 1997). With up to 16 moments it is exact, beyond it estimates. Candidates are
// accounts that share two of their least four; each is then held against the crowd: sharing
// a moment with one account in a thousand says more than sharing one with everybody.

import (
	"math"
	"slices"
	"sync/atomic"
)

const (
	sketchSize = 16
	keyed      = 4 // of a sketch: each two of them are a key
)

type sketch struct {
	n      int
	hashes [sketchSize]uint32 // the least, in rising order
}

func (k *sketch) reset() { k.n = 0 }

func (k *sketch) add(moment uint32) {
	if k.n == sketchSize && moment >= k.hashes[k.n-1] {
		return
	}
	i, known := slices.BinarySearch(k.hashes[:k.n], moment)
	if known {
		return
	}
	if k.n < sketchSize {
		k.n++
	}
	copy(k.hashes[i+1:k.n], k.hashes[i:])
	k.hashes[i] = moment
}

func moment(sale uint16, t int64) uint32 {
	return uint32(mix(uint64(t/10_000)<<16 ^ uint64(sale)))
}

// density counts accounts by moment. Moments whose hashes meet are counted together, which
// makes sharing them look more common than it is, never less.
type density [1 << 22]uint32

func (d *density) add(moment uint32) { atomic.AddUint32(&d[moment%(1<<22)], 1) }

// together reports whether two accounts shared moments so often that among all pairs of n
// accounts less than one in a thousand such crowds would show one by chance.
func (d *density) together(a, b *sketch, n int) bool {
	const sure = 10 // bits: 2^-10
	i, j, seen, shared, bits := 0, 0, 0, 0, 0.0
	for seen < sketchSize && (i < a.n || j < b.n) {
		seen++
		switch {
		case j == b.n || i < a.n && a.hashes[i] < b.hashes[j]:
			i++
		case i == a.n || b.hashes[j] < a.hashes[i]:
			j++
		default:
			bits += math.Log2(float64(n) / float64(min(max(d[a.hashes[i]%(1<<22)], 2), uint32(n))))
			shared, i, j = shared+1, i+1, j+1
		}
	}
	if shared < 4 || shared*10 < seen*4 {
		return false
	}
	choices, _ := math.Lgamma(float64(seen + 1))
	some, _ := math.Lgamma(float64(shared + 1))
	others, _ := math.Lgamma(float64(seen - shared + 1))
	return bits-(choices-some-others)/math.Ln2 >= 2*math.Log2(float64(n))+sure
}
