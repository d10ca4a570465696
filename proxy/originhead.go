package proxy

// The head of the request as the origin gets it: the raw target and every header as it
// was sent, but for hop-by-hop headers (RFC 9110, 7.6.1), ours, and what a client that
// is not a trusted proxy may have forged.

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
)

// originHead writes the request line and the headers for the origin.
func (r *request) originHead(started time.Time) []byte {
	h := &r.head
	b := append(append(append(r.asked[:0], h.method...), ' '), h.target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = r.appendHost(b)
	var forwardedFor, proto, forwardedHost []byte
	for i := range h.fields {
		f := &h.fields[i]
		switch {
		case r.trusted && f.known == hXFF && !f.alias():
			if forwardedFor != nil {
				forwardedFor = append(forwardedFor[:len(forwardedFor):len(forwardedFor)], ", "...)
			}
			forwardedFor = append(forwardedFor[:len(forwardedFor):len(forwardedFor)], f.value...)
		case r.trusted && f.known == hForwarded && f.is("X-Forwarded-Proto"):
			proto = f.value
		case r.trusted && f.known == hForwarded && f.is("X-Forwarded-Host"):
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
	case h.length > 0 || h.sized:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(h.length), 10), "\r\n"...)
	}
	if r.switching {
		b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	if r.held&(1<<start) != 0 && r.holdsUnit() {
		b = appendField(b, []byte("Penstock-Reservation"), []byte(tokenString(r.reservation())))
		b = append(b, "Penstock-Deadline: "...)
		b = strconv.AppendInt(b, started.Add(r.set.Origin.ResponseTimeout).UnixMilli(), 10)
		b = append(b, "\r\n"...)
	}
	r.asked = append(b, "\r\n"...)
	return r.asked
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
		return !r.trusted || f.alias()
	case hRequestID:
		if !r.trusted {
			return true
		}
	case other:
	default:
		return false
	}
	for _, name := range r.accountHeaders {
		if equalFold(f.name, name) && !(r.trusted && f.is(name)) {
			return true // the shop may believe it; we did not
		}
	}
	if equalFold(f.name, r.set.ClientIPHeader) && !(r.trusted && f.is(r.set.ClientIPHeader)) {
		return true
	}
	if !r.head.lists {
		return false
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
	peer := r.peer()
	if peer == (netip.Addr{}) {
		peer = netip.IPv4Unspecified()
	}
	b = append(peer.AppendTo(b), "\r\n"...)
	if proto == nil {
		proto = []byte(r.scheme())
	}
	b = appendField(b, []byte("X-Forwarded-Proto"), proto)
	if host == nil {
		host = r.head.hostValue
	}
	if len(host) > 0 {
		b = appendField(b, []byte("X-Forwarded-Host"), host)
	}
	if !r.head.requestID || !r.trusted {
		b = append(hex.AppendEncode(append(b, "X-Request-Id: "...), r.facts.Token[:]), "\r\n"...)
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
