package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shopCert is a certificate for shop.test that signs itself.
var shopCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, DNSNames: []string{"shop.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// believing is our side of TLS with shop.test.
func believing() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(shopCert().Leaf)
	return &tls.Config{RootCAs: roots, ServerName: "shop.test"}
}

// being is the shop's side, in one version.
func being(version uint16) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{shopCert()}, MinVersion: version, MaxVersion: version}
}

// everyWire runs f without TLS and with each version that we speak.
func everyWire(t *testing.T, f func(*testing.T, *tls.Config)) {
	t.Run("plain", func(t *testing.T) { f(t, nil) })
	t.Run("tls1.2", func(t *testing.T) { f(t, being(tls.VersionTLS12)) })
	t.Run("tls1.3", func(t *testing.T) { f(t, being(tls.VersionTLS13)) })
}

// readable waits until the kernel has bytes for c.
func readable(t *testing.T, c *conn) {
	t.Helper()
	for n := 0; n == 0; runtime.Gosched() {
		err := c.wire.raw.Control(func(fd uintptr) {
			n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
			n = max(n, 0)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Tickets come after the handshake, and on a connection that was warmed nobody has read
// them: it can be read, though the origin has said nothing.
func TestTicketsAreNoAnswer(t *testing.T) {
	conf := being(tls.VersionTLS13)
	conf.ClientAuth = tls.RequestClientCert // the tickets come after our last word, not before
	o := serveOver(t, conf, echo)
	u := reach(t, o, nil)
	if err := u.Warm(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	c := u.idle.conns[0]
	readable(t, c)
	for range 3 {
		if !c.fit(c.until.Add(-1)) {
			t.Fatal("a connection with nothing but tickets on it is not used")
		}
	}
	for range 3 {
		if _, body, err := carry(u, request("POST", "/order", "qty=1")); err != nil || body != "/order" {
			t.Fatalf("got %q, %v", body, err)
		}
	}
	if n := o.dialled(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// An idle connection on which the origin says anything is not used again.
func TestIdleTalk(t *testing.T) {
	for name, talk := range map[string]func(*peer){
		"half a record":    func(p *peer) { p.tcp.Write([]byte{23, 3, 3, 0, 40, 1, 2, 3}) },
		"half of its head": func(p *peer) { p.tcp.Write([]byte{23, 3}) },
		"close_notify":     func(p *peer) { p.CloseWrite() },
		"fin":              func(p *peer) { p.tcp.CloseWrite() },
		"reset":            func(p *peer) { p.reset() },
		"nonsense":         func(p *peer) { p.tcp.Write([]byte("HTTP/1.1 408 Slow\r\n\r\n")) },
		"an answer":        func(p *peer) { p.ok("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			speak := make(chan bool)
			o := serveOver(t, being(tls.VersionTLS12), func(p *peer) {
				p.next()
				p.ok("first")
				<-speak
				talk(p)
				<-p.o.stopped
			})
			u := reach(t, o, nil)
			if _, _, err := carry(u, request("GET", "/", "")); err != nil {
				t.Fatal(err)
			}
			k := u.idle.take(time.Now())
			if k == nil {
				t.Fatal("not fit while the origin is silent")
			}
			defer k.close()
			close(speak)
			for k.fit(k.until.Add(-1)) {
				runtime.Gosched()
			}
			o.stop()
		})
	}
}

// hoard holds back what is written until it is told to let go.
type hoard struct {
	net.Conn
	hold bool
	kept []byte
}

func (h *hoard) Write(p []byte) (int, error) {
	if h.hold {
		h.kept = append(h.kept, p...)
		return len(p), nil
	}
	return h.Conn.Write(p)
}

// What TLS has read already is no less said than what lies on the socket.
func TestTalkInTheBuffer(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		o := serve(t, func(p *peer) {
			h := &hoard{Conn: p.tcp}
			s := tls.Server(h, being(version))
			s.Read(make([]byte, 1<<10))
			h.hold = true
			io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
			io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice")
			h.Conn.Write(h.kept)
			<-p.o.stopped
		})
		u := reach(t, o, func(c *Config) { c.TLS = believing() })
		if _, body, err := carry(u, request("GET", "/", "")); err != nil || body != "first" {
			t.Fatalf("got %q, %v", body, err)
		}
		c := u.idle.conns[0]
		var n int
		c.wire.raw.Control(func(fd uintptr) { n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK) })
		if n > 0 {
			t.Fatal("the second answer is still on the socket: this tests nothing")
		}
		if c.fit(c.until.Add(-1)) {
			t.Error("a connection with another answer in TLS's buffer is used")
		}
	}
}

// A half-written record counts as sent; only where nothing was written there is a second
// attempt.
func TestHalfARecordIsSent(t *testing.T) {
	for takes, want := range map[int]int{0: 2, 1: 1, 20: 1} { // dials by bytes taken
		o := serveOver(t, being(tls.VersionTLS13), echo)
		u := reach(t, o, func(c *Config) { c.Response = 10 * time.Millisecond })
		left, dials, plain := 1<<20, 0, u.dials
		u.dials = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := plain(ctx, network, address)
			if dials++; dials > 1 || err != nil {
				return nc, err
			}
			return limp{nc, &left, syscall.EPIPE}, nil
		}
		if err := u.Warm(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		left = takes
		_, _, err := carry(u, request("POST", "/order", "qty=1"))
		if dials != want || (err == nil) != (want == 2) || err != nil && Unsent(err) {
			t.Errorf("%d bytes taken: %d dials, %v; want %d dials", takes, dials, err, want)
		}
	}
}

// An end without close_notify can be anybody's: a body that ends there was cut.
func TestEndWithoutGoodbye(t *testing.T) {
	for _, goodbye := range []bool{true, false} {
		o := serveOver(t, being(tls.VersionTLS13), func(p *peer) {
			p.next()
			p.say("HTTP/1.0 200 OK\r\n\r\nhello")
			if goodbye {
				p.CloseWrite()
			}
			p.tcp.CloseWrite()
			<-p.o.stopped
		})
		_, body, err := carry(reach(t, o, nil), request("GET", "/", ""))
		if body != "hello" || (err == nil) != goodbye || !goodbye && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("goodbye %v: got %q, %v", goodbye, body, err)
		}
	}
}

// Whom we do not know, or cannot speak with, gets nothing.
func TestWrongPeer(t *testing.T) {
	for name, c := range map[string]struct {
		theirs *tls.Config // nil: plain
		ours   func(*tls.Config)
	}{
		"another name": {being(tls.VersionTLS13), func(c *tls.Config) { c.ServerName = "other.test" }},
		"unknown root": {being(tls.VersionTLS13), func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }},
		"too old":      {being(tls.VersionTLS11), func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }},
		"no TLS":       {nil, func(*tls.Config) {}},
	} {
		t.Run(name, func(t *testing.T) {
			o := serveOver(t, c.theirs, echo)
			u := reach(t, o, func(f *Config) {
				f.TLS = believing()
				c.ours(f.TLS)
			})
			_, _, err := carry(u, request("POST", "/order", "qty=1"))
			if !Unsent(err) || ended(err) != OpDial {
				t.Errorf("got %v, want unsent, %s", err, OpDial)
			}
			o.stop()
			if n := o.delivered("/order"); n != 0 {
				t.Errorf("delivered %d times", n)
			}
		})
	}
}

// A peer that takes the connection and says nothing costs no more than Connect.
func TestHandshakeIsPartOfConnecting(t *testing.T) {
	o := serve(t, func(p *peer) { <-p.o.stopped })
	u := reach(t, o, func(c *Config) {
		c.TLS, c.Connect = believing(), 20*time.Millisecond
	})
	_, err := u.Do(context.Background(), request("POST", "/order", "qty=1"))
	var late *Error
	if !errors.As(err, &late) || !late.Timeout || !late.Unsent {
		t.Errorf("got %v, want a timeout, unsent", err)
	}
	if err := u.Warm(context.Background(), 1); !Unsent(err) {
		t.Errorf("warm: %v", err)
	}
}

// Who we are is shown where it is asked for, and sessions are resumed.
func TestOurCertificate(t *testing.T) {
	conf := being(tls.VersionTLS13)
	conf.NextProtos = []string{"h2", "http/1.1"}
	conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, believing().RootCAs
	var mu sync.Mutex
	var resumed []bool
	o := serveOver(t, conf, func(p *peer) {
		s := p.halfConn.(*tls.Conn).ConnectionState()
		mu.Lock()
		resumed = append(resumed, s.DidResume)
		mu.Unlock()
		p.next()
		p.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n%d%d", len(s.PeerCertificates), len(s.NegotiatedProtocol))
	})
	u := reach(t, o, func(c *Config) { c.TLS.Certificates = []tls.Certificate{shopCert()} })
	for range 2 {
		if _, body, err := carry(u, request("GET", "/", "")); err != nil || body != "18" { // http/1.1 was agreed on
			t.Fatalf("got %q, %v", body, err)
		}
	}
	o.stop()
	if len(resumed) != 2 || resumed[0] || !resumed[1] {
		t.Errorf("resumed: %v, want the second only", resumed)
	}
	anonymous := reach(t, serveOver(t, conf, echo), nil)
	if _, _, err := carry(anonymous, request("GET", "/", "")); err == nil {
		t.Error("an origin that asks who we are answers nobody")
	}
}

// some is n, or a twentieth where each costs a handshake.
func some(c *tls.Config, n int) int {
	if c != nil {
		return n / 20
	}
	return n
}

// However the bytes come in, a record is whole at its end and nowhere else.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 2, 1, 2, 22, 3, 3, 0, 0, 21, 3, 3}, uint8(3))
	f.Add([]byte{23, 3, 3, 1, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		ends := map[int]bool{0: true}
		for at := 0; at+5 <= len(in); {
			at += 5 + int(in[at+3])<<8 + int(in[at+4])
			ends[at] = true
		}
		var r records
		for at := 0; at < len(in); {
			n := min(1+int(step), len(in)-at)
			r.pass(in[at : at+n])
			if at += n; r.whole() != ends[at] {
				t.Fatalf("%v by %d: whole %v after %d bytes, want %v", in, step, r.whole(), at, ends[at])
			}
		}
	})
}
