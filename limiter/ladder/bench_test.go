package ladder

import (
	"context"
	"runtime"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// crowd is who asks: a million accounts in no order, from so many addresses.
type crowd struct {
	f    gate.Facts
	name [8]byte

	accounts, from int
}

// next is as a connection does it: one request's facts after another's, in the same memory.
func (c *crowd) next(i int) *gate.Facts {
	who := int(uint32(i)*2654435761>>12) % c.accounts // as if by chance
	f := gate.Facts{At: c.f.At.Add(time.Microsecond), Sale: c.f.Sale, Account: churned(&c.name, who), IP: address(who % c.from * 7)}
	f.Hash()
	c.f = f
	return &c.f
}

func newCrowd(r *rules.Ladder, from int) *crowd {
	return &crowd{f: gate.Facts{At: time.Now(), Sale: &rules.Sale{Name: "s", Ladder: r}}, accounts: 1 << 20, from: from}
}

// BenchmarkRefusal is what a request costs that another gate refuses: Admit and Decided, among a
// million accounts. Subtract "facts".
func BenchmarkRefusal(b *testing.B) {
	f := func(name string, r *rules.Ladder, from int, told gate.Reason, accounts int) {
		b.Run(name, func(b *testing.B) {
			l, c := New(Options{Accounts: 1 << 21}), newCrowd(r, from)
			c.accounts = accounts
			d, g := gate.Decision{Reason: told}, l.Gate()
			for i := range 1 << 21 {
				g.Admit(context.Background(), c.next(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				d.Facts = c.next(i)
				g.Admit(context.Background(), d.Facts)
				l.Decided(&d)
			}
		})
	}
	all := *steps()
	all.Accounts, all.Network = rules.Steps{Challenge: 1 << 20}, rules.Steps{Challenge: 1 << 20}
	all.Strikes = rules.Steps{Ban: 1 << 20}
	account := all
	account.Accounts, account.Network = rules.Steps{}, rules.Steps{}
	f("facts", nil, 40_000, gate.SoldOut, 1<<20)
	f("accounts/sold out", &account, 40_000, gate.SoldOut, 1<<20)
	f("all/sold out", &all, 40_000, gate.SoldOut, 1<<20)
	f("all/rate limited", &all, 40_000, gate.RateLimited, 1<<20)
	f("all/own address each", &all, 1<<20, gate.SoldOut, 1<<20)
	f("all/a thousand accounts", &all, 1000, gate.SoldOut, 1000)
	f("all/one address", &all, 1, gate.SoldOut, 1<<20)
}

// BenchmarkMap is the yardstick: one look into a bare map of as many accounts, by hash.
func BenchmarkMap(b *testing.B) {
	c := newCrowd(nil, 1<<20)
	m := make(map[uint64][100]byte, 1<<20)
	for i := range 1 << 21 {
		m[c.next(i).HashAccount()] = [100]byte{}
	}
	b.ResetTimer()
	var n byte
	for i := range b.N {
		n += m[c.next(i).HashAccount()][50]
	}
	runtime.KeepAlive(n)
}

// BenchmarkChurn never sees an account twice, and says what is held afterwards.
func BenchmarkChurn(b *testing.B) {
	l := New(Options{})
	g, sale := l.Gate(), &rules.Sale{Name: "s", Ladder: steps()}
	f := gate.Facts{At: time.Now(), Sale: sale}
	d := gate.Decision{Facts: &f, Reason: gate.RateLimited}
	var name [8]byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		f.Account, f.IP = churned(&name, i), address(i)
		g.Admit(context.Background(), &f)
		l.Decided(&d)
	}
	b.StopTimer()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB")
	runtime.KeepAlive(l)
}
