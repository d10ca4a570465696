package crowd

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, wire, body string
		status           int
		closes           bool
		rest             string // what is left for the next answer
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcNEXT", "abc", 200, false, "NEXT"},
		{"bare line ends", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "abc", 200, false, ""},
		{"no phrase", "HTTP/1.1 204\r\n\r\nNEXT", "", 204, false, "NEXT"},
		{"not modified", "HTTP/1.1 304 x\r\nContent-Length: 99\r\n\r\nNEXT", "", 304, false, "NEXT"},
		{"close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", "", 200, true, ""},
		{"old", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 200, true, ""},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nabc", "abc", 200, true, ""},
		{"hints first", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 1\r\n\r\naN", "a", 201, false, "N"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA \r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\nNEXT", "abc0123456789", 200, false, "NEXT"},
		{"long", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000) + "N", strings.Repeat("x", bodyKept), 200, false, "N"},
	} {
		for how, in := range map[string]io.Reader{"at once": strings.NewReader(c.wire), "byte by byte": iotest.OneByteReader(strings.NewReader(c.wire))} {
			var r reply
			b := bufio.NewReaderSize(in, 8<<10)
			if err := r.read(b, false); err != nil || r.Status != c.status || string(r.Body) != c.body || r.closes != c.closes {
				t.Errorf("%s %s: %v, %d, %q, closes %v", c.name, how, err, r.Status, r.Body, r.closes)
			}
			if rest, _ := io.ReadAll(b); string(rest) != c.rest {
				t.Errorf("%s %s: left %q, want %q", c.name, how, rest, c.rest)
			}
		}
	}
}

func TestFields(t *testing.T) {
	var r reply
	wire := "HTTP/1.1 503 x\r\nRETRY-AFTER: 7\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nLocation:/x \r\npenstock-reason: overloaded\r\ncontent-length: 0\r\n\r\n"
	if err := r.read(bufio.NewReader(strings.NewReader(wire)), false); err != nil {
		t.Fatal(err)
	}
	if r.RetryAfter != 7*time.Second || !r.HasRetry || strings.Join(r.cookies, "|") != "a=1; Path=/|b=2" || string(r.Location) != "/x" || string(r.Reason) != "overloaded" {
		t.Errorf("%+v", r)
	}
	next := "HTTP/1.1 200 x\r\nRetry-After: Fri, 27 Nov 2026 20:00:00 GMT\r\nContent-Length: 9\r\n\r\n"
	if err := r.read(bufio.NewReader(strings.NewReader(next)), true); err != nil { // to HEAD
		t.Fatal(err)
	}
	if r.HasRetry || len(r.cookies)+len(r.Location)+len(r.Reason) != 0 {
		t.Errorf("%+v, want nothing of the answer before", r)
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	for _, wire := range []string{
		"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20x OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "SSH-2.0-x\r\n\r\n",
		"HTTP/1.1 101 x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 999)+"\r\n", 70) + "\r\n",
	} {
		var r reply
		if err := r.read(bufio.NewReaderSize(strings.NewReader(wire), 8<<10), false); !errors.Is(err, errMalformed) {
			t.Errorf("%.60q: %v, want it malformed", wire, err)
		}
	}
	for _, wire := range []string{"H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"} {
		var r reply
		if err := r.read(bufio.NewReader(strings.NewReader(wire)), false); err != io.ErrUnexpectedEOF || !r.begun {
			t.Errorf("%q: %v, want it cut short", wire, err)
		}
	}
	var r reply
	if err := r.read(bufio.NewReader(strings.NewReader("")), false); err != io.EOF || r.begun {
		t.Errorf("nothing at all: %v, begun %v", err, r.begun)
	}
}

// FuzzAnswers: whatever comes, reading ends, and says the same however it is cut up.
func FuzzAnswers(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false)
	f.Add("HTTP/1.1 103 x\r\n\r\nHTTP/1.0 200\nSet-Cookie: a=b\n\nrest", true)
	f.Fuzz(func(t *testing.T, wire string, head bool) {
		read := func(in io.Reader) (all []string) {
			b := bufio.NewReaderSize(in, 8<<10)
			var r reply
			for range 5 {
				err := r.read(b, head)
				if err != nil {
					return append(all, errText(err))
				}
				if r.Status < 200 || r.Status > 999 || len(r.Body) > bodyKept {
					t.Fatalf("status %d, %d bytes of body", r.Status, len(r.Body))
				}
				all = append(all, string(rune(r.Status))+string(r.Body)+strings.Join(r.cookies, ""))
			}
			return all
		}
		whole, cut := read(strings.NewReader(wire)), read(iotest.OneByteReader(strings.NewReader(wire)))
		if strings.Join(whole, "|") != strings.Join(cut, "|") {
			t.Errorf("at once %q, byte by byte %q", whole, cut)
		}
	})
}

func errText(err error) string {
	if errors.Is(err, errMalformed) {
		return "malformed"
	}
	return err.Error()
}
