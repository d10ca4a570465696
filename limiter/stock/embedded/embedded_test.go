package embedded_test

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

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/proxy/gate"
	"penstock/rules"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		sellUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "stock.db") }

func open(t testing.TB, path string) *embedded.Store {
	t.Helper()
	store := inBubble(t, path)
	t.Cleanup(func() { store.Close() })
	return store
}

// inBubble is open where a Cleanup would run outside of the bubble: the caller closes.
func inBubble(t testing.TB, path string) *embedded.Store {
	t.Helper()
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return store
}

var terms = stock.Terms{PerAccount: 1, ReserveFor: time.Hour, SendingFor: time.Hour}

func token(n int) gate.Token { return gate.Token{byte(n), byte(n >> 8), byte(n >> 16), 1} }

// desk is a store with the ledger "sale".
type desk struct {
	testing.TB
	store *embedded.Store
}

func load(t testing.TB, store *embedded.Store, units int, terms stock.Terms) desk {
	t.Helper()
	l := stock.Loading{Ledger: "sale", Items: map[string]int{"red": units}, Terms: terms}
	if _, _, err := store.Load(t.Context(), l); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return desk{t, store}
}

func ask(account string, n int) stock.Ask {
	return stock.Ask{Ledger: "sale", Account: account, Item: "red", Token: token(n), Units: 1}
}

func (d desk) admitted(account string, n int) {
	d.Helper()
	if got, err := d.store.Decide(d.Context(), ask(account, n)); got.Reason != gate.Admitted || err != nil {
		d.Fatalf("Decide of %s = %+v, %v, want admitted", account, got, err)
	}
}

func (d desk) start(n int, want gate.Reason) {
	d.Helper()
	got, err := d.store.Start(d.Context(), stock.Launch{Ledger: "sale", Token: token(n), By: token(n)})
	if got != want || err != nil {
		d.Fatalf("Start of %d = %v, %v, want %v", n, got, err, want)
	}
}

func (d desk) settle(n int, o rules.Outcome, want error) {
	d.Helper()
	err := d.store.Settle(d.Context(), stock.Settlement{Ledger: "sale", Token: token(n), Outcome: o})
	if !errors.Is(err, want) || want == nil && err != nil {
		d.Fatalf("Settle of %d: %v, want %v", n, err, want)
	}
}

func (d desk) sweep(want int) stock.Swept {
	d.Helper()
	got, err := d.store.Sweep(d.Context(), "sale", "gateway")
	if got.Moved != want || err != nil {
		d.Fatalf("Sweep = %+v, %v, want %d moved", got, err, want)
	}
	return got
}

func (d desk) look(since uint64) stock.Picture {
	d.Helper()
	p, err := d.store.Look(d.Context(), "sale", since)
	if err != nil {
		d.Fatalf("Look: %v", err)
	}
	return p
}

func (d desk) counts(want stock.Counts) {
	d.Helper()
	want.Free = want.Loaded - want.Reserved - want.Sending - want.Held - want.Sold - want.Withdrawn
	if got := d.look(0).Items["red"]; got != want {
		d.Fatalf("counts are %+v, want %+v", got, want)
	}
}

// wait is a sleep inside a bubble, where it takes no time.
func wait(d time.Duration) { <-time.After(d) }

func TestReopens(t *testing.T) {
	path := file(t)
	d := load(t, open(t, path), 10, terms)
	secret, _ := d.store.Secret(t.Context())
	for i, account := range []string{"reserved", "sending", "held", "sold", "freed"} {
		d.admitted(account, i)
	}
	d.start(1, gate.Admitted)
	d.settle(2, rules.OutcomeUnknown, nil)
	d.settle(3, rules.OutcomeSold, nil)
	d.settle(4, rules.OutcomeFree, nil)
	d.settle(77, rules.OutcomeSold, stock.ErrOversold)
	before := d.look(0)
	d.store.Close()

	seq := before.Seq
	for range 3 {
		d.store = open(t, path)
		d.counts(stock.Counts{Loaded: 10, Reserved: 1, Held: 2, Sold: 1})
		after := d.look(seq) // of everybody is to be heard again
		if fmt.Sprint(after.Holders) != fmt.Sprint(before.Holders) || after.Oversold != 1 || after.Epoch != before.Epoch {
			t.Fatalf("after: %+v, want the holders, oversold and epoch of %+v", after, before)
		}
		if again, _ := d.store.Secret(t.Context()); string(again) != string(secret) || len(secret) != 32 {
			t.Fatal("the secret is another one")
		}
		d.settle(77, rules.OutcomeSold, stock.ErrOversold) // a repeat
		d.store.Close()
		seq = before.Seq
	}
	d.store = open(t, path)
	d.start(0, gate.Admitted)
	d.start(1, gate.OrderPending)
	d.start(4, gate.ReservationExpired)
	d.settle(4, rules.OutcomeSold, nil) // the account is remembered
	d.settle(2, rules.OutcomeFree, nil)
	d.counts(stock.Counts{Loaded: 10, Sending: 1, Held: 1, Sold: 2})
}

// TestSeqDoesNotFall: whether or not anything is written between the starts.
func TestSeqDoesNotFall(t *testing.T) {
	path := file(t)
	d := load(t, open(t, path), 10, terms)
	for n := range 9 {
		d.admitted(fmt.Sprint(n), n)
	}
	last := d.look(0).Seq
	for n := range 6 {
		d.store.Close()
		d.store = open(t, path)
		p := d.look(0)
		if p.Seq < last || p.Upto != p.Seq || len(p.Holders) != 9 {
			t.Fatalf("start %d: %+v, want 9 holders and a seq of at least %d", n, p, last)
		}
		if last = p.Seq; n%2 == 0 {
			d.settle(n, rules.OutcomeUnknown, nil)
		}
	}
}

// TestOfficeReopens: what operators have said stays said.
func TestOfficeReopens(t *testing.T) {
	path := file(t)
	d := load(t, open(t, path), 10, terms)
	ctx := t.Context()
	other := stock.Terms{PerAccount: 3, ReserveFor: time.Minute, SendingFor: time.Second, Unknown: rules.Resolve, UnknownAfter: time.Hour, Steps: true}
	add := stock.Adjustment{Ledger: "sale", Token: token(1), Item: "blue", Add: 4}
	_, err := d.store.Adjust(ctx, add)
	_, err2 := d.store.Adjust(ctx, stock.Adjustment{Ledger: "sale", Token: token(2), Item: "red", Remove: 3})
	_, _, err3 := d.store.Load(ctx, stock.Loading{Ledger: "old"})
	freeze, err4 := d.store.Freeze(ctx, "sale")
	if err := errors.Join(err, err2, err3, err4, d.store.SetTerms(ctx, "sale", other), d.store.SetState(ctx, "sale", stock.Paused), d.store.Archive(ctx, "old")); err != nil {
		t.Fatal(err)
	}
	d.store.Close()

	d.store = open(t, path)
	p := d.look(0)
	if p.Terms != other || p.State != stock.Paused || p.Freeze != freeze || freeze == 0 {
		t.Fatalf("after: %+v, want freeze %d, paused, and %+v", p, freeze, other)
	}
	if c, err := d.store.Adjust(ctx, add); err != nil || c != (stock.Counts{Loaded: 4, Free: 4}) {
		t.Fatalf("the repeat of an adjustment = %+v, %v, want 4 free of 4", c, err)
	}
	d.counts(stock.Counts{Loaded: 10, Withdrawn: 3})
	if p, err := d.store.Pulse(ctx, "old", "none"); err != nil || !p[0].Archived || p[1].Archived || p[0].Items != nil {
		t.Fatalf("Pulse = %+v, %v, want the first archived", p, err)
	}
	if err := d.store.Thaw(ctx, "sale"); err != nil || d.look(0).Freeze != 0 {
		t.Fatalf("Thaw: %v, %+v", err, d.look(0))
	}
	if again, err := d.store.Freeze(ctx, "sale"); err != nil || again <= freeze {
		t.Fatalf("the next freeze is %d, %v, want more than %d", again, err, freeze)
	}
}

// TestArchivedIsFreshAgain: and what was in it does not come back.
func TestArchivedIsFreshAgain(t *testing.T) {
	path := file(t)
	d := load(t, open(t, path), 10, terms)
	epoch := d.look(0).Epoch
	for n := range 4 {
		d.admitted("alice", 1)
		if err := d.store.Archive(t.Context(), "sale"); !errors.Is(err, stock.ErrOpenTokens) {
			t.Fatalf("Archive with an open token: %v, want %v", err, stock.ErrOpenTokens)
		}
		d.settle(1, rules.OutcomeSold, nil)
		if err := d.store.Archive(t.Context(), "sale"); err != nil {
			t.Fatal(err)
		}
		if n%2 == 1 {
			d.store.Close()
			d.store = open(t, path)
		}
		d = load(t, d.store, 5, terms)
		d.counts(stock.Counts{Loaded: 5})
		p := d.look(0)
		if p.Epoch <= epoch || len(p.Holders) != 0 {
			t.Fatalf("loaded anew: %+v, want an epoch above %d and no holders", p, epoch)
		}
		epoch = p.Epoch
	}
	d.store.Close()
	d.store = open(t, path)
	d.counts(stock.Counts{Loaded: 5})
}

// TestLapsedReopens: of an account that has lost its reservation that is known for good.
func TestLapsedReopens(t *testing.T) {
	path := file(t)
	steps := terms
	steps.Steps = true
	d := load(t, open(t, path), 10, steps)
	d.admitted("alice", 1)
	d.settle(1, rules.OutcomeFree, nil)
	for n := range 4 {
		d.store.Close()
		d.store = open(t, path)
		for account, stranger := range map[string]bool{"alice": false, "bob": true} {
			got, err := d.store.Decide(t.Context(), stock.Ask{Ledger: "sale", Account: account, Token: token(9), Order: true})
			if got.Reason != gate.ReservationExpired || got.Stranger != stranger || err != nil {
				t.Fatalf("order of %s = %+v, %v, want expired, stranger: %v", account, got, err, stranger)
			}
		}
		if n == 1 {
			d.admitted("alice", 2)
			d.settle(2, rules.OutcomeFree, nil)
		}
	}
}

func TestDeadlines(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		store := inBubble(t, path)
		defer store.Close()
		d := load(t, store, 10, stock.Terms{PerAccount: 1, ReserveFor: 2 * time.Minute, SendingFor: time.Minute, Unknown: rules.Release, UnknownAfter: time.Hour})
		d.admitted("alice", 1)
		wait(2*time.Minute - time.Millisecond)
		d.sweep(0)
		wait(time.Millisecond)
		d.start(1, gate.ReservationExpired)
		d.sweep(1)
		if got, err := d.store.Decide(t.Context(), ask("alice", 1)); got.Reason != gate.ReservationExpired {
			t.Fatalf("the token's Decide = %+v, %v, want refused", got, err)
		}
		d.settle(2, rules.OutcomeFree, nil) // never seen
		before := d.look(0)
		wait(stock.Remembered)
		d.sweep(0)
		if after := d.look(0); len(before.Holders) != 1 || len(after.Holders) != 0 {
			t.Fatalf("holders are %v, and when all have heard %v: want alice, then nobody", before.Holders, after.Holders)
		}
		d.admitted("alice", 1) // forgotten: long after anything can be under way
		d.admitted("bob", 2)
		d.settle(2, rules.OutcomeFree, nil)
		d.start(1, gate.Admitted)
		wait(time.Minute)
		d.sweep(1)
		d.counts(stock.Counts{Loaded: 10, Held: 1})
		wait(time.Hour)
		d.sweep(1)
		d.counts(stock.Counts{Loaded: 10})
	})
}

// TestHeldGetADeadline, also those held before the terms said so, or by a restart.
func TestHeldGetADeadline(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		d := load(t, inBubble(t, path), 10, terms)
		d.admitted("alice", 1)
		d.settle(1, rules.OutcomeUnknown, nil)
		wait(1000 * time.Hour)
		d.sweep(0)
		resolve := terms
		resolve.Unknown, resolve.UnknownAfter = rules.Resolve, time.Minute
		if err := d.store.SetTerms(t.Context(), "sale", resolve); err != nil {
			t.Fatal(err)
		}
		if got := d.sweep(1); len(got.Ask) != 1 || got.Ask[0].Token != token(1) || got.Ask[0].Account != "alice" {
			t.Fatalf("Sweep = %+v, want a question about token 1", got)
		}
		d.admitted("bob", 2)
		d.start(2, gate.Admitted)
		d.store.Close()
		d.store = inBubble(t, path)
		defer func() { d.store.Close() }()
		if got := d.sweep(1); len(got.Ask) != 1 || got.Ask[0].Token != token(2) {
			t.Fatalf("Sweep = %+v, want a question about token 2 only", got)
		}
		wait(time.Minute)
		d.sweep(2)
		d.sweep(0)
	})
}

func TestFileIsTaken(t *testing.T) {
	path := file(t)
	open(t, path)
	second, err := embedded.Open(path)
	if err == nil {
		second.Close()
	}
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("the second Open: %v, want an error that names the file and says why", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode is %v, %v, want 0600", info.Mode(), err)
	}
}

func TestForeignFile(t *testing.T) {
	path := file(t)
	open(t, path).Close()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("store")).Put([]byte("format"), []byte("9")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(path); err == nil || !strings.Contains(err.Error(), `"9"`) || strings.Contains(err.Error(), "damaged") {
		t.Fatalf("Open: %v, want an error that names the format", err)
	}
}

func TestClosed(t *testing.T) {
	d := load(t, open(t, file(t)), 100, terms)
	var wg sync.WaitGroup
	for n := range 50 { // what is under way is either done or refused, and always answered
		wg.Go(func() {
			if got, err := d.store.Decide(t.Context(), ask(fmt.Sprint(n), n)); err == nil && got.Reason == gate.Unset {
				t.Errorf("Decide = %+v without error", got)
			}
		})
	}
	d.store.Close()
	wg.Wait()
	if _, err := d.store.Decide(t.Context(), ask("late", 99)); err == nil {
		t.Error("Decide after Close succeeded")
	}
	if _, _, err := d.store.Entries(t.Context(), stock.Query{Ledger: "sale"}); err == nil {
		t.Error("Entries after Close succeeded")
	}
	if err := d.store.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}
