package proxy

// The client's connection: an accept loop that survives running out of descriptors,
// patience with slow clients, a mark for connections that have ended (a chunked body
// that ends there was cut, not complete), and a look whether the client is still there.

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"penstock/rules"
)

// listener wraps what fasthttp accepts from.
type listener struct {
	net.Listener
	watch  *watch
	failed func(error) // told of every accept that failed for want of something
}

// Accept retries what passes by itself. fasthttp would stop serving for good, with
// the listening socket still open, at the first accept that finds no descriptor.
func (l *listener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.watch.add(c), nil
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
//
// Deadlines for idle connections and slow heads would cost every request several calls
// into the timer. Instead the connection notes, by a coarse clock, since when its client
// owes it something, and a sweep ends the waits that have become too long.
type conn struct {
	net.Conn
	watch *watch
	ended atomic.Bool  // a read has failed or met the end
	began atomic.Bool  // a byte has come
	owes  atomic.Int64 // since when the client owes bytes, in coarse time, below zero if it is a next request; 0: it owes none
	swept atomic.Bool  // the sweep has ended its wait
	fed   atomic.Int64 // since when the client does not take what is written; 0: it does
}

// Read marks the connection when nothing more will come.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.ended.Store(true)
	}
	if n > 0 && c.owes.Load() < 0 {
		c.owes.Store(c.watch.now.Load()) // the head has begun
	}
	if n > 0 && !c.began.Load() {
		c.began.Store(true)
	}
	return n, err
}

// Close ends the watch.
func (c *conn) Close() error {
	c.watch.forget(c)
	return c.Conn.Close()
}

// handling: the head is there, and the handler knows how long to wait for the rest.
func (c *conn) handling() {
	c.owes.Store(0)
	if c.swept.Load() { // at the last moment
		c.swept.Store(false)
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// answered: the client may send its next request, after the rest of this one if any.
func (c *conn) answered(unread bool) {
	now := c.watch.now.Load()
	if !unread {
		now = -now
	}
	c.owes.Store(now)
}

// watch ends waits of clients that are too slow, and counts coarse time for them.
type watch struct {
	now        atomic.Int64 // milliseconds since the start, as of the last sweep, from 1
	head, idle time.Duration
	body       time.Duration // for a piece of an answer to be taken
	start      time.Time
	mu         sync.Mutex
	conns      map[*conn]struct{}
	stop       chan struct{}
	date       atomic.Pointer[[]byte] // a header line
	second     int64                  // of date, Unix seconds
}

// sweepEvery is how late a wait may be ended.
const sweepEvery = 200 * time.Millisecond

func newWatch(c rules.Client) *watch {
	w := &watch{head: c.Header, idle: c.Idle, body: c.Body, start: time.Now(), conns: map[*conn]struct{}{}, stop: make(chan struct{})}
	w.now.Store(1)
	w.tell(w.start)
	return w
}

// tell renews the Date that answers carry.
func (w *watch) tell(t time.Time) {
	if w.second == t.Unix() {
		return
	}
	w.second = t.Unix()
	line := t.UTC().AppendFormat([]byte("Date: "), http.TimeFormat+"\r\n")
	w.date.Store(&line)
}

func (w *watch) add(c net.Conn) *conn {
	k := &conn{Conn: c, watch: w}
	k.owes.Store(w.now.Load())
	w.mu.Lock()
	w.conns[k] = struct{}{}
	w.mu.Unlock()
	return k
}

func (w *watch) forget(c *conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

func (w *watch) run() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case t := <-tick.C:
			w.now.Store(max(1, t.Sub(w.start).Milliseconds()))
			w.tell(t)
			w.sweep()
		}
	}
}

func (w *watch) sweep() {
	now := w.now.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		since, patience := c.owes.Load(), w.head
		if since < 0 {
			since, patience = -since, w.idle
		}
		if since != 0 && now-since > patience.Milliseconds() {
			c.swept.Store(true)
			c.Conn.SetReadDeadline(time.Unix(1, 0))
		}
		if since := c.fed.Load(); since != 0 && now-since > w.body.Milliseconds() {
			c.Conn.SetWriteDeadline(time.Unix(1, 0)) // for good
		}
	}
}

// writePiece is how much a client must take within its patience, in bytes.
const writePiece = 64 << 10

// Write is for fasthttp, whose answers go nowhere: ours are sent.
func (c *conn) Write(b []byte) (int, error) { return len(b), nil }

// send writes to the client. One that takes no more of it is let go by the sweep.
func (c *conn) send(b []byte) (n int, err error) {
	for more := true; more && err == nil; more = n < len(b) {
		c.fed.Store(c.watch.now.Load())
		var m int
		m, err = c.Conn.Write(b[n:min(n+writePiece, len(b))])
		n += m
	}
	c.fed.Store(0)
	return n, err
}

// abort makes the connection end in a reset.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}

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
	c       *fasthttp.RequestCtx // whose deadlines end with the request
	silence time.Duration        // the longest wait for more of it; 0: a deadline for the whole is set
	left    int64                // bytes that may still come; must still come if not chunked
	chunked bool
	ended   bool  // it is whole, and there is nothing more to read
	err     error // why it failed, if it did
}

// upload is the request's body, within limit bytes. One of known length must be within
// it already.
func (r *request) upload(limit int64, silence time.Duration) *upload {
	r.up = upload{from: r.c.RequestBodyStream(), conn: r.conn, c: r.c, silence: silence, left: limit, chunked: r.head.length < 0}
	if !r.up.chunked {
		r.up.left = int64(r.head.length)
	}
	return &r.up
}

var errUploadTooLarge = errors.New("read body: larger than allowed")

func (u *upload) Read(b []byte) (int, error) {
	if u.left < 0 {
		return 0, u.fail(errUploadTooLarge)
	}
	if u.silence > 0 {
		if err := u.c.SetReadDeadline(time.Now().Add(u.silence)); err != nil {
			return 0, u.fail(err)
		}
	}
	n, err := u.from.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, u.fail(errUploadTooLarge)
	}
	if err == io.EOF && (u.chunked && u.conn.ended.Load() || !u.chunked && u.left > 0) {
		err = io.ErrUnexpectedEOF // the end of the connection is not the end of a body
	}
	if err != nil && err != io.EOF {
		u.fail(err)
	}
	u.ended = err == io.EOF || err == nil && !u.chunked && u.left == 0
	return n, err
}

func (u *upload) fail(err error) error {
	u.err = err
	return err
}
