package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"penstock/proxy/certs"
	"penstock/proxy/certs/certstest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// meet connects a client to a front over TCP, echoes one line, and tells of a failure of
// the front's side.
func meet(t *testing.T, f *certs.Front, c *tls.Config) (state tls.ConnectionState, why string, client error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	failed := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := ln.Accept()
		if err != nil {
			return
		}
		conn := f.Server(raw, func(err error, below net.Conn) {
			if below != raw {
				t.Error("what is below TLS is not the socket")
			}
			failed <- certs.Why(err)
		})
		defer conn.Close()
		b := make([]byte, 5)
		if _, err := io.ReadFull(conn, b); err == nil {
			conn.Write(b)
		}
	}()
	conn, err := tls.Dial("tcp", ln.Addr().String(), c)
	if err == nil {
		defer conn.Close()
		io.WriteString(conn, "hello")
		_, err = io.ReadFull(conn, make([]byte, 5))
		state = conn.ConnectionState()
	}
	<-done
	select {
	case why = <-failed:
	default:
	}
	return state, why, err
}

func TestShowsWhatIsInUse(t *testing.T) {
	a := certstest.New(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	one, two := a.Issue("shop.example", until), a.Issue("shop.example", until.Add(time.Minute))
	f := certs.New(&rules.TLS{Cert: one})
	client := &tls.Config{RootCAs: a.Pool(), ServerName: "shop.example", NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	see := func(want tls.Certificate, resumed bool) {
		t.Helper()
		s, why, err := meet(t, f, client)
		if err != nil || why != "" {
			t.Fatalf("got error %v and %q", err, why)
		}
		if !s.PeerCertificates[0].Equal(want.Leaf) || s.DidResume != resumed || s.NegotiatedProtocol != "http/1.1" {
			t.Errorf("serial %v, resumed %v, protocol %q; want %v, %v and http/1.1",
				s.PeerCertificates[0].SerialNumber, s.DidResume, s.NegotiatedProtocol, want.Leaf.SerialNumber, resumed)
		}
	}
	see(one, false)
	see(one, true)
	f.Use(&rules.TLS{Cert: two})
	if !f.Ends().Equal(two.Leaf.NotAfter) {
		t.Errorf("ends %v, want %v", f.Ends(), two.Leaf.NotAfter)
	}
	see(one, true) // a ticket outlives the certificate
	client.ClientSessionCache = nil
	see(two, false)
}

func TestWhoIsTurnedAway(t *testing.T) {
	a := certstest.New(t)
	hour := time.Now().Add(time.Hour)
	f := certs.New(&rules.TLS{Cert: a.Issue("shop.example", hour)})
	old := &tls.Config{RootCAs: a.Pool(), ServerName: "shop.example", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if _, why, err := meet(t, f, old); err == nil || why != certs.Other {
		t.Errorf("TLS 1.1: got error %v and %q, want one and %q", err, why, certs.Other)
	}
	h2 := &tls.Config{RootCAs: a.Pool(), ServerName: "shop.example", NextProtos: []string{"h2"}}
	if _, why, err := meet(t, f, h2); err == nil || why != certs.Other {
		t.Errorf("HTTP/2 alone: got error %v and %q, want one and %q", err, why, certs.Other)
	}
}

func TestClientCertificates(t *testing.T) {
	a, others := certstest.New(t), certstest.New(t)
	hour := time.Now().Add(time.Hour)
	front := &rules.TLS{Cert: a.Issue("shop.example", hour), ClientCAs: []*x509.Certificate{a.Cert}}
	f := certs.New(front)
	client := func(shows ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: a.Pool(), ServerName: "shop.example", ClientSessionCache: tls.NewLRUClientSessionCache(4),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(shows) == 0 {
					return new(tls.Certificate), nil
				}
				return &shows[0], nil
			}}
	}
	good := client(a.Issue("cdn", hour))
	for _, c := range []struct {
		name   string
		client *tls.Config
		why    string
	}{
		{"signed", good, ""},
		{"signed, again", good, ""},
		{"none", client(), certs.Certificate},
		{"of another authority", client(others.Issue("cdn", hour)), certs.Certificate},
		{"run out", client(a.Issue("cdn", time.Now().Add(-time.Minute))), certs.Certificate},
	} {
		if _, why, err := meet(t, f, c.client); why != c.why || (err == nil) != (c.why == "") {
			t.Errorf("%s: got error %v and %q, want %q", c.name, err, why, c.why)
		}
	}
	// Who was let in by one authority is not let in by a ticket once it is another's turn.
	f.Use(&rules.TLS{Cert: front.Cert, ClientCAs: []*x509.Certificate{others.Cert}})
	if _, why, err := meet(t, f, good); err == nil || why != certs.Certificate {
		t.Errorf("after the change: got error %v and %q, want %q", err, why, certs.Certificate)
	}
	if s, why, err := meet(t, f, client(others.Issue("cdn", hour))); err != nil || why != "" || s.DidResume {
		t.Errorf("the other authority's: got error %v and %q", err, why)
	}
}

// What is not TLS is told apart from what is.
func TestPlain(t *testing.T) {
	a := certstest.New(t)
	f := certs.New(&rules.TLS{Cert: a.Issue("shop.example", time.Now().Add(time.Hour))})
	for text, want := range map[string]struct {
		why  string
		http bool
	}{
		"GET / HTTP/1.1\r\n":           {certs.Plain, true},
		"POST /buy.php HTTP/1.1\r\n":   {certs.Plain, true},
		"SSH-2.0-OpenSSH_9.2p1\r\n":    {certs.Plain, false},
		"\x16\x03\x01\x02\x00\x01\x00": {certs.Other, false},
		"":                             {"", false},
	} {
		var why string
		var http bool
		conn := f.Server(&script{Reader: strings.NewReader(text)}, func(err error, _ net.Conn) {
			why, http = certs.Why(err), certs.SpeaksHTTP(err)
		})
		for range 2 {
			if n, err := conn.Read(make([]byte, 10)); n != 0 || err == nil {
				t.Errorf("%q: read %d bytes and error %v", text, n, err)
			}
		}
		if why != want.why || http != want.http {
			t.Errorf("%q: %q, HTTP %v; want %q, %v", text, why, http, want.why, want.http)
		}
	}
	for text, want := range map[string]int{"\x16\x03": 1, "": 0} {
		var why []string
		late := io.MultiReader(strings.NewReader(text), iotest.ErrReader(os.ErrDeadlineExceeded))
		conn := f.Server(&script{Reader: late}, func(err error, _ net.Conn) { why = append(why, certs.Why(err)) })
		conn.Read(make([]byte, 1))
		conn.Read(make([]byte, 1))
		if len(why) != want || want > 0 && why[0] != certs.Slow {
			t.Errorf("a client that is late behind %q: %q, want %q %d times", text, why, certs.Slow, want)
		}
	}
}

// Closing does not wait for a client that takes nothing.
func TestCloseIsPrompt(t *testing.T) {
	a := certstest.New(t)
	pair := a.Issue("shop.example", time.Now().Add(time.Hour))
	synctest.Test(t, func(t *testing.T) {
		f := certs.New(&rules.TLS{Cert: pair})
		ours, theirs := net.Pipe()
		defer theirs.Close()
		conn := f.Server(ours, func(err error, _ net.Conn) { t.Errorf("the handshake failed: %v", err) })
		client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) // it is another year in here
		go io.WriteString(client, "x")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		conn.Close() // a pipe has no room, and nobody reads the last record
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// script is a connection that says what it was given.
type script struct {
	net.Conn
	io.Reader
}

func (s *script) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }
