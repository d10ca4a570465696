package rate

import (
	"math/bits"
	"sync"
	"time"
)

// table counts by the Generic Cell Rate Algorithm (ATM Forum TM 4.0, virtual
// scheduling): a key is one number, its TAT, the time at which it will owe nothing.
// A key whose TAT has passed is like one never seen.
//
// Keys live in buckets of a few ways each, by hash, and are never looked for elsewhere:
// no list, no sweeper, and one bucket is all that is locked.
type table struct {
	buckets []bucket
}

// ways fill a bucket up to two cache lines. More than a handful of debtors in one
// bucket are rare as long as debtors are fewer than half the keys.
const ways = 7

type bucket struct {
	mu    sync.Mutex
	floor time.Duration // TAT of every key that is not here
	ways  [ways]way
}

type way struct {
	key uint64
	tat time.Duration
}

func newTable(keys int) table {
	return table{buckets: make([]bucket, max(1, (keys+ways-1)/ways))}
}

// take charges key one interval, or returns how long it has to wait for that.
func (t table) take(key uint64, now, every, tolerance time.Duration) (wait time.Duration) {
	i, _ := bits.Mul64(key, uint64(len(t.buckets)))
	b := &t.buckets[i]
	b.mu.Lock()
	defer b.mu.Unlock()
	at, tat := b.find(key)
	tat = max(tat, now)
	if wait := tat - now - tolerance; wait > 0 {
		return wait
	}
	b.put(at, way{key, tat + every})
	return 0
}

// find returns where the key is and its TAT; -1 and the floor where it is not here.
func (b *bucket) find(key uint64) (at int, tat time.Duration) {
	for i := range b.ways {
		if b.ways[i].key == key {
			return i, b.ways[i].tat
		}
	}
	return -1, b.floor
}

// put stores w at a way, or in place of the key that owes least, be it w itself. What
// that key owes becomes the floor: it is owed by all who are not here, so whoever is
// forgotten gains nothing by it, and who owes most is forgotten last.
func (b *bucket) put(at int, w way) {
	if at >= 0 {
		b.ways[at] = w
		return
	}
	least := &w
	for i := range b.ways {
		if b.ways[i].tat < least.tat {
			least = &b.ways[i]
		}
	}
	b.floor = max(b.floor, least.tat)
	*least = w
}
