package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"penstock/rules"
)

// A shop behind TLS, of net/http's making: it is known by its certificate, and one that
// is not known gets no order.
func TestOriginBehindTLS(t *testing.T) {
	shop := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.URL.Path, body)
	}))
	shop.EnableHTTP2 = true // which we must not be led into
	shop.StartTLS()
	t.Cleanup(shop.Close)
	known := x509.NewCertPool()
	known.AddCert(shop.Certificate())

	for name, c := range map[string]struct {
		t    rules.ServerTLS
		any  bool
		sold bool
	}{
		"known":        {rules.ServerTLS{Roots: known, ServerName: "example.com"}, false, true},
		"by address":   {rules.ServerTLS{Roots: known, ServerName: "127.0.0.1"}, false, true},
		"another name": {rules.ServerTLS{Roots: known, ServerName: "shop.test"}, false, false},
		"unknown":      {rules.ServerTLS{ServerName: "example.com"}, false, false},
		"anybody":      {rules.ServerTLS{ServerName: "shop.test"}, true, true},
		"who we are":   {rules.ServerTLS{Roots: known, ServerName: "example.com", Cert: []tls.Certificate{shop.TLS.Certificates[0]}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(s *rules.Set) {
				s.Origin.Address = strings.TrimPrefix(shop.URL, "https://")
				s.Origin.TLS, s.Origin.AnyCert = &c.t, c.any
			})
			for range 3 {
				got := g.send(buy)
				if c.sold && got.body != "HTTP/1.1 /buy.php qty=1" || !c.sold && got.reason() != "origin_unreachable" {
					t.Fatalf("got %s %q", got.reason(), got.body)
				}
			}
		})
	}
}
