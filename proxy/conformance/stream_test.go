package conformance

// When bytes come through, not only which. Both ends wait for each other instead of for a
// clock: what is held back somewhere shows as a test that waits for ever.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// Each piece of an answer, but for one short enough to be sent whole, reaches the client before the origin sends the next: hazard 33,
// and the flush tests of httputil.
func TestPiecesComeThroughAtOnce(t *testing.T) {
	pieces := []string{"data: one\n\n", "data: two\n\n", "x", strings.Repeat("y", 9000), "end"}
	for name, frame := range map[string]struct {
		head string
		as   string // a piece on the wire
	}{
		"length":      {head("HTTP/1.1 200 OK", "Content-Length: 1000000"), "%[2]s"},
		"chunks":      {head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), "%[1]x\r\n%[2]s\r\n"},
		"events":      {head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"), "%[1]x\r\n%[2]s\r\n"},
		"until close": {head("HTTP/1.1 200 OK", "Connection: close"), "%[2]s"},
	} {
		t.Run(name, func(t *testing.T) {
			taken := make(chan bool)
			ln := loopback(t)
			backend(t, ln, func(c net.Conn) {
				var r request
				if r.read(bufio.NewReader(c)) != nil {
					return
				}
				io.WriteString(c, frame.head)
				for _, p := range pieces {
					<-taken
					fmt.Fprintf(c, frame.as, len(p), p)
				}
				<-taken
			})
			g := gateway(t, file, ln.Addr().String(), nil)
			c := dial(t, g.addr)
			defer close(taken)
			io.WriteString(c, get())
			br := bufio.NewReader(c)
			a, err := readHead(br)
			if err != nil || a.status != 200 {
				t.Fatalf("got %+v, %v", a, err)
			}
			body := io.Reader(br)
			if strings.Contains(a.head, "chunked") {
				body = &unchunked{br: br}
			}
			for i, p := range pieces {
				taken <- true
				b := make([]byte, len(p))
				if _, err := io.ReadFull(body, b); err != nil || string(b) != p {
					t.Fatalf("piece %d is %.40q, %v", i, b, err)
				}
			}
			c.Close()
		})
	}
}

// unchunked reads the data of chunks.
type unchunked struct {
	br   *bufio.Reader
	left int
}

func (u *unchunked) Read(b []byte) (int, error) {
	if u.left == 0 {
		if _, err := fmt.Fscanf(u.br, "%x\r\n", &u.left); err != nil {
			return 0, err
		}
		u.left += 2
	}
	n, err := u.br.Read(b[:min(len(b), max(1, u.left-2))])
	if u.left -= n; u.left <= 2 {
		_, err = u.br.Discard(u.left)
		u.left = 0
	}
	return n, err
}

// An answer that is ready is not held back by the next request, hazard 45: the origin
// answers the second only when the client has read the first.
func TestPipelineHoldsNothingBack(t *testing.T) {
	read := make(chan bool)
	o := newOrigin(t, func(r *request) string {
		if r.target == "/slow" {
			<-read
		}
		return echo(r)
	})
	g := gateway(t, file, o.addr, nil)
	c := dial(t, g.addr)
	var sent string
	for _, path := range []string{"/fast", "/slow", "/last"} {
		sent += head("GET "+path+" HTTP/1.1", "Host: shop")
	}
	io.WriteString(c, sent)
	br := bufio.NewReader(c)
	for i, want := range []string{"/fast", "/slow", "/last"} {
		if a, err := readReply(br, "GET"); err != nil || a.body != want {
			t.Fatalf("answer %d is %+v, %v", i, a, err)
		}
		if i == 0 {
			close(read)
		}
	}
}

// An origin that closes after every answer does not close the client's connection:
// hazard 29.
func TestOriginThatAlwaysCloses(t *testing.T) {
	for name, answer := range map[string]func(*request) string{
		"says so": func(r *request) string {
			return strings.Replace(echo(r), "\r\n", "\r\nConnection: close\r\n", 1) + "CUT"
		},
		"HTTP/1.0": func(r *request) string { return strings.Replace(echo(r), "1.1", "1.0", 1) + "CUT" },
	} {
		o := newOrigin(t, answer)
		g := gateway(t, file, o.addr, nil)
		c := dial(t, g.addr)
		br := bufio.NewReader(c)
		for i := range 100 {
			target := fmt.Sprintf("/%d", i)
			io.WriteString(c, head("GET "+target+" HTTP/1.1", "Host: shop"))
			if a, err := readReply(br, "GET"); err != nil || a.body != target || a.close {
				t.Fatalf("%s: answer %d is %+v, %v", name, i, a, err)
			}
		}
	}
}
