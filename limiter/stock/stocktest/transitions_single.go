package stocktest

// Sales whose one request takes the unit and places the order: By is the token. Every
// call that changes something is repeated at once.

import (
	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

var single = []test{
	{"reserve", func(d *desk) {
		for range 2 {
			got := d.decide("alice", "red", 1, 2, gate.Admitted)
			want := stock.Decision{Stamp: stock.Stamp{Epoch: d.look().Epoch, Seq: 1}, Reason: gate.Admitted, Free: 1, Pending: 2}
			if got != want {
				d.Fatalf("decision is %+v, want %+v", got, want)
			}
			d.counts("red", stock.Counts{Loaded: 3, Reserved: 2})
			d.holds("alice", stock.Holding{Open: true})
		}
		e := d.stage(1, stock.Reserved)
		if e.Account != "alice" || e.Item != "red" || e.Units != 2 || e.By != (gate.Token{}) || e.Due.IsZero() || e.Changed.IsZero() {
			d.Fatalf("entry is %+v", e)
		}
	}},
	{"refusals in order", func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.decide("alice", "green", 2, 3, gate.OrderPending)
		d.decide("bob", "green", 3, 3, gate.Limit)
		d.decide("bob", "green", 3, 1, gate.UnknownItem)
		got := d.decide("bob", "red", 3, 2, gate.SoldOut)
		if got.Free != 1 || got.Pending != 2 || got.Seq != 1 {
			d.Fatalf("decision is %+v, want 1 free, 2 pending, seq 1", got)
		}
		d.settle(1, 1, sold, nil)
		d.decide("alice", "green", 4, 3, gate.AlreadyBought)
		if got := d.decide("alice", "blue", 4, 1, gate.AlreadyBought); got.Bought != 2 || got.Free != 1 {
			d.Fatalf("decision is %+v, want 2 bought, 1 free", got)
		}
		d.settle(4, 4, free, nil)
		d.decide("alice", "blue", 4, 1, gate.ReservationExpired)
		d.decide("bob", "red", 3, 1, gate.Admitted)
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 1, Sold: 2})
	}},
	{"some left to the account", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.settle(1, 1, sold, nil)
		d.decide("alice", "red", 2, 2, gate.Limit)
		if got := d.decide("alice", "blue", 2, 1, gate.Admitted); got.Bought != 1 {
			d.Fatalf("decision is %+v, want 1 bought", got)
		}
		d.holds("alice", stock.Holding{Bought: 1, Open: true})
	}},
	{"reserved, sending, sold", func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		for range 2 {
			d.start(1, 1, gate.Admitted)
			d.counts("red", stock.Counts{Loaded: 3, Sending: 2})
			d.holds("alice", stock.Holding{Open: true})
			d.decide("alice", "red", 1, 2, gate.Admitted)
		}
		if e := d.stage(1, stock.Sending); e.By != Token(1) || e.Due.IsZero() {
			d.Fatalf("entry is %+v", e)
		}
		for range 2 {
			d.settle(1, 1, sold, nil)
			d.counts("red", stock.Counts{Loaded: 3, Sold: 2})
			d.holds("alice", stock.Holding{Bought: 2})
		}
		d.start(1, 1, gate.AlreadyBought)
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		d.settle(1, 1, free, stock.ErrSold)
		d.settle(1, 0, free, stock.ErrSold)
		d.counts("red", stock.Counts{Loaded: 3, Sold: 2})
	}},
	{"another launch is fenced off", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		d.start(1, 2, gate.OrderPending)
		d.start(1, 1, gate.Admitted)
		d.counts("blue", stock.Counts{Loaded: 1, Sending: 1})
	}},
	{"reserved, free", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		for range 2 {
			d.settle(1, 1, free, nil)
			d.counts("blue", stock.Counts{Loaded: 1})
			d.holds("alice", stock.Holding{})
			d.start(1, 1, gate.ReservationExpired)
			d.decide("alice", "blue", 1, 1, gate.ReservationExpired)
		}
		if e := d.stage(1, stock.Cancelled); e.Account != "alice" || e.Item != "blue" {
			d.Fatalf("entry is %+v, want alice's, blue", e)
		}
		d.settle(1, 1, unknown, nil)
		d.stage(1, stock.Cancelled)
		d.decide("alice", "blue", 2, 1, gate.Admitted)
	}},
	{"sending, free", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		for range 2 {
			d.settle(1, 1, free, nil)
			d.counts("blue", stock.Counts{Loaded: 1})
			d.start(1, 1, gate.ReservationExpired)
		}
	}},
	{"sending, unsent", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		for range 2 {
			d.unsent(1, 1)
			d.counts("blue", stock.Counts{Loaded: 1})
			d.holds("alice", stock.Holding{})
			d.start(1, 1, gate.ReservationExpired)
		}
	}},
	{"reserved, held, sold", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		for range 2 {
			d.settle(1, 1, unknown, nil)
			d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
			d.holds("alice", stock.Holding{Open: true})
		}
		d.start(1, 1, gate.OrderPending)
		d.decide("alice", "red", 2, 1, gate.OrderPending)
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		if got := d.decide("bob", "blue", 3, 1, gate.SoldOut); got.Pending != 0 {
			d.Fatalf("decision is %+v, want none pending: held is not", got)
		}
		for range 2 {
			d.settle(1, 1, sold, nil)
			d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
		}
	}},
	{"sending, held, free by an operator", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		for range 2 {
			d.settle(1, 0, free, nil)
			d.counts("blue", stock.Counts{Loaded: 1})
		}
		d.start(1, 1, gate.ReservationExpired)
	}},
	{"sending, settled by an operator", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		d.settle(1, 0, unknown, nil)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.settle(1, 0, sold, nil)
		d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
	}},
	{"cancelled before it was seen", func(d *desk) {
		for range 2 {
			d.settle(1, 1, free, nil)
		}
		if e := d.stage(1, stock.Cancelled); e.Account != "" {
			d.Fatalf("entry is %+v, want no account", e)
		}
		d.decide("alice", "blue", 1, 1, gate.ReservationExpired)
		d.start(1, 1, gate.ReservationExpired)
		d.unsent(3, 3)
		d.decide("alice", "blue", 3, 1, gate.ReservationExpired)
		d.settle(2, 2, unknown, nil) // remembers nothing
		d.start(2, 2, gate.ReservationExpired)
		d.decide("alice", "blue", 2, 1, gate.Admitted)
	}},
	{"sold late, a unit left", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, free, nil)
		d.decide("alice", "red", 2, 1, gate.Admitted)
		for range 2 {
			d.settle(1, 1, sold, nil)
			d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
			d.holds("alice", stock.Holding{Bought: 1, Open: true})
		}
		d.settle(1, 1, free, stock.ErrSold)
		d.start(1, 1, gate.AlreadyBought)
		d.oversold(0)
	}},
	{"sold late, too few left", func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.settle(1, 1, free, nil)
		d.decide("bob", "red", 2, 2, gate.Admitted)
		for range 2 {
			d.settle(1, 1, sold, stock.ErrOversold)
			d.counts("red", stock.Counts{Loaded: 3, Reserved: 2, Sold: 1})
			d.holds("alice", stock.Holding{Bought: 2})
			d.oversold(1)
		}
		if e := d.stage(1, stock.Sold); e.Over != 1 {
			d.Fatalf("entry is %+v, want 1 over", e)
		}
		d.decide("alice", "blue", 3, 1, gate.AlreadyBought)
	}},
	{"sold late, none left", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, free, nil)
		d.decide("bob", "blue", 2, 1, gate.Admitted)
		for range 2 {
			d.settle(1, 1, sold, stock.ErrOversold)
			d.counts("blue", stock.Counts{Loaded: 1, Reserved: 1})
			d.holds("alice", stock.Holding{Bought: 1})
			d.oversold(1)
		}
	}},
	{"sold, never seen", func(d *desk) {
		for range 2 {
			d.settle(1, 1, sold, stock.ErrOversold)
			d.oversold(1)
		}
		d.decide("alice", "red", 1, 1, gate.Admitted) // a repeat of what was sold
		d.start(1, 1, gate.AlreadyBought)
		d.counts("red", stock.Counts{Loaded: 3})
		d.holds("alice", stock.Holding{})
		d.settle(2, 2, free, nil)
		d.settle(2, 2, sold, stock.ErrOversold)
		d.oversold(2)
	}},
}
