package stocktest

import (
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

const (
	sold    = rules.OutcomeSold
	free    = rules.OutcomeFree
	unknown = rules.OutcomeUnknown
)

// transitions start with 3 red and 1 blue, at most 2 units for an account; each call
// that changes something is repeated at once.
var transitions = []struct {
	name string
	run  func(*desk)
}{
	{"reserve", func(d *desk) {
		for range 2 {
			got := d.decide(d.ask("alice", "red", 1, 2), gate.Admitted)
			want := stock.Decision{Reason: gate.Admitted, Free: 1, Pending: 2, Seq: 1}
			if got != want {
				d.Fatalf("decision is %+v, want %+v", got, want)
			}
			d.counts("red", stock.Counts{Loaded: 3, Reserved: 2})
			d.holds("alice", stock.Holding{Open: true})
		}
	}},
	{"refusals in order", func(d *desk) {
		d.decide(d.ask("alice", "red", 1, 2), gate.Admitted)
		d.decide(d.ask("alice", "red", 2, 1), gate.OrderPending)
		d.decide(d.ask("bob", "red", 3, 3), gate.Limit)
		d.decide(d.ask("bob", "green", 3, 1), gate.UnknownItem)
		got := d.decide(d.ask("bob", "red", 3, 2), gate.SoldOut)
		if want := (stock.Decision{Reason: gate.SoldOut, Free: 1, Pending: 2, Seq: 1}); got != want {
			d.Fatalf("decision is %+v, want %+v", got, want)
		}
		d.settle(1, sold, nil)
		d.decide(d.ask("alice", "red", 4, 1), gate.AlreadyBought)
		d.decide(d.ask("alice", "blue", 4, 1), gate.AlreadyBought)
		d.decide(d.ask("bob", "red", 3, 1), gate.Admitted)
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 1, Sold: 2})
	}},
	{"some left to the account", func(d *desk) {
		d.decide(d.ask("alice", "red", 1, 1), gate.Admitted)
		d.settle(1, sold, nil)
		d.decide(d.ask("alice", "red", 2, 2), gate.Limit)
		if got := d.decide(d.ask("alice", "blue", 2, 1), gate.Admitted); got.Bought != 1 {
			d.Fatalf("decision is %+v, want 1 bought", got)
		}
		d.holds("alice", stock.Holding{Bought: 1, Open: true})
	}},
	{"reserved, sending, sold", func(d *desk) {
		d.decide(d.ask("alice", "red", 1, 2), gate.Admitted)
		for range 2 {
			d.start(1, true)
			d.counts("red", stock.Counts{Loaded: 3, Sending: 2})
		}
		for range 2 {
			d.settle(1, sold, nil)
			d.counts("red", stock.Counts{Loaded: 3, Sold: 2})
			d.holds("alice", stock.Holding{Bought: 2})
		}
		d.start(1, false)
		d.decide(d.ask("alice", "red", 1, 2), gate.Admitted)
		d.settle(1, unknown, nil)
		d.settle(1, free, stock.ErrSold)
		d.counts("red", stock.Counts{Loaded: 3, Sold: 2})
	}},
	{"reserved, free", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		for range 2 {
			d.settle(1, free, nil)
			d.counts("blue", stock.Counts{Loaded: 1})
			d.holds("alice", stock.Holding{})
			d.start(1, false)
			d.decide(d.ask("alice", "blue", 1, 1), gate.ReservationExpired)
		}
		d.settle(1, unknown, nil)
		d.decide(d.ask("alice", "blue", 2, 1), gate.Admitted)
	}},
	{"sending, free", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		d.start(1, true)
		d.settle(1, free, nil)
		d.counts("blue", stock.Counts{Loaded: 1})
	}},
	{"reserved, held, sold", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		for range 2 {
			d.settle(1, unknown, nil)
			d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
			d.holds("alice", stock.Holding{Open: true})
		}
		d.start(1, false)
		d.decide(d.ask("alice", "red", 2, 1), gate.OrderPending)
		if got := d.decide(d.ask("bob", "blue", 3, 1), gate.SoldOut); got.Pending != 0 {
			d.Fatalf("decision is %+v, want none pending: held is final", got)
		}
		d.settle(1, sold, nil)
		d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
	}},
	{"sending, held, free", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		d.start(1, true)
		d.settle(1, unknown, nil)
		d.settle(1, free, nil)
		d.counts("blue", stock.Counts{Loaded: 1})
	}},
	{"reservation past its deadline", func(d *desk) {
		a := d.ask("alice", "blue", 1, 1)
		a.ReserveFor = 0
		d.decide(a, gate.Admitted)
		d.start(1, false) // before any sweep
		d.sweep(1)
		d.sweep(0)
		d.counts("blue", stock.Counts{Loaded: 1})
		d.holds("alice", stock.Holding{})
		d.start(1, false)
		d.decide(a, gate.ReservationExpired)
	}},
	{"sending past its deadline", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		for range 2 {
			if ok, err := d.store.Start(d.Context(), d.ledger, Token(1), 0); !ok || err != nil {
				d.Fatalf("Start = %v, %v, want true", ok, err)
			}
		}
		d.sweep(1)
		d.sweep(0)
		d.start(1, false)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.holds("alice", stock.Holding{Open: true})
	}},
	{"nothing to sweep", func(d *desk) {
		a := d.ask("alice", "red", 1, 1)
		a.ReserveFor = 0
		d.decide(a, gate.Admitted)
		d.decide(d.ask("bob", "red", 2, 1), gate.Admitted)
		d.start(2, true)
		d.settle(1, sold, nil)
		d.sweep(0)
		d.counts("red", stock.Counts{Loaded: 3, Sold: 1, Sending: 1})
	}},
	{"cancelled before it was seen", func(d *desk) {
		for range 2 {
			d.settle(1, free, nil)
		}
		d.decide(d.ask("alice", "blue", 1, 1), gate.ReservationExpired)
		d.start(1, false)
		d.settle(2, unknown, nil)
		d.decide(d.ask("alice", "blue", 2, 1), gate.Admitted)
	}},
	{"sold late, a unit left", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		d.settle(1, free, nil)
		d.decide(d.ask("alice", "red", 2, 1), gate.Admitted)
		for range 2 {
			d.settle(1, sold, nil)
			d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
			d.holds("alice", stock.Holding{Bought: 1, Open: true})
		}
		d.settle(1, free, stock.ErrSold)
		d.oversold(0)
	}},
	{"sold late, too few left", func(d *desk) {
		d.decide(d.ask("alice", "red", 1, 2), gate.Admitted)
		d.settle(1, free, nil)
		d.decide(d.ask("bob", "red", 2, 2), gate.Admitted)
		for range 2 {
			d.settle(1, sold, stock.ErrOversold)
			d.counts("red", stock.Counts{Loaded: 3, Reserved: 2, Sold: 1})
			d.holds("alice", stock.Holding{Bought: 2})
			d.oversold(1)
		}
		d.decide(d.ask("alice", "blue", 3, 1), gate.AlreadyBought)
	}},
	{"sold late, none left", func(d *desk) {
		d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted)
		d.settle(1, free, nil)
		d.decide(d.ask("bob", "blue", 2, 1), gate.Admitted)
		for range 2 {
			d.settle(1, sold, stock.ErrOversold)
			d.counts("blue", stock.Counts{Loaded: 1, Reserved: 1})
			d.holds("alice", stock.Holding{Bought: 1})
			d.oversold(1)
		}
	}},
	{"sold, never seen", func(d *desk) {
		for range 2 {
			d.settle(1, sold, stock.ErrOversold)
			d.oversold(1)
		}
		d.decide(d.ask("alice", "red", 1, 1), gate.Admitted) // a repeat of what was sold
		d.counts("red", stock.Counts{Loaded: 3})
		d.settle(2, free, nil)
		d.settle(2, sold, stock.ErrOversold)
		d.oversold(2)
	}},
	{"seq grows with who holds what", func(d *desk) {
		last := d.look().Seq
		moved := func(what string, want bool, f func()) {
			f()
			now := d.look().Seq
			if now < last || want != (now > last) {
				d.Fatalf("%s: seq went from %d to %d, want growth: %v", what, last, now, want)
			}
			last = now
		}
		short := d.ask("carol", "red", 3, 1)
		short.ReserveFor = 0
		moved("a win", true, func() { d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted) })
		moved("its repeat", false, func() { d.decide(d.ask("alice", "blue", 1, 1), gate.Admitted) })
		moved("a refusal", false, func() { d.decide(d.ask("bob", "blue", 2, 1), gate.SoldOut) })
		moved("a sale", true, func() { d.settle(1, sold, nil) })
		moved("its repeat", false, func() { d.settle(1, sold, nil) })
		moved("a short win", true, func() { d.decide(short, gate.Admitted) })
		moved("an expiry", true, func() { d.sweep(1) })
		moved("a late sale", true, func() { d.settle(3, sold, nil) })
	}},
	{"pulse is a look without holders", func(d *desk) {
		d.decide(d.ask("alice", "red", 1, 2), gate.Admitted)
		d.start(1, true)
		d.settle(9, sold, stock.ErrOversold)
		want := d.look()
		p, err := d.store.Pulse(d.Context(), d.ledger)
		if err != nil || len(p) != 1 || p[0].Holders != nil {
			d.Fatalf("Pulse = %+v, %v, want one picture without holders", p, err)
		}
		if fault := differs(p[0], want); fault != "" {
			d.Fatalf("pulse, beside a look: %s", fault)
		}
	}},
	{"a reservation keeps its first deadline", func(d *desk) {
		a := d.ask("alice", "blue", 1, 1)
		a.ReserveFor = 0
		d.decide(a, gate.Admitted)
		a.ReserveFor = time.Hour
		d.decide(a, gate.Admitted)
		d.start(1, false)
		d.sweep(1)
	}},
}

func (d *desk) oversold(want int) {
	d.Helper()
	if got := d.look().Oversold; got != want {
		d.Fatalf("oversold is %d, want %d", got, want)
	}
}
