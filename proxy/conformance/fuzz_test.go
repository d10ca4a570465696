package conformance

// Arbitrary bytes through the whole gateway, judged by the standard library: what the
// gateway makes of a connection must be what net/http makes of it, or less. Both sides are
// Unix sockets, because there are more of them than ports.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// between is a gateway between sockets: the client's end is dialled, and the origin's is
// served by serve.
func between(f *testing.F, origin func(net.Conn)) (dial func(testing.TB) *net.UnixConn) {
	f.Helper()
	dir := f.TempDir()
	back, err := net.Listen("unix", filepath.Join(dir, "back"))
	if err != nil {
		f.Fatal(err)
	}
	backend(f, back, origin)
	ln, err := net.Listen("unix", filepath.Join(dir, "front"))
	if err != nil {
		f.Fatal(err)
	}
	serve(f, ln, strings.Replace(file, "http://ORIGIN", "unix:"+back.Addr().String(), 1), nil)
	return func(t testing.TB) *net.UnixConn {
		c, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		return c.(*net.UnixConn)
	}
}

// FuzzConnection: the requests that the origin gets are those that net/http reads from the
// same bytes, in the same order, with the same bodies, and not one more.
func FuzzConnection(f *testing.F) {
	for _, r := range table() {
		if len(r.sent) < 1000 {
			f.Add([]byte(r.sent))
		}
	}
	o := newRecorder(f)
	f.Fuzz(func(t *testing.T, sent []byte) { o.compare(t, sent) })
}

// FuzzChunks: the same of one chunked body, streamed or read whole.
func FuzzChunks(f *testing.F) {
	const te = "\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, r := range chunkRows() {
		_, body, _ := strings.Cut(r.sent, te)
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	o := newRecorder(f)
	f.Fuzz(func(t *testing.T, body []byte, sale bool) {
		path := "/x"
		if sale {
			path = "/cart/add"
		}
		lines := "POST " + path + " HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-www-form-urlencoded" + te
		o.compare(t, append([]byte(lines), body...))
	})
}

// recorder is an origin behind a gateway.
type recorder struct {
	dial func(testing.TB) *net.UnixConn
	got  chan *request
}

func newRecorder(f *testing.F) *recorder {
	o := &recorder{got: make(chan *request, 10_000)}
	o.dial = between(f, func(c net.Conn) {
		for br := bufio.NewReader(c); ; {
			r := &request{}
			if r.read(br) != nil {
				return
			}
			o.got <- r
			if _, err := io.WriteString(c, echo(r)); err != nil {
				return
			}
		}
	})
	return o
}

func (o *recorder) compare(t *testing.T, sent []byte) {
	c := o.dial(t)
	defer c.Close()
	if _, err := c.Write(sent); err != nil && !ended(err) {
		t.Fatal(err)
	}
	c.CloseWrite()
	if _, err := io.Copy(io.Discard, c); err != nil && !ended(err) {
		t.Fatalf("%q: the connection does not end: %v", sent, err)
	}
	rest := sent
	for goesOn := true; goesOn && len(o.got) > 0; {
		rest, goesOn = (<-o.got).judge(t, sent, rest)
	}
	for len(o.got) > 0 {
		<-o.got
	}
}

// judge compares what the origin got with the requests that net/http reads of rest, of
// which some may have been refused, and answers what is left behind the one it is. It stops
// where net/http reads no further for reasons of its own.
func (r *request) judge(t *testing.T, sent, rest []byte) (left []byte, goesOn bool) {
	again, left, err := readPlain([]byte(r.raw))
	if err != nil || len(left) > 0 || again.method != r.method || again.target != r.target || again.body != r.body {
		t.Errorf("%q: the origin got %q, which net/http reads as %+v, %q, %v", sent, r.raw, again, left, err)
	}
	want, left, err := readPlain(rest)
	for err == nil && (want.method != r.method || want.body != r.body || !strings.HasSuffix(want.target, r.target)) {
		want, left, err = readPlain(left)
	}
	switch {
	case want.method != r.method || !strings.HasSuffix(want.target, r.target):
		t.Errorf("%q: the origin got %q, net/http reads %+v, %v", sent, r.raw, want, err)
	case want.host != "" && !strings.EqualFold(want.host, again.host):
		t.Errorf("%q: the origin got the host %q, net/http reads %q", sent, again.host, want.host)
	case errors.Is(err, errTail) && want.body == r.body: // it did not like what is behind the last chunk
	case err != nil || want.body != r.body:
		t.Errorf("%q: the origin got the body %q, net/http reads %q, %v", sent, r.body, want.body, err)
	}
	return left, err == nil
}

// errTail: the body was read, but its end was not accepted.
var errTail = errors.New("body does not end well")

// plainly is a request as net/http reads it.
type plainly struct{ method, target, host, body string }

// readPlain reads a request with net/http, which looks closer at targets than a proxy that
// passes them on as they are: one that it cannot read is given another for the while.
func readPlain(b []byte) (p plainly, left []byte, err error) {
	b = bytes.TrimLeft(b, "\r\n")
	line, _, _ := bytes.Cut(b, []byte("\n"))
	words := strings.Split(string(line), " ")
	odd := ""
	if len(words) == 3 {
		if _, err := url.ParseRequestURI(words[1]); err != nil {
			odd = words[1]
			b = append([]byte(words[0]+" /odd "+words[2]), b[len(line):]...)
		}
	}
	br := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16) // holds all of it at once
	req, err := http.ReadRequest(br)
	if err != nil {
		return p, nil, err
	}
	p = plainly{method: req.Method, target: req.RequestURI, host: req.Host}
	if odd != "" {
		p.target = odd
	}
	body, err := io.ReadAll(req.Body)
	if p.body = string(body); err != nil {
		err = fmt.Errorf("%w: %w", errTail, err)
	}
	return p, b[len(b)-br.Buffered():], err
}
