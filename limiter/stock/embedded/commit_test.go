package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

func testStore(t *testing.T) *Store {
	s, err := Open(filepath.Join(t.TempDir(), "stock.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := stock.Loading{Ledger: "sale", Items: map[string]int{"red": 1000}, Terms: stock.Terms{PerAccount: 1, ReserveFor: time.Hour, SendingFor: time.Hour}}
	if _, _, err := s.Load(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFailedCommitIsTheEnd: of the call whose commit failed, and of every later one.
func TestFailedCommitIsTheEnd(t *testing.T) {
	s := testStore(t)
	ctx, token := t.Context(), gate.Token{1}
	s.db.Close() // the disk is gone
	ask := stock.Ask{Ledger: "sale", Account: "a", Item: "red", Token: token, Units: 1}
	calls := map[string]func() error{
		"Decide": func() error { _, err := s.Decide(ctx, ask); return err },
		"Start": func() error {
			_, err := s.Start(ctx, stock.Launch{Ledger: "sale", Token: token, By: token})
			return err
		},
		"Settle": func() error {
			return s.Settle(ctx, stock.Settlement{Ledger: "sale", Token: token, Outcome: rules.OutcomeFree})
		},
		"Sweep":    func() error { _, err := s.Sweep(ctx, "sale", "gateway"); return err },
		"Look":     func() error { _, err := s.Look(ctx, "sale", 0); return err },
		"Pulse":    func() error { _, err := s.Pulse(ctx, "sale"); return err },
		"Load":     func() error { _, _, err := s.Load(ctx, stock.Loading{Ledger: "other"}); return err },
		"Ready":    func() error { return s.Ready(ctx) },
		"Inspect":  func() error { _, err := s.Inspect(ctx); return err },
		"SetState": func() error { return s.SetState(ctx, "sale", stock.Closed) },
		"Archive":  func() error { return s.Archive(ctx, "sale") },
		"Freeze":   func() error { _, err := s.Freeze(ctx, "sale"); return err },
		"Entries":  func() error { _, _, err := s.Entries(ctx, stock.Query{Ledger: "sale"}); return err },
	}
	if err := calls["Decide"](); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		t.Fatalf("Decide whose commit fails: %v, want the commit's error", err)
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			t.Errorf("%s after a failed commit: %v, want the commit's error", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestGroupCommit: what comes while a commit is written shares the next one.
func TestGroupCommit(t *testing.T) {
	const calls = 200
	s := testStore(t)
	block, err := s.db.Begin(true) // the committer waits for it
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range calls {
		wg.Go(func() {
			a := stock.Ask{Ledger: "sale", Account: fmt.Sprint(n), Item: "red", Token: gate.Token{byte(n), 1}, Units: 1}
			if d, err := s.Decide(t.Context(), a); err != nil || d.Reason != gate.Admitted {
				t.Errorf("Decide = %+v, %v", d, err)
			}
		})
	}
	for free := 0; free != 1000-calls; {
		p, err := s.Pulse(t.Context(), "sale")
		if err != nil {
			t.Fatal(err)
		}
		free = p[0].Items["red"].Free
	}
	s.mu.Lock()
	last := s.next.turn
	s.mu.Unlock()
	if err := block.Rollback(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s.mu.Lock()
	commits := s.next.turn - last + 1
	s.mu.Unlock()
	if commits > 2 {
		t.Errorf("%d calls took %d commits, want 2 at most", calls, commits)
	}
}

// TestNothingAnswersTooSoon: neither the call that changes something nor its repeat.
func TestNothingAnswersTooSoon(t *testing.T) {
	s := testStore(t)
	block, err := s.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	a := stock.Ask{Ledger: "sale", Account: "alice", Item: "red", Token: gate.Token{1}, Units: 1}
	answers := make(chan error, 3)
	for range 3 {
		go func() {
			d, err := s.Decide(t.Context(), a)
			if err == nil && d.Reason != gate.Admitted {
				err = fmt.Errorf("got %+v", d)
			}
			answers <- err
		}()
	}
	for taken := false; !taken; { // a Look changes nothing, and need not wait
		p, err := s.Look(t.Context(), "sale", 0)
		if err != nil {
			t.Fatal(err)
		}
		taken = p.Holders["alice"].Open
	}
	late := 3
	select {
	case err := <-answers:
		t.Errorf("a Decide answered before its commit: %v", err)
		late--
	default:
	}
	if err := block.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range late {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk: the store ends with the first commit that does not fit, and has all that
// it has answered when it is opened again.
func TestFullDisk(t *testing.T) {
	s := testStore(t)
	s.db.MaxSize = 256 << 10 // it has to grow for more
	s.db.AllocSize = 4 << 10
	long := string(make([]byte, 4000))
	acked := 0
	for n := range 1000 {
		a := stock.Ask{Ledger: "sale", Account: long + fmt.Sprint(n), Item: "red", Token: gate.Token{byte(n), byte(n >> 8)}, Units: 1}
		if _, err := s.Decide(t.Context(), a); err != nil {
			break
		}
		acked++
	}
	if acked == 0 || acked == 1000 || s.Ready(t.Context()) == nil {
		t.Fatalf("%d calls succeeded, and then the store is ready: %v", acked, s.Ready(t.Context()))
	}
	s.Close()
	s, err := Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := s.Pulse(t.Context(), "sale"); err != nil || p[0].Items["red"].Reserved != acked {
		t.Fatalf("opened again: %+v, %v, want the %d that were answered", p, err, acked)
	}
}

// TestForgottenAndTakenAnew, within one commit.
func TestForgottenAndTakenAnew(t *testing.T) {
	const tokens = 100
	path := filepath.Join(t.TempDir(), "stock.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		l := stock.Loading{Ledger: "sale", Items: map[string]int{"red": tokens}, Terms: stock.Terms{PerAccount: 1, ReserveFor: time.Hour}}
		s.Load(t.Context(), l)
		for n := range tokens {
			s.Settle(t.Context(), stock.Settlement{Ledger: "sale", Token: gate.Token{byte(n)}, Outcome: rules.OutcomeFree})
		}
		<-time.After(stock.Remembered)
		s.mu.Lock()
		b := s.books["sale"]
		b.turn = s.next.turn
		b.sweep("gateway", time.Now().UnixMilli())
		for n := range tokens {
			a := stock.Ask{Account: fmt.Sprint(n), Item: "red", Token: gate.Token{byte(n)}, Units: 1}
			b.decide(&a, time.Now().UnixMilli())
		}
		s.note(b)
		s.mu.Unlock()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := s.Pulse(t.Context(), "sale"); err != nil || p[0].Items["red"].Reserved != tokens {
			t.Fatalf("opened again: %+v, %v, want %d reserved", p, err, tokens)
		}
	})
}

// TestInspect warns where the file will not survive.
func TestInspect(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "stock")
	if err != nil {
		t.Fatalf("this test needs a tmpfs: %v", err)
	}
	defer os.RemoveAll(dir)
	s, err := Open(filepath.Join(dir, "stock.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if warnings, err := s.Inspect(t.Context()); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "tmpfs") {
		t.Errorf("Inspect = %q, %v, want a warning of tmpfs", warnings, err)
	}
}

// TestNamesThatAreTooLong are refused, instead of ending the store when they are written.
func TestNamesThatAreTooLong(t *testing.T) {
	s, long := testStore(t), string(make([]byte, 40_000))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Decide": func() error {
			_, err := s.Decide(ctx, stock.Ask{Ledger: "sale", Account: long, Item: "red", Token: gate.Token{1}, Units: 1})
			return err
		},
		"Load": func() error { _, _, err := s.Load(ctx, stock.Loading{Ledger: long}); return err },
		"Adjust": func() error {
			_, err := s.Adjust(ctx, stock.Adjustment{Ledger: "sale", Token: gate.Token{2}, Item: long, Add: 1})
			return err
		},
	} {
		if err := call(); err == nil || s.Ready(ctx) != nil {
			t.Errorf("%s took a name of 40000 bytes: %v; the store is ready: %v", name, err, s.Ready(ctx))
		}
	}
}
