package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a connection that reads from a reader and answers with addresses.
type wire struct {
	net.Conn
	io.Reader
}

func (w wire) Read(b []byte) (int, error) { return w.Reader.Read(b) }

var (
	peer = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
	here = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 2}
)

func (w wire) RemoteAddr() net.Addr { return peer }
func (w wire) LocalAddr() net.Addr  { return here }

func balancer(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") }

// refusals gathers why connections were refused.
type refusals []error

func (r *refusals) add(of net.Addr, why error) {
	if of != net.Addr(peer) {
		why = fmt.Errorf("of %v: %w", of, why)
	}
	*r = append(*r, why)
}

func TestReadBeginsBehindTheHeader(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
	for _, c := range whole {
		for name, r := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
			"halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
		} {
			var why refusals
			conn := New(wire{Reader: r(strings.NewReader(c.header + request))}, balancer, why.add)
			if got := conn.RemoteAddr(); got != net.Addr(peer) {
				t.Errorf("%s: before the first read the client is %v", c.name, got)
			}
			got, err := io.ReadAll(conn)
			if string(got) != request || err != nil || why != nil {
				t.Errorf("%s, %s: got %q, error %v, refused %v", c.name, name, got, err, why)
			}
			client, at := peer.String(), here.String()
			if c.want.Source.IsValid() {
				client, at = c.want.Source.String(), c.want.Destination.String()
			}
			if conn.RemoteAddr().String() != client || conn.LocalAddr().String() != at {
				t.Errorf("%s: from %v to %v, want %s and %s", c.name, conn.RemoteAddr(), conn.LocalAddr(), client, at)
			}
			if nameless := !c.want.Source.IsValid() && !c.want.Local; conn.Nameless() != nameless {
				t.Errorf("%s: nameless %v, want %v", c.name, conn.Nameless(), nameless)
			}
		}
	}
}

// A caller with little room gets every byte, in order.
func TestReadsIntoSmallBuffers(t *testing.T) {
	body := strings.Repeat("0123456789", 200)
	conn := New(wire{Reader: strings.NewReader(whole[0].header + body)}, balancer, nil)
	got, err := io.ReadAll(iotest.OneByteReader(conn))
	if string(got) != body || err != nil {
		t.Errorf("got %d bytes and error %v, want %d", len(got), err, len(body))
	}
}

func TestRefusedConnections(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		trusted     bool
		want        error // nil: not refused, it just ends
	}{
		{"untrusted", whole[0].header, false, ErrUntrusted},
		{"untrusted and silent", "", false, ErrUntrusted},
		{"a request", "GET / HTTP/1.1\r\n\r\n", true, ErrMissing},
		{"malformed", "PROXY TCP4\r\n", true, ErrMalformed},
		{"too long", "PROXY UNKNOWN " + strings.Repeat("x", 200), true, ErrTooLong},
		{"cut", whole[0].header[:20], true, ErrCut},
		{"a look whether we listen", "", true, nil},
	} {
		var why refusals
		conn := New(wire{Reader: strings.NewReader(c.bytes)}, func(netip.Addr) bool { return c.trusted }, why.add)
		for range 2 {
			n, err := conn.Read(make([]byte, 100))
			if want := c.want; n != 0 || want != nil && err != want || want == nil && err != io.EOF {
				t.Errorf("%s: read %d bytes and error %v, want %v", c.name, n, err, c.want)
			}
		}
		if want := c.want; want == nil && why != nil || want != nil && (len(why) != 1 || why[0] != want) {
			t.Errorf("%s: refused %v, want %v once", c.name, why, want)
		}
	}
}

// A deadline in the middle of a header loses no byte.
func TestDeadlineInsideTheHeader(t *testing.T) {
	for _, c := range whole {
		for cut := range len(c.header) {
			var why refusals
			r := io.MultiReader(strings.NewReader(c.header[:cut]), &late{}, strings.NewReader(c.header[cut:]+"ok"))
			conn := New(wire{Reader: r}, balancer, why.add)
			if _, err := conn.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%s after %d bytes: got error %v, want the deadline", c.name, cut, err)
			}
			if got, err := io.ReadAll(conn); string(got) != "ok" || err != nil || why != nil {
				t.Fatalf("%s after %d bytes: got %q, error %v, refused %v", c.name, cut, got, err, why)
			}
			if len(c.header) > 500 && cut > 40 {
				break
			}
		}
	}
}

// late fails once for want of time.
type late struct{ failed bool }

func (l *late) Read([]byte) (int, error) {
	if l.failed {
		return 0, io.EOF
	}
	l.failed = true
	return 0, os.ErrDeadlineExceeded
}

// On a real socket: the descriptor can be reached, a deadline ends half a header, and
// writing does not wait for one.
func TestSocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	conn := New(accepted, func(a netip.Addr) bool { return a.IsLoopback() }, func(_ net.Addr, err error) { t.Errorf("refused: %v", err) })
	var _ syscall.Conn = conn
	raw, err := conn.SyscallConn()
	if err != nil || raw.Control(func(uintptr) {}) != nil || conn.NetConn() != accepted {
		t.Errorf("the socket cannot be reached: %v", err)
	}
	if _, err := New(wire{}, nil, nil).SyscallConn(); err == nil {
		t.Error("a connection without a descriptor gave one")
	}
	header := whole[0].header
	if _, err := io.WriteString(client, header[:9]); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Unix(1, 0))
	if _, err := conn.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got error %v, want the deadline", err)
	}
	conn.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(client, header[9:]+"request"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, []byte("request")) || conn.RemoteAddr().String() != "192.0.2.1:56324" {
		t.Errorf("got %q from %v and error %v", got, conn.RemoteAddr(), err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if hello, err := io.ReadAll(client); string(hello) != "hello" || err != nil {
		t.Errorf("the client got %q and error %v", hello, err)
	}
}
