package upstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

var wholeAnswers = []struct{ name, bytes, body string }{
	{"length", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y\r\n\r\nhello, world", "hello, world"},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5;a=b\r\nhello\r\n0007\r\n, world\r\n0\r\nTrailer: x\r\n\r\n", "hello, world"},
	{"after interim", "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno", "no"},
}

// An answer cut anywhere is an error, never a shorter answer; neither a FIN nor a
// reset makes a difference.
func TestCutAnywhere(t *testing.T) {
	everyWire(t, func(t *testing.T, c *tls.Config) {
		for _, a := range wholeAnswers {
			for _, how := range []string{"fin", "reset"} {
				t.Run(a.name+"/"+how, func(t *testing.T) { cutAnywhere(t, c, a.bytes, a.body, how == "reset") })
			}
		}
	})
}

func cutAnywhere(t *testing.T, c *tls.Config, answer, want string, reset bool) {
	var cut atomic.Int64
	o := serveOver(t, c, func(p *peer) {
		p.next()
		p.say("%s", answer[:cut.Load()])
		if reset {
			p.reset()
		}
	})
	step := 1
	if c != nil {
		step = 3 // each costs a handshake
	}
	for n := 0; n < len(answer); n += step {
		cut.Store(int64(n))
		status, body, err := carry(reach(t, o, nil), request("GET", "/", ""))
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("cut after %d bytes: status %d, body %q, %v; want an error", n, status, body, err)
		}
		if !strings.HasPrefix(want, body) {
			t.Errorf("cut after %d bytes: body %q is no part of %q", n, body, want)
		}
	}
	if reset {
		return // the last bytes may be lost to the reset
	}
	cut.Store(int64(len(answer)))
	if _, body, err := carry(reach(t, o, nil), request("GET", "/", "")); err != nil || body != want {
		t.Errorf("whole: %q, %v; want %q", body, err, want)
	}
}

// Without framing of its own a body ends with the connection, and says so.
func TestUntilClose(t *testing.T) {
	o := serve(t, func(p *peer) {
		p.next()
		p.say("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello")
	})
	u := reach(t, o, nil)
	e, err := u.Do(t.Context(), request("GET", "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(e)
	if !e.UntilClose || e.Length != -1 || string(b) != "hello" || err != nil {
		t.Errorf("until close %v, length %d, body %q, %v", e.UntilClose, e.Length, b, err)
	}
	if e.Close(); u.idle.size() != 0 {
		t.Error("the connection is kept")
	}
}

func TestLengthAndHeader(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1 \r\nx-odd:\tv\r\nContent-Length: 3\r\nSet-Cookie: b\r\n\r\n"
	o := serve(t, func(p *peer) {
		path, _, _ := p.next()
		if p.say(answer); path == "/get" {
			p.say("abc")
		}
	})
	for method, length := range map[string]int64{"GET": 3, "HEAD": 0} {
		e, err := reach(t, o, nil).Do(t.Context(), request(method, "/"+strings.ToLower(method), ""))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(iotest.OneByteReader(e))
		if e.Length != length || int64(len(b)) != length || err != nil || e.UntilClose {
			t.Errorf("%s: length %d, body %q, %v; want %d", method, e.Length, b, err, length)
		}
		var lines []string
		for _, f := range e.Header {
			lines = append(lines, string(f.Name)+"="+string(f.Value))
		}
		const want = "Set-Cookie=a=1|x-odd=v|Content-Length=3|Set-Cookie=b"
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("%s: header %s, want %s", method, got, want)
		}
		e.Close()
	}
}

func TestChunks(t *testing.T) {
	cases := []struct {
		in, want string
		ok       bool
	}{
		{"0\r\n\r\n", "", true},
		{"1\r\na\r\n0\r\n\r\n", "a", true},
		{"00000000000000A\r\n0123456789\r\n000\r\n\r\n", "0123456789", true},
		{"1 \t\r\na\r\n0;x=\"y\"\r\nT: 1\r\n\r\n", "a", true},
		{"1 ;x\r\na\r\n0\r\n\r\n", "a", true},
		{"", "", false},
		{"\r\n", "", false},
		{"1\na\n0\n\n", "", false},
		{"1\r\nab\r\n0\r\n\r\n", "a", false},
		{"1\r\na0\r\n\r\n", "a", false},
		{"-1\r\na\r\n0\r\n\r\n", "", false},
		{"+1\r\na\r\n0\r\n\r\n", "", false},
		{"0x1\r\na\r\n0\r\n\r\n", "", false},
		{" 1\r\na\r\n0\r\n\r\n", "", false},
		{"1 2\r\na\r\n0\r\n\r\n", "", false},
		{"0000000000000001\r\na\r\n0\r\n\r\n", "", false},
		{"FFFFFFFFFFFFFFFF\r\n", "", false},
		{";x\r\n", "", false},
		{"0\r\n", "", false},
		{"0\r\nno field\r\n\r\n", "", false},
		{"0\r\n folded: x\r\n\r\n", "", false},
		{"0\r\n" + strings.Repeat("T: "+strings.Repeat("x", 100)+"\r\n", 100) + "\r\n", "", false},
		{"1;" + strings.Repeat("x", readBuffer) + "\r\na\r\n0\r\n\r\n", "", false},
	}
	for _, c := range cases {
		got, err := unchunk([]byte(c.in))
		if string(got) != c.want || (err == nil) != c.ok {
			t.Errorf("%.40q: got %q, %v; want %q, ok %v", c.in, got, err, c.want, c.ok)
		}
	}
}

// unchunk reads a chunked body that is followed by nothing.
func unchunk(in []byte) ([]byte, error) {
	b := body{br: bufio.NewReaderSize(bytes.NewReader(in), readBuffer), kind: chunked}
	return io.ReadAll(&b)
}

// Whatever comes in: an end is a true end, it lasts, and cutting what was read makes it
// an error.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("5;a=b\r\nhello\r\n0007\r\n, world\r\n0\r\nTrailer: x\r\n\r\nrest"))
	f.Add([]byte("1\na\n0\n\n"))
	f.Add([]byte("fffffffffffffff\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		src := bytes.NewReader(in)
		b := body{br: bufio.NewReaderSize(src, readBuffer), kind: chunked}
		out, err := io.ReadAll(iotest.OneByteReader(&b))
		if n, again := b.Read(make([]byte, 1)); n != 0 || again == nil || again == io.EOF != (err == nil) {
			t.Fatalf("%q ended with %v, then read %d, %v", in, err, n, again)
		}
		if b.whole() != (err == nil) {
			t.Fatalf("%q: whole %v, error %v", in, b.whole(), err)
		}
		if err != nil {
			return
		}
		used := len(in) - src.Len() - b.br.Buffered()
		if same, err := unchunk(in[:used]); err != nil || !bytes.Equal(same, out) {
			t.Fatalf("%q: %q, alone %q, %v", in, out, same, err)
		}
		if short, err := unchunk(in[:used-1]); err == nil {
			t.Fatalf("%q cut by a byte ends well with %q", in[:used], short)
		}
	})
}

// A request that breaks off anywhere never arrives as a whole one, however it is framed.
func TestRequestCutAnywhere(t *testing.T) {
	const size = 3*piece + 5
	var whole atomic.Int64
	o := serve(t, func(p *peer) {
		if _, _, ok := p.next(); ok {
			whole.Add(1)
			p.ok("")
		}
	})
	cuts := []int{0, 1, piece - 1, piece, piece + 1, inline - 1, inline, inline + 1, 3 * piece, size - 1}
	for n := 0; n < size; n += 4999 {
		cuts = append(cuts, n)
	}
	for _, n := range cuts {
		for _, r := range []*Request{
			{Head: []byte("POST /order HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"), Length: -1},
			{Head: fmt.Appendf(nil, "POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", size), Length: size},
		} {
			r.Body = io.MultiReader(bytes.NewReader(pattern(n)), iotest.ErrReader(io.ErrUnexpectedEOF))
			if _, _, err := carry(reach(t, o, nil), r); ended(err) != OpBody {
				t.Errorf("cut after %d bytes of %d: %v, want %s", n, r.Length, err, OpBody)
			}
		}
	}
	o.stop()
	if n := whole.Load(); n != 0 {
		t.Errorf("%d requests that broke off arrived as whole ones", n)
	}
}
