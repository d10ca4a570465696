package lease

import (
	"context"
	"fmt"
	"testing"
	"time"

	"penstock/limiter/shared"
	"penstock/proxy/gate"
	"penstock/rules"
)

func bench(b *testing.B, l rules.Limit) {
	g, sale := New(shared.NewMemory(), "a", []byte("secret"), nil), saleOf(l)
	all := make([]*gate.Facts, 2000)
	for i := range all {
		all[i] = facts(fmt.Sprintf("c:customer-%d", i), sale)
		g.Admit(context.Background(), all[i])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if f := all[i%len(all)]; g.Admit(context.Background(), f).OK() {
			g.Release(f, gate.End{})
		}
	}
}

func BenchmarkAdmitAndRelease(b *testing.B) {
	bench(b, rules.Limit{InFlight: 10, Every: time.Nanosecond, Burst: 1 << 30})
}

func BenchmarkRefuse(b *testing.B) { bench(b, rules.Limit{InFlight: 1}) }

// BenchmarkExchange is one exchange of a gateway that knows a hundred thousand accounts, two
// thousand of them hot, and hears of two thousand from each of four others.
func BenchmarkExchange(b *testing.B) {
	m := shared.NewMemory()
	g, sale := New(m, "a", []byte("secret"), nil), saleOf(rules.Limit{InFlight: 10, Every: time.Hour, Burst: 100})
	for i := range 100_000 {
		f := facts(fmt.Sprintf("c:customer-%d", i), sale)
		if g.Admit(context.Background(), f); i%50 != 0 {
			g.Release(f, gate.End{})
		}
	}
	for b.Loop() {
		b.StopTimer()
		for n := range 4 {
			var l []shared.Lease
			for i := range shared.MostLeases {
				l = append(l, shared.Lease{Key: g.key(facts(fmt.Sprintf("c:customer-%d", i*20+n), sale)), Running: 1})
			}
			m.Exchange(context.Background(), fmt.Sprint("other", n), l)
		}
		b.StartTimer()
		if err := g.exchange(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
