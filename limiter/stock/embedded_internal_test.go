package stock

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"penstock/proxy/gate"
	"penstock/rules"
)

// TestEmbeddedFailedCommitIsTheEnd: the call whose commit failed, and every later one.
func TestEmbeddedFailedCommitIsTheEnd(t *testing.T) {
	e, err := OpenEmbedded(filepath.Join(t.TempDir(), "stock.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, token := t.Context(), gate.Token{1}
	if _, err := e.Load(ctx, "sale", map[string]int{"red": 1}); err != nil {
		t.Fatal(err)
	}
	e.db.Close() // the disk is gone
	ask := Ask{Ledger: "sale", Account: "a", Item: "red", Token: token, Units: 1, PerAccount: 1, ReserveFor: time.Hour}
	calls := map[string]func() error{
		"Decide": func() error { _, err := e.Decide(ctx, ask); return err },
		"Start":  func() error { _, err := e.Start(ctx, "sale", token, time.Hour); return err },
		"Settle": func() error { return e.Settle(ctx, "sale", token, rules.OutcomeFree) },
		"Sweep":  func() error { _, err := e.Sweep(ctx, "sale"); return err },
		"Look":   func() error { _, err := e.Look(ctx, "sale"); return err },
		"Pulse":  func() error { _, err := e.Pulse(ctx, "sale"); return err },
		"Load":   func() error { _, err := e.Load(ctx, "other", nil); return err },
		"Ready":  func() error { return e.Ready(ctx) },
	}
	if err := calls["Decide"](); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		t.Fatalf("Decide whose commit fails: %v, want the commit's error", err)
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			t.Errorf("%s after a failed commit: %v, want the commit's error", name, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestRecordReadsBack(t *testing.T) {
	for _, e := range []entry{
		{state: reserved, item: "red", account: "c:alice", units: 2, due: 1764273600000},
		{state: bought, item: "", account: "\xff \n", units: 1, over: 3},
		{state: held, item: " 3 \x00", account: "a b c d e f g", units: 9999},
		{state: bought, over: 1},
	} {
		var got entry
		if err := got.read(string(e.record())); err != nil || got != e {
			t.Errorf("record %q reads back as %+v, %v, want %+v", e.record(), got, err, e)
		}
	}
	for _, bad := range []string{"", "R 1 0 0 3", "R 1 0 0 9 red", "R x 0 0 3 redalice", "R 1 0 0 -1 red"} {
		if err := new(entry).read(bad); err == nil {
			t.Errorf("record %q was read, want an error", bad)
		}
	}
}

// TestForgettingKeepsUp: more tokens are cancelled in a second than one Sweep may move.
func TestForgettingKeepsUp(t *testing.T) {
	const cancels = 1000
	b := newBook(map[string]int{"red": 1})
	for i := range cancels {
		b.settle(gate.Token{byte(i), byte(i >> 8)}, rules.OutcomeFree, 0)
	}
	b.sweep(Remembered.Milliseconds() - 1)
	if n := len(b.tokens); n != cancels {
		t.Fatalf("%d cancelled tokens are known while they must be, want %d", n, cancels)
	}
	b.sweep(Remembered.Milliseconds())
	if n := len(b.tokens) + len(b.forgotten); n != 0 {
		t.Errorf("%d cancelled tokens are left after a Sweep, want none", n)
	}
}
