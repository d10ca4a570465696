package shared_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/limiter/shared"
	"penstock/limiter/shared/sharedtest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	sharedtest.Run(t, sharedtest.Subject{New: func(testing.TB) shared.Store { return shared.NewMemory() }})
}

func TestSubjects(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		s, err := shared.ParseSubject(text)
		if got := s.String(); err != nil || got != want {
			t.Errorf("ParseSubject(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	f("c:alice", "c:alice")
	f("alice", "alice")
	f("#0123456789abcdef", "#0123456789abcdef")
	f("192.0.2.7", "192.0.2.7")
	f("192.0.2.7/32", "192.0.2.7")
	f("192.0.2.7/24", "192.0.2.0/24")
	f("::ffff:192.0.2.7", "192.0.2.7")
	f("::ffff:192.0.2.7/120", "192.0.2.0/24")
	f("2001:db8::7", "2001:db8::/64") // the least that one subscriber has
	f("2001:db8::7/128", "2001:db8::7/128")
	f("account:192.0.2.7", "account:192.0.2.7")
	f("account:alice", "alice")
	f("account:account:x", "account:account:x")
	for _, bad := range []string{"", "account:", "fe80::1%eth0", "0.0.0.0/0", "10.0.0.0/7", "::/0", "2001::/15", "::ffff:0:0/90", strings.Repeat("x", 513)} {
		if s, err := shared.ParseSubject(bad); err == nil {
			t.Errorf("ParseSubject(%q) = %v, want an error", bad, s)
		}
	}
	if s := shared.ByAddress(netip.MustParseAddr("2001:db8::7")); s.String() != "2001:db8::/64" {
		t.Errorf("by address: %v", s)
	}
	if s := shared.ByAddress(netip.Addr{}); !s.IsZero() {
		t.Errorf("by no address: %v", s)
	}
}

func FuzzSubject(f *testing.F) {
	for _, s := range []string{"c:alice", "192.0.2.0/24", "account:account:::1", "::ffff:1.2.3.4/128", "fe80::%1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := shared.ParseSubject(text)
		if err != nil {
			return
		}
		if again, err := shared.ParseSubject(s.String()); err != nil || again != s {
			t.Errorf("%q is %+v, written %q and read as %+v, %v", text, s, s, again, err)
		}
	})
}

func FuzzNote(f *testing.F) {
	n := sharedtest.Ban("192.0.2.7", time.Hour)
	n.By, n.Why = "a n\n", "5 l 0 "
	f.Add(n.Subject.String(), n.Record())
	f.Add("c:a", "1 0 7 l 0 ")
	f.Add("c:a", "1 0 7 - 3 ab")
	f.Fuzz(func(t *testing.T, subject, record string) {
		n, err := shared.ReadNote(subject, record)
		if err != nil {
			return
		}
		if again, err := shared.ReadNote(n.Subject.String(), n.Record()); err != nil || again != n {
			t.Errorf("%q, %q is %+v, and then %+v, %v", subject, record, n, again, err)
		}
	})
}

func FuzzLeases(f *testing.F) {
	f.Add(shared.PackLeases([]shared.Lease{{Key: 1, Running: 2, Owed: 3, Debt: 4}, {Key: 1 << 63}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := shared.UnpackLeases(nil, "", b)
		if err != nil {
			return
		}
		for _, l := range l {
			if l.Running < 0 || l.Owed < 0 || l.Debt < 0 {
				t.Fatalf("%x is %+v", b, l)
			}
		}
		again, err := shared.UnpackLeases(nil, "", shared.PackLeases(l))
		if err != nil || len(again) != len(l) {
			t.Errorf("%x is %v, and then %v, %v", b, l, again, err)
		}
	})
}

// TestNothingIsThrownOut: a full table refuses, and the gateways cannot fill it up for
// operators.
func TestNothingIsThrownOut(t *testing.T) {
	m := shared.NewMemory()
	var batch []shared.Note
	fill := func(from, to int, signal rules.Signal) (err error) {
		for i := from; i < to; i++ {
			n := sharedtest.Ban("192.0.2.7", 0)
			n.Subject.Network = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			n.Signal = signal
			if batch = append(batch, n); len(batch) == shared.MostPage || i == to-1 {
				err = m.Mend(t.Context(), batch)
				batch = batch[:0]
			}
		}
		return err
	}
	if err := fill(0, shared.MostAutomatic, rules.ByStrikes); err != nil {
		t.Fatal(err)
	}
	if err := fill(1<<20, 1<<20+1, rules.ByStrikes); !errors.Is(err, shared.ErrFull) {
		t.Errorf("an automatic ban too many: %v, want %v", err, shared.ErrFull)
	}
	if _, err := m.Put(t.Context(), sharedtest.Ban("c:alice", 0)); err != nil {
		t.Errorf("an operator finds no room: %v", err)
	}
	if err := fill(shared.MostAutomatic, shared.MostNotes-1, rules.ByHand); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Put(t.Context(), sharedtest.Ban("c:bob", 0)); !errors.Is(err, shared.ErrFull) {
		t.Errorf("a ban too many: %v, want %v", err, shared.ErrFull)
	}
	if _, err := m.Drop(t.Context(), sharedtest.Ban("c:alice", 0)); err != nil {
		t.Errorf("in a full table nothing can be lifted: %v", err)
	}
	if all, _, _ := sharedtest.Read(t, m, shared.Rev{}); len(all) != shared.MostNotes {
		t.Errorf("there are %d notes, want %d", len(all), shared.MostNotes)
	}
}
