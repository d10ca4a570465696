package main_test

// What a gateway has found out about its shop, from one process to the next.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

const finding = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
origin: {url: "http://SHOP", max_concurrency: 24, queue: {max_wait: 10s}}
shutdown: {delay: 0s, timeout: 20s}
`

// browse keeps n clients asking for the shop's page until the end of what it returns.
func browse(t *testing.T, g *gateway, n int) (end func()) {
	t.Helper()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			c := &client{addr: g.proxy}
			defer c.close()
			for !closed(stop) {
				c.do(request("GET", "/", "")) // what becomes of it is the gateway's business
			}
		})
	}
	return func() {
		close(stop)
		all.Wait()
	}
}

// TestFoundLimitOutlivesTheProcess: the next one begins where this one ended.
func TestFoundLimitOutlivesTheProcess(t *testing.T) {
	s := startShop(t, "-service=5ms", "-workers=8")
	file := write(t, t.TempDir(), finding, "SHOP", s.addr)
	first := startGateway(t, file)
	end := browse(t, first, 48)
	eventually(t, "the limit to settle", func() bool { return first.metrics(t)[`penstock_origin_limit_phase{phase="settled"}`] == 1 })
	end()
	first.signal(t, syscall.SIGTERM)
	if code := first.wait(t); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}

	raw, err := os.ReadFile(filepath.Join(filepath.Dir(file), "penstock.origin"))
	if err != nil {
		t.Fatalf("read what was found: %v", err)
	}
	var found struct {
		Origin string
		Limit  float64
	}
	if err := json.Unmarshal(raw, &found); err != nil || found.Origin != "tcp "+s.addr || found.Limit < 1 {
		t.Fatalf("found %s (%v), want the limit of %s", raw, err, s.addr)
	}
	second := startGateway(t, file)
	second.says(t, `"the limit found before is used"`)
	if got := second.metrics(t)["penstock_origin_limit"]; got != found.Limit {
		t.Errorf("the next gateway begins with %v, want %v", got, found.Limit)
	}
}
