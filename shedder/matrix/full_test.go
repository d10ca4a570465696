package matrix

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The full form: everything, five seeds, and RESULTS.md. `make bench-overload` sets
// MATRIX_SEEDS, without which one cell is played to see that this works. MATRIX_ONLY=O2/
// narrows it to the cells whose names contain that, and writes no file.

const resultsFile = "RESULTS.md"

var limiters = []string{"ours", "knee", "fixed", "none", "failsafe"}

// group is an origin under a crowd, for all limiters and seeds.
type group struct {
	origin, load string
	firstSeed    uint64
	limiters     []string
}

func (g group) String() string { return g.origin + "/" + g.load }

// groups are the cells: every crowd on the origin that thrashes, the main ones on the other
// plain origins, steps on the sample shop, a step on those that do something odd, and little
// more than steps of what is dear to play (O4 and H3 answer thousands a second).
func groups() (tuned, heldOut []group) {
	steps := []string{"step2", "step10", "step100"}
	for i := 1; i <= 12; i++ {
		origin, crowds := fmt.Sprint("O", i), []string{"step10"}
		switch i {
		case 1:
			crowds = slices.Concat(steps, []string{"cold100", "spikes", "steady80", "gw4", "gw8"})
		case 2:
			crowds = slices.Concat(steps, []string{
				"cold100", "half100", "ramp", "spikes", "sessions", "steady60", "steady80", "mix", "winners",
				"gw4", "gw4clocks", "gw8", "gw8clocks", "gw4joins",
			})
		case 3:
			crowds = slices.Concat(steps, []string{"steady80", "gw4"})
		case 4:
			crowds = steps
		}
		for _, load := range crowds {
			tuned = append(tuned, group{origin, load, 1, limiters})
		}
		if i != 4 {
			heldOut = append(heldOut, group{origin, "step10", 101, []string{"ours", "knee"}})
		}
	}
	for _, origin := range []string{"S1", "S2"} {
		for _, load := range append([]string{"step1"}, steps...) {
			tuned = append(tuned, group{origin, load, 1, limiters})
		}
	}
	for i := 1; i <= 3; i++ {
		crowds := []string{"step10", "steady80"}
		if i < 3 {
			crowds = append(crowds, "cold100", "spikes", "gw4", "gw8clocks")
		}
		for _, load := range crowds {
			heldOut = append(heldOut, group{fmt.Sprint("H", i), load, 101, limiters})
		}
	}
	return tuned, heldOut
}

// row is what a group came to, by limiter and seed.
type row map[string][]outcome

func TestFull(t *testing.T) {
	seeds, err := strconv.Atoi(os.Getenv("MATRIX_SEEDS"))
	only := os.Getenv("MATRIX_ONLY")
	whole := err == nil && only == ""
	if err != nil {
		seeds, only = 1, "H1/steady80"
	}
	o, err := openOracle(t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	rows := map[string]row{}
	var mu sync.Mutex
	tuned, heldOut := groups()
	all := slices.DeleteFunc(slices.Concat(tuned, heldOut), func(g group) bool { return !strings.Contains(g.String(), only) })
	t.Run("cells", func(t *testing.T) {
		for _, g := range all {
			t.Run(g.String(), func(t *testing.T) {
				t.Parallel()
				r := g.play(t, o, seeds)
				mu.Lock()
				defer mu.Unlock()
				rows[g.key()] = r
				if whole {
					fmt.Printf("%6.0fs %d/%d %s: ours %s\n", time.Since(began).Seconds(), len(rows), len(all), g, summary(r["ours"]))
					if err := o.save(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
	if len(all) == 0 {
		t.Fatalf("MATRIX_ONLY=%s is in no cell's name", only)
	}
	text := report(tuned, heldOut, rows, seeds)
	if !whole {
		t.Log("\n" + text)
		for _, g := range all {
			if !strings.Contains(text, "| "+g.origin+" | "+g.load+" | ") {
				t.Errorf("%s is not in the report", g)
			}
		}
		return
	}
	if err := os.WriteFile(resultsFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (g group) key() string { return fmt.Sprint(g, "/", g.firstSeed) }

func (g group) play(t *testing.T, o *oracle, seeds int) row {
	t.Helper()
	l, ok := loadNamed(g.load)
	if !ok {
		t.Fatalf("there is no load %q", g.load)
	}
	r := row{}
	for s := range seeds {
		seed := g.firstSeed + uint64(s)
		bests := o.with(t, g.origin, l, seed)
		for _, name := range g.limiters {
			c := cell{g.origin, g.load, name, seed}
			if name == "fixed" { // the operator's guess: what is best in the first steady phase
				c.limiter = fmt.Sprint("fixed", max(1, bests[phasesOf(g.origin, l.yardstick())[0].steady].n/max(1, l.gateways)))
			}
			if name == "none" && (s > 0 || !slices.Contains([]string{"step1", "step2", "step10", "steady60", "steady80"}, g.load)) {
				continue // it is next to nothing everywhere, and takes long
			}
			got := c.against(t, l, bests)
			got.played = nil // only the score is kept
			r[name] = append(r[name], got)
		}
	}
	return r
}

// over makes one number of a limiter's seeds.
func over(of []outcome, number func(*score) float64, join func(a, b float64) float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	x := number(&of[0].score)
	for i := range of[1:] {
		x = join(x, number(&of[i+1].score))
	}
	return x
}

func mean(of []outcome, number func(*score) float64) float64 {
	return over(of, number, func(a, b float64) float64 { return a + b }) / float64(len(of))
}

func lowest(of []outcome, number func(*score) float64) float64 {
	return over(of, number, func(a, b float64) float64 { return min(a, b) })
}

func highest(of []outcome, number func(*score) float64) float64 {
	return over(of, number, func(a, b float64) float64 { return max(a, b) })
}

func rest(s *score) float64 { return s.rest }

func percent(x float64) string {
	if x != x {
		return "–"
	}
	return fmt.Sprintf("%.1f", 100*x)
}

func plain(x float64, digits int) string {
	if x != x {
		return "–"
	}
	if math.IsInf(x, 1) {
		return "never"
	}
	return strconv.FormatFloat(x, 'f', digits, 64)
}

// summary is a limiter's mean from second 5 on, with the worst seed.
func summary(of []outcome) string {
	if len(of) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s)", percent(mean(of, rest)), percent(lowest(of, rest)))
}
