package rate

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// bench asks from all processors at once; each request is of the client next returns.
func bench(b *testing.B, l rules.Limit, next func(i uint64) int) {
	g := ByIP(Keys)
	sale := &rules.Sale{Name: "phone-nov27", Limits: rules.Limits{IP: l}}
	var n atomic.Uint64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		f := gate.Facts{At: time.Now(), Sale: sale}
		for i := n.Add(1) << 32; pb.Next(); i++ {
			f.IP = address(next(i))
			g.Admit(context.Background(), &f)
		}
	})
}

func BenchmarkHit(b *testing.B) {
	bench(b, rules.Limit{Every: 1, Burst: 1 << 30}, func(i uint64) int { return int(i>>32)<<16 + int(i%2000) })
}

func BenchmarkHitOneAddress(b *testing.B) {
	bench(b, rules.Limit{Every: 1, Burst: 1 << 30}, func(uint64) int { return 1 })
}

func BenchmarkRefuse(b *testing.B) {
	bench(b, rules.Limit{Every: time.Hour, Burst: 1}, func(i uint64) int { return int(i % 2000) })
}

func BenchmarkRefuseOneAddress(b *testing.B) {
	bench(b, rules.Limit{Every: time.Hour, Burst: 1}, func(uint64) int { return 1 })
}

// BenchmarkChurn never sees an address twice until all sixteen million are through.
func BenchmarkChurn(b *testing.B) {
	bench(b, rules.Limit{Every: time.Second, Burst: 1000}, func(i uint64) int { return int(i * 40503 & (1<<24 - 1)) })
}
