package upstream

// A second opinion on TLS: an origin that is not made of the same library.

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl runs openssl s_server as a shop and gives its address.
func openssl(t *testing.T, flags ...string) string {
	t.Helper()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("no openssl here; make needs gets it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cert, dir := shopCert(), t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(dir, "shop.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(both, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, tool, append([]string{"s_server", "-4", "-accept", "0", "-cert", both, "-key", both, "-www"}, flags...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
			go func() {
				for lines.Scan() { // or it blocks
				}
			}()
			return strings.Replace(addr, "0.0.0.0", "127.0.0.1", 1)
		}
	}
	t.Fatal("openssl does not say where it listens")
	return ""
}

// Its tickets make no difference to a connection that was warmed, and its answers, which
// end where the connection does, end well.
func TestOpenSSL(t *testing.T) {
	for flag, version := range map[string]uint16{"-tls1_2": tls.VersionTLS12, "-tls1_3": tls.VersionTLS13} {
		t.Run(flag, func(t *testing.T) {
			u := New(Config{
				Network: "tcp", Address: openssl(t, flag), TLS: believing(),
				Connect: time.Minute, Response: time.Minute, IdleBody: time.Minute, MaxIdle: 1,
			})
			defer u.Close()
			if err := u.Warm(context.Background(), 1); err != nil {
				t.Fatal(err)
			}
			c := u.idle.conns[0]
			if got := c.tls.ConnectionState().Version; got != version {
				t.Fatalf("version %x, want %x", got, version)
			}
			if version == tls.VersionTLS13 {
				readable(t, c)
			}
			if !c.fit(c.until.Add(-1)) {
				t.Fatal("a warm connection is not used")
			}
			e, err := u.Do(context.Background(), request("GET", "/", ""))
			if err != nil || e.c != c {
				t.Fatalf("not answered on the warm connection: %v", err)
			}
			defer e.Close()
			var page strings.Builder
			if _, err := bufio.NewReader(e).WriteTo(&page); err != nil || !e.UntilClose || !strings.Contains(page.String(), "s_server") {
				t.Errorf("until close %v, %v: %q", e.UntilClose, err, page.String())
			}
		})
	}
}
