package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"penstock/proxy/certs/certstest"
	"penstock/rules"
)

// said runs one look of a preflight and returns its lines.
func said(f *flight, look func()) string {
	var out bytes.Buffer
	f.out = &out
	look()
	return out.String()
}

// A certificate has to be good for the days asked for, and until the last sale is over.
func TestPreflightLooksAtTheCertificate(t *testing.T) {
	a := certstest.New(t)
	now := time.Now()
	for _, c := range []struct {
		name string
		good time.Duration
		sale rules.Sale
		want string // how the lines begin
	}{
		{"good", 30 * 24 * time.Hour, rules.Sale{}, "ok"},
		{"nearly", 10 * 24 * time.Hour, rules.Sale{}, "warning ok"},
		{"too soon", 6 * 24 * time.Hour, rules.Sale{}, "warning FAIL"},
		{"over", -time.Hour, rules.Sale{}, "warning FAIL"},
		{"before the sale closes", 30 * 24 * time.Hour, rules.Sale{Name: "phone", Opens: now, Closes: now.Add(31 * 24 * time.Hour)}, "ok FAIL"},
		{"before the sale opens", 30 * 24 * time.Hour, rules.Sale{Name: "phone", Opens: now.Add(31 * 24 * time.Hour)}, "ok FAIL"},
		{"after the sale", 30 * 24 * time.Hour, rules.Sale{Name: "phone", Opens: now, Closes: now.Add(29 * 24 * time.Hour)}, "ok"},
	} {
		f := &flight{now: now, days: 7, set: &rules.Set{
			TLS: &rules.TLS{CertFile: "tls.crt", Cert: a.Issue("shop.example", now.Add(c.good))}, Sales: []*rules.Sale{&c.sale},
		}}
		text := said(f, f.certificate)
		var levels []string
		for line := range strings.Lines(text) {
			level, _, _ := strings.Cut(line, ": ")
			levels = append(levels, level)
		}
		if got := strings.Join(levels, " "); got != c.want || f.failed != strings.Count(c.want, "FAIL") || f.warnings != strings.Count(c.want, "warning") {
			t.Errorf("%s: got %s, want %s:\n%s", c.name, got, c.want, text)
		}
	}
}

// The shop's first page, its clock, and pages that are not the same twice.
func TestPreflightLooksAtTheShop(t *testing.T) {
	var asked atomic.Int64
	var hosts []string
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts = append(hosts, r.Host)
		switch r.URL.Path {
		case "/own":
			fmt.Fprintf(w, "visitor %d", asked.Add(1))
		case "/same":
			fmt.Fprint(w, "all alike")
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
		default:
			w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer shop.Close()
	f := &flight{now: time.Now(), set: &rules.Set{
		Origin: rules.Origin{Network: "tcp", Address: shop.Listener.Addr().String(), ConnectTimeout: time.Minute, ResponseTimeout: time.Minute, IdleBodyTimeout: time.Minute},
		Sales:  []*rules.Sale{{}, {Match: rules.Match{Host: "shop.example"}}},
	}}
	for _, c := range []struct {
		look func()
		want []string
	}{
		{func() { // the same behind TLS, as the file says whom to believe
			over := httptest.NewTLSServer(http.NotFoundHandler())
			defer over.Close()
			plain := f.set.Origin
			f.set.Origin.Address, f.set.Origin.TLS = over.Listener.Addr().String(), &rules.ServerTLS{Roots: x509.NewCertPool(), ServerName: "example.com"}
			f.set.Origin.TLS.Roots.AddCert(over.Certificate())
			f.origin()
			f.set.Origin = plain
		}, []string{"ok: origin: ", "with 404"}},
		{f.origin, []string{"warning: origin: ", "with 503", "warning: clock: the shop's clock is "}},
		{func() { f.differs("/own") }, []string{"warning: cache: /own is not the same twice"}},
		{func() { f.differs("/same") }, []string{"ok: cache: /same"}},
		{func() { f.differs("/cut") }, []string{"warning: cache: /cut takes the request and breaks off"}},
	} {
		text := said(f, c.look)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("got\n%swant %q", text, want)
			}
		}
	}
	if hosts[0] != "shop.example" || f.failed != 0 {
		t.Errorf("the shop was asked for %q, and %d looks failed", hosts[0], f.failed)
	}
}
