// Package stocktest is the suite every stock.Store must pass: each transition and its
// repeats, a random walk beside a reference model, histories of several callers at once,
// and a crowd. It also starts the servers that such tests need, Redis and a Redis
// Cluster, and breaks the connections to them.
//
// It crashes no store; those tests belong to the store that can suffer it. Deadlines are
// tested with ones of zero, which have passed at once, so nothing here waits for a clock
// but the end of a freeze, and that is polled for.
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

const (
	sold    = rules.OutcomeSold
	free    = rules.OutcomeFree
	unknown = rules.OutcomeUnknown
)

// test is one check of the suite: it starts with a ledger of 3 red and 1 blue.
type test struct {
	name string
	run  func(*desk)
}

// Run checks the store that open makes; it is closed, if it must be, by a Cleanup of
// open's own. Every check uses ledgers of its own.
func Run(t *testing.T, open func(testing.TB) stock.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"single", single}, {"steps", steps}, {"deadlines", deadlines}, {"rules", ruling},
		{"freeze", freezing}, {"office", office}, {"look", looking},
	} {
		t.Run(group.name, func(t *testing.T) {
			store := open(t)
			for _, c := range group.tests {
				t.Run(c.name, func(t *testing.T) {
					d := newDesk(t, store, map[string]int{"red": 3, "blue": 1})
					c.run(d)
					d.conserved()
				})
			}
		})
	}
	t.Run("walk", func(t *testing.T) { walk(t, open(t)) })
	t.Run("crowd", func(t *testing.T) { crowd(t, open(t)) })
	t.Run("histories", func(t *testing.T) { Histories(t, open) })
}

var ledgers atomic.Int64

// Ledger is a name no other test of this process uses.
func Ledger() string { return fmt.Sprintf("sale-%d", ledgers.Add(1)) }

// Token is token number n; number 0 is the zero token.
func Token(n int) (t gate.Token) {
	binary.BigEndian.PutUint64(t[8:], uint64(n))
	return t
}

// Terms are the ones that tests begin with: nothing passes while they run.
func Terms() stock.Terms {
	return stock.Terms{PerAccount: 2, ReserveFor: time.Hour, SendingFor: time.Hour, UnknownAfter: time.Hour}
}

// desk is a store with one ledger, and what a test says to it.
type desk struct {
	testing.TB
	store  stock.Store
	ledger string
	terms  stock.Terms
}

func newDesk(t testing.TB, store stock.Store, items map[string]int) *desk {
	t.Helper()
	d := &desk{t, store, Ledger(), Terms()}
	d.load(stock.Loading{Ledger: d.ledger, Items: items, Terms: d.terms}, true)
	return d
}

func (d *desk) load(l stock.Loading, fresh bool) stock.Picture {
	d.Helper()
	p, got, err := d.store.Load(d.Context(), l)
	if err != nil || got != fresh {
		d.Fatalf("Load(%+v) = %v, %v, want fresh: %v", l, got, err, fresh)
	}
	return p
}

// change gives the ledger other terms.
func (d *desk) change(f func(*stock.Terms)) {
	d.Helper()
	f(&d.terms)
	if err := d.store.SetTerms(d.Context(), d.ledger, d.terms); err != nil {
		d.Fatalf("SetTerms(%+v): %v", d.terms, err)
	}
}

// passing makes all deadlines that begin now pass at once, or in an hour.
func (d *desk) passing(at time.Duration) {
	d.Helper()
	d.change(func(t *stock.Terms) { t.ReserveFor, t.SendingFor, t.UnknownAfter = at, at, at })
}

func (d *desk) ask(account, item string, token, units int) stock.Ask {
	return stock.Ask{Ledger: d.ledger, Account: account, Item: item, Token: Token(token), Units: units}
}

func (d *desk) decide(account, item string, token, units int, want gate.Reason) stock.Decision {
	d.Helper()
	a := d.ask(account, item, token, units)
	got, err := d.store.Decide(d.Context(), a)
	if err != nil || got.Reason != want {
		d.Fatalf("Decide(%+v) = %v, %v, want %v", a, got.Reason, err, want)
	}
	return got
}

// order is a Decide of the request that places the order.
func (d *desk) order(account string, want gate.Reason) stock.Decision {
	d.Helper()
	got, err := d.store.Decide(d.Context(), stock.Ask{Ledger: d.ledger, Account: account, Token: Token(1 << 20), Order: true})
	if err != nil || got.Reason != want {
		d.Fatalf("order of %q = %v, %v, want %v", account, got.Reason, err, want)
	}
	if want != gate.Admitted && (got.Token != gate.Token{} || got.Item != "" || got.Units+got.Free+got.Pending != 0) {
		d.Fatalf("order of %q is refused with %+v, want nothing of a reservation", account, got)
	}
	return got
}

func (d *desk) start(token, by int, want gate.Reason) {
	d.Helper()
	got, err := d.store.Start(d.Context(), stock.Launch{Ledger: d.ledger, Token: Token(token), By: Token(by)})
	if got != want || err != nil {
		d.Fatalf("Start(%d, by %d) = %v, %v, want %v", token, by, got, err, want)
	}
}

// settle, with By 0, is an operator's word.
func (d *desk) settle(token, by int, o rules.Outcome, want error) {
	d.Helper()
	d.end(stock.Settlement{Token: Token(token), By: Token(by), Outcome: o}, want)
}

func (d *desk) unsent(token, by int) {
	d.Helper()
	d.end(stock.Settlement{Token: Token(token), By: Token(by), Outcome: free, Unsent: true}, nil)
}

func (d *desk) end(s stock.Settlement, want error) {
	d.Helper()
	s.Ledger = d.ledger
	if err := d.store.Settle(d.Context(), s); !errors.Is(err, want) || err != nil && want == nil {
		d.Fatalf("Settle(%+v) = %v, want %v", s, err, want)
	}
}

func (d *desk) sweep(want int) stock.Swept { d.Helper(); return d.sweepBy("gateway", want) }

func (d *desk) sweepBy(gateway string, want int) stock.Swept {
	d.Helper()
	got, err := d.store.Sweep(d.Context(), d.ledger, gateway)
	if got.Moved != want || err != nil {
		d.Fatalf("Sweep = %+v, %v, want %d moved", got, err, want)
	}
	return got
}

// look is the whole ledger, page by page.
func (d *desk) look() stock.Picture {
	d.Helper()
	p, err := all(d.Context(), d.store, d.ledger, 0)
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
	if got := d.look().Holders[account]; got != want {
		d.Fatalf("%q holds %+v, want %+v", account, got, want)
	}
}

func (d *desk) oversold(want int) {
	d.Helper()
	if got := d.look().Oversold; got != want {
		d.Fatalf("oversold is %d, want %d", got, want)
	}
}

// entry is what the ledger knows of one token; the zero Entry: nothing.
func (d *desk) entry(token int) stock.Entry {
	d.Helper()
	found, next, err := d.store.Entries(d.Context(), stock.Query{Ledger: d.ledger, Token: Token(token)})
	if err != nil || next != "" || len(found) > 1 || len(found) == 1 && found[0].Token != Token(token) {
		d.Fatalf("Entries of token %d = %+v, %q, %v, want that one or none", token, found, next, err)
	}
	if len(found) == 0 {
		return stock.Entry{}
	}
	return found[0]
}

func (d *desk) stage(token int, want stock.Stage) stock.Entry {
	d.Helper()
	e := d.entry(token)
	if e.State != want {
		d.Fatalf("token %d is %v, want %v", token, e.State, want)
	}
	return e
}

func (d *desk) conserved() {
	d.Helper()
	if p, err := all(d.Context(), d.store, d.ledger, 0); !errors.Is(err, stock.ErrNotLoaded) {
		if fault := unbalanced(p); fault != "" || err != nil {
			d.Fatal(fault, err)
		}
	}
}

// unbalanced says which item's units do not add up. Free ones may be fewer than none
// where units were lost; a test that loses none asks for that by itself.
func unbalanced(p stock.Picture) string {
	for item, c := range p.Items {
		sum := c.Free + c.Reserved + c.Sending + c.Held + c.Sold + c.Withdrawn
		if sum != c.Loaded || min(c.Reserved, c.Sending, c.Held, c.Sold, c.Withdrawn) < 0 {
			return fmt.Sprintf("item %q: %+v adds up to %d, want %d and nothing taken below zero", item, c, sum, c.Loaded)
		}
	}
	return ""
}

// differs says how two pictures do, but for stamps and holders.
func differs(got, want stock.Picture) string {
	switch {
	case !maps.Equal(got.Items, want.Items):
		return fmt.Sprintf("items are %+v, want %+v", got.Items, want.Items)
	case got.Oversold != want.Oversold:
		return fmt.Sprintf("oversold is %d, want %d", got.Oversold, want.Oversold)
	case got.Terms != want.Terms:
		return fmt.Sprintf("terms are %+v, want %+v", got.Terms, want.Terms)
	case got.State != want.State || (got.Freeze != 0) != (want.Freeze != 0) || got.Archived != want.Archived:
		return fmt.Sprintf("state is %c, freeze %d, archived %v, want %c, %d, %v",
			got.State, got.Freeze, got.Archived, want.State, want.Freeze, want.Archived)
	}
	return ""
}
