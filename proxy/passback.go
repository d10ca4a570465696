package proxy

// The origin's answer on its way to the client. A sale's answer is read whole before
// the client gets any of it, so that the unit is settled by an answer that really
// ended; all others stream.

import (
	"bytes"
	"io"
	"strconv"
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
	s := &stream{p: p, r: r, ex: ex, read: read}
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
	r      *request
	ex     *upstream.Exchange
	read   []byte
	failed bool
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
	if s.r == nil {
		return nil
	}
	r := s.r
	s.r = nil
	s.end(r)
	s.p.settle(r)
	return nil
}

func (s *stream) end(r *request) {
	s.ex.Close()
	if s.failed && r.facts.Sale == nil {
		r.end = gate.End{} // an answer that broke off teaches nothing
	}
}

// toClose sends the answer to a client of HTTP/1.0 from here, because fasthttp would
// send chunks, which such a client cannot read: the body ends where the connection does,
// and one that broke off ends in a reset.
func (s *stream) toClose() {
	defer s.end(s.r)
	h := &s.r.c.Response.Header
	h.SetContentLength(-2) // neither a length nor chunks
	_, err := s.r.conn.Write(h.Header())
	if err == nil {
		_, err = io.Copy(s.r.conn, s)
	}
	if err != nil {
		s.r.conn.abort()
	}
	s.r.conn.mute()
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
		case equalFold(f.Name, "Set-Cookie") && bytes.HasPrefix(f.Value, []byte(ownCookies)):
		default:
			h.AddBytesKV(f.Name, f.Value)
		}
	}
	h.SetCanonical(hdrReason, reasonBytes[gate.Admitted])
	p.greet(r)
	if p.draining.Load() {
		r.c.SetConnectionClose()
	}
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
