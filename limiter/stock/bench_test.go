package stock_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// waiting is how many requests are under way for each processor in parallel benchmarks.
const waiting = 128

func BenchmarkLatchedRefusal(b *testing.B) {
	s := gateway(b, &spy{Store: openFile(b, file(b))}, phone())
	s.win("alice", "blue")
	s.latch("blue")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		f := s.facts("bob", "blue")
		for p.Next() {
			if v := s.soldOut.Admit(context.Background(), f); v.Reason != gate.SoldOut {
				b.Errorf("got %v", v.Reason)
			}
		}
	})
}

// winners takes b.N units from decision to sale, many at a time.
func winners(b *testing.B, store stock.Store) {
	ledger := stocktest.Ledger()
	if _, err := store.Load(b.Context(), ledger, map[string]int{"red": b.N}); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(waiting)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := int(n.Add(1))
			a := one(ledger, fmt.Sprint(i), i)
			d, err := store.Decide(b.Context(), a)
			if err == nil {
				_, err = store.Start(b.Context(), ledger, a.Token, time.Hour)
			}
			if err == nil {
				err = store.Settle(b.Context(), ledger, a.Token, rules.OutcomeSold)
			}
			if err != nil || d.Reason != gate.Admitted {
				b.Errorf("%+v, %v", d, err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "winners/s")
}

// losers asks for what is gone.
func losers(b *testing.B, store stock.Store) {
	ledger := stocktest.Ledger()
	if _, err := store.Load(b.Context(), ledger, map[string]int{"red": 0}); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(waiting)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		a := one(ledger, "bob", 1)
		for p.Next() {
			if d, err := store.Decide(b.Context(), a); err != nil || d.Reason != gate.SoldOut {
				b.Errorf("%+v, %v", d, err)
			}
		}
	})
}

func BenchmarkEmbedded(b *testing.B) {
	b.Run("winners", func(b *testing.B) { winners(b, openFile(b, file(b))) })
	b.Run("losers", func(b *testing.B) { losers(b, openFile(b, file(b))) })
}

func BenchmarkRedis(b *testing.B) {
	server := stocktest.StartRedis(b)
	b.Run("winners", func(b *testing.B) { winners(b, dial(b, server.Rules())) })
	b.Run("losers", func(b *testing.B) { losers(b, dial(b, server.Rules())) })
}

// BenchmarkOneTransactionEach is what the embedded store is measured against: the same
// three writes for a winner, each in a transaction of its own.
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
