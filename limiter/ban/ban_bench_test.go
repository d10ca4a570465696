package ban

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"penstock/limiter/shared"
	"penstock/proxy/gate"
	"penstock/rules"
)

func bench(b *testing.B, g *Gate, facts func(i int) gate.Facts) {
	all := make([]gate.Facts, 1024)
	for i := range all {
		all[i] = facts(i)
		all[i].At, all[i].Sale = time.Now(), sale
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		g.Admit(context.Background(), &all[i%len(all)])
	}
}

func somebody(i int) gate.Facts {
	return gate.Facts{IP: address(i * 7919), Account: fmt.Sprintf("c:customer-%d", i)}
}

func BenchmarkNoBans(b *testing.B) { bench(b, New(hashOf), somebody) }

// many is 100,000 networks in a list and 10,000 accounts banned by hand.
func many(b *testing.B) *Gate {
	g := New(hashOf)
	l := &rules.List{Values: map[string]string{}}
	for i := range 100_000 {
		a := netip.AddrFrom4([4]byte{byte(11 + i%200), byte(i >> 10), byte(i >> 2), byte(i << 6)})
		p, _ := a.Prefix(20 + i%13)
		l.Networks = append(l.Networks, p)
	}
	g.Use(rules.Bans{Listed: l, Enforce: true})
	var notes []shared.Note
	for i := range 10_000 {
		notes = append(notes, note(b, fmt.Sprintf("c:bot-%d", i), time.Time{}))
	}
	g.Told(notes)
	return g
}

func BenchmarkManyAdmitted(b *testing.B) { bench(b, many(b), somebody) }

func BenchmarkManyRefusedByNetwork(b *testing.B) {
	bench(b, many(b), func(i int) gate.Facts {
		f := somebody(i)
		f.IP = netip.AddrFrom4([4]byte{byte(11 + i%200), byte(i >> 10), byte(i >> 2), byte(i << 6)})
		return f
	})
}

func BenchmarkManyRefusedByAccount(b *testing.B) {
	bench(b, many(b), func(i int) gate.Facts { return gate.Facts{IP: address(i), Account: fmt.Sprintf("c:bot-%d", i)} })
}

// BenchmarkTold is a table as full as it gets.
func BenchmarkTold(b *testing.B) {
	var notes []shared.Note
	for i := range shared.MostNotes {
		n := note(b, fmt.Sprintf("c:bot-%d", i), time.Time{})
		if i%2 == 0 {
			n.Subject = shared.ByAddress(address(i * 7919))
		}
		notes = append(notes, n)
	}
	g := New(hashOf)
	for b.Loop() {
		g.Told(notes)
	}
}
