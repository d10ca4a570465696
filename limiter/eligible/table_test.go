package eligible

import (
	"hash/maphash"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTable holds a table against a map.
func TestTable(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		hasValues := rapid.Bool().Draw(r, "values")
		b := builder{seed: maphash.MakeSeed(), most: Most, hasValues: hasValues}
		want := map[string]string{}
		for range rapid.IntRange(0, 200).Draw(r, "names") {
			name := rapid.StringN(0, 3, 3).Draw(r, "name")
			value := ""
			if hasValues {
				value = rapid.SampledFrom([]string{"", "1", "gold", strings.Repeat("x", 255), strings.Repeat("y", 256), rapid.String().Draw(r, "other")}).Draw(r, "value")
			}
			b.add(name, value)
			if want[name] = value; len(value) > 255 {
				want[name] = unreadable
			}
		}
		got := b.table()
		if got.size != len(want) {
			r.Fatalf("%d names, want %d", got.size, len(want))
		}
		for name, value := range want {
			if v, there := got.find(hashOf(b.seed, name)); v != value || !there {
				r.Fatalf("%q: got %q, %v; want %q", name, v, there, value)
			}
		}
		for range 20 {
			name := rapid.StringN(0, 3, 3).Draw(r, "asked")
			if _, there := got.find(hashOf(b.seed, name)); there != has(want, name) {
				r.Fatalf("%q is there: %v, want %v", name, there, has(want, name))
			}
		}
	})
}

func has(m map[string]string, k string) bool { _, ok := m[k]; return ok }

// TestTableOfMany crosses pieces and blocks, with more values than are kept as common.
func TestTableOfMany(t *testing.T) {
	const n = 200_000
	b := builder{seed: maphash.MakeSeed(), most: n, hasValues: true}
	for i := range n {
		if !b.add("user-"+strconv.Itoa(i), "since-"+strconv.Itoa(i*7)) {
			t.Fatalf("name %d of %d found no room", i, n)
		}
	}
	all := b.table()
	for i := range n {
		if v, there := all.find(hashOf(b.seed, "user-"+strconv.Itoa(i))); v != "since-"+strconv.Itoa(i*7) || !there {
			t.Fatalf("name %d: got %q, %v", i, v, there)
		}
		if _, there := all.find(hashOf(b.seed, "nobody-"+strconv.Itoa(i))); there {
			t.Fatalf("nobody-%d is there", i)
		}
	}
	if b.add("one more", "") || !b.full {
		t.Error("one more found room, want none")
	}
}

func TestTableHasRoomForSoMuchText(t *testing.T) {
	b := builder{seed: maphash.MakeSeed(), most: Most, hasValues: true, text: mostText + 1}
	if b.add("a", "b") || !b.full {
		t.Error("a value found room beyond all room")
	}
}

// BenchmarkMemory is what a copy of a million names takes, in bytes a name, when it is made
// and while it is.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	names := make([]string, n)
	for i := range names {
		names[i] = "customer-" + strconv.Itoa(i)
	}
	for _, kind := range []string{"set", "level", "time"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				c := builder{seed: maphash.MakeSeed(), most: Most, hasValues: kind != "set"}
				for i, name := range names {
					v := ""
					if kind == "level" {
						v = strconv.Itoa(i % 10)
					} else if kind == "time" {
						v = strconv.Itoa(1_700_000_000 + i)
					}
					c.add(name, v)
				}
				making := heap()
				all := c.table()
				c = builder{}
				after := heap()
				b.ReportMetric(float64(after-before)/n, "B/name")
				b.ReportMetric(float64(making-before+uint64(8*len(all.names)+4*len(all.values)))/n, "peak-B/name")
				runtime.KeepAlive(all)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFind asks a copy of a million, for those who are there and those who are not.
func BenchmarkFind(b *testing.B) {
	const n = 1_000_000
	c := builder{seed: maphash.MakeSeed(), most: Most}
	for i := range n {
		c.add("customer-"+strconv.Itoa(i), "")
	}
	all := c.table()
	for _, prefix := range []string{"customer-", "stranger-"} {
		b.Run(prefix[:8], func(b *testing.B) {
			names := make([]string, 1<<16)
			for i := range names {
				names[i] = prefix + strconv.Itoa(i*13)
			}
			b.ReportAllocs()
			i, found := 0, 0
			for b.Loop() {
				if _, there := all.find(hashOf(c.seed, names[i&(1<<16-1)])); there {
					found++
				}
				i++
			}
			if (found > 0) != (prefix == "customer-") {
				b.Fatalf("%d of %d found", found, i)
			}
		})
	}
}
