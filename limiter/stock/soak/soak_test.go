package soak

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// at most so many worlds at once: most of their time they wait.
const together = "6"

// kept is where seeds that have failed are, to be tried first.
var kept = filepath.Join("testdata", "seeds", "failed")

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", together)
	os.Exit(m.Run())
}

// TestSoak is short unless PENSTOCK_SOAK says for how long to go on. PENSTOCK_SEED tries
// one seed alone.
func TestSoak(t *testing.T) {
	tally := &Tally{}
	defer func() { fmt.Print(tally) }()
	if s := os.Getenv("PENSTOCK_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		worlds(t, tally, []uint64{seed})
		return
	}
	long := os.Getenv("PENSTOCK_SOAK")
	if long == "" {
		random := rand.Uint64() >> 16
		t.Logf("random seed %d", random)
		worlds(t, tally, append(failedBefore(t), append(fixed(), random)...))
		return
	}
	d, err := time.ParseDuration(long)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		var seeds []uint64
		for first := rand.Uint64() >> 16; len(seeds) < 4*sites; first++ {
			seeds = append(seeds, first)
		}
		worlds(t, tally, seeds)
	}
}

// fixed are two seeds of every site.
func fixed() (seeds []uint64) {
	for n := range uint64(2 * sites) {
		seeds = append(seeds, n)
	}
	return seeds
}

func worlds(t *testing.T, tally *Tally, seeds []uint64) {
	var mu sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for _, seed := range seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, seed, tally)
				w.play()
				if t.Failed() {
					mu.Lock()
					defer mu.Unlock()
					keep(t, seed)
				}
			})
		}
	})
}

// failedBefore are the seeds that have been kept.
func failedBefore(t *testing.T) (seeds []uint64) {
	f, err := os.Open(kept)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		seed, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", kept, err)
		}
		seeds = append(seeds, seed)
	}
	return seeds
}

func keep(t *testing.T, seed uint64) {
	if slices.Contains(append(fixed(), failedBefore(t)...), seed) {
		return
	}
	f, err := os.OpenFile(kept, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err == nil {
		fmt.Fprintln(f, seed)
		err = f.Close()
	}
	if err != nil {
		t.Errorf("keep seed %d: %v", seed, err)
	}
}
