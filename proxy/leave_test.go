package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"penstock/proxy/gate"
)

// TestWhoLeavesGivesItsPlaceBack: noticed while it waits, not when its turn comes.
func TestWhoLeavesGivesItsPlaceBack(t *testing.T) {
	for name, raw := range map[string]string{"of a sale": buy, "of no sale": look} {
		g := newRig(t, nil)
		waits := make(chan struct{}, 100)
		g.probes[slot].says = func(ctx context.Context, _ *gate.Facts) gate.Verdict {
			done := ctx.Done()
			waits <- struct{}{}
			<-done
			if ctx.Err() == nil {
				t.Errorf("%s: the context has ended and does not say so", name)
			}
			return gate.Verdict{Reason: gate.Overloaded}
		}
		released := make(chan gate.End, 10)
		g.probes[schedule].released = released // the last that hears
		for i, leave := range []func(*net.TCPConn){
			func(c *net.TCPConn) { c.Close() },
			func(c *net.TCPConn) { c.CloseWrite() },
			func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		} {
			c := g.open()
			fmt.Fprint(c, raw)
			<-waits
			leave(c.TCPConn)
			select {
			case end := <-released:
				if end.Kind != gate.Unsent {
					t.Errorf("%s, %d: the gates were told %+v, want unsent", name, i, end)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s, %d: nobody noticed that the client has left", name, i)
			}
		}
		eventually(t, "nobody is watched any more", func() bool {
			g.srv.watch.mu.Lock()
			defer g.srv.watch.mu.Unlock()
			return len(g.srv.watch.leavers) == 0
		})
		if n := g.shop.count(); n != 0 {
			t.Errorf("%s: the shop got %d requests of clients that had left", name, n)
		}
		g.settled()
	}
}

// TestSilentStreamEndsWithItsClient: nothing is written that could fail.
func TestSilentStreamEndsWithItsClient(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	g := newRig(t, nil)
	g.set.Origin.Address = ln.Addr().String()
	g.proxy.Use(g.set)
	ended := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		br := bufio.NewReader(c)
		for line := "x"; line != "\r\n"; {
			if line, err = br.ReadString('\n'); err != nil {
				return
			}
		}
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
		_, err = br.ReadByte()
		ended <- err
	}()
	c := g.open()
	fmt.Fprint(c, look)
	for event := ""; event != "data: 1\n"; {
		if event, err = c.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the origin was told something")
		}
	case <-time.After(4 * time.Second): // the origin's own silence would end it after 5 s
		t.Error("the origin's connection is held for a client that has left")
	}
}

// TestServerThatLeavesServesOnAndSaysSo: what is open is answered, and told that it ends.
func TestServerThatLeavesServesOnAndSaysSo(t *testing.T) {
	g := newRig(t, nil)
	asks, idles := g.open(), g.open()
	for _, c := range []client{asks, idles} {
		fmt.Fprint(c, look)
		if a := read(t, c.Reader, false); a.Close {
			t.Error("told to close while nobody leaves")
		}
	}
	left := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		left <- g.srv.Shutdown(ctx)
	}()
	eventually(t, "it does not accept any more", func() bool {
		c, err := net.Dial("tcp", g.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	fmt.Fprint(asks, look)
	if a := read(t, asks.Reader, false); a.StatusCode != 200 || !a.Close {
		t.Errorf("got %d, close: %v; want to be served, and told that it was the last", a.StatusCode, a.Close)
	}
	for _, c := range []client{asks, idles} {
		if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
			t.Errorf("read %q, %v; want the end", rest, err)
		}
	}
	if err := <-left; err != nil {
		t.Errorf("leaving: %v", err)
	}
}

// TestServerThatLeavesBeforeItServes: a signal may come that early.
func TestServerThatLeavesBeforeItServes(t *testing.T) {
	g := newRig(t, nil)
	srv := g.proxy.Server(g.set)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(ln); err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("it listens after it has left")
	}
}
