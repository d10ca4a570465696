package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
)

// behind is a store whose replies can be lost, with a ledger of 10.
func behind(t *testing.T) (*lossy, *shop) {
	server := stocktest.StartRedis(t)
	l, r := &lossy{}, server.Rules()
	r.Addrs = []string{l.listen(t, server.Addr)}
	s := newShop(t, open(t, r), 10)
	s.decide(99, gate.Admitted) // the script is known from now on
	s.settle(s.free(99), nil)
	return l, s
}

func TestLostReplies(t *testing.T) {
	l, s := behind(t)
	for n := range 3 {
		l.lose.Store(int64(n + 1))
		s.decide(n, gate.Admitted)
		s.counts(stock.Counts{Loaded: 10, Free: 9 - n, Reserved: n + 1})
	}
	l.lose.Store(1 << 30)
	_, err := s.store.Decide(t.Context(), s.ask(3))
	l.lose.Store(0)
	if err == nil || errors.Is(err, redis.ErrNotDone) {
		t.Errorf("with every reply lost Decide = %v, want trouble and no promise that nothing was done", err)
	}
	s.counts(stock.Counts{Loaded: 10, Free: 6, Reserved: 4})
	s.settle(s.free(3), nil)
	s.decide(3, gate.ReservationExpired)
	s.counts(stock.Counts{Loaded: 10, Free: 7, Reserved: 3})
}

func TestFencesAndSettlesOnce(t *testing.T) {
	l, s := behind(t)
	s.decide(1, gate.Admitted)
	l.lose.Store(1)
	s.start(1, gate.Admitted)
	s.counts(stock.Counts{Loaded: 10, Free: 9, Sending: 1})
	l.lose.Store(1)
	s.settle(s.sold(1), nil)
	s.counts(stock.Counts{Loaded: 10, Free: 9, Sold: 1})
	l.lose.Store(1)
	c, err := s.store.Adjust(t.Context(), stock.Adjustment{Ledger: s.ledger, Token: stocktest.Token(50), Item: "red", Add: 5})
	if err != nil || c != (stock.Counts{Loaded: 15, Free: 14, Sold: 1}) {
		t.Errorf("with its reply lost Adjust = %+v, %v", c, err)
	}
	if n := l.lost.Load(); n < 3 {
		t.Errorf("%d replies were lost, want 3", n)
	}
}

// TestForgottenScripts: Redis forgets its scripts all the time, as if it was promoted.
func TestForgottenScripts(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 400)
	c := raw(t, server.Addr)
	stop := make(chan struct{})
	var flushing, buying sync.WaitGroup
	flushing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.ScriptFlush(t.Context())
			}
		}
	})
	for n := range 8 {
		buying.Go(func() {
			for i := range 25 {
				if !s.buy(t.Context(), 25*n+i) {
					t.Errorf("buyer %d was refused", 25*n+i)
				}
			}
		})
	}
	buying.Wait()
	close(stop)
	flushing.Wait()
	s.counts(stock.Counts{Loaded: 400, Free: 200, Sold: 200})
}

func TestForgetsAll(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	s.decide(1, gate.Admitted)
	must(t, raw(t, server.Addr).FlushAll(t.Context()).Err())
	for range 2 {
		if d, err := s.store.Decide(t.Context(), s.ask(2)); !errors.Is(err, stock.ErrNotLoaded) {
			t.Errorf("Decide = %+v, %v, want %v", d, err, stock.ErrNotLoaded)
		}
	}
	s.settle(s.sold(1), stock.ErrNotLoaded)
	if p, err := s.store.Pulse(t.Context(), s.ledger); err != nil || p[0].Items != nil || p[0].Archived {
		t.Errorf("Pulse = %+v, %v, want an unknown ledger", p, err)
	}
}

// TestShorterHistory: one round trip shows that the server went back, whatever the calls
// of it knew when they were made.
func TestShorterHistory(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	for n := range 3 {
		s.decide(n, gate.Admitted)
	}
	must(t, raw(t, server.Addr).HSet(t.Context(), s.key("head"), "seq", 1).Err())
	if d, err := s.store.Decide(t.Context(), s.ask(4)); !errors.Is(err, stock.ErrCut) {
		t.Errorf("Decide of a server that went back = %+v, %v, want %v", d, err, stock.ErrCut)
	}
	s.decide(5, gate.Admitted) // it was told, and what it does about it is its own affair

	must(t, raw(t, server.Addr).HSet(t.Context(), s.key("head"), "seq", 1).Err())
	if _, err := s.store.Reassert(t.Context(), stock.Assertion{Ledger: s.ledger, Gateway: "a", Freeze: 1}); err != nil {
		t.Fatal(err)
	}
	s.decide(6, gate.Admitted) // who reasserts knows
}

// TestLostHead: a head that is gone is no ledger with nothing in it, and what it leaves
// behind is not counted by the next.
func TestLostHead(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	s.decide(1, gate.Admitted)
	must(t, raw(t, server.Addr).Del(t.Context(), s.key("head")).Err())
	if _, err := s.store.Decide(t.Context(), s.ask(2)); !errors.Is(err, stock.ErrNotLoaded) {
		t.Errorf("Decide without a head: %v", err)
	}
	_, fresh, err := s.store.Load(t.Context(), stock.Loading{Ledger: s.ledger, Items: map[string]int{"red": 3}})
	if err != nil || !fresh {
		t.Fatalf("Load = %v, %v", fresh, err)
	}
	s.counts(stock.Counts{Loaded: 3, Free: 3})
}

// TestDamage: data that no script has written break a script off before it writes, and
// the error says so.
func TestDamage(t *testing.T) {
	for _, key := range []string{"head", "tokens", "accounts", "due", "changes"} {
		t.Run(key, func(t *testing.T) {
			server := stocktest.StartRedis(t)
			s := newShop(t, open(t, server.Rules()), 10)
			s.decide(1, gate.Admitted)
			c := raw(t, server.Addr)
			must(t, c.Del(t.Context(), s.key(key)).Err())
			must(t, c.Set(t.Context(), s.key(key), "1", 0).Err())
			before := calls(t, c)
			_, err := s.store.Decide(t.Context(), s.ask(2))
			if !errors.Is(err, stock.ErrDamaged) || errors.Is(err, redis.ErrNotDone) {
				t.Errorf("Decide = %v, want %v", err, stock.ErrDamaged)
			}
			if n := calls(t, c) - before; n != 1 {
				t.Errorf("it was tried %d times, want once", n)
			}
		})
	}
}

func TestFullMemory(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	s.decide(1, gate.Admitted)
	c := raw(t, server.Addr)
	must(t, c.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	_, err := s.store.Decide(t.Context(), s.ask(2))
	if !errors.Is(err, redis.ErrNotDone) || errors.Is(err, stock.ErrDamaged) {
		t.Errorf("without memory Decide = %v, want that nothing was done", err)
	}
	must(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	s.counts(stock.Counts{Loaded: 10, Free: 9, Reserved: 1})
	s.decide(2, gate.Admitted)
}

func TestDeadRedis(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	server.Kill()
	_, err := s.store.Decide(t.Context(), s.ask(1))
	if !errors.Is(err, redis.ErrNotDone) || errors.Is(err, stock.ErrNotLoaded) {
		t.Errorf("a dead Redis answered %v, want trouble and that nothing was done", err)
	}
	if err := s.store.Settle(t.Context(), s.free(1)); err == nil || errors.Is(err, stock.ErrNotLoaded) {
		t.Errorf("a dead Redis answered %v, want trouble", err)
	}
	if err := s.store.Ready(t.Context()); err == nil {
		t.Error("a dead Redis is ready")
	}
}

// TestKeys: every key of a ledger has its tag, and every one is in the list of those that
// scripts are given.
func TestKeys(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	x := s.sold(1)
	x.Ref = "order 1"
	s.decide(1, gate.Admitted)
	s.settle(x, nil)
	s.decide(2, gate.Admitted)
	s.settle(s.free(3), nil)
	s.decide(4, gate.Admitted)
	s.settle(s.free(4), nil)
	if _, err := s.store.Sweep(t.Context(), s.ledger, "gateway"); err != nil {
		t.Fatal(err)
	}
	keys, err := raw(t, server.Addr).Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 9 { // told is of freezes only
		t.Errorf("keys are %q, %v, want nine", keys, err)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, s.key("")) {
			t.Errorf("key %q has no tag of its ledger", key)
		}
	}
	must(t, s.store.SetState(t.Context(), s.ledger, stock.Closed))
	s.settle(s.free(2), nil)
	must(t, s.store.Archive(t.Context(), s.ledger))
	if keys, err = raw(t, server.Addr).Keys(t.Context(), "*").Result(); len(keys) != 1 {
		t.Errorf("an archived ledger leaves %q, %v, want its head", keys, err)
	}
}

// TestForgets: what has been remembered for long enough is gone, a part at each sweep.
func TestForgets(t *testing.T) {
	server := stocktest.StartRedis(t)
	s := newShop(t, open(t, server.Rules()), 10)
	c := raw(t, server.Addr)
	for n := range 30 {
		s.settle(s.free(n), nil)
	}
	s.decide(100, gate.Admitted)
	s.settle(s.free(100), nil)
	// Remembered is ten minutes; the indexes are turned back instead.
	for _, index := range []string{"cancelled", "gone"} {
		for _, member := range c.ZRange(t.Context(), s.key(index), 0, -1).Val() {
			must(t, c.ZIncrBy(t.Context(), s.key(index), -float64(stock.Remembered.Milliseconds()), member).Err())
		}
	}
	if _, err := s.store.Sweep(t.Context(), s.ledger, "gateway"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"tokens", "cancelled", "changes", "gone", "accounts"} {
		if n := c.Exists(t.Context(), s.key(key)).Val(); n != 0 {
			t.Errorf("%s is left", key)
		}
	}
}

func TestScriptsKnowTheContract(t *testing.T) {
	if want := fmt.Sprintf("local REMEMBERED = %d ", stock.Remembered.Milliseconds()); !strings.Contains(redis.Scripts.Move, want) {
		t.Errorf("move.lua has no %q", want)
	}
}

func TestRecords(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		bytes := rapid.Custom(func(r *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "bytes")) })
		e := stock.Entry{
			Token: stocktest.Token(rapid.IntRange(1, 9).Draw(r, "token")),
			By:    stocktest.Token(rapid.IntRange(0, 9).Draw(r, "by")),
			State: rapid.SampledFrom([]stock.Stage{stock.Reserved, stock.Held, stock.Sold}).Draw(r, "state"),
			Units: rapid.IntRange(0, 1<<40).Draw(r, "units"), Over: rapid.IntRange(0, 300).Draw(r, "over"),
			Account: bytes.Draw(r, "account"), Item: bytes.Draw(r, "item"), Ref: bytes.Draw(r, "ref"),
		}
		if ms := rapid.Int64Range(0, 1<<45).Draw(r, "due"); ms != 0 {
			e.Due = time.UnixMilli(ms)
		}
		if got := redis.Repack(e); got != e {
			r.Fatalf("%+v came back as %+v", e, got)
		}
	})
}
