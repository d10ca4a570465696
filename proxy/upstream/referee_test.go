package upstream

// net/http as the referee: where we see an answer's end, it sees it, too.

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// tape is an origin that has said all it will ever say.
type tape struct {
	net.Conn
	*bytes.Reader
}

func (t tape) Read(p []byte) (int, error)     { return t.Reader.Read(p) }
func (tape) SetReadDeadline(time.Time) error  { return nil }
func (tape) SetWriteDeadline(time.Time) error { return nil }
func (tape) Close() error                     { return nil }

// ours reads an answer and what it leaves; ok: it was accepted to its end.
func ours(in []byte, head bool) (status int, body []byte, left int, ok bool) {
	t := tape{Reader: bytes.NewReader(in)}
	c := newConn(&Origin{}, t, addressOf(&net.TCPConn{}))
	c.reset()
	e, err := (&Exchange{c: c, bodiless: head}).settle(c.answered(nil, c.readAnswer()))
	if err != nil {
		return 0, nil, 0, false
	}
	body, err = io.ReadAll(e)
	return e.Status, body, t.Len() + c.br.Buffered(), err == nil
}

// theirs is the same by net/http, with the interim answers left out as its client does.
func theirs(in []byte, head bool) (status int, body []byte, left int, ok bool) {
	r := bytes.NewReader(in)
	br := bufio.NewReaderSize(r, readBuffer)
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	for {
		resp, err := http.ReadResponse(br, req)
		if err != nil {
			return 0, nil, 0, false
		}
		if resp.StatusCode < 200 && resp.StatusCode != switched {
			continue
		}
		body, err = io.ReadAll(resp.Body)
		return resp.StatusCode, body, r.Len() + br.Buffered(), err == nil
	}
}

// What we accept, net/http either refuses as a whole or reads as the same answer, the
// same body, and the same rest that belongs to nobody.
func FuzzAgainstNetHTTP(f *testing.F) {
	for _, a := range wholeAnswers {
		f.Add([]byte(a.bytes+"rest"), false)
		f.Add([]byte(a.bytes), true)
	}
	for _, s := range []string{
		"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\nContent-Length: 3\n\nabcd",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcd",
		"HTTP/1.1 200 OK\r\nContent-Length: 03\r\n\r\nabcd",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0;x=\"\\\r\nT: 1\r\nU:\r\n\r\nHTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
		"HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
		"HTTP/1.1 200\r\nX:\ty\r\nX: \x01\xff\r\nContent-Length:\t1 \r\n\r\na",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		status, body, left, ok := ours(in, head)
		if !ok {
			return
		}
		status2, body2, left2, ok := theirs(in, head)
		if ok && (status != status2 || !bytes.Equal(body, body2) || left != left2) {
			t.Fatalf("%q, HEAD %v: we read %d, %q and leave %d; net/http %d, %q, %d", in, head, status, body, left, status2, body2, left2)
		}
	})
}
