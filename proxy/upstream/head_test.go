package upstream

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	type want struct {
		status  int
		length  int64
		chunked bool
		keeps   bool
	}
	good := []struct {
		head string
		want want
	}{
		{"HTTP/1.1 200 OK\r\n\r\n", want{200, -1, false, true}},
		{"HTTP/1.1 200\r\n\r\n", want{200, -1, false, true}},
		{"HTTP/1.1 599 \r\n\r\n", want{599, -1, false, true}},
		{"HTTP/1.0 302 Found\r\nConnection: Keep-Alive\r\n\r\n", want{302, -1, false, true}},
		{"HTTP/1.1 200 OK\r\ncontent-LENGTH:\t0 \r\n\r\n", want{200, 0, false, true}},
		{"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n", want{200, 999999999999999999, false, true}},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 05\r\n\r\n", want{200, 5, false, false}},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", want{200, -1, true, true}},
		{"HTTP/1.1 200 \xff\r\nX: \xe4\x01\r\nEmpty:\r\n\r\n", want{200, -1, false, true}},
		{"HTTP/1.1 200 OK\nX: y\r\n\r\n", want{200, -1, false, false}},
		{"HTTP/1.1 200 OK\r\nX: y\r\n\n", want{200, -1, false, false}},
		{"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\n\r\n", want{200, -1, false, false}},
		{"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\n\r\n", want{200, -1, false, true}},
		{"HTTP/1.1 200 OK\r\nConnection: closed, \"close\"\r\n\r\n", want{200, -1, false, true}},
	}
	for _, c := range good {
		var a answer
		err := a.parse([]byte(c.head))
		if got := (want{a.status, a.length, a.chunked, a.keeps()}); err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v; want %+v", c.head, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	bad := []string{
		"\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1 600 x\r\n\r\n", "HTTP/1.1 999 x\r\n\r\n", "HTTP/1.1 2x0 x\r\n\r\n", "HTTP/1.1  200 x\r\n\r\n",
		"HTTP/2.0 200 x\r\n\r\n", "HTTP/1.2 200 x\r\n\r\n", "http/1.1 200 x\r\n\r\n", " HTTP/1.1 200 x\r\n\r\n",
		"ICY 200 OK\r\n\r\n", "<html>\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 200-OK\r\n\r\n",
	}
	fields := []string{
		"X", "X y", ": y", "X : y", " X: y", "\tfolded", "X\x00: y", "X: y\x00", "X: y\rZ: z", "\xe4: y", "X(: y",
		"Content-Length:", "Content-Length: -1", "Content-Length: +1", "Content-Length: 1,1", "Content-Length: 1 1",
		"Content-Length: 0x1", "Content-Length: 1000000000000000000", "Content-Length: 1\r\nContent-Length: 2",
		"Transfer-Encoding:", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: identity", "Transfer-Encoding: x\vchunked",
		"Transfer-Encoding: chunked\r\nContent-Length: 1", "Content-Length: 1\r\nTransfer-Encoding: chunked",
		strings.Repeat("X: y\r\n", maxFields) + "X: y",
	}
	for _, f := range fields {
		bad = append(bad, "HTTP/1.1 200 OK\r\n"+f+"\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n"+f+"\r\n\r\n")
	}
	bad = append(bad, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, head := range bad {
		var a answer
		if err := a.parse([]byte(head)); err == nil {
			t.Errorf("%.60q: accepted as %d, length %d", head, a.status, a.length)
		}
	}
}

// We stay a second clear of the origin's own limit, and never above ours.
func TestKeepAlive(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"timeout=1": 0, "timeout=2": time.Second, "max=3, Timeout=4": 3 * time.Second,
		"timeout=5": idleLimit, "timeout=900": idleLimit, "timeout=": idleLimit, "max=1": idleLimit, "timeout=-1": idleLimit,
	} {
		var a answer
		if err := a.parse([]byte("HTTP/1.1 200 OK\r\nKeep-Alive: " + value + "\r\n\r\n")); err != nil || a.idle != want {
			t.Errorf("%s: idle %v, %v; want %v", value, a.idle, err, want)
		}
	}
}

func TestHeadBounds(t *testing.T) {
	cases := []struct {
		name, answer string
		ok           bool
	}{
		{"large", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead-100) + "\r\nContent-Length: 0\r\n\r\n", true},
		{"too large", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead) + "\r\nContent-Length: 0\r\n\r\n", false},
		{"endless line", strings.Repeat("x", 2*maxHead), false},
		{"interim", strings.Repeat("HTTP/1.1 100 Go\r\n\r\n", maxInterim) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
		{"too many interim", strings.Repeat("HTTP/1.1 100 Go\r\n\r\n", maxInterim+1) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"switch", "HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := serve(t, func(p *peer) {
				p.next()
				p.say("%s", c.answer)
			})
			status, _, err := carry(reach(t, o, nil), request("GET", "/", ""))
			if (err == nil && status == 200) != c.ok || Unsent(err) {
				t.Errorf("got %d, %v; want ok %v", status, err, c.ok)
			}
		})
	}
}

// What is accepted can be written again field by field and means the same, so no two
// readers can see two answers in it.
func FuzzHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 302 \nTransfer-Encoding: chunked\r\nConnection: keep-alive, x\n\n"))
	f.Add([]byte("HTTP/1.1 200\r\nKeep-Alive: timeout=3\r\nX:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var a, b answer
		if a.parse(in) != nil {
			return
		}
		if a.status < 100 || a.status > 599 || a.length < -1 || a.chunked && (a.length >= 0 || a.http10) || a.idle > idleLimit {
			t.Fatalf("%q: accepted as %+v", in, a)
		}
		again := append([]byte(nil), in[:12]...)
		again = append(again, "\r\n"...)
		for _, f := range a.fields {
			if bytes.ContainsAny(f.Name, " \t\r\n\x00:") || bytes.ContainsAny(f.Value, "\r\n\x00") {
				t.Fatalf("%q: field %q: %q", in, f.Name, f.Value)
			}
			again = append(append(append(append(again, f.Name...), ": "...), f.Value...), "\r\n"...)
		}
		again = append(again, "\r\n"...)
		if err := b.parse(again); err != nil || b.status != a.status || b.length != a.length || b.chunked != a.chunked ||
			len(b.fields) != len(a.fields) || b.idle != a.idle || b.close && !a.close {
			t.Fatalf("%q: %+v, again %+v, %v", in, a, b, err)
		}
	})
}
