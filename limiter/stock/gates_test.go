package stock_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

// chain is the unit and the fence as one gate.
type chain struct{ unit, fence gate.Gate }

func (c chain) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	v := c.unit.Admit(ctx, f)
	if !v.OK() {
		return v
	}
	if v = c.fence.Admit(ctx, f); !v.OK() {
		c.unit.Release(f, gate.End{Kind: gate.Refused})
	}
	return v
}

func (c chain) Release(f *gate.Facts, end gate.End) {
	c.fence.Release(f, end)
	c.unit.Release(f, end)
}

func TestGates(t *testing.T) {
	sale := phone()
	sale.Stock.Items = map[string]int{"red": 3}
	facts := func(i int) *gate.Facts {
		f := (&shop{sale: sale}).facts(fmt.Sprint("client ", i), "red")
		return f
	}
	server := stocktest.StartRedis(t)
	fresh := func(t testing.TB) *shop {
		r := server.Rules()
		r.KeyPrefix = stocktest.Ledger() // a store of its own
		return gateway(t, &spy{Store: dial(t, r)}, sale)
	}
	t.Run("unit", func(t *testing.T) {
		gatetest.Run(t, gatetest.Subject{
			New:   func(t testing.TB) gate.Gate { return fresh(t).unit },
			Facts: facts, Capacity: 1, Total: 3, Holds: true, Store: true,
		})
	})
	t.Run("unit and fence", func(t *testing.T) {
		gatetest.Run(t, gatetest.Subject{
			New:   func(t testing.TB) gate.Gate { s := fresh(t); return chain{s.unit, s.fence} },
			Facts: facts, Capacity: 1, Total: 3, Holds: true, Store: true,
		})
	})
	t.Run("sold out", func(t *testing.T) {
		gatetest.Run(t, gatetest.Subject{
			New: func(t testing.TB) gate.Gate {
				s := fresh(t)
				for _, account := range []string{"a", "b", "c"} {
					s.win(account, "red")
				}
				s.latch("red")
				return s.soldOut
			},
			Facts: facts, Capacity: 0, Memory: 1 << 20,
		})
	})
}

// latch runs the background in real time until the item, which is gone, is latched.
func (s *shop) latch(item string) {
	s.Helper()
	defer s.run()()
	s.admit(s.unit, s.facts("loser", item), gate.SoldOut)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		stats, err := s.stock.Pictures(context.Background())
		if err == nil && stats.Ledgers[s.sale.Stock.Ledger].Latched[item] {
			return
		}
	}
	s.Fatal("a sold out item was not latched in 10 s")
}

// TestCrowd: 400 accounts come again and again through all gates, with every end there
// is; in the end every unit is accounted for, and no account has two.
func TestCrowd(t *testing.T) {
	store := &spy{Store: openFile(t, file(t))}
	sale := phone()
	sale.Stock.Items = map[string]int{"red": 40, "blue": 10}
	s := gateway(t, store, sale)
	stop := s.run()
	var winners atomic.Int64
	var wg sync.WaitGroup
	for n := range 400 {
		wg.Go(func() {
			if s.buyer(n) {
				winners.Add(1)
			}
		})
	}
	wg.Wait()
	stop()
	p, err := store.Store.Look(t.Context(), "phone", 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for item, c := range p.Items {
		kept += c.Sold + c.Held
		if c.Free+c.Sold+c.Held != c.Loaded {
			t.Errorf("item %q ends as %+v, want every unit free, sold or held", item, c)
		}
	}
	maps.DeleteFunc(p.Holders, func(_ string, h stock.Holding) bool { return h == stock.Holding{} }) // gave it back
	if n := int(winners.Load()); kept != n || len(p.Holders) != n || n == 0 {
		t.Errorf("%d units are kept by %d holders, want %d winners", kept, len(p.Holders), n)
	}
	if reports := s.reports(); len(reports) != 0 {
		t.Errorf("reported %q, want nothing", slices.Compact(reports))
	}
}

// buyer asks five times, and reports whether it has won for good.
func (s *shop) buyer(n int) (won bool) {
	ends := []gate.End{sold, sold, unsent, {}, {Kind: gate.Answered, Outcome: rules.OutcomeFree}}
	for try := range 5 {
		f := s.facts(fmt.Sprint("account ", n), []string{"red", "blue"}[n%5/4])
		v := s.soldOut.Admit(context.Background(), f)
		if v.OK() {
			v = s.unit.Admit(context.Background(), f)
		}
		if won && v.Reason != gate.AlreadyBought && v.Reason != gate.OrderPending {
			s.Errorf("%s has won and hears %v", f.Account, v.Reason)
		}
		if !v.OK() {
			continue
		}
		if v := s.fence.Admit(context.Background(), f); !v.OK() {
			s.Errorf("%s has a unit and hears %v", f.Account, v.Reason)
		}
		end := ends[(n+try)%len(ends)]
		s.unit.Release(f, end)
		won = end == sold || end.Kind == gate.Unknown
	}
	return won
}
