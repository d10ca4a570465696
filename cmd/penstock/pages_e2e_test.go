package main_test

import (
	"net/http"
	"strings"
	"testing"
)

const keepsPages = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
origin: {url: "http://SHOP", concurrency: 4, max_concurrency: 4}
cache: {max_bytes: 1MiB}
routes:
  - {name: product, match: {path: /}, cache: {ttl: 1m, force: true}}
  - {name: assets, match: {path: "/static/**"}, priority: static, cache: {ttl: 1m}}
  - {name: thanks, match: {path: /thanks}, cache: {ttl: 1m}}
`

// TestKeptPages: the shop's pages say no-store, so that only what is forced is kept; its
// stylesheet says how long it is good for.
func TestKeptPages(t *testing.T) {
	s := startShop(t, "-service=0")
	g := startGateway(t, write(t, t.TempDir(), keepsPages, "SHOP", s.addr))
	for path, want := range map[string]string{"/": "hit", "/static/shop.css": "hit", "/thanks": ""} {
		_, own := fetch(t, "http://"+s.addr+path)
		for i := range 20 {
			resp, err := http.Get("http://" + g.proxy + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if how := resp.Header.Get("Penstock-Cache"); resp.StatusCode != 200 || i > 0 && how != want {
				t.Fatalf("%s, %d: %d from %q, want %q", path, i, resp.StatusCode, how, want)
			}
		}
		if _, kept := fetch(t, "http://"+g.proxy+path); kept != own {
			t.Errorf("%s: the kept page is not the shop's", path)
		}
	}
	all := g.metrics(t)
	for series, want := range map[string]float64{
		`penstock_cache_fetches_total{result="stored",route="product"}`:      1,
		`penstock_cache_fetches_total{result="stored",route="assets"}`:       1,
		`penstock_cache_fetches_total{result="cookie",route="thanks"}`:       1,
		`penstock_cache_requests_total{result="hit",route="product"}`:        20,
		`penstock_cache_requests_total{result="pass",route="thanks"}`:        21,
		`penstock_requests_total{reason="admitted",route="product",sale=""}`: 21,
		`penstock_cache_entries`: 2,
	} {
		if all[series] != want {
			t.Errorf("%s is %v, want %v", series, all[series], want)
		}
	}
}

// TestPreflightLooksAtForcedPages: the one it can name it fetches twice.
func TestPreflightLooksAtForcedPages(t *testing.T) {
	s := startShop(t, "-service=0")
	more := keepsPages + "  - {name: others, match: {path: \"/p/**\"}, cache: {ttl: 1m, force: true}}\n"
	code, said := preflight(t, write(t, t.TempDir(), more, "SHOP", s.addr))
	says(t, code, said, 0, "ok: cache: / is the same twice", "warning: cache: route others keeps pages of /p/[*][*] by force")
	if strings.Contains(said, "thanks") {
		t.Errorf("it looks at what is not forced:\n%s", said)
	}
}
