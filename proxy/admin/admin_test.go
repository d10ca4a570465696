package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

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
