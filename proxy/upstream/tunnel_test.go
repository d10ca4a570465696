package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"

func upgrade(path string) *Request {
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", path)
	return &Request{Head: head, Upgrade: "websocket"}
}

// The first bytes may come with the 101, each direction ends by itself, and the
// connection was used before but never is again.
func TestTunnel(t *testing.T) {
	everyWire(t, func(t *testing.T, c *tls.Config) {
		for _, warm := range []bool{false, true} {
			o := serveOver(t, c, func(p *peer) {
				for {
					r, err := http.ReadRequest(p.br)
					if err != nil {
						return
					}
					if r.Header.Get("Upgrade") == "" {
						p.ok("plain")
						continue
					}
					p.say("%s%s", switching, "hello")
					all, _ := io.ReadAll(p.br)
					p.say(" %d bytes, bye", len(all))
					return
				}
			})
			u := reach(t, o, func(c *Config) { c.IdleBody, c.Response = time.Minute, time.Minute })
			if warm {
				if _, _, err := carry(u, request("GET", "/", "")); err != nil {
					t.Fatal(err)
				}
			}
			e, err := u.Do(context.Background(), upgrade("/ws"))
			if err != nil || e.Status != 101 || string(e.Header[1].Value) != "WebSocket" {
				t.Fatalf("got %+v, %v", e, err)
			}
			if n, err := e.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("a 101 has a body: %d, %v", n, err)
			}
			tunnel := e.Tunnel()
			if e.Tunnel() != nil {
				t.Error("two tunnels from one answer")
			}
			e.Close() // must not touch it
			first := make([]byte, 5)
			if _, err := io.ReadFull(tunnel, first); err != nil || string(first) != "hello" {
				t.Errorf("got %q, %v", first, err)
			}
			if _, err := tunnel.Write(pattern(100_000)); err != nil {
				t.Fatal(err)
			}
			if err := tunnel.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(tunnel); err != nil || string(rest) != " 100000 bytes, bye" {
				t.Errorf("got %q, %v", rest, err)
			}
			tunnel.Close()
			if n := u.idle.size(); n != 0 || o.dialled() != 1 {
				t.Errorf("%d idle, %d dialled; want 0, 1", n, o.dialled())
			}
		}
	})
}

// The deadlines of the exchange do not follow into the tunnel, and its own work.
func TestTunnelDeadlines(t *testing.T) {
	speak := make(chan bool)
	o := serve(t, func(p *peer) {
		p.next()
		p.say(switching)
		<-speak
		p.say("late")
		<-p.o.stopped
	})
	u := reach(t, o, func(c *Config) { c.Response, c.IdleBody = 300*time.Millisecond, 10*time.Millisecond })
	e, err := u.Do(context.Background(), upgrade("/"))
	if err != nil {
		t.Fatal(err)
	}
	tunnel := e.Tunnel()
	defer tunnel.Close()
	if !tunnel.c.read.until.IsZero() || !tunnel.c.write.until.IsZero() || tunnel.c.rolling {
		t.Error("the exchange's deadlines are still there")
	}
	tunnel.SetReadDeadline(time.Unix(1, 0))
	if _, err := tunnel.Read(make([]byte, 1)); !timedOut(err) {
		t.Errorf("read after its deadline: %v", err)
	}
	tunnel.SetReadDeadline(time.Time{})
	close(speak)
	if b := make([]byte, 4); true {
		if _, err := io.ReadFull(tunnel, b); err != nil || string(b) != "late" {
			t.Errorf("got %q, %v", b, err)
		}
	}
	tunnel.SetWriteDeadline(time.Unix(1, 0))
	if _, err := tunnel.Write([]byte("x")); !timedOut(err) {
		t.Errorf("write after its deadline: %v", err)
	}
}

// An origin that would rather not switch answers as always, and the connection ends.
func TestUpgradeRefused(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
	} {
		o := serve(t, func(p *peer) {
			for _, _, ok := p.next(); ok; _, _, ok = p.next() {
				p.say("%s", answer)
			}
		})
		u := reach(t, o, nil)
		e, err := u.Do(context.Background(), upgrade("/"))
		if err != nil {
			t.Fatal(err)
		}
		if e.Tunnel() != nil {
			t.Fatalf("a tunnel from %d", e.Status)
		}
		if b, err := io.ReadAll(e); err != nil || string(b) != "no" {
			t.Errorf("%d: %q, %v", e.Status, b, err)
		}
		e.Close()
		if u.idle.size() != 0 {
			t.Errorf("the connection of a %d to an upgrade is kept", e.Status)
		}
	}
}

// A 101 counts only if it was asked for, and for what was asked.
func TestWrongSwitch(t *testing.T) {
	head := func(lines string) string { return "HTTP/1.1 101 Switching Protocols\r\n" + lines + "\r\n" }
	good := "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	withBody := upgrade("/")
	withBody.Body, withBody.Length = strings.NewReader("x"), 1
	cases := []struct {
		name, answer string
		r            *Request
	}{
		{"unasked", head(good), request("GET", "/", "")},
		{"with a body", head(good), withBody},
		{"no protocol", head("Connection: Upgrade\r\n"), upgrade("/")},
		{"another", head("Connection: Upgrade\r\nUpgrade: h2c\r\n"), upgrade("/")},
		{"two", head("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), upgrade("/")},
		{"two lines", head(good + "Upgrade: h2c\r\n"), upgrade("/")},
		{"twice", head(good + "Upgrade: websocket\r\n"), upgrade("/")},
		{"with a version", head("Connection: Upgrade\r\nUpgrade: websocket/13\r\n"), upgrade("/")},
		{"no connection", head("Upgrade: websocket\r\n"), upgrade("/")},
		{"broken", head(good + "X : y\r\n"), upgrade("/")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := serve(t, func(p *peer) {
				p.br = bufio.NewReader(p)
				p.br.Peek(1)
				p.say("%s", c.answer)
				<-p.o.stopped
			})
			e, err := reach(t, o, nil).Do(context.Background(), c.r)
			var bad badAnswer
			if e != nil || !errors.As(err, &bad) || Unsent(err) {
				t.Errorf("got %+v, %v; want a bad answer", e, err)
			}
		})
	}
}

// Interim answers are dropped; those that come unasked by right do not cost the connection.
func TestInterim(t *testing.T) {
	for status, kept := range map[int]bool{100: false, 102: true, 103: true, 150: false, 199: false} {
		o := serve(t, func(p *peer) {
			for path, _, ok := p.next(); ok; path, _, ok = p.next() {
				p.say("HTTP/1.1 %d Well\r\nLink: </a.css>\r\nContent-Length: 9\r\n\r\n", status)
				p.ok(path)
			}
		})
		u := reach(t, o, nil)
		for _, path := range []string{"/a", "/b"} {
			e, err := u.Do(context.Background(), request("GET", path, ""))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(e); err != nil || string(b) != path || len(e.Header) != 1 {
				t.Errorf("after %d: %q, %v, %d fields", status, b, err, len(e.Header))
			}
			e.Close()
		}
		if got := o.dialled() == 1; got != kept {
			t.Errorf("after %d: kept %v, want %v", status, got, kept)
		}
	}
}
