package challenge

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"penstock/limiter/challenge/challengetest"
	"penstock/proxy/gate"
)

func TestPrice(t *testing.T) {
	for _, c := range []struct {
		hashes int
		level  uint8
		load   float64
		parts  uint8
		bits   uint8
	}{
		{64, 0, 0, 32, 1},
		{1 << 16, 0, 0, 32, 11},
		{100_000, 0, 0, 49, 11},
		{1 << 16, 1, 0, 32, 12},
		{1 << 16, 4, 0, 32, 15},
		{1 << 16, 0, 1, 32, 14},
		{1 << 16, 0, 1.0 / 3, 32, 12},
		{1 << 16, 0, 7, 32, 14},  // no more than all of it
		{1 << 16, 0, -1, 32, 11}, // nor less than nothing
		{1 << 16, 0, math.NaN(), 32, 11},
		{1 << 16, 255, 1, 32, 16}, // 42 s on an old phone, never more
		{1 << 24, 0, 0, 32, 19},   // unless the rule itself asks for more
		{1 << 24, 9, 1, 32, 19},
		{0, 0, 0, 32, 1},
		{-5, 3, 0, 32, 1},
		{math.MaxInt, 255, 1, 64, 48},
	} {
		if parts, bits := price(c.hashes, c.level, c.load); parts != c.parts || bits != c.bits {
			t.Errorf("%d hashes, level %d, load %v: %d parts of %d bits, want %d of %d", c.hashes, c.level, c.load, parts, bits, c.parts, c.bits)
		}
	}
}

// TestPriceIsFair: it is within 2 % of what is wanted, and never falls as level or load rise.
func TestPriceIsFair(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		hashes := rapid.IntRange(1<<7, 1<<30).Draw(r, "hashes")
		level := rapid.Uint8Range(0, 20).Draw(r, "level")
		load := rapid.Float64Range(0, 1).Draw(r, "load")
		cost := func(level uint8, load float64) float64 {
			parts, bits := price(hashes, level, load)
			if parts < fewestParts || parts > mostParts || bits < 1 || bits > mostBits {
				r.Fatalf("%d parts of %d bits", parts, bits)
			}
			return float64(parts) * math.Exp2(float64(bits))
		}
		got := cost(level, load)
		want := min(float64(hashes)*math.Exp2(float64(level))*math.Pow(8, load), float64(max(hashes, mostWork)))
		if got < want*0.98 || got > want*1.02 {
			r.Errorf("%v hashes, want %v", got, want)
		}
		if up := cost(level+1, load); up < got {
			r.Errorf("the next level costs %v, less than %v", up, got)
		}
		if up := cost(level, min(1, load*1.1)); up < got {
			r.Errorf("more load costs %v, less than %v", up, got)
		}
	})
}

func TestLoad(t *testing.T) {
	s, load := phone(), 0.0
	d := open(Options{Load: func() float64 { return load }}, s)
	for _, c := range []struct {
		load   float64
		hashes int
	}{{0, 64}, {1, 512}} {
		load = c.load
		if p := d.Puzzle(alice(s), ""); p.Parts<<p.Bits != c.hashes {
			t.Errorf("at load %v %d hashes, want %d", c.load, p.Parts<<p.Bits, c.hashes)
		}
	}
}

// TestByTheBook checks against sha256sum: 00bee7f6… of vec:0:363, 009fc687… of vec:1:407, and
// no smaller numbers give a first byte of zero.
func TestByTheBook(t *testing.T) {
	if got := challengetest.Solve(gate.Puzzle{Seed: "vec", Parts: 2, Bits: 8}); got != "363,407" {
		t.Errorf("solved as %q, want 363,407", got)
	}
	if !worked("vec", "363,407", 2, 8) || worked("vec", "363,407", 2, 9) || worked("vec", "407,363", 2, 8) {
		t.Error("8 zero bits each, and no more, are not what is found")
	}
}

func TestWorked(t *testing.T) {
	f := func(text string, parts, bits uint8, want bool) {
		t.Helper()
		if got := worked("s", text, parts, bits); got != want {
			t.Errorf("%.40q in %d parts of %d bits: %v, want %v", text, parts, bits, got, want)
		}
	}
	n := challengetest.Solve(gate.Puzzle{Seed: "s", Parts: 1, Bits: 10})
	f(n, 1, 10, true)
	f(n, 1, 9, true)
	f(n, 1, 40, false)
	f(n, 0, 0, false)
	f("", 0, 0, false)
	for _, bad := range []string{
		"", ",", "0" + n, "+" + n, "-" + n, " " + n, n + " ", n + ",", "," + n, n + "," + n, n + ".0", "0x1", "1e3", "1_0",
		"9007199254740992", "18446744073709551616", "\uff11", "00", n + "\n", n + "\x00",
	} {
		f(bad, 1, 0, false)
	}
	for _, good := range []string{"0", "1", "9007199254740991"} {
		f(good, 1, 0, true)
	}
	f("1,2,3", 3, 0, true)
	f("1,2", 3, 0, false)
	f("1,,3", 3, 0, false)
	all := strings.Repeat("9007199254740991,", mostParts)
	f(all[:len(all)-1], mostParts, 0, true)
	f(all+"9007199254740991", mostParts+1, 0, false)
	// Each part counts.
	p := gate.Puzzle{Seed: "s", Parts: 5, Bits: 9}
	numbers := strings.Split(challengetest.Solve(p), ",")
	f(strings.Join(numbers, ","), 5, 9, true)
	for i := range numbers {
		kept := numbers[i]
		numbers[i] = "1234567" // whose sums begin otherwise
		f(strings.Join(numbers, ","), 5, 9, false)
		numbers[i] = kept
	}
	if worked("z", strings.Join(numbers, ","), 5, 9) {
		t.Error("the work is good for another seed")
	}
}
