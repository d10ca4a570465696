package stocktest

// Orders in steps: one request reserves, and a later one, with a token of its own,
// places the order.

import (
	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

// inSteps makes the ledger one of orders in steps.
func inSteps(run func(*desk)) func(*desk) {
	return func(d *desk) {
		d.change(func(t *stock.Terms) { t.Steps = true })
		run(d)
	}
}

// lapsed checks that the account hears its reservation is gone, and whether it ever had
// one to lose.
func (d *desk) lapsed(account string, stranger bool) {
	d.Helper()
	if got := d.order(account, gate.ReservationExpired); got.Stranger != stranger {
		d.Fatalf("order of %q: %+v, want stranger: %v", account, got, stranger)
	}
}

var steps = []test{
	{"find the reservation", inSteps(func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		for range 2 {
			got := d.order("alice", gate.Admitted)
			if got.Token != Token(1) || got.Item != "red" || got.Units != 2 || got.Free != 1 || got.Pending != 2 || got.Stranger {
				d.Fatalf("decision is %+v, want token 1, 2 red", got)
			}
		}
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 2})
		d.lapsed("bob", true)
	})},
	{"reserved, sending, sold", inSteps(func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		for range 2 {
			d.start(1, 11, gate.Admitted)
			d.start(1, 12, gate.OrderPending)
			d.start(1, 1, gate.OrderPending)
			d.order("alice", gate.OrderPending)
		}
		if e := d.stage(1, stock.Sending); e.By != Token(11) {
			d.Fatalf("entry is %+v, want it sent by 11", e)
		}
		for range 2 {
			d.settle(1, 11, sold, nil)
			d.counts("red", stock.Counts{Loaded: 3, Sold: 1})
			d.start(1, 11, gate.AlreadyBought)
			d.start(1, 12, gate.AlreadyBought)
			d.order("alice", gate.AlreadyBought)
		}
		d.decide("alice", "blue", 2, 1, gate.Admitted)
		if got := d.order("alice", gate.Admitted); got.Token != Token(2) || got.Bought != 1 {
			d.Fatalf("decision is %+v, want token 2, 1 bought", got)
		}
		d.settle(2, 0, free, nil)
		d.order("alice", gate.AlreadyBought)
	})},
	{"freed by the shop's answer", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.Admitted)
		for range 2 {
			d.settle(1, 11, free, nil)
			d.counts("blue", stock.Counts{Loaded: 1})
			d.lapsed("alice", false)
		}
		d.start(1, 12, gate.ReservationExpired)
		d.decide("alice", "blue", 2, 1, gate.Admitted)
		d.order("alice", gate.Admitted)
		d.unsent(2, 2)
		d.lapsed("alice", true)
	})},
	{"another launch's word does not count", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.Admitted)
		d.settle(1, 12, free, nil)
		d.settle(1, 12, unknown, nil)
		d.settle(1, 1, free, nil)
		d.settle(1, 1, unknown, nil)
		d.unsent(1, 12)
		d.unsent(1, 1)
		d.counts("blue", stock.Counts{Loaded: 1, Sending: 1})
		d.start(1, 11, gate.Admitted)
		d.settle(1, 12, sold, nil) // a sale counts, whoever tells
		d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
	})},
	{"an operator's word does", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.Admitted)
		d.settle(1, 0, unknown, nil)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.order("alice", gate.OrderPending)
		d.start(1, 11, gate.OrderPending)
		d.settle(1, 0, free, nil)
		d.counts("blue", stock.Counts{Loaded: 1})
		d.lapsed("alice", false)
		d.decide("bob", "blue", 2, 1, gate.Admitted)
		d.start(2, 21, gate.Admitted)
		d.settle(2, 0, free, nil)
		d.counts("blue", stock.Counts{Loaded: 1})
	})},
	{"unsent, and tried again", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.Admitted)
		for range 2 {
			d.unsent(1, 11)
			d.counts("blue", stock.Counts{Loaded: 1, Reserved: 1})
			d.holds("alice", stock.Holding{Open: true})
			d.start(1, 11, gate.ReservationExpired)
		}
		if e := d.stage(1, stock.Reserved); e.By != (gate.Token{}) || e.Due.IsZero() {
			d.Fatalf("entry is %+v, want one that nobody has sent", e)
		}
		d.stage(11, stock.Cancelled)
		d.order("alice", gate.Admitted)
		d.start(1, 12, gate.Admitted)
		d.unsent(1, 11) // a repeat that comes late
		d.start(1, 11, gate.ReservationExpired)
		d.start(1, 12, gate.Admitted)
		d.settle(1, 12, sold, nil)
		d.start(1, 11, gate.ReservationExpired)
		d.unsent(1, 12)
		d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
	})},
	{"unsent, reserved anew by the terms of now", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.Admitted)
		d.passing(0)
		d.unsent(1, 11)
		d.order("alice", gate.ReservationExpired)
		d.start(1, 12, gate.ReservationExpired)
		d.sweep(1)
		d.lapsed("alice", false)
	})},
	{"unsent before it was started", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		for range 2 {
			d.unsent(1, 11)
			d.counts("blue", stock.Counts{Loaded: 1, Reserved: 1})
			d.start(1, 11, gate.ReservationExpired)
			d.decide("bob", "red", 11, 1, gate.ReservationExpired)
		}
		d.start(1, 12, gate.Admitted)
	})},
	{"unsent of a token never seen", inSteps(func(d *desk) {
		d.unsent(1, 11)
		d.stage(11, stock.Cancelled)
		d.stage(1, 0)
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.ReservationExpired)
		d.start(1, 12, gate.Admitted)
	})},
	{"held meanwhile, and unsent", inSteps(func(d *desk) { // by one that was stopped for long
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.passing(0)
		d.start(1, 11, gate.Admitted)
		d.passing(hour)
		d.sweep(1)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.unsent(1, 12)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		for range 2 {
			d.unsent(1, 11)
			d.counts("blue", stock.Counts{Loaded: 1, Reserved: 1})
		}
		d.start(1, 13, gate.Admitted)
	})},
	{"a cart that is given back before the order", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, free, nil)
		d.lapsed("alice", false)
		d.settle(2, 2, free, nil) // never seen: nobody's
		d.decide("alice", "red", 3, 1, gate.Admitted)
		d.unsent(3, 3)
		d.lapsed("alice", true)
	})},
	{"a cart past its time", inSteps(func(d *desk) {
		d.passing(0)
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.order("alice", gate.ReservationExpired)
		d.start(1, 11, gate.ReservationExpired)
		d.decide("alice", "red", 2, 1, gate.OrderPending)
		d.sweep(1)
		d.sweep(0)
		d.lapsed("alice", false)
		d.start(1, 11, gate.ReservationExpired)
		d.passing(Terms().ReserveFor)
		d.decide("alice", "blue", 3, 1, gate.Admitted)
		d.order("alice", gate.Admitted)
		d.start(1, 11, gate.ReservationExpired) // the old cart orders nothing
		d.start(3, 13, gate.Admitted)
		d.settle(3, 13, sold, nil)
		d.order("alice", gate.AlreadyBought)
	})},
	{"sold after the cart was given back", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, free, nil)
		for range 2 {
			d.settle(1, 0, sold, nil)
			d.order("alice", gate.AlreadyBought)
		}
	})},
}
