package stock_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// The gateways that the tests of the gates are about, and a store that can be made to fail.

var errDown = errors.New("store is down")

// spy is a store that counts calls and can be made to fail, before or after it has done
// what it was asked.
type spy struct {
	stock.Store
	decides, looks, starts atomic.Int64

	down  atomic.Bool // fails at once
	lossy atomic.Bool // does it, and fails
	lost  atomic.Bool // does not know ledger "phone"

	lookReturns   func() // called when a Look has been done, before it returns
	settleReturns func() // the same for Settle
}

func (s *spy) call(ledger string, do func() error) error {
	if s.down.Load() {
		return errDown
	}
	if ledger == "phone" && s.lost.Load() {
		return stock.ErrNotLoaded
	}
	if err := do(); err != nil || !s.lossy.Load() {
		return err
	}
	return errDown
}

func (s *spy) Decide(ctx context.Context, a stock.Ask) (d stock.Decision, err error) {
	s.decides.Add(1)
	err = s.call(a.Ledger, func() (err error) { d, err = s.Store.Decide(ctx, a); return err })
	return d, err
}

func (s *spy) Start(ctx context.Context, l stock.Launch) (r gate.Reason, err error) {
	s.starts.Add(1)
	err = s.call(l.Ledger, func() (err error) { r, err = s.Store.Start(ctx, l); return err })
	return r, err
}

func (s *spy) Settle(ctx context.Context, d stock.Settlement) error {
	err := s.call(d.Ledger, func() error { return s.Store.Settle(ctx, d) })
	if s.settleReturns != nil {
		s.settleReturns()
	}
	return err
}

func (s *spy) Look(ctx context.Context, ledger string, since uint64) (p stock.Picture, err error) {
	s.looks.Add(1)
	err = s.call(ledger, func() (err error) { p, err = s.Store.Look(ctx, ledger, since); return err })
	if s.lookReturns != nil {
		s.lookReturns()
	}
	return p, err
}

func (s *spy) Pulse(ctx context.Context, ledgers ...string) ([]stock.Picture, error) {
	if s.lost.Load() {
		return make([]stock.Picture, len(ledgers)), nil
	}
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.Pulse(ctx, ledgers...)
}

// shop is one gateway's gates before a store, with one sale: 3 red, 1 blue.
type shop struct {
	testing.TB
	store *spy
	sale  *rules.Sale
	stock *stock.Stock

	soldOut, unit, fence gate.Gate

	mu       sync.Mutex
	reported []error
}

func phone() *rules.Sale {
	return &rules.Sale{Name: "phone", Enforce: true, Stock: &rules.Stock{
		Ledger: "phone", Items: map[string]int{"red": 3, "blue": 1}, PerAccount: 1,
		ReserveFor: 2 * time.Minute, SendingFor: time.Minute,
	}}
}

// gateway adds one to the store, with its background running until the test ends.
func gateway(t testing.TB, store *spy, sale *rules.Sale) *shop {
	t.Helper()
	s := &shop{TB: t, store: store, sale: sale}
	s.stock = stock.New(store, stock.Options{Report: s.report})
	s.soldOut, s.unit, s.fence = s.stock.SoldOut(), s.stock.Unit(), s.stock.Fence()
	if err := s.stock.Load(context.Background(), []*rules.Sale{sale}); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return s
}

// shares makes the store one that this gateway does not own, and that may lose data.
func (s *shop) shares() {
	s.Helper()
	m, err := stock.OpenMemory(filepath.Join(s.TempDir(), "penstock.state"))
	if err != nil {
		s.Fatal(err)
	}
	s.stock.Memory = m
}

// run starts the background, and returns what stops it and waits.
func (s *shop) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.stock.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (s *shop) report(ledger string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported = append(s.reported, fmt.Errorf("%s: %w", ledger, err))
}

// reports takes what was reported since the last time.
func (s *shop) reports() (all []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, s.reported = s.reported, nil
	return all
}

var tokens atomic.Int64

func (s *shop) facts(account, item string) *gate.Facts {
	return &gate.Facts{
		At: time.Now(), Account: account, Item: item, Units: 1, Sale: s.sale,
		Token: stocktest.Token(int(tokens.Add(1))),
	}
}

func (s *shop) admit(g gate.Gate, f *gate.Facts, want gate.Reason) gate.Verdict {
	s.Helper()
	v := g.Admit(context.Background(), f)
	if v.Reason != want {
		s.Fatalf("%q got %v (%v), want %v", f.Account, v.Reason, v.Err, want)
	}
	return v
}

// win reserves a unit for the account.
func (s *shop) win(account, item string) *gate.Facts {
	s.Helper()
	f := s.facts(account, item)
	s.admit(s.unit, f, gate.Admitted)
	return f
}

func (s *shop) counts(item string, want stock.Counts) {
	s.Helper()
	p, err := s.store.Store.Look(context.Background(), s.sale.Stock.Ledger, 0)
	want.Loaded = p.Items[item].Loaded
	want.Free = want.Loaded - want.Reserved - want.Sending - want.Held - want.Sold
	if err != nil || p.Items[item] != want {
		s.Fatalf("counts of %q are %+v, %v, want %+v", item, p.Items[item], err, want)
	}
}

// bubble runs f in virtual time, with one gateway on an embedded store.
func bubble(t *testing.T, f func(*shop)) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		store := inBubble(t, path)
		defer store.Close()
		f(gateway(t, &spy{Store: store}, phone()))
	})
}

var (
	unsent = gate.End{Kind: gate.Unsent}
	sold   = gate.End{Kind: gate.Answered, Status: 200, Outcome: rules.OutcomeSold}
)
