package stock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

// What is left of trouble, and of things that cross, once they are over.

// TestLookAfterAHiccup: a Look that failed, or took long once, does not keep what comes
// after it from being seen for a minute.
func TestLookAfterAHiccup(t *testing.T) {
	hiccup := func(down bool, patience time.Duration) {
		t.Helper()
		bubble(t, func(s *shop) {
			s.win("alice", "blue")
			s.admit(s.unit, s.facts("bob", "blue"), gate.SoldOut)
			s.store.lookReturns = func() {
				if s.store.looks.Load() == 1 {
					wait(time.Second)
				}
			}
			s.store.down.Store(down)
			defer s.run()()
			wait(2 * time.Second)
			s.store.down.Store(false)
			wait(ticks) // a poll sees that it is back
			s.win("carol", "red")
			looks := s.store.looks.Load()
			wait(patience)
			if n := s.store.looks.Load() - looks; n == 0 || !s.latched("blue") {
				t.Errorf("%v after a Look of 1s (failed: %v): %d more, latched: %v, want some, and true", patience, down, n, s.latched("blue"))
			}
		})
	}
	hiccup(true, 10*time.Second)
	hiccup(false, 10*time.Second)
}

// TestLatchByWinnersAlone: whoever is refused first, the next refusal is from memory.
func TestLatchByWinnersAlone(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		alice := s.win("alice", "blue")
		s.admit(s.unit, s.facts("alice", "blue"), gate.OrderPending)
		wait(time.Millisecond)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.OrderPending)
		s.unit.Release(alice, sold)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.AlreadyBought)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut)
	})
}

// TestWinWhileAnotherIsGivenBack: the account's first order ends while its second one,
// for which the first made room, has been admitted already.
func TestWinWhileAnotherIsGivenBack(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		alice := sellOut(s)
		s.store.settleReturns = func() {
			s.store.settleReturns = nil
			s.win("alice", "blue")
		}
		s.unit.Release(alice, unsent)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.OrderPending)
	})
}

// TestSoldOutIsNotFinalWhileUnitsAreFree: the probes are under way, but may be lost.
func TestSoldOutIsNotFinalWhileUnitsAreFree(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		s.unit.Release(sellOut(s), unsent)
		wait(ticks)
		for s.soldOut.Admit(context.Background(), s.facts("bob", "blue")).OK() {
		}
		if v := s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut); v.Retry == 0 {
			t.Error("with a unit free sold out has no Retry, as if it were final")
		}
	})
}

// TestStoreThatLostItsLastWin: one is enough to see that history was cut. The gateway
// tells the store what it has lost, and only then anything is sold again.
func TestStoreThatLostItsLastWin(t *testing.T) {
	bubble(t, func(s *shop) {
		s.shares()
		older := inBubble(t, file(t))
		defer older.Close()
		restored := gateway(t, &spy{Store: older}, s.sale)
		alice := s.win("alice", "red")
		restored.admit(restored.unit, alice, gate.Admitted)
		bob := s.win("bob", "red")
		s.admit(s.fence, bob, gate.Admitted)
		s.store.Store = older
		if v := s.admit(s.unit, s.facts("carol", "red"), gate.StoreUnavailable); !errors.Is(v.Err, stock.ErrFrozen) {
			t.Errorf("verdict is %+v, want %v", v, stock.ErrFrozen)
		}
		defer s.run()()
		s.unit.Release(alice, sold) // it waits until the store has been told of alice
		wait(time.Second)
		// Carol's unit was taken when the store did not know yet that it was cut.
		restored.counts("red", stock.Counts{Sold: 1, Sending: 1, Reserved: 1})
		s.admit(s.unit, s.facts("dave", "red"), gate.StoreUnavailable)
		wait(stock.ThawAfter + time.Second)
		s.unit.Release(bob, gate.End{})
		restored.counts("red", stock.Counts{Sold: 1, Held: 1})
		s.win("dave", "red")
		if got := s.reports(); len(got) != 1 {
			t.Errorf("reported %q, want it once", got)
		}
	})
}

// TestIdleGatewayKnowsHowFarItWas: it takes over from one that has frozen.
func TestIdleGatewayKnowsHowFarItWas(t *testing.T) {
	bubble(t, func(s *shop) {
		older := inBubble(t, file(t))
		defer older.Close()
		gateway(t, &spy{Store: older}, s.sale)
		idle := gateway(t, &spy{Store: s.store.Store}, s.sale)
		stop := idle.run()
		s.win("alice", "red")
		wait(ticks)
		stop()
		idle.store.Store = older
		idle.admit(idle.unit, idle.facts("bob", "red"), gate.StoreUnavailable)
	})
}

// TestOutboxCountsWhatIsBeingTold: else what is bounded by its length is not bounded
// while a try is under way.
func TestOutboxCountsWhatIsBeingTold(t *testing.T) {
	bubble(t, func(s *shop) {
		owed := func() int {
			stats, _ := s.stock.Pictures(context.Background())
			return stats.Outbox
		}
		s.store.lossy.Store(true)
		s.unit.Admit(context.Background(), s.facts("alice", "red"))
		s.unit.Admit(context.Background(), s.facts("bob", "red"))
		s.store.lossy.Store(false)
		s.store.settleReturns = func() {
			if n := owed(); n != 2 {
				t.Errorf("%d owed while the first try is under way, want both", n)
			}
		}
		defer s.run()()
		wait(ticks)
		if n := owed(); n != 0 {
			t.Errorf("%d owed after it, want none", n)
		}
		s.counts("red", stock.Counts{})
	})
}
