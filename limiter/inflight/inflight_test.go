package inflight

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func sale(name string, ip, account int) *rules.Sale {
	return &rules.Sale{Name: name, Limits: rules.Limits{IP: rules.Limit{InFlight: ip}, Account: rules.Limit{InFlight: account}}}
}

func facts(s *rules.Sale, ip, account string) *gate.Facts {
	return &gate.Facts{At: time.Now(), Sale: s, IP: netip.MustParseAddr(ip), Account: account}
}

func TestGatesKeepTheContract(t *testing.T) {
	s := sale("s", 3, 2)
	client := func(i int) *gate.Facts {
		return facts(s, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), fmt.Sprint("c:", i))
	}
	t.Run("by address", func(t *testing.T) {
		gatetest.Run(t, gatetest.Subject{New: func(testing.TB) gate.Gate { return ByIP() }, Facts: client, Capacity: 3, Holds: true, Memory: 1 << 20})
	})
	t.Run("by account", func(t *testing.T) {
		gatetest.Run(t, gatetest.Subject{New: func(testing.TB) gate.Gate { return ByAccount() }, Facts: client, Capacity: 2, Holds: true, Memory: 1 << 20})
	})
}

func TestWhoSharesACount(t *testing.T) {
	a, b := sale("a", 1, 1), sale("b", 1, 1)
	for _, c := range []struct {
		name          string
		gate          func() gate.Gate
		first, second *gate.Facts
		shared        bool
	}{
		{"one address, two accounts", ByIP, facts(a, "192.0.2.1", "c:x"), facts(a, "192.0.2.1", "c:y"), true},
		{"two addresses", ByIP, facts(a, "192.0.2.1", "c:x"), facts(a, "192.0.2.2", "c:x"), false},
		{"one /64", ByIP, facts(a, "2001:db8::1", "c:x"), facts(a, "2001:db8::ffff", "c:y"), true},
		{"two /64", ByIP, facts(a, "2001:db8::1", "c:x"), facts(a, "2001:db8:0:1::1", "c:x"), false},
		{"two sales", ByIP, facts(a, "192.0.2.1", "c:x"), facts(b, "192.0.2.1", "c:x"), false},
		{"one account, two addresses", ByAccount, facts(a, "192.0.2.1", "c:x"), facts(a, "192.0.2.2", "c:x"), true},
		{"two accounts", ByAccount, facts(a, "192.0.2.1", "c:x"), facts(a, "192.0.2.1", "c:y"), false},
		{"one account, two sales", ByAccount, facts(a, "192.0.2.1", "c:x"), facts(b, "192.0.2.1", "c:x"), false},
		{"no account", ByAccount, facts(a, "192.0.2.1", ""), facts(a, "192.0.2.1", ""), false},
	} {
		g := c.gate()
		g.Admit(t.Context(), c.first)
		if v := g.Admit(t.Context(), c.second); v.OK() == c.shared {
			t.Errorf("%s: the second got %v, want shared: %v", c.name, v.Reason, c.shared)
		}
	}
}

func TestARefusalSaysWhenToComeBack(t *testing.T) {
	g := ByIP()
	f := facts(sale("a", 1, 1), "192.0.2.1", "")
	g.Admit(t.Context(), f)
	if v := g.Admit(t.Context(), f); v.Reason != gate.InFlight || v.Retry <= 0 {
		t.Errorf("got %+v, want in flight with a retry", v)
	}
}

func BenchmarkAdmitAndRelease(b *testing.B) {
	g := ByAccount()
	f := facts(sale("a", 1000, 1000), "192.0.2.1", "c:x")
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(b.Context(), f)
		g.Release(f, gate.End{})
	}
}
