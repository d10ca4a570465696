package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"penstock/limiter/stock"
	"penstock/rules"
)

// door is a front that notes when it is told to shut.
type door struct{ shut time.Time }

func (d *door) Shutdown(context.Context) error {
	d.shut = time.Now()
	return nil
}

// TestDrainDelay: balancers need the delay to see red, so only a second request to leave
// cuts it short; reading the file again has no point any more.
func TestDrainDelay(t *testing.T) {
	const delay = 5 * time.Second
	after := func(want time.Duration, sent ...os.Signal) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			g := &gateway{}
			g.set.Store(&rules.Set{Shutdown: rules.Shutdown{Delay: delay, Timeout: time.Second}})
			signals := make(chan os.Signal, 4)
			for _, s := range sent {
				signals <- s
			}
			began, d := time.Now(), &door{}
			g.drain(d, signals)
			if got := d.shut.Sub(began); got != want {
				t.Errorf("after %v the door shuts in %v, want %v", sent, got, want)
			}
		})
	}
	after(delay)
	after(delay, syscall.SIGHUP, syscall.SIGHUP)
	after(0, syscall.SIGHUP, syscall.SIGTERM)
}

// TestMismatch: a sale that is not in the file any more asks for nothing.
func TestMismatch(t *testing.T) {
	g := &gateway{}
	g.set.Store(&rules.Set{Sales: []*rules.Sale{
		{Name: "phone", Stock: &rules.Stock{Ledger: "phone", Items: map[string]int{"red": 3}}},
	}})
	differs := func(ledger, item string, loaded int, want bool) {
		t.Helper()
		if got := g.differs(ledger, item, stock.Counts{Loaded: loaded}); got != want {
			t.Errorf("%q of %q with %d loaded differs: %v, want %v", item, ledger, loaded, got, want)
		}
	}
	differs("phone", "red", 3, false)
	differs("phone", "red", 4, true)
	differs("phone", "blue", 1, true)
	differs("watch", "red", 3, false)
}
