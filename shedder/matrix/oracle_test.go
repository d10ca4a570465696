package matrix

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a hundred percent is: the best fixed limit for each phase of a cell. Which one that
// is was found by search, with seeds that no limiter is measured with, and is kept in
// oracle.tsv; rows that are not there are searched for when they are needed. What it gets
// is measured again with the seed of the cell it is compared with, because one seed's
// crowd brings more work than another's.

const oracleFile = "oracle.tsv"

// phase is a part of the time after the step. steady is the phase it leads to: a limit
// that cannot be kept is no yardstick, however much comes through in its first second.
type phase struct {
	from, to time.Duration
	steady   int
}

func (p phase) String() string { return fmt.Sprintf("%g-%g s", p.from.Seconds(), p.to.Seconds()) }

// phasesOf are the parts in which a cell is judged: the step, and whatever happens to the
// origin or the crowd 20 s later.
func phasesOf(origin, load string) []phase {
	all := []phase{{0, 1, 2}, {1, 5, 2}, {5, 60, 2}}
	switch {
	case origin == "O6":
		all = []phase{{0, 1, 2}, {1, 5, 2}, {5, 20, 2}, {20, 25, 4}, {25, 35, 4}, {35, 40, 6}, {40, 60, 6}}
	case origin == "O7", load == "mix":
		all = []phase{{0, 1, 2}, {1, 5, 2}, {5, 20, 2}, {20, 35, 4}, {35, 60, 4}}
	case origin == "O9":
		all = []phase{{0, 1, 2}, {1, 5, 2}, {5, 20, 2}, {20, 28, 3}, {28, 31, 5}, {31, 60, 5}}
	case origin == "O12":
		all = []phase{{0, 1, 2}, {1, 5, 2}, {5, 20, 2}, {20, 23, 3}, {23, 26, 5}, {26, 60, 5}}
	}
	for i := range all {
		all[i].from *= time.Second
		all[i].to *= time.Second
	}
	return all
}

// best is the oracle's row for one phase.
type best struct {
	n       int     // the limit
	goodput float64 // useful answers/s
	p99     time.Duration
}

type oracle struct {
	mu    sync.Mutex
	rows  map[string][]best      // by origin/load, of the search
	same  map[string][]best      // by origin/load/limit/seed
	turns map[string]*sync.Mutex // by origin/load: one search at a time
	log   func(string, ...any)
	dirt  bool
}

func openOracle(log func(string, ...any)) (*oracle, error) {
	o := &oracle{rows: map[string][]best{}, same: map[string][]best{}, turns: map[string]*sync.Mutex{}, log: log}
	raw, err := os.ReadFile(oracleFile)
	if os.IsNotExist(err) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read oracle: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || len(f) != 6 {
			continue
		}
		n, err := strconv.Atoi(f[3])
		if err != nil {
			return nil, fmt.Errorf("read oracle: %w", err)
		}
		goodput, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return nil, fmt.Errorf("read oracle: %w", err)
		}
		p99, err := time.ParseDuration(f[5])
		if err != nil {
			return nil, fmt.Errorf("read oracle: %w", err)
		}
		o.rows[f[0]+"/"+f[1]] = append(o.rows[f[0]+"/"+f[1]], best{n, goodput, p99})
	}
	return o, nil
}

func (o *oracle) save() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.dirt {
		return nil
	}
	var b strings.Builder
	b.WriteString("# The best fixed limit by origin, crowd and phase: limit, useful answers/s, 99th percentile.\n# Made again by: rm shedder/matrix/oracle.tsv && make bench-overload\n")
	for _, cell := range slices.Sorted(maps.Keys(o.rows)) {
		origin, load, _ := strings.Cut(cell, "/")
		for i, p := range phasesOf(origin, load) {
			row := o.rows[cell][i]
			fmt.Fprintf(&b, "%s\t%s\t%v\t%d\t%.1f\t%v\n", origin, load, p, row.n, row.goodput, row.p99.Round(time.Millisecond))
		}
	}
	if err := os.WriteFile(oracleFile, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("save oracle: %w", err)
	}
	return nil
}

// with is what the best limits get with a seed.
func (o *oracle) with(t *testing.T, origin string, l load, seed uint64) []best {
	t.Helper()
	rows := slices.Clone(o.of(t, origin, l))
	phases := phasesOf(origin, l.yardstick())
	for i := range rows {
		key := fmt.Sprintf("%s/%s/%d/%d", origin, l.yardstick(), rows[i].n, seed)
		o.mu.Lock()
		same := o.same[key]
		o.mu.Unlock()
		if same == nil {
			same = measure(bubble(t, origin, l.alone(), fmt.Sprint("fixed", rows[i].n), 0, seed), rows[i].n, phases)
			o.mu.Lock()
			o.same[key] = same
			o.mu.Unlock()
		}
		rows[i] = same[i]
	}
	return rows
}

// measure is what a played cell brought in each phase.
func measure(p *played, n int, phases []phase) []best {
	p99 := quantile(p.waits, .99)
	row := make([]best, len(phases))
	for i, ph := range phases {
		row[i] = best{n, p.goodput(ph), p99}
	}
	return row
}

// yardstick is the name of the load whose best limit is the measure: several gateways
// are measured by one that sees all.
func (l *load) yardstick() string {
	if l.gateways > 0 {
		return "step10"
	}
	return l.name
}

// overloads reports whether more than the capacity is ever offered.
func (l *load) overloads() bool {
	for t := time.Duration(0); t < lasts; t += bucket {
		if l.factor(t) > .9 {
			return true
		}
	}
	return false
}

func (l load) alone() load {
	l.gateways, l.skewed, l.clocks, l.joins = 0, false, 0, false
	return l
}

// of looks a cell up, or searches for it: a coarse ladder, then a finer one around what
// was best in any phase.
func (o *oracle) of(t *testing.T, origin string, l load) []best {
	t.Helper()
	key := origin + "/" + l.yardstick()
	o.mu.Lock()
	if o.turns[key] == nil {
		o.turns[key] = new(sync.Mutex)
	}
	turn := o.turns[key]
	o.mu.Unlock()
	turn.Lock()
	defer turn.Unlock()
	o.mu.Lock()
	rows := o.rows[key]
	o.mu.Unlock()
	phases := phasesOf(origin, l.yardstick())
	if len(rows) == len(phases) {
		return rows
	}
	var step10 []best
	if l.yardstick() != "step10" {
		plain, _ := loadNamed("step10")
		step10 = o.of(t, origin, plain)
	}
	l = l.alone()
	tried := map[int][]best{} // by limit
	top := 0.
	try := func(n int, seeds ...uint64) (pays bool) {
		row := make([]best, len(phases))
		for _, seed := range seeds {
			for i, m := range measure(bubble(t, origin, l, fmt.Sprint("fixed", n), 0, seed), n, phases) {
				row[i].n = n
				row[i].goodput += m.goodput / float64(len(seeds))
				row[i].p99 += m.p99 / time.Duration(len(seeds))
			}
		}
		for i := range row {
			pays = pays || row[i].goodput > .5*top
			top = max(top, row[i].goodput)
		}
		tried[n] = row
		return pays
	}
	if !l.overloads() { // any limit would do: take the one that is right under overload
		kept := step10[phasesOf(origin, "step10")[0].steady].n
		try(kept, 901, 902)
		return o.keep(key, tried[kept])
	}
	from, to := 6., float64(mostSlots)
	if step10 != nil && l.checkout == nil {
		from, to = mostSlots, 0
		for _, b := range step10 {
			from, to = min(from, .75*float64(b.n)), max(to, 1.4*float64(b.n))
		}
	}
	for n := from; n <= to; n *= 1.5 {
		if !try(int(n), 901) {
			break // far past the peak in every phase
		}
	}
	fine := map[int]bool{}
	for _, b := range pick(tried, phases) {
		for _, f := range []float64{.75, .87, 1, 1.15, 1.3} {
			if n := max(1, int(math.Round(float64(b.n)*f))); !fine[n] {
				fine[n] = true
				try(n, 901, 902)
			}
		}
	}
	maps.DeleteFunc(tried, func(n int, _ []best) bool { return !fine[n] })
	found := pick(tried, phases)
	o.log("oracle %s: %d limits tried, %v", key, len(tried), found)
	return o.keep(key, found)
}

func (o *oracle) keep(key string, rows []best) []best {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows[key], o.dirt = rows, true
	return rows
}

// pick takes the best limit for each phase, of those that come near the best in the
// phase it leads to.
func pick(tried map[int][]best, phases []phase) []best {
	top := func(i int, among func([]best) bool) (b best) {
		for _, n := range slices.Sorted(maps.Keys(tried)) {
			if row := tried[n]; among(row) && (b.n == 0 || row[i].goodput > 1.002*b.goodput) {
				b = row[i]
			}
		}
		return b
	}
	found := make([]best, len(phases))
	for i, ph := range phases {
		kept := top(ph.steady, func([]best) bool { return true })
		found[i] = top(i, func(row []best) bool { return row[ph.steady].goodput >= .97*kept.goodput })
	}
	return found
}
