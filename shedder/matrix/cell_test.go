package matrix

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain takes one processor where cells are compared with what they brought before:
// then a seed is a history. The full form takes all.
func TestMain(m *testing.M) {
	if os.Getenv("MATRIX_SEEDS") == "" {
		runtime.GOMAXPROCS(1)
	}
	os.Exit(m.Run())
}

// TestCell plays what MATRIX names, and prints a line per second (or MATRIX_STEP, at least
// 100ms): origin/load/limiter/seed=n. Several, with commas between them, or several seeds (seed=1-5), are played without.
func TestCell(t *testing.T) {
	which := os.Getenv("MATRIX")
	asked := which != ""
	if !asked {
		which = "H1/steady80/fixed10/seed=1"
	}
	o, err := openOracle(t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := parse(which)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if asked {
			if err := o.save(); err != nil {
				t.Error(err)
			}
		}
	}()
	for _, c := range cells {
		began := time.Now()
		got := c.play(t, o)
		if asked && len(cells) == 1 {
			step, err := time.ParseDuration(os.Getenv("MATRIX_STEP"))
			if err != nil || step < bucket {
				step = time.Second
			}
			fmt.Print(got.trace(got.phases, got.bests, step.Truncate(bucket)))
		}
		if asked {
			fmt.Printf("%s: %v [%.1fs]\n", c, got.score, time.Since(began).Seconds())
		} else if got.whole < .95 || got.whole > 1.03 {
			t.Errorf("%s: %v, want about all of it", c, got.score)
		}
	}
}

type cell struct {
	origin, load, limiter string
	seed                  uint64
}

func (c cell) String() string {
	return fmt.Sprintf("%s/%s/%s/seed=%d", c.origin, c.load, c.limiter, c.seed)
}

// outcome is a played cell, and what it is worth.
type outcome struct {
	*played
	phases []phase
	bests  []best
	score
}

func (c cell) play(t *testing.T, o *oracle) outcome {
	t.Helper()
	l, ok := loadNamed(c.load)
	if !ok {
		t.Fatalf("there is no load %q", c.load)
	}
	return c.against(t, l, o.with(t, c.origin, l, c.seed))
}

func (c cell) against(t *testing.T, l load, bests []best) outcome {
	t.Helper()
	phases := phasesOf(c.origin, l.yardstick())
	p := bubble(t, c.origin, l, c.limiter, bests[phases[0].steady].n, c.seed)
	return outcome{p, phases, bests, p.judge(phases, bests, l)}
}

// parse reads cells as String writes them.
func parse(list string) (cells []cell, err error) {
	for one := range strings.SplitSeq(list, ",") {
		f := strings.Split(strings.TrimSpace(one), "/")
		if len(f) == 3 {
			f = append(f, "seed=1")
		}
		if len(f) != 4 {
			return nil, fmt.Errorf("read cell: %q is not origin/load/limiter/seed=n", one)
		}
		first, last, several := strings.Cut(strings.TrimPrefix(f[3], "seed="), "-")
		if !several {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read cell: %w", err)
		}
		to, err := strconv.ParseUint(last, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read cell: %w", err)
		}
		for seed := from; seed <= to; seed++ {
			cells = append(cells, cell{f[0], f[1], f[2], seed})
		}
	}
	return cells, nil
}
