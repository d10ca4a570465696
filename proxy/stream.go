package proxy

// An answer that goes to the client as it comes from the origin, piece by piece, flushed
// as it comes. One that streams for long gives the origin's slot back before it ends: its
// length is the client's doing then, or it was never meant to end. What that gives up: an
// origin that computes for long between two pieces is counted as free.

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/upstream"
)

const (
	// streamPiece is the most that is read before it is written, bytes.
	streamPiece = 32 << 10
	// longAnswer is how long an answer may stream and hold the origin's slot.
	longAnswer = 3 * time.Second
)

// stream passes on what is left of an answer behind what was read of it. r.out holds the
// head. The last bytes are left for after the settling.
func (p *Proxy) stream(r *request, ex *upstream.Exchange, read []byte) {
	s := p.holds(r, ex)
	if r.conn != nil && ex.Length < 0 { // it may be silent for long, and a write that fails is no sign then
		r.conn.watch.follow(r.conn, ex.Interrupter())
	}
	defer func() {
		s.stop()
		if r.conn != nil {
			r.conn.watch.unfollow(r.conn) // before the connection may be another's
		}
		ex.Close()
	}()
	if ex.Buffered() == 0 && len(read) == 0 && !r.flush() {
		return
	}
	if err := r.pieces(io.MultiReader(bytes.NewReader(read), ex), ex.Length); err != nil {
		s.broken = err != errClientLeft && r.facts.Sale == nil
		if s.broken && !r.begun {
			p.refuse(r, gate.Verdict{Reason: gate.OriginFailed}, "")
			return
		}
		r.cut()
	}
}

// pieces passes a body on. It ends with the last bytes in r.out, or with why it cannot.
func (r *request) pieces(body io.Reader, left int64) error {
	chunked := left < 0 && !r.head.http10
	for {
		at := len(r.out)
		if chunked {
			at += len("0000\r\n")
		}
		r.out = slices.Grow(r.out, at-len(r.out)+streamPiece+len("\r\n"))[:at]
		n, err := body.Read(r.out[at : at+streamPiece])
		r.out = r.out[:at+n]
		if left > 0 {
			left -= int64(n)
		}
		if chunked {
			r.endChunk(at, n)
		}
		switch {
		case err == io.EOF && left <= 0:
			if chunked {
				r.out = append(r.out, "0\r\n\r\n"...)
			}
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case left == 0:
			return nil
		case !r.flush():
			return errClientLeft
		}
	}
}

// endChunk frames the n bytes that were read behind the room for their size.
func (r *request) endChunk(at, n int) {
	size := at - len("0000\r\n")
	if n == 0 {
		r.out = r.out[:size]
		return
	}
	digits := strconv.AppendInt(r.out[size:size], 0x10000+int64(n), 16) // "1" and four digits
	copy(digits, digits[1:])
	copy(r.out[at-2:], "\r\n")
	r.out = append(r.out, "\r\n"...)
}

var errClientLeft = errors.New("write answer: the client takes no more")

// streaming is what an answer under way holds of the origin.
type streaming struct {
	p       *Proxy
	started time.Time
	holds   *time.Timer // gives the slot back; nil: it is not held any more
	broken  bool        // by the origin: an answer that broke off teaches nothing

	mu sync.Mutex // until the end has taken it back, what r holds is also the timer's
	r  *request   // nil: it is settled, or will be at once
}

// holds begins the time for which an answer may hold the origin's slot.
func (p *Proxy) holds(r *request, ex *upstream.Exchange) *streaming {
	s := &streaming{p: p, r: r, started: time.Now().Add(-r.end.Took)}
	if eventStream(ex) {
		p.release(r, 1<<slot) // it sends little, and nobody knows for how long
	} else if r.held&(1<<slot) != 0 {
		s.holds = time.AfterFunc(longAnswer, s.leave)
	}
	return s
}

// leave gives the slot back while the answer goes on. Settling waits for it, so that the
// request is not used again before its gate has heard of it.
func (s *streaming) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r != nil {
		s.r.end.Held = time.Since(s.started)
		s.p.release(s.r, 1<<slot)
	}
}

// stop takes the request back: nobody gives its slot back from now on but its settling.
func (s *streaming) stop() {
	if s.holds != nil {
		s.holds.Stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.end.Held = time.Since(s.started)
	if s.broken {
		s.r.end = gate.End{}
	}
	s.r = nil
}

// eventStream reports whether an answer is one that is not meant to end.
func eventStream(ex *upstream.Exchange) bool {
	for _, f := range ex.Header {
		if equalFold(f.Name, "Content-Type") {
			kind, _, _ := bytes.Cut(f.Value, []byte(";"))
			return bytes.EqualFold(trimOWS(kind), []byte("text/event-stream"))
		}
	}
	return false
}
