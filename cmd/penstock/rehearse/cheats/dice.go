package cheats

import (
	"math"
	"math/rand/v2"
	"time"
)

// dice draws what a crowd is made of.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

func (d dice) chance(p float64) bool { return d.Float64() < p }

// n is a whole number from low to high, both of them possible.
func (d dice) n(low, high int) int { return low + d.IntN(high-low+1) }

func (d dice) between(low, high float64) float64 { return low + (high-low)*d.Float64() }

// about is a number from low to high that is as often below their geometric mean as above.
func (d dice) about(low, high float64) float64 {
	return low * math.Pow(high/low, d.Float64())
}

func (d dice) span(low, high time.Duration) time.Duration {
	return low + time.Duration(d.Float64()*float64(high-low))
}

// spread is log-normal.
func (d dice) spread(median time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(sigma*d.NormFloat64()))
}

func (d dice) exponential(mean time.Duration) time.Duration {
	return time.Duration(d.ExpFloat64() * float64(mean))
}

// hashes is how many a proof of work takes that is expected to take parts × each: every
// part is found as by chance.
func (d dice) hashes(parts int, each float64) float64 {
	sum := 0.0
	for range parts {
		sum += d.ExpFloat64() * each
	}
	return sum
}
