package eligible

// A copy as it lies in memory: not the names, only 64-bit hashes of them, with a seed that
// nobody knows. Among ten million names one that is not there is taken for one that is
// with a chance of 1 in 2^40, and nobody can choose one that is.
//
// A member of a set takes 11.5 bytes; a field of a hash 17.2, and the bytes of its value
// and one more, where not many fields have the same value. While a table is made it takes 8
// or 12 bytes a name more. It is made once and then only read.

import (
	"hash/maphash"
	"math/bits"
)

func hashOf(seed maphash.Seed, name string) uint64 {
	return max(1, maphash.String(seed, name)) // 0 is a place that nobody has
}

// table is open-addressed, with linear probing, and a place for seven in ten.
type table struct {
	names  []uint64
	values []uint32 // where the value of the name stands: block, and byte in it; nil: there are none
	blocks []string // of values, each behind its length in a byte
	size   int      // names that are there
}

const blockBits = 20

// find answers the value, "" where there are none.
func (t *table) find(h uint64) (v string, there bool) {
	i := t.place(h)
	if t.names[i] != h {
		return "", false
	}
	if t.values == nil {
		return "", true
	}
	at := t.values[i]
	block, from := t.blocks[at>>blockBits], int(at&(1<<blockBits-1))
	return block[from+1 : from+1+int(block[from])], true
}

// place is where the name is, or would be.
func (t *table) place(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.names)))
	i := int(hi)
	for t.names[i] != h && t.names[i] != 0 {
		if i++; i == len(t.names) {
			i = 0
		}
	}
	return i
}

// bytes is what it takes in memory.
func (t *table) bytes() int {
	n := 8*len(t.names) + 4*len(t.values)
	for _, b := range t.blocks {
		n += len(b)
	}
	return n
}

// builder collects what a reading finds, in pieces, so that nothing is copied to grow.
type builder struct {
	seed   maphash.Seed
	most   int // names
	full   bool
	seen   int
	pieces []piece
	last   piece

	hasValues bool
	block     []byte
	blocks    []string
	text      int
	common    map[string]uint32 // values that many have, and where they stand
}

type piece struct {
	names  []uint64
	values []uint32
}

const (
	pieceLen   = 1 << 16
	mostCommon = 1 << 12
	mostText   = 256 << 20 // bytes of all values
)

// unreadable stands for a value too long to be a number, a time or a word: it is none, and
// no word of a configuration, which is UTF-8.
const unreadable = "\xff"

// add reports whether there was room.
func (b *builder) add(name, value string) bool {
	if b.full = b.full || b.seen == b.most || b.text > mostText; b.full {
		return false
	}
	b.seen++
	if len(b.last.names) == pieceLen || b.last.names == nil {
		b.next()
	}
	b.last.names = append(b.last.names, hashOf(b.seed, name))
	if b.hasValues {
		b.last.values = append(b.last.values, b.keep(value))
	}
	return true
}

func (b *builder) next() {
	if b.last.names != nil {
		b.pieces = append(b.pieces, b.last)
	}
	b.last = piece{names: make([]uint64, 0, pieceLen)}
	if b.hasValues {
		b.last.values = make([]uint32, 0, pieceLen)
	}
}

// keep answers where the value stands from now on.
func (b *builder) keep(value string) uint32 {
	if len(value) > 255 {
		value = unreadable
	}
	if at, ok := b.common[value]; ok {
		return at
	}
	if len(b.block)+1+len(value) > 1<<blockBits {
		b.blocks, b.block = append(b.blocks, string(b.block)), b.block[:0]
	}
	at := uint32(len(b.blocks)<<blockBits | len(b.block))
	b.block = append(append(b.block, byte(len(value))), value...)
	b.text += 1 + len(value)
	if len(b.common) < mostCommon {
		if b.common == nil {
			b.common = make(map[string]uint32)
		}
		b.common[value] = at
	}
	return at
}

// table puts together what was collected, and gives up the pieces as it goes. A name that
// was found twice, as a scan may, counts once, with what was found last.
func (b *builder) table() *table {
	if b.last.names != nil {
		b.pieces = append(b.pieces, b.last)
	}
	t := &table{names: make([]uint64, b.seen+b.seen*3/7+1), blocks: b.blocks}
	if b.hasValues {
		t.values = make([]uint32, len(t.names))
		t.blocks = append(t.blocks, string(b.block))
	}
	for i, p := range b.pieces {
		for j, h := range p.names {
			at := t.place(h)
			if t.names[at] == 0 {
				t.size++
			}
			t.names[at] = h
			if b.hasValues {
				t.values[at] = p.values[j]
			}
		}
		b.pieces[i] = piece{}
	}
	return t
}
