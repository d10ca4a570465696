package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"penstock/rules"
)

var patience = rules.Client{Header: 10 * time.Second, Body: 30 * time.Second, Idle: 75 * time.Second}

// watched is one end of a pipe under a running watch, and the client's end.
func watched(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	w := newWatch(patience, 1000)
	go w.run()
	ours, theirs := net.Pipe()
	c := w.admit(ours)
	t.Cleanup(func() { close(w.stop); c.Close(); theirs.Close() })
	return c, theirs
}

// waits reports how long a read waits, and for what.
func waits(c *conn) (time.Duration, error) {
	began := time.Now()
	_, err := c.Read(make([]byte, c.watch.buffer))
	return time.Since(began), err
}

// about is want, but for the coarseness of the watch.
func about(got, want time.Duration) bool {
	return got >= want-sweepEvery && got <= want+2*sweepEvery
}

func TestWaitsForTheClient(t *testing.T) {
	cases := []struct {
		name  string
		until func(c *conn, client net.Conn)
		want  time.Duration
	}{
		{"silent from the start", func(*conn, net.Conn) {}, patience.Header},
		{"idle after an answer", func(c *conn, _ net.Conn) { c.handling(0); c.answered(false) }, patience.Idle},
		{"rest of a body after an answer", func(c *conn, _ net.Conn) { c.handling(0); c.answered(true) }, patience.Header},
		{"second head begun after a long idle time", func(c *conn, client net.Conn) {
			c.handling(0)
			c.answered(false)
			go func() { time.Sleep(patience.Idle - time.Second); client.Write([]byte("G")) }()
			c.Read(make([]byte, c.watch.buffer))
		}, patience.Header},
		{"dripping head", func(c *conn, client net.Conn) {
			for range 3 {
				go client.Write([]byte("G"))
				c.Read(make([]byte, c.watch.buffer))
				time.Sleep(2 * time.Second)
			}
		}, patience.Header - 6*time.Second},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, client := watched(t)
				k.until(c, client)
				if got, err := waits(c); !errors.Is(err, os.ErrDeadlineExceeded) || !about(got, k.want) {
					t.Errorf("the read ended after %v with %v, want the deadline after %v", got, err, k.want)
				}
				if !c.ended.Load() {
					t.Error("the connection does not count as ended")
				}
			})
		})
	}
}

// TestBegunHeadHasItsOwnTime: fasthttp has a part of the next head in its buffer.
func TestBegunHeadHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := watched(t)
		c.handling(0)
		c.answered(false)
		began := time.Now()
		_, err := c.Read(make([]byte, c.watch.buffer-5))
		if got := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || !about(got, patience.Header) {
			t.Errorf("the read ended after %v with %v, want the deadline after %v", got, err, patience.Header)
		}
	})
}

func TestNobodyIsHurriedWhileARequestIsHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := watched(t)
		c.handling(0)
		go func() { time.Sleep(time.Hour); client.Write([]byte("b")) }()
		if got, err := waits(c); err != nil || got != time.Hour {
			t.Errorf("the read ended after %v with %v, want a byte after an hour", got, err)
		}
	})
}

func TestHeadAtTheLastMomentIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := watched(t)
		time.Sleep(patience.Header + 2*sweepEvery) // the sweep has given up, nobody has read yet
		c.handling(0)
		go client.Write([]byte("b"))
		if _, err := waits(c); err != nil {
			t.Errorf("the body cannot be read: %v", err)
		}
	})
}

func TestClosedConnectionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := watched(t)
		if n := len(c.watch.conns); n != 1 {
			t.Errorf("%d connections are watched, want 1", n)
		}
		c.Close()
		c.Close()
		if n := len(c.watch.conns); n != 0 {
			t.Errorf("%d closed connections are watched", n)
		}
	})
}

func TestClientThatTakesNothingIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := watched(t)
		c.handling(0)
		began := time.Now()
		n, err := c.send([]byte("answer"))
		if got := time.Since(began); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !about(got, patience.Body) {
			t.Errorf("wrote %d bytes, %v after %v; want the deadline after %v", n, err, got, patience.Body)
		}
	})
}

func TestSlowReaderGetsAllOfALargeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := watched(t)
		c.handling(0)
		sent := strings.Repeat("0123456789abcdef", 10*writePiece/16)
		go func() { c.send([]byte(sent)); c.Close() }()
		var got strings.Builder
		for b := make([]byte, writePiece); ; time.Sleep(patience.Body - time.Second) {
			n, err := io.ReadFull(client, b)
			if got.Write(b[:n]); err != nil {
				break
			}
		}
		if got.String() != sent {
			t.Errorf("a client that takes a piece at a time got %d of %d bytes", got.Len(), len(sent))
		}
	})
}

// scarce is a listener that fails for want of descriptors before it accepts.
type scarce struct {
	net.Listener
	errs []error
	conn net.Conn
}

func (l *scarce) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.conn, nil
}

func TestAcceptOutlivesWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		for range 10 {
			errs = append(errs, syscall.EMFILE)
		}
		errs = append(errs, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR)
		ours, theirs := net.Pipe()
		defer theirs.Close()
		told := 0
		l := &listener{Listener: &scarce{errs: errs, conn: ours}, watch: newWatch(patience, 1000), failed: func(error) { told++ }}
		began := time.Now()
		c, err := l.Accept()
		if err != nil || told != len(errs) {
			t.Fatalf("got %v after %d failures that were told, want a connection after %d", err, told, len(errs))
		}
		if took := time.Since(began); took < time.Second || took > time.Duration(len(errs))*time.Second {
			t.Errorf("waited %v over %d failures, want growing waits of at most a second", took, len(errs))
		}
		c.Close()
	})
}

func TestAcceptEndsWithItsListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	l := &listener{Listener: ln, watch: newWatch(patience, 1000), failed: func(error) { t.Error("a closed listener is no want") }}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want the listener's end", err)
	}
}

// linked is one connection on the loopback, both ends of it.
func linked(t *testing.T) (*conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newWatch(patience, 1000).admit(ours)
	t.Cleanup(func() { c.Close(); client.Close() })
	return c, client.(*net.TCPConn)
}

func TestGone(t *testing.T) {
	cases := map[string]func(*net.TCPConn){
		"close":      func(c *net.TCPConn) { c.Close() },
		"half-close": func(c *net.TCPConn) { c.CloseWrite() },
		"reset":      func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"close behind unread bytes": func(c *net.TCPConn) {
			io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\n\r\n", 100))
			c.Close()
		},
	}
	for name, leave := range cases {
		c, client := linked(t)
		if c.gone() {
			t.Errorf("%s: gone before it left", name)
		}
		io.WriteString(client, "unread")
		if c.gone() {
			t.Errorf("%s: gone for having sent something", name)
		}
		leave(client)
		for began := time.Now(); !c.gone(); {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s: nobody noticed that the client has left", name)
			}
		}
	}
	c, _ := linked(t)
	c.Close()
	if !c.gone() {
		t.Error("a closed connection counts as there")
	}
	synctest.Test(t, func(t *testing.T) { // what has no descriptor can only be seen to end
		c, client := watched(t)
		if c.gone() {
			t.Error("a pipe is gone at once")
		}
		client.Close()
		if _, err := waits(c); err != io.EOF || !c.gone() {
			t.Errorf("after %v the pipe counts as there", err)
		}
	})
}
