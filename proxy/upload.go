package proxy

// The body of a request on its way in: within its limits of size and time, asked for
// (Expect: 100-continue) only when somebody wants it, and whole or not at all.

import (
	"errors"
	"io"
	"time"

	"github.com/valyala/fasthttp"
)

// minRate is the least a body must bring, beside the patience with it: who drips a byte
// now and then would hold its place for ever. Bytes/s; Apache's mod_reqtimeout asks for
// 500.
const minRate = 500

// slotRate is the least of a body that comes while its request holds one of the origin's
// slots, and perhaps one of its workers. Bytes/s; a phone's uplink brings more.
const slotRate = 16 << 10

// upload is a request's body as it comes in. It ends in io.EOF only if the body is whole.
type upload struct {
	from    io.Reader
	conn    *conn
	silence int64     // the longest wait for more of it, in coarse time; 0: until holds for the whole
	until   int64     // coarse time
	rate    int64     // bytes/s that it must bring on the whole
	got     int64     // bytes
	at      time.Time // when the last of them came, while the request holds a slot
	left    int64     // bytes that may still come; must still come if not chunked
	chunked bool
	ended   bool  // it is whole, and there is nothing more to read
	err     error // why it failed, if it did
}

// upload begins to read the request's body, within limit bytes. One of known length must
// be within it already. patience is for each wait, or for the whole.
func (r *request) upload(limit int64, patience time.Duration, whole bool) *upload {
	now := r.conn.watch.now.Load()
	r.up = upload{from: r.from, conn: r.conn, until: now + patience.Milliseconds(), rate: minRate, left: limit, chunked: r.head.length < 0}
	if !whole {
		r.up.silence = patience.Milliseconds()
	}
	if !r.up.chunked {
		r.up.left = int64(r.head.length)
	}
	return &r.up
}

var errUploadTooLarge = errors.New("read body: larger than allowed")

func (u *upload) Read(b []byte) (int, error) {
	if u.err != nil {
		return 0, u.err // what comes behind a fault is not the rest of the body
	}
	if u.ended {
		return 0, io.EOF
	}
	if u.left < 0 {
		return 0, u.fail(errUploadTooLarge)
	}
	if u.conn.waiting {
		if err := u.conn.invite(u.from); err != nil {
			return 0, u.fail(err)
		}
	}
	due := u.until
	if u.silence > 0 { // until is when it began, and its patience
		due = min(u.until+u.got*1000/u.rate, u.conn.watch.now.Load()+u.silence)
	}
	u.conn.due.Store(due)
	n, err := u.from.Read(b)
	u.conn.due.Store(0)
	u.got += int64(n)
	if u.rate == slotRate {
		u.at = time.Now()
	}
	if u.left -= int64(n); u.left < 0 {
		return 0, u.fail(errUploadTooLarge)
	}
	if u.chunked {
		u.conn.ahead = unknownAhead
	} else {
		u.conn.ahead -= n
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

// hurry begins to count anew, and more strictly: what is still to come of the body keeps a
// slot waiting.
func (u *upload) hurry() {
	u.until, u.got, u.rate = u.conn.watch.now.Load()+u.silence, 0, slotRate
}

// errUnwanted ends the reading of a body when the origin has answered before its end.
var errUnwanted = errors.New("read body: nobody wants the rest")

// stop ends a Read under way; it is called from another goroutine, and not after resume.
func (u *upload) stop() {
	u.conn.ample.Store(true)
	u.conn.Conn.SetReadDeadline(time.Unix(1, 0))
}

// resume takes back what stop has done to the connection.
func (u *upload) resume() {
	if u.conn.ample.Swap(false) {
		u.conn.Conn.SetReadDeadline(time.Time{})
	}
}

// failed reports whether the client is to blame for a body that did not come whole.
func (u *upload) failed() bool { return u != nil && u.err != nil && u.err != errUnwanted }

func (u *upload) fail(err error) error {
	u.err = err
	return err
}

// unknownAhead: behind chunks nobody knows where in the buffer the next request begins.
const unknownAhead = 1 << 30

// expect is asked by fasthttp about a request with Expect: 100-continue, before its body.
// fasthttp would say 100 at once and wait for the body's first byte before it calls us;
// the gates must come before both. So its 100 goes nowhere, as all it writes, and the byte
// it waits for is made up (pad), unless the client has sent something already: then it
// does not wait for an answer, and gets a 100 that it need not look at. What it has sent is
// reckoned, and too low where a request line ended in a bare LF: then fasthttp does not ask
// for that byte, and the request is refused (head.scan).
func (p *Proxy) expect(c *fasthttp.RequestCtx) int {
	k, ok := c.Conn().(*conn)
	if !ok {
		return fasthttp.StatusContinue
	}
	header := &c.Request.Header
	length := header.ContentLength()
	switch {
	case length == 0 || length < -1: // nothing to wait for
	case k.ahead > headSize(header):
		k.send(sayContinue)
	default:
		k.waiting = true
		if length > 0 {
			k.pad = padDue
			header.SetContentLength(length + 1)
		}
	}
	return fasthttp.StatusContinue
}

var sayContinue = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// headSize is how many bytes of the connection a head is, at least.
func headSize(h *fasthttp.RequestHeader) int {
	return len(h.Method()) + len(h.RequestURI()) + len(h.Protocol()) + len("  \r\n") + len(h.RawHeaders())
}

// The byte that is made up.
const (
	padNone = iota
	padDue  // fasthttp is about to read it
	padGiven
)

// invite tells the client to send its body, and takes the made up byte off its front.
func (c *conn) invite(body io.Reader) error {
	c.waiting = false
	if c.pad == padGiven {
		c.pad = padNone
		var pad [1]byte
		if _, err := io.ReadFull(body, pad[:]); err != nil {
			return err
		}
	}
	_, err := c.send(sayContinue)
	return err
}
