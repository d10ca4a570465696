package ban

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"penstock/limiter/shared"
	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sale = &rules.Sale{Name: "s"}

var seed = maphash.MakeSeed()

func hashOf(account string) uint64 { return maphash.String(seed, account) }

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func note(t testing.TB, subject string, until time.Time) shared.Note {
	t.Helper()
	s, err := shared.ParseSubject(subject)
	if err != nil {
		t.Fatal(err)
	}
	return shared.Note{Subject: s, Until: until, Signal: rules.ByHand}
}

func TestGate(t *testing.T) {
	facts := func(i int) *gate.Facts {
		return &gate.Facts{At: time.Now(), IP: address(i), Account: fmt.Sprintf("c:%d", i), Sale: sale}
	}
	f := func(name string, capacity int, bans ...string) {
		t.Run(name, func(t *testing.T) {
			gatetest.Run(t, gatetest.Subject{Capacity: capacity, Facts: facts, Memory: 1 << 20, New: func(t testing.TB) gate.Gate {
				g := New(hashOf)
				var notes []shared.Note
				for _, b := range bans {
					notes = append(notes, note(t, b, time.Now().Add(time.Hour)))
				}
				g.Told(notes)
				return g
			}})
		})
	}
	var addresses, accounts, hashes []string // of all clients whose answers the suite looks at
	for i := range 10 {
		account := fmt.Sprintf("c:%d", i)
		addresses, accounts, hashes = append(addresses, address(i).String()), append(accounts, account), append(hashes, fmt.Sprintf("#%016x", hashOf(account)))
	}
	f("nobody", -1)
	f("others", -1, "c:nobody", "192.0.2.0/24")
	f("a network", 0, "10.0.0.0/8")
	f("addresses", 0, addresses...)
	f("accounts", 0, accounts...)
	f("hashes", 0, hashes...)
}

func TestWhoIsBanned(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	g := New(hashOf)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	g.Told([]shared.Note{
		note(t, "c:alice", in(time.Hour)), note(t, "bob", time.Time{}), note(t, "j:bob", in(time.Hour)), note(t, "x:y:z", in(time.Hour)),
		note(t, fmt.Sprintf("#%016x", hashOf("c:hidden")), in(time.Minute)),
		note(t, "192.0.2.0/24", in(time.Hour)), note(t, "192.0.2.7", in(-time.Second)), note(t, "192.0.2.8", in(time.Minute)),
		note(t, "192.0.2.9", time.Time{}), note(t, "2001:db8::/32", in(time.Minute)), note(t, "2001:db8:1::5", in(time.Hour)),
		note(t, "203.0.113.1", in(-time.Second)), note(t, "c:late", in(-time.Second)),
	})
	f := func(account, ip string, want gate.Reason, retry time.Duration) {
		t.Helper()
		v := g.Admit(context.Background(), &gate.Facts{At: now, IP: netip.MustParseAddr(ip), Account: account, Sale: sale})
		if v.Reason != want || v.Retry != retry || v.Would != gate.Unset {
			t.Errorf("%q from %s got %v, retry %v, would %v; want %v, %v", account, ip, v.Reason, v.Retry, v.Would, want, retry)
		}
	}
	f("c:alice", "198.51.100.1", gate.Banned, time.Hour)
	f("h:alice", "198.51.100.1", gate.Admitted, 0)
	f("c:bob", "198.51.100.1", gate.Banned, 0) // bare: of any source, without end
	f("j:bob", "198.51.100.1", gate.Banned, 0)
	f("c:bobby", "198.51.100.1", gate.Admitted, 0)
	f("c:x:y:z", "198.51.100.1", gate.Admitted, 0) // whose name only looks like another's
	f("x:y:z", "198.51.100.1", gate.Banned, time.Hour)
	f("c:hidden", "198.51.100.1", gate.Banned, time.Minute)
	f("c:late", "198.51.100.1", gate.Admitted, 0)
	f("", "198.51.100.1", gate.Admitted, 0)
	f("", "192.0.2.1", gate.Banned, time.Hour)
	f("", "192.0.2.7", gate.Banned, time.Hour) // its own has ended, its network's has not
	f("", "192.0.2.8", gate.Banned, time.Hour) // the last one counts
	f("", "192.0.2.9", gate.Banned, 0)
	f("c:hidden", "192.0.2.1", gate.Banned, time.Hour)
	f("", "203.0.113.1", gate.Admitted, 0)
	f("", "2001:db8:1::9", gate.Banned, time.Hour)
	f("", "2001:db8:2::9", gate.Banned, time.Minute)
	f("", "2001:db9::1", gate.Admitted, 0)
	if v := g.Admit(context.Background(), &gate.Facts{At: now, IP: netip.MustParseAddr("192.0.2.1")}); !v.OK() {
		t.Errorf("a request of no sale got %v", v.Reason)
	}
	g.Told(nil)
	f("c:alice", "192.0.2.1", gate.Admitted, 0)
}

func TestLists(t *testing.T) {
	g := New(hashOf)
	b := rules.Bans{Enforce: true, Listed: &rules.List{
		Values:   map[string]string{"c:alice": "", "bob": "resold", fmt.Sprintf("#%016x", hashOf("c:hidden")): ""},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24"), netip.MustParsePrefix("::ffff:198.51.100.0/120"), netip.MustParsePrefix("2001:db8::/48")},
		Hashed:   true,
	}}
	f := func(account, ip string, want gate.Verdict) {
		t.Helper()
		got := g.Admit(context.Background(), &gate.Facts{At: time.Now(), IP: netip.MustParseAddr(ip), Account: account, Sale: sale})
		if got != want {
			t.Errorf("%q from %s got %+v, want %+v", account, ip, got, want)
		}
	}
	banned, would := gate.Verdict{Reason: gate.Banned}, gate.Verdict{Reason: gate.Admitted, Would: gate.Banned}
	all := func(want gate.Verdict) {
		t.Helper()
		for _, account := range []string{"c:alice", "h:bob", "c:hidden"} {
			f(account, "203.0.113.1", want)
		}
		for _, ip := range []string{"192.0.2.200", "198.51.100.9", "2001:db8::1"} {
			f("c:carol", ip, want)
		}
		f("c:carol", "203.0.113.1", gate.Admit)
	}
	all(gate.Admit)
	g.Use(b)
	all(banned)
	b.Enforce = false
	g.Use(b)
	all(would)
	// A ban by hand counts whatever becomes of lists.
	g.Told([]shared.Note{note(t, "c:alice", time.Time{})})
	f("c:alice", "203.0.113.1", banned)
	f("h:bob", "203.0.113.1", would)
	g.Told(nil)
	g.Use(rules.Bans{Enforce: true})
	all(gate.Admit)
}

// TestHashesAreNotComputedForNothing: a keyed hash costs more than all the rest.
func TestHashesAreNotComputedForNothing(t *testing.T) {
	asked := 0
	g := New(func(string) uint64 { asked++; return 1 })
	g.Told([]shared.Note{note(t, "c:alice", time.Time{}), note(t, "192.0.2.1", time.Time{})})
	f := &gate.Facts{At: time.Now(), IP: address(1), Account: "c:bob", Sale: sale}
	if g.Admit(context.Background(), f); asked != 0 {
		t.Error("an account was hashed where nobody is banned by a hash")
	}
	g.Told([]shared.Note{note(t, "#0000000000000001", time.Time{})})
	if v := g.Admit(context.Background(), f); asked != 1 || v.Reason != gate.Banned {
		t.Errorf("hashed %d times, got %v", asked, v.Reason)
	}
	New(nil).Told([]shared.Note{note(t, "#0000000000000001", time.Time{})})
}

// TestAsOneByOne holds the index against asking every ban in turn.
func TestAsOneByOne(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	ip := func(r *rapid.T) netip.Addr {
		b := binary.BigEndian.AppendUint32(nil, 0xc0000200+rapid.Uint32Range(0, 7).Draw(r, "ip"))
		if rapid.Bool().Draw(r, "v6") {
			return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 7: b[3], 15: b[3]})
		}
		return netip.AddrFrom4([4]byte(b))
	}
	rapid.Check(t, func(r *rapid.T) {
		var bans []shared.Note
		for range rapid.IntRange(0, 12).Draw(r, "bans") {
			n := shared.Note{Until: now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(r, "s")) * time.Second)}
			if n.Until.Equal(now) {
				n.Until = time.Time{}
			}
			if rapid.Bool().Draw(r, "account") {
				n.Subject.Account = rapid.SampledFrom([]string{"a", "c:a", "h:a", "h:c:a", "b"}).Draw(r, "name")
			} else {
				a := ip(r)
				n.Subject.Network = netip.PrefixFrom(a, rapid.IntRange(16, a.BitLen()).Draw(r, "bits")).Masked()
			}
			bans = append(bans, n)
		}
		g := New(hashOf)
		g.Told(bans)
		f := &gate.Facts{At: now, IP: ip(r), Account: rapid.SampledFrom([]string{"", "c:a", "h:a", "c:h:a", "c:b"}).Draw(r, "who"), Sale: sale}
		want := gate.Admit
		for _, n := range bans {
			if !n.Subject.Meets(f.Account, f.IP) || !n.Live(now) {
				continue
			}
			left := time.Duration(0)
			if !n.Until.IsZero() {
				left = n.Until.Sub(now)
			}
			if want.OK() || want.Retry != 0 && (left == 0 || left > want.Retry) {
				want = gate.Verdict{Reason: gate.Banned, Retry: left}
			}
		}
		if got := g.Admit(context.Background(), f); got != want {
			r.Errorf("%q from %s got %+v, want %+v of %+v", f.Account, f.IP, got, want, bans)
		}
	})
}
