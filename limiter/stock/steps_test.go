package stock_test

import (
	"context"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// inSteps runs f with a sale whose orders are placed by a later request.
func inSteps(t *testing.T, forward bool, f func(*shop)) {
	bubble(t, func(s *shop) {
		cart := phone()
		cart.Name, cart.Stock.Ledger = "cart", "cart"
		cart.Order = &rules.OrderStep{ForwardWithout: forward}
		c := gateway(t, s.store, cart)
		f(c)
	})
}

// order asks with which reservation the account may order.
func (s *shop) order(account string, want gate.Reason) *gate.Facts {
	s.Helper()
	f := s.facts(account, "")
	f.Order, f.Units = true, 0
	s.admit(s.soldOut, f, gate.Admitted)
	f.Reservation = s.admit(s.unit, f, want).Token
	return f
}

func TestStepsEndToEnd(t *testing.T) {
	inSteps(t, false, func(s *shop) {
		cart := s.win("alice", "red")
		s.admit(s.fence, cart, gate.Admitted)
		s.counts("red", stock.Counts{Reserved: 1}) // nothing was ordered, so nothing has started
		s.unit.Release(cart, sold)                 // whatever the shop has answered
		s.counts("red", stock.Counts{Reserved: 1})

		order := s.order("alice", gate.Admitted)
		if order.Reservation != cart.Token {
			t.Fatalf("the order has reservation %x, want the cart's token", order.Reservation)
		}
		s.admit(s.fence, order, gate.Admitted)
		s.counts("red", stock.Counts{Sending: 1})
		s.order("alice", gate.OrderPending)
		s.unit.Release(order, sold)
		s.counts("red", stock.Counts{Sold: 1})
		s.order("alice", gate.AlreadyBought)
	})
}

// TestStepsBeforeTheOrder: how a request that only reserves leaves its unit.
func TestStepsBeforeTheOrder(t *testing.T) {
	for _, c := range []struct {
		end  gate.End
		want stock.Counts
	}{
		{gate.End{}, stock.Counts{Reserved: 1}}, // the cart may have it: time will tell
		{gate.End{Kind: gate.Refused}, stock.Counts{}},
		{unsent, stock.Counts{}},
		{sold, stock.Counts{Reserved: 1}},
		{gate.End{Kind: gate.Answered, Outcome: rules.OutcomeUnknown}, stock.Counts{Reserved: 1}},
		{gate.End{Kind: gate.Answered, Outcome: rules.OutcomeFree}, stock.Counts{}}, // the shop has refused it
	} {
		inSteps(t, false, func(s *shop) {
			s.unit.Release(s.win("alice", "red"), c.end)
			s.counts("red", c.want)
		})
	}
}

// TestStepsAtTheOrder: how the order leaves it.
func TestStepsAtTheOrder(t *testing.T) {
	for _, c := range []struct {
		end     gate.End
		started bool
		want    stock.Counts
	}{
		{gate.End{Kind: gate.Refused}, false, stock.Counts{Reserved: 1}},
		{unsent, false, stock.Counts{Reserved: 1}},
		{unsent, true, stock.Counts{Reserved: 1}}, // nothing was ordered: the cart keeps its unit
		{gate.End{}, true, stock.Counts{Held: 1}},
		{sold, true, stock.Counts{Sold: 1}},
		{gate.End{Kind: gate.Answered, Outcome: rules.OutcomeFree}, true, stock.Counts{}},
	} {
		inSteps(t, false, func(s *shop) {
			s.unit.Release(s.win("alice", "red"), sold)
			order := s.order("alice", gate.Admitted)
			if c.started {
				s.admit(s.fence, order, gate.Admitted)
			}
			s.unit.Release(order, c.end)
			s.counts("red", c.want)
		})
	}
}

func TestStepsExpire(t *testing.T) {
	for _, forward := range []bool{false, true} {
		inSteps(t, forward, func(s *shop) {
			defer s.run()()
			s.unit.Release(s.win("alice", "red"), sold)
			late := s.order("alice", gate.Admitted)
			wait(2*time.Minute + 2*time.Second)
			s.counts("red", stock.Counts{})
			s.admit(s.fence, late, gate.ReservationExpired)
			s.unit.Release(late, unsent)
			s.order("alice", gate.ReservationExpired)

			stranger := gate.ReservationExpired
			if forward {
				stranger = gate.Admitted
			}
			bob := s.order("bob", stranger)
			if forward {
				s.admit(s.fence, bob, gate.Admitted)
				s.unit.Release(bob, sold)
				s.counts("red", stock.Counts{})
			}
			s.unit.Release(s.win("alice", "red"), sold) // another one
			s.order("alice", gate.Admitted)
		})
	}
}

// TestStepsWithTheReplyLost: nobody knows whether the order has started, and it was not
// sent. The reservation must neither stay started nor be lost, nor start late.
func TestStepsWithTheReplyLost(t *testing.T) {
	inSteps(t, false, func(s *shop) {
		s.unit.Release(s.win("alice", "red"), sold)
		order := s.order("alice", gate.Admitted)
		s.store.lossy.Store(true)
		s.admit(s.fence, order, gate.StoreUnavailable)
		s.store.lossy.Store(false)
		s.counts("red", stock.Counts{Sending: 1})
		s.unit.Release(order, unsent)
		s.counts("red", stock.Counts{Reserved: 1})
		s.admit(s.fence, order, gate.ReservationExpired) // the call that was delayed
		again := s.order("alice", gate.Admitted)
		s.admit(s.fence, again, gate.Admitted)
		s.counts("red", stock.Counts{Sending: 1})
	})
}

// TestPaused: what was taken may be ordered, and nothing is taken.
func TestPaused(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		alice := s.win("alice", "red")
		s.unit.Release(s.win("bob", "red"), sold)
		if err := s.store.SetState(context.Background(), "phone", stock.Paused); err != nil {
			t.Fatal(err)
		}
		if v := s.admit(s.unit, s.facts("carol", "red"), gate.Paused); v.Retry == 0 {
			t.Error("paused without Retry")
		}
		wait(ticks)
		asked := s.store.decides.Load()
		s.admit(s.soldOut, s.facts("carol", "red"), gate.Paused)
		s.admit(s.soldOut, s.facts("bob", "red"), gate.AlreadyBought)
		s.admit(s.soldOut, s.facts("alice", "red"), gate.OrderPending)
		if n := s.store.decides.Load() - asked; n != 0 {
			t.Errorf("the store was asked %d times, want never", n)
		}
		s.admit(s.fence, alice, gate.Admitted)
		s.unit.Release(alice, sold)
		s.counts("red", stock.Counts{Sold: 2})

		if err := s.store.SetState(context.Background(), "phone", stock.Closed); err != nil {
			t.Fatal(err)
		}
		wait(ticks)
		s.admit(s.soldOut, s.facts("carol", "red"), gate.Closed)
		if err := s.store.SetState(context.Background(), "phone", stock.Open); err != nil {
			t.Fatal(err)
		}
		wait(ticks)
		s.admit(s.soldOut, s.facts("carol", "red"), gate.Admitted)
		s.win("carol", "red")
	})
}

// TestUnitsAddedWhileLatched: also an item that the ledger did not have.
func TestUnitsAddedWhileLatched(t *testing.T) {
	bubble(t, func(s *shop) {
		defer s.run()()
		sellOut(s)
		s.sale.Stock.Items["green"] = 1
		s.admit(s.unit, s.facts("bob", "green"), gate.UnknownItem)
		for i, item := range []string{"blue", "green"} {
			a := stock.Adjustment{Ledger: "phone", Token: gate.Token{9, byte(i)}, Item: item, Add: 1}
			if _, err := s.store.Adjust(context.Background(), a); err != nil {
				t.Fatal(err)
			}
		}
		wait(ticks)
		for i, item := range []string{"blue", "green"} {
			account := []string{"bob", "carol"}[i]
			s.admit(s.soldOut, s.facts(account, item), gate.Admitted)
			s.win(account, item)
		}
	})
}
