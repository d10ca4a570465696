package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/proxy/certs"
	"penstock/proxy/certs/certstest"
	"penstock/proxy/gate"
	"penstock/proxy/proxyproto"
	"penstock/rules"
)

// announced is a header of version 1 for a client.
func announced(client string) string { return "PROXY TCP4 " + client + " 192.0.2.2 1234 443\r\n" }

// local is a header of version 2 of a balancer that asks whether we are alive.
const local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

func behindBalancer(s *rules.Set) { s.ProxyProtocol, s.TrustedProxies = true, loopback }

func TestClientIsWhomThePROXYHeaderNames(t *testing.T) {
	g := newRig(t, behindBalancer)
	get := func(xff string) string { return crlf("GET / HTTP/1.1", "Host: shop", "X-Forwarded-For: "+xff) }
	for _, c := range []struct{ name, header, xff, client, told string }{
		{"stranger", announced("203.0.113.7"), "8.8.8.8", "203.0.113.7", "203.0.113.7"},
		{"trusted hop in front of the balancer", announced("127.0.0.9"), "8.8.8.8", "8.8.8.8", "8.8.8.8, 127.0.0.9"},
		{"the balancer itself", local, "8.8.8.8", "8.8.8.8", "8.8.8.8, 127.0.0.1"},
		{"nobody knows", "PROXY UNKNOWN\r\n", "8.8.8.8", "127.0.0.1", "127.0.0.1"},
	} {
		a := g.send(c.header + get(c.xff))
		raw := <-g.shop.arrived
		if a.StatusCode != 200 || !strings.Contains(raw, "X-Forwarded-For: "+c.told+"\r\n") || strings.Contains(raw, "PROXY") {
			t.Errorf("%s: answered %d, the shop got %q, want it told %s", c.name, a.StatusCode, raw, c.told)
		}
		if got := g.probes[rateIP].facts.IP.String(); got != c.client {
			t.Errorf("%s: the client is %s, want %s", c.name, got, c.client)
		}
	}
	if n := total(counted(t, g.proxy.metrics.headers[proxyproto.ErrMissing])); n != 0 {
		t.Errorf("counted %v faults, want none", n)
	}
}

// Header and request arrive whole wherever the packets begin, and the connection goes on
// behind the first request.
func TestPROXYHeaderCutAtEveryOffset(t *testing.T) {
	g := newRig(t, behindBalancer)
	text := announced("203.0.113.7") + crlf("GET /1 HTTP/1.1", "Host: shop") + crlf("GET /2 HTTP/1.1", "Host: shop")
	for i := 0; i <= len(text); i += 3 {
		c := g.dial()
		c.SetNoDelay(true)
		io.WriteString(c, text[:i])
		io.WriteString(c, text[i:])
		br := bufio.NewReader(c)
		for _, path := range []string{"/1", "/2"} {
			a := read(t, br, false)
			if raw := <-g.shop.arrived; a.StatusCode != 200 || !strings.HasPrefix(raw, "GET "+path+" ") || !strings.Contains(raw, "X-Forwarded-For: 203.0.113.7\r\n") {
				t.Fatalf("cut at %d: answered %d, the shop got %q", i, a.StatusCode, raw)
			}
		}
		c.Close()
	}
}

// Without a proper header of a trusted peer there is no word of an answer, and nothing
// reaches the shop.
func TestConnectionsWithoutAPROXYHeaderAreClosed(t *testing.T) {
	request := crlf("GET / HTTP/1.1", "Host: shop")
	for _, c := range []struct {
		name, text string
		trusted    bool
		counted    error
	}{
		{"of a stranger", announced("203.0.113.7") + request, false, proxyproto.ErrUntrusted},
		{"missing", request, true, proxyproto.ErrMissing},
		{"malformed", "PROXY TCP4 me you 1 2\r\n" + request, true, proxyproto.ErrMalformed},
		{"endless", "PROXY UNKNOWN " + strings.Repeat("x", 200) + request, true, proxyproto.ErrTooLong},
		{"cut", "PROXY TCP4 203", true, proxyproto.ErrCut},
	} {
		g, _ := secured(t, behindBalancer)
		if !c.trusted {
			set := *g.set
			set.TrustedProxies = nil
			g.proxy.Use(&set) // a reload counts for the next connection
		}
		conn := g.dial()
		io.WriteString(conn, c.text)
		conn.CloseWrite()
		if got, err := io.ReadAll(conn); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %q and error %v, want the end", c.name, got, err)
		}
		if n := total(counted(t, g.proxy.metrics.handshakes[certs.Other])); n != 0 {
			t.Errorf("%s: counted %v handshakes that failed", c.name, n)
		}
		for err, counter := range g.proxy.metrics.headers {
			if n := total(counted(t, counter)); (n == 1) != (err == c.counted) {
				t.Errorf("%s: counted %v of %v", c.name, n, err)
			}
		}
		if g.shop.count() != 0 {
			t.Errorf("%s: it reached the shop", c.name)
		}
	}
}

// secured is a rig that speaks TLS, and how to ask it.
func secured(t *testing.T, change func(*rules.Set)) (*rig, *tls.Config) {
	t.Helper()
	a := certstest.New(t)
	g := newRig(t, func(s *rules.Set) {
		s.TLS = &rules.TLS{Cert: a.Issue("shop.example", time.Now().Add(time.Hour))}
		if change != nil {
			change(s)
		}
	})
	return g, &tls.Config{RootCAs: a.Pool(), ServerName: "shop.example"}
}

// over sends a request by TLS on a connection that may begin with something else.
func over(t *testing.T, g *rig, c *tls.Config, before, raw string) *answered {
	t.Helper()
	plain := g.dial()
	io.WriteString(plain, before)
	conn := tls.Client(plain, c)
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	return read(t, bufio.NewReader(conn), false)
}

func TestShopIsToldOfTLS(t *testing.T) {
	g, c := secured(t, nil)
	if a := over(t, g, c, "", crlf("GET / HTTP/1.1", "Host: shop.example", "X-Forwarded-Proto: http")); a.StatusCode != 200 {
		t.Errorf("answered %d", a.StatusCode)
	}
	if raw := <-g.shop.arrived; !strings.Contains(raw, "X-Forwarded-Proto: https\r\n") || strings.Contains(raw, "Proto: http\r\n") {
		t.Errorf("the shop got %q, want it told of https, once", raw)
	}
	_, cookie := passOf(t, over(t, g, c, "", buy))
	if !strings.HasSuffix(cookie, "; HttpOnly; Secure; SameSite=None") {
		t.Errorf("the pass is %q, want it Secure", cookie)
	}
	set := *g.set
	set.TrustedProxies = loopback
	g.proxy.Use(&set)
	<-g.shop.arrived
	over(t, g, c, "", crlf("GET / HTTP/1.1", "Host: shop.example", "X-Forwarded-Proto: http"))
	if raw := <-g.shop.arrived; !strings.Contains(raw, "X-Forwarded-Proto: http\r\n") {
		t.Errorf("the shop got %q, want the word of the trusted hop", raw)
	}
	over(t, g, c, "", crlf("GET / HTTP/1.1", "Host: shop.example"))
	if raw := <-g.shop.arrived; !strings.Contains(raw, "X-Forwarded-Proto: https\r\n") {
		t.Errorf("the shop got %q of a hop that says nothing, want https", raw)
	}
	g.settled()
}

func TestPROXYComesBeforeTLS(t *testing.T) {
	g, c := secured(t, behindBalancer)
	over(t, g, c, announced("203.0.113.7"), crlf("GET / HTTP/1.1", "Host: shop.example"))
	raw := <-g.shop.arrived
	for _, want := range []string{"X-Forwarded-For: 203.0.113.7\r\n", "X-Forwarded-Proto: https\r\n"} {
		if !strings.Contains(raw, want) {
			t.Errorf("the shop got %q, want %q", raw, want)
		}
	}
}

// Clients that say nothing, half a header or half of a handshake hold up nobody, and are
// let go.
func TestSlowBeginnersAreLetGo(t *testing.T) {
	g, c := secured(t, func(s *rules.Set) {
		behindBalancer(s)
		s.Client.Header = 500 * time.Millisecond
	})
	hello := helloOf(t, c)
	var slow []net.Conn
	for _, text := range []string{"", local[:10], local, local + hello[:len(hello)/2]} {
		conn := g.dial()
		io.WriteString(conn, text)
		slow = append(slow, conn)
	}
	if a := over(t, g, c, local, crlf("GET / HTTP/1.1", "Host: shop.example")); a.StatusCode != 200 {
		t.Errorf("answered %d beside slow ones", a.StatusCode)
	}
	for i, conn := range slow {
		if got, err := io.ReadAll(conn); len(got) > 0 && got[0] != 0x15 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("slow client %d: got %q and error %v, want the end or an alert", i, got, err)
		}
	}
	if n := total(counted(t, g.proxy.metrics.handshakes[certs.Slow])); n < 1 {
		t.Errorf("counted %v slow handshakes, want some", n)
	}
}

// helloOf is what a client of TLS sends first.
func helloOf(t *testing.T, c *tls.Config) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { tls.Client(theirs, c).Handshake(); theirs.Close() }()
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestPlainHTTPWhereTLSIsSpoken(t *testing.T) {
	g, _ := secured(t, nil)
	a := g.send("GET / HTTP/1.1\r\n")
	if a.StatusCode != 400 || a.reason() != gate.BadRequest.String() || !strings.Contains(a.body, "https://") || a.err != nil {
		t.Errorf("answered %d %s %q, error %v", a.StatusCode, a.reason(), a.body, a.err)
	}
	if n := total(counted(t, g.proxy.metrics.handshakes[certs.Plain])); n != 1 {
		t.Errorf("counted %v, want 1", n)
	}
}

// A reload shows the new certificate; TLS that was not there does not appear.
func TestReloadedCertificate(t *testing.T) {
	g, c := secured(t, nil)
	a := certstest.New(t)
	next := a.Issue("shop.example", time.Now().Add(2*time.Hour))
	set := *g.set
	set.TLS = &rules.TLS{Cert: next}
	g.proxy.Use(&set)
	c.RootCAs = a.Pool()
	if a := over(t, g, c, "", crlf("GET / HTTP/1.1", "Host: shop.example")); a.StatusCode != 200 || !g.proxy.CertificateEnds().Equal(next.Leaf.NotAfter) {
		t.Errorf("answered %d, ends %v", a.StatusCode, g.proxy.CertificateEnds())
	}
	plain := newRig(t, nil)
	plain.proxy.UseTLS(set.TLS)
	if a := plain.send(crlf("GET / HTTP/1.1", "Host: shop")); a.StatusCode != 200 || !plain.proxy.CertificateEnds().IsZero() {
		t.Errorf("answered %d, ends %v; want it plain as before", a.StatusCode, plain.proxy.CertificateEnds())
	}
}

// A cut answer does not end as TLS ends what is whole.
func TestCutAnswerOverTLSIsSeenAsCut(t *testing.T) {
	g, c := secured(t, nil)
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\nCUT")
	conn := tls.Client(g.dial(), c)
	fmt.Fprint(conn, crlf("GET /p HTTP/1.0", "Host: shop.example"))
	if raw, err := io.ReadAll(conn); err == nil {
		t.Errorf("got %q as if it were whole, want an error", raw)
	}
	eventually(t, "the request to settle", func() bool { return g.probes[schedule].held() == 0 })
	g.settled()
}

// Who leaves is missed beneath everything that stands around the socket.
func TestGoneBeneathTheFront(t *testing.T) {
	a := certstest.New(t)
	p := &Proxy{tls: certs.New(&rules.TLS{Cert: a.Issue("shop.example", time.Now().Add(time.Hour))})}
	f := p.front(&rules.Set{ProxyProtocol: true})
	c, client := linked(t)
	c.Conn = f.wrap(c.Conn)
	c.raw = rawConn(c.Conn)
	if c.gone() {
		t.Error("gone before it left")
	}
	client.Close()
	eventually(t, "the client is missed", c.gone)
	if _, ok := below(c.Conn).(*net.TCPConn); !ok {
		t.Errorf("beneath all is a %T, want the socket", below(c.Conn))
	}
	if !secure(c.Conn) || nameless(c.Conn) {
		t.Error("the connection does not know what it is")
	}
}

// Idle connections go to the lot and come back, whatever stands around their sockets; a
// part of a record or of a request that came meanwhile is not lost.
func TestFrontedConnectionsAreParked(t *testing.T) {
	for name, change := range map[string]func(*rules.Set){"TLS": nil, "PROXY and TLS": behindBalancer} {
		g, c := secured(t, change)
		plain := g.dial()
		if change != nil {
			io.WriteString(plain, announced("203.0.113.7"))
		}
		halves := &halfway{Conn: plain}
		conn := tls.Client(halves, c)
		br := bufio.NewReader(conn)
		parked := func() bool { _, n := g.srv.watch.size(); return n == 1 }
		for i := range 3 {
			raw := crlf(fmt.Sprintf("GET /%d HTTP/1.1", i), "Host: shop.example")
			halves.half = i == 2
			io.WriteString(conn, raw)
			if halves.half {
				halves.rest()
			}
			if a := read(t, br, false); a.StatusCode != 200 {
				t.Errorf("%s: request %d was answered %d", name, i, a.StatusCode)
			}
			<-g.shop.arrived
			eventually(t, "it is parked", parked)
		}
		plain.Close()
	}
}

// halfway sends half of what it is given at first.
type halfway struct {
	net.Conn
	half bool
	left []byte
}

func (h *halfway) Write(b []byte) (int, error) {
	if !h.half {
		return h.Conn.Write(b)
	}
	h.left = append(h.left, b[len(b)/2:]...)
	if _, err := h.Conn.Write(b[:len(b)/2]); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (h *halfway) rest() { h.half = false; h.Conn.Write(h.left) }

func TestHeaderFaultsHaveDifferentNames(t *testing.T) {
	seen := map[string]bool{}
	for name := range maps.Values(headerFaults) {
		if seen[name] {
			t.Errorf("two faults are named %s", name)
		}
		seen[name] = true
	}
}

// Who has sent but a part of a record has asked nothing: it is parked again without a word,
// and gets one answer when the rest is there.
func TestPartOfARecordIsNotAnswered(t *testing.T) {
	g, c := secured(t, nil)
	halves := &halfway{Conn: g.dial()}
	conn := tls.Client(halves, c)
	br := bufio.NewReader(conn)
	parked := func(want int) func() bool {
		return func() bool { _, n := g.srv.watch.size(); return n == want }
	}
	for i := range 2 {
		halves.half = i == 1
		io.WriteString(conn, crlf(fmt.Sprintf("GET /%d HTTP/1.1", i), "Host: shop.example"))
		if halves.half {
			eventually(t, "it is woken", parked(0))
			eventually(t, "it is parked again", parked(1))
			halves.rest()
		}
		if a := read(t, br, false); a.StatusCode != 200 {
			t.Errorf("request %d was answered %d, %s", i, a.StatusCode, a.reason())
		}
		eventually(t, "it is parked", parked(1))
	}
	if n := br.Buffered(); n != 0 {
		t.Errorf("%d bytes more than were asked for", n)
	}
}
