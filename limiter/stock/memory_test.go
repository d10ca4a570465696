package stock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// restart is the same gateway after a restart, on another store.
func (s *shop) restart(store stock.Store, state string) *shop {
	s.Helper()
	m, err := stock.OpenMemory(state)
	if err != nil {
		s.Fatal(err)
	}
	next := &shop{TB: s.TB, store: &spy{Store: store}, sale: s.sale}
	next.stock = stock.New(next.store, stock.Options{Report: next.report, Memory: m})
	next.soldOut, next.unit, next.fence = next.stock.SoldOut(), next.stock.Unit(), next.stock.Fence()
	if err := next.stock.Load(context.Background(), []*rules.Sale{s.sale}); err != nil {
		s.Fatalf("Load after a restart: %v", err)
	}
	return next
}

// remembering runs f with a gateway that remembers, its store, and an empty one.
func remembering(t *testing.T, f func(s *shop, state string, blank stock.Store)) {
	path, other := file(t), file(t)
	state := filepath.Join(t.TempDir(), "penstock.state")
	synctest.Test(t, func(t *testing.T) {
		store, blank := inBubble(t, path), inBubble(t, other)
		defer store.Close()
		defer blank.Close()
		first := &shop{TB: t, sale: phone()}
		f(first.restart(store, state), state, blank)
	})
}

// TestMemoryOfALostStore: a restart does not make a store that has lost its data look
// like a new one. An operator's load does, and what was sold is told to it by nobody: the
// gateway that sold it is gone.
func TestMemoryOfALostStore(t *testing.T) {
	remembering(t, func(s *shop, state string, blank stock.Store) {
		s.unit.Release(s.win("alice", "red"), sold)
		again := s.restart(blank, state)
		if v := again.admit(again.unit, again.facts("bob", "red"), gate.StoreUnavailable); !errors.Is(v.Err, stock.ErrFrozen) {
			t.Errorf("verdict is %+v, want %v", v, stock.ErrFrozen)
		}
		if got := again.reports(); len(got) != 1 || !errors.Is(got[0], stock.ErrFrozen) {
			t.Errorf("reported %q, want one %v", got, stock.ErrFrozen)
		}
		defer again.run()()
		wait(time.Minute)
		again.admit(again.unit, again.facts("bob", "red"), gate.StoreUnavailable)
	})
}

// TestMemoryOfAnOlderStore: it was put back from a copy while the gateway was down. What
// is missing nobody knows, so only an operator ends the freeze.
func TestMemoryOfAnOlderStore(t *testing.T) {
	remembering(t, func(s *shop, state string, _ stock.Store) {
		stop := s.run()
		s.win("alice", "red")
		wait(time.Minute) // it is written
		stop()
		raw, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(raw), `"Seq":2`, `"Seq":9`, 1)
		if newer == string(raw) {
			newer = strings.Replace(string(raw), `"Seq":1`, `"Seq":9`, 1)
		}
		if newer == string(raw) {
			t.Fatalf("the state is %s, want a seq of 1 or 2", raw)
		}
		if err := os.WriteFile(state, []byte(newer), 0o600); err != nil {
			t.Fatal(err)
		}
		again := s.restart(s.store.Store, state)
		defer again.run()()
		wait(time.Minute)
		again.admit(again.unit, again.facts("bob", "red"), gate.StoreUnavailable)
		if err := again.store.Thaw(context.Background(), "phone"); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		again.win("bob", "red")
	})
}

// TestMemoryOfAnArchive: an archived name is free to be used again.
func TestMemoryOfAnArchive(t *testing.T) {
	remembering(t, func(s *shop, state string, _ stock.Store) {
		stop := s.run()
		s.unit.Release(s.win("alice", "red"), sold)
		if err := s.store.Archive(context.Background(), "phone"); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		s.admit(s.unit, s.facts("bob", "red"), gate.Closed)
		if err := s.stock.Ready(context.Background()); err != nil {
			t.Errorf("Ready with an archived ledger: %v", err)
		}
		if err := s.stock.Load(context.Background(), []*rules.Sale{s.sale}); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		s.win("alice", "red")
		s.counts("red", stock.Counts{Reserved: 1})
		stop()
		again := s.restart(s.store.Store, state)
		again.win("bob", "red")
	})
}

func TestMemoryThatCannotBeUsed(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.state")
	if err := os.WriteFile(bad, []byte(`{"Format":1,"Ledgers":`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bad, filepath.Join(t.TempDir(), "no such directory", "penstock.state")} {
		if _, err := stock.OpenMemory(path); err == nil || !strings.Contains(err.Error(), path[:len(path)-len(filepath.Base(path))]) {
			t.Errorf("OpenMemory(%q) = %v, want an error that names the file", path, err)
		}
	}
}

// TestBreaker: a store that fails again and again is left alone, for a second at most,
// and tried by one call at a time.
func TestBreaker(t *testing.T) {
	bubble(t, func(s *shop) {
		s.store.down.Store(true)
		for range 100 {
			s.admit(s.unit, s.facts("alice", "red"), gate.StoreUnavailable)
		}
		if n := s.store.decides.Load(); n != 8 {
			t.Errorf("the store was asked %d times, want 8", n)
		}
		if stats, _ := s.stock.Pictures(context.Background()); !stats.Broken {
			t.Error("it does not show")
		}
		asked := s.store.decides.Load()
		for range 1000 { // ten seconds of a crowd
			wait(10 * time.Millisecond)
			for range 10 {
				s.admit(s.unit, s.facts("alice", "red"), gate.StoreUnavailable)
			}
		}
		if n := s.store.decides.Load() - asked; n < 9 || n > 15 {
			t.Errorf("in ten seconds it was asked %d times, want about once a second", n)
		}
		s.store.down.Store(false)
		wait(time.Second)
		s.win("alice", "red")
		s.win("bob", "red")
	})
}

// TestBreakerLeavesAnswersAlone: an answer that nobody likes is an answer.
func TestBreakerLeavesAnswersAlone(t *testing.T) {
	bubble(t, func(s *shop) {
		f := s.win("alice", "red")
		s.unit.Release(f, sold)
		for range 20 {
			s.unit.Release(f, unsent) // it is sold
		}
		s.win("bob", "red")
	})
}

// TestResolve: the shop is asked about what is held, and its word counts.
func TestResolve(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		store := inBubble(t, path)
		defer store.Close()
		sale := phone()
		sale.Stock.Unknown, sale.Stock.UnknownAfter = rules.Resolve, 10*time.Second
		s := &shop{TB: t, store: &spy{Store: store}, sale: sale}
		asked := map[string]int{}
		s.stock = stock.New(s.store, stock.Options{Report: s.report, Resolve: func(_ context.Context, ledger string, e stock.Entry) (rules.Outcome, string, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			asked[e.Account]++
			switch {
			case ledger != "phone" || e.State != stock.Held:
				t.Errorf("asked about %+v of %q", e, ledger)
			case e.Account == "sold":
				return rules.OutcomeSold, "4711", nil
			case e.Account == "free":
				return rules.OutcomeFree, "", nil
			case asked[e.Account] == 1:
				return rules.OutcomeSold, "", errDown // with an error the outcome does not count
			}
			return rules.OutcomeUnknown, "", nil
		}})
		s.unit = s.stock.Unit()
		if err := s.stock.Load(context.Background(), []*rules.Sale{sale}); err != nil {
			t.Fatal(err)
		}
		stop := s.run()
		for _, account := range []string{"sold", "free", "unknown"} {
			s.unit.Release(s.win(account, "red"), gate.End{})
		}
		wait(time.Minute)
		stop()
		s.counts("red", stock.Counts{Sold: 1, Held: 1})
		if n := asked["unknown"]; n < 4 || n > 7 || asked["sold"] != 1 || asked["free"] != 1 {
			t.Errorf("asked %v times, want once, once, and every ten seconds", asked)
		}
		found, _, err := store.Entries(context.Background(), stock.Query{Ledger: "phone", Ref: "4711"})
		if err != nil || len(found) != 1 || found[0].Account != "sold" {
			t.Errorf("by its reference: %+v, %v", found, err)
		}
		if got := s.reports(); len(got) != 1 || !errors.Is(got[0], errDown) {
			t.Errorf("reported %q, want the one error", got)
		}
	})
}

// TestAnotherProcessWritesWhatIsRemembered: after Yield the file is as the other leaves it,
// until Resume.
func TestAnotherProcessWritesWhatIsRemembered(t *testing.T) {
	remembering(t, func(s *shop, state string, _ stock.Store) {
		m, err := stock.OpenMemory(state)
		if err != nil {
			t.Fatal(err)
		}
		first := &shop{TB: t, store: &spy{Store: s.store}, sale: s.sale}
		first.stock = stock.New(first.store, stock.Options{Report: first.report, Memory: m})
		if err := first.stock.Load(context.Background(), []*rules.Sale{s.sale}); err != nil {
			t.Fatal(err)
		}
		if err := m.Yield(); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(state); !strings.Contains(string(b), `"phone"`) {
			t.Errorf("what the other will read is %s", b)
		}
		const theirs = `{"Format":1,"Ledgers":{"other":{"Epoch":1,"Seq":1}}}`
		if err := os.WriteFile(state, []byte(theirs), 0o600); err != nil {
			t.Fatal(err)
		}
		run := func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			first.stock.Run(ctx)
		}
		s.win("alice", "red") // so there is something to remember
		run()
		if b, _ := os.ReadFile(state); string(b) != theirs {
			t.Errorf("the other's file is now %s", b)
		}
		m.Resume()
		run()
		if b, _ := os.ReadFile(state); !strings.Contains(string(b), `"phone"`) {
			t.Errorf("after Resume the file is %s", b)
		}
	})
}
