// Package stock takes a unit for every order before the order is sent, and says "sold
// out" to everybody else.
//
// Three gates over one Store. SoldOut answers from memory once the store has said that
// an item is gone; Unit reserves, and settles by what became of the order; Fence is the
// durable step after which bytes may be sent. A unit whose order may have gone through
// is never given to another: it is held. What memory knows may be late by a moment, and
// then only ever refuses.
//
// It gives up when the store cannot be asked: nothing is sold then. It does not know
// HTTP, queues or the origin, and it does not resolve held units; only the rules, or a
// person, know whether an order exists.
package stock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

var (
	// ErrFrozen: the store has forgotten what this process knows it knew. It could sell
	// twice, so it is not asked for units of this ledger until the process is started
	// again; or until it remembers, if meanwhile it did not know the ledger at all.
	ErrFrozen = errors.New("store has lost data: ledger is frozen")

	// ErrUnitsDiffer: the file asks for other units than were loaded. The loaded ones count.
	ErrUnitsDiffer = errors.New("units differ from those loaded")
)

const (
	retryStore   = time.Second     // after trouble with the store
	retryPending = 2 * time.Second // while units may come back
)

// Options are what a Stock may be told.
type Options struct {
	// Report hears of trouble that no request is told of: see the Err values of this
	// package, and calls to the store in the background that began to fail. It must not
	// block. nil: nobody does.
	Report func(ledger string, err error)
}

// Stock is the stock of all sales of one gateway.
type Stock struct {
	store  Store
	report func(ledger string, err error)

	loading sync.Mutex // one Load at a time
	ledgers atomic.Pointer[map[string]*ledger]

	look   chan struct{} // some ledger wants to be looked at
	outbox *outbox
}

// New makes a Stock that knows no ledger yet.
func New(store Store, o Options) *Stock {
	s := &Stock{store: store, report: o.Report, look: make(chan struct{}, 1), outbox: newOutbox()}
	if s.report == nil {
		s.report = func(string, error) {}
	}
	s.ledgers.Store(&map[string]*ledger{})
	return s
}

// Load makes the sales' ledgers known to the store, each once in this process's life: a
// ledger that was loaded before and that the store does not know is frozen. Units that
// differ from the file's are reported and otherwise left alone. On an error some ledgers
// may be loaded; Load may be called again.
func (s *Stock) Load(ctx context.Context, sales []*rules.Sale) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	var failed error
	for _, sale := range sales {
		if sale.Stock == nil {
			continue
		}
		l, err := s.ensure(ctx, sale.Stock)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("load stock of sale %q: %w", sale.Name, err))
			continue
		}
		if diff := difference(sale.Stock.Items, l.loaded); diff != "" {
			s.report(l.name, fmt.Errorf("%w: %s", ErrUnitsDiffer, diff))
		}
	}
	return failed
}

func (s *Stock) ensure(ctx context.Context, st *rules.Stock) (*ledger, error) {
	if l := s.ledger(st.Ledger); l != nil {
		return l, s.pulse(ctx, []*ledger{l})
	}
	loaded, err := s.store.Load(ctx, st.Ledger, st.Items)
	if err != nil {
		return nil, err
	}
	l := newLedger(st.Ledger, loaded)
	all := maps.Clone(*s.ledgers.Load())
	all[l.name] = l
	s.ledgers.Store(&all)
	return l, nil
}

// difference says in words how the file's units differ from the loaded ones.
func difference(file, loaded map[string]int) string {
	var words []string
	for _, item := range slices.Sorted(maps.Keys(file)) {
		if n, ok := loaded[item]; !ok {
			words = append(words, fmt.Sprintf("item %q is not loaded", item))
		} else if n != file[item] {
			words = append(words, fmt.Sprintf("item %q has %d in the file, %d loaded", item, file[item], n))
		}
	}
	for _, item := range slices.Sorted(maps.Keys(loaded)) {
		if _, ok := file[item]; !ok {
			words = append(words, fmt.Sprintf("item %q is not in the file, %d loaded", item, loaded[item]))
		}
	}
	return strings.Join(words, "; ")
}

// ledger is nil for one that was not loaded here.
func (s *Stock) ledger(name string) *ledger { return (*s.ledgers.Load())[name] }

// sells returns the stock that the request's item is counted in. nil: the verdict is
// final, and if it admits, nothing is held.
func sells(f *gate.Facts) (*rules.Stock, gate.Verdict) {
	if f.Sale == nil || f.Sale.Stock == nil {
		return nil, gate.Admit
	}
	if _, ok := f.Sale.Stock.Items[f.Item]; ok {
		return f.Sale.Stock, gate.Verdict{}
	}
	if f.Sale.Stock.ForwardOther {
		return nil, gate.Admit
	}
	return nil, gate.Verdict{Reason: gate.UnknownItem}
}

func unavailable(err error) gate.Verdict {
	return gate.Verdict{Reason: gate.StoreUnavailable, Retry: retryStore, Err: err}
}

// soldOut is the refusal for one item; pending: units of it may come back.
func soldOut(pending bool) gate.Verdict {
	v := gate.Verdict{Reason: gate.SoldOut}
	if pending {
		v.Retry = retryPending
	}
	return v
}

// Unit is the gate that reserves units, and settles at Release.
func (s *Stock) Unit() gate.Gate { return unit{s} }

type unit struct{ *Stock }

// Admit makes one call to the store. If nobody knows what became of it, the token is
// cancelled behind the request's back.
func (u unit) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	st, v := sells(f)
	if st == nil {
		return v
	}
	l := u.ledger(st.Ledger)
	switch {
	case f.Account == "":
		return gate.Verdict{Reason: gate.NoAccount}
	case f.Units < 1:
		return gate.Verdict{Reason: gate.Internal, Err: fmt.Errorf("ask for %d units", f.Units)}
	case l == nil:
		return unavailable(ErrNotLoaded)
	case l.frozen():
		return unavailable(ErrFrozen)
	case ctx.Err() != nil:
		return unavailable(ctx.Err())
	}
	seen := l.seen.Load()
	d, err := u.store.Decide(ctx, Ask{
		Ledger: st.Ledger, Account: f.Account, Item: f.Item, Token: f.Token,
		Units: f.Units, PerAccount: st.PerAccount, ReserveFor: st.ReserveFor,
	})
	switch {
	case errors.Is(err, ErrNotLoaded):
		u.freeze(l)
		return unavailable(ErrFrozen)
	case err == nil && (d.Seq < seen || d.Seq == seen && d.Reason == gate.Admitted): // a win is a change
		u.cutShort(l)
		err = ErrFrozen
	}
	if err != nil {
		u.outbox.cancel(debt{l.name, f.Token, rules.OutcomeFree})
		return unavailable(err)
	}
	return u.answer(l, f, d)
}

// answer tells the ledger what the store has decided, and the request.
func (s *Stock) answer(l *ledger, f *gate.Facts, d Decision) gate.Verdict {
	l.saw(d.Seq)
	t := l.items[f.Item]
	t.allow(d.Free)
	if d.Reason == gate.Admitted {
		l.mine.set(f.Account, Holding{Bought: d.Bought, Open: true})
		return gate.Admit
	}
	if t != nil && d.Free == 0 && t.probes.Load() != 0 { // whoever asked: the next refusal is from memory
		s.wantLook(l)
	}
	switch {
	case d.Reason == gate.SoldOut && d.Bought > 0:
		return gate.Verdict{Reason: gate.AlreadyBought} // who has won never hears "sold out"
	case d.Reason == gate.SoldOut:
		return soldOut(d.Pending > 0)
	}
	return gate.Verdict{Reason: d.Reason}
}

// Release settles; what the store cannot be told now, Run tells it later.
func (u unit) Release(f *gate.Facts, end gate.End) {
	st, _ := sells(f)
	if st == nil {
		return
	}
	outcome := rules.OutcomeUnknown
	switch end.Kind {
	case gate.Refused, gate.Unsent:
		outcome = rules.OutcomeFree
	case gate.Answered:
		outcome = end.Outcome
	}
	l := u.ledger(st.Ledger)
	l.settled(f.Account, f.Units, outcome) // first: once the store knows, the account may win again
	d := debt{l.name, f.Token, outcome}
	if !u.settle(context.Background(), d) {
		u.outbox.owe(d)
	}
}

// settle reports whether the debt is done with: paid, or never to be.
func (s *Stock) settle(ctx context.Context, d debt) bool {
	err := s.store.Settle(ctx, d.ledger, d.token, d.outcome)
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrOversold), errors.Is(err, ErrSold):
		s.report(d.ledger, fmt.Errorf("token %s: %w", tokenKey(d.token), err))
		return true
	case errors.Is(err, ErrNotLoaded):
		s.freeze(s.ledger(d.ledger))
	}
	return false
}

// Fence is the gate between the reservation and the first byte to the origin. It holds
// nothing: what it has started, the Release of Unit ends.
func (s *Stock) Fence() gate.Gate { return fence{s} }

type fence struct{ *Stock }

func (n fence) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	st, v := sells(f)
	if st == nil {
		return v
	}
	if ctx.Err() != nil {
		return unavailable(ctx.Err())
	}
	ok, err := n.store.Start(ctx, st.Ledger, f.Token, st.SendingFor)
	switch {
	case err != nil:
		return unavailable(err)
	case !ok:
		return gate.Verdict{Reason: gate.ReservationExpired}
	}
	return gate.Admit
}

func (fence) Release(*gate.Facts, gate.End) {}
