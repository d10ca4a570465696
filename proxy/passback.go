package proxy

// The origin's answer on its way to the client. A sale's answer is read whole before
// the client gets any of it, so that the unit is settled by an answer that really
// ended; all others stream. One that streams for long gives the origin's slot back before
// it ends: its length is the client's doing then, or it was never meant to end. What that
// gives up: an origin that computes for long between two pieces is counted as free.

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/upstream"
)

// saleAnswer reads the answer whole, judges it and passes it on.
func (p *Proxy) saleAnswer(r *request, ex *upstream.Exchange, started time.Time) {
	body, whole := readAnswer(ex)
	if !whole {
		r.end = gate.End{}
		ex.Close()
		p.refuse(r, gate.Verdict{Reason: gate.OriginFailed}, "")
		return
	}
	r.end = judge(r.facts.Sale, ex, body, started)
	p.copyHead(r, ex)
	if len(body) == maxSaleAnswer {
		p.streamRest(r, ex, body)
		return
	}
	ex.Close()
	r.setBody(body)
}

// streamAnswer passes an answer on as it comes; a small one of known length at once.
func (p *Proxy) streamAnswer(r *request, ex *upstream.Exchange, started time.Time) {
	r.end.Status, r.end.Took = ex.Status, time.Since(started)
	p.copyHead(r, ex)
	if ex.Length < 0 || ex.Length > smallAnswer {
		p.streamRest(r, ex, nil)
		return
	}
	body, err := io.ReadAll(ex)
	if err != nil {
		ex.Close()
		r.end = gate.End{}
		r.c.Response.Reset()
		p.refuse(r, gate.Verdict{Reason: gate.OriginFailed}, "")
		return
	}
	ex.Close()
	r.setBody(body)
}

// What request.bodiless can be, beside the length that an answer would have.
const (
	bodied = -1 // the answer has a body
	unsaid = -2 // it has none, and does not say of what length it would be
)

// setBody sends a whole answer. One without a body may still say how long it would be.
func (r *request) setBody(body []byte) {
	switch n := r.bodiless; {
	case n == bodied:
		r.c.Response.SetBodyRaw(body)
	case n >= 0:
		r.c.Response.SetBodyStream(bytes.NewReader(nil), n)
		fallthrough
	default:
		r.c.Response.SkipBody = true
	}
}

// streamRest passes on what is left of an answer behind what was read of it.
func (p *Proxy) streamRest(r *request, ex *upstream.Exchange, read []byte) {
	size := -1
	if ex.Length >= 0 {
		size = int(ex.Length)
	}
	s := &stream{p: p, r: r, ex: ex, read: read, started: time.Now().Add(-r.end.Took)}
	if eventStream(ex) {
		p.release(r, 1<<slot) // it sends little, and nobody knows for how long
	} else if r.held&(1<<slot) != 0 {
		s.holds = time.AfterFunc(longAnswer, s.leave)
	}
	if size < 0 && r.head.http10 {
		s.toClose()
		return
	}
	r.streaming = true
	r.c.Response.ImmediateHeaderFlush = true
	r.c.Response.SetBodyStream(s, size)
}

// stream is an answer on its way to the client. fasthttp reads it after Handle has
// returned and closes it in every case; that is when the request is settled.
type stream struct {
	p      *Proxy
	ex     *upstream.Exchange
	read   []byte
	failed bool

	started time.Time
	holds   *time.Timer // gives the slot back; nil: it is not held any more

	mu sync.Mutex // until the stream has taken it back, what r holds is also the timer's
	r  *request   // nil: it is settled, or will be at once
}

// longAnswer is how long an answer may stream and hold the origin's slot.
const longAnswer = 3 * time.Second

// leave gives the slot back while the answer goes on. Settling waits for it, so that the
// request is not used again before its gate has heard of it.
func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r != nil {
		s.r.end.Held = time.Since(s.started)
		s.p.release(s.r, 1<<slot)
	}
}

// take answers the request, whose slot nobody gives back from now on but its settling;
// nil if it was taken before.
func (s *stream) take() *request {
	if s.holds != nil {
		s.holds.Stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.r
	s.r = nil
	return r
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

func (s *stream) Read(b []byte) (int, error) {
	if len(s.read) > 0 {
		n := copy(b, s.read)
		s.read = s.read[n:]
		return n, nil
	}
	n, err := s.ex.Read(b)
	s.failed = s.failed || err != nil && err != io.EOF
	return n, err
}

// Close settles the request.
func (s *stream) Close() error {
	if r := s.take(); r != nil {
		s.end(r)
		s.p.settle(r)
	}
	return nil
}

func (s *stream) end(r *request) {
	s.ex.Close()
	r.end.Held = time.Since(s.started)
	if s.failed && r.facts.Sale == nil {
		r.end = gate.End{} // an answer that broke off teaches nothing
	}
}

// toClose sends the answer to a client of HTTP/1.0 from here, because fasthttp would
// send chunks, which such a client cannot read: the body ends where the connection does,
// and one that broke off ends in a reset.
func (s *stream) toClose() {
	defer func() { s.end(s.take()) }()
	h, conn := &s.r.c.Response.Header, s.r.conn
	h.SetContentLength(-2) // neither a length nor chunks
	_, err := conn.Write(h.Header())
	if err == nil {
		_, err = io.Copy(conn, s)
	}
	if err != nil {
		conn.abort()
	}
	conn.mute()
}

// copyHead passes on status and headers of the origin's answer, in its order and
// spelling, but for hop-by-hop headers, ours, and our cookies.
func (p *Proxy) copyHead(r *request, ex *upstream.Exchange) {
	resp := &r.c.Response
	resp.SetStatusCode(ex.Status)
	h := &resp.Header
	h.DisableNormalizing()
	r.answered = gate.Admitted
	r.bodiless = bodied
	if string(r.head.method) == "HEAD" || ex.Status == 204 || ex.Status == 304 {
		r.bodiless = unsaid
	}
	for _, f := range ex.Header {
		switch {
		case hopByHop(f.Name, ex.Header), equalFold(f.Name, "Trailer"):
		case len(f.Name) >= 9 && equalFold(f.Name[:9], "Penstock-"):
		case equalFold(f.Name, "Content-Length"):
			if n, err := strconv.Atoi(string(f.Value)); err == nil && r.bodiless != bodied {
				r.bodiless = n
			}
		case equalFold(f.Name, "Set-Cookie") && ours(f.Value):
		default:
			h.AddBytesKV(f.Name, f.Value)
		}
	}
	h.SetCanonical(hdrReason, reasonBytes[gate.Admitted])
	p.greet(r)
	p.handPass(r)
	if p.draining.Load() {
		r.c.SetConnectionClose()
	}
}

// ours reports whether a cookie that the origin sets is one of ours: also one without a
// name, which browsers send back as its value alone.
func ours(setCookie []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(setCookie, " \t="), []byte(ownCookies))
}

// hopByHop reports whether a header of an answer ends here: RFC 9110, 7.6.1.
func hopByHop(name []byte, all []upstream.Field) bool {
	switch classify(name) {
	case hConnection, hTransferEncoding, hHop:
		return true
	case other:
	default:
		return false
	}
	if equalFold(name, "Proxy-Authenticate") {
		return true
	}
	for _, f := range all {
		if equalFold(f.Name, "Connection") && names(f.Value, name) {
			return true
		}
	}
	return false
}

// names reports whether a Connection value lists a header.
func names(value, name []byte) bool {
	for len(value) > 0 {
		elem := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			elem, value = value[:i], value[i+1:]
		} else {
			value = nil
		}
		if bytes.EqualFold(trimOWS(elem), name) {
			return true
		}
	}
	return false
}
