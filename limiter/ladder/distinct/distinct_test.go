package distinct

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestExactWhileSmall: up to 64 keys, with keys that leave, against a map.
func TestExactWhileSmall(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type seen struct {
			pane  uint32
			light bool
		}
		var s Set
		pane, model := uint32(7), map[uint64]seen{}
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			key := uint64(rapid.IntRange(0, room-1).Draw(r, "key"))*0x9e3779b97f4a7c15 + 1
			switch rapid.IntRange(0, 3).Draw(r, "what") {
			case 0:
				pane += uint32(rapid.SampledFrom([]int{0, 1, 2, Panes, Panes + 1, 15, 16, 17}).Draw(r, "later"))
			case 1:
				s.Remove(key, pane)
				delete(model, key)
			default:
				light := rapid.Bool().Draw(r, "light")
				s.Add(key, light, pane)
				model[key] = seen{pane, light}
			}
			heavy, light := 0, 0
			for key, m := range model {
				switch {
				case pane-m.pane > Panes:
					delete(model, key)
				case m.light:
					light++
				default:
					heavy++
				}
			}
			if h, l := s.Count(pane); h != heavy || l != light {
				r.Fatalf("counted %d and %d light, want %d and %d", h, l, heavy, light)
			}
		}
	})
}

// TestError: the standard error over many sets is no more than said, and nothing is added for
// being seen twice.
func TestError(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{100, 1000, 30_000} {
		var sum, squares float64
		const sets = 300
		for range sets {
			var s Set
			seed := rng.Uint64()
			for i := range 2 * n {
				s.Add(mix(seed+uint64(i%n)), false, 1)
			}
			got, _ := s.Count(1)
			e := float64(got)/float64(n) - 1
			sum, squares = sum+e, squares+e*e
		}
		if bias, sd := sum/sets, math.Sqrt(squares/sets); math.Abs(bias) > 0.04 || sd > 0.18 {
			t.Errorf("%d keys: bias %.3f, standard error %.3f, want 0 and 0.15", n, bias, sd)
		}
	}
}

// TestFalls: when a crowd has left, what is there is counted exactly again.
func TestFalls(t *testing.T) {
	var s Set
	for i := range 10_000 {
		s.Add(mix(uint64(i)), false, 1)
	}
	for pane := uint32(2); pane < 40; pane++ {
		for i := range 5 {
			s.Add(mix(uint64(i)), false, pane)
		}
	}
	if got, _ := s.Count(39); got != 5 {
		t.Errorf("counted %d of five", got)
	}
}

// TestOvertaken: a request that comes a pane late is as good as one of now.
func TestOvertaken(t *testing.T) {
	var s Set
	s.Add(mix(1), false, 5)
	s.Add(mix(2), false, 4)
	if got, _ := s.Count(5 + Panes); got != 2 {
		t.Errorf("counted %d of two", got)
	}
	if got, _ := s.Count(2); got != 0 {
		t.Errorf("counted %d after the clock went back", got)
	}
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
