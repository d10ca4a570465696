package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"penstock/proxy/gate"
)

func TestStreamedAnswerHoldsItsSlotToTheEnd(t *testing.T) {
	g := newRig(t, nil)
	g.probes[schedule].released = make(chan gate.End, 1)
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
	a := g.send("GET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\n")
	if a.body != "hello world" || a.err != nil {
		t.Errorf("got %q, %v", a.body, a.err)
	}
	<-g.probes[schedule].released
	g.settled()
}

func TestAnswerCutByTheOriginIsNeverCompleted(t *testing.T) {
	body := strings.Repeat("x", 100000)
	for name, raw := range map[string]string{
		"chunked":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\nCUT",
		"at boundary": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel\r\n\r\nCUT",
		"fixed":       "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + body + "\r\nCUT",
	} {
		g := newRig(t, nil)
		g.shop.saysRaw(raw)
		if a := g.send("GET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\n"); a.err == nil {
			t.Errorf("%s: the client was given a cut answer as a whole one: %d bytes", name, len(a.body))
		}
	}
}

func TestUploadStreamsAndACutOneIsNeverCompleted(t *testing.T) {
	g := newRig(t, nil)
	body := strings.Repeat("0123456789", 50000)
	g.send(fmt.Sprintf("PUT /files/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if got := <-g.shop.arrived; !strings.HasSuffix(got, "\r\n\r\n"+body) {
		t.Errorf("the shop got %d bytes, want the whole body", len(got))
	}
	whole := "7\r\nqty=100\r\n5\r\nhello\r\n0\r\n\r\n"
	head := "POST /files/2 HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
	for cut := range len(whole) {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, head+whole[:cut])
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	g.send(head + whole)
	for n := 0; ; n++ {
		got := <-g.shop.arrived
		if n > 0 || !strings.Contains(got, "hello") {
			t.Fatalf("a cut upload reached the shop as a whole one: %q", got)
		}
		if g.shop.count() == 2 {
			break
		}
	}
	g.settled()
}
