package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"penstock/limiter/stock"
	"penstock/rules"
)

// door is a front that notes when it is told to end its connections, and to drain.
type door struct {
	front
	left, drained time.Time
	grace         time.Duration
}

func (d *door) Leave(grace time.Duration)      { d.left, d.grace = time.Now(), grace }
func (d *door) Drain(context.Context) error    { d.drained = time.Now(); return nil }
func (d *door) Shutdown(context.Context) error { return nil }

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
			proxy := &socket{TCPListener: listenAnywhere(t), halted: make(chan struct{})} // there is no loop to wait for
			l := &life{gateway: g, front: d, signals: signals, sockets: &sockets{proxy: proxy}, desk: &http.Server{}, probes: &http.Server{}}
			l.drain()
			if got := d.drained.Sub(began); got != want {
				t.Errorf("after %v the door shuts in %v, want %v", sent, got, want)
			}
			if !d.left.Equal(began) || d.grace != delay {
				t.Errorf("connections end from %v on, silent for %v, want at once and %v", d.left.Sub(began), d.grace, delay)
			}
			if _, err := proxy.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the socket accepts, or fails with %v", err)
			}
		})
	}
	after(delay)
	after(delay, syscall.SIGHUP, syscall.SIGHUP)
	after(0, syscall.SIGHUP, syscall.SIGTERM)
}

func listenAnywhere(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
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
