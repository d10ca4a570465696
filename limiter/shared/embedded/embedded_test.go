package embedded_test

import (
	"maps"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"penstock/limiter/shared"
	"penstock/limiter/shared/embedded"
	"penstock/limiter/shared/sharedtest"
	stock "penstock/limiter/stock/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openAt(t testing.TB, path string) (embedded.Store, *stock.Store) {
	t.Helper()
	under, err := stock.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { under.Close() })
	s, err := embedded.Open(under)
	if err != nil {
		t.Fatal(err)
	}
	return s, under
}

func TestEmbedded(t *testing.T) {
	sharedtest.Run(t, sharedtest.Subject{Alone: true, New: func(t testing.TB) shared.Store {
		s, _ := openAt(t, filepath.Join(t.TempDir(), "stock.db"))
		return s
	}})
}

// TestRestart: what a process was told it has when it comes again, but for what is over.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stock.db")
	s, under := openAt(t, path)
	a, err1 := s.Put(t.Context(), sharedtest.Ban("c:alice", 0))
	b, err2 := s.Drop(t.Context(), sharedtest.Ban("192.0.2.0/24", time.Hour))
	_, err3 := s.Put(t.Context(), sharedtest.Ban("c:short", time.Millisecond))
	first, err4 := s.Claim(t.Context(), []byte("a"), time.Hour)
	_, err5 := s.Claim(t.Context(), []byte("short"), time.Millisecond)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil || !first {
			t.Fatal(first, err)
		}
	}
	under.Close()
	if _, err := s.Put(t.Context(), sharedtest.Ban("c:late", 0)); err == nil {
		t.Error("a closed store takes bans")
	}
	if first, err := s.Claim(t.Context(), []byte("late"), time.Hour); err == nil || first {
		t.Error("a closed store takes claims")
	}
	<-time.After(5 * time.Millisecond)
	for range 2 {
		s, under = openAt(t, path)
		if all, _, _ := sharedtest.Read(t, s, shared.Rev{}); !maps.Equal(all, map[shared.Subject]shared.Note{a.Subject: a, b.Subject: b}) {
			t.Errorf("there is %v after a restart, want %v and %v", all, a, b)
		}
		if first, err := s.Claim(t.Context(), []byte("a"), time.Hour); first || err != nil {
			t.Errorf("claimed again after a restart: %v, %v", first, err)
		}
		under.Close()
	}
	s, _ = openAt(t, path)
	if first, err := s.Claim(t.Context(), []byte("short"), time.Hour); !first || err != nil {
		t.Errorf("a claim that was over: %v, %v", first, err)
	}
}

// TestDamage: a ban that cannot be read is said, and never taken for none.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stock.db")
	s, under := openAt(t, path)
	if _, err := s.Put(t.Context(), sharedtest.Ban("c:alice", 0)); err != nil {
		t.Fatal(err)
	}
	err := under.Write(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("shared")).Bucket([]byte("notes"))
		v := append([]byte(nil), b.Get([]byte("c:alice"))...)
		v[len(v)-1] ^= 1
		return b.Put([]byte("c:alice"), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(under); err == nil {
		t.Error("a damaged ban is read without a word")
	}
}
