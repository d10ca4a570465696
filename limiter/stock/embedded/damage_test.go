package embedded_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/proxy/gate"
	"penstock/rules"
)

// history makes a file of some hundred orders, and returns its bytes.
func history(t testing.TB) []byte {
	path := file(t)
	steps := terms
	steps.Steps = true
	d := load(t, open(t, path), 1000, steps)
	for n := range 300 {
		d.admitted(fmt.Sprint("account ", n), n)
		switch n % 4 {
		case 1:
			d.settle(n, rules.OutcomeSold, nil)
		case 2:
			d.settle(n, rules.OutcomeFree, nil)
		case 3:
			d.settle(n, rules.OutcomeUnknown, nil)
		}
	}
	d.store.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// story is all that a store tells, or the error with which it does not open.
func story(t testing.TB, data []byte) (string, error) {
	path := file(t)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(path)
	if err != nil {
		if !strings.Contains(err.Error(), path) {
			t.Fatalf("Open: %v, want the name of the file", err)
		}
		return "", err
	}
	defer store.Close()
	p, err := store.Look(t.Context(), "sale", 0)
	if err != nil {
		return "", err
	}
	entries, _, err := store.Entries(t.Context(), stock.Query{Ledger: "sale"})
	if err != nil {
		return "", err
	}
	lapsed, err := store.Decide(t.Context(), stock.Ask{Ledger: "sale", Account: "account 2", Token: gate.Token{9}, Order: true})
	secret, _ := store.Secret(t.Context())
	return fmt.Sprintf("%+v %v %+v %x", p, entries, lapsed, secret), err
}

// TestFlippedBits: wherever one flips, the store says so, or has lost nothing by it.
func TestFlippedBits(t *testing.T) {
	whole := history(t)
	want, err := story(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	random, refused := rand.New(rand.NewPCG(1, 2)), 0
	flips := make([]int, 0, 1000)
	for page := 0; page < len(whole); page += 4096 { // the heads of pages, where it hurts most
		flips = append(flips, page+random.IntN(16), page+16+random.IntN(64))
	}
	for range 250 {
		flips = append(flips, random.IntN(len(whole)))
	}
	for _, at := range flips {
		bent := append([]byte(nil), whole...)
		bent[at] ^= 1 << random.IntN(8)
		got, err := story(t, bent)
		if err != nil {
			refused++
		} else if got != want {
			t.Fatalf("byte %d of %d is flipped, and the store opens with\n%s\nwant\n%s", at, len(whole), got, want)
		}
	}
	if refused == 0 {
		t.Error("no flipped bit was found")
	}
}

// TestFlippedRecord: the error says whose it is and what to do.
func TestFlippedRecord(t *testing.T) {
	whole := history(t)
	found := 0
	for at := 0; ; at++ {
		n := strings.Index(string(whole[at:]), "account 101")
		if n < 0 {
			break
		}
		at += n
		bent := append([]byte(nil), whole...)
		bent[at] ^= 1
		_, err := story(t, bent)
		if err == nil {
			continue // a page that is not used any more
		}
		found++
		for _, word := range []string{fmt.Sprintf("%x", token(101)), `"sale"`, "damaged", "restore"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("Open: %v, want it to say %q", err, word)
			}
		}
	}
	if found == 0 {
		t.Error("the record's damage was not noticed")
	}
}

// TestLostTail: however little of the file is left.
func TestLostTail(t *testing.T) {
	whole := history(t)
	want, err := story(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 150 {
		size := random.IntN(len(whole))
		switch {
		case n < 20:
			size = n * 1024
		case n < 60:
			size = len(whole) - 1 - 4096*(n-20)/2
		}
		got, err := story(t, whole[:size])
		if err == nil && got != want {
			t.Fatalf("%d bytes of %d are left, and the store opens with %s", size, len(whole), got)
		}
		if size < len(whole)/2 && err == nil {
			t.Fatalf("%d bytes of %d are left, and the store opens", size, len(whole))
		}
	}
}

// TestMissingPages: pages that were never written, as after a copy of a running store.
func TestMissingPages(t *testing.T) {
	whole := history(t)
	want, err := story(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for page := 0; page < len(whole); page += 4096 {
		bent := append([]byte(nil), whole...)
		clear(bent[page : page+4096])
		if got, err := story(t, bent); err != nil {
			refused++
		} else if got != want {
			t.Fatalf("the page at %d is missing, and the store opens with %s", page, got)
		}
	}
	if refused < 5 {
		t.Errorf("only %d missing pages were found, want those in use", refused)
	}
}

// TestMissingRecords: pages that hold fewer records than were written, and are sound but
// for that.
func TestMissingRecords(t *testing.T) {
	whole := history(t)
	want, err := story(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for page := 2 * 4096; page < len(whole); page += 4096 {
		const leaf, count = 8, 10
		if whole[page+leaf] != 2 || whole[page+count] == 0 {
			continue
		}
		bent := append([]byte(nil), whole...)
		bent[page+count]--
		if got, err := story(t, bent); err != nil {
			refused++
		} else if got != want {
			t.Fatalf("the last record of the page at %d is missing, and the store opens with %s", page, got)
		}
	}
	if refused < 5 {
		t.Errorf("only %d missing records were found, want one in each page in use", refused)
	}
}
