package proxy

// The sweep: five times a second it looks at every connection of a server, ends waits of
// clients that are too slow, parks what lies idle, and notices clients that have left
// while their requests wait. One goroutine for all of them; what it gives up is exactness:
// everything happens up to a sweep late.

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"penstock/rules"
)

// watch is the connections of one server, and a coarse clock for them.
type watch struct {
	now        atomic.Int64 // milliseconds since the start, as of the last sweep, from 1
	head, idle time.Duration
	body       time.Duration // for a piece of an answer to be taken
	start      time.Time
	stop       chan struct{}
	date       atomic.Pointer[[]byte] // the header line
	second     int64                  // of date, Unix seconds
	limit      int                    // connections
	buffer     int                    // of fasthttp for what it reads, bytes
	refused    atomic.Int64           // over it
	lingering  atomic.Int64
	lot        *lot // nil: nothing parks
	report     func(all, parked int)
	answer     func(*conn, []byte) bool // what is one plain request; nil: nobody does

	mu       sync.Mutex
	conns    []*conn
	leavers  map[*conn]func() // what to call when a client leaves
	nparked  int
	parks    int           // since memory was given back
	tidied   int64         // when, in coarse time
	untidy   bool          // some is held back still
	hand     int           // of evict
	draining int64         // since when silent connections are ended, in coarse time; 0: they are not
	grace    time.Duration // after which
	empty    chan struct{} // closed when draining has ended the last connection; nil: nobody waits for that
}

// sweepEvery is how late a wait may be ended.
const sweepEvery = 200 * time.Millisecond

func newWatch(c rules.Client, limit int) *watch {
	w := &watch{
		head: c.Header, idle: c.Idle, body: c.Body, start: time.Now(), stop: make(chan struct{}),
		limit: limit, buffer: max(c.MaxHeader, 16), leavers: map[*conn]func(){},
	}
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
	line := t.UTC().AppendFormat([]byte("Date: "), "Mon, 02 Jan 2006 15:04:05 GMT\r\n")
	w.date.Store(&line)
}

// enter begins to watch c; mu is held.
func (w *watch) enter(c net.Conn) *conn {
	k := &conn{Conn: c, watch: w, raw: rawConn(c), at: len(w.conns)}
	k.direct = k.raw != nil && below(c) == c
	k.owes(w.head)
	w.conns = append(w.conns, k)
	return k
}

func (w *watch) forget(c *conn) {
	w.mu.Lock()
	w.leave(c)
	w.mu.Unlock()
}

// leave ends the watch of c; mu is held.
func (w *watch) leave(c *conn) {
	if c.at < 0 {
		return
	}
	end := len(w.conns) - 1
	w.conns[c.at] = w.conns[end]
	w.conns[c.at].at = c.at
	w.conns[end] = nil
	w.conns = w.conns[:end]
	c.at = -1
	w.emptied()
}

// size is how many connections there are, and how many of them are parked.
func (w *watch) size() (all, parked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns), w.nparked
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
			w.tidy()
			if w.report != nil {
				w.report(w.size())
			}
		}
	}
}

func (w *watch) sweep() {
	now := w.now.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.conns) - 1; i >= 0; i-- { // from behind: one that leaves is replaced by one that was looked at
		w.look(w.conns[i], now)
	}
	for c, left := range w.leavers {
		if c.gone() {
			left()
			delete(w.leavers, c)
		}
	}
}

// look ends c's wait if it has become too long.
func (w *watch) look(c *conn, now int64) {
	if since := c.fed.Load(); since != 0 && now-since > w.body.Milliseconds() {
		c.Conn.SetWriteDeadline(time.Unix(1, 0)) // for good
	}
	due := c.due.Load()
	idle, patience := due < 0, w.head
	if idle {
		due, patience = -due, w.idle
	}
	silent := idle || !c.began.Load()            // nothing has been asked
	since := now - due + patience.Milliseconds() // it is silent, if it is
	over := now > due || silent && w.draining != 0 && min(since, now-w.draining) >= w.grace.Milliseconds()
	park := idle && !c.parked && w.lot != nil && c.raw != nil && since > parkAfter.Milliseconds() && !c.asked.Load()
	switch {
	case due == 0 || !over && !park:
	case silent && c.raw != nil && c.poll(unix.POLLIN)&unix.POLLIN != 0: // it has just asked
	case over:
		w.endWait(c)
	default:
		c.asked.Store(true)
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// endWait ends the wait for bytes of c. One that is parked ends with it.
func (w *watch) endWait(c *conn) {
	if c.parked {
		w.unpark(c)
		w.leave(c)
		c.Conn.Close()
		return
	}
	c.swept.Store(true)
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

const (
	// parkAfter is how long a connection lies idle with its goroutine and buffers.
	parkAfter = time.Second
	// idleGrace is how long silent connections stay open while we leave, where nobody says
	// how long: a client that is about to ask gets an answer, and is told with it that the
	// connection ends.
	idleGrace = time.Second
)

// follow has left called once if the client of c leaves before unfollow. left must not
// block.
func (w *watch) follow(c *conn, left func()) {
	w.mu.Lock()
	w.leavers[c] = left
	w.mu.Unlock()
}

// unfollow takes follow back. Afterwards left is not called any more.
func (w *watch) unfollow(c *conn) {
	w.mu.Lock()
	delete(w.leavers, c)
	w.mu.Unlock()
}

// drain lets idle connections end after a grace, and tells when the last has ended.
func (w *watch) drain() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining == 0 {
		w.draining, w.grace = w.now.Load(), idleGrace
	}
	if w.empty == nil {
		w.empty = make(chan struct{})
		w.emptied()
	}
	return w.empty
}

// emptied tells drain that there is no connection left, if so; mu is held.
func (w *watch) emptied() {
	if w.empty != nil && len(w.conns) == 0 {
		select {
		case <-w.empty:
		default:
			close(w.empty)
		}
	}
}

// cut closes all connections that are left.
func (w *watch) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Conn.Close()
		if c.parked {
			w.unpark(c)
		}
		c.at = -1
	}
	w.conns = nil
	w.emptied()
}
