package config

// What stands between a socket and the first request: the gateway's own certificate, and
// the pages elsewhere that may ask a sale. Files are read at load; whether a certificate
// has run out depends on the time, and so is a warning.

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"penstock/rules"
)

// front reads the certificate that clients are shown, and whom theirs must be from.
func front(v value) *rules.TLS {
	if v.node == nil {
		return nil
	}
	t := &rules.TLS{}
	cert, key, ca := v.at("cert"), v.at("key"), v.at("client_ca")
	hasCert, hasKey := cert.require("cert: tls.crt"), key.require("key: tls.key")
	if hasCert && hasKey {
		t.CertFile, t.KeyFile = cert.fileOrNone(), key.fileOrNone()
		if pair := keyPair(cert, key); len(pair) == 1 {
			t.Cert = pair[0]
		}
	}
	if t.ClientCAFile = ca.fileOrNone(); t.ClientCAFile != "" {
		_, t.ClientCAs = ca.certificates()
	}
	return t
}

// RereadTLS reads the files of t again. The error names the file and what is wrong.
func RereadTLS(t *rules.TLS) (*rules.TLS, error) {
	r := &reader{}
	node := &yaml.Node{Kind: yaml.MappingNode}
	for key, file := range map[string]string{"cert": t.CertFile, "key": t.KeyFile, "client_ca": t.ClientCAFile} {
		node.Content = append(node.Content, scalar(key), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: file, Style: yaml.DoubleQuotedStyle})
	}
	again := front(value{r: r, key: root.kid("tls"), name: "tls"}.with(0, node))
	if len(r.faults) == 0 {
		return again, nil
	}
	var why []error
	for _, f := range r.faults.sorted() {
		why = append(why, fmt.Errorf("%s: %s", f.Key, f.Wrong))
	}
	return nil, errors.Join(why...)
}

// soon is how long before its end a certificate is worth a word.
const soon = 14 * 24 * time.Hour

// CertificateWarnings says what will surprise of the gateway's certificate at a time: one
// line each, as Warnings does.
func CertificateWarnings(t *rules.TLS, at time.Time) []string {
	if t == nil || t.Cert.Leaf == nil {
		return nil
	}
	var all []string
	warn := func(format string, args ...any) { all = append(all, "tls.cert: "+fmt.Sprintf(format, args...)) }
	switch c := t.Cert.Leaf; {
	case at.Before(c.NotBefore):
		warn("is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	case !at.Before(c.NotAfter):
		warn("has run out at %s: clients will not connect", c.NotAfter.UTC().Format(time.RFC3339))
	case c.NotAfter.Sub(at) < soon:
		warn("runs out at %s, in %d days", c.NotAfter.UTC().Format(time.RFC3339), int(c.NotAfter.Sub(at)/(24*time.Hour)))
	}
	if c := t.Cert.Leaf; len(c.DNSNames)+len(c.IPAddresses) == 0 {
		warn("names no host (no subject alternative name): browsers refuse it")
	}
	for _, c := range t.ClientCAs {
		if !at.Before(c.NotAfter) {
			all = append(all, fmt.Sprintf("tls.client_ca: %q has run out at %s: its clients are refused", c.Subject.CommonName, c.NotAfter.UTC().Format(time.RFC3339)))
		}
	}
	return all
}

// origins reads the pages that may ask; nil: the shop alone answers for them.
func origins(v value) []string {
	if v.node == nil {
		return nil
	}
	list := v.at("origins")
	list.require(`origins: ["https://shop.example"]`)
	var all []string
	seen := map[string]bool{}
	for _, e := range list.some() {
		o := e.text()
		switch {
		case o == "":
		case o == "*" || o == "null":
			e.fault(anyOrigin, o)
		case !webOrigin(o):
			e.fault(notWebOrigin, o)
		case seen[o]:
			e.fault(repeated, o)
		default:
			seen[o] = true
			all = append(all, o)
		}
	}
	return all
}

// webOrigin reports whether s is an origin as browsers send it (RFC 6454, 6.2): what they
// would never send would never match.
func webOrigin(s string) bool {
	scheme, host, ok := strings.Cut(s, "://")
	usual, known := map[string]string{"http": "80", "https": "443"}[scheme]
	if !ok || !known {
		return false
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		port := host[i+1:]
		if n, ok := parseInteger(port); !ok || n < 1 || n > 65535 || port == usual {
			return false
		}
		host = host[:i]
	}
	if name, v6 := strings.CutPrefix(host, "["); v6 {
		ip, err := netip.ParseAddr(strings.TrimSuffix(name, "]"))
		return err == nil && ip.Is6() && "["+ip.WithZone("").String()+"]" == host
	}
	return hostForm.MatchString(host)
}
