package proxyproto

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
)

// Why else a connection is refused.
var (
	ErrUntrusted = errors.New("the peer may not send a PROXY header")
	ErrCut       = errors.New("the connection ends inside its PROXY header")
)

// Conn is a connection that must begin with a header. It is read at the first Read, within
// whatever deadline that has, and never before. A deadline that passes in the middle loses
// nothing: the next Read goes on. Any other trouble is for good.
//
// Reads are for one goroutine at a time, as of any bufio.Reader.
type Conn struct {
	net.Conn
	trusted func(peer netip.Addr) bool
	refused func(peer net.Addr, why error)

	buf  []byte // the header so far, and behind it what came with its last bytes
	done bool
	err  error
	said atomic.Pointer[said]
}

// said is what a header has said, as addresses.
type said struct {
	remote, local net.Addr
	own           bool
	known         bool
}

// New makes one of c. Of each connection that is refused, refused is told why, once: one
// of this package's errors. A peer that leaves without a byte is not refused: balancers
// look that way whether somebody listens.
func New(c net.Conn, trusted func(peer netip.Addr) bool, refused func(peer net.Addr, why error)) *Conn {
	return &Conn{Conn: c, trusted: trusted, refused: refused}
}

// firstRead is how much is asked for at first: most headers, and a small request.
const firstRead = 512

// Read reads what is behind the header.
func (c *Conn) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if !c.done {
		if err := c.readHeader(); err != nil {
			return 0, err
		}
	}
	if len(c.buf) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.buf)
	if c.buf = c.buf[n:]; len(c.buf) == 0 {
		c.buf = nil
	}
	return n, nil
}

// readHeader leaves in buf what is behind the header.
func (c *Conn) readHeader() error {
	if c.buf == nil && !c.trusted(addr(c.Conn.RemoteAddr())) {
		return c.fail(ErrUntrusted)
	}
	for want := firstRead; ; {
		c.buf = slices.Grow(c.buf, max(1, want-len(c.buf)))
		n, err := c.Conn.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		h, length, wrong := Parse(c.buf)
		var short Short
		switch {
		case wrong == nil:
			c.note(h)
			c.buf, c.done = c.buf[length:], true
			return nil
		case !errors.As(wrong, &short):
			return c.fail(wrong)
		case err != nil && !timeout(err) && len(c.buf) > 0:
			return c.fail(ErrCut)
		case err != nil:
			return err
		}
		want = int(short)
	}
}

func timeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// fail ends the connection's reading for good.
func (c *Conn) fail(err error) error {
	c.err, c.buf = err, nil
	c.refused(c.Conn.RemoteAddr(), err)
	return err
}

func (c *Conn) note(h Header) {
	s := &said{remote: c.Conn.RemoteAddr(), local: c.Conn.LocalAddr(), own: h.Local, known: h.Source.IsValid()}
	if s.known {
		s.remote, s.local = net.TCPAddrFromAddrPort(h.Source), net.TCPAddrFromAddrPort(h.Destination)
	}
	c.said.Store(s)
}

// RemoteAddr is the client's address, once the header has been read; before, and where
// the header does not tell it, the peer's.
func (c *Conn) RemoteAddr() net.Addr {
	if s := c.said.Load(); s != nil {
		return s.remote
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is where the client has connected to, likewise.
func (c *Conn) LocalAddr() net.Addr {
	if s := c.said.Load(); s != nil {
		return s.local
	}
	return c.Conn.LocalAddr()
}

// Nameless reports whether the connection is passed on for a client whose address the
// header does not tell: what is read is the client's words, not the peer's, though the
// address is the peer's.
func (c *Conn) Nameless() bool {
	s := c.said.Load()
	return s != nil && !s.known && !s.own
}

// NetConn is the connection itself.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// SyscallConn gives the connection's descriptor, if it has one.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite ends the direction to the client, where the connection can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func addr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
