package proxy

// The head of a request, scanned once from the bytes on the wire, strictly: what two
// parsers could read differently is refused, nothing is normalised, and what is
// forwarded later is copied from here. fasthttp's own accessors are not used, because
// several of them rewrite the request they read.

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxFields bounds the number of header lines.
const maxFields = 100

type field struct {
	name, value []byte // views of the raw head
	known       known
}

// head is what is known of the request line and the header lines.
type head struct {
	method, target, rawPath, query []byte
	host                           []byte // lower case, without port and trailing dot
	fields                         []field
	accept, contentType            []byte
	hostValue                      []byte // as it was sent
	forwardedFor                   []byte // the last line of X-Forwarded-For, nil if there is none
	length                         int    // of the body: -1 chunked, 0 none
	http10                         bool
	override                       bool
	sized                          bool      // there is a Content-Length
	requestID                      bool      // there is an X-Request-Id
	lists                          bool      // Connection may list headers
	passes                         [2][]byte // the passes shown, of whatever worth; more are not looked at
	passesShown                    int
	hostBuf                        []byte
}

// fault is what is wrong with a request, in words for its sender; "" means nothing.
type fault string

const (
	faultTooMany fault = "too many header lines"
	faultMethod  fault = "this method is not supported"
)

// clear forgets the last head.
func (h *head) clear() {
	*h = head{fields: h.fields[:0], hostBuf: h.hostBuf}
}

// scan reads the head of c. It answers the first fault found.
func (h *head) scan(c *fasthttp.RequestCtx) fault {
	header := &c.Request.Header
	h.clear()
	h.method, h.target = header.Method(), header.RequestURI()
	if h.length = header.ContentLength(); h.length < -1 {
		h.length = 0
	}
	if k, ok := c.Conn().(*conn); ok && k.pad != padNone {
		h.length-- // see expect
		if k.pad == padDue {
			return "nobody can tell where the body begins"
		}
	}
	switch string(header.Protocol()) {
	case "HTTP/1.1":
		h.http10 = false
	case "HTTP/1.0":
		h.http10 = true
	default:
		return "only HTTP/1.0 and HTTP/1.1 are spoken here"
	}
	if !methodOK(h.method) {
		if string(h.method) == "CONNECT" {
			h.length = -1 // what comes behind it is a tunnel's, and never the next request
		}
		return faultMethod
	}
	if raw := header.RawHeaders(); len(raw) > 0 { // none, and no empty line, where there are no lines
		if _, f := h.scanFields(raw); f != "" {
			return f
		}
	}
	return h.scanTarget()
}

func methodOK(m []byte) bool {
	for _, c := range m {
		if (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return string(m) != "CONNECT" && string(m) != "TRACE"
}

// scanFields reads header lines to the empty one, and answers what is behind it.
func (h *head) scanFields(raw []byte) (rest []byte, f fault) {
	var hosts, lengths, codings, types int
	for {
		i := bytes.IndexByte(raw, '\n')
		if i < 1 || raw[i-1] != '\r' {
			return nil, "a header line does not end in CR LF"
		}
		line := raw[:i-1]
		if raw = raw[i+1:]; len(line) == 0 {
			break
		}
		colon := tokenLength(line)
		if colon == 0 || colon == len(line) || line[colon] != ':' {
			return nil, "a header line has no proper name"
		}
		if len(h.fields) == maxFields {
			return nil, faultTooMany
		}
		f := field{name: line[:colon], value: trimOWS(line[colon+1:])}
		f.known = classify(f.name)
		h.fields = append(h.fields, f)
		if (f.known == hContentLength || f.known == hTransferEncoding) && f.alias() {
			return nil, "the length of the body is given under a name that only some read"
		}
		switch f.known {
		case hHost:
			hosts++
			h.hostValue = f.value
			if !h.setHost(f.value) {
				return nil, "the Host is not a host name"
			}
		case hAccept:
			h.accept = f.value
		case hContentType:
			types++
			h.contentType = f.value
		case hContentLength:
			lengths++
			h.sized = true
		case hConnection:
			h.lists = h.lists || !bytes.EqualFold(f.value, wordKeepAlive) && !bytes.EqualFold(f.value, wordClose)
		case hRequestID:
			h.requestID = true
		case hCookie:
			h.notePasses(f.value)
		case hPenstock:
			if f.is(passHeader) {
				h.notePass(f.value)
			}
		case hTransferEncoding:
			codings++
			if !bytes.EqualFold(f.value, chunked) {
				return nil, "this transfer coding is not supported"
			}
		case hExpect:
			if !bytes.EqualFold(f.value, hundred) {
				return nil, "this expectation cannot be met"
			}
		case hOverride:
			h.override = true
		case hXFF:
			h.forwardedFor = f.value
		}
	}
	if hosts > 1 || lengths > 1 || codings > 1 || types > 1 || lengths+codings > 1 {
		return nil, "a header that must stand once is there twice"
	}
	return raw, ""
}

var (
	chunked = []byte("chunked")
	hundred = []byte("100-continue")
)

// scanTarget takes the request target apart: origin-form, "*" for OPTIONS, or an
// absolute form whose host is the Host, of which only the origin-form is kept.
func (h *head) scanTarget() fault {
	t := h.target
	if len(t) > 0 && t[0] != '/' && !(string(t) == "*" && string(h.method) == "OPTIONS") {
		rest, ok := cutScheme(t)
		if !ok {
			return "the request target is not a path"
		}
		authority := rest
		if i := bytes.IndexAny(rest, "/?"); i >= 0 {
			authority = rest[:i]
		}
		if len(authority) == 0 || !bytes.EqualFold(authority, h.hostValue) {
			return "the request target names another host than the Host header"
		}
		if t = rest[len(authority):]; len(t) == 0 || t[0] != '/' {
			return "the request target has no path"
		}
		h.target = t
	}
	h.rawPath, h.query = t, nil
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		h.rawPath, h.query = t[:i], t[i+1:]
	}
	for i, c := range t {
		if c <= ' ' || c == 0x7f || c == '#' {
			return "the request target has a character that must be encoded"
		}
		if c == '%' && i+2 < len(t) && t[i+1] == '0' && t[i+2] == '0' && i < len(h.rawPath) {
			return "the path has a NUL"
		}
	}
	return ""
}

func cutScheme(t []byte) ([]byte, bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(t) > len(scheme) && bytes.EqualFold(t[:len(scheme)], []byte(scheme)) {
			return t[len(scheme):], true
		}
	}
	return nil, false
}

// setHost keeps the lower-case name of a Host value without its port and without a
// trailing dot. It refuses what is not reg-name[:port] or [IPv6][:port].
func (h *head) setHost(v []byte) bool {
	name := v
	if len(v) > 0 && v[0] == '[' {
		i := bytes.IndexByte(v, ']')
		if i < 0 {
			return false
		}
		name = v[:i+1]
	} else if i := bytes.IndexByte(v, ':'); i >= 0 {
		name = v[:i]
	}
	if port := v[len(name):]; len(port) > 0 {
		if port[0] != ':' || len(port) > 6 {
			return false
		}
		for _, c := range port[1:] {
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	h.hostBuf = append(h.hostBuf[:0], name...)
	last := byte('.') // a label is not empty
	for i, c := range name {
		lower := hostChar[c]
		switch {
		case lower == '.' && last == '.':
			return false
		case lower != 0:
		case name[0] == '[' && (c == ':' || i == 0 || i == len(name)-1):
			lower = c
		default:
			return false
		}
		h.hostBuf[i], last = lower, lower
	}
	h.host = bytes.TrimSuffix(h.hostBuf, dot)
	return len(h.host) > 0
}

var dot = []byte(".")

// hostChar is the lower case of what may stand in a host name, by byte.
var hostChar = func() (t [256]byte) {
	for _, c := range []byte("-._0123456789abcdefghijklmnopqrstuvwxyz") {
		t[c] = c
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = c | 0x20
	}
	return t
}()

// value finds the one value of a header. More than one line of it is a fault. A line
// that spells it with "_" counts, because CGI and PHP cannot tell, but is not believed:
// proxies that take the header from their clients overlook it.
func (h *head) value(name string) (v []byte, n int) {
	for i := range h.fields {
		if f := &h.fields[i]; equalFold(f.name, name) {
			if f.is(name) {
				v = f.value
			}
			n++
		}
	}
	return v, n
}

// is reports whether the field has exactly this name, but for case.
func (f *field) is(name string) bool { return strings.EqualFold(view(f.name), name) }

// alias reports whether the name is one of ours spelled with "_".
func (f *field) alias() bool { return bytes.IndexByte(f.name, '_') >= 0 }

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

var tokenChar = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// tokenLength is how many bytes of a token b begins with.
func tokenLength(b []byte) int {
	for i, c := range b {
		if !tokenChar[c] {
			return i
		}
	}
	return len(b)
}
