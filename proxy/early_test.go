package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"penstock/rules"
)

// An origin that refuses an upload half way is heard at once, also while the client says
// nothing; what the client still has to say does not cost it the answer.
func TestEarlyAnswerDoesNotWaitForTheClient(t *testing.T) {
	for name, c := range map[string]struct{ framing, answer, reason string }{
		"length":    {"Content-Length: 900000\r\n", "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig", "admitted"},
		"chunked":   {"Transfer-Encoding: chunked\r\n", "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig", "admitted"},
		"no answer": {"Content-Length: 900000\r\n", "", "origin_failed"},
		"nonsense":  {"Content-Length: 900000\r\n", "SSH-2.0\r\n\r\n", "origin_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(s *rules.Set) {
				s.Client.Body = time.Hour
				socketShop(t, func(_ *http.Request, conn *net.TCPConn, br *bufio.Reader) {
					io.ReadFull(br, make([]byte, 70_000))
					io.WriteString(conn, c.answer)
				})(s)
			})
			k := g.open()
			fmt.Fprint(k, "PUT /files/1 HTTP/1.1\r\nHost: shop\r\n"+c.framing+"\r\n")
			body := strings.Repeat("x", 0x10000)
			if name == "chunked" {
				body = "10000\r\n" + body + "\r\n"
			}
			fmt.Fprint(k, body+body) // and then nothing
			a := read(t, k.Reader, false)
			if a.reason() != c.reason || c.reason == "admitted" && (a.StatusCode != 413 || a.body != "big") || !a.Close || a.err != nil {
				t.Errorf("got %s %s %q, close %v, %v", a.Status, a.reason(), a.body, a.Close, a.err)
			}
			fmt.Fprint(k, body) // too late, but no reason for a reset
			if rest, err := io.ReadAll(k); len(rest) > 0 || err != nil {
				t.Errorf("behind the answer: %q, %v", rest, err)
			}
			g.settled()
		})
	}
}
