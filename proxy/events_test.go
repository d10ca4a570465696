package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"penstock/proxy/gate"
)

// Each event is with the client before the next is made, the head before the first, and
// the slot is free meanwhile; it makes no difference how the stream is framed.
func TestEventsAreWrittenAsTheyCome(t *testing.T) {
	const n = 20
	for name, framing := range map[string]string{
		"chunked": "Transfer-Encoding: chunked\r\n", "until close": "", "of a length": "Content-Length: 1000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan bool)
			g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, _ *bufio.Reader) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"+framing+"\r\n")
				for i := 0; <-next; i++ {
					event := fmt.Sprintf("data: %d\n\n", i)
					if name == "chunked" {
						event = fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
					}
					io.WriteString(c, event)
				}
				if name == "chunked" {
					io.WriteString(c, "0\r\n\r\n")
				}
			}))
			free := make(chan gate.End, 1)
			g.probes[slot].released = free
			c := g.open()
			fmt.Fprint(c, look)
			resp, err := http.ReadResponse(c.Reader, nil) // the head is there, though no event is
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("got %+v, %v", resp, err)
			}
			<-free
			body := bufio.NewReader(resp.Body)
			for i := range n {
				next <- true
				if line, err := body.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("got %q, %v; want event %d", line, err, i)
				}
				body.ReadString('\n')
			}
			close(next)
			if rest, err := io.ReadAll(body); len(rest) > 0 || (err != nil) != (name == "of a length") {
				t.Errorf("at the end: %q, %v", rest, err)
			}
		})
	}
}
