package main_test

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"penstock/proxy/certs/certstest"
)

const flown = `
listen: "HERE:8080"
admin: {listen: "HERE:9900"}
tls: {cert: tls.crt, key: tls.key}
origin: {url: "http://SHOP"}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{cookie: PHPSESSID}, {visitor: true}]
    stock: {units: 100}
    opens: "2026-01-01T00:00:00Z"
`

// loopback is an address of this machine that nobody else uses, so that ports can be named.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(250))
}

// preflight asks for one and returns what it says.
func preflight(t *testing.T, file string, flags ...string) (code int, said string) {
	t.Helper()
	cmd := exec.Command(penstock, append([]string{"preflight", "-config", file}, flags...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("run preflight: %v", err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// says holds that every line is there and how many fail.
func says(t *testing.T, code int, said string, failures int, lines ...string) {
	t.Helper()
	if want := min(failures, 1); code != want || strings.Count("\n"+said, "\nFAIL: ") != failures {
		t.Errorf("exit code %d, want %d and %d failures:\n%s", code, want, failures, said)
	}
	for _, line := range lines {
		if !regexp.MustCompile("(?m)^" + line).MatchString(said) {
			t.Errorf("nothing says %q:\n%s", line, said)
		}
	}
}

func TestPreflight(t *testing.T) {
	shop, here, dir := startShop(t), loopback(), t.TempDir()
	file := write(t, dir, flown, "HERE", here, "SHOP", shop.addr)
	a := certstest.New(t)
	a.Write(a.Issue("shop.example", time.Now().Add(90*24*time.Hour)), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))

	code, said := preflight(t, file)
	says(t, code, said, 0, "ok: config: ", "warning: gateway: none answers", "ok: listen: .*8080 is free", "ok: admin.listen: .*9900 is free",
		"ok: tls: .*is good until", "ok: origin: .* with 200", "ok: store: will be made in", "ok: sale phone: is open", ".*clock: ")

	g := startGateway(t, file)
	code, said = preflight(t, file)
	says(t, code, said, 0, "ok: gateway: one runs", "ok: listen: .* is served", "ok: store: .* is in use", "ok: stock of phone: is loaded as", "ok: trusted_proxies: ")

	// A balancer that is not in trusted_proxies.
	c, err := tls.Dial("tcp", g.proxy, &tls.Config{RootCAs: a.Pool(), ServerName: "shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 30 {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.%d\r\n\r\n", i)
	}
	eventually(t, "the balancer to be noticed", func() bool { return g.metrics(t)["penstock_untrusted_forwarding_peers"] == 1 })
	if n := g.metrics(t)["penstock_tls_cert_expiry_seconds"]; n < 89*24*3600 || n > 90*24*3600 {
		t.Errorf("the certificate runs out in %v s, want 90 days", n)
	}
	peer, _, _ := strings.Cut(c.LocalAddr().String(), ":")
	code, said = preflight(t, file)
	says(t, code, said, 1, "FAIL: trusted_proxies: "+regexp.QuoteMeta(peer)+" forwards for many clients")
	g.says(t, `"level":"ERROR".*untrusted peer forwards.*"peer":"`+regexp.QuoteMeta(peer)+`"`)

	// A renewed certificate is taken without a word; then the stock is paused, and the shop is gone.
	a.Write(a.Issue("shop.example", time.Now().Add(3*24*time.Hour)), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	g.says(t, `"msg":"certificate loaded"`)
	eventually(t, "the reload to be counted", func() bool { return g.metrics(t)[`penstock_tls_reload_total{result="applied"}`] == 1 })
	if code, said := operate(t, g, "sale", "pause", "phone", "-why", "test", "-by", "test"); code != 0 {
		t.Fatal(said)
	}
	shop.kill()
	code, said = preflight(t, file)
	says(t, code, said, 4, "FAIL: tls: .* runs out in less than 7 days", "warning: tls: ", "FAIL: origin: .*cannot be reached.*start the shop", "FAIL: stock of phone: was paused", "FAIL: trusted_proxies")
	if _, said := preflight(t, file, "-days", "2"); strings.Contains(said, "FAIL: tls") {
		t.Errorf("3 days are less than 2:\n%s", said)
	}
}

func TestPreflightOfWhatCannotRun(t *testing.T) {
	here, dir := loopback(), t.TempDir()
	ln, err := net.Listen("tcp", here+":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	plain := strings.Replace(flown, "tls: {cert: tls.crt, key: tls.key}\n", "", 1)
	file := write(t, dir, strings.Replace(plain, "penstock.db", "none/penstock.db", 1), "HERE", here, "SHOP", here+":1")
	code, said := preflight(t, file)
	says(t, code, said, 3, "FAIL: listen: .*is taken, and no gateway answers", "FAIL: origin: ", "FAIL: store: cannot be made in")

	file = write(t, dir, "listen: 8080\norigins: x\n")
	code, said = preflight(t, file)
	says(t, code, said, 3, `FAIL: config: .*penstock\.yaml:1: listen: `, `FAIL: config: .*:2: origins: `)

	if out, err := exec.Command(penstock, "preflight").CombinedOutput(); err == nil || !strings.Contains(string(out), "usage:") {
		t.Errorf("without a file: %v\n%s", err, out)
	}
}
