package proxy

// The origin's answer on its way to the client. A sale's answer is read whole before
// the client gets any of it, so that the unit is settled by an answer that really
// ended; all others are passed on as they come (stream.go), small ones in one piece.

import (
	"bytes"
	"io"
	"slices"
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
	b, length := p.copyHead(r, ex)
	switch {
	case length == noBody:
		r.out = b
	case len(body) == maxSaleAnswer:
		r.out = r.endHead(b, ex.Length)
		p.stream(r, ex, body)
		return
	default:
		r.out = append(r.endHead(b, int64(len(body))), body...)
	}
	ex.Close()
}

// streamAnswer passes an answer on as it comes; a small one of known length at once.
func (p *Proxy) streamAnswer(r *request, ex *upstream.Exchange, started time.Time) {
	r.end.Status, r.end.Took = ex.Status, time.Since(started)
	b, length := p.copyHead(r, ex)
	switch {
	case length == noBody:
		r.out = b
	case length < 0 || length > smallAnswer:
		r.out = r.endHead(b, length)
		p.stream(r, ex, nil)
		return
	default:
		b = r.endHead(b, length)
		at := len(b)
		b = slices.Grow(b, int(length))[:at+int(length)]
		r.out = b
		if _, err := io.ReadFull(ex, b[at:]); err != nil {
			ex.Close()
			r.end = gate.End{}
			p.refuse(r, gate.Verdict{Reason: gate.OriginFailed}, "")
			return
		}
	}
	ex.Close()
}

// noBody is the length of an answer without a body, whose head is complete.
const noBody = -2

// copyHead makes the head of the origin's answer as the client gets it: in its order and
// spelling, but for hop-by-hop headers, ours, and our cookies. It answers how long the
// body is; an answer that has none may still say how long it would be.
func (p *Proxy) copyHead(r *request, ex *upstream.Exchange) (b []byte, length int64) {
	r.answered = gate.Admitted
	r.last = r.last || r.unread() || p.draining.Load()
	r.lines = r.lines[:0]
	p.greet(r)
	p.handPass(r)
	b = append(r.out[:0], statusLines[ex.Status]...)
	none := string(r.head.method) == "HEAD" || ex.Status == 204 || ex.Status == 304
	dated := false
	lines := listed(ex.Header)
	for _, f := range ex.Header {
		switch k := classify(f.Name); {
		case ex.Status == 426 && k == hHop && equalFold(f.Name, "Upgrade"): // what it wants instead
			b = append(appendField(b, f.Name, f.Value), "Connection: Upgrade\r\n"...)
		case k == hPenstock, hopByHop(k, f.Name, lines):
		case k == hContentLength && (!none || ex.Status == 204):
		case equalFold(f.Name, "Set-Cookie") && ours(f.Value):
		default:
			dated = dated || equalFold(f.Name, "Date")
			b = appendField(b, f.Name, f.Value)
		}
	}
	if !dated {
		b = r.date(b)
	}
	b = append(b, admittedLine...)
	if none {
		return r.endBare(b), noBody
	}
	return b, ex.Length
}

const admittedLine = "Penstock-Reason: admitted\r\n"

// ours reports whether a cookie that the origin sets is one of ours: also one without a
// name, which browsers send back as its value alone.
func ours(setCookie []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(setCookie, " \t="), []byte(ownCookies))
}

// hopByHop reports whether a header of an answer ends here: RFC 9110, 7.6.1. listed are
// the lines that list such headers.
func hopByHop(k known, name []byte, listed []upstream.Field) bool {
	switch k {
	case hConnection, hTransferEncoding, hHop:
		return true
	case other, hRequestID:
	default:
		return false
	}
	if equalFold(name, "Proxy-Authenticate") {
		return true
	}
	for _, f := range listed {
		if equalFold(f.Name, "Connection") && names(f.Value, name) {
			return true
		}
	}
	return false
}

// listed is what of all must be looked at for names of hop-by-hop headers: nothing where
// Connection says no more than whether the connection goes on.
func listed(all []upstream.Field) []upstream.Field {
	for i, f := range all {
		if equalFold(f.Name, "Connection") && !bytes.EqualFold(f.Value, wordKeepAlive) && !bytes.EqualFold(f.Value, wordClose) {
			return all[i:]
		}
	}
	return nil
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
