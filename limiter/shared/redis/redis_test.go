package redis_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/limiter/shared"
	"penstock/limiter/shared/redis"
	"penstock/limiter/shared/sharedtest"
	"penstock/limiter/stock/stocktest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, r rules.Redis) *redis.Store {
	s := redis.New(r)
	t.Cleanup(func() { s.Close() })
	return s
}

// fresh gives every check keys of its own.
func fresh(r rules.Redis) func(testing.TB) shared.Store {
	return func(t testing.TB) shared.Store {
		r.KeyPrefix += "x"
		return open(t, r)
	}
}

func TestSingle(t *testing.T) {
	sharedtest.Run(t, sharedtest.Subject{New: fresh(stocktest.StartRedis(t).Rules())})
}

func TestCluster(t *testing.T) {
	sharedtest.Run(t, sharedtest.Subject{New: fresh(stocktest.StartCluster(t).Rules())})
}

func TestSentinel(t *testing.T) {
	sharedtest.Run(t, sharedtest.Subject{New: fresh(stocktest.StartSentinel(t, stocktest.StartRedis(t)).Rules())})
}

// TestLostReplies: what is asked again because the answer was lost is done once.
func TestLostReplies(t *testing.T) {
	server, l := stocktest.StartRedis(t), stocktest.NewLossy(t)
	l.Front(server.Addr)
	r := server.Rules()
	r.Addrs = []string{l.Addr}
	s := open(t, r)
	if first, err := s.Claim(t.Context(), []byte("warm"), time.Minute); !first || err != nil {
		t.Fatal(first, err)
	}
	l.Lose(1)
	if first, err := s.Claim(t.Context(), []byte("a"), time.Minute); !first || err != nil {
		t.Errorf("a claim whose reply was lost: %v, %v, want that it is ours", first, err)
	}
	if first, err := s.Claim(t.Context(), []byte("a"), time.Minute); first || err != nil {
		t.Errorf("another's claim: %v, %v", first, err)
	}
	l.Lose(1)
	n, err := s.Put(t.Context(), sharedtest.Ban("c:alice", time.Hour))
	if all, _, _ := sharedtest.Read(t, s, shared.Rev{}); err != nil || !maps.Equal(all, map[shared.Subject]shared.Note{n.Subject: n}) {
		t.Errorf("a ban whose reply was lost: %v, %v", all, err)
	}
}

// TestBudget: a server that says nothing costs no more than the budget.
func TestBudget(t *testing.T) {
	server := stocktest.StartRedis(t)
	r := server.Rules()
	r.Timeout = 50 * time.Millisecond
	s := open(t, r)
	if _, err := s.Claim(t.Context(), []byte("warm"), time.Minute); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	defer server.Continue()
	began := time.Now()
	first, err := s.Claim(t.Context(), []byte("a"), time.Minute)
	if took := time.Since(began); err == nil || first || took > time.Second {
		t.Errorf("Claim = %v, %v after %v, want trouble after %v", first, err, took, r.Timeout)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began = time.Now()
	_, err = s.Exchange(ctx, "a", nil)
	if took := time.Since(began); err == nil || took > 400*time.Millisecond {
		t.Errorf("Exchange beyond its context: %v after %v", err, took)
	}
}

// TestNothingIsLeft: what is told in Redis ends, but for bans without an end.
func TestNothingIsLeft(t *testing.T) {
	server := stocktest.StartRedis(t)
	s, c := open(t, server.Rules()), server.Client(t)
	if _, err := s.Claim(t.Context(), []byte("a"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exchange(t.Context(), "a", []shared.Lease{{Key: 1}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range c.Keys(t.Context(), "*").Val() {
		if ttl := c.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("%s is left for %v", key, ttl)
		}
	}
	if _, err := s.Put(t.Context(), sharedtest.Ban("c:a", time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second makes room, whatever became of the first
		<-time.After(3 * time.Millisecond)
		if _, err := s.Put(t.Context(), sharedtest.Ban("c:b", 0)); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.HLen(t.Context(), "{penstock:shared}:notes").Val(); n != 1 {
		t.Errorf("%d notes are kept, want the one that has not ended", n)
	}
}

// TestWhatRedisLosesIsPutBack: a server that comes back empty has the bans again, not those
// that were lifted, and no other gateway has been without them meanwhile.
func TestWhatRedisLosesIsPutBack(t *testing.T) {
	server := stocktest.StartRedis(t)
	r := server.Rules()
	r.Timeout = 50 * time.Millisecond
	one, two := shared.NewBook(open(t, r), nil, nil), shared.NewBook(open(t, r), nil, nil)
	refresh := func(b *shared.Book, want int) {
		t.Helper()
		err := b.Refresh(t.Context())
		for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); err = b.Refresh(t.Context()) {
			<-time.After(10 * time.Millisecond) // the client takes a while to dial again
		}
		if err != nil || len(b.List()) != want {
			t.Fatalf("there are %v, %v, want %d", b.List(), err, want)
		}
	}
	for _, who := range []string{"c:alice", "c:bob", "192.0.2.0/24"} {
		if _, err := one.Add(t.Context(), sharedtest.Ban(who, time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	refresh(two, 3)
	if _, found, err := one.Remove(t.Context(), sharedtest.Ban("c:bob", 0).Subject, "ann", "a mistake"); !found || err != nil {
		t.Fatal(found, err)
	}
	server.Kill()
	if err := two.Refresh(t.Context()); err == nil || len(two.List()) != 3 {
		t.Fatalf("without a server: %v, %v", two.List(), err)
	}
	server.Restart(t) // it has kept nothing
	refresh(two, 3)   // of the lifting it has not heard, and brings it back, until
	refresh(one, 2)
	refresh(two, 2)
	fresh := shared.NewBook(open(t, r), nil, nil)
	refresh(fresh, 2)
}

func FuzzChanges(f *testing.F) {
	f.Add("e", int64(3), int64(0), "c:a", "1 0 7 - 0 ")
	f.Fuzz(func(t *testing.T, epoch string, n, more int64, subject, record string) {
		redis.Changes([]any{epoch, n, more, n, subject, record})
		redis.Changes([]any{epoch, n, more})
	})
}
