package redis_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// BenchmarkWholeSale is a sale of 10,000 units from its first request to its last of
// 300,000, through the gates, with the latch; beside one script call for each request.
func BenchmarkWholeSale(b *testing.B) {
	const units, attempts = 10_000, 300_000
	server := stocktest.StartRedis(b)
	against(b, 3, func() (cost, cost) {
		base := newPlain(b, server.Addr, units)
		one := measured(b, server.Addr, attempts, crowd, func(i int) error {
			n, err := base.ask(b.Context(), account(i), name(i))
			if err == nil && n == 1 {
				_, err = base.start.Run(b.Context(), base.client, base.keys, name(i)).Int()
				if err == nil {
					_, err = base.sold.Run(b.Context(), base.client, base.keys, name(i)).Int()
				}
			}
			return err
		})
		return one, wholeSale(b, server, units, attempts)
	})
}

func wholeSale(b *testing.B, server *stocktest.Server, units, attempts int) cost {
	sale := &rules.Sale{Name: "phone", Enforce: true, Stock: &rules.Stock{
		Ledger: stocktest.Ledger(), Items: map[string]int{"red": units}, PerAccount: 1,
		ReserveFor: time.Hour, SendingFor: time.Hour,
	}}
	r := server.Rules()
	store := &counted{Store: open(b, r)}
	gates := stock.New(store, stock.Options{})
	if err := gates.Load(b.Context(), []*rules.Sale{sale}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ran := make(chan struct{})
	go func() { gates.Run(ctx); close(ran) }()
	defer func() { stop(); <-ran }()
	soldOut, unit, fence := gates.SoldOut(), gates.Unit(), gates.Fence()
	var sold atomic.Int64
	end := gate.End{Kind: gate.Answered, Status: 200, Outcome: rules.OutcomeSold}
	c := measured(b, server.Addr, attempts, crowd, func(i int) error {
		f := &gate.Facts{At: time.Now(), Account: account(i), Item: "red", Units: 1, Sale: sale, Token: stocktest.Token(i)}
		if !soldOut.Admit(ctx, f).OK() || !unit.Admit(ctx, f).OK() {
			return nil
		}
		if v := fence.Admit(ctx, f); !v.OK() {
			return v.Err
		}
		unit.Release(f, end)
		sold.Add(1)
		return nil
	})
	if n := int(sold.Load()); n != units {
		b.Fatalf("sold %d of %d", n, units)
	}
	b.ReportMetric(float64(store.decides.Load())/float64(units), "decides/unit")
	return c
}

// counted counts decisions.
type counted struct {
	stock.Store
	decides atomic.Int64
}

func (c *counted) Decide(ctx context.Context, a stock.Ask) (stock.Decision, error) {
	c.decides.Add(1)
	return c.Store.Decide(ctx, a)
}
