package stocktest

// Terms and states of ledgers, and the stamps of what changes.

import (
	"errors"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

func (d *desk) state(s stock.State) {
	d.Helper()
	for range 2 {
		if err := d.store.SetState(d.Context(), d.ledger, s); err != nil {
			d.Fatalf("SetState(%c): %v", s, err)
		}
		if got := d.look().State; got != s {
			d.Fatalf("state is %c, want %c", got, s)
		}
	}
}

var ruling = []test{
	{"terms are kept", func(d *desk) {
		want := stock.Terms{PerAccount: 7, ReserveFor: hour + 1e6, SendingFor: 2 * hour, Unknown: rules.Resolve, UnknownAfter: 3 * hour, Steps: true}
		d.change(func(t *stock.Terms) { *t = want })
		if got := d.look().Terms; got != want {
			d.Fatalf("terms are %+v, want %+v", got, want)
		}
	}},
	{"another limit per account", func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.settle(1, 1, sold, nil)
		d.decide("alice", "blue", 2, 1, gate.AlreadyBought)
		d.change(func(t *stock.Terms) { t.PerAccount = 3 })
		d.decide("alice", "blue", 2, 2, gate.Limit)
		d.decide("alice", "blue", 2, 1, gate.Admitted)
		d.change(func(t *stock.Terms) { t.PerAccount = 1 })
		d.decide("bob", "red", 3, 2, gate.Limit)
		d.decide("alice", "blue", 2, 1, gate.Admitted) // what it has it keeps
		d.start(2, 2, gate.Admitted)
		d.settle(2, 2, sold, nil)
		d.decide("alice", "red", 4, 1, gate.AlreadyBought)
	}},
	{"paused", func(d *desk) { d.stopped(stock.Paused, gate.Paused) }},
	{"closed", func(d *desk) { d.stopped(stock.Closed, gate.Closed) }},
	{"paused orders in steps", inSteps(func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.state(stock.Paused)
		d.order("alice", gate.Admitted)
		d.start(1, 11, gate.Admitted)
		d.unsent(1, 11)
		d.start(1, 12, gate.Admitted)
		d.settle(1, 12, sold, nil)
	})},
	{"bad asks", func(d *desk) {
		for _, a := range []stock.Ask{d.ask("alice", "red", 1, 0), d.ask("alice", "red", 1, -1), d.ask("", "red", 1, 1),
			{Ledger: d.ledger, Token: Token(1), Order: true}} {
			if got, err := d.store.Decide(d.Context(), a); err == nil {
				d.Errorf("Decide(%+v) = %+v, want an error", a, got)
			}
		}
		d.counts("red", stock.Counts{Loaded: 3})
		d.stage(1, 0)
	}},
	{"seq counts changes of what accounts hold", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Unknown, t.UnknownAfter = rules.Release, 0 })
		last := d.look().Seq
		moved := func(what string, by uint64, f func()) {
			d.Helper()
			f()
			if now := d.look().Seq; now != last+by {
				d.Fatalf("%s: seq went from %d to %d, want %d more", what, last, now, by)
			}
			last += by
		}
		moved("a win", 1, func() { d.decide("alice", "blue", 1, 1, gate.Admitted) })
		moved("its repeat", 0, func() { d.decide("alice", "blue", 1, 1, gate.Admitted) })
		moved("a refusal", 0, func() { d.decide("bob", "blue", 2, 1, gate.SoldOut) })
		moved("its start", 0, func() { d.start(1, 1, gate.Admitted) })
		moved("what is held is open still", 0, func() { d.settle(1, 1, unknown, nil) })
		moved("a sale", 1, func() { d.settle(1, 1, sold, nil) })
		moved("its repeat", 0, func() { d.settle(1, 1, sold, nil) })
		moved("a launch that is taken back", 1, func() {
			d.decide("erin", "red", 6, 1, gate.Admitted)
			d.start(6, 16, gate.Admitted)
			d.unsent(6, 16)
		})
		d.change(func(t *stock.Terms) { t.ReserveFor, t.SendingFor = 0, 0 })
		moved("what is late is held", 0, func() {
			d.start(6, 17, gate.Admitted)
			d.sweep(1)
		})
		moved("what is held is released", 1, func() { d.sweep(1) })
		moved("two short wins", 2, func() {
			d.decide("carol", "red", 3, 1, gate.Admitted)
			d.decide("dave", "red", 4, 1, gate.Admitted)
		})
		moved("their expiry", 2, func() { d.sweep(2) })
		moved("a late sale", 1, func() { d.settle(3, 3, sold, nil) })
		moved("a late sale of nobody's", 0, func() { d.settle(7, 7, sold, stock.ErrOversold) })
		moved("a tombstone", 0, func() { d.settle(5, 5, free, nil) })
	}},
	{"pulse is a look without holders", func(d *desk) {
		other := newDesk(d, d.store, map[string]int{"green": 2})
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		d.settle(9, 9, sold, stock.ErrOversold)
		d.state(stock.Paused)
		p, err := d.store.Pulse(d.Context(), d.ledger, Ledger(), other.ledger, d.ledger)
		if err != nil || len(p) != 4 || p[1].Items != nil || p[1].Archived || p[0].Holders != nil {
			d.Fatalf("Pulse = %+v, %v, want four pictures, the second of nothing, all without holders", p, err)
		}
		for i, want := range map[int]stock.Picture{0: d.look(), 2: other.look(), 3: d.look()} {
			if fault := differs(p[i], want); fault != "" || p[i].Stamp != want.Stamp {
				d.Fatalf("pulse %d, beside a look: %s; stamps %v, %v", i, fault, p[i].Stamp, want.Stamp)
			}
		}
		if p, err := d.store.Pulse(d.Context()); err != nil || len(p) != 0 {
			d.Fatalf("Pulse of nothing = %+v, %v", p, err)
		}
	}},
	{"not loaded", func(d *desk) {
		d.ledger = Ledger()
		for range 2 {
			d.unknownToAll()
		}
	}},
}

// stopped: nothing more is reserved, what has been goes on.
func (d *desk) stopped(s stock.State, want gate.Reason) {
	d.decide("alice", "red", 1, 1, gate.Admitted)
	d.decide("bob", "blue", 2, 1, gate.Admitted)
	d.settle(2, 2, sold, nil)
	d.state(s)
	d.decide("alice", "red", 1, 1, gate.Admitted)
	d.decide("alice", "red", 3, 1, gate.OrderPending)
	d.decide("bob", "red", 3, 2, gate.Limit)
	for range 2 {
		d.decide("carol", "green", 3, 1, want)
		d.decide("carol", "blue", 3, 1, want)
		d.decide("carol", "red", 3, 1, want)
	}
	d.start(1, 1, gate.Admitted)
	d.settle(1, 1, sold, nil)
	d.counts("red", stock.Counts{Loaded: 3, Sold: 1})
	d.state(stock.Open)
	d.decide("carol", "red", 3, 1, gate.Admitted)
}

// unknownToAll: no call but Load makes a ledger known.
func (d *desk) unknownToAll() {
	d.Helper()
	ctx, s := d.Context(), d.store
	for name, call := range map[string]func() error{
		"Decide": func() error { _, err := s.Decide(ctx, d.ask("alice", "red", 1, 1)); return err },
		"order": func() error {
			_, err := s.Decide(ctx, stock.Ask{Ledger: d.ledger, Account: "a", Order: true})
			return err
		},
		"Start": func() error {
			_, err := s.Start(ctx, stock.Launch{Ledger: d.ledger, Token: Token(1), By: Token(1)})
			return err
		},
		"Settle":   func() error { return s.Settle(ctx, stock.Settlement{Ledger: d.ledger, Token: Token(1), Outcome: free}) },
		"Sweep":    func() error { _, err := s.Sweep(ctx, d.ledger, "gateway"); return err },
		"Look":     func() error { _, err := s.Look(ctx, d.ledger, 0); return err },
		"SetTerms": func() error { return s.SetTerms(ctx, d.ledger, Terms()) },
		"SetState": func() error { return s.SetState(ctx, d.ledger, stock.Paused) },
		"Adjust": func() error {
			_, err := s.Adjust(ctx, stock.Adjustment{Ledger: d.ledger, Token: Token(1), Add: 1})
			return err
		},
		"Entries": func() error { _, _, err := s.Entries(ctx, stock.Query{Ledger: d.ledger}); return err },
		"Freeze":  func() error { _, err := s.Freeze(ctx, d.ledger); return err },
		"Thaw":    func() error { return s.Thaw(ctx, d.ledger) },
		"Reassert": func() error {
			_, err := s.Reassert(ctx, stock.Assertion{Ledger: d.ledger, Freeze: 1, Last: true})
			return err
		},
	} {
		if err := call(); !errors.Is(err, stock.ErrNotLoaded) {
			d.Errorf("%s of an unknown ledger: %v, want %v", name, err, stock.ErrNotLoaded)
		}
	}
	if p, err := s.Pulse(ctx, d.ledger); err != nil || len(p) != 1 || p[0].Items != nil {
		d.Errorf("Pulse of an unknown ledger = %+v, %v, want one picture of nothing", p, err)
	}
}
