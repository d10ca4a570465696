package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/rules"
)

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func anybody(netip.Addr) bool { return true }

func TestWhoNamesManyClients(t *testing.T) {
	start := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	balancer := addrOf(1)
	// named has the balancer name clients a to b, all at one time; it answers how often that
	// was worth a word.
	named := func(f *forwarders, a, b int, at time.Time) (said int) {
		for i := a; i < b; i++ {
			if f.saw(balancer, fmt.Appendf(nil, "9.9.9.9, 203.0.113.%d", i), at) {
				said++
			}
		}
		return said
	}
	found := func(f *forwarders, at time.Time) int { return len(f.many(at, anybody)) }

	f := &forwarders{}
	if said := named(f, 0, manyClients-1, start); said != 0 || found(f, start) != 0 {
		t.Errorf("%d clients: said %d times, found %d", manyClients-1, said, found(f, start))
	}
	if said := named(f, 0, manyClients-1, start); said != 0 {
		t.Error("the same clients count twice")
	}
	if said := named(f, 100, 150, start); said != 1 || found(f, start) != 1 {
		t.Errorf("many clients: said %d times and found %d, want 1 and 1", said, found(f, start))
	}
	if got := f.many(start, anybody)[0]; got.Peer != balancer || !got.Last.Equal(start) {
		t.Errorf("found %+v", got)
	}
	if n := len(f.many(start, func(a netip.Addr) bool { return a != balancer })); n != 0 {
		t.Error("who is trusted by now is still found")
	}
	if said := named(f, 0, 50, start.Add(forwardWindow-1)); said != 0 {
		t.Error("said twice in a minute")
	}
	if said := named(f, 0, 50, start.Add(forwardWindow)); said != 1 {
		t.Errorf("said %d times a minute later, want once more", said)
	}
	if end := start.Add(forwardWindow + forwardMemory); found(f, end) != 0 || found(f, end.Add(-1)) != 1 {
		t.Error("it is not remembered for as long as it should be")
	}

	f = &forwarders{}
	for i := range 10 * manyClients { // slowly: never many in one window
		if named(f, i, i+1, start.Add(time.Duration(i)*forwardWindow/(manyClients-1))) != 0 {
			t.Fatal("a few clients a minute are many")
		}
	}
}

// A crowd of peers that name one client each does not hide the one that names many.
func TestForwarderIsFoundInACrowd(t *testing.T) {
	f := &forwarders{}
	at := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	for i := range 40 * manyClients {
		if i%8 == 0 {
			f.saw(addrOf(1), fmt.Appendf(nil, "203.0.113.%d", i/8), at)
			f.saw(addrOf(1), fmt.Appendf(nil, "198.51.100.%d", i/8), at)
		}
		f.saw(addrOf(1000+i), []byte("203.0.113.1"), at)
		at = at.Add(10 * time.Millisecond)
	}
	got := f.many(at, anybody)
	if len(got) != 1 || got[0].Peer != addrOf(1) {
		t.Errorf("found %+v, want the balancer alone", got)
	}
	at = at.Add(2 * forwardWindow) // nor does one that comes while it is silent
	for i := range 10 * forwardPeers {
		f.saw(addrOf(5000+i), []byte("203.0.113.1"), at)
	}
	if got := f.many(at, anybody); len(got) != 1 || got[0].Peer != addrOf(1) {
		t.Errorf("found %+v after a while, want the balancer alone", got)
	}
}

func TestForwarderCostsNoAllocation(t *testing.T) {
	f, at, xff := &forwarders{}, time.Now(), []byte("9.9.9.9, 203.0.113.1")
	if n := testing.AllocsPerRun(100, func() { f.saw(addrOf(1), xff, at) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// On the wire: the peer is named in the log once, counted, and forgotten when it is trusted.
func TestUntrustedBalancerIsNoticed(t *testing.T) {
	g := newRig(t, nil)
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	ask := func(n int) {
		c, err := from.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range n {
			fmt.Fprint(c, crlf("GET / HTTP/1.1", "Host: shop", fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i), "Connection: "+[]string{"close", "keep-alive"}[min(1, n-1-i)]))
		}
		if all, err := io.ReadAll(c); err != nil || bytes.Count(all, []byte("200 OK")) != n {
			t.Fatalf("got %d answers and error %v, want %d", bytes.Count(all, []byte("200 OK")), err, n)
		}
	}
	ask(manyClients - 1)
	if got := g.proxy.Forwarders(); len(got) != 0 {
		t.Errorf("found %v too soon", got)
	}
	ask(manyClients + 5)
	if got := g.proxy.Forwarders(); len(got) != 1 || got[0].Peer.String() != "127.0.0.9" {
		t.Errorf("found %v, want 127.0.0.9", got)
	}
	if n := total(counted(t, g.proxy.metrics.forwarded)); n != 2*manyClients+4 {
		t.Errorf("counted %v, want %d", n, 2*manyClients+4)
	}
	if log := g.log.String(); strings.Count(log, "untrusted peer") != 1 || !strings.Contains(log, `"peer":"127.0.0.9"`) || strings.Contains(log, "203.0.113") {
		t.Errorf("logged %s, want the peer once and no client", log)
	}
	g.proxy.Use(func() *rules.Set { s := *g.set; s.TrustedProxies = loopback; return &s }())
	ask(manyClients)
	if got := g.proxy.Forwarders(); len(got) != 0 {
		t.Errorf("found %v though it is trusted", got)
	}
	if n := total(counted(t, g.proxy.metrics.forwarded)); n != 2*manyClients+4 {
		t.Errorf("counted %v of a trusted peer", n)
	}
}
