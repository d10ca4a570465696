// Package gatetest is the suite every gate must pass: what package gate asks of a
// gate in words, asked of the gate itself.
//
// It gives up on what only one gate can know (which reason, how long to wait), and it
// does not tell the time: nothing here is measured in seconds but the guard against an
// Admit that never returns.
package gatetest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Subject is a gate with its rules, and what is true of it under them.
type Subject struct {
	// New makes the gate afresh, with nothing held and nothing remembered. What must
	// be stopped is left to Cleanup.
	New func(testing.TB) gate.Gate

	// Facts makes a request of client i, with strings and a token of its own.
	// Different clients share neither address nor account.
	Facts func(i int) *gate.Facts

	Capacity int  // how many of one client are admitted, none released, until the first refusal; negative: never refuses
	Total    int  // the same over all clients together; 0: each has its own
	Holds    bool // a Release that gives back (refused, unsent) makes room again

	Routes bool // has an opinion on requests of no sale, too
	Store  bool // asks a store: may allocate, and settles later what a dead context left there

	// Memory is the most heap, in bytes, the gate may need after a million clients
	// that came and went; 0: not measured.
	Memory uint64
}

// Run checks the subject. Every check makes gates of its own.
func Run(t *testing.T, s Subject) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

var checks = []struct {
	name string
	run  func(testing.TB, Subject)
}{
	{"capacity", capacity},
	{"sequences", sequences},
	{"concurrent", concurrent},
	{"dead context", deadContext},
	{"no sale", noSale},
	{"memory", memory},
	{"allocations", allocations},
}

// failer is what *rapid.T and testing.TB have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ask is the only way the suite calls Admit, but for where it counts allocations:
// what holds for every verdict is checked here.
func ask(t failer, ctx context.Context, g gate.Gate, f *gate.Facts) gate.Verdict {
	t.Helper()
	v := g.Admit(ctx, f)
	switch {
	case v.Reason.String() == gate.Unset.String():
		t.Errorf("Admit answered %d: not a reason", v.Reason)
	case v.Retry < 0:
		t.Errorf("Admit answered %v with Retry %v, want none below zero", v.Reason, v.Retry)
	case v.OK() && v.Retry != 0:
		t.Errorf("Admit admitted with Retry %v, want 0", v.Retry)
	case v.Err != nil && v.Reason != gate.StoreUnavailable && v.Reason != gate.Internal:
		t.Errorf("Admit answered %v with error %q: refusals are values", v.Reason, v.Err)
	}
	return v
}

var back = gate.End{Kind: gate.Unsent}

// capacity checks the subject's own numbers, which the other checks lean on.
func capacity(t testing.TB, s Subject) {
	g, n := s.New(t), s.Capacity
	if n < 0 {
		n = 100
	}
	for i := range n {
		if v := ask(t, t.Context(), g, s.Facts(0)); !v.OK() {
			t.Fatalf("request %d of one client got %v, want admitted: capacity is %d", i+1, v.Reason, s.Capacity)
		}
	}
	if s.Capacity < 0 {
		return
	}
	if v := ask(t, t.Context(), g, s.Facts(0)); v.OK() {
		t.Fatalf("request %d of one client was admitted, want a refusal: capacity is %d", s.Capacity+1, s.Capacity)
	}
}

var giveBack = []gate.End{{Kind: gate.Refused}, back}

var allEnds = append(slices.Clone(giveBack), gate.End{},
	gate.End{Kind: gate.Answered, Status: 200, Outcome: rules.OutcomeSold, Took: time.Millisecond},
	gate.End{Kind: gate.Answered, Status: 409, Outcome: rules.OutcomeFree, Took: time.Millisecond},
	gate.End{Kind: gate.Answered, Status: 500, Took: time.Millisecond})

// sequences runs the same random requests through two gates. One is given facts in
// memory that is overwritten when the request is over; the answers must not differ.
// Once all is given back, a gate that holds must answer like a new one, so a refusal
// that held something, and a Release that forgot something, come out here.
func sequences(t testing.TB, s Subject) {
	rapid.Check(t, func(r *rapid.T) {
		scope := &scope{TB: t}
		defer scope.end()
		lent, kept := s.New(scope), s.New(scope)
		ends := giveBack
		all := rapid.Bool().Draw(r, "ends that may keep, too")
		if all {
			ends = allEnds
		}
		var open []*twin
		release := func(i int) {
			open[i].release(r, lent, kept, rapid.SampledFrom(ends).Draw(r, "end"))
			open = slices.Delete(open, i, i+1)
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			if client := rapid.IntRange(0, 4).Draw(r, "client, or release"); client < 3 {
				if t := newTwin(s.Facts(client)); t.admit(r, lent, kept) {
					open = append(open, t)
				}
			} else if len(open) > 0 {
				release(rapid.IntRange(0, len(open)-1).Draw(r, "which"))
			}
		}
		for len(open) > 0 {
			release(len(open) - 1)
		}
		if s.Holds && !all {
			likeNew(r, s, lent, s.New(scope))
		}
	})
}

// likeNew compares how many of each client a used gate and a new one admit.
func likeNew(t failer, s Subject, used, fresh gate.Gate) {
	probe := func(g gate.Gate) (got []gate.Reason) {
		var open []*gate.Facts
		for i := range 3 * (max(s.Capacity, 2) + 1) {
			f := s.Facts(i % 3)
			v := ask(t, context.Background(), g, f)
			if got = append(got, v.Reason); v.OK() {
				open = append(open, f)
			}
		}
		for _, f := range open {
			g.Release(f, back)
		}
		return got
	}
	if got, want := probe(used), probe(fresh); !slices.Equal(got, want) {
		t.Fatalf("with everything given back three clients get\n%v, want, as from a new gate,\n%v", got, want)
	}
}

// concurrent counts what is admitted at once. It counts up after Admit and down before
// Release, so it never sees more than the gate let in.
func concurrent(t testing.TB, s Subject) {
	g := s.New(t)
	const clients = 4
	var held [clients]atomic.Int64
	var total atomic.Int64
	work := func(worker int) {
		var mine []*gate.Facts
		for i := range 400 {
			c := (worker + i/16) % clients
			f := s.Facts(c)
			ok := ask(t, context.Background(), g, f).OK()
			if ok {
				mine = append(mine, f)
				n, all := held[c].Add(1), total.Add(1)
				if s.Capacity >= 0 && n > int64(s.Capacity) || s.Total > 0 && all > int64(s.Total) {
					t.Errorf("%d of one client, %d of all admitted at once, want at most %d and %d", n, all, s.Capacity, s.Total)
				}
			}
			if !ok || i%16 == 15 { // before the next client: mine are all of client c
				runtime.Gosched()
				for _, f := range mine {
					if s.Holds {
						held[c].Add(-1)
						total.Add(-1)
					}
					g.Release(f, back)
				}
				mine = mine[:0]
			}
		}
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() { work(w) })
	}
	wg.Wait()
	if s.Holds {
		likeNew(t, s, g, s.New(t))
	}
}

// deadContext asks with a context that is over: a new gate and a full one must return.
func deadContext(t testing.TB, s Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g := s.New(t)
	for range max(s.Capacity, 0) + 1 {
		f, answered := s.Facts(0), make(chan gate.Verdict, 1)
		go func() { answered <- ask(t, ctx, g, f) }()
		select {
		case v := <-answered:
			if v.OK() {
				defer g.Release(f, back)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("Admit under a dead context did not return")
		}
		if f := s.Facts(0); ask(t, t.Context(), g, f).OK() { // fills the gate up
			defer g.Release(f, back)
		}
	}
}

// noSale sends many requests that belong to no sale.
func noSale(t testing.TB, s Subject) {
	if s.Routes {
		return
	}
	g := s.New(t)
	for i := range max(s.Capacity, 0) + 100 {
		f := s.Facts(0)
		f.Sale, f.Item, f.Units = nil, "", 0
		if v := ask(t, t.Context(), g, f); !v.OK() {
			t.Fatalf("request %d of no sale got %v, want admitted", i+1, v.Reason)
		}
		defer g.Release(f, back)
	}
}
