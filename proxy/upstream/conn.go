package upstream

// One connection: what is written and read on it, its deadlines, and whether it may be
// used again. It belongs to one exchange at a time and is not safe for concurrent use,
// but for what upload says.

import (
	"bufio"
	"crypto/tls"
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

const (
	readBuffer = 16 << 10
	// lastWords is how long an answer is waited for after the origin has stopped
	// taking the request.
	lastWords = time.Second
)

type conn struct {
	o     *Origin
	nc    net.Conn
	to    netip.Addr    // where it leads
	left  atomic.Bool   // it is not counted any more
	br    *bufio.Reader // stays with nc: bytes left in it would belong to the next answer
	read  deadline
	write deadline
	until time.Time // while idle: not to be used after

	tls    *tls.Conn       // nc, if it speaks TLS
	wire   *wire           // and what is beneath it
	raw    syscall.RawConn // without TLS; nil: cannot be asked, so never used again
	direct bool            // what is written goes to the socket as it is
	prober socket.Prober
	writer socket.Writer

	// of the exchange under way
	asks    string // the protocol to switch to; "": none
	head    []byte // of the answer, as far as read
	line    int    // where its last line starts
	interim int    // 1xx answers skipped
	ans     answer
	rolling bool         // the body is being read: IdleBody counts
	odd     bool         // something happened that forbids use again
	phase   atomic.Int32 // of an upload

	interrupted atomic.Bool // reads end
}

func newConn(o *Origin, nc net.Conn, to netip.Addr) *conn {
	o.open.Add(1)
	c := &conn{o: o, nc: nc, to: to}
	c.br = bufio.NewReaderSize(c, readBuffer)
	c.read.set, c.write.set = nc.SetReadDeadline, nc.SetWriteDeadline
	if s, ok := nc.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		c.direct = c.raw != nil
	}
	return c
}

// reset makes c ready for a new exchange.
func (c *conn) reset() {
	c.head, c.line, c.interim = c.head[:0], 0, 0
	c.ans = answer{fields: c.ans.fields[:0]}
	c.asks, c.rolling, c.odd = "", false, false
	c.phase.Store(sending)
	c.interrupted.Store(false)
}

// close does not wait. TLS says goodbye if that can be sent at once. More than one does
// no harm.
func (c *conn) close() {
	c.leave()
	if c.wire != nil {
		c.wire.leaving.Store(true)
	}
	c.nc.Close()
}

// leave takes c out of the count of connections that the origin's requests have.
func (c *conn) leave() {
	if !c.left.Swap(true) {
		c.o.open.Add(-1)
	}
}

// fit reports whether c may be used again: young enough, and the origin neither spoke
// nor hung up. Whatever it said was not an answer to the request we are about to send.
func (c *conn) fit(now time.Time) bool {
	if !now.Before(c.until) {
		return false
	}
	if c.tls != nil {
		return c.wire.quiet(c.tls)
	}
	if c.raw == nil {
		return false
	}
	return c.prober.Poll(c.raw, unix.POLLIN) == 0 // POLLIN is also set for a half-closed connection
}

// Read is for br only.
func (c *conn) Read(p []byte) (int, error) {
	if c.rolling {
		c.read.roll(c.o.conf.IdleBody)
	}
	for !c.interrupted.Load() { // set before its deadline: of the two, mend undoes only that
		n, err := c.nc.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.read.mend() {
			continue
		}
		if err == io.EOF && c.wire != nil && c.wire.ended {
			err = io.ErrUnexpectedEOF // an end without close_notify can be anybody's
		}
		return n, err
	}
	return 0, os.ErrDeadlineExceeded
}

// send writes p. n is above 0 if a byte may have left, be it half a record of TLS.
func (c *conn) send(p []byte) (n int, err error) {
	if c.direct {
		if n, err = c.writer.Write(c.raw, p); err != nil || n == len(p) {
			return n, err
		}
	}
	c.write.roll(c.o.conf.IdleBody)
	if c.wire == nil {
		rest, err := c.nc.Write(p[n:])
		return n + rest, err
	}
	before := c.wire.wrote.Load()
	if n, err = c.nc.Write(p); n == 0 && c.wire.wrote.Load() != before {
		n = 1
	}
	return n, err
}

// answer waits for the head of the answer to a request that was written whole, or
// failed to be with werr. An origin that refuses a request half way may have said why.
func (c *conn) answer(werr error) error {
	c.await(werr)
	runtime.Gosched() // others first: meanwhile the answer comes, and a read in vain is saved
	return c.answered(werr, c.readAnswer())
}

// await starts the clock for the head of the answer.
func (c *conn) await(werr error) {
	d := c.o.conf.Response
	if werr != nil && (d <= 0 || d > lastWords) {
		d = lastWords
	}
	c.read.in(d)
}

// answered joins what became of the two directions. The write error is the cause if
// both failed, and an answer is better than either.
func (c *conn) answered(werr, rerr error) error {
	c.odd = c.odd || werr != nil
	switch {
	case rerr == nil:
		return nil
	case werr != nil:
		return &Error{Op: OpWrite, Timeout: timedOut(werr), Err: werr}
	}
	return &Error{Op: OpHead, Timeout: timedOut(rerr), Err: rerr}
}

// readAnswer reads heads until the one that is not interim; those are dropped. After a timeout it can be
// called again and goes on where it was.
func (c *conn) readAnswer() error {
	for {
		if err := c.readHead(); err != nil {
			return err
		}
		if err := c.ans.parse(c.head); err != nil {
			return err
		}
		s := c.ans.status
		switch {
		case s == switched && c.asks == "":
			return badAnswer("switched protocols unasked")
		case s == switched && !c.ans.switches(c.asks):
			return badAnswer("switched to another protocol")
		case s >= 200, s == switched:
			return nil
		}
		if c.interim++; c.interim > maxInterim {
			return badAnswer("too many interim answers")
		}
		// 102 and 103 come to those who did not ask; a 100 belongs to a question.
		c.odd = c.odd || s != 102 && s != 103
		c.head, c.line = c.head[:0], 0
	}
}

// readHead reads up to the empty line into c.head.
func (c *conn) readHead() error {
	if len(c.head) == 0 { // nearly always it comes whole
		if _, err := c.br.Peek(1); err != nil {
			return cutShort(err)
		}
		b, _ := c.br.Peek(c.br.Buffered())
		if n := headLength(b); n > 0 {
			c.head = append(c.head, b[:n]...)
			c.br.Discard(n)
			return nil
		}
	}
	for {
		part, err := c.br.ReadSlice('\n')
		c.head = append(c.head, part...)
		if len(c.head) > maxHead {
			return badAnswer("head too large")
		}
		switch err {
		case nil:
		case bufio.ErrBufferFull:
			continue
		case io.EOF:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
		if n := len(c.head) - c.line; n == 1 || n == 2 && c.head[c.line] == '\r' {
			return nil
		}
		c.line = len(c.head)
	}
}

// deadline is one direction's deadline on a connection. To move it costs about as much as
// a small read, so it is moved only when it matters.
type deadline struct {
	set   func(time.Time) error
	until time.Time // zero: none
	told  time.Time // what the connection knows of it
}

// in sets the deadline exactly; a d of 0 lifts it. The connection may know an earlier one,
// and give up too early: whoever uses it must ask mend.
func (d *deadline) in(span time.Duration) {
	if span <= 0 {
		d.at(time.Time{})
		return
	}
	now := time.Now()
	if d.until = now.Add(span); !d.told.After(now) || d.told.After(d.until) {
		d.tell()
	}
}

// mend tells the connection the deadline if that has not passed, and reports whether.
func (d *deadline) mend() bool {
	if !time.Now().Before(d.until) {
		return false
	}
	d.tell()
	return true
}

// roll leaves at least span and at most an eighth more; a span of 0 lifts the deadline.
func (d *deadline) roll(span time.Duration) {
	if span <= 0 {
		if !d.until.IsZero() {
			d.at(time.Time{})
		}
		return
	}
	now, most := time.Now(), span+span/8
	if left := d.until.Sub(now); left < span || left > most {
		d.at(now.Add(most))
	}
}

func (d *deadline) at(t time.Time) {
	d.until = t
	d.tell()
}

func (d *deadline) tell() {
	d.told = d.until
	d.set(d.until) // fails only on a closed connection, and then so does the next read or write
}
