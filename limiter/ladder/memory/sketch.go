package memory

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Sketch is a count-min sketch (Cormode, Muthukrishnan 2005) with conservative update (Estan,
// Varghese 2002): it says of any key how often it was counted, or more, never less until Age
// or 255. The four cells of a key lie in one cache line.
//
// With n counts over all keys and c keys it was made for, an answer is rarely above the truth
// by more than n/c: see Noise.
type Sketch struct {
	blocks []block
	locks  [64]sync.Mutex // of blocks by index
	counts atomic.Uint64
	raised atomic.Uint64
}

type block [64]uint8

// NewSketch makes one for about so many keys, with eight bytes for each.
func NewSketch(keys int) *Sketch { return &Sketch{blocks: make([]block, max(1, keys/8))} }

// cells are where the key is counted: one cell in each quarter of one block.
func (s *Sketch) cells(key uint64) (i uint64, at [4]uint8) {
	const odd = 0xd6e8feb86659fd93 // keys that meet in a bucket need not meet here
	key = (key ^ key>>32) * odd
	i, low := bits.Mul64(key, uint64(len(s.blocks)))
	low *= odd
	for r := range at {
		at[r] = uint8(r*16) + uint8(low>>(60-4*r)&15)
	}
	return i, at
}

// Estimate is how often the key was counted, at least.
func (s *Sketch) Estimate(key uint64) int {
	i, at := s.cells(key)
	mu := &s.locks[i%64]
	mu.Lock()
	defer mu.Unlock()
	return int(s.blocks[i].least(at))
}

func (b *block) least(at [4]uint8) uint8 {
	return min(b[at[0]], b[at[1]], b[at[2]], b[at[3]])
}

// Raise makes the key count as at least n.
func (s *Sketch) Raise(key uint64, n int) {
	i, at := s.cells(key)
	mu := &s.locks[i%64]
	mu.Lock()
	defer mu.Unlock()
	s.blocks[i].raise(at, n)
}

// Add counts the key n times.
func (s *Sketch) Add(key uint64, n int) {
	s.counts.Add(uint64(n))
	i, at := s.cells(key)
	mu := &s.locks[i%64]
	mu.Lock()
	defer mu.Unlock()
	b := &s.blocks[i]
	b.raise(at, int(b.least(at))+n)
}

func (b *block) raise(at [4]uint8, n int) {
	to := uint8(min(n, 255))
	for _, c := range at {
		b[c] = max(b[c], to)
	}
}

// Noise is how much of an estimate the counts of other keys may be, on average.
func (s *Sketch) Noise() int { return int(s.counts.Load() / uint64(8*len(s.blocks))) }

// Age is called for each key that comes, and halves a block every 64th time, in turn: all of
// them once while eight times its keys come.
func (s *Sketch) Age() {
	n := s.raised.Add(1)
	if n%64 != 0 {
		return
	}
	i := n / 64 % uint64(len(s.blocks))
	mu := &s.locks[i%64]
	mu.Lock()
	defer mu.Unlock()
	for c := range s.blocks[i] {
		s.blocks[i][c] /= 2
	}
}
