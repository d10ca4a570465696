package challenge

import (
	"context"
	"testing"
	"time"

	"penstock/proxy/gate"
)

func BenchmarkGate(b *testing.B) {
	s := phone()
	d := open(Options{}, s)
	ctx, f := context.Background(), alice(s)
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.Gate().Admit(ctx, f)
		}
	})
	cleared := alice(s)
	cleared.Cleared = gate.Clearance{At: cleared.At}
	b.Run("cleared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.Gate().Admit(ctx, cleared)
		}
	})
}

func BenchmarkCleared(b *testing.B) {
	s := phone()
	d := open(Options{}, s)
	f, proof := alice(s), solve(b, d, s, "d").Proof
	f.At = time.Now()
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				d.Cleared(proof, f, "d")
			}
		})
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.proofs.Remove(proof)
			d.Cleared(proof, f, "d")
		}
	})
	b.Run("forged", func(b *testing.B) {
		b.ReportAllocs()
		forged := proof[:len(proof)-4] + "AAAA"
		for b.Loop() {
			d.Cleared(forged, f, "d")
		}
	})
}

func BenchmarkPuzzle(b *testing.B) {
	s := phone()
	d := open(Options{}, s)
	f := alice(s)
	b.ReportAllocs()
	for b.Loop() {
		d.Puzzle(f, "d")
	}
}

func BenchmarkAnswer(b *testing.B) {
	s := phone()
	d := open(Options{Claim: func(context.Context, []byte, time.Duration) (bool, error) { return true, nil }}, s)
	a := answered(d.Puzzle(alice(s), "d"), "d")
	b.Run("right", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.spent.Purge()
			if _, err := d.Answer(context.Background(), a); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) {
		b.ReportAllocs()
		forged := gate.Answer{Token: a.Token[:len(a.Token)-4] + "AAAA", Work: a.Work, Device: "d"}
		for b.Loop() {
			d.Answer(context.Background(), forged)
		}
	})
}

func BenchmarkDraw(b *testing.B) {
	s := phone()
	d := open(Options{}, s)
	p := d.Puzzle(alice(s), "d")
	b.Run("image", func(b *testing.B) {
		for b.Loop() {
			d.Image(p.Token)
		}
	})
	b.Run("sound", func(b *testing.B) {
		for b.Loop() {
			d.Sound(p.Token)
		}
	})
}
