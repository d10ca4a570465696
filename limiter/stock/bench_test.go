package stock_test

import (
	"context"
	"testing"

	"penstock/proxy/gate"
)

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
