package proxy

// One attempt at the origin: the request as it was sent but for hop-by-hop headers
// and our own, the answer as it came, and what both mean for the end of the request.
//
// A sale's answer is read whole before the client gets any of it, so that the unit is
// settled by an answer that really ended; all others stream.

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"penstock/proxy/gate"
	"penstock/proxy/upstream"
	"penstock/rules"
)

const (
	// maxSaleAnswer bounds how much of a sale's answer is read before it is judged, bytes.
	maxSaleAnswer = 1 << 20
	// smallAnswer is the largest answer that is sent as one piece, bytes.
	smallAnswer = 32 << 10
	// lateFactor is how many response timeouts an origin may work on before its slot
	// is given back and its unit counts as held.
	lateFactor = 3
)

// forward sends the request and answers with what comes back.
func (p *Proxy) forward(r *request) {
	started := time.Now()
	req := upstream.Request{Head: r.originHead(started)}
	var up *upload
	switch {
	case r.whole && len(r.body) > 0:
		req.Body, req.Length = bytes.NewReader(r.body), int64(len(r.body))
	case r.whole:
	case r.head.length != 0:
		up = p.upload(r)
		req.Body, req.Length = up, int64(r.head.length)
	}
	ex, err := r.origin.Do(p.ctx, &req)
	if err != nil {
		p.failed(r, ex, err, up)
		return
	}
	r.end.Kind = gate.Answered
	if r.facts.Sale != nil {
		p.saleAnswer(r, ex, started)
	} else {
		p.streamAnswer(r, ex, started)
	}
}

func (p *Proxy) upload(r *request) *upload {
	c, _ := r.c.Conn().(*conn)
	return &upload{
		from: r.c.RequestBodyStream(), conn: c, silence: r.set.Client.Body,
		left: r.set.Client.MaxBody, chunked: r.head.length < 0,
	}
}

// failed answers for an origin that gave no head.
func (p *Proxy) failed(r *request, ex *upstream.Exchange, err error, up *upload) {
	var e *upstream.Error
	errors.As(err, &e)
	r.c.Response.Reset()
	switch {
	case up != nil && up.err != nil:
		r.end = gate.End{Kind: gate.Refused}
		r.c.SetConnectionClose()
		switch {
		case errors.Is(up.err, errUploadTooLarge):
			p.refuse(r, gate.Verdict{Reason: gate.BodyTooLarge}, "")
		case errors.Is(up.err, os.ErrDeadlineExceeded):
			p.refuse(r, gate.Verdict{Reason: gate.BodyTimeout}, "")
		default:
			p.bad(r, "the body does not end where it should")
		}
	case upstream.Unsent(err):
		r.end = gate.End{Kind: gate.Unsent}
		p.refuse(r, gate.Verdict{Reason: gate.OriginUnreachable, Retry: time.Second}, "")
	case e != nil && e.Timeout && ex != nil:
		p.refuse(r, gate.Verdict{Reason: gate.OriginTimeout}, "")
		p.awaitLate(r, ex)
	case e != nil && e.Timeout:
		p.refuse(r, gate.Verdict{Reason: gate.OriginTimeout}, "")
	default:
		p.refuse(r, gate.Verdict{Reason: gate.OriginFailed}, "")
	}
	if up == nil || up.err == nil {
		p.warn("origin", err)
	}
}

// awaitLate hands the origin's slot and the unit to a wait that outlives the client:
// the origin is still at work, and its late answer still counts.
func (p *Proxy) awaitLate(r *request, ex *upstream.Exchange) {
	const outlives = 1<<slot | 1<<stock | 1<<start
	l := &request{
		ruled: r.ruled, facts: *keep(&r.facts), held: r.held & outlives,
		counts: r.counts, answered: gate.Unset,
	}
	r.held &^= outlives
	p.late.Go(func() {
		started := time.Now()
		defer ex.Close()
		if ex.Wait((lateFactor-1)*l.set.Origin.ResponseTimeout) == nil {
			if body, whole := readAnswer(ex); l.facts.Sale == nil || whole {
				l.end = judge(l.facts.Sale, ex, body, started)
			}
		}
		p.settle(l)
	})
}

// readAnswer reads up to maxSaleAnswer of an answer's body. whole is false if it was
// cut; one that is merely longer counts as whole, its rest is still in ex.
func readAnswer(ex *upstream.Exchange) (body []byte, whole bool) {
	body, err := io.ReadAll(io.LimitReader(ex, maxSaleAnswer))
	return body, err == nil
}

// judge says what an answer that was read whole means.
func judge(s *rules.Sale, ex *upstream.Exchange, body []byte, started time.Time) gate.End {
	end := gate.End{Kind: gate.Answered, Status: ex.Status, Took: time.Since(started)}
	if s == nil {
		return end
	}
	header := func(name string) (string, bool) {
		for _, f := range ex.Header {
			if equalFold(f.Name, name) {
				return string(f.Value), true
			}
		}
		return "", false
	}
	end.Outcome = s.Outcome(&rules.OriginAnswer{Status: ex.Status, Header: header, Body: body})
	switch v, _ := header("Penstock-Outcome"); v {
	case "sold":
		end.Outcome = rules.OutcomeSold
	case "free":
		end.Outcome = rules.OutcomeFree
	case "unknown":
		end.Outcome = rules.OutcomeUnknown
	}
	return end
}

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

// setBody sends a whole answer. One without a body may still say how long it would be.
func (r *request) setBody(body []byte) {
	if n := r.bodiless; n >= 0 {
		r.c.Response.SetBodyStream(bytes.NewReader(nil), n)
		r.c.Response.SkipBody = true
		return
	}
	r.c.Response.SetBodyRaw(body)
}

// streamRest passes on what is left of an answer behind what was read of it.
func (p *Proxy) streamRest(r *request, ex *upstream.Exchange, read []byte) {
	size := -1
	if ex.Length >= 0 {
		size = int(ex.Length)
	}
	r.streaming = true
	r.c.Response.ImmediateHeaderFlush = true
	r.c.Response.SetBodyStream(&stream{p: p, r: r, ex: ex, read: read, c: r.c, silence: r.set.Origin.IdleBodyTimeout}, size)
}

// stream is an answer on its way to the client. fasthttp reads it after Handle has
// returned and closes it in every case; that is when the request is settled.
type stream struct {
	p       *Proxy
	r       *request
	ex      *upstream.Exchange
	c       *fasthttp.RequestCtx
	read    []byte
	silence time.Duration
	failed  bool
}

// Read gives the client as long for each piece as the origin has for it.
func (s *stream) Read(b []byte) (int, error) {
	if err := s.c.SetWriteDeadline(time.Now().Add(s.silence)); err != nil {
		return 0, err
	}
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
	s.ex.Close()
	if s.failed && r.facts.Sale == nil {
		r.end = gate.End{} // an answer that broke off teaches nothing
	}
	s.p.settle(r)
	return nil
}

// copyHead passes on status and headers of the origin's answer, in its order and
// spelling, but for hop-by-hop headers, ours, and our cookies.
func (p *Proxy) copyHead(r *request, ex *upstream.Exchange) {
	resp := &r.c.Response
	resp.SetStatusCode(ex.Status)
	h := &resp.Header
	h.DisableNormalizing()
	r.answered = gate.Admitted
	r.bodiless = -1
	if string(r.head.method) == "HEAD" || ex.Status == 204 || ex.Status == 304 {
		r.bodiless = 0
	}
	for _, f := range ex.Header {
		switch {
		case hopByHop(f.Name, ex.Header), equalFold(f.Name, "Trailer"):
		case len(f.Name) >= 9 && equalFold(f.Name[:9], "Penstock-"):
		case equalFold(f.Name, "Content-Length"):
			if n, err := strconv.Atoi(string(f.Value)); err == nil && r.bodiless == 0 {
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

// originHead writes the request line and the headers for the origin.
func (r *request) originHead(started time.Time) []byte {
	h := &r.head
	b := append(append(append(r.out[:0], h.method...), ' '), h.target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = r.appendHost(b)
	var forwardedFor, proto, forwardedHost []byte
	for i := range h.fields {
		f := &h.fields[i]
		switch {
		case f.known == hXFF && r.trusted:
			if forwardedFor != nil {
				forwardedFor = append(forwardedFor[:len(forwardedFor):len(forwardedFor)], ", "...)
			}
			forwardedFor = append(forwardedFor[:len(forwardedFor):len(forwardedFor)], f.value...)
		case r.trusted && equalFold(f.name, "X-Forwarded-Proto"):
			proto = f.value
		case r.trusted && equalFold(f.name, "X-Forwarded-Host"):
			forwardedHost = f.value
		case f.known == hCookie:
			b = appendCookies(b, f)
		case !r.drops(f):
			b = appendField(b, f.name, f.value)
		}
	}
	b = r.appendForwarded(b, forwardedFor, proto, forwardedHost)
	switch {
	case r.whole:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(len(r.body)), 10), "\r\n"...)
	case h.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case h.length > 0 || r.declaresLength():
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(h.length), 10), "\r\n"...)
	}
	if s := r.facts.Sale; s != nil && r.held&(1<<start) != 0 {
		b = appendField(b, []byte("Penstock-Reservation"), []byte(tokenString(r.facts.Token)))
		b = append(b, "Penstock-Deadline: "...)
		b = strconv.AppendInt(b, started.Add(r.set.Origin.ResponseTimeout).UnixMilli(), 10)
		b = append(b, "\r\n"...)
	}
	r.out = append(b, "\r\n"...)
	return r.out
}

func (r *request) declaresLength() bool {
	for i := range r.head.fields {
		if r.head.fields[i].known == hContentLength {
			return true
		}
	}
	return false
}

func (r *request) appendHost(b []byte) []byte {
	if r.set.Origin.Host != "" {
		return appendField(b, []byte("Host"), []byte(r.set.Origin.Host))
	}
	for i := range r.head.fields {
		if f := &r.head.fields[i]; f.known == hHost {
			return appendField(b, f.name, f.value)
		}
	}
	return appendField(b, []byte("Host"), []byte(r.set.Origin.Address))
}

// drops reports whether a header of the request ends here.
func (r *request) drops(f *field) bool {
	switch f.known {
	case hHost, hConnection, hContentLength, hTransferEncoding, hHop, hExpect, hPenstock:
		return true
	case hXFF, hForwarded:
		return !r.trusted
	case other:
	default:
		return false
	}
	if !r.trusted {
		for _, name := range r.accountHeaders {
			if equalFold(f.name, name) {
				return true // the shop may believe it; we did not
			}
		}
		if equalFold(f.name, r.set.ClientIPHeader) || equalFold(f.name, "X-Request-Id") {
			return true
		}
	}
	for i := range r.head.fields {
		if c := &r.head.fields[i]; c.known == hConnection && names(c.value, f.name) {
			return true
		}
	}
	return false
}

// appendForwarded tells the origin who asks: what trusted hops said is kept, and ours
// is added.
func (r *request) appendForwarded(b, forwardedFor, proto, host []byte) []byte {
	b = append(b, "X-Forwarded-For: "...)
	if len(forwardedFor) > 0 {
		b = append(append(b, forwardedFor...), ", "...)
	}
	peer := peerAddr(r.c.RemoteAddr())
	if peer == (netip.Addr{}) {
		peer = netip.IPv4Unspecified()
	}
	b = append(peer.AppendTo(b), "\r\n"...)
	if proto == nil {
		proto = []byte("http")
	}
	b = appendField(b, []byte("X-Forwarded-Proto"), proto)
	if host == nil {
		host, _ = r.head.value("Host")
	}
	if len(host) > 0 {
		b = appendField(b, []byte("X-Forwarded-Host"), host)
	}
	if _, n := r.head.value("X-Request-Id"); n == 0 || !r.trusted {
		b = appendField(b, []byte("X-Request-Id"), []byte(tokenString(r.facts.Token)))
	}
	return b
}

// appendCookies leaves our own cookies out and the rest as it stands.
func appendCookies(b []byte, f *field) []byte {
	if !bytes.Contains(f.value, []byte(ownCookies)) {
		return appendField(b, f.name, f.value)
	}
	mark := len(b)
	b = append(append(b, f.name...), ": "...)
	empty := true
	for _, piece := range bytes.Split(f.value, []byte(";")) {
		if bytes.HasPrefix(trimOWS(piece), []byte(ownCookies)) {
			continue
		}
		if !empty {
			b = append(b, ';')
		} else {
			piece = trimOWS(piece)
		}
		b = append(b, piece...)
		empty = false
	}
	if empty {
		return b[:mark]
	}
	return append(b, "\r\n"...)
}

func appendField(b, name, value []byte) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}
