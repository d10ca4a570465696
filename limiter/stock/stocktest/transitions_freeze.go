package stocktest

// Getting over lost data: freezes, what gateways assert, and how freezes end.

import (
	"errors"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

func (d *desk) freeze() uint64 {
	d.Helper()
	first, err := d.store.Freeze(d.Context(), d.ledger)
	again, err2 := d.store.Freeze(d.Context(), d.ledger)
	if err != nil || err2 != nil || first == 0 || again != first || d.look().Freeze != first {
		d.Fatalf("Freeze = %d, %v, then %d, %v, and is %d, want one number", first, err, again, err2, d.look().Freeze)
	}
	return first
}

func (d *desk) thaw() {
	d.Helper()
	for range 2 {
		if err := d.store.Thaw(d.Context(), d.ledger); err != nil || d.look().Freeze != 0 {
			d.Fatalf("Thaw: %v, freeze is %d", err, d.look().Freeze)
		}
	}
}

func (d *desk) assert(freeze uint64, entries ...stock.Entry) {
	d.Helper()
	for range 2 {
		thawed, err := d.store.Reassert(d.Context(), stock.Assertion{Ledger: d.ledger, Gateway: "gateway", Freeze: freeze, Entries: entries})
		if thawed || err != nil {
			d.Fatalf("Reassert(%+v) = %v, %v, want it frozen still", entries, thawed, err)
		}
	}
}

// last says that the gateway has told all.
func (d *desk) last(gateway string, freeze uint64) (thawed bool) {
	d.Helper()
	thawed, err := d.store.Reassert(d.Context(), stock.Assertion{Ledger: d.ledger, Gateway: gateway, Freeze: freeze, Last: true})
	if err != nil || thawed != (d.look().Freeze != freeze) {
		d.Fatalf("Reassert of %q = %v, %v, freeze is %d", gateway, thawed, err, d.look().Freeze)
	}
	return thawed
}

// untilThawed asks again and again: how long a freeze takes is the store's to know.
func (d *desk) untilThawed(gateway string, freeze uint64) {
	d.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if d.last(gateway, freeze) {
			return
		}
	}
	d.Fatal("ledger was not thawed in 30 s")
}

func (d *desk) frozen(a stock.Ask) {
	d.Helper()
	if got, err := d.store.Decide(d.Context(), a); !errors.Is(err, stock.ErrFrozen) {
		d.Fatalf("Decide(%+v) = %+v, %v, want %v", a, got, err, stock.ErrFrozen)
	}
}

func (d *desk) notStarted(token int) {
	d.Helper()
	got, err := d.store.Start(d.Context(), stock.Launch{Ledger: d.ledger, Token: Token(token), By: Token(token)})
	if got == gate.Admitted || !errors.Is(err, stock.ErrFrozen) {
		d.Fatalf("Start(%d) = %v, %v, want %v", token, got, err, stock.ErrFrozen)
	}
}

// known is an entry as a gateway knows it.
func known(token int, state stock.Stage, account, item string, units int) stock.Entry {
	e := stock.Entry{Token: Token(token), State: state, Account: account, Item: item, Units: units}
	if state == stock.Sending || state == stock.Held || state == stock.Sold {
		e.By = e.Token
	}
	if state == stock.Reserved || state == stock.Sending {
		e.Due = time.Now().Add(hour)
	}
	return e
}

var freezing = []test{
	{"frozen", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.start(2, 2, gate.Admitted)
		d.passing(0)
		d.decide("carol", "blue", 3, 1, gate.Admitted)
		d.freeze()
		d.frozen(d.ask("dave", "red", 4, 1))
		d.frozen(d.ask("dave", "green", 4, 1))
		d.frozen(stock.Ask{Ledger: d.ledger, Account: "alice", Token: Token(4), Order: true})
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.decide("alice", "red", 4, 1, gate.OrderPending)
		d.decide("dave", "red", 4, 3, gate.Limit)
		d.notStarted(1)
		d.start(2, 2, gate.Admitted) // a repeat
		d.start(2, 9, gate.OrderPending)
		d.start(3, 3, gate.ReservationExpired)
		d.start(9, 9, gate.ReservationExpired)
		d.sweep(0)
		d.settle(2, 2, sold, nil)
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 1, Sold: 1})
		d.counts("blue", stock.Counts{Loaded: 1, Reserved: 1})
		d.thaw()
		d.start(1, 1, gate.Admitted)
		d.sweep(2)
	}},
	{"settlements go on", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.decide("carol", "blue", 3, 1, gate.Admitted)
		d.freeze()
		d.settle(1, 1, free, nil)
		d.settle(2, 2, unknown, nil)
		d.settle(3, 3, sold, nil)
		d.settle(1, 1, sold, nil)
		d.settle(4, 4, free, nil)
		d.counts("red", stock.Counts{Loaded: 3, Held: 1, Sold: 1})
		d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
		d.thaw()
		d.decide("dave", "red", 4, 1, gate.ReservationExpired)
	}},
	{"another freeze has another number", func(d *desk) {
		first := d.freeze()
		d.thaw()
		if next := d.freeze(); next == first {
			d.Fatalf("both freezes are number %d", first)
		}
		if thawed, err := d.store.Reassert(d.Context(), stock.Assertion{
			Ledger: d.ledger, Gateway: "gateway", Freeze: first, Entries: []stock.Entry{known(1, stock.Sold, "alice", "red", 1)},
		}); !thawed || err != nil || d.look().Freeze == 0 {
			d.Fatalf("Reassert for the last freeze = %v, %v, freeze is %d, want it without effect", thawed, err, d.look().Freeze)
		}
		d.counts("red", stock.Counts{Loaded: 3})
		d.thaw()
		d.last("gateway", first)
	}},
	{"assert what is not there", func(d *desk) {
		n := d.freeze()
		d.assert(n, known(1, stock.Reserved, "alice", "red", 1), known(2, stock.Sending, "bob", "red", 1))
		d.assert(n, known(3, stock.Held, "carol", "red", 1), known(4, stock.Sold, "dave", "blue", 1), known(5, stock.Cancelled, "", "", 0))
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 1, Sending: 1, Held: 1})
		d.counts("blue", stock.Counts{Loaded: 1, Sold: 1})
		d.holds("alice", stock.Holding{Open: true})
		d.holds("carol", stock.Holding{Open: true})
		d.holds("dave", stock.Holding{Bought: 1})
		d.thaw()
		d.start(1, 1, gate.Admitted)
		d.start(2, 2, gate.Admitted)
		d.start(2, 9, gate.OrderPending)
		d.start(3, 3, gate.OrderPending)
		d.start(4, 4, gate.AlreadyBought)
		d.decide("erin", "red", 5, 1, gate.ReservationExpired)
		d.decide("erin", "red", 6, 1, gate.SoldOut)
		d.settle(3, 3, free, nil)
		d.decide("erin", "red", 6, 1, gate.Admitted)
	}},
	{"tokens move on, and never back", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		n := d.freeze()
		for _, c := range []struct {
			assert stock.Stage
			want   stock.Counts
		}{
			{stock.Cancelled, stock.Counts{Reserved: 1}}, {stock.Reserved, stock.Counts{Reserved: 1}},
			{stock.Sending, stock.Counts{Sending: 1}}, {stock.Reserved, stock.Counts{Sending: 1}},
			{stock.Held, stock.Counts{Held: 1}}, {stock.Sending, stock.Counts{Held: 1}},
			{stock.Sold, stock.Counts{Sold: 1}}, {stock.Held, stock.Counts{Sold: 1}}, {stock.Cancelled, stock.Counts{Sold: 1}},
		} {
			d.assert(n, known(1, c.assert, "alice", "red", 1))
			c.want.Loaded = 3
			d.counts("red", c.want)
		}
		d.settle(2, 2, free, nil)
		d.assert(n, known(2, stock.Sold, "bob", "red", 1)) // of one cancelled, too
		d.counts("red", stock.Counts{Loaded: 3, Sold: 2})
		d.holds("bob", stock.Holding{Bought: 1})
		d.thaw()
	}},
	{"freed units are taken again", func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.settle(1, 1, free, nil)
		n := d.freeze()
		d.assert(n, known(1, stock.Sending, "alice", "red", 2))
		d.counts("red", stock.Counts{Loaded: 3, Sending: 2})
		d.thaw()
		d.start(1, 1, gate.Admitted)
	}},
	{"free units fall below zero", func(d *desk) {
		n := d.freeze()
		d.decideFrozenThen(n)
		if got := d.look().Items["blue"]; got.Free != -2 || got.Sold != 1 || got.Reserved != 2 {
			d.Fatalf("counts are %+v, want 2 fewer than none", got)
		}
		d.thaw()
		d.decide("erin", "blue", 9, 1, gate.SoldOut)
		d.settle(2, 2, free, nil)
		d.decide("erin", "blue", 9, 1, gate.SoldOut)
		d.settle(3, 3, free, nil)
		d.decide("erin", "blue", 9, 1, gate.SoldOut)
		d.settle(3, 3, sold, stock.ErrOversold)
		d.oversold(1)
		d.adjust(20, "blue", 1, 0, nil)
		d.decide("erin", "blue", 9, 1, gate.Admitted)
	}},
	{"assert an item that is not there", func(d *desk) {
		n := d.freeze()
		d.assert(n, known(1, stock.Sold, "alice", "green", 2), known(2, stock.Cancelled, "bob", "grey", 1))
		got := d.look().Items
		if _, ok := got["grey"]; ok || got["green"] != (stock.Counts{Free: -2, Sold: 2}) {
			d.Fatalf("items are %+v, want green with none loaded and 2 sold", got)
		}
		d.thaw()
		d.decide("bob", "green", 3, 1, gate.SoldOut)
	}},
	{"complete what was sold and never seen", func(d *desk) {
		late := stock.Settlement{Token: Token(1), By: Token(11), Outcome: sold, Ref: "17"}
		d.end(late, stock.ErrOversold)
		d.settle(2, 2, sold, stock.ErrOversold)
		d.settle(3, 3, sold, stock.ErrOversold)
		n := d.freeze()
		d.assert(n, known(1, stock.Cancelled, "alice", "red", 2), known(2, stock.Sold, "", "", 0))
		d.oversold(3)
		d.assert(n, known(1, stock.Sending, "alice", "red", 2)) // whose it is, not how far
		d.counts("red", stock.Counts{Loaded: 3, Sold: 2})
		d.holds("alice", stock.Holding{Bought: 2})
		d.oversold(2)
		if e := d.stage(1, stock.Sold); e.Account != "alice" || e.Item != "red" || e.Units != 2 || e.Over != 0 || e.Ref != "17" || !e.Due.IsZero() {
			d.Fatalf("entry is %+v, want 2 red of alice", e)
		}
		d.assert(n, known(2, stock.Sold, "bob", "red", 2)) // one more than there is
		d.oversold(1)
		if got := d.look().Items["red"]; got.Free != -1 || got.Sold != 4 {
			d.Fatalf("counts are %+v, want one fewer than none", got)
		}
		d.thaw()
		d.end(late, nil)
		d.settle(1, 0, free, stock.ErrSold)
		d.decide("bob", "blue", 4, 1, gate.AlreadyBought)
		d.oversold(1)
	}},
	{"assert that nobody's token was sold", func(d *desk) {
		n := d.freeze()
		d.assert(n, known(1, stock.Sold, "", "", 0), known(2, stock.Reserved, "", "red", 1))
		d.oversold(1)
		d.stage(2, 0)
		d.counts("red", stock.Counts{Loaded: 3})
		d.thaw()
		d.start(1, 1, gate.AlreadyBought)
	}},
	{"two open tokens of one account", inSteps(func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		n := d.freeze()
		d.assert(n, known(2, stock.Reserved, "alice", "red", 1))
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 2})
		d.thaw()
		d.decide("alice", "blue", 3, 1, gate.OrderPending)
		d.settle(1, 1, free, nil)
		d.holds("alice", stock.Holding{Open: true})
		if got := d.order("alice", gate.Admitted); got.Token != Token(2) {
			d.Fatalf("decision is %+v, want token 2", got)
		}
		d.settle(2, 2, free, nil)
		d.holds("alice", stock.Holding{})
		d.lapsed("alice", false)
	})},
	{"frozen from the start", func(d *desk) {
		d.ledger = Ledger()
		p := d.load(stock.Loading{Ledger: d.ledger, Items: map[string]int{"red": 1}, Terms: Terms(), Frozen: true}, true)
		if p.Freeze == 0 {
			d.Fatalf("Load = %+v, want it frozen", p)
		}
		d.frozen(d.ask("alice", "red", 1, 1))
		d.assert(p.Freeze, known(2, stock.Sold, "bob", "red", 1))
		d.thaw()
		d.decide("alice", "red", 1, 1, gate.SoldOut)
	}},
	{"the freeze ends when all have told all", func(d *desk) {
		d.sweepBy("a", 0)
		d.sweepBy("b", 0)
		n := d.freeze()
		d.sweepBy("c", 0)
		alone := newDesk(d, d.store, map[string]int{"red": 1})
		alone.sweepBy("a", 0)
		later := alone.freeze()
		d.last("a", n)
		alone.untilThawed("a", later) // so the first freeze is old enough, too
		for _, gateway := range []string{"a", "b", "a"} {
			if d.last(gateway, n) {
				d.Fatalf("thawed at the word of %q, before c has told all", gateway)
			}
		}
		d.frozen(d.ask("alice", "red", 1, 1))
		for range 2 {
			if !d.last("c", n) {
				d.Fatal("all have told all, and it is frozen still")
			}
		}
		d.decide("alice", "red", 1, 1, gate.Admitted)
	}},
}

// decideFrozenThen asserts three of one blue unit.
func (d *desk) decideFrozenThen(n uint64) {
	d.Helper()
	d.assert(n, known(1, stock.Sold, "alice", "blue", 1), known(2, stock.Reserved, "bob", "blue", 1))
	d.assert(n, known(3, stock.Reserved, "carol", "blue", 1))
}
