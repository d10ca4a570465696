package stock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// ticks is long enough for two polls, whatever their jitter.
const ticks = 2 * 200 * time.Millisecond

// latched is whether the item is answered from memory.
func (s *shop) latched(item string) bool {
	s.Helper()
	stats, err := s.stock.Pictures(context.Background())
	if err != nil {
		s.Fatalf("Pictures: %v", err)
	}
	return stats.Ledgers["phone"].Latched[item]
}

// sellOut has the blue unit won by alice, and latched. The background is running.
func sellOut(s *shop) (alice *gate.Facts) {
	s.Helper()
	alice = s.win("alice", "blue")
	s.admit(s.unit, s.facts("bob", "blue"), gate.SoldOut)
	wait(time.Millisecond) // no poll: the first Look is taken at once
	if !s.latched("blue") || s.latched("red") {
		s.Fatalf("latched: blue %v, red %v, want blue alone", s.latched("blue"), s.latched("red"))
	}
	return alice
}

func TestLatchAnswersFromMemory(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		alice := sellOut(s)
		asked, looks := s.store.decides.Load(), s.store.looks.Load()
		if v := s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut); v.Retry == 0 {
			t.Error("while a unit is reserved sold out has no Retry")
		}
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.OrderPending)
		s.admit(s.soldOut, s.facts("bob", "red"), gate.Admitted)
		if n := s.store.decides.Load() - asked + s.store.looks.Load() - looks; n != 0 {
			t.Errorf("the store was asked %d times, want never", n)
		}
		s.admit(s.fence, alice, gate.Admitted)
		s.unit.Release(alice, sold)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.AlreadyBought)
		wait(ticks)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.AlreadyBought)
		if v := s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut); v.Retry != 0 {
			t.Errorf("with every unit sold sold out has Retry %v: it is final", v.Retry)
		}
	})
}

// TestLatchWaitsForTheLook: without the holders it would tell winners "sold out".
func TestLatchWaitsForTheLook(t *testing.T) {
	bubble(t, func(s *shop) {
		s.win("alice", "blue")
		s.admit(s.unit, s.facts("bob", "blue"), gate.SoldOut)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.Admitted) // no background yet
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.Admitted)
		s.store.down.Store(true)
		defer s.run()()
		wait(ticks)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.Admitted)
		s.store.down.Store(false)
		wait(ticks)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.OrderPending)
	})
}

func TestLatchReopens(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		s.unit.Release(sellOut(s), unsent)
		wait(ticks)
		probes := 0
		for s.soldOut.Admit(context.Background(), s.facts("bob", "blue")).OK() {
			if probes++; probes > 100 {
				t.Fatal("more than 100 went through for one unit")
			}
		}
		if probes != 4 {
			t.Errorf("%d probes went through for one unit, want 4", probes)
		}
		wait(ticks) // they were lost on the way: others may try
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.Admitted)
		carol := s.win("carol", "blue")
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.OrderPending) // a moment ago
		wait(ticks)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut)
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.OrderPending)
		s.unit.Release(carol, unsent)
		wait(ticks)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.Admitted)
	})
}

// TestLatchReopensForMany: each verdict that shows free units lets more through.
func TestLatchReopensForMany(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		var won []*gate.Facts
		for _, account := range []string{"a", "b", "c"} {
			won = append(won, s.win(account, "red"))
		}
		s.admit(s.unit, s.facts("loser", "red"), gate.SoldOut)
		wait(ticks)
		for _, f := range won {
			s.unit.Release(f, unsent)
		}
		wait(ticks)
		for i := range 6 { // 2 for each free unit
			f := s.facts(string(rune('k'+i)), "red")
			s.admit(s.soldOut, f, gate.Admitted)
			if i == 5 {
				s.admit(s.soldOut, s.facts("z", "red"), gate.SoldOut)
				s.admit(s.unit, f, gate.Admitted)
				s.admit(s.soldOut, s.facts("z", "red"), gate.Admitted)
			}
		}
	})
}

// TestFreshGateway: one that starts after the sell-out, on the same store.
func TestFreshGateway(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		alice := sellOut(s)
		fresh := gateway(t, s.store, s.sale)
		defer fresh.run()()
		through := func(account string, want gate.Reason) {
			t.Helper()
			f := fresh.facts(account, "blue")
			v := fresh.soldOut.Admit(context.Background(), f)
			if v.OK() {
				v = fresh.unit.Admit(context.Background(), f)
			}
			if v.Reason != want {
				t.Fatalf("%s hears %v, want %v", account, v.Reason, want)
			}
		}
		through("alice", gate.OrderPending)
		through("bob", gate.SoldOut)
		through("alice", gate.OrderPending)
		wait(ticks)
		fresh.admit(fresh.soldOut, fresh.facts("bob", "blue"), gate.SoldOut)
		through("alice", gate.OrderPending)

		s.unit.Release(alice, sold) // at the other gateway
		wait(2 * ticks)
		fresh.admit(fresh.soldOut, fresh.facts("alice", "blue"), gate.AlreadyBought)
	})
}

// TestWinnerOfAnotherGateway: the unit comes back at one gateway and is won at another.
func TestWinnerOfAnotherGateway(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		other := gateway(t, s.store, s.sale)
		defer other.run()()
		alice := sellOut(s)
		other.admit(other.unit, other.facts("bob", "blue"), gate.SoldOut)
		wait(ticks)
		other.admit(other.soldOut, other.facts("bob", "blue"), gate.SoldOut)
		s.unit.Release(alice, unsent)
		wait(ticks)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.Admitted)
		s.win("bob", "blue")
		wait(ticks)
		other.admit(other.soldOut, other.facts("bob", "blue"), gate.OrderPending)
		other.admit(other.soldOut, other.facts("alice", "blue"), gate.SoldOut)
	})
}

// TestWinDuringALook: what the Look brings is older than what the gateway itself did
// while it was under way.
func TestWinDuringALook(t *testing.T) {
	bubble(t, func(s *shop) {
		alice := s.win("alice", "blue")
		s.admit(s.unit, s.facts("bob", "blue"), gate.SoldOut)
		looked := false
		s.store.lookReturns = func() {
			if looked {
				return
			}
			looked = true
			s.unit.Release(alice, unsent)
			s.win("carol", "blue")
			s.store.down.Store(true) // and no later Look, no Pulse
		}
		defer s.run()()
		wait(ticks)
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.OrderPending)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.SoldOut)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut)
		s.store.down.Store(false)
		wait(ticks)
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.OrderPending)
	})
}

// TestWinThatLapsed: what the gateway itself knew gives way to a later Look.
func TestWinThatLapsed(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		s.unit.Release(sellOut(s), unsent)
		wait(ticks)
		s.win("carol", "blue")
		wait(2*time.Minute + 2*time.Second) // swept
		s.win("bob", "blue")
		wait(ticks)
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.SoldOut)
	})
}

// TestWonOneOfTwo: who has won never hears "sold out", whoever answers.
func TestWonOneOfTwo(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		sale := phone()
		sale.Stock.PerAccount = 2
		store := inBubble(t, path)
		defer store.Close()
		s := gateway(t, &spy{Store: store}, sale)
		defer s.run()()
		s.unit.Release(s.win("alice", "blue"), sold)
		s.admit(s.unit, s.facts("alice", "blue"), gate.AlreadyBought)
		s.admit(s.unit, s.facts("bob", "blue"), gate.SoldOut)
		wait(ticks)
		s.admit(s.soldOut, s.facts("alice", "blue"), gate.AlreadyBought)
		s.admit(s.soldOut, s.facts("alice", "red"), gate.Admitted)
		s.admit(s.soldOut, s.facts("bob", "blue"), gate.SoldOut)
	})
}

// TestTooManyAsked: an item with a unit left is not latched by those who want two.
func TestTooManyAsked(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		sale := phone()
		sale.Stock.PerAccount = 2
		store := inBubble(t, path)
		defer store.Close()
		s := gateway(t, &spy{Store: store}, sale)
		defer s.run()()
		two := s.facts("alice", "blue")
		two.Units = 2
		s.admit(s.unit, two, gate.SoldOut)
		wait(ticks)
		if s.latched("blue") || s.store.looks.Load() != 0 {
			t.Errorf("latched: %v after %d looks, want neither", s.latched("blue"), s.store.looks.Load())
		}
		s.win("bob", "blue")
	})
}

// TestLatchKeepsItsOwnStrings: strings of a request live as long as the request.
func TestLatchKeepsItsOwnStrings(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		s.unit.Release(sellOut(s), unsent)
		wait(ticks)
		lent := []byte("carol")
		f := s.facts(string(lent), "blue")
		f.Account = unsafe.String(&lent[0], len(lent))
		s.admit(s.soldOut, f, gate.Admitted)
		s.admit(s.unit, f, gate.Admitted)
		s.unit.Release(f, gate.End{Kind: gate.Answered, Outcome: rules.OutcomeSold})
		copy(lent, "xxxxx")
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.AlreadyBought)
		wait(ticks)
		s.admit(s.soldOut, s.facts("carol", "blue"), gate.AlreadyBought)
		s.counts("blue", stock.Counts{Sold: 1})
	})
}
