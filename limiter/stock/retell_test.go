package stock_test

import (
	"context"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

// blank is a store of its own with the sale's ledger, as one is that went back to its
// beginning.
func (s *shop) blank(t *testing.T) stock.Store {
	store := inBubble(t, file(t))
	gateway(t, &spy{Store: store}, s.sale)
	return store
}

// TestExpiredReservationsAreNotTold: the unit may be somebody else's by now.
func TestExpiredReservationsAreNotTold(t *testing.T) {
	bubble(t, func(s *shop) {
		s.shares()
		older := s.blank(t)
		defer older.Close()
		stop := s.run()
		s.win("abandoned", "blue")
		wait(2*time.Minute + 2*time.Second)
		s.unit.Release(s.win("bob", "blue"), sold)
		stop()
		s.store.Store = older
		defer s.run()()
		wait(stock.ThawAfter + 2*time.Second)
		s.counts("blue", stock.Counts{Sold: 1})
	})
}

// TestTwiceBack: a store that goes back once more while it is told what it has lost must
// be told again. It is not thawed: it has never been frozen.
func TestTwiceBack(t *testing.T) {
	bubble(t, func(s *shop) {
		s.shares()
		first, second := s.blank(t), s.blank(t)
		defer first.Close()
		defer second.Close()
		stop := s.run()
		goBack := func(to stock.Store) {
			stop()
			s.store.Store = to
			stop = s.run()
			wait(time.Second)
		}
		s.unit.Release(s.win("alice", "blue"), sold)
		wait(time.Second)
		goBack(first) // frozen, and told
		s.counts("blue", stock.Counts{Sold: 1})
		goBack(second)
		defer func() { stop() }()
		s.admit(s.unit, s.facts("bob", "red"), gate.StoreUnavailable)
		wait(stock.ThawAfter + time.Second)
		s.counts("blue", stock.Counts{Sold: 1})
		s.win("bob", "red")
	})
}

// TestArchivedAndLoadedBetweenPolls: the new sale owes nothing to the old one.
func TestArchivedAndLoadedBetweenPolls(t *testing.T) {
	bubble(t, func(s *shop) {
		s.shares()
		defer s.run()()
		s.unit.Release(s.win("alice", "blue"), sold)
		wait(time.Second)
		ctx := context.Background()
		if err := s.store.Archive(ctx, "phone"); err != nil {
			t.Fatal(err)
		}
		l := stock.Loading{Ledger: "phone", Items: map[string]int{"red": 3, "blue": 1}, Terms: stock.TermsOf(s.sale)}
		if _, fresh, err := s.store.Load(ctx, l); err != nil || !fresh {
			t.Fatalf("Load = %v, %v", fresh, err)
		}
		wait(time.Second)
		s.win("alice", "blue")
		s.counts("blue", stock.Counts{Reserved: 1})
	})
}

// TestSecondClickDoesNotHideTheFirst: one Launch sends, and another, of the same
// reservation, ends unsent. What a store that went back is told is that it is sending.
func TestSecondClickDoesNotHideTheFirst(t *testing.T) {
	inSteps(t, false, func(s *shop) {
		s.shares()
		older := s.blank(t)
		defer older.Close()
		s.unit.Release(s.win("alice", "red"), sold)
		first, second := s.order("alice", gate.Admitted), s.order("alice", gate.Admitted)
		s.admit(s.fence, first, gate.Admitted)
		s.admit(s.fence, second, gate.OrderPending)
		s.unit.Release(second, unsent)
		s.store.Store = older
		defer s.run()()
		wait(stock.ThawAfter + 2*time.Second)
		s.counts("red", stock.Counts{Sending: 1})
		s.order("alice", gate.OrderPending)
	})
}
