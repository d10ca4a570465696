package memory

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Kept remembers a value for each key until its end, for a fixed number of keys. It never lets
// one go to make room for another: Put answers false instead.
//
// It is open addressing with linear probing in shards, at most three quarters full, so a shard
// never runs out before the whole does.
type Kept[V any] struct {
	shards []shard[V]
	room   int64
	ended  func(v *V, now int64, pressed bool) bool
	size   atomic.Int64
	turn   atomic.Uint64
}

type shard[V any] struct {
	mu     sync.Mutex
	keys   []uint64 // 0: empty
	values []V
	cursor int
}

// perShard is large enough for chance to even out what falls into a shard.
const perShard = 4096

// NewKept has room for so many keys. ended reports whether a value has come to its end; where
// room is pressed that may be sooner.
func NewKept[V any](keys int, ended func(v *V, now int64, pressed bool) bool) *Kept[V] {
	keys = max(keys, 1)
	shards := max(1, keys/perShard)
	slots := keys*4/3/shards + 64
	k := &Kept[V]{shards: make([]shard[V], shards), room: int64(keys), ended: ended}
	for i := range k.shards {
		k.shards[i].keys, k.shards[i].values = make([]uint64, slots), make([]V, slots)
	}
	return k
}

func (k *Kept[V]) shard(key uint64) (uint64, *shard[V]) {
	const odd = 0xa0761d6478bd642f
	key *= odd
	if key == 0 {
		key = 1
	}
	return key, &k.shards[key&(1<<32-1)*uint64(len(k.shards))>>32]
}

func (s *shard[V]) home(key uint64) int {
	i, _ := bits.Mul64(key, uint64(len(s.keys)))
	return int(i)
}

// find returns where the key is, or the empty slot where it would be.
func (s *shard[V]) find(key uint64) (i int, here bool) {
	for i = s.home(key); s.keys[i] != 0; i = s.next(i) {
		if s.keys[i] == key {
			return i, true
		}
	}
	return i, false
}

func (s *shard[V]) next(i int) int {
	if i++; i == len(s.keys) {
		return 0
	}
	return i
}

// Look returns the key's value; zero: it has none.
func (k *Kept[V]) Look(key uint64) (v V, here bool) {
	key, s := k.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, here := s.find(key); here {
		return s.values[i], true
	}
	return v, false
}

// Put sets the key's value, or answers false where there is no room for another key.
func (k *Kept[V]) Put(key uint64, v V, now int64) bool {
	key, s := k.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, here := s.find(key)
	if !here {
		k.sweep(s, 8, now)
		if k.size.Add(1) > k.room {
			if k.sweep(s, len(s.keys), now); k.size.Load() > k.room {
				k.size.Add(-1)
				return false
			}
		}
		i, _ = s.find(key)
	}
	s.keys[i], s.values[i] = key, v
	return true
}

// sweep looks at the next n slots for values at their end.
func (k *Kept[V]) sweep(s *shard[V], n int, now int64) {
	pressed := k.size.Load() >= k.room
	for range n {
		i := s.cursor
		if s.keys[i] != 0 && k.ended(&s.values[i], now, pressed) {
			s.remove(i)
			k.size.Add(-1)
			continue // another has come to this slot
		}
		s.cursor = s.next(i)
	}
}

// remove closes the gap: whoever stands behind it and would rather be there moves up (Knuth,
// The Art of Computer Programming 3, 6.4, algorithm R).
func (s *shard[V]) remove(gap int) {
	for i := s.next(gap); s.keys[i] != 0; i = s.next(i) {
		home := s.home(s.keys[i])
		if between := gap < home && home <= i || i < gap && (gap < home || home <= i); !between {
			s.keys[gap], s.values[gap] = s.keys[i], s.values[i]
			gap = i
		}
	}
	var zero V
	s.keys[gap], s.values[gap] = 0, zero
}

// Full reports whether no other key can be kept. It looks whether some have come to their end,
// a few at a time.
func (k *Kept[V]) Full(now int64) bool {
	if k.size.Load() < k.room {
		return false
	}
	s := &k.shards[k.turn.Add(1)%uint64(len(k.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	k.sweep(s, 64, now)
	return k.size.Load() >= k.room
}

// Size is how many keys are kept, Room how many can be.
func (k *Kept[V]) Size() int { return int(k.size.Load()) }
func (k *Kept[V]) Room() int { return int(k.room) }
