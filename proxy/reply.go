package proxy

// Answers on the wire. fasthttp reads requests; answers are written here, because its
// own response cannot pass on what an origin said: it replaces Date, joins lines, and
// holds pieces of a body back. What it writes after parsed goes nowhere (conn.Write).
//
// A whole answer goes out in one write, after everything the request held was given
// back, so that who has been answered may ask again at once. It gives up compression
// and splicing. It does not know what an answer means.

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// statusLines are ready made, by status.
var statusLines = func() (lines [600]string) {
	for code := range lines {
		lines[code] = "HTTP/1.1 " + strconv.Itoa(code) + " " + fasthttp.StatusMessage(code) + "\r\n"
	}
	return lines
}()

// endHead completes the head of an answer whose body has that many bytes.
func (r *request) endHead(b []byte, length int64) []byte {
	switch {
	case length >= 0:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), length, 10), "\r\n"...)
	case r.head.http10:
		r.last = true
	default:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return r.endBare(b)
}

// endBare completes the head of an answer that does not say how long its body is.
func (r *request) endBare(b []byte) []byte {
	b = append(b, r.lines...)
	switch {
	case r.last:
		b = append(b, "Connection: close\r\n"...)
	case r.head.http10:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

// date appends our Date.
func (r *request) date(b []byte) []byte {
	if r.conn == nil {
		return b
	}
	return append(b, *r.conn.watch.date.Load()...)
}

// line adds a header line to the answer that is to come.
func (r *request) line(name, value string) {
	r.lines = append(append(append(append(r.lines, name...), ": "...), value...), "\r\n"...)
}

// flush writes what there is of the answer; false: nobody takes it any more.
func (r *request) flush() bool {
	b := r.out
	r.out = r.out[:0]
	if len(b) == 0 || r.conn == nil {
		return true
	}
	r.begun = true
	n, err := 0, error(nil)
	if r.conn.direct {
		n, err = r.writer.Write(r.conn.raw, b)
	}
	if err == nil && n < len(b) {
		_, err = r.conn.send(b[n:])
	}
	if err != nil {
		r.last = true
	}
	return err == nil
}

// cut ends an answer that has begun and cannot be completed, so that nobody takes it
// for a whole one.
func (r *request) cut() {
	r.out = r.out[:0]
	r.last = true
	if r.conn != nil {
		r.conn.abort()
	}
}

// say sends what is left of the answer, and tells fasthttp whether the connection ends.
func (p *Proxy) say(r *request) {
	r.flush()
	if r.last && r.c != nil {
		r.c.SetConnectionClose()
	}
	if r.conn != nil {
		r.conn.over = r.last
		rest := r.outstanding() != 0
		r.conn.lingers = r.last && (rest || r.conn.ahead > 0)
		r.conn.answered(rest)
	}
}
