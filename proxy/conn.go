package proxy

// One client connection: what fasthttp reads comes through here, what it writes ends
// here. It notes by when its client must have done what it owes, says whether the client
// is still there, and closes so that the last answer is seen. It does not parse.

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"penstock/proxy/socket"
)

// conn is one client connection.
//
// Deadlines for idle connections and slow clients would cost every request several calls
// into the timer. Instead the connection notes, by a coarse clock, until when its client
// may take, and a sweep (watch.go) ends the waits that have become too long.
type conn struct {
	net.Conn
	watch *watch
	raw   syscall.RawConn // of the socket below; nil: there is none
	ended atomic.Bool     // a read has failed or met the end
	began atomic.Bool     // a byte has come
	swept atomic.Bool     // the sweep has ended its wait
	asked atomic.Bool     // the sweep has asked it to park
	ample atomic.Bool     // the body that is being read is not wanted any more
	due   atomic.Int64    // by when the client owes bytes, in coarse time; below zero: of a next request; 0: it owes none
	fed   atomic.Int64    // since when the client does not take what is written; 0: it does

	// Of the goroutine that serves it.
	ahead    int  // bytes read that are not known to belong to a request so far; may count too many
	between  bool // a request has been answered, and the next has not begun
	waiting  bool // the client waits to be told to send the body
	pad      int  // the first byte of the body is not the client's
	parking  bool // it is between two requests, and goes to the lot instead of ending
	lingers  bool // the last answer was sent before the request had been read
	over     bool // the last answer has been sent
	direct   bool // what is written goes to the socket as it is
	requests int
	peer     netip.Addr // once a request has come: before, nobody may have said (PROXY protocol)

	// Guarded by watch.mu.
	at      int  // place in watch.conns
	parked  bool // it lies in the lot, and no goroutine serves it
	surplus bool // over the budget: every request is refused
}

// Read is fasthttp's, which gets what is not answered at once (whole.go). It marks the
// connection when nothing more will come.
func (c *conn) Read(b []byte) (int, error) {
	for {
		if c.pad == padDue {
			b[0], c.pad = 0, padGiven
			return 1, nil
		}
		c.ahead = c.buffered(b)
		if c.between && c.ahead == 0 {
			c.idles()
		}
		waits := c.ahead == 0 && (c.between || !c.began.Load())
		n, err := c.Conn.Read(b)
		c.ahead += n
		if n > 0 {
			c.heard()
		}
		if err == nil {
			if !waits || c.watch.answer == nil || !c.watch.answer(c, b[:n]) {
				return n, nil
			}
			if c.over {
				return 0, io.EOF
			}
			runtime.Gosched() // others first: meanwhile the next request comes, and a read in vain is saved
			continue
		}
		if n == 0 && c.ample.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, errUnwanted
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.unask() {
			if c.due.Load() < 0 && c.ahead == 0 && !c.swept.Load() {
				c.parking = true
				return 0, errParked
			}
			continue // asked too late: the next request had begun
		}
		c.ended.Store(true)
		return n, err
	}
}

// buffered is how many bytes fasthttp holds that it has not parsed, as it is about to read
// more into the free rest b of its buffer.
func (c *conn) buffered(b []byte) int { return max(0, c.watch.buffer-len(b)) }

// errParked makes fasthttp let go of an idle connection.
var errParked = errors.New("parked: i/o timeout")

// heard notes that bytes have come.
func (c *conn) heard() {
	c.between = false
	if c.due.Load() < 0 { // a head has begun
		c.due.Store(c.watch.now.Load() + c.watch.head.Milliseconds())
	}
	if !c.began.Load() {
		c.began.Store(true)
	}
	if c.asked.Load() {
		c.unask()
	}
}

// unask takes back what the sweep has asked, and reports whether it had.
func (c *conn) unask() bool {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	asked := c.asked.Swap(false)
	if asked && !c.swept.Load() {
		c.Conn.SetReadDeadline(time.Time{})
	}
	return asked
}

// Write is for fasthttp, whose answers go nowhere: ours are sent.
func (c *conn) Write(b []byte) (int, error) { return len(b), nil }

// writePiece is how much a client must take within its patience, in bytes.
const writePiece = 64 << 10

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

// Close is fasthttp's: it parks, or ends.
func (c *conn) Close() error {
	if c.parking {
		c.parking = false
		if c.watch.park(c) {
			return nil
		}
	}
	if c.lingers && !c.ended.Load() {
		c.linger()
	}
	c.watch.forget(c)
	return c.Conn.Close()
}

const (
	// lingerFor and lingerBytes bound how long and how much is read of a request that was
	// answered before its end. Closed with bytes unread, a connection ends in a reset, and
	// a reset takes the answer with it.
	lingerFor   = 3 * time.Second
	lingerBytes = 4 << 20
	// lingering bounds how many do so at a time.
	lingering = 512
)

func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || c.watch.lingering.Add(1) > lingering {
		c.watch.lingering.Add(-1)
		return
	}
	defer c.watch.lingering.Add(-1)
	c.due.Store(0)
	if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerFor)) == nil {
		io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
}

// handling: the head is there, of that many bytes, and the handler knows how long to wait
// for the rest.
func (c *conn) handling(head int) {
	c.due.Store(0)
	c.ahead -= head
	c.between = false
	c.requests++
	if c.swept.Load() { // at the last moment
		c.watch.mu.Lock()
		c.swept.Store(false)
		c.Conn.SetReadDeadline(time.Time{})
		c.watch.mu.Unlock()
	}
}

// owes gives the client that long for its next bytes, from when the sweep next looks.
func (c *conn) owes(d time.Duration) { c.due.Store(c.watch.now.Load() + d.Milliseconds()) }

// answered: the client may send its next request, after the rest of this one if any. A
// part of it may have come with this one: whether it has not, and the client is idle, Read
// knows.
func (c *conn) answered(unread bool) {
	c.between = !unread
	c.owes(c.watch.head)
}

// idles gives the client its time to ask again.
func (c *conn) idles() { c.due.Store(-c.watch.now.Load() - c.watch.idle.Milliseconds()) }

// abort makes the connection end in a reset, and not, by lingering, as if all were said.
func (c *conn) abort() {
	c.ended.Store(true)
	_ = reset(c.Conn)
}

// below is the connection below all that wraps it.
func below(c net.Conn) net.Conn {
	for {
		wrapped, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = wrapped.NetConn()
	}
}

func rawConn(c net.Conn) syscall.RawConn {
	if s, ok := below(c).(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// gone reports whether the client has closed its side: 0.6 µs, and true also when
// unread bytes hide the end from a read. A client that half-closes counts as gone, as
// it does for nginx (499).
func (c *conn) gone() bool {
	if c.raw == nil {
		return c.ended.Load()
	}
	return c.poll(unix.POLLRDHUP)&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// poll asks the kernel about the socket without waiting; a closed one is POLLNVAL.
func (c *conn) poll(events int16) (got int16) {
	var p socket.Prober // of its own: the sweep asks, too
	return p.Poll(c.raw, events)
}
