package proxy

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzHead: no head makes the scan panic, and whatever it accepts, the standard library
// reads in the same way, or not at all.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		crlf("GET / HTTP/1.1", "Host: shop"),
		crlf("POST /a/../b?c=d HTTP/1.1", "Host: SHOP.example:80", "Content-Length: 5", "Content-Type: a/b") + "hello",
		crlf("GET http://shop/x HTTP/1.1", "Host: shop"),
		crlf("OPTIONS * HTTP/1.1", "Host: [::1]:8080", "Expect: 100-continue"),
		crlf("PUT / HTTP/1.0", "Host: shop", "transfer_encoding: chunked", "Connection: a, b"),
		crlf("POST / HTTP/1.1", "Host: shop", "Transfer-Encoding: Chunked") + "0\r\n\r\n",
		"GET / HTTP/1.1\nHost: shop\n\n",
		"GET / HTTP/1.1\r\nHost: shop\r\n X: y\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c fasthttp.RequestCtx
		br := bufio.NewReader(bytes.NewReader(raw))
		if c.Request.Header.Read(br) != nil {
			return
		}
		var h head
		if h.scan(&c) != "" {
			return
		}
		theirs := bufio.NewReader(bytes.NewReader(raw[len(leading(raw)):]))
		req, err := http.ReadRequest(theirs)
		if err != nil {
			return
		}
		length := req.ContentLength
		if length < 0 && (len(req.TransferEncoding) != 1 || req.TransferEncoding[0] != "chunked") {
			length = 0
		}
		switch host, _, _ := strings.Cut(strings.ToLower(req.Host), ":"); {
		case req.Method != string(h.method):
			t.Errorf("%q: method %q, the standard library reads %q", raw, h.method, req.Method)
		case req.ProtoAtLeast(1, 1) == h.http10:
			t.Errorf("%q: HTTP/1.0 is %v, the standard library reads %s", raw, h.http10, req.Proto)
		case !strings.HasSuffix(req.RequestURI, string(h.target)):
			t.Errorf("%q: target %q, the standard library reads %q", raw, h.target, req.RequestURI)
		case !strings.HasPrefix(host, "[") && strings.TrimSuffix(host, ".") != string(h.host):
			t.Errorf("%q: host %q, the standard library reads %q", raw, h.host, req.Host)
		case int64(h.length) != length:
			t.Errorf("%q: body of %d, the standard library reads %d", raw, h.length, length)
		case br.Buffered() != theirs.Buffered():
			t.Errorf("%q: the body begins %d bytes before the end, the standard library says %d", raw, br.Buffered(), theirs.Buffered())
		}
	})
}

// leading are the empty lines in front of a request, which only one of the two skips.
func leading(raw []byte) []byte { return raw[:len(raw)-len(bytes.TrimLeft(raw, "\r\n"))] }

func TestLengthIsKnownOfWhatIsRefused(t *testing.T) {
	var h head
	for raw, want := range map[string]int{
		crlf("post / HTTP/1.1", "Host: shop", "Content-Length: 99999"):                99999,
		crlf("post / HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked"):           -1,
		crlf("POST / HTTP/1.1", "Host: a b", "Content-Length: 7"):                     7,
		crlf("GET / HTTP/1.1", "Host: shop", "X Y: z"):                                0,
		"GET / HTTP/1.1\r\nHost: shop\r\n" + strings.Repeat("a: b\r\n", 200) + "\r\n": 0,
	} {
		var c fasthttp.RequestCtx
		if err := c.Request.Header.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
			t.Fatalf("%.60q: %v", raw, err)
		}
		if f := h.scan(&c); f == "" || h.length != want {
			t.Errorf("%.60q: got %q, length %d; want a refusal, length %d", raw, f, h.length, want)
		}
	}
}
