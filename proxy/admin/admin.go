// Package admin is the operators' listener: metrics, health, readiness, and the API
// through which sales are run by hand.
//
// It gives nothing to customers and stands on a listener of its own, so it is built
// on net/http. Whoever may reach it off this machine must show the token. It does not
// know what a store is: what its API does is done by whoever implements Sales.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Ready reports what is missing before requests should be sent here; nil: nothing.
type Ready func(context.Context) error

// patience bounds one readiness check.
const patience = 2 * time.Second

// Options are what the listener serves and to whom.
type Options struct {
	Listen   string // the listener's own address
	Token    string // "": none is asked for
	Registry *prometheus.Registry
	Ready    Ready
	Sales    Sales        // nil: none has stock
	Upgrade  Upgrade      // nil: there is no such call
	Changed  func(Change) // hears of every change that was tried

	Bans      Bans      // nil: nobody can be banned by hand
	Standings Standings // nil: there is no such call

	Forwarders func() []Forwarder // nil: nobody looks out for them
}

// Forwarder is a peer that forwards for many clients and is not trusted to.
type Forwarder struct {
	Peer string    `json:"peer"`
	Last time.Time `json:"last"` // when it was last found to
}

// Forwarders is the answer of GET /api/v1/forwarders.
type Forwarders struct {
	Untrusted []Forwarder `json:"untrusted"`
}

// Handler serves /metrics, /healthz, /readyz and /api/ to whoever shows the token.
func Handler(o Options) http.Handler {
	mux := Probes(o.Ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
	if o.Sales != nil || o.Upgrade != nil || o.Bans != nil || o.Standings != nil {
		mux.Handle("/api/", fromHere(o, newAPI(o)))
	}
	if o.Forwarders != nil {
		mux.Handle("GET /api/v1/forwarders", fromHere(o, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, Forwarders{o.Forwarders()}, nil)
		})))
	}
	if o.Token == "" {
		return mux
	}
	want := sha256.Sum256([]byte("Bearer " + o.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(strings.TrimSpace(r.Header.Get("Authorization"))))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the admin token is missing or wrong", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Probes serves /healthz and /readyz alone, for load balancers.
func Probes(ready Ready) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ready\n"))
	})
	return mux
}

// Server makes the HTTP server around h, with patience for slow clients bounded.
func Server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
}
