package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"}

// What an origin may do with a request, and how often the request may then arrive.
var mishaps = []struct {
	name string
	do   func(*peer)
	want int // deliveries
}{
	{"read then close", func(p *peer) { p.next() }, 1},
	{"read then reset", func(p *peer) { p.next(); p.reset() }, 1},
	{"close before read", func(p *peer) {}, 0},
	{"reset before read", func(p *peer) { p.reset() }, 0},
	{"half a head", func(p *peer) { p.next(); p.say("HTTP/1.1 200 OK\r\nContent-Le") }, 1},
	{"half a head then reset", func(p *peer) { p.next(); p.say("HTTP/1.1 2"); p.reset() }, 1},
	{"nonsense", func(p *peer) { p.next(); p.say("\r\n\r\n") }, 1},
	{"protocol switch", func(p *peer) { p.next(); p.say("HTTP/1.1 101 Hi\r\n\r\n") }, 1},
}

func TestAtMostOnce(t *testing.T) {
	everyWire(t, func(t *testing.T, c *tls.Config) {
		for _, m := range mishaps {
			for _, method := range methods {
				t.Run(m.name+"/"+method+"/fresh", func(t *testing.T) { atMostOnce(t, c, method, m.do, m.want, false) })
				t.Run(m.name+"/"+method+"/reused", func(t *testing.T) { atMostOnce(t, c, method, m.do, m.want, true) })
			}
		}
	})
}

func atMostOnce(t *testing.T, c *tls.Config, method string, mishap func(*peer), want int, reused bool) {
	meets := make(chan bool, 1) // the connection on which the mishap is to come
	o := serveOver(t, c, func(p *peer) {
		if !<-meets {
			return
		}
		if reused {
			p.next()
			p.ok("first")
			<-meets
		}
		mishap(p)
	})
	u := reach(t, o, nil)
	if reused {
		meets <- true
		if _, body, err := carry(u, request("GET", "/first", "")); err != nil || body != "first" {
			t.Fatalf("first request: %q, %v", body, err)
		}
	}
	// The mishap may come before, while or after the request is written.
	go func() { meets <- true; close(meets) }()
	body := ""
	if method == "POST" || method == "PUT" {
		body = "qty=1"
	}
	_, _, err := carry(u, request(method, "/order", body))
	if err == nil {
		t.Error("a request without an answer ended without an error")
	}
	o.stop()
	n := o.delivered("/order")
	if n != want {
		t.Errorf("delivered %d times, want %d", n, want)
	}
	if n > 0 && Unsent(err) {
		t.Errorf("delivered, but the error says unsent: %v", err)
	}
}

// A late answer is still an answer, and the request is not sent again to get it.
func TestLateAnswer(t *testing.T) {
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			gaveUp := make(chan bool)
			o := serve(t, func(p *peer) {
				p.next()
				p.say("HTTP/1.1 201 Cre") // even half a head may have come by then
				<-gaveUp
				p.say("ated\r\nContent-Length: 5\r\n\r\n")
				if method != "HEAD" {
					p.say("order")
				}
			})
			u := reach(t, o, func(c *Config) { c.Response = 20 * time.Millisecond })
			e, err := u.Do(context.Background(), request(method, "/order", ""))
			var late *Error
			if !errors.As(err, &late) || !late.Timeout || late.Unsent || late.Op != OpHead || e == nil {
				t.Fatalf("got %v, %v; want an exchange and a timeout that may have been sent", e, err)
			}
			defer e.Close()
			if e.Status != 0 {
				t.Errorf("status %d before the head came", e.Status)
			}
			if n, err := e.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
				t.Errorf("read before the head: %d, %v", n, err)
			}
			if err := e.Wait(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("second wait: %v, want a timeout", err)
			}
			close(gaveUp)
			if err := e.Wait(time.Minute); err != nil || e.Status != 201 {
				t.Fatalf("wait: %v, status %d; want 201", err, e.Status)
			}
			want := "order"
			if method == "HEAD" {
				want = ""
			}
			if b, err := io.ReadAll(e); err != nil || string(b) != want {
				t.Errorf("body %q, %v; want %q", b, err, want)
			}
			if n := o.delivered("/order"); n != 1 {
				t.Errorf("delivered %d times, want 1", n)
			}
		})
	}
}

func TestWaitOnNoAnswer(t *testing.T) {
	gaveUp := make(chan bool)
	o := serve(t, func(p *peer) { p.next(); <-gaveUp })
	u := reach(t, o, func(c *Config) { c.Response = time.Millisecond })
	e, err := u.Do(context.Background(), request("POST", "/order", "qty=1"))
	if e == nil {
		t.Fatal(err)
	}
	close(gaveUp)
	if err := e.Wait(time.Minute); !errors.Is(err, io.ErrUnexpectedEOF) || Unsent(err) {
		t.Errorf("wait: %v, want unexpected EOF, sent", err)
	}
	if err := e.Wait(time.Minute); err == nil {
		t.Error("a failed exchange can be waited on")
	}
	e.Close()
	e.Close()
}

// limp is a connection that takes only so many bytes.
type limp struct {
	net.Conn
	takes *int
	err   error
}

func (l limp) Write(p []byte) (int, error) {
	n := *l.takes
	if n >= len(p) {
		return l.Conn.Write(p)
	}
	l.Conn.Write(p[:n])
	return n, l.err
}

func (l limp) SyscallConn() (syscall.RawConn, error) { return l.Conn.(syscall.Conn).SyscallConn() }

// The one second attempt: a reused connection that takes not one byte.
func TestSecondAttempt(t *testing.T) {
	const all = 1 << 20
	cases := []struct {
		name      string
		reused    bool
		takes     int // bytes; below 0: all but so many
		err       error
		delivered int
		dials     int
		unsent    bool
	}{
		{"reused, nothing written", true, 0, syscall.EPIPE, 1, 2, false},
		{"reused, nothing written, reset", true, 0, syscall.ECONNRESET, 1, 2, false},
		{"reused, one byte written", true, 1, syscall.EPIPE, 0, 1, false},
		{"reused, all but one byte written", true, -1, syscall.EPIPE, 0, 1, false},
		{"reused, nothing written in time", true, 0, os.ErrDeadlineExceeded, 0, 1, true},
		{"fresh, nothing written", false, 0, syscall.EPIPE, 0, 1, true},
		{"fresh, one byte written", false, 1, syscall.EPIPE, 0, 1, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := serve(t, echo)
			u := reach(t, o, func(c *Config) { c.Response = 10 * time.Millisecond })
			takes, plain, dials := all, u.dials, 0
			u.dials = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := plain(ctx, network, address)
				if dials++; dials > 1 || err != nil {
					return nc, err
				}
				return limp{nc, &takes, c.err}, nil
			}
			if c.reused {
				if err := u.Warm(context.Background(), 1); err != nil {
					t.Fatal(err)
				}
			}
			r := request("POST", "/order", "qty=1")
			if takes = c.takes; takes < 0 {
				takes += len(r.Head) + len("qty=1")
			}
			_, _, err := carry(u, r)
			if (err == nil) != (c.delivered == 1) || err != nil && Unsent(err) != c.unsent {
				t.Errorf("error %v, want unsent %v, deliveries %d", err, c.unsent, c.delivered)
			}
			if n := o.delivered("/order"); n != c.delivered || dials != c.dials {
				t.Errorf("%d deliveries, %d dials; want %d, %d", n, dials, c.delivered, c.dials)
			}
		})
	}
}

func TestNothingSent(t *testing.T) {
	o := serve(t, echo)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	cases := []struct {
		name string
		ctx  context.Context
		r    *Request
		conf func(*Config)
		op   string
	}{
		{"refused", context.Background(), request("POST", "/order", "qty=1"), func(c *Config) { c.Address = refusing(t) }, OpDial},
		{"no socket", context.Background(), request("POST", "/order", "qty=1"), func(c *Config) { c.Network, c.Address = "unix", t.TempDir()+"/no" }, OpDial},
		{"client gone", gone, request("POST", "/order", "qty=1"), nil, OpDial},
		{"short body", context.Background(), &Request{Head: []byte("POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: 6\r\n\r\n"), Body: strings.NewReader("qty=1"), Length: 6}, nil, OpBody},
		{"no body at all", context.Background(), &Request{Head: []byte("POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\n\r\n"), Body: strings.NewReader(""), Length: 1}, nil, OpBody},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			u := reach(t, o, c.conf)
			u.Warm(context.Background(), 1) // an open connection must make no difference
			e, err := u.Do(c.ctx, c.r)
			var failed *Error
			if e != nil || !errors.As(err, &failed) || !failed.Unsent || failed.Op != c.op {
				t.Errorf("got %v, %v; want unsent, %s", e, err, c.op)
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("error %v looks like a proper end", err)
			}
		})
	}
	if n := o.delivered("/order"); n != 0 {
		t.Errorf("delivered %d times, want 0", n)
	}
}

func TestErrorZeroValueIsSent(t *testing.T) {
	for _, err := range []error{nil, io.EOF, &Error{}, &Error{Op: OpWrite, Err: io.EOF}} {
		if Unsent(err) {
			t.Errorf("%v counts as unsent", err)
		}
	}
}

// refusing is an address nobody listens on.
func refusing(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
