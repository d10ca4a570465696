package rehearse

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"penstock/rules"
)

// post sends one request and does not follow where the answer leads.
func post(t *testing.T, url string) *rules.OriginAnswer {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("qty=1"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &rules.OriginAnswer{Status: resp.StatusCode, Body: b, Header: func(name string) (string, bool) {
		v := resp.Header.Values(name)
		return strings.Join(v, ""), len(v) > 0
	}}
}

func TestMeasure(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/look" || r.Host != "shop.example" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	address := strings.TrimPrefix(srv.URL, "http://")
	if c, err := measure(t.Context(), address, "shop.example", "/look", 4); err != nil || c.rate <= 0 || c.at != 4 || c.p99 <= 0 {
		t.Errorf("%+v, %v, want some pages", c, err)
	}
	if c, err := measure(t.Context(), address, "shop.example", "/", 1); err != nil || c.rate != 0 {
		t.Errorf("%+v, %v, want no page: all are 404", c, err)
	}
	srv.Close()
	if _, err := measure(t.Context(), address, "shop.example", "/look", 1); err == nil {
		t.Error("nobody there: want an error")
	}
}
