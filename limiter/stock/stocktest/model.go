package stocktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// model is a ledger as plainly as it can be said: a list of tokens, counted anew for
// every answer. It keeps no count that could go wrong.
type model struct {
	loaded map[string]int
	tokens map[int]*ticket
}

type ticket struct {
	state         byte // r s h b x: reserved, sending, held, bought, freed
	account, item string
	units, over   int
	late          bool // past its deadline
}

func (m *model) counts(item string) stock.Counts {
	c := stock.Counts{Loaded: m.loaded[item], Free: m.loaded[item]}
	for _, t := range m.tokens {
		if t.item != item || t.account == "" || t.state == 'x' {
			continue
		}
		c.Free -= t.units
		switch t.state {
		case 'r':
			c.Reserved += t.units
		case 's':
			c.Sending += t.units
		case 'h':
			c.Held += t.units
		case 'b':
			c.Sold += t.units
		}
	}
	return c
}

func (m *model) holders() map[string]stock.Holding {
	all := make(map[string]stock.Holding)
	for _, t := range m.tokens {
		h := all[t.account]
		switch t.state {
		case 'b':
			h.Bought += t.units + t.over
		case 'r', 's', 'h':
			h.Open = true
		default:
			continue
		}
		all[t.account] = h
	}
	delete(all, "")
	return all
}

func (m *model) picture() (p stock.Picture) {
	p = stock.Picture{Items: make(map[string]stock.Counts), Holders: m.holders()}
	for item := range m.loaded {
		p.Items[item] = m.counts(item)
	}
	for _, t := range m.tokens {
		p.Oversold += t.over
	}
	return p
}

func (m *model) decide(n int, a stock.Ask) gate.Reason {
	h := m.holders()[a.Account]
	_, known := m.loaded[a.Item]
	switch t := m.tokens[n]; {
	case t != nil && t.state == 'x':
		return gate.ReservationExpired
	case t != nil:
		return gate.Admitted
	case h.Open:
		return gate.OrderPending
	case h.Bought >= a.PerAccount:
		return gate.AlreadyBought
	case h.Bought+a.Units > a.PerAccount:
		return gate.Limit
	case !known:
		return gate.UnknownItem
	case m.counts(a.Item).Free < a.Units:
		return gate.SoldOut
	}
	m.tokens[n] = &ticket{state: 'r', account: a.Account, item: a.Item, units: a.Units, late: a.ReserveFor == 0}
	return gate.Admitted
}

func (m *model) start(n int, late bool) bool {
	t := m.tokens[n]
	if t != nil && t.state == 'r' && !t.late {
		t.state, t.late = 's', late
		return true
	}
	return t != nil && t.state == 's'
}

func (m *model) settle(n int, o rules.Outcome) error {
	t := m.tokens[n]
	if t == nil {
		if o == unknown {
			return nil
		}
		t = &ticket{state: 'x'}
		m.tokens[n] = t
	}
	open := t.state == 'r' || t.state == 's' || t.state == 'h'
	switch {
	case o == unknown && open:
		t.state = 'h'
	case o == free && t.state == 'b':
		return stock.ErrSold
	case o == free:
		t.state = 'x'
	case o == sold && open:
		t.state = 'b'
	case o == sold && t.state == 'x':
		asked := max(t.units, 1)
		t.units = 0
		if t.account != "" {
			t.units = min(asked, m.counts(t.item).Free)
		}
		t.state, t.over = 'b', asked-t.units
	}
	if o == sold && t.over > 0 {
		return stock.ErrOversold
	}
	return nil
}

func (m *model) sweep() (moved int) {
	for _, t := range m.tokens {
		if !t.late || t.state != 'r' && t.state != 's' {
			continue
		}
		moved++
		if t.state == 'r' {
			t.state = 'x'
		} else {
			t.state = 'h'
		}
	}
	return moved
}

// differs says how two pictures do; seq is not compared, holders only if both have them.
func differs(got, want stock.Picture) string {
	switch {
	case !maps.Equal(got.Items, want.Items):
		return fmt.Sprintf("items are %+v, want %+v", got.Items, want.Items)
	case got.Holders != nil && !maps.Equal(got.Holders, want.Holders):
		return fmt.Sprintf("holders are %+v, want %+v", got.Holders, want.Holders)
	case got.Oversold != want.Oversold:
		return fmt.Sprintf("oversold is %d, want %d", got.Oversold, want.Oversold)
	}
	return ""
}

// walk does the same random things to the store and the model.
func walk(t *testing.T, store stock.Store) {
	ctx := t.Context()
	rapid.Check(t, func(r *rapid.T) {
		ledger := Ledger()
		m := &model{loaded: map[string]int{"red": 3, "blue": 2, "": 1}, tokens: make(map[int]*ticket)}
		if _, err := store.Load(ctx, ledger, m.loaded); err != nil {
			r.Fatalf("Load: %v", err)
		}
		var seq uint64
		token := rapid.IntRange(1, 14)
		late := rapid.SampledFrom([]time.Duration{time.Hour, time.Hour, 0})
		r.Repeat(map[string]func(*rapid.T){
			"decide": func(r *rapid.T) { walkDecide(r, ctx, store, m, ledger, token.Draw(r, "token")) },
			"start": func(r *rapid.T) {
				n, last := token.Draw(r, "token"), late.Draw(r, "for")
				want := m.start(n, last == 0)
				if got, err := store.Start(ctx, ledger, Token(n), last); got != want || err != nil {
					r.Fatalf("Start(%d) = %v, %v, want %v", n, got, err, want)
				}
			},
			"settle": func(r *rapid.T) {
				n, o := token.Draw(r, "token"), rapid.SampledFrom([]rules.Outcome{sold, free, unknown}).Draw(r, "outcome")
				want := m.settle(n, o)
				if err := store.Settle(ctx, ledger, Token(n), o); !errors.Is(err, want) || want == nil && err != nil {
					r.Fatalf("Settle(%d, %v) = %v, want %v", n, o, err, want)
				}
			},
			"sweep": func(r *rapid.T) {
				want := m.sweep()
				if got, err := store.Sweep(ctx, ledger); got != want || err != nil {
					r.Fatalf("Sweep = %d, %v, want %d", got, err, want)
				}
			},
			"": func(r *rapid.T) { seq = agree(r, ctx, store, m, ledger, seq) },
		})
	})
}

func walkDecide(r *rapid.T, ctx context.Context, store stock.Store, m *model, ledger string, n int) {
	a := stock.Ask{
		Ledger: ledger, Token: Token(n), PerAccount: 2,
		Account:    rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(r, "account"),
		Item:       rapid.SampledFrom([]string{"red", "blue", "", "green"}).Draw(r, "item"),
		Units:      rapid.IntRange(1, 3).Draw(r, "units"),
		ReserveFor: rapid.SampledFrom([]time.Duration{time.Hour, time.Hour, 0}).Draw(r, "for"),
	}
	was := m.holders()[a.Account]
	want := stock.Decision{Reason: m.decide(n, a), Bought: was.Bought}
	want.Free, want.Pending = m.counts(a.Item).Free, m.counts(a.Item).Pending()
	got, err := store.Decide(ctx, a)
	want.Seq = got.Seq
	if got != want || err != nil {
		r.Fatalf("Decide(%+v) = %+v, %v, want %+v", a, got, err, want)
	}
}

// agree compares the two after every step.
func agree(r *rapid.T, ctx context.Context, store stock.Store, m *model, ledger string, seq uint64) uint64 {
	p, err := store.Look(ctx, ledger)
	if err != nil {
		r.Fatalf("Look: %v", err)
	}
	if fault := differs(p, m.picture()); fault != "" {
		r.Fatal(fault)
	}
	if fault := unbalanced(p); fault != "" {
		r.Fatal(fault)
	}
	if p.Seq < seq {
		r.Fatalf("seq fell from %d to %d", seq, p.Seq)
	}
	return p.Seq
}

// crowd is 200 buyers for 10 units. Each asks twice at once with one token, as a client
// does whose reply was lost.
func crowd(t *testing.T, store stock.Store) {
	const units, buyers = 10, 200
	d := newDesk(t, store, map[string]int{"red": units})
	var wins atomic.Int64
	var wg sync.WaitGroup
	for n := range 2 * buyers {
		wg.Go(func() {
			buyer := n / 2
			a := d.ask(fmt.Sprint("buyer ", buyer), "red", buyer, 1)
			got, err := store.Decide(t.Context(), a)
			if err != nil || got.Reason != gate.Admitted && got.Reason != gate.SoldOut {
				t.Errorf("Decide of buyer %d = %+v, %v, want admitted or sold out", buyer, got, err)
			}
			if got.Reason != gate.Admitted {
				return
			}
			wins.Add(1)
			ok, err := store.Start(t.Context(), d.ledger, a.Token, time.Hour)
			if err == nil && ok {
				err = store.Settle(t.Context(), d.ledger, a.Token, sold)
			}
			if err != nil {
				t.Errorf("buyer %d: %v", buyer, err)
			}
		})
	}
	wg.Wait()
	d.counts("red", stock.Counts{Loaded: units, Sold: units})
	if got := wins.Load(); got < units || got > 2*units || len(d.look().Holders) != units {
		t.Errorf("%d wins, %d holders, want %d buyers, each told once or twice", got, len(d.look().Holders), units)
	}
}
