package upstream

// TLS to the origin, and what lies beneath it. crypto/tls can neither be asked whether
// the origin has said something, nor whether it has written something; the raw
// connection under it can, so it is wrapped: see wire.
//
// It gives up one convenience: a body that ends where the connection does must end with
// the origin's close_notify (RFC 9112, 9.8). Without one it was cut.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxTalk bounds what an idle origin may say in TLS's own matters until it is looked at,
// in bytes. A session ticket has some hundred.
const maxTalk = 16 << 10

// secured is c with what TLS to an origin needs and nobody should have to think of.
func secured(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"} // never HTTP/2, whatever the origin can do
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1) // there is one origin, and one name
	}
	return c
}

// handshake speaks TLS over nc, within ctx.
func handshake(ctx context.Context, nc net.Conn, c *tls.Config) (*tls.Conn, *wire, error) {
	w := &wire{Conn: nc}
	if s, ok := nc.(syscall.Conn); ok {
		w.raw, _ = s.SyscallConn()
	}
	t := tls.Client(w, c)
	if err := t.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, nil, err
	}
	return t, w, nil
}

// wire is the raw connection under TLS.
//
// TLS 1.3 sends session tickets after the handshake, when it likes: a descriptor that can
// be read does not mean that the origin has spoken HTTP. And a whole record may lie in
// TLS's own buffer, with a descriptor that is silent. So quiet makes TLS read what is
// there, from a wire that never waits, and looks at what comes of it. A read that finds
// nothing ends in a timeout, which spoils no state of crypto/tls.
type wire struct {
	net.Conn
	raw   syscall.RawConn // nil: cannot be asked
	quick bool            // nothing waits: it is looked at
	talk  int             // bytes a look may still read
	edge  records
	ended bool // the other side's end was read
	one   [1]byte

	leaving atomic.Bool  // writes do not wait: it is closed
	wrote   atomic.Int64 // bytes written, of whatever kind
}

// quiet reports whether the origin has said nothing but what TLS has for itself.
func (w *wire) quiet(t *tls.Conn) bool {
	if w.raw == nil {
		return false
	}
	w.quick, w.talk = true, maxTalk
	n, err := t.Read(w.one[:])
	w.quick = false
	return n == 0 && err == errNothing && w.edge.whole()
}

// errNothing is what TLS must take for a timeout: all other errors are for good.
var errNothing error = nothing{os.ErrDeadlineExceeded}

type nothing struct{ error }

func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

var errTalkative = errors.New("the origin says too much while nothing is asked")

func (w *wire) Read(p []byte) (n int, err error) {
	if w.quick {
		n, err = w.readNow(p)
	} else {
		n, err = w.Conn.Read(p)
	}
	w.edge.pass(p[:n])
	w.ended = w.ended || err == io.EOF
	return n, err
}

// readNow does not look at deadlines, which may have passed since the last exchange.
func (w *wire) readNow(p []byte) (n int, err error) {
	if w.talk <= 0 {
		return 0, errTalkative
	}
	now := func(fd uintptr) {
		n, err = unix.Read(int(fd), p)
		for err == unix.EINTR {
			n, err = unix.Read(int(fd), p)
		}
	}
	if e := w.raw.Control(now); e != nil {
		return 0, e
	}
	switch {
	case err == unix.EAGAIN:
		return 0, errNothing
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	w.talk -= n
	return n, nil
}

func (w *wire) Write(p []byte) (n int, err error) {
	if w.raw == nil || !w.leaving.Load() && !w.quick {
		n, err = w.Conn.Write(p)
	} else if e := w.raw.Control(func(fd uintptr) { n, err = unix.Write(int(fd), p) }); e != nil {
		n, err = 0, e
	}
	n = max(n, 0)
	w.wrote.Add(int64(n))
	return n, err
}

// records follows the records of TLS (RFC 8446, 5.1) in what is read, to know whether
// one has begun and not ended.
type records struct {
	head [5]byte // type, version, length
	has  int     // bytes of head
	left int     // bytes of the record behind its head
}

func (r *records) pass(p []byte) {
	for len(p) > 0 {
		if r.has < len(r.head) {
			n := copy(r.head[r.has:], p)
			r.has, p = r.has+n, p[n:]
			if r.has < len(r.head) {
				return
			}
			r.left = int(r.head[3])<<8 | int(r.head[4])
		}
		n := min(r.left, len(p))
		r.left, p = r.left-n, p[n:]
		if r.left == 0 {
			r.has = 0
		}
	}
}

func (r *records) whole() bool { return r.has == 0 }
