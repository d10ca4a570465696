package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
)

// small is a way to an origin over connections that take 2 KiB or little more at once.
func small(t *testing.T) (u *Origin, accept func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	u = New(Config{Network: "tcp", Address: ln.Addr().String()})
	t.Cleanup(u.Close)
	u.dials = func(_ context.Context, network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		if err == nil {
			c.(*net.TCPConn).SetWriteBuffer(2 << 10)
		}
		return c, err
	}
	return u, func() net.Conn {
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return nil
		}
		return c
	}
}

// order is a request that does not fit at once.
func order() (r *Request, whole []byte) {
	var body []byte
	for i := 0; len(body) < 60<<10; i++ {
		body = fmt.Appendln(body, i)
	}
	head := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body))
	return &Request{Head: head, Body: bytes.NewReader(body), Length: int64(len(body))}, append(bytes.Clone(head), body...)
}

// TestRequestThatDoesNotFitAtOnce: what the socket does not take at once comes behind, and
// nothing twice.
func TestRequestThatDoesNotFitAtOnce(t *testing.T) {
	u, accept := small(t)
	r, want := order()
	got := make(chan []byte)
	go func() {
		c := accept()
		defer c.Close()
		b := make([]byte, len(want))
		io.ReadFull(c, b)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		rest, _ := io.ReadAll(c)
		got <- append(b, rest...)
	}()
	e, err := u.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !e.c.direct {
		t.Error("its connection does not write to the socket as it is")
	}
	e.Close()
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d bytes came, not the %d that were sent", len(b), len(want))
	}
}

// TestPartOfARequestIsNotUnsent: nor when nothing of the rest can be written.
func TestPartOfARequestIsNotUnsent(t *testing.T) {
	u, accept := small(t)
	c, err := u.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	defer accept().Close()
	c.nc = full{c.nc}
	_, whole := order()
	if n, err := c.send(whole); n == 0 || n >= len(whole) || err != errFull {
		t.Errorf("%d bytes sent, %v; want some of %d", n, err, len(whole))
	}
}

// full is a connection that takes no more.
type full struct{ net.Conn }

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }
