// Package stocktest is the suite every stock.Store must pass: each transition and its
// repeats, a random walk beside a reference model, and many buyers at once. It also
// starts real Redis servers for tests.
//
// It does not crash anything and loses no replies; those tests belong to the store that
// can suffer them. Deadlines are tested with ones of zero, which have passed at once, so
// nothing here waits for a clock but one test, which polls.
package stocktest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Run checks the store that open makes; it is closed, if it must be, by a Cleanup of
// open's own. Every check uses ledgers of its own.
func Run(t *testing.T, open func(testing.TB) stock.Store) {
	for _, c := range transitions {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, open(t), map[string]int{"red": 3, "blue": 1})
			c.run(d)
			d.conserved()
		})
	}
	t.Run("load", func(t *testing.T) { load(t, open(t)) })
	t.Run("not loaded", func(t *testing.T) { notLoaded(t, open(t)) })
	t.Run("bad asks", func(t *testing.T) { badAsks(newDesk(t, open(t), map[string]int{"red": 3})) })
	t.Run("bytes", func(t *testing.T) { anyBytes(t, open(t)) })
	t.Run("deadline", func(t *testing.T) { deadline(newDesk(t, open(t), map[string]int{"red": 1})) })
	t.Run("sweep is bounded", func(t *testing.T) { sweepBounded(t, open(t)) })
	t.Run("secret", func(t *testing.T) { secret(t, open(t)) })
	t.Run("model", func(t *testing.T) { walk(t, open(t)) })
	t.Run("crowd", func(t *testing.T) { crowd(t, open(t)) })
}

var ledgers atomic.Int64

// Ledger is a name no other test of this process uses.
func Ledger() string { return fmt.Sprintf("sale-%d", ledgers.Add(1)) }

// Token is token number n.
func Token(n int) (t gate.Token) {
	binary.BigEndian.PutUint64(t[8:], uint64(n))
	return t
}

// desk is a store with one ledger, and what a test says to it.
type desk struct {
	testing.TB
	store  stock.Store
	ledger string
}

func newDesk(t testing.TB, store stock.Store, items map[string]int) *desk {
	t.Helper()
	d := &desk{t, store, Ledger()}
	if _, err := store.Load(t.Context(), d.ledger, items); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return d
}

func (d *desk) ask(account, item string, token, units int) stock.Ask {
	return stock.Ask{
		Ledger: d.ledger, Account: account, Item: item, Token: Token(token),
		Units: units, PerAccount: 2, ReserveFor: time.Hour,
	}
}

func (d *desk) decide(a stock.Ask, want gate.Reason) stock.Decision {
	d.Helper()
	got, err := d.store.Decide(d.Context(), a)
	if err != nil || got.Reason != want {
		d.Fatalf("Decide(%+v) = %v, %v, want %v", a, got.Reason, err, want)
	}
	return got
}

func (d *desk) start(token int, want bool) {
	d.Helper()
	if got, err := d.store.Start(d.Context(), d.ledger, Token(token), time.Hour); got != want || err != nil {
		d.Fatalf("Start(%d) = %v, %v, want %v", token, got, err, want)
	}
}

func (d *desk) settle(token int, o rules.Outcome, want error) {
	d.Helper()
	if err := d.store.Settle(d.Context(), d.ledger, Token(token), o); !errors.Is(err, want) || err != nil && want == nil {
		d.Fatalf("Settle(%d, %v) = %v, want %v", token, o, err, want)
	}
}

func (d *desk) sweep(want int) {
	d.Helper()
	if got, err := d.store.Sweep(d.Context(), d.ledger); got != want || err != nil {
		d.Fatalf("Sweep = %d, %v, want %d", got, err, want)
	}
}

func (d *desk) look() stock.Picture {
	d.Helper()
	p, err := d.store.Look(d.Context(), d.ledger)
	if err != nil {
		d.Fatalf("Look: %v", err)
	}
	return p
}

// counts checks one item; the free units follow from the others.
func (d *desk) counts(item string, want stock.Counts) {
	d.Helper()
	want.Free = want.Loaded - want.Reserved - want.Sending - want.Held - want.Sold - want.Withdrawn
	if got := d.look().Items[item]; got != want {
		d.Fatalf("counts of %q are %+v, want %+v", item, got, want)
	}
}

func (d *desk) holds(account string, want stock.Holding) {
	d.Helper()
	if got, ok := d.look().Holders[account]; got != want || ok != (want != stock.Holding{}) {
		d.Fatalf("%q holds %+v (listed: %v), want %+v", account, got, ok, want)
	}
}

func (d *desk) conserved() {
	d.Helper()
	if fault := unbalanced(d.look()); fault != "" {
		d.Fatal(fault)
	}
}

// unbalanced says which item's units do not add up.
func unbalanced(p stock.Picture) string {
	for item, c := range p.Items {
		sum := c.Free + c.Reserved + c.Sending + c.Held + c.Sold + c.Withdrawn
		if sum != c.Loaded || min(c.Free, c.Reserved, c.Sending, c.Held, c.Sold, c.Withdrawn) < 0 {
			return fmt.Sprintf("item %q: %+v adds up to %d, want %d and nothing below zero", item, c, sum, c.Loaded)
		}
	}
	return ""
}

func load(t *testing.T, store stock.Store) {
	ledger, first := Ledger(), map[string]int{"red": 5, "": 2, "none": 0}
	for i, items := range []map[string]int{first, {"red": 6}, {"red": 5, "blue": 1}} {
		got, err := store.Load(t.Context(), ledger, items)
		if err != nil || !maps.Equal(got, first) {
			t.Fatalf("load %d of %v = %v, %v, want what was loaded first, %v", i+1, items, got, err, first)
		}
	}
	p, err := store.Look(t.Context(), ledger)
	want := map[string]stock.Counts{"red": {Loaded: 5, Free: 5}, "": {Loaded: 2, Free: 2}, "none": {}}
	if err != nil || !maps.Equal(p.Items, want) {
		t.Fatalf("Look = %+v, %v, want %+v", p.Items, err, want)
	}
	if _, err := store.Load(t.Context(), Ledger(), map[string]int{"red": -1}); err == nil {
		t.Fatal("Load took -1 units, want an error")
	}
}

// notLoaded: no call but Load makes a ledger known.
func notLoaded(t *testing.T, store stock.Store) {
	ctx, ledger := t.Context(), Ledger()
	calls := map[string]func() error{
		"Decide": func() error {
			_, err := store.Decide(ctx, stock.Ask{Ledger: ledger, Account: "a", Token: Token(1), Units: 1, PerAccount: 1})
			return err
		},
		"Start":  func() error { _, err := store.Start(ctx, ledger, Token(1), time.Hour); return err },
		"Settle": func() error { return store.Settle(ctx, ledger, Token(1), rules.OutcomeFree) },
		"Sweep":  func() error { _, err := store.Sweep(ctx, ledger); return err },
		"Look":   func() error { _, err := store.Look(ctx, ledger); return err },
	}
	for round := range 2 {
		for name, call := range calls {
			if err := call(); !errors.Is(err, stock.ErrNotLoaded) {
				t.Errorf("round %d: %s of an unknown ledger: %v, want %v", round, name, err, stock.ErrNotLoaded)
			}
		}
	}
	known := newDesk(t, store, map[string]int{"red": 1})
	p, err := store.Pulse(ctx, ledger, known.ledger)
	if err != nil || len(p) != 2 || p[0].Items != nil || p[1].Items["red"].Free != 1 {
		t.Errorf("Pulse of an unknown ledger and a known one = %+v, %v", p, err)
	}
}

func badAsks(d *desk) {
	for _, a := range []stock.Ask{d.ask("alice", "red", 1, 0), d.ask("alice", "red", 1, -1), d.ask("", "red", 1, 1)} {
		if got, err := d.store.Decide(d.Context(), a); err == nil {
			d.Errorf("Decide(%+v) = %+v, want an error", a, got)
		}
	}
	d.counts("red", stock.Counts{Loaded: 3})
}

// anyBytes: names are not text.
func anyBytes(t *testing.T, store stock.Store) {
	accounts := []string{"a b", "ü", "\xff\x00\n", "1:2", "%d{}", "R 1 0 0 3 redx"}
	items := map[string]int{"": 9, " ": 9, "5 \xfe\n": 9, "}{": 9}
	d := newDesk(t, store, items)
	n := 0
	for _, account := range accounts {
		for item := range items {
			n++
			a := d.ask(account, item, n, 1)
			a.PerAccount = len(items)
			d.decide(a, gate.Admitted)
			d.settle(n, rules.OutcomeSold, nil)
		}
	}
	for _, account := range accounts {
		d.holds(account, stock.Holding{Bought: len(items)})
	}
	for item := range items {
		d.counts(item, stock.Counts{Loaded: 9, Sold: len(accounts)})
	}
}

// deadline is about one that lies ahead: it passes, and not before.
func deadline(d *desk) {
	a := d.ask("alice", "red", 1, 1)
	a.ReserveFor = 20 * time.Millisecond
	d.decide(a, gate.Admitted)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if n, err := d.store.Sweep(d.Context(), d.ledger); err != nil || n > 0 {
			d.counts("red", stock.Counts{Loaded: 1})
			d.start(1, false)
			return
		}
	}
	d.Fatal("a reservation of 20 ms was not swept in 10 s")
}

func sweepBounded(t *testing.T, store stock.Store) {
	const more = 10
	d := newDesk(t, store, map[string]int{"red": stock.SweepLimit + more})
	for i := range stock.SweepLimit + more {
		a := d.ask(fmt.Sprint("account ", i), "red", i, 1)
		a.ReserveFor = 0
		d.decide(a, gate.Admitted)
	}
	d.sweep(stock.SweepLimit)
	d.conserved()
	d.sweep(more)
	d.sweep(0)
	d.counts("red", stock.Counts{Loaded: stock.SweepLimit + more})
}

func secret(t *testing.T, store stock.Store) {
	first, err := store.Secret(t.Context())
	again, err2 := store.Secret(t.Context())
	if err != nil || err2 != nil || len(first) != 32 || string(first) != string(again) {
		t.Errorf("Secret = %x, %v, then %x, %v, want the same 32 bytes", first, err, again, err2)
	}
}
