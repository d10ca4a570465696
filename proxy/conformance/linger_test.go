package conformance

// Uploads that are answered before they are read.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

const largeBodies = 32 << 20

// An origin that answers before it has the body is heard: hazard 31. It neither reads the
// rest nor closes before the client has the answer.
func TestEarlyAnswerIsHeard(t *testing.T) {
	const early = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nearly"
	heard := make(chan bool)
	ln := loopback(t)
	backend(t, ln, func(c net.Conn) {
		var r request
		if r.readHead(bufio.NewReader(c)) == nil {
			io.WriteString(c, early)
			<-heard
		}
	})
	g := gateway(t, strings.Replace(file, "max_body: 1MiB", "max_body: 64MiB", 1), ln.Addr().String(), nil)
	for name, framing := range map[string]string{"length": fmt.Sprintf("Content-Length: %d", largeBodies), "chunks": "Transfer-Encoding: chunked"} {
		a := upload(t, g.addr, head("POST /x HTTP/1.1", "Host: shop", framing), framing[0] == 'T', largeBodies)
		if a == nil || a.status != 413 || a.body != "early" {
			t.Errorf("%s: got %+v, want the origin's early answer", name, a)
		}
	}
	close(heard)
}

// A refusal is read by a client that is still sending: hazard 22. Bytes that nobody reads
// would make the end of the connection a reset, and the page would be lost with it.
func TestRefusalIsReadBehindALargeUpload(t *testing.T) {
	o := newOrigin(t, nil)
	g := gateway(t, file, o.addr, nil)
	for name, framing := range map[string]string{"length": "Content-Length: 3000000", "chunks": "Transfer-Encoding: chunked"} {
		for range 20 {
			a := upload(t, g.addr, head("PUT /checkout HTTP/1.1", "Host: shop", framing), framing[0] == 'T', 3_000_000)
			if a == nil || a.status != 405 || !a.close {
				t.Errorf("%s: got %+v, want a refusal", name, a)
			}
		}
	}
}

// upload sends a large body and reads the answer beside it; nil: there was none.
func upload(t *testing.T, addr, head string, chunks bool, size int) *reply {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	c.SetWriteBuffer(16 << 10)
	piece := strings.Repeat("x", 10_000)
	go func() {
		defer c.CloseWrite()
		if _, err := io.WriteString(c, head); err != nil {
			return
		}
		for range size / len(piece) {
			out := piece
			if chunks {
				out = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
			}
			if _, err := io.WriteString(c, out); err != nil {
				return
			}
		}
	}()
	br := bufio.NewReader(c)
	a, err := readReply(br, "POST")
	if err != nil {
		t.Logf("no answer: %v", err)
		return nil
	}
	if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
		t.Errorf("behind the answer came %q, %v; want the end", rest, err)
	}
	return a
}
