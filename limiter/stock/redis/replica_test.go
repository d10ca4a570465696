package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

func acked(s *stocktest.Server, n int) rules.Redis {
	r := s.Rules()
	r.ReplicasAck, r.Timeout = n, 4*time.Second // a busy machine's replica is slow
	return r
}

// TestNothingIsSentThatReplicasLack: with its replica stalled no start is acknowledged.
// Who takes nothing, and who only reserves, does not wait for replicas.
func TestNothingIsSentThatReplicasLack(t *testing.T) {
	server := stocktest.StartRedis(t)
	_, stall := replica(t, server)
	s := newShop(t, open(t, acked(server, 1)), 10)
	s.decide(1, gate.Admitted)
	s.send(1)

	stall()
	for n := 2; n < 4; n++ {
		s.decide(n, gate.Admitted)
		for range 2 { // the second writes nothing, and must not be taken for acknowledged
			r, err := s.store.Start(t.Context(), s.launch(n))
			if err == nil || r == gate.Admitted || errors.Is(err, redis.ErrNotDone) {
				t.Errorf("with the replica stalled Start = %v, %v, want trouble and no promise", r, err)
			}
		}
		s.settle(s.free(n), nil)
	}
	if err := s.store.SetState(t.Context(), s.ledger, stock.Closed); err == nil {
		t.Error("with the replica stalled the sale was closed for certain")
	}
	s.counts(stock.Counts{Loaded: 10, Free: 9, Sending: 1})
}

// TestPromotion: the primary dies with its replica stalled, and the replica takes over.
// Asynchronously that loses acknowledged starts; with replicas_ack none that was sent.
func TestPromotion(t *testing.T) {
	for _, c := range []struct {
		acks  int
		loses bool
	}{{0, true}, {1, false}} {
		server := stocktest.StartRedis(t)
		follower, stall := replica(t, server)
		s := newShop(t, open(t, acked(server, c.acks)), 100)
		var sent []int
		try := func(n int) {
			s.decide(n, gate.Admitted)
			if r, err := s.store.Start(t.Context(), s.launch(n)); err == nil && r == gate.Admitted {
				sent = append(sent, n)
			}
		}
		for n := range 10 {
			s.decide(n, gate.Admitted)
			s.send(n)
			sent = append(sent, n)
		}
		caughtUp(t, raw(t, server.Addr))
		stall()
		for n := range 2 {
			try(10 + n)
		}
		server.Kill()
		must(t, raw(t, follower.Addr).ReplicaOf(t.Context(), "no", "one").Err())

		after := &shop{t, open(t, follower.Rules()), s.ledger}
		missing := 0
		for _, n := range sent {
			found, _, err := after.store.Entries(t.Context(), stock.Query{Ledger: s.ledger, Token: stocktest.Token(n)})
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 || found[0].State != stock.Sending {
				missing++
			}
		}
		if len(sent) < 10 || (missing > 0) != c.loses {
			t.Errorf("replicas_ack %d: of %d starts that were sent %d are missing, want some: %v", c.acks, len(sent), missing, c.loses)
		}
		after.decide(1000, gate.Admitted) // scripts are not replicated; that does not matter
	}
}

func TestInspect(t *testing.T) {
	plain := stocktest.StartRedis(t)
	follower, _ := replica(t, plain)
	for name, c := range map[string]struct {
		rules rules.Redis
		err   string
		warns []string
	}{
		"replicates":     {plain.Rules(), "", []string{"replicas_ack is 0", "nothing on disk"}},
		"acknowledged":   {acked(plain, 1), "", []string{"nothing on disk"}},
		"too many acks":  {acked(plain, 2), "no order could be sent", nil},
		"a replica":      {follower.Rules(), "it is a replica", nil},
		"evicts":         {stocktest.StartRedis(t, "--maxmemory-policy", "allkeys-lru").Rules(), "allkeys-lru", nil},
		"aof":            {stocktest.StartRedis(t, "--appendonly", "yes").Rules(), "", nil},
		"aof, no fsync":  {stocktest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "no").Rules(), "", []string{"appendfsync no"}},
		"snapshots":      {stocktest.StartRedis(t, "--save", "60 1").Rules(), "", []string{"only saves snapshots"}},
		"CONFIG blocked": {stocktest.StartRedis(t, "--rename-command", "CONFIG", "", "--appendonly", "yes").Rules(), "", []string{"CONFIG is blocked"}},
		"INFO blocked":   {stocktest.StartRedis(t, "--rename-command", "INFO", "").Rules(), "", []string{"its version", "its role"}},
		"cluster node":   {stocktest.StartRedis(t, "--cluster-enabled", "yes").Rules(), "node of a cluster", nil},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, err := open(t, c.rules).Inspect(t.Context())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("Inspect fails with %v, want %q", err, c.err)
			}
			said := strings.Join(warnings, "\n")
			for _, w := range c.warns {
				if !strings.Contains(said, w) {
					t.Errorf("Inspect warns of %q, want %q", warnings, w)
				}
			}
			if len(c.warns) == 0 && len(warnings) > 0 {
				t.Errorf("Inspect warns of %q, want nothing", warnings)
			}
		})
	}
	cluster := stocktest.StartCluster(t)
	if w, err := open(t, cluster.Rules()).Inspect(t.Context()); err != nil || len(w) != 1 {
		t.Errorf("Inspect of a cluster = %q, %v, want one warning", w, err)
	}
	must(t, cluster.Nodes[2].Client(t).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	if _, err := open(t, cluster.Rules()).Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "allkeys-lru") {
		t.Errorf("Inspect of a cluster of which one node evicts: %v", err)
	}
	if err := open(t, cluster.Rules()).Ready(t.Context()); err == nil {
		t.Error("a cluster of which one node evicts is ready")
	}
}
