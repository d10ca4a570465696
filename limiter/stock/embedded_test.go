package stock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// crashFile makes this test binary the process that is killed.
const crashFile = "STOCK_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		sellUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "stock.db") }

func openFile(t testing.TB, path string) *stock.Embedded {
	t.Helper()
	store := inBubble(t, path)
	t.Cleanup(func() { store.Close() })
	return store
}

// inBubble is openFile where a Cleanup would run outside of the bubble: the caller closes.
func inBubble(t testing.TB, path string) *stock.Embedded {
	t.Helper()
	store, err := stock.OpenEmbedded(path)
	if err != nil {
		t.Fatalf("OpenEmbedded: %v", err)
	}
	return store
}

func TestEmbedded(t *testing.T) {
	stocktest.Run(t, func(t testing.TB) stock.Store { return openFile(t, file(t)) })
}

func TestEmbeddedReopens(t *testing.T) {
	path := file(t)
	store := openFile(t, path)
	ledger := loaded(t, store)
	secret, _ := store.Secret(t.Context())
	for i, account := range []string{"reserved", "sending", "held", "sold", "freed", "short"} {
		a := one(ledger, account, i)
		if account == "short" {
			a.ReserveFor = 0
		}
		admitted(t, store, a)
	}
	store.Start(t.Context(), ledger, stocktest.Token(1), time.Hour)
	store.Settle(t.Context(), ledger, stocktest.Token(2), rules.OutcomeUnknown)
	store.Settle(t.Context(), ledger, stocktest.Token(3), rules.OutcomeSold)
	store.Settle(t.Context(), ledger, stocktest.Token(4), rules.OutcomeFree)
	store.Settle(t.Context(), ledger, stocktest.Token(77), rules.OutcomeSold) // oversold
	before, err := store.Look(t.Context(), ledger)
	if err != nil || before.Items["red"] != (stock.Counts{Loaded: 10, Free: 5, Reserved: 2, Sending: 1, Held: 1, Sold: 1}) {
		t.Fatalf("before: %+v, %v", before, err)
	}
	store.Close()

	for range 2 { // the second time nothing is left to find
		store = openFile(t, path)
		counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 5, Reserved: 2, Held: 2, Sold: 1})
		after, _ := store.Look(t.Context(), ledger)
		if fmt.Sprint(after.Holders) != fmt.Sprint(before.Holders) || after.Oversold != 1 || after.Seq < before.Seq {
			t.Fatalf("after: %+v, want the holders, oversold and at least the seq of %+v", after, before)
		}
		if again, _ := store.Secret(t.Context()); string(again) != string(secret) {
			t.Fatal("the secret is another one")
		}
		store.Close()
	}
	store = openFile(t, path)
	if n, err := store.Sweep(t.Context(), ledger); n != 1 || err != nil {
		t.Fatalf("Sweep = %d, %v, want 1: deadlines outlive the process", n, err)
	}
	if ok, err := store.Start(t.Context(), ledger, stocktest.Token(0), time.Hour); !ok || err != nil {
		t.Fatalf("Start of a reservation of the last run = %v, %v, want true", ok, err)
	}
	if got, err := store.Load(t.Context(), ledger, map[string]int{"red": 99}); err != nil || got["red"] != 10 {
		t.Fatalf("Load = %v, %v, want the 10 of the last run", got, err)
	}
	counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 6, Sending: 1, Held: 2, Sold: 1})
}

func TestEmbeddedDeadlines(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		store := inBubble(t, path)
		defer store.Close()
		ledger := loaded(t, store)
		a := one(ledger, "alice", 1)
		a.ReserveFor = 2 * time.Minute
		admitted(t, store, a)
		sweep := func(want int) {
			t.Helper()
			if n, err := store.Sweep(t.Context(), ledger); n != want || err != nil {
				t.Fatalf("Sweep = %d, %v, want %d", n, err, want)
			}
		}
		wait(2*time.Minute - time.Millisecond)
		sweep(0)
		wait(time.Millisecond)
		sweep(1)
		if d, err := store.Decide(t.Context(), a); d.Reason != gate.ReservationExpired {
			t.Fatalf("the token's Decide = %+v, %v, want refused", d, err)
		}
		never := one(ledger, "never seen", 2)
		if err := store.Settle(t.Context(), ledger, never.Token, rules.OutcomeFree); err != nil {
			t.Fatal(err)
		}
		wait(stock.Remembered)
		sweep(0)
		admitted(t, store, a) // forgotten: long after anything can be under way
		admitted(t, store, never)
		if err := store.Settle(t.Context(), ledger, never.Token, rules.OutcomeFree); err != nil {
			t.Fatal(err)
		}
		if ok, _ := store.Start(t.Context(), ledger, a.Token, time.Minute); !ok {
			t.Fatal("Start = false, want true")
		}
		wait(time.Minute)
		sweep(1)
		counts(t, store, ledger, stock.Counts{Loaded: 10, Free: 9, Held: 1})
	})
}

// wait is a sleep inside a bubble, where it takes no time.
func wait(d time.Duration) { <-time.After(d) }

func TestEmbeddedFileIsTaken(t *testing.T) {
	path := file(t)
	openFile(t, path)
	second, err := stock.OpenEmbedded(path)
	if err == nil {
		second.Close()
	}
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("the second OpenEmbedded: %v, want an error that names the file and says why", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode is %v, %v, want 0600", info.Mode(), err)
	}
}

func TestEmbeddedForeignFile(t *testing.T) {
	path := file(t)
	openFile(t, path).Close()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("store")).Put([]byte("format"), []byte("9")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := stock.OpenEmbedded(path); err == nil || !strings.Contains(err.Error(), `"9"`) {
		t.Fatalf("OpenEmbedded: %v, want an error that names the format", err)
	}
}

func TestEmbeddedClosed(t *testing.T) {
	store := openFile(t, file(t))
	ledger := loaded(t, store)
	var wg sync.WaitGroup
	for n := range 50 { // what is under way is either done or refused, and always answered
		wg.Go(func() {
			if d, err := store.Decide(t.Context(), one(ledger, fmt.Sprint(n), n)); err == nil && d.Reason == gate.Unset {
				t.Errorf("Decide = %+v without error", d)
			}
		})
	}
	store.Close()
	wg.Wait()
	if _, err := store.Decide(t.Context(), one(ledger, "late", 99)); err == nil {
		t.Error("Decide after Close succeeded")
	}
	if err := errors.Join(store.Close()); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

// sellUntilKilled reserves and starts as fast as it can, and says so after each answer.
func sellUntilKilled(path string) {
	ctx := context.Background()
	store, err := stock.OpenEmbedded(path)
	if err == nil {
		_, err = store.Load(ctx, "sale", map[string]int{"red": 1_000_000})
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	first := int(time.Now().UnixNano() >> 10) // tokens of their own for each run
	var said sync.Mutex
	say := func(what string, token int) {
		said.Lock()
		defer said.Unlock()
		fmt.Println(what, token)
	}
	for worker := range 16 {
		go func() {
			for n := first + worker; ; n += 16 {
				a := one("sale", fmt.Sprint("account ", n), n)
				if d, err := store.Decide(ctx, a); err != nil || d.Reason != gate.Admitted {
					continue
				}
				say("reserved", n)
				if ok, err := store.Start(ctx, "sale", a.Token, time.Hour); ok && err == nil {
					say("sending", n)
				}
			}
		}()
	}
	select {}
}

// killed runs sellUntilKilled until it has said enough, and returns all it has said.
func killed(t *testing.T, path string) map[int]string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	acked := make(map[int]string)
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break // a line cut short was not said
		}
		var what string
		var token int
		if _, err := fmt.Sscan(line, &what, &token); err != nil {
			t.Errorf("the process to be killed said %q", line)
			break
		}
		acked[token] = what
		if len(acked) == 300 {
			cmd.Process.Kill()
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	return acked
}

func TestEmbeddedSurvivesKill(t *testing.T) {
	path := file(t)
	acked := make(map[int]string)
	for range 3 {
		for token, what := range killed(t, path) {
			acked[token] = what
		}
		store := openFile(t, path)
		p, err := store.Look(t.Context(), "sale")
		if err != nil {
			t.Fatal(err)
		}
		c := p.Items["red"]
		if c.Free+c.Reserved+c.Held != c.Loaded || c.Reserved+c.Held != len(p.Holders) {
			t.Fatalf("after a kill: %+v with %d holders does not add up", c, len(p.Holders))
		}
		starts := 0
		for token, what := range acked {
			if h := p.Holders[fmt.Sprint("account ", token)]; !h.Open {
				t.Fatalf("token %d was %s and is gone", token, what)
			}
			if what != "sending" {
				continue
			}
			starts++
			if ok, err := store.Start(t.Context(), "sale", stocktest.Token(token), time.Hour); ok || err != nil {
				t.Fatalf("Start of token %d, sent by a dead gateway, = %v, %v, want false: it is held", token, ok, err)
			}
		}
		if starts == 0 || c.Held < starts {
			t.Fatalf("%d are held, want at least the %d starts that were acknowledged, and some", c.Held, starts)
		}
		store.Close()
	}
}
