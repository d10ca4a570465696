package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"penstock/limiter/eligible"
	"penstock/limiter/eligible/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ eligible.Reader = (*redis.Reader)(nil)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// closed is the client, closed when the test is over.
func closed[C goredis.UniversalClient](t testing.TB, c C) C {
	t.Cleanup(func() { c.Close() })
	return c
}

// fill writes n fields and n members, in both of Redis's ways to keep them: packed and not.
func fill(t testing.TB, c goredis.UniversalClient, key string, n int) {
	t.Helper()
	p := c.Pipeline()
	p.Del(t.Context(), key+":h")
	p.Del(t.Context(), key+":s")
	for i := range n {
		name := "user-" + strconv.Itoa(i)
		p.HSet(t.Context(), key+":h", name, i)
		p.SAdd(t.Context(), key+":s", name)
	}
	_, err := p.Exec(t.Context())
	must(t, err)
}

// all is what the reader finds.
func all(t testing.TB, r *redis.Reader, key string) (fields, members map[string]string) {
	t.Helper()
	fields, members = map[string]string{}, map[string]string{}
	must(t, r.Hash(t.Context(), key+":h", func(f, v string) { fields[f] = v }))
	must(t, r.Set(t.Context(), key+":s", func(m string) { members[m] = "" }))
	return fields, members
}

// reads checks every way in which servers stand together.
func reads(t *testing.T, c goredis.UniversalClient) {
	r := redis.New(c)
	for _, n := range []int{0, 1, 100, 20_000} {
		for k := range 4 { // of a cluster, on several nodes
			key := fmt.Sprintf("k%d", k)
			fill(t, c, key, n)
			fields, members := all(t, r, key)
			if len(fields) != n || len(members) != n {
				t.Errorf("%s: got %d fields and %d members, want %d", key, len(fields), len(members), n)
			}
			for i := range n {
				name := "user-" + strconv.Itoa(i)
				if _, there := members[name]; fields[name] != strconv.Itoa(i) || !there {
					t.Fatalf("%s: %s is %q, a member: %v", key, name, fields[name], there)
				}
			}
		}
	}
	must(t, c.Set(t.Context(), "word", "x", 0).Err())
	if err := r.Hash(t.Context(), "word", func(string, string) {}); err == nil {
		t.Error("a word was read as a hash")
	}
	if err := r.Set(t.Context(), "k1:h", func(string) {}); err == nil {
		t.Error("a hash was read as a set")
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := r.Set(ctx, "k1:s", func(string) { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls > 5000 {
		t.Errorf("called off: got %v after %d members, want it to end soon", err, calls)
	}
}

func TestSingle(t *testing.T) {
	reads(t, closed(t, stocktest.StartRedis(t).Client(t)))
}

func TestCluster(t *testing.T) {
	c := stocktest.StartCluster(t)
	reads(t, closed(t, goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: c.Rules().Addrs})))
}

func TestSentinel(t *testing.T) {
	primary := stocktest.StartRedis(t)
	s := stocktest.StartSentinel(t, primary)
	reads(t, closed(t, goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: stocktest.MasterName, SentinelAddrs: []string{s.Addr}})))
}

// TestCursorsDoNotOutliveTheirServer: a server that comes back in the middle of a reading,
// with all its data, has other cursors. What it would answer looks whole and is not.
func TestCursorsDoNotOutliveTheirServer(t *testing.T) {
	s := stocktest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	c := s.Client(t)
	fill(t, c, "k", 20_000)
	seen := 0
	err := redis.New(c).Set(t.Context(), "k:s", func(string) {
		if seen++; seen == 5000 {
			s.Restart(t)
		}
	})
	if err == nil {
		t.Errorf("a reading that two servers answered found %d members and counts as whole", seen)
	}
	if _, members := all(t, redis.New(c), "k"); len(members) != 20_000 {
		t.Errorf("the next reading found %d, want all", len(members))
	}
}

// TestKeyThatMovesIsReadAgain: while its slot goes to another node of the cluster no reading
// may count that lacks any of it.
func TestKeyThatMovesIsReadAgain(t *testing.T) {
	cluster := stocktest.StartCluster(t)
	c := closed(t, goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Rules().Addrs}))
	fill(t, c, "k", 5000)
	r := redis.New(c)
	read := func() (n int, err error) {
		seen := map[string]bool{}
		err = r.Set(t.Context(), "k:s", func(m string) { seen[m] = true })
		return len(seen), err
	}
	cluster.Migrate(t, "k:s", func() {
		if n, err := read(); err == nil && n != 5000 {
			t.Errorf("a reading found %d of 5000 and counts as whole", n)
		}
	})
	for range 100 {
		n, err := read()
		if err == nil {
			if n != 5000 {
				t.Errorf("after the move it found %d of 5000", n)
			}
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Error("nothing was read in two seconds after the move")
}

// TestGateOverRedis: what changes in Redis changes who may take part; Redis gone changes
// nothing.
func TestGateOverRedis(t *testing.T) {
	s := stocktest.StartRedis(t)
	c := s.Client(t)
	sale := &rules.Sale{Name: "phone", Require: rules.Require{Enforce: true, Terms: []rules.Term{
		{Name: "level", Must: rules.AtLeast, Least: 3, From: rules.Attribute{Kind: rules.InRedisHash, Name: "levels", Every: time.Second}},
		{Name: "blocked", Must: rules.Unlisted, From: rules.Attribute{Kind: rules.InRedisSet, Name: "blocked", Every: time.Second}},
	}}}
	copies := eligible.NewCopies(redis.New(c))
	reports := make(chan string, 100)
	copies.Report = func(key string, _ error) { reports <- key }
	g := eligible.New(copies, nil)
	must(t, c.HSet(t.Context(), "levels", "alice", "3").Err())
	g.Use([]*rules.Sale{sale})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); copies.Run(ctx) }()
	defer func() { cancel(); <-done }()
	comes := func(want gate.Reason) {
		t.Helper()
		f := &gate.Facts{At: time.Now(), Account: "c:alice", Sale: sale}
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
			if g.Admit(ctx, f).Reason == want {
				return
			}
		}
		t.Fatalf("got %v, want %v in the end:\n%s", g.Admit(ctx, f).Reason, want, g.Explain(f))
	}
	comes(gate.Admitted)
	must(t, c.SAdd(t.Context(), "blocked", "alice").Err())
	comes(gate.NotEligible)
	must(t, c.Del(t.Context(), "blocked").Err())
	comes(gate.Admitted)
	s.Kill()
	<-reports
	<-reports
	comes(gate.Admitted)
}

// BenchmarkMillion is one reading of a million members from a server on the same machine.
func BenchmarkMillion(b *testing.B) {
	c := stocktest.StartRedis(b).Client(b)
	for i := 0; i < 1_000_000; i += 10_000 {
		p := c.Pipeline()
		for j := range 10_000 {
			p.SAdd(b.Context(), "k:s", "customer-"+strconv.Itoa(i+j))
		}
		_, err := p.Exec(b.Context())
		must(b, err)
	}
	r := redis.New(c)
	for b.Loop() {
		n := 0
		must(b, r.Set(b.Context(), "k:s", func(string) { n++ }))
		if n < 1_000_000 {
			b.Fatalf("%d members, want a million", n)
		}
	}
}
