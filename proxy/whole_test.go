package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"penstock/proxy/gate"
	"penstock/rules"
)

// FuzzPlain: what is taken for a plain request, fasthttp takes for one request, too, and
// the head that is made of it is the same.
func FuzzPlain(f *testing.F) {
	for _, s := range plainRequests {
		f.Add([]byte(s))
	}
	for _, s := range oddRequests {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h head
		if body, ends, ok := h.plain(raw); ok {
			sameByFasthttp(t, raw, &h, body, ends)
		}
	})
}

// sameByFasthttp has fasthttp serve raw, and compares.
func sameByFasthttp(t *testing.T, raw []byte, h *head, body []byte, ends bool) {
	n := 0
	s := fasthttp.Server{
		StreamRequestBody: true, MaxRequestBodySize: 1, DisablePreParseMultipartForm: true, ReadBufferSize: max(4096, len(raw)),
		HeaderReceived: bodiless, Logger: quiet{},
		ErrorHandler: func(_ *fasthttp.RequestCtx, err error) { t.Errorf("%q: fasthttp says %v", raw, err) },
		Handler: func(c *fasthttp.RequestCtx) {
			var theirs head
			n++
			if f := theirs.scan(c); f != "" {
				t.Errorf("%q: refused: %s", raw, f)
			}
			if ends != c.Request.Header.ConnectionClose() {
				t.Errorf("%q: ends the connection: %v", raw, ends)
			}
			var read []byte
			if r := c.RequestBodyStream(); r != nil {
				read, _ = io.ReadAll(r)
			}
			if !bytes.Equal(read, body) {
				t.Errorf("%q: the body is %q, fasthttp reads %q", raw, body, read)
			}
			ours := *h
			for _, one := range []*head{&ours, &theirs} {
				one.hostBuf, one.fields = nil, append([]field{}, one.fields...)
			}
			if !reflect.DeepEqual(ours, theirs) {
				t.Errorf("%q: read as\n%+v, from fasthttp's as\n%+v", raw, ours, theirs)
			}
		},
	}
	if err := s.ServeConn(&script{in: bytes.NewReader(raw)}); err != nil || n != 1 {
		t.Errorf("%q: %d requests for fasthttp, %v", raw, n, err)
	}
}

// script is a connection whose client has said all it will.
type script struct {
	net.Conn
	in io.Reader
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) Close() error                     { return nil }
func (s *script) RemoteAddr() net.Addr             { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// plainRequests are what browsers, phones and tools send.
var plainRequests = []string{
	crlf("GET /buy HTTP/1.1", "Host: shop.example", "User-Agent: curl/8.5.0", "Accept: */*"),
	crlf("GET /p?id=7&x=%41 HTTP/1.1", "Host: shop.example:8080", "Connection: keep-alive", "Cache-Control: max-age=0",
		`sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"`, "sec-ch-ua-mobile: ?0", "Upgrade-Insecure-Requests: 1",
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate",
		"Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: de-DE,de;q=0.9", "Cookie: PHPSESSID=0123456789abcdef; _ga=GA1.1.1"),
	crlf("POST /buy.php HTTP/1.1", "Host: shop", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 7", "Origin: https://shop",
		"X-Forwarded-For: 192.0.2.1") + "item=a1",
	crlf("POST /buy.php HTTP/1.1", "Host: shop", "Content-Length: 0"),
	crlf("POST / HTTP/1.1", "Host: shop", "Content-Type: multipart/form-data; boundary=x", "Content-Length: 2") + "ab",
	crlf("HEAD / HTTP/1.1", "host: SHOP", "connection: Close"),
	crlf("GET / HTTP/1.1", "Host: shop", "X-Name: Müller", "X-Empty:", "X-Blanks: \t a\t"),
}

// oddRequests are somebody else's to look at.
var oddRequests = []string{
	"", "\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
	crlf("GET / HTTP/1.1", "Host: shop")[:20],
	crlf("GET / HTTP/1.1", "Host: shop") + crlf("GET / HTTP/1.1", "Host: shop"),
	"\r\n" + crlf("GET / HTTP/1.1", "Host: shop"),
	crlf("GET / HTTP/1.0", "Host: shop"),
	crlf("GET / HTTP/1.1", "X: no host"),
	crlf("GET / HTTP/1.1", "Host: [::1]"),
	crlf("GET / HTTP/1.1", "Host: a", "Host: a"),
	crlf("GET  / HTTP/1.1", "Host: shop"),
	crlf("GET http://shop/ HTTP/1.1", "Host: shop"),
	crlf("OPTIONS * HTTP/1.1", "Host: shop"),
	crlf("CONNECT / HTTP/1.1", "Host: shop"),
	crlf("get / HTTP/1.1", "Host: shop"),
	crlf("GET /\x01 HTTP/1.1", "Host: shop"),
	crlf("GET / HTTP/1.1", "Host: shop", "X: a\x00b"),
	crlf("GET / HTTP/1.1", "Host: shop", "X: a\tb"),
	crlf("GET / HTTP/1.1", "Host: shop", "X: 1234567\x7f"),
	crlf("GET / HTTP/1.1", "Host: shop", "X: a\rb"),
	crlf("GET / HTTP/1.1", "Host: shop", " folded"),
	crlf("GET / HTTP/1.1", "Host: shop", "X : y"),
	crlf("GET / HTTP/1.1", "Host: shop", "Connection: close, x"),
	crlf("GET / HTTP/1.1", "Host: shop", "Connection: Upgrade", "Upgrade: websocket"),
	crlf("POST / HTTP/1.1", "Host: shop", "Expect: 100-continue", "Content-Length: 2") + "ab",
	crlf("POST / HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked") + "0\r\n\r\n",
	crlf("POST / HTTP/1.1", "Host: shop", "Content-Length: 2") + "a",
	crlf("POST / HTTP/1.1", "Host: shop", "Content-Length: 2") + "abc",
	crlf("POST / HTTP/1.1", "Host: shop", "Content-Length: +2") + "ab",
	crlf("POST / HTTP/1.1", "Host: shop", "Content-Length:") + "ab",
	crlf("POST / HTTP/1.1", "Host: shop", "Content-Length: 2", "Content-Length: 2") + "ab",
	crlf("POST / HTTP/1.1", "Host: shop", "Content_Length: 2") + "ab",
	strings.Replace(crlf("GET / HTTP/1.1", "Host: shop", "X: y"), "\r\nX", "\nX", 1),
}

func TestWhatIsPlain(t *testing.T) {
	var h head
	for _, raw := range plainRequests {
		if body, _, ok := h.plain([]byte(raw)); !ok || !strings.HasSuffix(raw, "\r\n\r\n"+string(body)) {
			t.Errorf("%q: %v, body %q", raw, ok, body)
		}
	}
	for _, raw := range oddRequests {
		if _, _, ok := h.plain([]byte(raw)); ok {
			t.Errorf("%q is taken for plain", raw)
		}
	}
}

// TestConnectionGoesOnBehindAnyRequest: those that come whole and those that do not, on one
// connection, in whatever order.
func TestConnectionGoesOnBehindAnyRequest(t *testing.T) {
	g := newRig(t, nil)
	c := g.dial()
	br := bufio.NewReader(c)
	get := crlf("GET /p HTTP/1.1", "Host: shop")
	put := crlf("PUT /f HTTP/1.1", "Host: shop", "Content-Length: 4") + "body"
	chunks := crlf("PUT /f HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked") + "4\r\nbody\r\n0\r\n\r\n"
	for i, sent := range []string{get, get + put, put, chunks, get, get + get + put, put + chunks, put, get} {
		fmt.Fprint(c, sent)
		for range strings.Count(sent, "HTTP/1.1") {
			if a := read(t, br, false); a.StatusCode != 200 {
				t.Fatalf("%d: got %d", i, a.StatusCode)
			}
		}
	}
}

// TestPlainRequestEndsItsConnection: one that says so.
func TestPlainRequestEndsItsConnection(t *testing.T) {
	g := newRig(t, nil)
	c := g.dial()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	br := bufio.NewReader(c)
	fmt.Fprint(c, crlf("GET /p HTTP/1.1", "Host: shop", "Connection: close"))
	if a := read(t, br, false); a.StatusCode != 200 || !a.Close {
		t.Fatalf("got %d, close: %v", a.StatusCode, a.Close)
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v, want the end", err)
	}
}

// TestRestOfAHeadIsNoRequest: what comes behind the beginning of a head belongs to it.
func TestRestOfAHeadIsNoRequest(t *testing.T) {
	g := newRig(t, nil)
	c := g.dial()
	br := bufio.NewReader(c)
	fmt.Fprint(c, crlf("GET /p HTTP/1.1", "Host: shop")+"GET /b HTTP/1.1\r\nX: y\r\n")
	read(t, br, false)
	fmt.Fprint(c, crlf("GET /evil HTTP/1.1", "Host: shop"))
	if a := read(t, br, false); a.StatusCode != 400 || g.shop.count() != 1 {
		t.Errorf("got %d, %d requests at the shop", a.StatusCode, g.shop.count())
	}
}

// TestRefusedWholeRequestLeavesAnIdleConnection: its body counts as read.
func TestRefusedWholeRequestLeavesAnIdleConnection(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.Header, s.Client.Idle = 300*time.Millisecond, time.Second })
	g.probes[schedule].says = refusing(gate.Overloaded)
	c := g.dial()
	br := bufio.NewReader(c)
	fmt.Fprint(c, crlf("POST /buy.php HTTP/1.1", "Host: shop", "Content-Length: 3")+"a=b")
	read(t, br, false)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(br); len(b) > 0 || err != nil {
		t.Errorf("unasked: %q, %v", b, err)
	}
}

// TestAnswerThatDoesNotFitAtOnce: what the socket does not take at once comes behind, and
// nothing twice.
func TestAnswerThatDoesNotFitAtOnce(t *testing.T) {
	k, client := linked(t)
	var sent []byte
	for i := 0; len(sent) < 16<<20; i++ {
		sent = fmt.Appendln(sent, i)
	}
	r := &request{conn: k, out: bytes.Clone(sent)}
	flushed := make(chan bool, 1)
	go func() {
		flushed <- r.flush()
		k.Close()
	}()
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, sent) || !<-flushed || !k.direct {
		t.Errorf("%d bytes of %d, %v", len(got), len(sent), err)
	}
}
