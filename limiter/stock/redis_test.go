package stock_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

func dial(t testing.TB, r rules.Redis) *stock.Redis {
	store := stock.NewRedis(r)
	t.Cleanup(func() { store.Close() })
	return store
}

// loaded is a ledger of 10 red in the store.
func loaded(t testing.TB, store stock.Store) string {
	t.Helper()
	ledger := stocktest.Ledger()
	if _, err := store.Load(t.Context(), ledger, map[string]int{"red": 10}); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return ledger
}

func one(ledger, account string, token int) stock.Ask {
	return stock.Ask{
		Ledger: ledger, Account: account, Item: "red", Token: stocktest.Token(token),
		Units: 1, PerAccount: 1, ReserveFor: time.Hour,
	}
}

func admitted(t testing.TB, store stock.Store, a stock.Ask) {
	t.Helper()
	if d, err := store.Decide(t.Context(), a); err != nil || d.Reason != gate.Admitted {
		t.Fatalf("Decide(%+v) = %+v, %v, want admitted", a, d, err)
	}
}

func counts(t testing.TB, store stock.Store, ledger string, want stock.Counts) {
	t.Helper()
	if p, err := store.Look(t.Context(), ledger); err != nil || p.Items["red"] != want {
		t.Fatalf("counts are %+v, %v, want %+v", p.Items["red"], err, want)
	}
}

func TestRedis(t *testing.T) {
	server := stocktest.StartRedis(t)
	stocktest.Run(t, func(t testing.TB) stock.Store { return dial(t, server.Rules()) })
}

// lossy stands between client and Redis. While lose is set it lets each request through
// and drops the connection instead of passing the reply on.
type lossy struct {
	lose atomic.Int64 // how many replies more
	lost atomic.Int64
}

func (l *lossy) listen(t *testing.T, to string) string {
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { in.Close() })
	wg.Go(func() {
		for {
			client, err := in.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { l.serve(client, to) })
		}
	})
	return in.Addr().String()
}

func (l *lossy) serve(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if l.lose.Load() > 0 && l.lose.Add(-1) >= 0 {
			l.lost.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// behind is a store whose replies can be lost, with a ledger.
func behind(t *testing.T) (*lossy, *stock.Redis, string) {
	server := stocktest.StartRedis(t)
	l, r := &lossy{}, server.Rules()
	r.Addr = l.listen(t, r.Addr)
	store := dial(t, r)
	ledger := loaded(t, store)
	admitted(t, store, one(ledger, "warm", 99)) // the script is known from now on
	if err := store.Settle(t.Context(), ledger, stocktest.Token(99), rules.OutcomeFree); err != nil {
		t.Fatal(err)
	}
	return l, store, ledger
}

func TestRedisLosesReplies(t *testing.T) {
	l, store, ledger := behind(t)
	for i, c := range []struct {
		lost int64
		ok   bool
	}{{1, true}, {2, true}, {1000, false}} {
		l.lose.Store(c.lost)
		l.lost.Store(0)
		a := one(ledger, "account "+string(rune('a'+i)), i)
		_, err := store.Decide(t.Context(), a)
		l.lose.Store(0)
		if (err == nil) != c.ok || l.lost.Load() == 0 {
			t.Fatalf("with %d replies lost (%d were) Decide fails: %v, want success: %v", c.lost, l.lost.Load(), err, c.ok)
		}
		counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 10 - i - 1, Reserved: i + 1})
	}
}

func TestRedisFencesAndSettlesOnce(t *testing.T) {
	l, store, ledger := behind(t)
	a := one(ledger, "alice", 1)
	admitted(t, store, a)
	l.lose.Store(1)
	if ok, err := store.Start(t.Context(), ledger, a.Token, time.Hour); !ok || err != nil {
		t.Fatalf("with its reply lost Start = %v, %v, want true", ok, err)
	}
	counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 9, Sending: 1})
	l.lose.Store(1)
	if err := store.Settle(t.Context(), ledger, a.Token, rules.OutcomeSold); err != nil {
		t.Fatalf("with its reply lost Settle = %v", err)
	}
	counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 9, Sold: 1})
	if l.lost.Load() < 2 {
		t.Fatalf("%d replies were lost, want 2", l.lost.Load())
	}
}

// raw is a plain client, to do to Redis what operators and accidents do.
func raw(t *testing.T, s *stocktest.Server) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisForgetsScripts(t *testing.T) {
	server := stocktest.StartRedis(t)
	store := dial(t, server.Rules())
	ledger := loaded(t, store)
	for i, account := range []string{"alice", "bob"} {
		admitted(t, store, one(ledger, account, i))
		if err := raw(t, server).ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 8, Reserved: 2})
}

func TestRedisForgetsAll(t *testing.T) {
	server := stocktest.StartRedis(t)
	store := dial(t, server.Rules())
	ledger := loaded(t, store)
	admitted(t, store, one(ledger, "alice", 1))
	if err := raw(t, server).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d, err := store.Decide(t.Context(), one(ledger, "bob", 2)); !errors.Is(err, stock.ErrNotLoaded) {
			t.Fatalf("Decide = %+v, %v, want %v", d, err, stock.ErrNotLoaded)
		}
	}
}

func TestRedisDies(t *testing.T) {
	server := stocktest.StartRedis(t)
	r := server.Rules()
	r.Timeout = 100 * time.Millisecond
	store := dial(t, r)
	ledger := loaded(t, store)
	server.Kill()
	failed := make(chan error, 2)
	go func() {
		_, err := store.Decide(t.Context(), one(ledger, "alice", 1))
		failed <- err
		failed <- store.Settle(t.Context(), ledger, stocktest.Token(1), rules.OutcomeFree)
	}()
	for range 2 {
		select {
		case err := <-failed:
			if err == nil || errors.Is(err, stock.ErrNotLoaded) {
				t.Errorf("a dead Redis answered %v, want trouble", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a call with a timeout of 100 ms was not over after 10 s")
		}
	}
}

func TestRedisThatEvicts(t *testing.T) {
	server := stocktest.StartRedis(t, "--maxmemory-policy", "allkeys-lru")
	store := dial(t, server.Rules())
	_, err := store.Load(t.Context(), stocktest.Ledger(), map[string]int{"red": 1})
	for _, err := range []error{err, store.Ready(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "allkeys-lru") {
			t.Errorf("a Redis that evicts: %v, want an error that names the policy", err)
		}
	}
}

// TestRedisClusterKeys: every key of a ledger has its tag, and no key but the ledger's
// and the secret's is made.
func TestRedisClusterKeys(t *testing.T) {
	server := stocktest.StartRedis(t)
	store := dial(t, server.Rules())
	ledger := loaded(t, store)
	admitted(t, store, one(ledger, "alice", 1))
	if err := store.Settle(t.Context(), ledger, stocktest.Token(2), rules.OutcomeFree); err != nil {
		t.Fatal(err)
	}
	keys, err := raw(t, server).Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 5 {
		t.Errorf("keys are %q, %v, want five", keys, err)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "{penstock:"+ledger+"}:") {
			t.Errorf("key %q has no tag of its ledger", key)
		}
	}
}

func TestRedisForgetsCancelled(t *testing.T) {
	server := stocktest.StartRedis(t)
	store := dial(t, server.Rules())
	ledger := loaded(t, store)
	// Remembered is ten minutes; the index is turned back instead.
	c, tag := raw(t, server), "{penstock:"+ledger+"}:"
	for i := range 1000 { // more than one Sweep may move
		if err := store.Settle(t.Context(), ledger, stocktest.Token(i), rules.OutcomeFree); err != nil {
			t.Fatal(err)
		}
		if err := c.ZAdd(t.Context(), tag+"cancelled", redis.Z{Member: fmt.Sprintf("%032x", i)}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := store.Sweep(t.Context(), ledger); n != 0 || err != nil {
		t.Fatalf("Sweep = %d, %v, want 0: nothing was moved", n, err)
	}
	if n, err := c.Exists(t.Context(), tag+"tokens", tag+"cancelled").Result(); n != 0 || err != nil {
		t.Fatalf("%d keys of cancelled tokens are left, %v, want none", n, err)
	}
}
