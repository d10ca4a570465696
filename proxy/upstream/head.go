package upstream

// The head of an answer: RFC 9112 sections 2, 4 and 5, read more strictly than it asks
// wherever two readers could disagree on where the answer ends.
//
// Not accepted: folded lines, names that are no tokens, CR and NUL in a line, two
// framings, transfer codings other than chunked, any of them in HTTP/1.0. Accepted, but
// the connection is not used again: lines that end in a bare LF (old CGI scripts write
// them, and nobody else reads the head that we read), and Content-Length said twice
// with one number.

import (
	"bytes"
	"time"
)

const (
	maxHead    = 64 << 10 // bytes
	maxFields  = 512
	maxInterim = 10
)

// Field is one header line as the origin wrote it, without the space around its value.
type Field struct{ Name, Value []byte }

// answer is what a head says.
type answer struct {
	status  int
	http10  bool
	fields  []Field       // views into the head
	length  int64         // Content-Length; -1: none
	chunked bool          // Transfer-Encoding: chunked
	close   bool          // Connection: close, or doubt of our own
	keep    bool          // Connection: keep-alive
	idle    time.Duration // how long the connection may lie idle
}

// parse reads a head up to and with its empty line.
func (a *answer) parse(head []byte) error {
	*a = answer{fields: a.fields[:0], length: -1, idle: idleLimit}
	line, rest, err := a.cut(head)
	if err == nil {
		err = a.statusLine(line)
	}
	for err == nil {
		if line, rest, err = a.cut(rest); err != nil || len(line) == 0 {
			break
		}
		err = a.field(line)
	}
	if err == nil && a.chunked && (a.http10 || a.length >= 0) {
		err = badAnswer("transfer-encoding with content-length or in HTTP/1.0")
	}
	return err
}

// cut takes the first line off p.
func (a *answer) cut(p []byte) (line, rest []byte, err error) {
	n := bytes.IndexByte(p, '\n')
	if n < 0 {
		return nil, nil, badAnswer("no end of line")
	}
	line, rest = p[:n], p[n+1:]
	if n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	} else {
		a.close = true
	}
	if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
		return nil, nil, badAnswer("CR or NUL in a line")
	}
	return line, rest, nil
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be missing, with or without its space.
func (a *answer) statusLine(line []byte) error {
	const form = "HTTP/1.1 200"
	if len(line) < len(form) || string(line[:7]) != form[:7] || line[8] != ' ' ||
		len(line) > len(form) && line[len(form)] != ' ' {
		return badAnswer("status line")
	}
	if line[7] != '0' && line[7] != '1' {
		return badAnswer("version")
	}
	a.http10 = line[7] == '0'
	n, ok := digits(line[9:12])
	if !ok || n < 100 || n > 599 {
		return badAnswer("status")
	}
	a.status = int(n)
	return nil
}

func (a *answer) field(line []byte) error {
	f, err := splitField(line)
	if err != nil {
		return err
	}
	if len(a.fields) == maxFields {
		return badAnswer("too many header fields")
	}
	a.fields = append(a.fields, f)
	switch {
	case named(f, "Content-Length"):
		return a.contentLength(f.Value)
	case named(f, "Transfer-Encoding"):
		if a.chunked || !bytes.EqualFold(f.Value, []byte("chunked")) {
			return badAnswer("transfer-encoding")
		}
		a.chunked = true
	case named(f, "Connection"):
		each(f.Value, func(token []byte) {
			a.close = a.close || bytes.EqualFold(token, []byte("close"))
			a.keep = a.keep || bytes.EqualFold(token, []byte("keep-alive"))
		})
	case named(f, "Keep-Alive"):
		each(f.Value, a.keepAlive)
	}
	return nil
}

func (a *answer) contentLength(v []byte) error {
	n, ok := digits(v)
	switch {
	case !ok:
		return badAnswer("content-length")
	case a.length >= 0 && a.length != n:
		return badAnswer("two content-lengths")
	}
	a.close = a.close || a.length >= 0
	a.length = n
	return nil
}

// keepAlive reads "timeout=5": the origin closes after that many seconds, and we stay
// a second clear of it.
func (a *answer) keepAlive(token []byte) {
	const key = "timeout="
	if len(token) < len(key) || !bytes.EqualFold(token[:len(key)], []byte(key)) {
		return
	}
	if n, ok := digits(token[len(key):]); ok && n < int64(idleLimit/time.Second)+1 {
		a.idle = min(a.idle, time.Duration(n-1)*time.Second)
	}
}

// headLength is how many bytes p has up to and with the first empty line; 0: there is none.
func headLength(p []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(p[at:], '\n')
		if n < 0 {
			return 0
		}
		if n == 0 || n == 1 && p[at] == '\r' {
			return at + n + 1
		}
		at += n + 1
	}
}

// keeps reports whether the head allows the connection to be used again.
func (a *answer) keeps() bool {
	return !a.close && (a.keep || !a.http10) && a.idle > 0 && a.status != 408 && a.hasBody()
}

// hasBody is whether the status lets the answer have one.
func (a *answer) hasBody() bool { return a.status != 204 && a.status != 304 }

func splitField(line []byte) (Field, error) {
	n := bytes.IndexByte(line, ':')
	if n <= 0 {
		return Field{}, badAnswer("header line without a name")
	}
	for _, b := range line[:n] {
		if !token[b] {
			return Field{}, badAnswer("header name")
		}
	}
	return Field{Name: line[:n], Value: trim(line[n+1:])}, nil
}

// trim takes blanks off both ends.
func trim(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}

func named(f Field, name string) bool {
	return len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name))
}

// each calls do for the members of a comma-separated list.
func each(list []byte, do func([]byte)) {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte(","))
		do(trim(one))
	}
}

// digits reads a decimal number of 1 to 18 digits and nothing else.
func digits(p []byte) (n int64, ok bool) {
	if len(p) == 0 || len(p) > 18 {
		return 0, false
	}
	for _, b := range p {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + int64(b-'0')
	}
	return n, true
}

// token holds the bytes a header name may have, RFC 9110 section 5.6.2.
var token = func() (t [256]bool) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[b] = true
	}
	return t
}()
