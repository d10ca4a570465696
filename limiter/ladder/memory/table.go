// Package memory remembers keys in a fixed amount of memory, whoever sends them.
//
// Table is for keys that may be forgotten: who asked more often stays, so ten million keys
// that come once do not flush those that come twice. Kept is for keys that may not: nothing
// leaves before its end, and when there is no room it says so. Sketch counts what Table let go.
//
// Keys are hashes that nobody outside can choose (see gate.Facts.HashAccount): with them
// nobody can aim at a bucket. It is our own and not golang-lru because that costs an
// allocation and a pointer for every key that comes once, which is what an attack consists
// of (see BenchmarkChurn).
package memory

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// ways are the keys of one bucket. The first is the window, where every newcomer begins.
const ways = 8

// Table remembers a value for each of about so many keys. Admission is W-TinyLFU (Einziger,
// Friedman, Manes: TinyLFU, 2017) within buckets of eight: a newcomer always gets the window;
// who is pushed out of it stays only if asked for more often than the key that was not used
// for longest.
//
// It gives up the order over all keys: a bucket may forget while another has room.
type Table[V any] struct {
	buckets []bucket[V]
	often   *Sketch
	pinned  func(v *V, now int64) bool
	left    func(key uint64, v *V, now int64)
	size    atomic.Int64
	evicted atomic.Uint64
}

type bucket[V any] struct {
	mu     sync.Mutex
	warm   atomic.Uint32 // never written
	tick   uint32        // counts uses
	news   uint32        // counts newcomers, for ageing
	keys   [ways]uint64
	used   [ways]uint32 // tick of the last use
	freq   [ways]uint8
	values [ways]V
}

// NewTable has room for about so many keys, at least eight. A value that pinned reports on is
// not forgotten; nil: none is. left hears of each value that is; nil: nobody does. Both are
// called with the value's bucket locked and may not use the table.
func NewTable[V any](keys int, pinned func(v *V, now int64) bool, left func(key uint64, v *V, now int64)) *Table[V] {
	keys = max(keys, ways)
	return &Table[V]{buckets: make([]bucket[V], (keys+ways-1)/ways), often: NewSketch(keys), pinned: pinned, left: left}
}

// Held is a value under its lock.
type Held[V any] struct {
	V       *V   // nil: not here
	Fresh   bool // it has just been made, as zero
	Crowded bool // V is nil because all that is kept in its place is pinned
	b       *bucket[V]
}

// Free unlocks; V may not be used any more.
func (h Held[V]) Free() { h.b.mu.Unlock() }

// Take locks the key's value and counts the use; a key that is not here comes in. Free is owed.
func (t *Table[V]) Take(key uint64, now int64) Held[V] {
	key, b := t.find(key)
	b.mu.Lock()
	b.tick++
	for i := range b.keys {
		if b.keys[i] == key {
			b.used[i] = b.tick
			b.freq[i] = satAdd(b.freq[i], 1)
			return Held[V]{V: &b.values[i], b: b}
		}
	}
	i := t.room(b, now)
	if i < 0 {
		return Held[V]{Crowded: true, b: b}
	}
	var zero V
	b.keys[i], b.used[i], b.freq[i], b.values[i] = key, b.tick, satAdd(uint8(min(t.often.Estimate(key), 255)), 1), zero
	t.size.Add(1)
	return Held[V]{V: &b.values[i], Fresh: true, b: b}
}

// Warm begins to fetch what Take will need of a key. A lock waits for its own memory and lets
// nothing else be fetched meanwhile, so of several tables it pays to warm all, then take.
func (t *Table[V]) Warm(key uint64) {
	_, b := t.find(key)
	b.warm.Load()
}

// Look locks the key's value if it is here, and counts nothing. Free is owed.
func (t *Table[V]) Look(key uint64, now int64) Held[V] {
	key, b := t.find(key)
	b.mu.Lock()
	crowded := t.pinned != nil
	for i := range b.keys {
		if b.keys[i] == key {
			return Held[V]{V: &b.values[i], b: b}
		}
		crowded = crowded && b.keys[i] != 0 && t.pinned(&b.values[i], now)
	}
	return Held[V]{Crowded: crowded, b: b}
}

func (t *Table[V]) find(key uint64) (uint64, *bucket[V]) {
	if key == 0 {
		key = 1 // 0 is an empty way
	}
	i, _ := bits.Mul64(key, uint64(len(t.buckets)))
	return key, &t.buckets[i]
}

// room returns an empty way for a newcomer, who begins in the window once all are taken.
func (t *Table[V]) room(b *bucket[V], now int64) int {
	b.age()
	victim := -1
	for i := ways - 1; i >= 0; i-- {
		if b.keys[i] == 0 {
			return i
		}
		if i > 0 && (victim < 0 || b.tick-b.used[i] > b.tick-b.used[victim]) && !t.holds(b, i, now) {
			victim = i
		}
	}
	held := t.holds(b, 0, now)
	switch {
	case victim > 0 && (held || b.freq[0] > b.freq[victim]):
		t.forget(b, victim, now)
		b.keys[victim], b.used[victim], b.freq[victim], b.values[victim] = b.keys[0], b.used[0], b.freq[0], b.values[0]
	case held:
		return -1
	default:
		t.forget(b, 0, now)
	}
	return 0
}

func (t *Table[V]) holds(b *bucket[V], i int, now int64) bool {
	return t.pinned != nil && t.pinned(&b.values[i], now)
}

func (t *Table[V]) forget(b *bucket[V], i int, now int64) {
	t.often.Raise(b.keys[i], int(b.freq[i]))
	t.often.Age()
	if t.left != nil {
		t.left(b.keys[i], &b.values[i], now)
	}
	t.size.Add(-1)
	t.evicted.Add(1)
}

// age halves what was counted once the bucket has seen eight times its keys come in, the
// sample TinyLFU forgets by: who was popular once does not stay for ever.
func (b *bucket[V]) age() {
	if b.news++; b.news%(8*ways) == 0 {
		for i := range b.freq {
			b.freq[i] /= 2
		}
	}
}

// Size is how many keys are here, Evicted how many were ever let go.
func (t *Table[V]) Size() int       { return int(t.size.Load()) }
func (t *Table[V]) Evicted() uint64 { return t.evicted.Load() }

func satAdd(a, b uint8) uint8 {
	if a > 255-b {
		return 255
	}
	return a + b
}
