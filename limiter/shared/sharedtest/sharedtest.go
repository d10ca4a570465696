// Package sharedtest is the suite every shared.Store must pass.
package sharedtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/shared"
	"penstock/rules"
)

// Subject is a store and what is true of it.
type Subject struct {
	// New makes an empty store, or one that nothing of the suite's has been told under
	// names that were not used before: names is for that.
	New func(testing.TB) shared.Store

	Alone bool // there are no other gateways
}

// Run checks the subject.
func Run(t *testing.T, s Subject) {
	t.Run("claims", func(t *testing.T) { claims(t, s.New(t)) })
	t.Run("notes", func(t *testing.T) { notes(t, s.New(t)) })
	t.Run("at once", func(t *testing.T) { atOnce(t, s.New(t)) })
	t.Run("pages", func(t *testing.T) { pages(t, s.New(t)) })
	t.Run("bad notes", func(t *testing.T) { badNotes(t, s.New(t)) })
	t.Run("model", func(t *testing.T) { model(t, s) })
	t.Run("leases", func(t *testing.T) { leases(t, s) })
}

// Ban is a note by hand, from now on.
func Ban(subject string, life time.Duration) shared.Note {
	s, err := shared.ParseSubject(subject)
	if err != nil {
		panic(err)
	}
	n := shared.Note{Subject: s, By: "ann", Why: "a test", At: time.Now(), Signal: rules.ByHand}
	if life != 0 {
		n.Until = n.At.Add(life)
	}
	return n.Rounded()
}

func claims(t *testing.T, s shared.Store) {
	claim := func(id string, life time.Duration, want bool) {
		t.Helper()
		if first, err := s.Claim(t.Context(), []byte(id), life); err != nil || first != want {
			t.Errorf("Claim(%q) = %v, %v, want %v", id, first, err, want)
		}
	}
	claim("a", time.Minute, true)
	claim("a", time.Minute, false)
	claim("b", time.Minute, true)
	claim("", time.Minute, true)
	claim(strings.Repeat("long", 5000), time.Minute, true)
	claim("short", 20*time.Millisecond, true)
	for end := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		first, err := s.Claim(t.Context(), []byte("short"), time.Minute)
		if err != nil || time.Now().After(end) {
			t.Fatalf("a claim of 20 ms is never over: %v", err)
		}
		if first {
			break
		}
	}
	claim("short", time.Minute, false)

	var first atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			ok, err := s.Claim(t.Context(), []byte("contested"), time.Minute)
			if err != nil {
				t.Error(err)
			}
			if ok {
				first.Add(1)
			}
		})
	}
	if wg.Wait(); first.Load() != 1 {
		t.Errorf("%d of 20 were the first, want 1", first.Load())
	}
}

// Read reads all that is new.
func Read(t testing.TB, s shared.Store, from shared.Rev) (notes map[shared.Subject]shared.Note, upto shared.Rev, whole bool) {
	t.Helper()
	notes = make(map[shared.Subject]shared.Note)
	for {
		c, err := s.Since(context.Background(), from)
		if err != nil || len(c.Notes) > shared.MostPage {
			t.Fatalf("Since(%v) = %d notes, %v", from, len(c.Notes), err)
		}
		for _, n := range c.Notes {
			notes[n.Subject] = n
		}
		whole = whole || c.Whole
		if from = c.Upto; !c.More {
			return notes, from, whole
		}
	}
}

func notes(t *testing.T, s shared.Store) {
	if got, _, _ := Read(t, s, shared.Rev{}); len(got) != 0 {
		t.Fatalf("a new store has %v", got)
	}
	put := func(n shared.Note) shared.Note {
		t.Helper()
		got, err := s.Put(t.Context(), n)
		if err != nil || got.At.Before(n.At) {
			t.Fatalf("Put(%+v) = %+v, %v", n, got, err)
		}
		return got
	}
	alice, net := put(Ban("c:alice", 0)), put(Ban("2001:db8::/48", time.Hour))
	got, rev, whole := Read(t, s, shared.Rev{})
	if want := (map[shared.Subject]shared.Note{alice.Subject: alice, net.Subject: net}); !whole || !maps.Equal(got, want) {
		t.Fatalf("read %v, whole %v, want %v and the whole", got, whole, want)
	}
	if got, again, whole := Read(t, s, rev); len(got) != 0 || again != rev || whole {
		t.Errorf("with nothing new read %v up to %v, whole %v", got, again, whole)
	}

	old := Ban("c:alice", time.Hour)
	old.At, old.By = old.At.Add(-time.Hour), "bob\n\x00 7" // by a gateway whose clock is behind
	old = old.Rounded()
	if put := put(old); !put.At.After(alice.At) {
		t.Errorf("told over a note of %v at %v, want later", alice.At, put.At)
	} else {
		old = put
	}
	lifted, err := s.Drop(t.Context(), net)
	if err != nil || !lifted.Lifted || !lifted.At.After(net.At) || !lifted.Until.Equal(net.Until) {
		t.Fatalf("Drop = %+v, %v", lifted, err)
	}
	got, rev, whole = Read(t, s, rev)
	if want := (map[shared.Subject]shared.Note{alice.Subject: old, net.Subject: lifted}); whole || !maps.Equal(got, want) {
		t.Errorf("read %v, whole %v, want %v", got, whole, want)
	}

	// What is put back does not come over what is newer, nor over a ban by hand.
	auto := Ban("c:alice", time.Hour)
	auto.Signal, auto.At = rules.ByStrikes, time.Now().Add(time.Hour)
	other := Ban("c:other", time.Hour)
	if err := s.Mend(t.Context(), []shared.Note{alice, net, auto, other}); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := Read(t, s, rev); !maps.Equal(got, map[shared.Subject]shared.Note{other.Subject: other}) {
		t.Errorf("mended to %v, want %v alone", got, other)
	}
	// But what is lifted may be found again, and what somebody lifted elsewhere is.
	again := Ban("2001:db8::/48", time.Hour)
	again.Signal, again.At = rules.ByNetwork, lifted.At.Add(time.Millisecond)
	elsewhere, err := s.Drop(t.Context(), Ban("c:never-here", 0))
	if err != nil || elsewhere.Until.IsZero() {
		t.Fatalf("Drop of what is not there = %+v, %v, want that it is remembered, not for ever", elsewhere, err)
	}
	if err := s.Mend(t.Context(), []shared.Note{again, Ban("c:over", -time.Minute)}); err != nil {
		t.Fatal(err)
	}
	got, _, _ = Read(t, s, shared.Rev{})
	if got[again.Subject] != again || got[elsewhere.Subject] != elsewhere || len(got) != 4 {
		t.Errorf("all is %v", got)
	}

	// Another's place is not known here.
	if _, _, whole := Read(t, s, shared.Rev{Epoch: "another", N: 1}); !whole {
		t.Error("who has read elsewhere is not told all")
	}
	if _, _, whole := Read(t, s, shared.Rev{Epoch: rev.Epoch, N: 1 << 40}); !whole {
		t.Error("who has read further than there is, is not told all")
	}
	short := put(Ban("c:short", 30*time.Millisecond))
	for end := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if got, _, _ := Read(t, s, shared.Rev{}); got[short.Subject] != short {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a ban of 30 ms does not vanish")
		}
	}
}

// atOnce has many tell of the same: one is told last, and a reader that follows ends where
// one does that reads it whole.
func atOnce(t *testing.T, s shared.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				n := Ban(fmt.Sprintf("c:%d", j%3), time.Hour)
				n.Why = fmt.Sprint(i, j)
				var err error
				if j%4 == 3 {
					_, err = s.Drop(t.Context(), n)
				} else {
					_, err = s.Put(t.Context(), n)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen, rev := make(map[shared.Subject]shared.Note), shared.Rev{}
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
		}
		var more map[shared.Subject]shared.Note
		more, rev, _ = Read(t, s, rev)
		maps.Copy(seen, more)
	}
	all, _, _ := Read(t, s, shared.Rev{})
	if len(all) != 3 || !maps.Equal(all, seen) {
		t.Errorf("who followed has %v, there is %v", seen, all)
	}
}

func pages(t *testing.T, s shared.Store) {
	const many = 2*shared.MostPage + 17
	var batch []shared.Note
	for i := range many {
		if batch = append(batch, Ban(fmt.Sprintf("c:%d", i), time.Hour)); len(batch) == shared.MostPage || i == many-1 {
			if err := s.Mend(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	got, rev, _ := Read(t, s, shared.Rev{})
	if len(got) != many {
		t.Errorf("read %d notes, want %d", len(got), many)
	}
	if got, _, _ := Read(t, s, rev); len(got) != 0 {
		t.Errorf("%d are new after all were read", len(got))
	}
}

func badNotes(t *testing.T, s shared.Store) {
	for _, n := range []shared.Note{
		{},
		{Subject: shared.Subject{Account: strings.Repeat("x", shared.MostName+1)}, Signal: rules.ByHand},
		{Subject: shared.Subject{Account: "c:a"}, Why: strings.Repeat("x", shared.MostText+1), Signal: rules.ByHand},
		{Subject: shared.Subject{Account: "c:a"}, Signal: rules.Signals},
	} {
		n.At = time.Now()
		if _, err := s.Put(t.Context(), n); err == nil {
			t.Errorf("Put(%+v) was taken", n)
		}
	}
	if got, _, _ := Read(t, s, shared.Rev{}); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

// model holds a store against the rules in words: the later of two counts, but a ban by hand
// comes before what is automatic. Every run has subjects of its own, so that all may share a store.
func model(t *testing.T, s Subject) {
	store, run := s.New(t), 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		want := make(map[shared.Subject]shared.Note)
		_, rev, _ := Read(t, store, shared.Rev{})
		base := time.Now().Truncate(time.Millisecond)
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			n := Ban(fmt.Sprintf("c:%d-%d", run, rapid.IntRange(0, 2).Draw(r, "subject")), time.Hour)
			n.At = base.Add(time.Duration(rapid.IntRange(-5, 5).Draw(r, "at")) * time.Millisecond)
			n.Signal = rapid.SampledFrom([]rules.Signal{rules.ByHand, rules.ByScore}).Draw(r, "signal")
			old, known := want[n.Subject]
			switch how := rapid.SampledFrom([]string{"put", "drop", "mend"}).Draw(r, "how"); how {
			case "mend":
				n.Lifted = rapid.Bool().Draw(r, "lifted")
				if err := store.Mend(context.Background(), []shared.Note{n}); err != nil {
					r.Fatal(err)
				}
				outdoes := n.At.After(old.At)
				switch {
				case n.Signal == rules.ByHand && !n.Lifted && old.Signal == rules.ByScore:
					outdoes = true
				case old.Signal == rules.ByHand && !old.Lifted && n.Signal == rules.ByScore:
					outdoes = false
				}
				if known && !outdoes {
					continue
				}
			default:
				do := map[string]func(context.Context, shared.Note) (shared.Note, error){"put": store.Put, "drop": store.Drop}[how]
				got, err := do(context.Background(), n)
				if err != nil || known && !got.At.After(old.At) {
					r.Fatalf("%s = %+v, %v after %+v", how, got, err, old)
				}
				n.At, n.Lifted = got.At, how == "drop"
			}
			want[n.Subject] = n
		}
		if got, _, _ := Read(t, store, rev); !maps.Equal(got, want) {
			r.Fatalf("there is %v, want %v", got, want)
		}
	})
}

func leases(t *testing.T, s Subject) {
	store := s.New(t)
	exchange := func(gateway string, mine ...shared.Lease) []shared.Lease {
		t.Helper()
		others, err := store.Exchange(t.Context(), gateway, mine)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(others, func(a, b shared.Lease) int { return strings.Compare(a.Gateway, b.Gateway) })
		return others
	}
	one, two := shared.Lease{Key: 1<<64 - 1, Running: 3, Owed: time.Hour, Debt: time.Second}, shared.Lease{Key: 7}
	if got := exchange("a", one, two); len(got) != 0 {
		t.Errorf("the first heard %v", got)
	}
	got := exchange("b", two)
	if s.Alone {
		if len(got) != 0 {
			t.Errorf("heard %v from nobody", got)
		}
		return
	}
	one.Gateway, two.Gateway = "a", "a"
	if !slices.Contains(got, one) || !slices.Contains(got, two) || len(got) != 2 {
		t.Errorf("heard %v, want %v and %v", got, one, two)
	}
	two.Gateway = "b"
	if got := exchange("a"); !slices.Equal(got, []shared.Lease{two}) {
		t.Errorf("heard %v, want %v", got, two)
	}
	began := time.Now()
	for len(exchange("a")) > 0 { // b has died
		<-time.After(10 * time.Millisecond)
	}
	if took := time.Since(began); took < shared.LeaseFor/2 || took > 10*shared.LeaseFor {
		t.Errorf("the leases of a dead gateway ended after %v, want about %v", took, shared.LeaseFor)
	}
	if _, err := store.Exchange(canceled(), "a", nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with a dead context: %v", err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
