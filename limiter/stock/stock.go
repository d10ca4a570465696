// Package stock takes a unit for every order before the order is sent, and says "sold
// out" to everybody else.
//
// Three gates over one Store. SoldOut answers from memory once the store has said that
// an item is gone; Unit reserves, and settles by what became of the order; Fence is the
// durable step after which bytes may be sent. A unit whose order may have gone through
// is never given to another: it is held. What memory knows may be late by a moment, and
// then it only refuses.
//
// It gives up when the store cannot be asked: nothing is sold then. It does not know
// HTTP, queues or the origin, and it does not resolve held units by itself; only the
// rules, the shop, or a person, know whether an order exists.
package stock

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	// ErrUnitsDiffer: the file asks for other units than were loaded. The loaded ones count.
	ErrUnitsDiffer = errors.New("units differ from those loaded")

	// ErrTermsDiffer: the file has other rules than the store. The store's count.
	ErrTermsDiffer = errors.New("rules differ from those in the store")
)

const (
	retryStore   = time.Second     // after trouble with the store
	retryPending = 2 * time.Second // while units may come back
	retryPaused  = 5 * time.Second
)

// Options are what a Stock may be told.
type Options struct {
	// Report hears of trouble that no request is told of: see the Err values of this
	// package, and calls to the store in the background that began to fail. It must not
	// block. nil: nobody does.
	Report func(ledger string, err error)

	// Memory is what this gateway remembers of a store that it does not own. nil: the
	// store cannot lose what this gateway has seen in it.
	Memory *Memory

	// Resolve asks what became of the order of a held unit, where Terms.Unknown is
	// rules.Resolve. It may take its time. nil: nobody is asked.
	Resolve func(ctx context.Context, ledger string, e Entry) (o rules.Outcome, ref string, err error)
}

// Stock is the stock of all sales of one gateway.
type Stock struct {
	Options
	store   Store
	gateway string // our name among those that share the store
	breaker breaker

	loading sync.Mutex // one Load at a time
	ledgers atomic.Pointer[map[string]*ledger]

	look   chan struct{} // some ledger wants to be looked at
	asking chan struct{} // one token for each Resolve under way
	outbox *outbox
}

// New makes a Stock that knows no ledger yet.
func New(store Store, o Options) *Stock {
	s := &Stock{
		Options: o, store: store, gateway: newName(), look: make(chan struct{}, 1),
		asking: make(chan struct{}, mostAsking), outbox: newOutbox(),
	}
	if s.Report == nil {
		s.Report = func(string, error) {}
	}
	s.ledgers.Store(&map[string]*ledger{})
	return s
}

// newName is another one for every process: one that comes back knows nothing of what
// the one before knew.
func newName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Load makes the sales' ledgers known to the store, each once: a ledger that this
// gateway, now or in an earlier life, has seen loaded and that the store does not know
// is frozen. Units and terms that differ from the file's are reported and otherwise left
// alone. On an error some ledgers may be loaded; Load may be called again.
func (s *Stock) Load(ctx context.Context, sales []*rules.Sale) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	var failed error
	for _, sale := range sales {
		if sale.Stock == nil {
			continue
		}
		if err := s.ensure(ctx, sale); err != nil {
			failed = errors.Join(failed, fmt.Errorf("load stock of sale %q: %w", sale.Name, err))
		}
	}
	return errors.Join(failed, s.Memory.save()) // before anything is sold
}

// ensure finds the sale's ledger in the store, or loads it.
func (s *Stock) ensure(ctx context.Context, sale *rules.Sale) error {
	l := s.ledger(sale.Stock.Ledger)
	if l == nil {
		l = newLedger(sale.Stock.Ledger, sale.Stock.Items)
	}
	pictures, err := s.store.Pulse(ctx, l.name)
	if err != nil {
		return err
	}
	p, before := pictures[0], l.stamp()
	if was, knew := s.Memory.knows(l.name); knew && before == (Stamp{}) {
		before = was
		l.partial = p.Items == nil || p.Epoch < was.Epoch || p.Epoch == was.Epoch && p.Seq < was.Seq
	}
	switch {
	case p.Items != nil:
	case !p.Archived && before != (Stamp{}):
		s.freeze(l, gone)
	default:
		if p, _, err = s.store.Load(ctx, Loading{Ledger: l.name, Items: sale.Stock.Items, Terms: TermsOf(sale)}); err != nil {
			return err
		}
		before = p.Stamp
	}
	all := maps.Clone(*s.ledgers.Load())
	all[l.name] = l
	s.ledgers.Store(&all)
	if p.Items == nil {
		return nil
	}
	s.compare(ctx, l, p, before)
	if diff := difference(sale.Stock.Items, p.Items); diff != "" {
		s.Report(l.name, fmt.Errorf("%w: %s", ErrUnitsDiffer, diff))
	}
	if diff := p.Terms.Differences(TermsOf(sale)); len(diff) > 0 {
		s.Report(l.name, fmt.Errorf("%w: %s", ErrTermsDiffer, strings.Join(diff, "; ")))
	}
	return nil
}

// difference says in words how the file's units differ from those for sale.
func difference(file map[string]int, loaded map[string]Counts) string {
	var words []string
	for _, item := range slices.Sorted(maps.Keys(file)) {
		if c, ok := loaded[item]; !ok {
			words = append(words, fmt.Sprintf("item %q is not loaded", item))
		} else if n := c.Loaded - c.Withdrawn; n != file[item] {
			words = append(words, fmt.Sprintf("item %q has %d in the file, %d loaded", item, file[item], n))
		}
	}
	for _, item := range slices.Sorted(maps.Keys(loaded)) {
		if _, ok := file[item]; !ok {
			words = append(words, fmt.Sprintf("item %q is not in the file, %d loaded", item, loaded[item].Loaded))
		}
	}
	return strings.Join(words, "; ")
}

// ledger is nil for one that was not loaded here.
func (s *Stock) ledger(name string) *ledger { return (*s.ledgers.Load())[name] }

// sells returns the stock that the request's item is counted in. nil: the verdict is
// final, and if it admits, nothing is held. An order of what was reserved before names
// no item: its reservation does.
func sells(f *gate.Facts) (*rules.Stock, gate.Verdict) {
	if f.Sale == nil || f.Sale.Stock == nil {
		return nil, gate.Admit
	}
	if _, ok := f.Sale.Stock.Items[f.Item]; ok || f.Order {
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
