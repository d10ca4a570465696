package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is the two ends of a TCP connection, and a's socket.
func pair(t *testing.T) (a, b *net.TCPConn, raw syscall.RawConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); d.Close() })
	a, b = c.(*net.TCPConn), d.(*net.TCPConn)
	if raw, err = a.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	return a, b, raw
}

func TestWriteTakesWhatFitsAndNoMore(t *testing.T) {
	a, b, raw := pair(t)
	var w Writer
	sent := bytes.Repeat([]byte("0123456789"), 1<<20)
	n, err := w.Write(raw, sent)
	if err != nil || n == 0 || n >= len(sent) {
		t.Fatalf("%d bytes at once, %v; want some", n, err)
	}
	if m, err := w.Write(raw, sent[n:]); err != nil || m == len(sent)-n {
		t.Errorf("then %d, %v; want it to stay short", m, err)
	} else {
		n += m
	}
	a.Close()
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, sent[:n]) {
		t.Errorf("%d bytes came, %v; want the %d", len(got), err, n)
	}
	if n, err := w.Write(raw, sent); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("to a closed one: %d, %v", n, err)
	}
}

func TestWriteToWhoHasReset(t *testing.T) {
	a, b, raw := pair(t)
	b.SetLinger(0)
	b.Close()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	var w Writer
	if n, err := w.Write(raw, []byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestPoll(t *testing.T) {
	a, b, raw := pair(t)
	var p Prober
	if got := p.Poll(raw, unix.POLLIN|unix.POLLRDHUP); got != 0 {
		t.Errorf("in silence: %#x", got)
	}
	b.Write([]byte("x"))
	for p.Poll(raw, unix.POLLIN) != unix.POLLIN { // until it is here
	}
	b.CloseWrite()
	for p.Poll(raw, unix.POLLRDHUP) != unix.POLLRDHUP {
	}
	a.Close()
	if got := p.Poll(raw, unix.POLLIN); got != unix.POLLNVAL {
		t.Errorf("closed: %#x", got)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	_, b, raw := pair(t)
	var p Prober
	var w Writer
	x := []byte("x")
	if n := testing.AllocsPerRun(100, func() { p.Poll(raw, unix.POLLIN); w.Write(raw, x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	b.Close()
}
