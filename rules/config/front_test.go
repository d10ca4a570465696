package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/rules"
)

func TestTLS(t *testing.T) {
	f := load(t, "testdata/good/everything.yaml").TLS
	same(t, "files", []string{f.CertFile, f.KeyFile, f.ClientCAFile},
		[]string{"testdata/good/files/front.pem", "testdata/good/files/front.key", "testdata/good/files/ca.pem"})
	if len(f.Cert.Certificate) != 1 || f.Cert.PrivateKey == nil || !slices.Equal(f.Cert.Leaf.DNSNames, []string{"shop.example"}) || len(f.ClientCAs) == 0 {
		t.Errorf("got %d certificates, a key %v, %d CAs", len(f.Cert.Certificate), f.Cert.PrivateKey != nil, len(f.ClientCAs))
	}
	again, err := RereadTLS(f)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "read again", again, f)
}

// issue writes a certificate for the names and its key.
func issue(t *testing.T, dir, name string, from, to time.Time, hosts ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestRereadSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	cert, key := issue(t, dir, "a", now, now.Add(time.Hour), "a.example")
	_, other := issue(t, dir, "b", now, now.Add(time.Hour), "b.example")
	good, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	f := func(t1 rules.TLS, want string) {
		t.Helper()
		if got, err := RereadTLS(&t1); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v and error %v, want %q", got, err, want)
		}
	}
	f(rules.TLS{CertFile: cert, KeyFile: other}, "tls.key: "+other+" holds no key that can be used (it belongs to another certificate)")
	f(rules.TLS{CertFile: filepath.Join(dir, "none"), KeyFile: key}, "none cannot be read")
	f(rules.TLS{CertFile: cert, KeyFile: key, ClientCAFile: key}, "tls.client_ca: "+key+" holds no certificate")
	for i := range len(good) - 1 {
		if i%40 != 0 {
			continue
		}
		if err := os.WriteFile(cert, good[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		f(rules.TLS{CertFile: cert, KeyFile: key}, "tls.cert: "+cert+" holds no certificate that can be used")
	}
}

func TestCertificateWarnings(t *testing.T) {
	dir := t.TempDir()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(0, 3, 0)
	read := func(hosts ...string) *rules.TLS {
		cert, key := issue(t, dir, "a", from, to, hosts...)
		set, err := RereadTLS(&rules.TLS{CertFile: cert, KeyFile: key, ClientCAFile: cert})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	named, nameless := read("shop.example"), read()
	f := func(set *rules.TLS, at time.Time, want ...string) {
		t.Helper()
		got := CertificateWarnings(set, at)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("at %v: got %q, want %q", at, got, want)
		}
	}
	f(nil, from)
	f(&rules.TLS{Cert: tls.Certificate{}}, from)
	f(named, from)
	f(named, from.Add(-time.Second), "tls.cert: is not valid before 2026-01-01T00:00:00Z")
	f(named, to.Add(-soon))
	f(named, to.Add(-soon+time.Second), "tls.cert: runs out at 2026-04-01T00:00:00Z, in 13 days")
	f(named, to.Add(-time.Second), "tls.cert: runs out at 2026-04-01T00:00:00Z, in 0 days")
	f(named, to, "tls.cert: has run out at 2026-04-01T00:00:00Z", `tls.client_ca: "a" has run out`)
	f(nameless, from, "tls.cert: names no host")
}

func TestWebOrigins(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if got := webOrigin(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
	for _, good := range []string{
		"https://shop.example", "http://shop.example", "https://shop.example:8443", "http://shop.example:443", "https://shop.example:80",
		"http://localhost:3000", "https://10.0.0.1", "http://[::1]", "http://[::1]:3000", "https://xn--bcher-kva.example",
	} {
		f(good, true)
	}
	for _, bad := range []string{
		"", "*", "null", "shop.example", "//shop.example", "ftp://shop.example", "HTTPS://shop.example", "https://Shop.example", "https://",
		"https://shop.example/", "https://shop.example?", "https://shop.example#", "https://u@shop.example", "https://shop.example:", "https://shop.example:443",
		"http://shop.example:80", "http://shop.example:0", "http://shop.example:65536", "http://shop.example:08", "https://*.shop.example",
		"http://[::1", "http://::1", "http://[0:0::1]", "http://[::1%a]", "http://[10.0.0.1]", "https://b\u00fccher.example", "https://shop.example ",
	} {
		f(bad, false)
	}
}
