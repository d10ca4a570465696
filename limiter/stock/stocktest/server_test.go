package stocktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// through is a client that tries once and waits a moment.
func through(t *testing.T, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, ReadTimeout: 200 * time.Millisecond, ContextTimeoutEnabled: true, PoolSize: 1,
	})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestServerComesBackWithWhatItKept(t *testing.T) {
	for _, kept := range []bool{true, false} {
		var args []string
		if kept {
			args = []string{"--appendonly", "yes", "--appendfsync", "always"}
		}
		s := StartRedis(t, args...)
		c := s.Client(t)
		if err := c.Set(t.Context(), "a", "b", 0).Err(); err != nil {
			t.Fatal(err)
		}
		s.Restart(t)
		if n, err := c.Exists(t.Context(), "a").Result(); err != nil || (n == 1) != kept {
			t.Errorf("after a restart there are %d keys, %v, want them kept: %v", n, err, kept)
		}
	}
}

func TestServerPauses(t *testing.T) {
	s := StartRedis(t)
	c := through(t, s.Addr)
	s.Pause()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("a server that is stopped answers")
	}
	s.Continue()
	s.await(t, "answer", func(ctx context.Context) bool { return c.Ping(ctx).Err() == nil })
}

func TestReplicaFollows(t *testing.T) {
	primary := StartRedis(t)
	replica := StartReplica(t, primary)
	if err := primary.Client(t).Set(t.Context(), "a", "b", 0).Err(); err != nil {
		t.Fatal(err)
	}
	c := replica.Client(t)
	replica.await(t, "have the key", func(ctx context.Context) bool { return c.Exists(ctx, "a").Val() == 1 })
}

func TestSentinelKnowsThePrimary(t *testing.T) {
	primary := StartRedis(t)
	r := StartSentinel(t, primary).Rules()
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: r.MasterName, SentinelAddrs: r.Addrs})
	defer c.Close()
	if err := c.Set(t.Context(), "a", "b", 0).Err(); err != nil || primary.Client(t).Exists(t.Context(), "a").Val() != 1 {
		t.Errorf("set by way of the sentinel: %v", err)
	}
}

func TestLossy(t *testing.T) {
	s, l := StartRedis(t), NewLossy(t)
	l.Front(s.Addr)
	direct := s.Client(t)
	for i, c := range []struct {
		name  string
		spoil func()
		fails bool
		done  bool // at once
	}{
		{"healed", l.Heal, false, true},
		{"lost", func() { l.Lose(1) }, true, true},
		{"swallowed", func() { l.Swallow(1) }, true, true},
		{"cut", func() { l.Cut(2) }, true, true},
		{"split", func() { l.Split(true) }, false, true},
		{"held", func() { l.Hold(1) }, true, false},
	} {
		client, key := through(t, l.Addr), fmt.Sprint("key ", i)
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Fatalf("%s: a healthy connection: %v", c.name, err)
		}
		was := l.Faults()
		c.spoil()
		err := client.Set(t.Context(), key, "x", 0).Err()
		if (err != nil) != c.fails || (l.Faults() > was) != c.fails {
			t.Errorf("%s: %v after %d faults, want it to fail: %v", c.name, err, l.Faults()-was, c.fails)
		}
		if n := direct.Exists(t.Context(), key).Val(); (n == 1) != c.done {
			t.Errorf("%s: %d keys, want it done: %v", c.name, n, c.done)
		}
		l.Split(false)
		l.Heal()
		s.await(t, "have "+key, func(ctx context.Context) bool { return direct.Exists(ctx, key).Val() == 1 })
	}
}

func TestClusterMovesASlotInUse(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *Cluster{"plain": StartCluster, "lossy": StartLossyCluster} {
		c := start(t)
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Rules().Addrs})
		defer client.Close()
		const keys = 5
		for i := range keys {
			if err := client.Set(t.Context(), fmt.Sprint("{tag}", i), i, 0).Err(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		steps, slot := 0, c.do(t, c.Nodes[0], "CLUSTER", "KEYSLOT", "{tag}").(int64)
		before := c.owner(t, slot)
		c.Migrate(t, "{tag}", func() {
			steps++
			for i := range keys {
				if n, err := client.Get(t.Context(), fmt.Sprint("{tag}", i)).Int(); err != nil || n != i {
					t.Fatalf("%s: at step %d key %d is %d, %v", name, steps, i, n, err)
				}
			}
		})
		if steps < keys+5 || c.owner(t, slot) == before {
			t.Errorf("%s: %d steps, owned by %d as before", name, steps, before)
		}
		for _, l := range c.Lossy {
			l.Lose(1)
		}
		if len(c.Lossy) > 0 {
			one := through(t, c.Rules().Addrs[0])
			if err := one.Ping(t.Context()).Err(); err == nil || errors.Is(err, redis.Nil) || strings.HasPrefix(err.Error(), "MOVED") {
				t.Errorf("%s: a reply was not lost: %v", name, err)
			}
		}
	}
}
