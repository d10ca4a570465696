package gatetest

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

func TestMain(m *testing.M) {
	flag.Set("rapid.nofailfile", "true") // most of these tests are about failing
	flag.Set("rapid.shrinktime", "0s")
	os.Exit(m.Run())
}

// counter is a gate that holds: at most two requests per account. Its flags break it.
type counter struct {
	mu   sync.Mutex
	held map[string]int

	leaks, zero, keeps, ignoresSale, writes, races, allocates, hoards bool

	waits chan struct{}
}

const most = 2

func (c *counter) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	if f.Sale == nil && !c.ignoresSale {
		return gate.Admit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.held[f.Account]
	if c.races {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	switch {
	case n < most:
	case c.waits != nil:
		c.mu.Unlock()
		<-c.waits
		c.mu.Lock()
		return c.refuse(f)
	case c.zero:
		return gate.Verdict{}
	default:
		return c.refuse(f)
	}
	c.set(f.Account, n+1)
	if c.writes {
		f.Units++
	}
	return gate.Admit
}

func (c *counter) refuse(f *gate.Facts) gate.Verdict {
	if c.leaks {
		c.set(f.Account, most+1)
	}
	if c.allocates {
		runtime.KeepAlive(fmt.Sprint("refused ", f.IP))
	}
	return gate.Verdict{Reason: gate.InFlight, Retry: time.Second}
}

func (c *counter) Release(f *gate.Facts, _ gate.End) {
	if f.Sale == nil && !c.ignoresSale {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(f.Account, c.held[f.Account]-1)
}

// set clones the key even where it is there already: an assignment to a map puts the
// new string in the old one's place.
func (c *counter) set(account string, n int) {
	if !c.keeps {
		account = strings.Clone(account)
	}
	if c.held[account] = n; n == 0 && !c.hoards {
		delete(c.held, account)
	}
}

func subject(breakIt func(*counter)) Subject {
	sale := &rules.Sale{Name: "s"}
	return Subject{
		New: func(testing.TB) gate.Gate {
			c := &counter{held: map[string]int{}}
			breakIt(c)
			return c
		},
		Facts: func(i int) *gate.Facts {
			return &gate.Facts{
				At: time.Unix(1, 0), IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
				Account: fmt.Sprintf("c:%d", i), Sale: sale, Units: 1,
			}
		},
		Capacity: most, Holds: true, Memory: 1 << 20,
	}
}

func TestSoundGatePasses(t *testing.T) { Run(t, subject(func(*counter) {})) }

func TestBrokenGateFails(t *testing.T) {
	f := func(check string, breakIt func(*counter)) {
		t.Helper()
		for _, c := range checks {
			if c.name == check && !recorded(t, func(tb testing.TB) { c.run(tb, subject(breakIt)) }) {
				t.Errorf("check %q passed a gate broken for it", check)
			}
		}
	}
	f("capacity", func(c *counter) { c.zero = true })
	f("sequences", func(c *counter) { c.zero = true })
	f("sequences", func(c *counter) { c.leaks = true })
	f("sequences", func(c *counter) { c.keeps = true })
	f("sequences", func(c *counter) { c.writes = true })
	f("concurrent", func(c *counter) { c.races = true })
	f("concurrent", func(c *counter) { c.leaks = true })
	synctest.Test(t, func(t *testing.T) { // the check's patience is no real time
		never := make(chan struct{})
		if !recorded(t, func(tb testing.TB) { deadContext(tb, subject(func(c *counter) { c.waits = never })) }) {
			t.Errorf("check %q passed a gate that waits for ever", "dead context")
		}
		close(never)
	})
	f("no sale", func(c *counter) { c.ignoresSale = true })
	f("memory", func(c *counter) { c.hoards = true })
	if !race {
		f("allocations", func(c *counter) { c.allocates = true })
	}
}

// recorder keeps a broken gate's failure from failing the test that wants it.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
}

// recorded reports whether check failed.
func recorded(t *testing.T, check func(testing.TB)) bool {
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { check(r) })
	wg.Wait()
	return r.Failed()
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) FailNow()              { r.Fail(); runtime.Goexit() }
func (r *recorder) Error(...any)          { r.Fail() }
func (r *recorder) Errorf(string, ...any) { r.Fail() }
func (r *recorder) Fatal(...any)          { r.FailNow() }
func (r *recorder) Fatalf(string, ...any) { r.FailNow() }
func (r *recorder) Log(...any)            {}
func (r *recorder) Logf(string, ...any)   {}
