package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Who leaves waits for its WebSockets, and cuts them when time is up.
func TestDrainWebSockets(t *testing.T) {
	for _, patient := range []bool{true, false} {
		g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) {
			io.WriteString(c, agreed)
			io.Copy(c, br)
		}))
		srv := g.proxy.Server(g.set)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		c, br, _ := g.switches(ln.Addr().String(), "hello")
		want(t, br, "hello")
		ctx, cancel := context.WithCancel(context.Background())
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(ctx) }()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "still") // nothing is taken from those that are here
		want(t, br, "still")
		if patient {
			c.CloseWrite()
			if err := <-down; err != nil {
				t.Errorf("shutdown: %v", err)
			}
		} else {
			cancel()
			<-down
		}
		if b, err := io.ReadAll(br); len(b) > 0 {
			t.Errorf("got %q, %v", b, err)
		}
		cancel()
		g.noTunnels()
	}
}

// One that is cut before its work has begun ends as well.
func TestCutBeforeItBegins(t *testing.T) {
	g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreed)
		br.ReadByte()
	}))
	g.switches(g.addr, "")
	old := g.tunnel()
	near, far := net.Pipe()
	defer far.Close()
	young := &tunnel{p: g.proxy, client: &conn{Conn: near, watch: old.client.watch}, origin: old.origin}
	g.proxy.tunnels.enter()
	g.proxy.tunnels.add(young)
	young.cut()
	young.cut()
	young.run(near)
	old.cut()
	g.noTunnels()
	g.proxy.tunnels.closed = true
	if g.proxy.tunnels.enter() {
		t.Error("room after the end")
	}
}

// A panic in one direction ends the tunnel, not the process.
func TestPanicInATunnel(t *testing.T) {
	g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreed)
		br.ReadByte()
	}))
	_, br, _ := g.switches(g.addr, "")
	g.tunnel().direction(func([]byte) (int, error) { panic("boom") }, func(time.Time) error { return nil }, nil, nil)
	if _, err := br.ReadByte(); err == nil {
		t.Error("the tunnel goes on")
	}
	if n := total(counted(t, g.proxy.metrics.panics)); n != 1 {
		t.Errorf("%v panics were counted, want 1", n)
	}
	g.noTunnels()
}

// Both sides must be silent for a tunnel to end, and less long when one has ended.
func TestSilentTunnel(t *testing.T) {
	for _, c := range []struct {
		half  bool
		other time.Duration // when the other side last says something
		ends  time.Duration
	}{
		{false, 0, tunnelIdle},
		{false, tunnelIdle - time.Second, 2*tunnelIdle - time.Second},
		{true, 0, tunnelHalf},
		{true, 10 * time.Second, tunnelHalf + 10*time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			u := &tunnel{}
			u.half.Store(c.half)
			began := time.Now()
			u.last.Store(began.UnixNano())
			time.AfterFunc(c.other, func() { u.last.Store(time.Now().UnixNano()) })
			if u.carry(near.Read, near.SetReadDeadline, nil) {
				t.Error("silence is taken for an end")
			}
			if took := time.Since(began); took != c.ends {
				t.Errorf("half %v: ended after %v, want %v", c.half, took, c.ends)
			}
		})
	}
}

// What cannot be written ends it, too.
func TestTunnelThatTakesNothing(t *testing.T) {
	near, far := net.Pipe()
	go io.WriteString(far, "x")
	if (&tunnel{}).carry(near.Read, near.SetReadDeadline, func([]byte) (int, error) { return 0, errors.New("full") }) {
		t.Error("a failed write is taken for an end")
	}
	near.Close()
	far.Close()
}
