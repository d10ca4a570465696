package rate

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// at returns a request of account a that arrives so long after the gate was made.
func at(g gate.Gate, after time.Duration, a string, l rules.Limit) *gate.Facts {
	sale := &rules.Sale{Name: "s", Limits: rules.Limits{IP: l, Account: l}}
	return &gate.Facts{At: g.(*limiter).start.Add(after), IP: address(1), Account: a, Sale: sale}
}

func TestGate(t *testing.T) {
	start := time.Now().Add(time.Minute)
	f := func(name string, make func(int) gate.Gate, l rules.Limits, capacity int) {
		t.Run(name, func(t *testing.T) {
			sale := &rules.Sale{Name: "s", Limits: l}
			gatetest.Run(t, gatetest.Subject{
				New: func(testing.TB) gate.Gate { return make(1 << 16) },
				Facts: func(i int) *gate.Facts {
					return &gate.Facts{At: start, IP: address(i), Account: fmt.Sprintf("c:%d", i), Sale: sale}
				},
				Capacity: capacity,
				Memory:   2 << 20,
			})
		})
	}
	five := rules.Limit{Every: time.Second, Burst: 5}
	f("ip", ByIP, rules.Limits{IP: five}, 5)
	f("account", ByAccount, rules.Limits{Account: five}, 5)
	f("none", ByIP, rules.Limits{Account: five}, -1)
}

// TestScript reads as one account's day under 2/s, burst 3.
func TestScript(t *testing.T) {
	g := ByAccount(Keys)
	f := func(ms int, want gate.Reason, retry int) {
		t.Helper()
		r := at(g, time.Duration(ms)*time.Millisecond, "c:a", rules.Limit{Every: 500 * time.Millisecond, Burst: 3})
		got := g.Admit(context.Background(), r)
		if got.Reason != want || got.Retry != time.Duration(retry)*time.Millisecond {
			t.Errorf("at %d ms got %v, retry %v, want %v, retry %d ms", ms, got.Reason, got.Retry, want, retry)
		}
	}
	f(0, gate.Admitted, 0)
	f(0, gate.Admitted, 0)
	f(0, gate.Admitted, 0)
	f(0, gate.RateLimited, 500)
	f(100, gate.RateLimited, 400) // the refusal before it cost nothing
	f(499, gate.RateLimited, 1)
	f(500, gate.Admitted, 0)
	f(500, gate.RateLimited, 500)
	f(9000, gate.Admitted, 0) // rested, but no more than a burst was saved up
	f(9000, gate.Admitted, 0)
	f(9000, gate.Admitted, 0)
	f(9000, gate.RateLimited, 500)
	f(8000, gate.RateLimited, 1500) // arrived earlier, came later
}

func TestWhoIsCounted(t *testing.T) {
	one := rules.Limit{Every: time.Hour, Burst: 1}
	sale := func(name string) *rules.Sale {
		return &rules.Sale{Name: name, Limits: rules.Limits{IP: one, Account: one}}
	}
	ip := netip.MustParseAddr
	f := func(make func(int) gate.Gate, a, b gate.Facts, same bool) {
		t.Helper()
		g := make(Keys)
		a.At, b.At = time.Now(), time.Now()
		if v := g.Admit(context.Background(), &a); !v.OK() {
			t.Fatalf("first request got %v, want admitted", v.Reason)
		}
		if v := g.Admit(context.Background(), &b); v.OK() == same {
			t.Errorf("%+v after %+v got %v, want same key: %v", b, a, v.Reason, same)
		}
	}
	s, other := sale("s"), sale("other")
	v4, v6 := ip("192.0.2.1"), ip("2001:db8::1")
	f(ByIP, gate.Facts{Sale: s, IP: v4}, gate.Facts{Sale: s, IP: v4}, true)
	f(ByIP, gate.Facts{Sale: s, IP: v4}, gate.Facts{Sale: sale("s"), IP: v4}, true) // a reload keeps counting
	f(ByIP, gate.Facts{Sale: s, IP: v4}, gate.Facts{Sale: other, IP: v4}, false)
	f(ByIP, gate.Facts{Sale: s, IP: v4}, gate.Facts{Sale: s, IP: ip("192.0.2.2")}, false)
	f(ByIP, gate.Facts{Sale: s, IP: v6}, gate.Facts{Sale: s, IP: ip("2001:db8::ffff")}, true)
	f(ByIP, gate.Facts{Sale: s, IP: v6}, gate.Facts{Sale: s, IP: ip("2001:db8:0:1::1")}, false)
	f(ByIP, gate.Facts{Sale: s, IP: v4, Account: "c:a"}, gate.Facts{Sale: s, IP: v4, Account: "c:b"}, true)
	f(ByAccount, gate.Facts{Sale: s, IP: v4, Account: "c:a"}, gate.Facts{Sale: s, IP: v6, Account: "c:a"}, true)
	f(ByAccount, gate.Facts{Sale: s, IP: v4, Account: "c:a"}, gate.Facts{Sale: s, IP: v4, Account: "c:b"}, false)
	f(ByAccount, gate.Facts{Sale: s, IP: v4}, gate.Facts{Sale: s, IP: v4}, false)
}

func TestExtremeLimits(t *testing.T) {
	f := func(l rules.Limit, want int) {
		t.Helper()
		g, got := ByAccount(Keys), 0
		for got < 100 && g.Admit(context.Background(), at(g, time.Hour, "c:a", l)).OK() {
			got++
		}
		if got != want {
			t.Errorf("%+v admitted %d at once, want %d", l, got, want)
		}
	}
	f(rules.Limit{Every: math.MaxInt64, Burst: 1}, 1)
	f(rules.Limit{Every: time.Hour, Burst: math.MaxInt}, 100)
	f(rules.Limit{Every: time.Hour}, 1)
	f(rules.Limit{Every: 1, Burst: 100}, 100)
	f(rules.Limit{Burst: 1}, 100)
}

// model is GCRA with all the memory in the world.
type model map[string]time.Duration

func (m model) wait(a string, now time.Duration, l rules.Limit) time.Duration {
	return max(m[a], now) - now - time.Duration(l.Burst-1)*l.Every
}

// TestModel drives one bucket. As long as its keys fit it must agree with the model;
// with more of them it may refuse what the model admits, never the other way round.
func TestModel(t *testing.T) {
	f := func(keys int) {
		t.Helper()
		rapid.Check(t, func(r *rapid.T) {
			g, m := ByAccount(1), model{}
			l := rules.Limit{
				Every: time.Duration(rapid.IntRange(1, 50).Draw(r, "every")),
				Burst: rapid.IntRange(1, 5).Draw(r, "burst"),
			}
			now := time.Duration(0)
			for range rapid.IntRange(1, 200).Draw(r, "requests") {
				now += time.Duration(rapid.IntRange(0, 20).Draw(r, "pause"))
				a := fmt.Sprint("c:", rapid.IntRange(1, keys).Draw(r, "account"))
				v, wait := g.Admit(context.Background(), at(g, now, a, l)), m.wait(a, now, l)
				if v.OK() && wait > 0 || keys <= ways && v.Retry != max(0, wait) || v.Retry < wait {
					r.Fatalf("%s at %d: got %v, retry %d, want as the model: wait %d", a, now, v.Reason, v.Retry, wait)
				}
				if v.OK() {
					m[a] = max(m[a], now) + l.Every
				}
			}
		})
	}
	f(ways)
	f(4 * ways)
}

// TestForgottenOwesOn pushes a debtor out of its bucket by worse ones.
func TestForgottenOwesOn(t *testing.T) {
	g := ByAccount(1)
	ask := func(after time.Duration, a string, every time.Duration) gate.Verdict {
		return g.Admit(context.Background(), at(g, after, a, rules.Limit{Every: every, Burst: 1}))
	}
	ask(0, "c:small", time.Second)
	for i := range ways {
		ask(0, fmt.Sprint("c:", i), time.Minute)
	}
	if v := ask(0, "c:small", time.Second); v.Reason != gate.RateLimited || v.Retry != time.Second {
		t.Errorf("a forgotten debtor got %+v, want refused for 1s", v)
	}
	for i := range 1000 { // none of these owes more than the ones that are here
		ask(time.Second, fmt.Sprint("c:new", i), time.Second)
	}
	for i := range ways {
		if v := ask(time.Second, fmt.Sprint("c:", i), time.Minute); v.Retry != 59*time.Second {
			t.Errorf("after a flood of others, debtor %d got %+v, want refused for 59s", i, v)
		}
	}
	if v := ask(time.Minute, "c:small", time.Second); !v.OK() {
		t.Errorf("when all debts are over a forgotten debtor got %+v, want admitted", v)
	}
}

// TestStrangersFit fills a table to a half with debtors: newcomers must hardly notice.
func TestStrangersFit(t *testing.T) {
	const room = 1 << 14
	g, l := ByAccount(room), rules.Limit{Every: time.Minute, Burst: 1}
	refused := 0
	for i := range room / 2 {
		if !g.Admit(context.Background(), at(g, 0, fmt.Sprint("c:", i), l)).OK() {
			refused++
		}
	}
	if refused > room/2/50 {
		t.Errorf("%d of %d first requests were refused, want at most 2 %%", refused, room/2)
	}
}
