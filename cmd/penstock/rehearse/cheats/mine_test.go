package cheats

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"penstock/cmd/penstock/mine"
)

// What is mined from the log of a play, judged like the gates.

const threshold = mine.Threshold

// scores plays a crowd and says what the miner thinks of each account by the log of that.
func scores(t testing.TB, play func(Tell)) map[string]float64 {
	t.Helper()
	log := filepath.Join(t.TempDir(), "decisions.log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	var failed error
	play(Log(out, &failed))
	if err := errors.Join(failed, out.Flush()); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	found, err := mine.Run(ctx, mine.Options{Logs: []string{log}, Memory: 1 << 30, Tmp: t.TempDir(), Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	if found.Unreadable > 0 || found.Lines == 0 {
		t.Fatalf("%d lines, %d of them unreadable", found.Lines, found.Unreadable)
	}
	of := map[string]float64{}
	err = found.Ranked(ctx, 0, 0, func(a *mine.Ranked) error {
		of[a.Name] = float64(a.Score)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return of
}

// minedRow is a kind over all crowds.
func minedRow(k Kind, of []*Judgement) string {
	var r Row
	people, least := 0, 1.0
	for _, j := range of {
		x := &j.Kinds[k]
		r.Accounts += x.Accounts
		r.Caught += x.Caught
		people += j.People.Caught
		least = min(least, x.AUC)
	}
	if !k.Cheat() {
		return fmt.Sprintf("| %v | %d | %d | | | | |\n", k, r.Accounts, r.Caught)
	}
	return fmt.Sprintf("| %v | %d | %d | %.3f | %.3f | %.3f | %.3f |\n", k, r.Accounts, r.Caught, share(r.Caught, r.Caught+people), share(r.Caught, r.Accounts), least, pooled(k, of))
}
