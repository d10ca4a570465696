package main_test

import (
	"strings"
	"testing"
)

// TestMetricsAnOperatorReliesOn: after one order every promised metric is there, and
// those that count orders have counted it.
func TestMetricsAnOperatorReliesOn(t *testing.T) {
	s := startShop(t, "-stock=100", "-workers=20")
	g := startGateway(t, write(t, t.TempDir(), impatientOnEmbedded, "SHOP", s.addr))
	if a := buy(t, g.proxy, "one"); a.status != 201 {
		t.Fatalf("the order got %d, want 201", a.status)
	}
	all := g.metrics(t)
	for _, name := range []string{
		"requests_total", "request_duration_seconds_count", "gate_duration_seconds_count", "origin_duration_seconds_count",
		"origin_in_flight", "origin_limit", "origin_limit_level", "origin_limit_phase", "origin_limit_moves_total", "origin_throughput",
		"origin_resident_seconds", "origin_inflation", "origin_elasticity", "queue_depth", "queue_waiting", "crowd_admitted_ratio",
		"queue_wait_seconds_count", "stock_units", "stock_decisions_total",
		"stock_outcomes_total", "store_duration_seconds_count", "store_info", "sold_out_latched", "cache_bytes", "cache_entries", "config_mismatch", "reload_total", "build_info",
		"untrusted_forwarded_total", "untrusted_forwarding_peers", "tls_reload_total", "tls_handshake_errors_total", "proxy_protocol_errors_total",
	} {
		found := false
		for series := range all {
			found = found || series == "penstock_"+name || strings.HasPrefix(series, "penstock_"+name+"{")
		}
		if !found {
			t.Errorf("there is no penstock_%s", name)
		}
	}
	for _, series := range []string{
		`penstock_requests_total{reason="admitted",route="",sale="phone"}`,
		`penstock_stock_decisions_total{reason="admitted",sale="phone"}`,
		`penstock_stock_outcomes_total{outcome="sold",sale="phone"}`,
		`penstock_queue_wait_seconds_count{priority="winner"}`,
		`penstock_store_duration_seconds_count{call="decide"}`,
		`penstock_store_duration_seconds_count{call="start"}`,
		`penstock_store_duration_seconds_count{call="settle"}`,
		`penstock_origin_limit_phase{phase="fixed"}`,
		`penstock_crowd_admitted_ratio`,
	} {
		if all[series] != 1 {
			t.Errorf("%s is %v, want 1", series, all[series])
		}
	}
}
