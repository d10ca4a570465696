package matrix

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// What is made of a played cell.

type score struct {
	parts    []float64 // of the oracle's goodput, by phase
	whole    float64   // the same of all the time after the step
	rest     float64   // the same from second 5 on
	stays    float64   // seconds until at least 90 % is reached for good; +Inf: never
	p99      time.Duration
	bestP99  time.Duration
	peak     float64 // requests inside the origin, of the oracle's limit
	needless float64 // refusals while less than 90 % of the capacity was offered, of the offers
	winners  float64 // served; NaN: there were none
	winWait  time.Duration
	jain     float64 // of the gateways' useful answers
	travel   float64 // sum of |Δ ln limit| in the last half minute
}

func (p *played) sum(ph phase, of func(*moment) float64) float64 {
	total := 0.
	for i := int((ph.from + preload) / bucket); i < int((ph.to+preload)/bucket); i++ {
		total += of(&p.moments[i])
	}
	return total
}

// goodput is useful answers/s.
func (p *played) goodput(ph phase) float64 {
	return p.sum(ph, func(m *moment) float64 { return m.useful }) / (ph.to - ph.from).Seconds()
}

func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(of))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// judge compares with the best.
func (p *played) judge(phases []phase, bests []best, l load) score {
	s := score{winners: math.NaN(), jain: math.NaN(), stays: math.Inf(1)}
	got, possible, knee := [2]float64{}, [2]float64{}, 0
	for i, ph := range phases {
		g := p.goodput(ph)
		s.parts = append(s.parts, g/bests[i].goodput) // NaN where nothing is possible
		for j, from := range []time.Duration{0, 5 * time.Second} {
			if ph.from >= from {
				got[j] += g * (ph.to - ph.from).Seconds()
				possible[j] += bests[i].goodput * (ph.to - ph.from).Seconds()
			}
		}
		if ph.steady == i {
			knee = max(knee, bests[i].n)
		}
	}
	s.whole, s.rest = got[0]/possible[0], got[1]/possible[1]
	s.stays = p.stays(phases, bests)
	s.p99, s.bestP99 = quantile(p.waits, .99), bests[len(bests)-1].p99
	s.peak = float64(p.peak) / float64(knee)
	whole := phase{to: lasts}
	offered := p.sum(whole, func(m *moment) float64 { return m.offered })
	if !l.overloads() {
		s.needless = p.sum(whole, func(m *moment) float64 { return m.refused + m.gaveUp }) / max(1, offered)
	}
	if p.won > 0 {
		s.winners, s.winWait = float64(p.served)/float64(p.won), quantile(p.winWaits, .99)
	}
	if len(p.shares) > 1 && !l.joins {
		s.jain = jain(p.shares)
	}
	for i := buckets/2 + buckets/14; i < buckets; i++ {
		if a, b := p.moments[i-1].limit, p.moments[i].limit; a > 0 && b > 0 {
			s.travel += math.Abs(math.Log(b / a))
		}
	}
	return s
}

// stays is the time from which every window has at least 90 % of what was possible. The
// window is as long as 1500 answers take, so that chance does not decide.
func (p *played) stays(phases []phase, bests []best) float64 {
	ideal := func(t time.Duration) float64 {
		for i, ph := range phases {
			if t < ph.to {
				return bests[i].goodput
			}
		}
		return bests[len(bests)-1].goodput
	}
	rate := bests[len(bests)-1].goodput
	w := min(5*time.Second, max(time.Second, time.Duration(1500/max(rate, 1)*float64(time.Second)))).Round(bucket)
	from := math.Inf(1)
	for t := lasts - w; t >= 0; t -= bucket {
		possible := 0.
		for u := t; u < t+w; u += bucket {
			possible += ideal(u) * bucket.Seconds()
		}
		if p.goodput(phase{from: t, to: t + w})*w.Seconds() < .9*possible {
			break
		}
		from = t.Seconds()
	}
	return from
}

// jain is the fairness index of what each got: every gateway has more to do than it gets.
func jain(got []float64) float64 {
	sum, squares := 0., 0.
	for _, x := range got {
		sum, squares = sum+x, squares+x*x
	}
	return sum * sum / (float64(len(got)) * squares)
}

// trace is a line per step, a multiple of bucket. Counts are per second.
func (p *played) trace(phases []phase, bests []best, step time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%5s %9s %9s %7s %6s %6s %7s %7s %6s %6s %6s %5s  %s\n",
		"s", "offered", "refused", "gave up", "inside", "limit", "useful", "of best", "late", "failed", "gone", "", "moves")
	for t := -preload; t < lasts; t += step {
		ph := phase{from: t, to: t + step}
		rate := func(of func(*moment) float64) float64 { return p.sum(ph, of) / step.Seconds() }
		ideal := math.NaN()
		for i := range phases {
			if t >= phases[i].from && t < phases[i].to {
				ideal = bests[i].goodput
			}
		}
		of, bar := p.goodput(ph)/ideal, ""
		if of == of {
			bar = strings.Repeat("#", int(max(0, min(5, math.Round(of*5)))))
		}
		fmt.Fprintf(&b, "%5.1f %9.0f %9.0f %7.0f %6.0f %6.0f %7.0f %6.0f%% %6.0f %6.0f %6.0f %-5s  %s\n",
			t.Seconds(), rate(func(m *moment) float64 { return m.offered }),
			rate(func(m *moment) float64 { return m.refused }),
			rate(func(m *moment) float64 { return m.gaveUp }),
			rate(func(m *moment) float64 { return m.inside })*bucket.Seconds(),
			p.moments[int((ph.to+preload)/bucket)-1].limit, p.goodput(ph), 100*of,
			rate(func(m *moment) float64 { return m.late }),
			rate(func(m *moment) float64 { return m.failed }),
			rate(func(m *moment) float64 { return m.gone }), bar, strings.Join(p.movesIn(ph), "; "))
	}
	return b.String()
}

// movesIn are the reasons the limiter gave in a phase, or else the limit's moves as they
// look from outside.
func (p *played) movesIn(ph phase) (moves []string) {
	for _, m := range p.moves {
		if m.at >= ph.from && m.at < ph.to {
			moves = append(moves, m.reason)
		}
	}
	if len(p.moves) > 0 {
		return moves
	}
	for i := max(1, int((ph.from+preload)/bucket)); i < int((ph.to+preload)/bucket); i++ {
		if a, b := p.moments[i-1].limit, p.moments[i].limit; a != b {
			moves = append(moves, fmt.Sprintf("%.0f→%.0f", a, b))
		}
	}
	return moves
}

func (s score) String() string {
	var b strings.Builder
	for i, x := range s.parts {
		if i > 0 {
			b.WriteString(" / ")
		}
		fmt.Fprintf(&b, "%.1f", 100*x)
	}
	fmt.Fprintf(&b, " %% (whole %.1f %%), stays from %.1f s, p99 %v (best %v), peak %.2f, travel %.2f",
		100*s.whole, s.stays, s.p99.Round(time.Millisecond), s.bestP99, s.peak, s.travel)
	if s.needless > 0 {
		fmt.Fprintf(&b, ", needless %.3f %%", 100*s.needless)
	}
	if s.winners == s.winners {
		fmt.Fprintf(&b, ", winners %.2f %% p99 wait %v", 100*s.winners, s.winWait.Round(100*time.Microsecond))
	}
	if s.jain == s.jain {
		fmt.Fprintf(&b, ", Jain %.3f", s.jain)
	}
	return b.String()
}
