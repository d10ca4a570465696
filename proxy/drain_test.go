package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"penstock/proxy/gate"
)

// kept is a connection that is asked on several times.
type kept struct {
	net.Conn
	br *bufio.Reader
}

func (g *rig) keep() *kept {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return &kept{c, bufio.NewReader(c)}
}

func (k *kept) ask(t *testing.T, raw string) *answered {
	t.Helper()
	if _, err := io.WriteString(k, raw); err != nil {
		t.Fatal(err)
	}
	return read(t, k.br, false)
}

// ends asserts that the connection ends in order, without another byte.
func (k *kept) ends(t *testing.T) {
	t.Helper()
	k.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := k.br.ReadByte(); err != io.EOF {
		t.Errorf("read %q and %v, want the end", b, err)
	}
}

func TestLeavingServesEverybodyOnceMore(t *testing.T) {
	g := newRig(t, nil)
	busy, silent := g.keep(), g.keep()
	for _, c := range []*kept{busy, silent} {
		if a := c.ask(t, look); a.StatusCode != 200 || a.Close {
			t.Fatalf("before: got %d, close %v, want 200 and more", a.StatusCode, a.Close)
		}
	}
	g.srv.Leave(time.Millisecond)
	if a := busy.ask(t, look); a.StatusCode != 200 || !a.Close {
		t.Errorf("on a kept connection: got %d %q, close %v, want 200 and close", a.StatusCode, a.reason(), a.Close)
	}
	busy.ends(t)
	silent.ends(t)
	if a := g.keep().ask(t, buy); a.StatusCode != 200 || !a.Close {
		t.Errorf("on a new connection: got %d %q, close %v, want 200 and close", a.StatusCode, a.reason(), a.Close)
	}
	g.probes[stock].says = refusing(gate.SoldOut)
	if a := g.keep().ask(t, buy); a.reason() != "sold_out" || !a.Close {
		t.Errorf("a refusal: got %q, close %v, want sold_out and close", a.reason(), a.Close)
	}
	if err := g.srv.Drain(t.Context()); err != nil || g.srv.Open() != 0 {
		t.Errorf("drained with %v and %d connections, want none", err, g.srv.Open())
	}
	g.probes[stock].says = nil
	g.srv.Stay()
	c := g.keep()
	for range 2 {
		if a := c.ask(t, look); a.StatusCode != 200 || a.Close {
			t.Errorf("afterwards: got %d, close %v, want 200 and more", a.StatusCode, a.Close)
		}
	}
}

func TestDrainWaitsForARequestUnderWay(t *testing.T) {
	g := newRig(t, nil)
	release := make(chan struct{})
	g.shop.says(func(string) []byte { <-release; return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") })
	c := g.keep()
	io.WriteString(c, look)
	<-g.shop.arrived
	g.srv.Leave(time.Millisecond)
	soon, cancel := context.WithTimeout(t.Context(), 2*sweepEvery)
	defer cancel()
	if err := g.srv.Drain(soon); err == nil {
		t.Error("it has not waited")
	}
	close(release)
	if a := read(t, c.br, false); a.StatusCode != 200 || !a.Close {
		t.Errorf("got %d, close %v, want 200 and close", a.StatusCode, a.Close)
	}
	if err := g.srv.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSilentConnectionsEndWhenTheServerLeaves(t *testing.T) {
	const grace = 3 * time.Second
	cases := []struct {
		name  string
		until func(c *conn, client net.Conn)
		want  time.Duration
	}{
		{"silent from the start", func(*conn, net.Conn) {}, grace},
		{"idle after an answer", func(c *conn, _ net.Conn) { c.handling(0); c.answered(false) }, grace},
		{"a head under way", func(c *conn, client net.Conn) {
			go client.Write([]byte("G"))
			c.Read(make([]byte, c.watch.buffer))
		}, patience.Header},
		{"a next head under way", func(c *conn, client net.Conn) {
			c.handling(0)
			c.answered(false)
			go client.Write([]byte("G"))
			c.Read(make([]byte, c.watch.buffer))
		}, patience.Header},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, client := watched(t)
				k.until(c, client)
				(&Server{p: &Proxy{}, watch: c.watch}).Leave(grace)
				if got, err := waits(c); !errors.Is(err, os.ErrDeadlineExceeded) || !about(got, k.want) {
					t.Errorf("the read ended after %v with %v, want the deadline after %v", got, err, k.want)
				}
			})
		})
	}
	t.Run("one that asks in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, client := watched(t)
			(&Server{p: &Proxy{}, watch: c.watch}).Leave(grace)
			for range 5 { // every time within the grace, and together long after it
				go func() { time.Sleep(grace / 2); client.Write([]byte("b")) }()
				if _, err := waits(c); err != nil {
					t.Fatalf("the read ended with %v, want a byte", err)
				}
				c.handling(0)
				c.answered(false)
			}
		})
	})
}

// TestARequestThatHasComeIsNotThrownAway: bytes that nobody has read yet are a request.
func TestARequestThatHasComeIsNotThrownAway(t *testing.T) {
	c, client := linked(t)
	w := c.watch
	(&Server{p: &Proxy{}, watch: w}).Leave(time.Millisecond)
	io.WriteString(client, "G")
	for end := time.Now().Add(10 * time.Second); c.poll(unix.POLLIN)&unix.POLLIN == 0; {
		if time.Now().After(end) {
			t.Fatal("what has come is not seen")
		}
	}
	const later = 1000
	w.look(c, later)
	if c.swept.Load() {
		t.Error("a connection on which a request has come is ended")
	}
	c.Read(make([]byte, w.buffer))
	c.handling(1)
	c.answered(false)
	go c.Read(make([]byte, w.buffer)) // fasthttp's, for the next request
	eventually(t, "it is idle", func() bool { return c.due.Load() < 0 })
	w.look(c, later)
	if !c.swept.Load() {
		t.Error("a silent connection is kept")
	}
}
