package stock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

func TestUnitSettlesByEnd(t *testing.T) {
	for _, c := range []struct {
		end  gate.End
		want stock.Counts
	}{
		{gate.End{}, stock.Counts{Held: 1}},
		{gate.End{Kind: gate.Refused}, stock.Counts{}},
		{unsent, stock.Counts{}},
		{sold, stock.Counts{Sold: 1}},
		{gate.End{Kind: gate.Answered, Outcome: rules.OutcomeFree}, stock.Counts{}},
		{gate.End{Kind: gate.Answered, Outcome: rules.OutcomeUnknown}, stock.Counts{Held: 1}},
	} {
		bubble(t, func(s *shop) {
			f := s.win("alice", "red")
			s.counts("red", stock.Counts{Reserved: 1})
			s.admit(s.fence, f, gate.Admitted)
			s.counts("red", stock.Counts{Sending: 1})
			s.fence.Release(f, c.end)
			s.counts("red", stock.Counts{Sending: 1})
			s.unit.Release(f, c.end)
			s.counts("red", c.want)
		})
	}
}

func TestUnitRefuses(t *testing.T) {
	bubble(t, func(s *shop) {
		s.win("alice", "blue")
		s.admit(s.unit, s.facts("alice", "red"), gate.OrderPending)
		if v := s.admit(s.unit, s.facts("bob", "blue"), gate.SoldOut); v.Retry == 0 {
			t.Error("sold out with a unit reserved has no Retry: it may come back")
		}
		two := s.facts("bob", "red")
		two.Units = 2
		s.admit(s.unit, two, gate.Limit)
		s.admit(s.unit, s.facts("", "red"), gate.NoAccount)
		none := s.facts("bob", "red")
		none.Units = 0
		s.admit(s.unit, none, gate.Internal)
		dead, cancel := context.WithCancel(context.Background())
		cancel()
		asked := s.store.decides.Load()
		if v := s.unit.Admit(dead, s.facts("bob", "red")); v.Reason != gate.StoreUnavailable || s.store.decides.Load() != asked {
			t.Errorf("under a dead context: %v after %d calls, want no call", v.Reason, s.store.decides.Load()-asked)
		}
		s.counts("red", stock.Counts{})
	})
}

func TestItemsThatAreNotSold(t *testing.T) {
	bubble(t, func(s *shop) {
		for _, g := range []gate.Gate{s.soldOut, s.unit, s.fence} {
			s.admit(g, s.facts("alice", "green"), gate.UnknownItem)
		}
		s.sale.Stock.ForwardOther = true
		other, browse := s.facts("alice", "green"), s.facts("alice", "red")
		browse.Sale = &rules.Sale{Name: "no stock"}
		for _, f := range []*gate.Facts{other, browse, {}} {
			for _, g := range []gate.Gate{s.soldOut, s.unit, s.fence} {
				s.admit(g, f, gate.Admitted)
				g.Release(f, gate.End{})
			}
		}
		if n := s.store.decides.Load() + s.store.starts.Load(); n != 0 {
			t.Errorf("the store was asked %d times, want never", n)
		}
	})
}

func TestFence(t *testing.T) {
	bubble(t, func(s *shop) {
		late := s.win("late", "red")
		wait(2 * time.Minute)
		s.admit(s.fence, late, gate.ReservationExpired)
		s.unit.Release(late, gate.End{Kind: gate.Refused})
		s.counts("red", stock.Counts{})

		cut := s.win("cut off", "red")
		s.store.lossy.Store(true)
		if v := s.admit(s.fence, cut, gate.StoreUnavailable); !errors.Is(v.Err, errDown) || v.Retry != time.Second {
			t.Errorf("verdict is %+v, want the store's error and a second", v)
		}
		s.store.lossy.Store(false)
		s.counts("red", stock.Counts{Sending: 1})
		s.unit.Release(cut, gate.End{Kind: gate.Refused})
		s.counts("red", stock.Counts{}) // no byte was sent
	})
}

// TestDecideOfUnknownOutcome: the unit may be reserved, and nobody is there to use it.
func TestDecideOfUnknownOutcome(t *testing.T) {
	bubble(t, func(s *shop) {
		s.store.lossy.Store(true)
		if v := s.admit(s.unit, s.facts("alice", "red"), gate.StoreUnavailable); !errors.Is(v.Err, errDown) || v.Retry != time.Second {
			t.Errorf("verdict is %+v, want the store's error and a second", v)
		}
		s.store.lossy.Store(false)
		s.counts("red", stock.Counts{Reserved: 1})
		defer s.run()()
		wait(time.Second)
		s.counts("red", stock.Counts{})
		s.win("alice", "red")
	})
}

func TestOutbox(t *testing.T) {
	bubble(t, func(s *shop) {
		stop := s.run()
		a, b := s.win("alice", "red"), s.win("bob", "red")
		s.store.down.Store(true)
		s.unit.Release(a, sold)
		s.unit.Release(b, unsent)
		wait(time.Minute)
		if stats, err := s.stock.Pictures(context.Background()); err == nil || stats.Outbox != 2 {
			t.Errorf("Pictures = %+v, %v, want trouble and 2 in the outbox", stats, err)
		}
		s.counts("red", stock.Counts{Reserved: 2})
		s.store.down.Store(false)
		wait(10 * time.Second)
		s.counts("red", stock.Counts{Sold: 1})

		c := s.win("carol", "red")
		s.store.down.Store(true)
		s.unit.Release(c, sold)
		wait(time.Millisecond)
		s.store.down.Store(false)
		stop() // the last try
		s.counts("red", stock.Counts{Sold: 2})
		if stats, _ := s.stock.Pictures(context.Background()); stats.Outbox != 0 {
			t.Errorf("%d are left in the outbox, want none", stats.Outbox)
		}
	})
}

// TestOutboxPastALostLedger: what one ledger owes does not wait for another's return.
func TestOutboxPastALostLedger(t *testing.T) {
	bubble(t, func(s *shop) {
		laptop := phone()
		laptop.Name, laptop.Stock.Ledger = "laptop", "laptop"
		if err := s.stock.Load(context.Background(), []*rules.Sale{laptop}); err != nil {
			t.Fatal(err)
		}
		lost := s.win("alice", "red")
		s.sale = laptop
		f := s.win("alice", "red")
		s.store.down.Store(true)
		s.unit.Release(lost, sold)
		s.unit.Release(f, sold)
		s.store.down.Store(false)
		s.store.lost.Store(true)
		defer s.run()()
		wait(time.Second)
		s.counts("red", stock.Counts{Sold: 1})
		s.store.lost.Store(false)
		wait(10 * time.Second)
		s.sale = lost.Sale
		s.counts("red", stock.Counts{Sold: 1})
	})
}

// TestCancelsAreBounded: a store that is down for long does not fill the memory.
func TestCancelsAreBounded(t *testing.T) {
	bubble(t, func(s *shop) {
		s.store.down.Store(true)
		for range 40_000 {
			s.unit.Admit(context.Background(), s.facts("alice", "red"))
		}
		if stats, _ := s.stock.Pictures(context.Background()); stats.Outbox == 0 || stats.Outbox > 20_000 {
			t.Errorf("%d cancels wait, want some and at most 20,000", stats.Outbox)
		}
	})
}

func TestReports(t *testing.T) {
	bubble(t, func(s *shop) {
		f := s.win("alice", "blue")
		s.unit.Release(f, unsent)
		s.win("bob", "blue")
		s.unit.Release(f, sold)
		s.unit.Release(f, unsent)
		got := s.reports()
		if len(got) != 2 || !errors.Is(got[0], stock.ErrOversold) || !errors.Is(got[1], stock.ErrSold) {
			t.Errorf("reported %q, want %q and %q", got, stock.ErrOversold, stock.ErrSold)
		}
		s.counts("blue", stock.Counts{Reserved: 1})
	})
}

func TestLoadReportsDifferences(t *testing.T) {
	bubble(t, func(s *shop) {
		if got := s.reports(); len(got) != 0 {
			t.Fatalf("reported %q, want nothing", got)
		}
		edited := phone()
		edited.Stock.Items = map[string]int{"red": 5, "green": 1}
		if err := s.stock.Load(context.Background(), []*rules.Sale{edited, {Name: "no stock"}}); err != nil {
			t.Fatal(err)
		}
		got := s.reports()
		if len(got) != 1 || !errors.Is(got[0], stock.ErrUnitsDiffer) {
			t.Fatalf("reported %q, want one %q", got, stock.ErrUnitsDiffer)
		}
		for _, want := range []string{"phone", `"red" has 5 in the file, 3 loaded`, `"green" is not loaded`, `"blue" is not in the file`} {
			if !strings.Contains(got[0].Error(), want) {
				t.Errorf("report %q does not say %q", got[0], want)
			}
		}
		s.sale = edited
		s.admit(s.unit, s.facts("alice", "green"), gate.UnknownItem)
		s.counts("red", stock.Counts{})
	})
}

// TestStoreThatForgot: it is not loaded again, and not sold from until it remembers.
func TestStoreThatForgot(t *testing.T) {
	bubble(t, func(s *shop) {
		s.win("alice", "red")
		s.store.lost.Store(true)
		for range 2 {
			if v := s.admit(s.unit, s.facts("bob", "red"), gate.StoreUnavailable); !errors.Is(v.Err, stock.ErrFrozen) {
				t.Errorf("verdict is %+v, want %v", v, stock.ErrFrozen)
			}
		}
		if err := s.stock.Load(context.Background(), []*rules.Sale{s.sale}); err != nil {
			t.Fatal(err)
		}
		if got := s.reports(); len(got) != 1 || !errors.Is(got[0], stock.ErrFrozen) {
			t.Errorf("reported %q, want one %q", got, stock.ErrFrozen)
		}
		if err := s.stock.Ready(context.Background()); !errors.Is(err, stock.ErrFrozen) {
			t.Errorf("Ready = %v, want %v", err, stock.ErrFrozen)
		}

		s.store.lost.Store(false)
		if err := s.stock.Load(context.Background(), []*rules.Sale{s.sale}); err != nil {
			t.Fatal(err)
		}
		s.win("bob", "red")
		if err := s.stock.Ready(context.Background()); err != nil {
			t.Errorf("Ready = %v", err)
		}

		// Another gateway, that knew nothing, loads it anew: history is shorter than known.
		blank := inBubble(t, file(t))
		defer blank.Close()
		s.store.Store = blank
		gateway(t, s.store, s.sale)
		if err := s.stock.Load(context.Background(), []*rules.Sale{s.sale}); err != nil {
			t.Fatal(err)
		}
		s.admit(s.unit, s.facts("carol", "red"), gate.StoreUnavailable)
	})
}

// TestStoreThatWentBack: the reply itself shows that history was cut. What it took is
// given back, and what was won before is taken again.
func TestStoreThatWentBack(t *testing.T) {
	bubble(t, func(s *shop) {
		s.shares()
		s.win("alice", "red")
		s.unit.Release(s.win("bob", "red"), sold)
		blank := inBubble(t, file(t))
		defer blank.Close()
		s.store.Store = blank
		other := gateway(t, s.store, s.sale)
		if v := s.admit(s.unit, s.facts("carol", "red"), gate.StoreUnavailable); !errors.Is(v.Err, stock.ErrFrozen) {
			t.Errorf("verdict is %+v, want %v", v, stock.ErrFrozen)
		}
		defer s.run()()
		wait(stock.ThawAfter + 2*time.Second)
		other.counts("red", stock.Counts{Reserved: 1, Sold: 1})
	})
}

func TestSweepFreesAndHolds(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		s.win("alice", "red")
		s.admit(s.fence, s.win("bob", "red"), gate.Admitted)
		wait(2*time.Minute + 2*time.Second)
		s.counts("red", stock.Counts{Held: 1})
	})
}
