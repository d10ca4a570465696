package stocktest

// Deadlines, sweeping, and what becomes of held units.

import (
	"fmt"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

const hour = time.Hour

var deadlines = []test{
	{"reservation past its deadline", func(d *desk) {
		d.passing(0)
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 1, gate.ReservationExpired) // before any sweep
		d.sweep(1)
		d.sweep(0)
		d.counts("blue", stock.Counts{Loaded: 1})
		d.holds("alice", stock.Holding{})
		d.start(1, 1, gate.ReservationExpired)
		d.decide("alice", "blue", 1, 1, gate.ReservationExpired)
		d.stage(1, stock.Cancelled)
	}},
	{"sending past its deadline", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.passing(0)
		for range 2 {
			d.start(1, 1, gate.Admitted)
		}
		d.sweep(1)
		d.sweep(0)
		d.start(1, 1, gate.OrderPending)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.holds("alice", stock.Holding{Open: true})
	}},
	{"deadlines that run stay", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.passing(0)
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.passing(hour)
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.start(2, 2, gate.ReservationExpired)
		d.start(1, 1, gate.Admitted)
		d.passing(0)
		d.start(1, 1, gate.Admitted)
		d.sweep(1)
		d.counts("red", stock.Counts{Loaded: 3, Sending: 1})
	}},
	{"nothing to sweep", func(d *desk) {
		d.passing(0)
		d.decide("alice", "red", 1, 1, gate.Admitted)
		d.passing(hour)
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.start(2, 2, gate.Admitted)
		d.settle(1, 1, sold, nil)
		d.sweep(0)
		d.counts("red", stock.Counts{Loaded: 3, Sold: 1, Sending: 1})
	}},
	{"a deadline that lies ahead passes", func(d *desk) {
		d.passing(20 * time.Millisecond)
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
			got, err := d.store.Sweep(d.Context(), d.ledger, "gateway")
			if err != nil || got.Moved > 0 {
				d.counts("blue", stock.Counts{Loaded: 1})
				d.start(1, 1, gate.ReservationExpired)
				return
			}
		}
		d.Fatal("a reservation of 20 ms was not swept in 30 s")
	}},
	{"a sweep is bounded", func(d *desk) {
		const more = 10
		d.ledger = Ledger()
		d.load(stock.Loading{Ledger: d.ledger, Items: map[string]int{"red": stock.SweepLimit + more}, Terms: Terms()}, true)
		d.passing(0)
		for i := range stock.SweepLimit + more {
			d.decide(fmt.Sprint("account ", i), "red", i+1, 1, gate.Admitted)
		}
		d.sweep(stock.SweepLimit)
		d.counts("red", stock.Counts{Loaded: stock.SweepLimit + more, Reserved: more})
		d.sweep(more)
		d.sweep(0)
		d.counts("red", stock.Counts{Loaded: stock.SweepLimit + more})
	}},
	{"kept", func(d *desk) {
		d.passing(0)
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		d.sweep(0)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
	}},
	{"released", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Unknown, t.Steps = rules.Release, true })
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.start(1, 11, gate.Admitted)
		d.settle(1, 11, unknown, nil)
		d.sweep(0) // an hour is to pass first
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.passing(0)
		d.sweep(0)
		d.settle(2, 2, unknown, nil)
		if got := d.sweep(1); len(got.Ask) != 0 {
			d.Fatalf("Sweep = %+v, want nobody asked", got)
		}
		d.sweep(0)
		d.counts("red", stock.Counts{Loaded: 3})
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.lapsed("bob", false)
		d.settle(2, 2, sold, nil)
		d.counts("red", stock.Counts{Loaded: 3, Sold: 1})
	}},
	{"sending, held, released", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Unknown = rules.Release })
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.passing(0)
		d.start(1, 1, gate.Admitted)
		d.sweep(1)
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.sweep(1)
		d.counts("blue", stock.Counts{Loaded: 1})
		d.sweep(0)
	}},
	{"asked about once in a while", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Unknown, t.UnknownAfter = rules.Resolve, 0 })
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.decide("bob", "red", 2, 2, gate.Admitted)
		d.start(1, 1, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		for range 2 { // with nothing between two questions
			d.asked(d.sweep(1), 1)
		}
		d.change(func(t *stock.Terms) { t.UnknownAfter = hour })
		d.asked(d.sweep(1), 1)
		d.asked(d.sweepBy("another gateway", 0))
		d.asked(d.sweep(0))
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.start(1, 1, gate.OrderPending)
		d.settle(1, 0, sold, nil)
		d.change(func(t *stock.Terms) { t.UnknownAfter = 0 })
		d.asked(d.sweep(0))
	}},
	{"asked about first by the next sweep", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Unknown = rules.Resolve })
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.passing(0)
		d.start(1, 1, gate.Admitted)
		d.passing(hour)
		d.asked(d.sweep(1)) // held now, and moved once only
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
		d.asked(d.sweep(1), 1)
		d.asked(d.sweep(0))
	}},
	{"kept, then asked about", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		d.asked(d.sweep(0))
		d.change(func(t *stock.Terms) { t.Unknown = rules.Resolve })
		d.asked(d.sweep(1), 1)
		d.asked(d.sweep(0))
	}},
	{"kept, then released", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Steps = true })
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 0, unknown, nil)
		d.sweep(0)
		d.change(func(t *stock.Terms) { t.Unknown, t.UnknownAfter = rules.Release, 0 })
		d.sweep(1)
		d.counts("blue", stock.Counts{Loaded: 1})
		d.lapsed("alice", false)
		d.start(1, 11, gate.ReservationExpired)
	}},
	{"kept, then released in an hour", func(d *desk) {
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		d.change(func(t *stock.Terms) { t.Unknown = rules.Release })
		d.sweep(0)
		if e := d.stage(1, stock.Held); e.Due.IsZero() {
			d.Fatalf("entry is %+v, want a deadline", e)
		}
		d.change(func(t *stock.Terms) { t.UnknownAfter = 0 })
		d.sweep(0) // the deadline that runs stays
		d.counts("blue", stock.Counts{Loaded: 1, Held: 1})
	}},
	{"asked about, and settled", func(d *desk) {
		d.change(func(t *stock.Terms) { t.Unknown, t.UnknownAfter = rules.Resolve, 0 })
		d.decide("alice", "blue", 1, 1, gate.Admitted)
		d.settle(1, 1, unknown, nil)
		d.asked(d.sweep(1), 1)
		d.settle(1, 0, free, nil)
		d.asked(d.sweep(0))
		d.counts("blue", stock.Counts{Loaded: 1})
	}},
}

// asked checks which tokens a sweep wants to be asked about.
func (d *desk) asked(got stock.Swept, want ...int) {
	d.Helper()
	if len(got.Ask) != len(want) {
		d.Fatalf("asked about %+v, want tokens %v", got.Ask, want)
	}
	for i, e := range got.Ask {
		if e.Token != Token(want[i]) || e.State != stock.Held || e.Account != "alice" || e.Item != "blue" || e.Units != 1 {
			d.Fatalf("asked about %+v, want tokens %v", got.Ask, want)
		}
	}
}
