package stock_test

// The suite is tried itself: each safeguard of the state machine is taken away in turn, in
// each place that has it, and some test must notice. Tests that nothing can turn red guard
// nothing. What a safeguard is, is said by package guard; what takes one away here is a
// test binary of its own, so that no other build can be without one.

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// guarded is a package with safeguards, and which of its tests must miss which.
type guarded struct {
	dir, binary string
	missed      map[string]string // -test.run by safeguard
}

const (
	inEmbedded = "^TestEmbedded$/^(single|steps)$"
	inRedis    = "^TestSingle$/^(single|steps)$"
)

var guards = []guarded{
	{"embedded", "embedded.test", map[string]string{
		"token replay":   inEmbedded,
		"tombstone":      inEmbedded,
		"start fence":    inEmbedded,
		"open token":     inEmbedded,
		"sending held":   "^TestEmbedded$/^deadlines$/^sending_past_its_deadline$",
		"lapsed account": inEmbedded,
	}},
	{"redis", "redis.test", map[string]string{
		"token replay":   inRedis,
		"tombstone":      inRedis,
		"start fence":    inRedis,
		"open token":     inRedis,
		"sending held":   "^TestSingle$/^deadlines$/^sending_past_its_deadline$",
		"lapsed account": inRedis,
		"retry token":    "^TestLostReplies$",
	}},
	{".", "stock.test", map[string]string{
		"latch bound": "^TestLatch",
	}},
}

func TestMutants(t *testing.T) {
	built := build(t)
	for _, g := range guards {
		binary := filepath.Join(built, g.binary)
		for _, tests := range slices.Compact(slices.Sorted(maps.Values(g.missed))) {
			t.Run(g.dir+" as it is", func(t *testing.T) {
				t.Parallel()
				if out, err := without(t, "", g.dir, binary, tests); err != nil || strings.Contains(out, "no tests to run") {
					t.Errorf("%s with all safeguards: %v\n%s", tests, err, out)
				}
			})
		}
		for name, tests := range g.missed {
			t.Run(g.dir+" without "+name, func(t *testing.T) {
				t.Parallel()
				out, err := without(t, name, g.dir, binary, tests)
				var red *exec.ExitError
				if !errors.As(err, &red) || !strings.Contains(out, "--- FAIL: ") {
					t.Errorf("%s did not miss it: %v\n%s", tests, err, out)
				}
			})
		}
	}
}

// build makes the test binaries from which safeguards can be taken.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	args := []string{"test", "-c", "-tags", "mutants", "-ldflags", "-s -w", "-o", dir + string(filepath.Separator)}
	for _, g := range guards {
		args = append(args, "./"+g.dir)
	}
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0") // as everything else is built: most is built already
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build test binaries: %v\n%s", err, out)
	}
	return dir
}

// without runs tests without one safeguard. They are killed if they hang, and have then
// not failed by themselves.
func without(t *testing.T, name, dir, binary, tests string) (out string, err error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	c := exec.CommandContext(ctx, binary, "-test.run", tests, "-test.failfast", "-test.timeout", "50s")
	c.Dir = dir
	c.WaitDelay = 5 * time.Second // servers of a test that was killed have its output open
	c.Env = append(os.Environ(), "PENSTOCK_MUTANT="+name)
	b, err := c.CombinedOutput()
	return string(b), err
}

// TestMutantsAreAll: what the sources call a safeguard is what is taken away.
func TestMutantsAreAll(t *testing.T) {
	named := regexp.MustCompile(`guard\.Off\("([^"]+)"\)|-- guard: (.+)`)
	for _, g := range guards {
		found := map[string]bool{}
		for _, pattern := range []string{"*.go", "lua/*.lua"} {
			files, err := filepath.Glob(filepath.Join(g.dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range named.FindAllSubmatch(text, -1) {
					if !strings.HasSuffix(file, "_test.go") {
						found[string(m[1])+string(m[2])] = true
					}
				}
			}
		}
		has, tried := slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(g.missed))
		if !slices.Equal(has, tried) {
			t.Errorf("%s has the safeguards %q, and %q are tried", g.dir, has, tried)
		}
	}
}
