package embedded_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/proxy/gate"
	"penstock/rules"
)

// waiting is how many requests are under way for each processor in parallel benchmarks.
const waiting = 128

// BenchmarkWinners takes b.N units from decision to sale, many at a time.
func BenchmarkWinners(b *testing.B) {
	d := load(b, open(b, file(b)), b.N, terms)
	var n atomic.Int64
	b.SetParallelism(waiting)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			d.buy(int(n.Add(1)), int(n.Load()))
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "winners/s")
}

func (d desk) buy(account, n int) {
	a := ask(fmt.Sprint("c:account-", account), n)
	got, err := d.store.Decide(d.Context(), a)
	if err == nil {
		_, err = d.store.Start(d.Context(), stock.Launch{Ledger: "sale", Token: a.Token, By: a.Token})
	}
	if err == nil {
		err = d.store.Settle(d.Context(), stock.Settlement{Ledger: "sale", Token: a.Token, By: a.Token, Outcome: rules.OutcomeSold})
	}
	if err != nil || got.Reason != gate.Admitted {
		d.Errorf("%+v, %v", got, err)
	}
}

// BenchmarkLosers asks for what is gone.
func BenchmarkLosers(b *testing.B) {
	d := load(b, open(b, file(b)), 0, terms)
	b.SetParallelism(waiting)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		a := ask("bob", 1)
		for p.Next() {
			if got, err := d.store.Decide(b.Context(), a); err != nil || got.Reason != gate.SoldOut {
				b.Errorf("%+v, %v", got, err)
			}
		}
	})
}

// BenchmarkOneTransactionEach is what the store is measured against: the same three
// writes for a winner, each in a transaction of its own.
func BenchmarkOneTransactionEach(b *testing.B) {
	db, err := bolt.Open(file(b), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("tokens")); return err })
	var n atomic.Uint64
	b.SetParallelism(waiting)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			key := binary.BigEndian.AppendUint64(nil, n.Add(1))
			for range 3 {
				err := db.Update(func(tx *bolt.Tx) error {
					return tx.Bucket([]byte("tokens")).Put(key, []byte("R 1 0 1764273600000 3 redc:alice"))
				})
				if err != nil {
					b.Error(err)
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "winners/s")
}

// BenchmarkMemory is what a store weighs that has sold a million units, how long it takes
// to open, and what one Look of it costs.
func BenchmarkMemory(b *testing.B) {
	const units = 1_000_000
	for b.Loop() {
		one := weigh(b, units, 1)      // all bought by one account
		each := weigh(b, units, units) // each by another
		b.ReportMetric(one/units, "B/unit")
		b.ReportMetric((each-one)/units, "B/account")
	}
}

// weigh is the heap that a reopened store of so many sold units and accounts takes.
func weigh(b *testing.B, units, accounts int) float64 {
	path := file(b)
	all := terms
	all.PerAccount = units
	d := load(b, open(b, path), units, all)
	ledger := stock.Assertion{Ledger: "sale", Gateway: "gateway"}
	freeze, err := d.store.Freeze(b.Context(), "sale")
	if err != nil {
		b.Fatal(err)
	}
	ledger.Freeze = freeze
	for n := range units {
		var t gate.Token
		binary.BigEndian.PutUint64(t[:], uint64(n)*0x9e3779b97f4a7c15) // spread as random ones are
		ledger.Entries = append(ledger.Entries, stock.Entry{
			Token: t, By: t, State: stock.Sold, Account: fmt.Sprintf("c:account-%08d", n%accounts), Item: "red", Units: 1,
		})
		if len(ledger.Entries) == 50_000 || n == units-1 {
			if _, err := d.store.Reassert(b.Context(), ledger); err != nil {
				b.Fatal(err)
			}
			ledger.Entries = nil
		}
	}
	d.store.Close()
	before := heap()
	began := time.Now()
	store, err := embedded.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/open")
	grown := heap() - before
	store.Close()
	return grown
}

func heap() float64 {
	var m runtime.MemStats
	for range 3 { // what lies in pools goes in the third
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
