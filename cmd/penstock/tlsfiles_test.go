package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/proxy/certs/certstest"
	"penstock/rules"
	"penstock/rules/config"
)

// TestCertificateFiles: a pair that has changed is taken when it has stopped changing;
// whatever is wrong with it is told once and changes nothing.
func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	a := certstest.New(t)
	now := time.Now()
	one, two := a.Issue("shop.example", now.Add(time.Hour)), a.Issue("shop.example", now.Add(2*time.Hour))
	a.Write(one, cert, key)
	tls, err := config.RereadTLS(&rules.TLS{CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	set := &rules.Set{TLS: tls}
	var used []*rules.TLS
	var told []string
	f := &tlsFiles{set: func() *rules.Set { return set }, use: func(t *rules.TLS) { used = append(used, t) }, told: func(err error) {
		if err == nil {
			told = append(told, "taken")
		} else {
			told = append(told, err.Error())
		}
	}}
	f.ends = func() time.Time { return now.Add(time.Hour) }
	f.done = looks(tls)
	f.last = f.done
	looking := func(times int, uses int, says string) {
		t.Helper()
		for range times {
			f.look(now)
		}
		if got := strings.Join(told, " | "); len(used) != uses || !strings.Contains(got, says) || (says == "") != (got == "") || strings.Count(got, " | ") > 0 {
			t.Fatalf("taken %d times and told %q, want %d and %q", len(used), got, uses, says)
		}
		told = nil
	}
	looking(3, 0, "")
	a.Write(two, cert, key)
	looking(1, 0, "") // it may be half written
	looking(1, 1, "taken")
	looking(3, 1, "")
	if !used[0].Cert.Leaf.Equal(two.Leaf) {
		t.Errorf("took %v, want %v", used[0].Cert.Leaf.SerialNumber, two.Leaf.SerialNumber)
	}
	three := a.Issue("shop.example", now.Add(3*time.Hour))
	a.Write(three, cert, filepath.Join(dir, "later"))
	looking(3, 1, "belongs to another certificate")
	looking(3, 1, "")
	if err := os.Rename(filepath.Join(dir, "later"), key); err != nil {
		t.Fatal(err)
	}
	looking(2, 2, "taken")
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	looking(4, 2, "cannot be read")
	a.Write(a.Issue("shop.example", now.Add(-time.Hour)), cert, key)
	looking(4, 2, "has run out")
	whole, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	f.ends = func() time.Time { return now.Add(-time.Minute) }
	a.Write(a.Issue("shop.example", now.Add(-time.Second)), cert, key)
	looking(4, 3, "taken") // it is no worse than what is in use
	a.Write(three, cert, key)
	if err := os.WriteFile(key, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	looking(2, 3, "no private key that can be read")
	a.Write(three, cert, key)
	looking(2, 4, "taken")
	set = &rules.Set{}
	looking(2, 4, "")
}

// What changes with a restart only, and what does not.
func TestTLSAndRestarts(t *testing.T) {
	with := func(name string) *rules.Set { return &rules.Set{TLS: &rules.TLS{CertFile: name}} }
	for _, c := range []struct {
		old, next *rules.Set
		want      string
	}{
		{with("a"), with("b"), ""},
		{with("a"), &rules.Set{}, "tls"},
		{&rules.Set{}, with("a"), "tls"},
		{&rules.Set{}, &rules.Set{ProxyProtocol: true}, "client_ip.proxy_protocol"},
	} {
		if err := needsRestart(c.old, c.next); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want+": ") {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
