package crowd

import (
	"math"
	"math/rand/v2"
	"time"
)

// When visitors arrive: drawn from the seed alone, before and without any answer.

// schedule draws arrivals one by one, by thinning: candidates come at the phase's
// highest rate, and each is kept with the chance that its moment has.
type schedule struct {
	phases []Phase
	rnd    *rand.Rand
	phase  int
	began  time.Duration // of the phase
	at     float64       // seconds into the phase
}

func newSchedule(p *Plan) *schedule {
	return &schedule{phases: p.Phases, rnd: rand.New(rand.NewPCG(p.Seed, 0))}
}

// next is the next arrival, from the start of the run; ok is false after the last.
func (s *schedule) next() (due time.Duration, ok bool) {
	for s.phase < len(s.phases) {
		p := &s.phases[s.phase]
		if peak := max(p.Rate, p.From); peak > 0 {
			for {
				s.at += s.rnd.ExpFloat64() / peak
				if s.at >= p.For.Seconds() {
					break
				}
				if s.rnd.Float64()*peak < p.rate(s.at) {
					return s.began + time.Duration(s.at*float64(time.Second)), true
				}
			}
		}
		s.began += p.For
		s.phase++
		s.at = 0 // the process has no memory
	}
	return 0, false
}

// rate is visitors per second at a moment of the phase.
func (p *Phase) rate(at float64) float64 {
	switch p.Shape {
	case Ramp:
		return p.From + (p.Rate-p.From)*at/p.For.Seconds()
	case Spikes:
		if math.Mod(at, p.Every.Seconds()) >= p.Width.Seconds() {
			return p.From
		}
	}
	return p.Rate
}

// expected is how many visitors will arrive, on average.
func (p *Phase) expected() float64 {
	switch p.Shape {
	case Ramp:
		return p.For.Seconds() * (p.From + p.Rate) / 2
	case Spikes:
		within := p.Width.Seconds() / p.Every.Seconds()
		return p.For.Seconds() * (p.Rate*within + p.From*(1-within))
	}
	return p.For.Seconds() * p.Rate
}

// spans are where the phases lie.
func (p *Plan) spans() []Span {
	spans := make([]Span, 0, len(p.Phases))
	var at time.Duration
	for _, f := range p.Phases {
		spans = append(spans, Span{f.Name, at, at + f.For})
		at += f.For
	}
	return spans
}
