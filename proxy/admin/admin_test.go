package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestAdminAsksForTheToken(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_probe_total", Help: "A counter to find."}))
	trouble := errors.New("no stock yet")
	h := Handler(Options{Token: "s3cret", Registry: reg, Ready: func(context.Context) error { return trouble }})

	ask := func(path, auth string, wantStatus int, wantBody string) {
		t.Helper()
		r := httptest.NewRequest("GET", path, nil)
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != wantStatus || !strings.Contains(w.Body.String(), wantBody) {
			t.Errorf("GET %s with %q: got %d %q, want %d with %q", path, auth, w.Code, w.Body, wantStatus, wantBody)
		}
	}
	ask("/metrics", "", 401, "token")
	ask("/metrics", "Bearer wrong", 401, "token")
	ask("/metrics", "s3cret", 401, "token")
	ask("/metrics", "Bearer s3cret", 200, "penstock_probe_total")
	ask("/healthz", "Bearer s3cret", 200, "ok")
	ask("/readyz", "Bearer s3cret", 503, "no stock yet")
	trouble = nil
	ask("/readyz", "Bearer s3cret", 200, "ready")
}

// Who forwards untrusted is for operators, also where there is no stock and so no API else.
func TestForwardersAreListed(t *testing.T) {
	var found []Forwarder
	o := Options{Listen: "127.0.0.1:9900", Registry: prometheus.NewRegistry(), Forwarders: func() []Forwarder { return found }}
	ask := func(o Options, host, auth string, wantStatus int, wantBody string) {
		t.Helper()
		r := httptest.NewRequest("GET", "http://"+host+"/api/v1/forwarders", nil)
		r.Header.Set("Authorization", auth)
		w := httptest.NewRecorder()
		Handler(o).ServeHTTP(w, r)
		if w.Code != wantStatus || !strings.Contains(w.Body.String(), wantBody) {
			t.Errorf("%s with %q: got %d %q, want %d with %q", host, auth, w.Code, w.Body, wantStatus, wantBody)
		}
	}
	ask(o, "127.0.0.1:9900", "", 200, `"untrusted":null`)
	found = []Forwarder{{Peer: "192.0.2.7", Last: time.Unix(1e9, 0).UTC()}}
	ask(o, "127.0.0.1:9900", "", 200, `{"untrusted":[{"peer":"192.0.2.7","last":"2001-09-09T01:46:40Z"}]}`)
	ask(o, "evil.example", "", 403, "not the name")
	o.Token = "s3cret"
	ask(o, "evil.example", "Bearer wrong", 401, "token")
	ask(o, "evil.example", "Bearer s3cret", 200, "192.0.2.7")
	o.Forwarders = nil
	ask(o, "127.0.0.1:9900", "Bearer s3cret", 404, "")
}

func TestProbesNeedNoTokenAndShowNoMetrics(t *testing.T) {
	mux := Probes(func(context.Context) error { return nil })
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 404} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("GET %s: got %d, want %d", path, w.Code, want)
		}
	}
}
