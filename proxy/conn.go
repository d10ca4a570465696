package proxy

// The client's connection: an accept loop that survives running out of descriptors,
// a mark for connections that have ended (a chunked body that ends there was cut, not
// complete), and a look whether the client is still there.

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listener wraps what fasthttp accepts from.
type listener struct {
	net.Listener
	failed func(error) // told of every accept that failed for want of something
}

// Accept retries what passes by itself. fasthttp would stop serving for good, with
// the listening socket still open, at the first accept that finds no descriptor.
func (l *listener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return &conn{Conn: c}, nil
		}
		if !passing(err) {
			return nil, err
		}
		l.failed(err)
		time.Sleep(wait)
	}
}

func passing(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// conn is one client connection.
type conn struct {
	net.Conn
	ended atomic.Bool // a read has failed or met the end
	began atomic.Bool // a byte has come
	muted atomic.Bool

	// Every request moves the read deadline twice, mostly to a later time. That is
	// only noted; the armed one is moved when it has fired too early.
	armed, wanted time.Time
}

// SetReadDeadline notes a later deadline and arms an earlier one.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.wanted = t
	if !c.armed.IsZero() && (t.IsZero() || t.After(c.armed)) {
		return nil
	}
	c.armed = t
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline keeps the two deadlines apart.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read marks the connection when nothing more will come.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.armed.Equal(c.wanted) {
		c.armed = c.wanted
		if err = c.Conn.SetReadDeadline(c.armed); err == nil {
			n, err = c.Conn.Read(b)
		}
	}
	if err != nil {
		c.ended.Store(true)
	}
	if n > 0 && !c.began.Load() {
		c.began.Store(true)
	}
	return n, err
}

// Write drops what is written to a muted connection.
func (c *conn) Write(b []byte) (int, error) {
	if c.muted.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// mute lets nothing more out: an answer that nobody asked for would be taken for the
// answer to the next request.
func (c *conn) mute() { c.muted.Store(true) }

// gone reports whether the client has closed its side: 0.6 µs, and true also when
// unread bytes hide the end from a read. A client that half-closes counts as gone, as
// it does for nginx (499).
func (c *conn) gone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return c.ended.Load()
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p[:], 0)
		for err == unix.EINTR { // the runtime's own signals
			n, err = unix.Poll(p[:], 0)
		}
		gone = err == nil && n == 1 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}

// upload is a request's body as it comes in, for bodies that are streamed to the
// origin. It ends in io.EOF only if the body is whole.
type upload struct {
	from    io.Reader
	conn    *conn
	silence time.Duration // the longest wait for more of it; 0: a deadline for the whole is set
	left    int64         // bytes that may still come
	chunked bool
	err     error // why it failed, if it did
}

var errUploadTooLarge = errors.New("read body: larger than allowed")

func (u *upload) Read(b []byte) (int, error) {
	if u.left < 0 {
		return 0, u.fail(errUploadTooLarge)
	}
	if u.silence > 0 {
		if err := u.conn.SetReadDeadline(time.Now().Add(u.silence)); err != nil {
			return 0, u.fail(err)
		}
	}
	n, err := u.from.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, u.fail(errUploadTooLarge)
	}
	if err == io.EOF && u.chunked && u.conn.ended.Load() {
		err = io.ErrUnexpectedEOF // the end of the connection is not the end of a chunked body
	}
	if err != nil && err != io.EOF {
		u.fail(err)
	}
	return n, err
}

func (u *upload) fail(err error) error {
	u.err = err
	return err
}
