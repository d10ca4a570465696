package upstream

// The body of a request. Up to 64 KiB go out in one write with the head and cost no
// goroutine; more is sent in pieces while the answer is read beside it, because an
// origin may refuse half way. A body that ends early is never made to look whole.

import (
	"io"
	"slices"
	"strconv"
	"time"
)

const (
	inline = 64 << 10 // bytes: bodies up to here go out with the head
	piece  = 32 << 10 // bytes of a larger body per write
)

// sender holds what is written next and what is left to read.
type sender struct {
	body io.Reader
	left int64  // bytes of body not read yet; below 0: unknown
	buf  []byte // what is written next
	done bool   // nothing comes after buf
}

// open adds to the head what goes out with it.
func (s *sender) open() error {
	if s.left > inline {
		return s.fill(piece, 1)
	}
	return s.fill(inline, int(s.left))
}

// fill adds the next piece of the body to buf: at most most bytes, and at least least
// unless the body's end is unknown.
func (s *sender) fill(most, least int) error {
	if s.left < 0 {
		return s.fillChunk()
	}
	at, want := len(s.buf), int(min(s.left, int64(most)))
	s.buf = slices.Grow(s.buf, want)[:at+want]
	n, err := io.ReadAtLeast(s.body, s.buf[at:], least)
	s.buf = s.buf[:at+n]
	s.left -= int64(n)
	s.done = s.left == 0
	return cutShort(err)
}

// fillChunk adds one chunk, or the last. The size has a fixed width so that it can be
// written after the data is there.
func (s *sender) fillChunk() error {
	const width = len("0000\r\n")
	at := len(s.buf)
	s.buf = slices.Grow(s.buf, width+piece+2)[:at+width+piece]
	n, err := io.ReadAtLeast(s.body, s.buf[at+width:], 1)
	if err == io.EOF {
		s.done = true
		s.buf = append(s.buf[:at], "0\r\n\r\n"...)
		return nil
	}
	size := strconv.AppendInt(s.buf[at:at], 0x10000+int64(n), 16) // "1" and four digits
	copy(size, size[1:])
	copy(s.buf[at+width-2:], "\r\n")
	s.buf = append(s.buf[:at+width+n], "\r\n"...)
	return err
}

// upload sends the rest of a body whose first piece is written, and reads the head of
// the answer beside it. The body is read here and not in the goroutine, so that nobody
// reads it after Do has returned; an early answer ends a Read under way by stop, or,
// without one, is noticed only when the body's next bytes are there.
func (c *conn) upload(s *sender, stop func()) error {
	c.read.at(time.Time{}) // the clock for the answer starts when all is sent
	heads := make(chan error, 1)
	go func() { heads <- c.listen(stop) }()
	joined := false
	defer func() {
		if !joined { // the body panicked: listen must not stay behind
			c.close()
			<-heads
		}
	}()

	whole, err := c.sendRest(s)
	switch _, client := err.(*Error); {
	case !whole && c.phase.Load() == heard: // what became of the sender does not matter any more
		c.odd, err = true, nil
	case client:
		c.close()
	default:
		c.await(err)
	}
	rerr := <-heads
	joined = true
	c.write.at(time.Time{}) // listen may have spoilt it
	if client, ok := err.(*Error); ok {
		return client
	}
	return c.answered(err, rerr)
}

// What an upload is at.
const (
	sending int32 = iota // the body is being read and written
	ending               // the body is read, its last piece is being written
	sent                 // all is written
	heard                // before that: the answer's head is there, or none can come
)

// listen reads the head of the answer and stops the sender when there is one, or when
// there can be none.
func (c *conn) listen(stop func()) error {
	err := c.readAnswer()
	reading := c.phase.CompareAndSwap(sending, heard)
	if reading || c.phase.CompareAndSwap(ending, heard) {
		c.nc.SetWriteDeadline(time.Unix(1, 0))
	}
	if reading && stop != nil {
		stop()
	}
	return err
}

// sendRest writes the body piece by piece until all is sent or the reading side has
// ended. A client's error is an *Error, the origin's is not.
func (c *conn) sendRest(s *sender) (whole bool, err error) {
	for !s.done && c.phase.Load() != heard {
		s.buf = s.buf[:0]
		if err := s.fill(piece, 1); err != nil {
			return false, &Error{Op: OpBody, Timeout: timedOut(err), Err: err}
		}
		if s.done {
			c.phase.CompareAndSwap(sending, ending)
		}
		// Set first, then look: listen does it the other way round, so that one of
		// the two sees the other.
		c.write.roll(c.o.conf.IdleBody)
		if c.phase.Load() == heard {
			return false, nil
		}
		if _, err := c.nc.Write(s.buf); err != nil {
			return false, err
		}
	}
	if s.done {
		c.phase.CompareAndSwap(ending, sent)
	}
	return s.done, nil
}
