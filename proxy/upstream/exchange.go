package upstream

// One exchange from its head to its Close. It does not follow the caller's context:
// who has had enough closes it.

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// Exchange is the answer to one request. It is used by one goroutine at a time, and
// owes a Close.
type Exchange struct {
	Status int     // 200 to 599, or 101, see Tunnel; 0: the head has not come yet, see Wait
	Header []Field // in the origin's order; valid until Close
	// Length is the number of bytes of the body; -1: unknown; 0 with HEAD, 204 and
	// 304, whatever Content-Length says.
	Length int64
	// UntilClose: the body ends where the connection does, so nobody can tell a
	// whole answer from a cut one.
	UntilClose bool

	c        *conn
	bodiless bool // the request was a HEAD
	body     body
	err      error // why Read cannot
}

// Interrupter gives a function that ends the Read under way, or the next. It may be
// called from anywhere until Close.
func (e *Exchange) Interrupter() func() {
	c := e.c
	if c == nil {
		return func() {}
	}
	return func() {
		c.interrupted.Store(true)
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// Buffered is how many bytes have come from the origin that Read has not given yet: the
// next Read need not wait if there are any.
func (e *Exchange) Buffered() int {
	if e.c == nil {
		return 0
	}
	return e.c.br.Buffered()
}

var errNotWaiting = errors.New("exchange is closed or failed")

func isHEAD(head []byte) bool { return bytes.HasPrefix(head, []byte("HEAD ")) }

// Wait goes on waiting for a head that did not come in time, for d longer (0: without
// limit). The origin is still at work on the request until then. It may be called
// again as long as its error is a timeout.
func (e *Exchange) Wait(d time.Duration) error {
	switch {
	case e.c == nil:
		return &Error{Op: OpHead, Err: errNotWaiting}
	case e.Status != 0:
		return nil
	}
	e.c.read.in(d)
	_, err := e.settle(e.c.answered(nil, e.c.readAnswer()))
	return err
}

// settle makes of e what the wait for its head has brought: an answer, an error, or
// an error and something to wait on.
func (e *Exchange) settle(err error) (*Exchange, error) {
	if err == nil {
		e.err = nil
		e.open()
		return e, nil
	}
	e.err = err
	if late, ok := err.(*Error); ok && late.Op == OpHead && late.Timeout {
		return e, err
	}
	e.c.close()
	e.c = nil
	return nil, err
}

// open shows the head and makes the body ready, RFC 9112 section 6.3.
func (e *Exchange) open() {
	c, a := e.c, &e.c.ans
	e.Status, e.Header = a.status, a.fields
	e.body = body{br: c.br}
	c.rolling = true
	switch {
	case e.bodiless || !a.hasBody() || a.status == switched:
		e.body.kind = fixed
	case a.chunked:
		e.body.kind, e.Length = chunked, -1
	case a.length >= 0:
		e.body.kind, e.Length, e.body.left = fixed, a.length, a.length
	default:
		e.UntilClose, e.Length = true, -1
	}
}

// Read reads the body. It returns io.EOF only at its proper end and an *Error before
// that; it goes on returning what it ended with.
func (e *Exchange) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	if e.c == nil {
		return 0, &Error{Op: OpAnswer, Err: net.ErrClosed}
	}
	n, err := e.body.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	e.err = &Error{Op: OpAnswer, Timeout: timedOut(err), Err: err}
	return n, e.err
}

// Close ends the exchange. The connection is kept only if the answer was read to its
// end and nothing about it was odd; an answer that is not wanted any more costs it.
// Close does not fail, and more than one does no harm.
func (e *Exchange) Close() error {
	c := e.c
	if c == nil {
		return nil
	}
	keep := e.clean()
	e.c, e.Header = nil, nil
	if keep {
		c.o.keep(c, c.ans.idle)
	} else {
		c.close()
	}
	return nil
}

// clean reports whether the next answer on the connection can only be the next
// request's. After HEAD, 204 and 304 it cannot be known: some origins send a body.
func (e *Exchange) clean() bool {
	c := e.c
	return e.Status != 0 && e.err == nil && !c.odd && !e.bodiless && c.ans.keeps() && e.body.whole() && c.br.Buffered() == 0
}
