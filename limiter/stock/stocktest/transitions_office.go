package stocktest

// Operators' work: loading, adjusting, archiving, finding tokens.

import (
	"errors"
	"fmt"
	"maps"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// adjust repeats the adjustment.
func (d *desk) adjust(token int, item string, add, remove int, want error) {
	d.Helper()
	a := stock.Adjustment{Ledger: d.ledger, Token: Token(token), Item: item, Add: add, Remove: remove}
	for range 2 {
		got, err := d.store.Adjust(d.Context(), a)
		if !errors.Is(err, want) || err != nil && want == nil {
			d.Fatalf("Adjust(%+v) = %+v, %v, want %v", a, got, err, want)
		}
		if now := d.look().Items[item]; err == nil && got != now {
			d.Fatalf("Adjust(%+v) = %+v, want %+v", a, got, now)
		}
	}
}

var office = []test{
	{"load once", func(d *desk) {
		first := stock.Loading{Ledger: Ledger(), Items: map[string]int{"red": 5, "": 2, "none": 0}, Terms: Terms()}
		second := stock.Loading{Ledger: first.Ledger, Items: map[string]int{"red": 6, "blue": 1}, Frozen: true}
		want := stock.Picture{
			Items: map[string]stock.Counts{"red": {Loaded: 5, Free: 5}, "": {Loaded: 2, Free: 2}, "none": {}},
			Terms: Terms(), State: stock.Open,
		}
		d.ledger = first.Ledger
		for i, l := range []stock.Loading{first, first, second} {
			p := d.load(l, i == 0)
			if fault := differs(p, want); fault != "" || p.Epoch == 0 || p.Stamp != d.look().Stamp {
				d.Fatalf("load %d: %s; stamp %+v, looked at %+v", i, fault, p.Stamp, d.look().Stamp)
			}
		}
		if fault := differs(d.look(), want); fault != "" {
			d.Fatal(fault)
		}
	}},
	{"bad loads", func(d *desk) {
		for _, l := range []stock.Loading{{Ledger: Ledger(), Items: map[string]int{"red": -1}}, {Items: map[string]int{"red": 1}}} {
			if p, _, err := d.store.Load(d.Context(), l); err == nil {
				d.Errorf("Load(%+v) = %+v, want an error", l, p)
			}
		}
	}},
	{"archive", func(d *desk) {
		archive := func() error { return d.store.Archive(d.Context(), d.ledger) }
		d.settle(9, 9, sold, stock.ErrOversold)
		d.decide("alice", "red", 1, 2, gate.Admitted)
		for _, next := range []func(){
			func() { d.start(1, 1, gate.Admitted) },
			func() { d.settle(1, 1, unknown, nil) },
			func() { d.settle(1, 1, sold, nil) },
		} {
			if err := archive(); !errors.Is(err, stock.ErrOpenTokens) {
				d.Fatalf("Archive with an open token: %v, want %v", err, stock.ErrOpenTokens)
			}
			next()
		}
		d.state(stock.Paused)
		old := d.look()
		if err := archive(); err != nil {
			d.Fatalf("Archive: %v", err)
		}
		d.unknownToAll()
		if p, err := d.store.Pulse(d.Context(), d.ledger); err != nil || !p[0].Archived {
			d.Fatalf("Pulse = %+v, %v, want it archived", p, err)
		}
		p := d.load(stock.Loading{Ledger: d.ledger, Items: map[string]int{"blue": 1}, Terms: Terms()}, true)
		want := stock.Picture{Items: map[string]stock.Counts{"blue": {Loaded: 1, Free: 1}}, Terms: Terms(), State: stock.Open}
		if fault := differs(p, want); fault != "" || p.Epoch <= old.Epoch {
			d.Fatalf("loaded anew: %s; epoch %d, before %d", fault, p.Epoch, old.Epoch)
		}
		d.holds("alice", stock.Holding{})
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		if p, err := d.store.Pulse(d.Context(), d.ledger); err != nil || p[0].Archived {
			d.Fatalf("Pulse = %+v, %v, want it known", p, err)
		}
	}},
	{"add and withdraw", func(d *desk) {
		d.decide("alice", "red", 1, 2, gate.Admitted)
		d.adjust(20, "red", 0, 2, stock.ErrTooFew)
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 2})
		d.adjust(21, "red", 0, 1, nil)
		d.counts("red", stock.Counts{Loaded: 3, Reserved: 2, Withdrawn: 1})
		d.decide("bob", "red", 2, 1, gate.SoldOut)
		d.adjust(22, "red", 4, 0, nil)
		d.counts("red", stock.Counts{Loaded: 7, Reserved: 2, Withdrawn: 1})
		d.adjust(23, "red", 0, 4, nil)
		d.adjust(21, "red", 0, 1, nil) // a repeat that comes late
		d.counts("red", stock.Counts{Loaded: 7, Reserved: 2, Withdrawn: 5})
		d.settle(1, 1, sold, nil)
		for token := 20; token < 24; token++ {
			d.stage(token, 0)
		}
	}},
	{"a new item", func(d *desk) {
		d.decide("alice", "green", 1, 1, gate.UnknownItem)
		d.adjust(20, "green", 0, 1, stock.ErrTooFew)
		d.decide("alice", "green", 1, 1, gate.UnknownItem)
		d.adjust(21, "green", 1, 0, nil)
		d.counts("green", stock.Counts{Loaded: 1})
		d.decide("alice", "green", 1, 1, gate.Admitted)
	}},
	{"bad adjustments", func(d *desk) {
		for i, a := range []stock.Adjustment{{}, {Add: 1, Remove: 1}, {Add: -1}, {Remove: -1}} {
			a.Ledger, a.Token, a.Item = d.ledger, Token(20+i), "red"
			if c, err := d.store.Adjust(d.Context(), a); err == nil {
				d.Errorf("Adjust(%+v) = %+v, want an error", a, c)
			}
		}
		d.counts("red", stock.Counts{Loaded: 3})
	}},
	{"tokens of orders and adjustments", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.adjust(20, "red", 1, 0, nil)
		if c, err := d.store.Adjust(d.Context(), stock.Adjustment{Ledger: d.ledger, Token: Token(1), Item: "red", Add: 1}); err == nil {
			d.Errorf("Adjust with an order's token = %+v, want an error", c)
		}
		d.decide("bob", "red", 20, 1, gate.ReservationExpired)
		d.start(20, 20, gate.ReservationExpired)
		for _, o := range []rules.Outcome{sold, free, unknown} {
			if err := d.store.Settle(d.Context(), stock.Settlement{Ledger: d.ledger, Token: Token(20), Outcome: o}); err == nil {
				d.Errorf("Settle(%v) of an adjustment's token: want an error", o)
			}
		}
		d.counts("red", stock.Counts{Loaded: 4, Reserved: 1})
		d.oversold(0)
	}},
	{"find by reference", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		d.decide("bob", "blue", 2, 1, gate.Admitted)
		d.settle(2, 2, free, nil)
		refs := map[int]string{1: "order 17 \xff", 2: "18"}
		for token, ref := range refs {
			for range 2 {
				d.end(stock.Settlement{Token: Token(token), By: Token(token), Outcome: sold, Ref: ref}, nil)
			}
			found, next, err := d.store.Entries(d.Context(), stock.Query{Ledger: d.ledger, Ref: ref})
			if err != nil || next != "" || len(found) != 1 || found[0] != d.stage(token, stock.Sold) || found[0].Ref != ref {
				d.Fatalf("Entries of %q = %+v, %q, %v, want token %d", ref, found, next, err, token)
			}
		}
		if found, next, err := d.store.Entries(d.Context(), stock.Query{Ledger: d.ledger, Ref: "19"}); err != nil || next != "" || len(found) != 0 {
			d.Fatalf("Entries of an unknown reference = %+v, %q, %v", found, next, err)
		}
	}},
	{"a reference that comes later", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.settle(1, 1, sold, nil)
		for _, ref := range []string{"17", "18", ""} { // the first one stays
			d.end(stock.Settlement{Token: Token(1), By: Token(1), Outcome: sold, Ref: ref}, nil)
			found, next, err := d.store.Entries(d.Context(), stock.Query{Ledger: d.ledger, Ref: "17"})
			if err != nil || next != "" || len(found) != 1 || found[0] != d.stage(1, stock.Sold) || found[0].Ref != "17" {
				d.Fatalf("Entries of 17 = %+v, %q, %v, want token 1", found, next, err)
			}
		}
		d.counts("red", stock.Counts{Loaded: 3, Sold: 1})
	}},
	{"find all, page by page", func(d *desk) {
		const many = 1200
		d.adjust(1<<21, "red", many, 0, nil)
		for n := 1; n <= many; n++ {
			d.decide(fmt.Sprint("account ", n), "red", n, 1, gate.Admitted)
		}
		d.settle(many+1, many+1, free, nil) // found by token only
		d.settle(7, 7, free, nil)
		d.settle(8, 8, sold, nil)
		found, pages := map[gate.Token]stock.Stage{}, 0
		for cursor := ""; pages == 0 || cursor != ""; pages++ {
			var page []stock.Entry
			var err error
			page, cursor, err = d.store.Entries(d.Context(), stock.Query{Ledger: d.ledger, Cursor: cursor})
			if err != nil || pages > many {
				d.Fatalf("page %d: %v", pages, err)
			}
			for _, e := range page {
				found[e.Token] = e.State
			}
		}
		want := map[gate.Token]stock.Stage{}
		for n := 1; n <= many; n++ {
			want[Token(n)] = stock.Reserved
		}
		delete(want, Token(7))
		want[Token(8)] = stock.Sold
		if !maps.Equal(found, want) || pages < 2 {
			d.Fatalf("%d tokens on %d pages, want the %d that are not cancelled on several", len(found), pages, len(want))
		}
	}},
	{"secret", func(d *desk) {
		first, err := d.store.Secret(d.Context())
		again, err2 := d.store.Secret(d.Context())
		if err != nil || err2 != nil || len(first) != 32 || string(first) != string(again) {
			d.Fatalf("Secret = %x, %v, then %x, %v, want the same 32 bytes", first, err, again, err2)
		}
	}},
	{"ready", func(d *desk) {
		if err := d.store.Ready(d.Context()); err != nil {
			d.Errorf("Ready: %v", err)
		}
		if _, err := d.store.Inspect(d.Context()); err != nil {
			d.Errorf("Inspect: %v", err)
		}
	}},
}
