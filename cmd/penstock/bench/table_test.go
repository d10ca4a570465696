package bench

// Rounds as a table.

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// report is a text that grows while the rounds go on, and is written to a file whole.
type report struct {
	file string
	text strings.Builder
}

func newReport(file, title, command string) *report {
	r := &report{file: file}
	r.line("# %s", title)
	r.line("")
	r.line("Made by `%s` on %s, %d processors for crowd, proxy and shop together, %s.", command, time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.Version())
	return r
}

func (r *report) line(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

func (r *report) write(tb testing.TB) {
	tb.Helper()
	fmt.Print(r.text.String())
	if err := os.WriteFile(r.file, []byte(r.text.String()), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// key is one cell of the experiment.
type key struct {
	load  float64
	front string
}

// table writes the rounds: medians, and for what is a ratio to HAProxy in the same round
// the least and the greatest as well.
func (r *report) table(loads []float64, fronts []front, rounds []map[key]figures) {
	r.line("| load | before the shop | useful/s | to HAProxy | served/s | p50 | p99 | p99 to HAProxy | refused | on arrival, p99 | after a wait | lost | crowd's lag, p99 |")
	r.line("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, load := range loads {
		for _, f := range fronts {
			k, h := key{load, f.name}, key{load, "HAProxy"}
			of := func(get func(x, haproxy figures) float64) (v []float64) {
				for _, round := range rounds {
					v = append(v, get(round[k], round[h]))
				}
				return v
			}
			median := func(get func(x figures) float64) float64 {
				_, m, _ := spread(of(func(x, _ figures) float64 { return get(x) }))
				return m
			}
			ranged := func(get func(x, haproxy figures) float64) string {
				least, m, most := spread(of(get))
				return fmt.Sprintf("%.2f (%.2f–%.2f)", m, least, most)
			}
			ms := func(get func(x figures) time.Duration) string {
				return fmt.Sprintf("%.1f ms", median(func(x figures) float64 { return get(x).Seconds() * 1000 }))
			}
			r.line("| %g× | %s | %.1f | %s | %.1f | %s | %s | %s | %.1f %% | %s | %.2f %% | %.2f %% | %s |", load, f.name,
				median(func(x figures) float64 { return x.goodput() }),
				ranged(func(x, y figures) float64 { return ratio(x.goodput(), y.goodput()) }),
				median(func(x figures) float64 { return x.Served / x.Seconds }),
				ms(func(x figures) time.Duration { return x.P50 }), ms(func(x figures) time.Duration { return x.P99 }),
				ranged(func(x, y figures) float64 { return ratio(x.P99.Seconds(), y.P99.Seconds()) }),
				median(func(x figures) float64 { return 100 * ratio(x.Refused, x.Arrivals) }),
				ms(func(x figures) time.Duration { return x.Arrival }),
				median(func(x figures) float64 { return 100 * ratio(x.Waited, x.Refused) }),
				median(func(x figures) float64 { return 100 * ratio(x.Lost, x.Arrivals) }),
				ms(func(x figures) time.Duration { return x.Lag }))
		}
	}
}
