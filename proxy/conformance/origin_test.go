package conformance

// An origin that records what reaches it, byte by byte, and answers with the target it
// was asked for, so that an answer shows whose it is.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// origin keeps, in the order of their ends, whole requests and what came of others.
type origin struct {
	addr string

	mu      sync.Mutex
	whole   []string
	cut     []string // requests that began and did not end
	answers func(r *request) string
	stop    func() // after it the record is complete, if the gateway has been stopped before
}

// newOrigin starts one. answers may be nil; an answer of "" closes the connection, as does
// one that ends in "CUT", which is not sent, or "RST", which makes it a reset.
func newOrigin(t testing.TB, answers func(r *request) string) *origin {
	t.Helper()
	ln := loopback(t)
	o := &origin{addr: ln.Addr().String(), answers: answers}
	o.stop = backend(t, ln, o.serve)
	return o
}

func (o *origin) serve(c net.Conn) {
	br := bufio.NewReader(c)
	for {
		r := &request{}
		if err := r.read(br); err != nil {
			o.broken(r.raw)
			return
		}
		o.mu.Lock()
		o.whole = append(o.whole, r.raw)
		answers := o.answers
		o.mu.Unlock()
		if !r.answer(c, answers) {
			return
		}
	}
}

func (o *origin) broken(rest string) {
	if rest == "" {
		return
	}
	o.mu.Lock()
	o.cut = append(o.cut, rest)
	o.mu.Unlock()
}

// answer reports whether the connection goes on.
func (r *request) answer(c net.Conn, answers func(*request) string) bool {
	if answers == nil {
		answers = echo
	}
	out, cut := strings.CutSuffix(answers(r), "CUT")
	out, reset := strings.CutSuffix(out, "RST")
	if _, err := io.WriteString(c, out); err != nil {
		return false
	}
	if reset {
		c.(*net.TCPConn).SetLinger(0)
	}
	return !cut && !reset && out != ""
}

// echo answers with the target.
func echo(r *request) string {
	out := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(r.target))
	if r.method != "HEAD" {
		out += r.target
	}
	return out
}

// says changes what it answers.
func (o *origin) says(answers func(r *request) string) {
	o.mu.Lock()
	o.answers = answers
	o.mu.Unlock()
}

// took empties the record of whole requests.
func (o *origin) took() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := o.whole
	o.whole = nil
	return whole
}

// addition is what the gateway adds to every request.
var addition = regexp.MustCompile(`X-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: http\r\n(X-Forwarded-Host: [^\r\n]+\r\n)?X-Request-Id: [0-9a-f]{32}\r\n`)

// own is a recorded request without that addition, which must stand there once.
func own(raw string) string {
	at := addition.FindAllStringIndex(raw, -1)
	if len(at) != 1 {
		return fmt.Sprintf("(%d additions) %s", len(at), raw)
	}
	return raw[:at[0][0]] + raw[at[0][1]:]
}
