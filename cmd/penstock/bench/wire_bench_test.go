package bench

import (
	"fmt"
	"testing"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
)

// loads are multiples of what the shop can do.
var loads = []float64{1, 2, 5, 20}

// BenchmarkWire: the sample shop.
func BenchmarkWire(b *testing.B) {
	r := newReport("WIRE.md", "On the wire: the sample shop", "make bench-wire")
	compare(b, r, sampleShop("-flow=redirect"))
	r.write(b)
}

// BenchmarkLegacy: Apache with mod_php.
func BenchmarkLegacy(b *testing.B) {
	r := newReport("LEGACY.md", "On the wire: a legacy shop", "make bench-legacy")
	compare(b, r, legacyShop())
	r.write(b)
}

// compare sends browsers, and then buyers, at every load through every front.
func compare(b *testing.B, r *report, s *shop) {
	rounds, measured := setInt(b, "PENSTOCK_ROUNDS", 3), time.Duration(setInt(b, "PENSTOCK_SECONDS", 8))*time.Second
	for _, crowds := range []struct {
		title string
		step  crowd.Step
	}{{"Browsers", s.page}, {"Buyers, with units enough for all", s.buy}} {
		who := visitors(crowds.step)
		r.line("")
		r.line("## %s", crowds.title)
		r.line("")
		best, capacity := sweep(b, r, s, who)
		warm := warm
		if capacity < few {
			warm *= 3
		}
		fronts := []front{alone, haproxy(best), penstock(penstockConf, "BUYERSWAIT", best.queue.String())}
		var all []map[key]figures
		for n := range rounds {
			round := map[key]figures{}
			for _, load := range loads {
				for i := range fronts { // who begins changes from round to round
					f := fronts[(i+n)%len(fronts)]
					m := measure(b, f, s, who, load*capacity, warm, measured, uint64(n+1))
					round[key{load, f.name}] = m
					b.Logf("round %d, %g×, %s: %.1f useful/s, p99 %v, refused %.0f, waited %.0f, lost %.0f %v", n+1, load, f.name, m.goodput(), m.P99, m.Refused, m.Waited, m.Lost, m.Losses)
				}
			}
			all = append(all, round)
		}
		r.line("")
		r.line("%s. 1× is %.0f requests/s: what HAProxy got out of it at twice that, with the best of its settings (%v). Useful is an answer within %v of its scheduled arrival. Medians of %d rounds of %v, each after %v of the same load; ratios are within a round, with their range.", s.name, capacity, best, useful, rounds, measured, warm)
		r.line("")
		r.table(loads, fronts, all)
		for _, load := range loads {
			var g, p []float64
			for _, round := range all {
				x, h := round[key{load, "Penstock"}], round[key{load, "HAProxy"}]
				g, p = append(g, ratio(x.goodput(), h.goodput())), append(p, ratio(x.P99.Seconds(), h.P99.Seconds()))
			}
			_, goodput, _ := spread(g)
			_, slow, _ := spread(p)
			b.ReportMetric(goodput, fmt.Sprintf("%s-goodput-to-haproxy@%gx", crowds.step.Class, load))
			b.ReportMetric(slow, fmt.Sprintf("%s-p99-to-haproxy@%gx", crowds.step.Class, load))
		}
	}
	b.ReportMetric(0, "ns/op")
}
