package proxy

// What stands between an accepted socket and HTTP: the PROXY header of a load balancer,
// then TLS. Both are read by the first Read of the connection, in the goroutine that
// serves it and within client.header, so that nobody who is slow or says nothing holds up
// others. Here, too, is who a request's client is: that depends on both.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"penstock/proxy/certs"
	"penstock/proxy/proxyproto"
	"penstock/rules"
)

// front makes of accepted connections those that HTTP is spoken on; nil: they are.
type front struct {
	p       *Proxy
	tls     *certs.Front // nil: plain
	proxied bool         // connections begin with a PROXY header
}

func (p *Proxy) front(set *rules.Set) *front {
	return &front{p: p, tls: p.tls, proxied: set.ProxyProtocol}
}

func (f *front) wrap(c net.Conn) net.Conn {
	if f == nil {
		return c
	}
	if f.proxied {
		c = proxyproto.New(c, f.trusted, f.noHeader)
	}
	if f.tls != nil {
		c = f.tls.Server(c, f.noHandshake)
	}
	return c
}

func (f *front) trusted(peer netip.Addr) bool { return trusts(f.p.current.Load().set, peer) }

// headerFaults are why connections without a proper PROXY header are closed, as in metrics.
var headerFaults = map[error]string{
	proxyproto.ErrUntrusted: "untrusted", proxyproto.ErrMissing: "missing", proxyproto.ErrMalformed: "malformed",
	proxyproto.ErrTooLong: "too_long", proxyproto.ErrCut: "cut",
}

func (f *front) noHeader(peer net.Addr, err error) {
	f.p.metrics.headers[err].Inc()
	f.p.warn("connection closed", fmt.Errorf("%w: %v", err, peerAddr(peer)))
}

// notTLS is what a client is told that speaks HTTP where TLS is spoken.
const notTLS = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nPenstock-Reason: bad_request\r\nCache-Control: no-store\r\n" +
	"Content-Type: text/plain\r\nContent-Length: 35\r\n\r\nHere TLS is spoken: ask by https://\n"

func (f *front) noHandshake(err error, below net.Conn) {
	f.p.metrics.handshakes[certs.Why(err)].Inc()
	if certs.SpeaksHTTP(err) {
		_ = below.SetWriteDeadline(time.Now().Add(time.Second)) // it is about to be closed anyway
		_, _ = io.WriteString(below, notTLS)
	}
}

// UseTLS shows clients another certificate from now on. Where there was no TLS it changes
// nothing.
func (p *Proxy) UseTLS(t *rules.TLS) {
	if p.tls != nil && t != nil {
		p.tls.Use(t)
	}
}

// CertificateEnds is when the certificate that clients are shown runs out; zero: there is
// none.
func (p *Proxy) CertificateEnds() time.Time {
	if p.tls == nil {
		return time.Time{}
	}
	return p.tls.Ends()
}

// secure reports whether c speaks TLS.
func secure(c net.Conn) bool {
	_, ok := c.(*certs.Conn)
	return ok
}

// nameless reports whether c was passed on by a balancer that did not say for whom: its
// address is the balancer's, and its words are not.
func nameless(c net.Conn) bool {
	if t, ok := c.(*certs.Conn); ok {
		c = t.NetConn()
	}
	h, ok := c.(*proxyproto.Conn)
	return ok && h.Nameless()
}

// reset makes the socket under c end in a reset. What is in between has no say: a proper
// end of TLS would tell the client that all has arrived.
func reset(c net.Conn) error {
	tcp, ok := below(c).(*net.TCPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	err := tcp.SetLinger(0)
	if c != net.Conn(tcp) {
		err = errors.Join(err, tcp.Close())
	}
	return err
}

// client finds who asks. What a peer says of others is believed if it is trusted and the
// words are its own.
func (p *Proxy) client(r *request) {
	peer := r.peer()
	if r.conn != nil && nameless(r.conn.Conn) {
		r.facts.IP, r.trusted = peer, false
		return
	}
	r.facts.IP, r.trusted = clientAddr(r.set, &r.head, peer)
	if !r.trusted && r.head.forwardedFor != nil {
		p.hearsay(r)
	}
}

// clientScheme is how the client speaks, with us or with the trusted hop in front.
func (r *request) clientScheme() string {
	if proto, n := r.head.value("X-Forwarded-Proto"); r.trusted && n == 1 {
		return string(proto)
	}
	return r.scheme()
}

// scheme is how the connection to us speaks.
func (r *request) scheme() string {
	if r.conn != nil && secure(r.conn.Conn) {
		return "https"
	}
	return "http"
}
