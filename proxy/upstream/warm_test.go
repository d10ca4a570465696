package upstream

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

func TestWarmAndClose(t *testing.T) {
	o := serve(t, echo)
	u := reach(t, o, func(c *Config) { c.MaxIdle = 3 })
	for range 2 { // the second finds them there
		if err := u.Warm(context.Background(), 5); err != nil || u.idle.size() != 3 {
			t.Fatalf("warm: %v, %d idle, want 3", err, u.idle.size())
		}
	}
	under, err := u.Do(context.Background(), request("GET", "/under-way", ""))
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
	if b, err := io.ReadAll(under); err != nil || string(b) != "/under-way" {
		t.Errorf("exchange under way: %q, %v", b, err)
	}
	under.Close()
	if _, body, err := carry(u, request("GET", "/late", "")); err != nil || body != "/late" {
		t.Errorf("do after close: %q, %v", body, err)
	}
	if err := u.Warm(context.Background(), 1); err != nil || u.idle.size() != 0 {
		t.Errorf("%d idle after close, %v; want 0", u.idle.size(), err)
	}
	o.stop()
	if err := u.Warm(context.Background(), 1); !Unsent(err) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("warm without an origin: %v", err)
	}
}

// Connections in use are as good as idle ones: a busy origin gets no more of them.
func TestWarmCountsThoseInUse(t *testing.T) {
	o := serve(t, func(p *peer) {
		p.next()
		p.say(switching)
		for path, _, ok := p.next(); ok; path, _, ok = p.next() {
			p.ok(path)
		}
	})
	u := reach(t, o, nil)
	e, err := u.Do(context.Background(), upgrade("/"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := u.Warm(context.Background(), 3); err != nil || u.idle.size() != 2 || u.open.Load() != 3 {
			t.Errorf("with one in use: %v, %d idle, %d open; want 2, 3", err, u.idle.size(), u.open.Load())
		}
	}
	tunnel := e.Tunnel()
	defer tunnel.Close()
	if err := u.Warm(context.Background(), 3); err != nil || u.idle.size() != 3 {
		t.Errorf("with a tunnel beside them: %v, %d idle, want 3", err, u.idle.size())
	}
}

// Many are opened at a time, but not all, and the first that fails is the last.
func TestWarmAtATime(t *testing.T) {
	o := serve(t, echo)
	u := reach(t, o, func(c *Config) { c.MaxIdle = 100 })
	var now, most, all atomic.Int64
	enough, plain := make(chan bool), u.dials
	u.dials = func(ctx context.Context, network, address string) (net.Conn, error) {
		defer now.Add(-1)
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if all.Add(1) == warming {
			close(enough)
		}
		<-enough
		if all.Load() > 3*warming {
			return nil, io.ErrNoProgress
		}
		return plain(ctx, network, address)
	}
	if err := u.Warm(context.Background(), 2*warming); err != nil || u.idle.size() != 2*warming || most.Load() != warming {
		t.Errorf("%v, %d idle, %d at a time; want %d, %d", err, u.idle.size(), most.Load(), 2*warming, warming)
	}
	if err := u.Warm(context.Background(), 100); err == nil || all.Load() > 4*warming {
		t.Errorf("%v after %d dials, want an error at once", err, all.Load())
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := u.Warm(gone, 100); err == nil {
		t.Error("warmed for nobody")
	}
}
