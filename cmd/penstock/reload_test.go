package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"penstock/rules/config"
)

const reloaded = `
listen: "127.0.0.1:0"
origin: {url: "http://SHOP"}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{visitor: true}]
    stock: {units: 100}
`

// TestAThousandReloadsLeaveNothingBehind: every set of rules has connections to the shop of
// its own, and they go with it.
func TestAThousandReloadsLeaveNothingBehind(t *testing.T) {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	defer shop.Close()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	text := strings.Replace(reloaded, "SHOP", shop.Listener.Addr().String(), 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := build(t.Context(), set, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer g.store.Close()
	front := g.proxy.Server(set)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(l) }()
	defer func() {
		front.Shutdown(t.Context())
		<-served
	}()
	url := "http://" + l.Addr().String() + "/"
	reload := func(times int) {
		for range times {
			g.reread(file)
			resp, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			if resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Fatalf("got %d", resp.StatusCode)
			}
		}
	}
	reload(2)
	goroutines, open := runtime.NumGoroutine(), descriptorsOf(t)
	// What the last few have left is still on its way out, on both ends; what all have left
	// would be ten times as much.
	const few = 64
	for n := range 10 {
		reload(100)
		if g, o := runtime.NumGoroutine(), descriptorsOf(t); g > goroutines+few || o > open+few {
			t.Fatalf("after %d reloads there are %d goroutines and %d descriptors, after 2 there were %d and %d", 100*(n+1), g, o, goroutines, open)
		}
	}
	t.Logf("goroutines %d before, %d after; descriptors %d before, %d after", goroutines, runtime.NumGoroutine(), open, descriptorsOf(t))
}

func descriptorsOf(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
