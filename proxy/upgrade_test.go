package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"penstock/rules"
)

const askSocket = "GET /ws HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

const agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nKeep-Alive: timeout=5\r\n\r\n"

// socketShop is an origin that does with each connection what it is told, once it has
// read the head of a request.
func socketShop(t *testing.T, do func(head *http.Request, c *net.TCPConn, br *bufio.Reader)) func(*rules.Set) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			all.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				if head, err := http.ReadRequest(br); err == nil {
					do(head, c.(*net.TCPConn), br)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		all.Wait()
	})
	return func(s *rules.Set) { s.Origin.Address = ln.Addr().String() }
}

// switches asks for a WebSocket, with more behind the request, and reads the 101.
func (g *rig) switches(addr, more string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	g.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, askSocket+more); err != nil {
		g.t.Fatal(err)
	}
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		g.t.Fatalf("got %+v, %v; want a 101", resp, err)
	}
	return c.(*net.TCPConn), br, resp
}

// tunnel is one of those there are.
func (g *rig) tunnel() *tunnel {
	g.t.Helper()
	g.proxy.tunnels.mu.Lock()
	defer g.proxy.tunnels.mu.Unlock()
	for t := range g.proxy.tunnels.open {
		return t
	}
	g.t.Fatal("there is no tunnel")
	return nil
}

// noTunnels waits until none is left.
func (g *rig) noTunnels() {
	g.t.Helper()
	g.proxy.tunnels.mu.Lock()
	var all []chan struct{}
	for _, ended := range g.proxy.tunnels.open {
		all = append(all, ended)
	}
	g.proxy.tunnels.mu.Unlock()
	for _, ended := range all {
		<-ended
	}
	if n := g.proxy.tunnels.count(); n != 0 {
		g.t.Errorf("%d tunnels are counted, want none", n)
	}
}

func want(t *testing.T, r io.Reader, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != text {
		t.Fatalf("got %q, %v; want %q", b, err, text)
	}
}

// The first frame may come in one packet with the 101, and the client's with its request;
// the slot is free while the socket is open; each side ends by itself.
func TestWebSocket(t *testing.T) {
	heads := make(chan *http.Request, 1)
	g := newRig(t, socketShop(t, func(head *http.Request, c *net.TCPConn, br *bufio.Reader) {
		heads <- head
		io.WriteString(c, agreed+"first")
		rest, _ := io.ReadAll(br)
		fmt.Fprintf(c, "%s, bye", rest)
	}))
	c, br, resp := g.switches(g.addr, "early")
	for name, value := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
		"Keep-Alive": "", "Content-Length": "", "Transfer-Encoding": "", "Penstock-Reason": "admitted",
	} {
		if got := strings.Join(resp.Header.Values(name), ", "); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	head := <-heads
	for name, value := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Extensions": "permessage-deflate", "X-Forwarded-For": "127.0.0.1", "Content-Length": "",
	} {
		if got := strings.Join(head.Header.Values(name), ", "); got != value {
			t.Errorf("to the shop: %s: %q, want %q", name, got, value)
		}
	}
	want(t, br, "first")
	g.settled()
	if n := g.proxy.tunnels.count(); n != 1 {
		t.Errorf("%d tunnels, want 1", n)
	}
	w := g.tunnel().client.watch // whose sweep must not take it for an idle connection
	w.now.Add(1 << 30)
	w.sweep()
	io.WriteString(c, " and late")
	c.CloseWrite()
	want(t, br, "early and late, bye")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the shop's last byte: %v, want EOF", err)
	}
	g.noTunnels()
}

func TestShopEndsFirst(t *testing.T) {
	rest := make(chan string, 1)
	g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreed)
		c.CloseWrite()
		b, _ := io.ReadAll(br)
		rest <- string(b)
	}))
	c, br, _ := g.switches(g.addr, "")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	io.WriteString(c, "still here")
	c.CloseWrite()
	if got := <-rest; got != "still here" {
		t.Errorf("the shop got %q", got)
	}
	g.noTunnels()
}

// Much in both directions at once arrives as it was sent.
func TestWebSocketCarriesMuch(t *testing.T) {
	g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreed)
		io.Copy(c, br)
	}))
	c, br, _ := g.switches(g.addr, "")
	sent := bytes.Repeat([]byte("0123456789abcdef!"), 300_000)
	go func() {
		c.Write(sent)
		c.CloseWrite()
	}()
	if got, err := io.ReadAll(br); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v; want the %d that were sent", len(got), err, len(sent))
	}
	g.noTunnels()
}

// One side that breaks takes the other with it.
func TestWebSocketBreaks(t *testing.T) {
	ended := make(chan error, 1)
	g := newRig(t, socketShop(t, func(head *http.Request, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreed)
		if head.Header.Get("X-Who") == "" {
			_, err := br.ReadByte()
			ended <- err
			return
		}
		br.ReadByte()
		c.SetLinger(0)
	}))
	c, _, _ := g.switches(g.addr, "")
	c.SetLinger(0)
	c.Close()
	if err := <-ended; err == nil {
		t.Error("the shop heard nothing of a client that broke off")
	}
	g.noTunnels()
}

// A shop that would rather not answers as always, and the client goes on.
func TestWebSocketRefused(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
	} {
		g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) { io.WriteString(c, answer) }))
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(c)
		for range 2 {
			io.WriteString(c, askSocket)
			a := read(t, br, false)
			if !strings.HasPrefix(answer, "HTTP/1.1 "+a.Status[:3]) || a.body != "no" || a.err != nil {
				t.Errorf("got %s, %q, %v", a.Status, a.body, a.err)
			}
		}
		c.Close()
		g.noTunnels()
		g.settled()
	}
}

// What is no request for a WebSocket alone, or is a sale's, goes on as if it had not asked.
func TestOtherUpgradesAreNot(t *testing.T) {
	ask := func(from, to string) string { return strings.Replace(askSocket, from, to, 1) }
	for name, raw := range map[string]string{
		"h2c":          ask("Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
		"two":          ask("Upgrade: websocket", "Upgrade: websocket, h2c"),
		"two lines":    ask("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c"),
		"not asked":    ask("keep-alive, Upgrade", "keep-alive"),
		"closing":      ask("keep-alive, Upgrade", "close, Upgrade"),
		"not a GET":    ask("GET", "POST"),
		"with a body":  ask("Upgrade: websocket\r\n", "Upgrade: websocket\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
		"old":          ask("HTTP/1.1", "HTTP/1.0"),
		"a sale's":     ask("GET /ws", "GET /buy.php"),
		"by underline": ask("Upgrade: websocket", "X-Upgrade: websocket"),
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(s *rules.Set) { s.Sales[0].Match.Methods = []string{"GET", "POST"} })
			a := g.send(raw)
			if a.StatusCode == 400 {
				return // it had more faults than that
			}
			if a.StatusCode != 200 && a.StatusCode != 202 {
				t.Errorf("got %s", a.Status)
			}
			if got := strings.ToLower(<-g.shop.arrived); strings.Contains(got, "\nupgrade:") || strings.Contains(got, "\nconnection:") {
				t.Errorf("the shop was asked to switch: %q", got)
			}
			g.noTunnels()
		})
	}
}

// A shop that switches to something else, or unasked, has failed.
func TestWrongSwitch(t *testing.T) {
	for _, answer := range []string{strings.Replace(agreed, "websocket", "h2c", 1), strings.Replace(agreed, "Upgrade: websocket\r\n", "", 1)} {
		g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) { io.WriteString(c, answer); br.ReadByte() }))
		if a := g.send(askSocket); a.reason() != "origin_failed" {
			t.Errorf("got %s %s", a.Status, a.reason())
		}
		g.noTunnels()
	}
	g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) { io.WriteString(c, agreed); br.ReadByte() }))
	if a := g.send(buy); a.reason() != "origin_failed" {
		t.Errorf("unasked: got %s %s", a.Status, a.reason())
	}
}

func TestRoomForWebSockets(t *testing.T) {
	g := newRig(t, socketShop(t, func(_ *http.Request, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreed)
		io.Copy(io.Discard, br)
	}))
	if n := g.proxy.tunnels.most; n < minBudget || n > mostTunnels {
		t.Errorf("room for %d", n)
	}
	g.proxy.tunnels.most = 1
	c, _, _ := g.switches(g.addr, "")
	if a := g.send(askSocket); a.reason() != "overloaded" || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %s, want overloaded", a.Status, a.reason())
	}
	c.Close()
	g.noTunnels()
	c, _, _ = g.switches(g.addr, "")
	c.Close()
	g.noTunnels()
	g.settled()
}
