package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// eventually waits for what a sweep brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// client is a connection to the rig that is spoken raw.
type client struct {
	*net.TCPConn
	*bufio.Reader
}

func (g *rig) open() client {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return client{c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c client) Read(b []byte) (int, error) { return c.Reader.Read(b) }

const look = "GET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\n"

func TestIdleConnectionsAreParkedAndServedAgain(t *testing.T) {
	const n = 40
	g := newRig(t, nil)
	var clients []client
	for range n {
		clients = append(clients, g.open())
	}
	parked := func(want int) func() bool {
		return func() bool {
			all, idle := g.srv.watch.size()
			return all == n && idle == want
		}
	}
	for round := range 3 {
		for i, c := range clients {
			fmt.Fprint(c, look)
			if a := read(t, c.Reader, false); a.StatusCode != 200 {
				t.Fatalf("round %d: client %d got %d", round, i, a.StatusCode)
			}
		}
		eventually(t, "all are parked", parked(n))
		for i, c := range clients { // woken by a piece of a head, which is then waited for
			if i%2 == 0 {
				fmt.Fprint(c, look[:10])
			}
		}
		eventually(t, "half of them are awake", parked(n/2))
		for i, c := range clients {
			if i%2 == 0 {
				fmt.Fprint(c, look[10:]+look)
				read(t, c.Reader, false)
				if a := read(t, c.Reader, false); a.StatusCode != 200 {
					t.Fatalf("round %d: client %d got %d behind its first request", round, i, a.StatusCode)
				}
			}
		}
	}
	if got := g.shop.count(); got != 3*2*n {
		t.Errorf("the shop got %d requests, want %d", got, 3*2*n)
	}
	eventually(t, "all are parked", parked(n))
	for _, c := range clients {
		c.Close()
	}
	eventually(t, "those that left are forgotten", func() bool { all, idle := g.srv.watch.size(); return all == 0 && idle == 0 })
}

func TestParkedConnectionsEndWhenTheirTimeIsOver(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.Idle = 1500 * time.Millisecond })
	c := g.open()
	fmt.Fprint(c, look)
	read(t, c.Reader, false)
	eventually(t, "it is parked", func() bool { _, idle := g.srv.watch.size(); return idle == 1 })
	if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
		t.Errorf("the client read %q, %v; want the end", rest, err)
	}
	if all, idle := g.srv.watch.size(); all != 0 || idle != 0 {
		t.Errorf("%d connections are left, %d of them parked", all, idle)
	}
}

func TestCrowdOverTheBudgetIsAnswered(t *testing.T) {
	g := newRig(t, nil)
	g.srv.watch.mu.Lock()
	g.srv.watch.limit = 10
	g.srv.watch.mu.Unlock()
	busy := make(chan struct{})
	g.shop.says(func(string) []byte { <-busy; return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") })
	var served []client
	for range 10 {
		c := g.open()
		fmt.Fprint(c, look)
		<-g.shop.arrived
		served = append(served, c)
	}
	for i := range 100 { // nobody is idle: each is told so, and none is reset
		c := g.open()
		fmt.Fprint(c, "GET /p/1 HTTP/1.1\r\nHost: shop\r\nCookie: "+strings.Repeat("x", 1500)+"\r\n\r\n")
		if a := read(t, c.Reader, false); a.StatusCode != 503 || a.reason() != "overloaded" || !a.Close || a.err != nil || a.Header.Get("Retry-After") == "" {
			t.Fatalf("client %d got %d %q, close: %v, %v", i, a.StatusCode, a.reason(), a.Close, a.err)
		}
		if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
			t.Fatalf("client %d read %q, %v behind its answer", i, rest, err)
		}
	}
	close(busy)
	for _, c := range served {
		if a := read(t, c.Reader, false); a.StatusCode != 200 {
			t.Errorf("one within the budget got %d", a.StatusCode)
		}
	}
	eventually(t, "those served are idle", func() bool { _, idle := g.srv.watch.size(); return idle == 10 })
	for range 10 { // each takes the place of an idle one
		c := g.open()
		fmt.Fprint(c, look)
		if a := read(t, c.Reader, false); a.StatusCode != 200 {
			t.Errorf("with idle connections open, a newcomer got %d", a.StatusCode)
		}
	}
	for _, c := range served {
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
			t.Errorf("the one that made room read %q, %v", b, err)
		}
	}
}

func TestConnectionsFarOverTheBudgetAreClosed(t *testing.T) {
	w := newWatch(patience, 1)
	for i := range 1 + surplus {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		if c := w.admit(ours); c == nil || c.surplus != (i > 0) {
			t.Fatalf("connection %d: got %+v", i, c)
		}
	}
	ours, theirs := net.Pipe()
	if w.admit(ours) != nil {
		t.Error("one too many was taken")
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it reads %v, want the end", err)
	}
	if n := w.refused.Load(); n != 1+surplus {
		t.Errorf("%d were counted as refused, want %d", n, 1+surplus)
	}
}

func TestFinishedAnswersAreNotHeldBack(t *testing.T) {
	g := newRig(t, nil)
	slow := make(chan struct{})
	g.shop.says(func(request string) []byte {
		if strings.HasPrefix(request, "GET /slow") {
			<-slow
		}
		return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	c := g.open()
	fmt.Fprint(c, look+"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n"+look)
	if a := read(t, c.Reader, false); a.StatusCode != 200 {
		t.Errorf("got %d", a.StatusCode)
	}
	close(slow)
	for range 2 {
		if a := read(t, c.Reader, false); a.StatusCode != 200 {
			t.Errorf("got %d", a.StatusCode)
		}
	}
}

func TestConnectionsDoNotLastForEver(t *testing.T) {
	g := newRig(t, nil)
	g.probes[schedule].says = refusing(gate.NotOpen)
	c := g.open()
	for i := 1; i <= maxRequests; i++ {
		fmt.Fprint(c, look)
		if a := read(t, c.Reader, false); a.Close != (i == maxRequests) {
			t.Fatalf("answer %d: close: %v", i, a.Close)
		}
	}
}

// TestBeginningOfTheNextRequestIsKept: it came in the packet of the one before, and the
// rest takes longer than idle connections are left unparked.
func TestBeginningOfTheNextRequestIsKept(t *testing.T) {
	for _, first := range []string{
		look, "PUT /f HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello",
		"PUT /f HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		g := newRig(t, nil)
		c := g.open()
		fmt.Fprint(c, first+look[:10])
		read(t, c.Reader, false)
		until := g.srv.watch.now.Load() + 2*parkAfter.Milliseconds()
		eventually(t, "it would have been parked", func() bool { return g.srv.watch.now.Load() > until })
		fmt.Fprint(c, look[10:])
		if a := read(t, c.Reader, false); a.StatusCode != 200 {
			t.Errorf("behind %.20q: got %d", first, a.StatusCode)
		}
		eventually(t, "it is idle as any", func() bool { _, idle := g.srv.watch.size(); return idle == 1 })
	}
}
