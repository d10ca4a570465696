package memory

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"pgregory.net/rapid"
)

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// TestNewcomersDoNotFlush: keys asked for twice or more stay through a hundred times the table's
// size of keys that come once, and what left was told of with its value.
func TestNewcomersDoNotFlush(t *testing.T) {
	const keys = 1 << 12
	left := map[uint64]int{}
	m := NewTable(keys, nil, func(key uint64, v *int, _ int64) { left[key] = *v })
	set := func(key uint64, v int) {
		h := m.Take(key, 0)
		*h.V = v
		h.Free()
	}
	for range 3 {
		for i := range uint64(keys / 8) {
			set(mix(i), int(i))
		}
	}
	for i := range uint64(100 * keys) {
		set(mix(1<<32+i), 1000000+int(i))
		if i%keys == 0 { // they are asked for now and then
			for i := range uint64(keys / 8) {
				m.Take(mix(i), 0).Free()
			}
		}
	}
	lost := 0
	for i := range uint64(keys / 8) {
		h := m.Look(mix(i), 0)
		if h.V == nil || *h.V != int(i) {
			lost++
		}
		h.Free()
	}
	if lost > keys/8/50 {
		t.Errorf("%d of %d keys that come again were flushed", lost, keys/8)
	}
	for i := range uint64(100 * keys) {
		if v, gone := left[mix(1<<32+i)]; gone && v != 1000000+int(i) {
			t.Fatalf("key %d left with %d", i, v)
		}
	}
	if m.Size() > keys || m.Evicted() < 99*keys {
		t.Errorf("%d keys are here, %d have left", m.Size(), m.Evicted())
	}
}

func TestPinnedStay(t *testing.T) {
	m := NewTable(64, func(v *int64, now int64) bool { return *v > now }, nil)
	for i := range uint64(64) {
		if h := m.Take(mix(i), 0); h.V != nil {
			*h.V = 10
			h.Free()
		} else {
			h.Free()
		}
	}
	here := 0
	count := func(now int64) (n int) {
		for i := range uint64(64) {
			h := m.Look(mix(i), now)
			if h.V != nil && *h.V == 10 {
				n++
			}
			h.Free()
		}
		return n
	}
	here = count(0)
	crowded := 0
	for i := range uint64(10_000) {
		h := m.Take(mix(1<<20+i), 5)
		if h.Crowded {
			crowded++
		}
		h.Free()
	}
	if after := count(5); after != here || crowded == 0 {
		t.Errorf("%d of %d pinned are left, %d found no place", after, here, crowded)
	}
	for i := range uint64(10_000) {
		h := m.Take(mix(1<<30+i), 10)
		if h.Crowded {
			t.Fatal("what has ended is still in the way")
		}
		h.Free()
	}
}

// TestKept against a map: nothing leaves before its end, and there is room for exactly so many.
func TestKept(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		room := rapid.IntRange(1, 40).Draw(r, "room")
		k, model, now := NewKept(room, func(v *int64, now int64, _ bool) bool { return *v <= now }), map[uint64]int64{}, int64(0)
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			key := mix(uint64(rapid.IntRange(0, 80).Draw(r, "key")))
			if rapid.IntRange(0, 9).Draw(r, "wait") == 0 {
				now += int64(rapid.IntRange(1, 30).Draw(r, "for"))
			}
			for key, end := range model {
				if end <= now {
					delete(model, key)
				}
			}
			_, here := model[key]
			end := now + int64(rapid.IntRange(1, 20).Draw(r, "end"))
			fits := here || len(model) < room
			if got := k.Put(key, end, now); got != fits {
				r.Fatalf("Put answered %v with %d of %d live, here %v", got, len(model), room, here)
			} else if got {
				model[key] = end
			}
			for key, end := range model {
				if got, here := k.Look(key); !here || got != end {
					r.Fatalf("kept %d, %v, want %d", got, here, end)
				}
			}
		}
	})
}

// TestKeptIsFullOnlyWhenFull: chance does not fill one shard before the others.
func TestKeptIsFullOnlyWhenFull(t *testing.T) {
	const room = 1 << 16
	k := NewKept(room, func(*int, int64, bool) bool { return false })
	for i := range uint64(room) {
		if !k.Put(mix(i), int(i), 0) {
			t.Fatalf("no room for key %d of %d", i, room)
		}
	}
	if k.Put(mix(room), 0, 0) || !k.Full(0) || k.Size() != room {
		t.Errorf("%d kept, full %v", k.Size(), k.Full(0))
	}
	for i := range uint64(room) {
		if v, here := k.Look(mix(i)); !here || v != int(i) {
			t.Fatalf("key %d is %d, %v", i, v, here)
		}
	}
}

// TestSketchNeverSaysLess, and rarely much more.
func TestSketchNeverSaysLess(t *testing.T) {
	const keys = 1 << 12
	s := NewSketch(keys)
	rng, times := rand.New(rand.NewPCG(3, 4)), make([]int, keys)
	for range 4 * keys {
		i := rng.IntN(keys)
		times[i]++
		s.Add(mix(uint64(i)), 1)
	}
	over := 0
	for i, n := range times {
		got := s.Estimate(mix(uint64(i)))
		if got < n {
			t.Fatalf("key %d was counted %d times, the sketch says %d", i, n, got)
		}
		if got > n+2 {
			over++
		}
	}
	if over > keys/20 {
		t.Errorf("%d of %d estimates are above the truth by more than two", over, keys)
	}
	for range 64 * keys {
		s.Age()
	}
	if got := s.Estimate(mix(1)); got != 0 {
		t.Errorf("aged for long a key still counts %d", got)
	}
}

func TestConcurrent(t *testing.T) {
	m := NewTable[int](64, nil, nil)
	k := NewKept(64, func(_ *int, now int64, _ bool) bool { return now%2 == 0 })
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				h := m.Take(mix(uint64(i%200)), 0)
				*h.V++
				h.Free()
				k.Put(mix(uint64(i%100)), w, int64(i))
				k.Look(mix(uint64(i % 100)))
				k.Full(int64(i))
			}
		})
	}
	wg.Wait()
}

// BenchmarkChurn compares with golang-lru: keys that come once, in a table of so many.
func BenchmarkChurn(b *testing.B) {
	const keys = 1 << 18
	type value [12]uint64
	megabytes := func(b *testing.B, keep any) {
		b.StopTimer()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB")
		runtime.KeepAlive(keep)
	}
	b.Run("table", func(b *testing.B) {
		m := NewTable[value](keys, nil, nil)
		b.ReportAllocs()
		for i := range b.N {
			h := m.Take(mix(uint64(i)), 0)
			h.V[0]++
			h.Free()
		}
		megabytes(b, m)
	})
	b.Run("golang-lru", func(b *testing.B) {
		m, err := simplelru.NewLRU[uint64, *value](keys, nil)
		if err != nil {
			b.Fatal(err)
		}
		var mu sync.Mutex
		b.ReportAllocs()
		for i := range b.N {
			mu.Lock()
			m.Add(mix(uint64(i)), &value{1})
			mu.Unlock()
		}
		megabytes(b, m)
	})
}
