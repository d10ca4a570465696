package redis_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// sentinel watches over a primary; one is enough to find it dead here.
func sentinel(t *testing.T, primary string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	must(t, err)
	in, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr = in.Addr().String()
	in.Close()
	host, port, _ := net.SplitHostPort(primary)
	_, own, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `port %s
bind 127.0.0.1
sentinel monitor shop %s %s 1
sentinel down-after-milliseconds shop 1000
sentinel failover-timeout shop 5000
`, own, host, port), 0o600))
	cmd := exec.Command(path, conf, "--sentinel", "--dir", t.TempDir())
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return addr
}

// TestSentinelFailsOver: what was acknowledged is there after the fail-over, and the store
// finds the new primary by itself.
func TestSentinelFailsOver(t *testing.T) {
	server := stocktest.StartRedis(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	must(t, raw(t, server.Addr).ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err())
	follower := stocktest.StartRedis(t, "--replicaof", host, port) // a sentinel would not promote one behind a link
	watch := raw(t, sentinel(t, server.Addr))
	eventually(t, "the sentinel knows the replica", func() bool {
		known, err := watch.Do(t.Context(), "sentinel", "replicas", "shop").Slice()
		return err == nil && len(known) == 1
	})
	caughtUp(t, raw(t, server.Addr))
	r := rules.Redis{
		Mode: rules.RedisSentinel, Addrs: []string{watch.Options().Addr}, MasterName: "shop",
		KeyPrefix: "penstock", Timeout: 2 * time.Second, ReplicasAck: 1,
	}
	s := newShop(t, open(t, r), 10)
	s.decide(1, gate.Admitted)
	s.send(1)
	server.Kill()
	eventually(t, "the store has found the new primary", func() bool {
		d, err := s.store.Decide(t.Context(), s.ask(2))
		return err == nil && d.Reason == gate.Admitted
	})
	if role := said(t, raw(t, follower.Addr), "replication", "role"); role != "master" {
		t.Errorf("the replica is %q after the fail-over", role)
	}
	s.counts(stock.Counts{Loaded: 10, Free: 8, Reserved: 1, Sending: 1})
	if r, err := s.store.Start(t.Context(), s.launch(2)); err == nil {
		t.Errorf("with no replica left Start = %v, want trouble", r)
	}
}
