package config

import (
	"crypto/x509"
	"os"
	"slices"
	"testing"

	"penstock/rules"
)

func TestOriginTLS(t *testing.T) {
	o := load(t, "testdata/good/secure.yaml").Origin
	same(t, "address", [2]string{o.Network, o.Address}, [2]string{"tcp", "shop.example:443"})
	ca, err := os.ReadFile("testdata/good/files/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) || o.TLS == nil || !roots.Equal(o.TLS.Roots) {
		t.Fatalf("roots: got %+v, want those of ca.pem", o.TLS)
	}
	if len(o.TLS.Cert) != 1 || o.TLS.Cert[0].PrivateKey == nil || o.TLS.ServerName != "origin.example" || o.AnyCert {
		t.Errorf("got %+v, anybody %v", o.TLS, o.AnyCert)
	}

	any := load(t, "testdata/good/insecure.yaml")
	same(t, "address", any.Origin.Address, "[::1]:8443")
	same(t, "tls", any.Origin.TLS, &rules.ServerTLS{ServerName: "::1"})
	if got := Warnings(any); !any.Origin.AnyCert || len(got) != 1 || !slices.Contains(got, "origin.tls.insecure_skip_verify: whoever answers is taken for the shop, orders and passwords are sent to anybody in between") {
		t.Errorf("anybody %v, warnings %q", any.Origin.AnyCert, got)
	}
	if got := Warnings(load(t, "testdata/good/secure.yaml")); len(got) != 0 {
		t.Errorf("warnings %q, want none", got)
	}
}
