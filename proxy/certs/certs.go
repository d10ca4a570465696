// Package certs is the TLS side of a listener: the certificate that clients are shown can
// be replaced while connections are open and others are being made, and clients can be
// asked for certificates of their own.
//
// TLS 1.2 and later, HTTP/1.1 only. A handshake happens in the first Read, within whatever
// deadline that has, never where connections are accepted. Session tickets outlive a new
// certificate; they do not outlive a change of whom clients must be from. What it does not
// do: it reads no files, and it has one certificate, not one for each name.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"penstock/rules"
)

// Front is the TLS side of a listener. New makes one.
type Front struct {
	pair   atomic.Pointer[tls.Certificate]
	config atomic.Pointer[tls.Config]

	mu  sync.Mutex
	cas []*x509.Certificate
}

// New makes a front that shows t.
func New(t *rules.TLS) *Front {
	f := &Front{cas: t.ClientCAs}
	f.pair.Store(&t.Cert)
	f.config.Store(f.configFor(t.ClientCAs))
	return f
}

// Use shows t to whoever connects from now on.
func (f *Front) Use(t *rules.TLS) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pair.Store(&t.Cert)
	if !slices.EqualFunc(f.cas, t.ClientCAs, (*x509.Certificate).Equal) {
		f.cas = t.ClientCAs
		f.config.Store(f.configFor(t.ClientCAs)) // with ticket keys of its own
	}
}

func (f *Front) configFor(cas []*x509.Certificate) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.pair.Load(), nil },
	}
	if len(cas) > 0 {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		for _, ca := range cas {
			c.ClientCAs.AddCert(ca)
		}
	}
	return c
}

// Ends is when the certificate in use runs out.
func (f *Front) Ends() time.Time {
	if leaf := f.pair.Load().Leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// Conn is a connection that speaks TLS.
type Conn struct {
	*tls.Conn
	below  *below
	failed func(error, net.Conn)
	shaken bool
	err    error
}

// below is the connection that TLS is spoken on.
type below struct {
	net.Conn
	heard   bool // a byte has come
	closing atomic.Bool
}

func (b *below) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.heard = b.heard || n > 0
	return n, err
}

// goodbye is how long the closing of a connection may wait for room for its last record.
const goodbye = 10 * time.Millisecond

// SetWriteDeadline is what tls.Conn calls to give its last record five seconds. Whoever
// closes many connections, or holds a lock meanwhile, has not got those.
func (b *below) SetWriteDeadline(t time.Time) error {
	if b.closing.Load() {
		t = time.Now().Add(goodbye)
	}
	return b.Conn.SetWriteDeadline(t)
}

// NetConn is the connection itself.
func (b *below) NetConn() net.Conn { return b.Conn }

// Close says so to the client if there is room for it, and closes.
func (c *Conn) Close() error {
	c.below.closing.Store(true)
	return c.Conn.Close()
}

// NetConn is the connection that TLS is spoken on.
func (c *Conn) NetConn() net.Conn { return c.below.Conn }

// Server makes one of c. Of a handshake that fails, failed is told why, once, and what is
// below TLS, where an answer in plain text can be written. One that ends before the client's
// first byte has not failed: balancers look that way whether somebody listens.
func (f *Front) Server(c net.Conn, failed func(error, net.Conn)) *Conn {
	b := &below{Conn: c}
	return &Conn{Conn: tls.Server(b, f.config.Load()), below: b, failed: failed}
}

// Read shakes hands first.
func (c *Conn) Read(b []byte) (int, error) {
	if !c.shaken && c.err == nil {
		if c.err = c.Handshake(); c.err != nil && c.below.heard {
			c.failed(c.err, c.NetConn())
		}
		c.shaken = c.err == nil
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}

// Why a handshake failed, as far as it matters to who runs the gateway.
const (
	Plain       = "plain"       // it was not TLS at all
	Certificate = "certificate" // the client has none, or none that is believed
	Slow        = "slow"
	Other       = "other"
)

// Whys lists them.
var Whys = []string{Plain, Certificate, Slow, Other}

// Why sorts the error of a failed handshake.
func Why(err error) string {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var slow net.Error
	switch {
	case errors.As(err, &record):
		return Plain
	case errors.As(err, &verify), err.Error() == "tls: client didn't provide a certificate":
		return Certificate
	case errors.As(err, &slow) && slow.Timeout():
		return Slow
	}
	return Other
}

// SpeaksHTTP reports whether a failed handshake was a plain HTTP request.
func SpeaksHTTP(err error) bool {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil {
		return false
	}
	switch string(record.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}
