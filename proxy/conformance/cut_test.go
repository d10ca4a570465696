package conformance

// Messages that break off, at every byte, in both directions: hazards 23 and 28. The
// origin takes no request for whole of which the client sent less, and no client's library
// takes an answer for whole of which the origin sent less.

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// endings are the ways a connection ends behind the last byte.
var endings = []struct {
	name string
	end  func(*net.TCPConn)
}{
	{"half-closed", func(c *net.TCPConn) { c.CloseWrite(); io.Copy(io.Discard, c) }},
	{"closed", func(c *net.TCPConn) { c.Close() }},
	{"reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
}

var wholeRequests = []struct{ name, sent string }{
	{"length", post("qty=100&item=red", "Content-Length: 16")},
	{"chunks", post("7\r\nqty=100\r\n9;x=\"y\"\r\n&item=red\r\n0\r\nX-Sum: 1\r\n\r\n", "Transfer-Encoding: chunked")},
	{"a sale's length", head("POST /cart/add HTTP/1.1", "Host: shop", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 16") + "sku=PHONE&qty=10"},
	{"a sale's chunks", head("POST /cart/add HTTP/1.1", "Host: shop", "Content-Type: application/x-www-form-urlencoded", "Transfer-Encoding: chunked") + "9\r\nsku=PHONE\r\n7\r\n&qty=10\r\n0\r\n\r\n"},
	{"no body", get()},
}

func TestRequestsCutAtEveryByte(t *testing.T) {
	for _, w := range wholeRequests {
		for _, e := range endings {
			t.Run(w.name+", "+e.name, func(t *testing.T) {
				t.Parallel()
				offsets := make([]int, len(w.sent))
				for i := range offsets {
					offsets[i] = i
				}
				cutRequests(t, w.sent, offsets, e.end)
			})
		}
	}
}

// Larger than what goes out in one piece, so that the origin has seen a part when the rest
// fails to come.
func TestLongUploadsCut(t *testing.T) {
	const size = 300_000
	body := strings.Repeat("x", size)
	var chunks strings.Builder
	for range 30 {
		fmt.Fprintf(&chunks, "%x\r\n%s\r\n", size/30, body[:size/30])
	}
	chunks.WriteString("0\r\n\r\n")
	for name, sent := range map[string]string{
		"length": post(body, fmt.Sprintf("Content-Length: %d", size)),
		"chunks": post(chunks.String(), "Transfer-Encoding: chunked"),
	} {
		var offsets []int
		for at := 1000; at < len(sent); at += 9_973 {
			offsets = append(offsets, at)
		}
		for back := range 12 {
			offsets = append(offsets, len(sent)-1-back)
		}
		for _, e := range endings {
			t.Run(name+", "+e.name, func(t *testing.T) {
				t.Parallel()
				if cut := cutRequests(t, sent, offsets, e.end); cut == 0 {
					t.Error("the origin saw no part of any: nothing is shown")
				}
			})
		}
	}
}

// cutRequests sends so much of a request on connections of their own, and answers of how
// many the origin saw a part.
func cutRequests(t *testing.T, sent string, offsets []int, end func(*net.TCPConn)) (cut int) {
	t.Helper()
	o := newOrigin(t, nil)
	g := gateway(t, file, o.addr, nil)
	for _, n := range offsets {
		c := dial(t, g.addr)
		if _, err := io.WriteString(c, sent[:n]); err != nil {
			t.Fatal(err)
		}
		end(c)
		c.Close()
	}
	g.stop()
	o.stop()
	for _, whole := range o.took() {
		t.Errorf("a request that was cut reached the origin as %.300q", whole)
	}
	return len(o.cut)
}

// The uncut requests do arrive.
func TestWholeRequestsArrive(t *testing.T) {
	o := newOrigin(t, nil)
	g := gateway(t, file, o.addr, nil)
	for _, w := range wholeRequests {
		r := row{name: w.name, sent: w.sent}
		if replies := play(t, g.addr, &r, r.sent, probe); len(replies) != 2 || replies[0].status != 200 {
			t.Errorf("%s: got %s", w.name, heads(replies))
		}
	}
	if n := len(o.took()); n != 2*len(wholeRequests) {
		t.Errorf("the origin got %d requests, want %d", n, 2*len(wholeRequests))
	}
}

var wholeAnswers = []struct {
	name, answer string
	open         bool // ends with its connection: an orderly end is an end
}{
	{"length", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world", false},
	{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0007\r\n, world\r\n0\r\nX-Sum: 1\r\n\r\n", false},
	{"until close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, world", true},
	{"behind an interim one", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world", false},
	{"long", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), false},
	{"long chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("2710\r\n"+strings.Repeat("x", 10_000)+"\r\n", 10) + "0\r\n\r\n", false},
}

func TestAnswersCutAtEveryByte(t *testing.T) {
	for _, w := range wholeAnswers {
		for _, how := range []string{"CUT", "RST"} {
			for _, ask := range []string{"GET /x", "POST /cart/add?sku=PHONE"} {
				t.Run(w.name+", "+how+", "+ask, func(t *testing.T) {
					t.Parallel()
					cutAnswers(t, w.answer, how, ask, w.open)
				})
			}
		}
	}
}

func cutAnswers(t *testing.T, whole, how, ask string, open bool) {
	var cut atomic.Int64
	o := newOrigin(t, func(*request) string { return whole[:cut.Load()] + how })
	g := gateway(t, strings.Replace(file, "form: {sku", "query: {sku", 1), o.addr, nil)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	body := strings.Index(whole, "\r\n\r\n") + 4
	for n := 0; n < len(whole); n += step(n, len(whole)) {
		cut.Store(int64(n))
		status, read, err := fetch(t, transport, g.addr, ask)
		switch {
		case open && how == "CUT" && n >= body: // nobody can tell
		case err == nil && status != http.StatusBadGateway:
			t.Errorf("cut after %d of %d bytes: the client got %d with %d bytes as if it were whole", n, len(whole), status, read)
		}
	}
	if how == "RST" {
		return // the last bytes may be lost to the reset
	}
	cut.Store(int64(len(whole)))
	if status, read, err := fetch(t, transport, g.addr, ask); err != nil || status != 200 || read < 12 {
		t.Errorf("whole: the client got %d with %d bytes, %v", status, read, err)
	}
}

// step goes by every byte near the ends and by thousands between them.
func step(n, of int) int {
	if n < 200 || n > of-20 {
		return 1
	}
	return min(7919, of-20-n+1)
}

// fetch asks with the standard library's client, and reads the answer to its end.
func fetch(t *testing.T, transport *http.Transport, addr, ask string) (status, read int, err error) {
	method, target, _ := strings.Cut(ask, " ")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, len(b), err
}
