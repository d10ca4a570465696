package shared_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/shared"
	"penstock/limiter/shared/sharedtest"
	"penstock/rules"
)

var errDown = errors.New("down")

// fragile is one Memory for all, which can lose what it has; each gateway's way to it can be cut.
type fragile struct {
	memory atomic.Pointer[shared.Memory]
	calls  atomic.Int64
}

func newFragile() *fragile {
	f := &fragile{}
	f.lose()
	return f
}

func (f *fragile) lose() { f.memory.Store(shared.NewMemory()) }

type way struct {
	*fragile
	down atomic.Bool
}

func (w *way) to() (*shared.Memory, error) {
	if w.calls.Add(1); w.down.Load() {
		return nil, errDown
	}
	return w.memory.Load(), nil
}

func (w *way) Claim(ctx context.Context, id []byte, life time.Duration) (bool, error) {
	m, err := w.to()
	if err != nil {
		return false, err
	}
	return m.Claim(ctx, id, life)
}

func (w *way) Put(ctx context.Context, n shared.Note) (shared.Note, error) {
	m, err := w.to()
	if err != nil {
		return n, err
	}
	return m.Put(ctx, n)
}

func (w *way) Drop(ctx context.Context, n shared.Note) (shared.Note, error) {
	m, err := w.to()
	if err != nil {
		return n, err
	}
	return m.Drop(ctx, n)
}

func (w *way) Mend(ctx context.Context, notes []shared.Note) error {
	m, err := w.to()
	if err != nil {
		return err
	}
	return m.Mend(ctx, notes)
}

func (w *way) Since(ctx context.Context, r shared.Rev) (shared.Changes, error) {
	m, err := w.to()
	if err != nil {
		return shared.Changes{}, err
	}
	return m.Since(ctx, r)
}

func (w *way) Exchange(ctx context.Context, gateway string, mine []shared.Lease) ([]shared.Lease, error) {
	m, err := w.to()
	if err != nil {
		return nil, err
	}
	return m.Exchange(ctx, gateway, mine)
}

// gateway is a book that runs, and what it has told.
type gateway struct {
	*shared.Book
	way      *way
	inForce  atomic.Pointer[[]shared.Note]
	troubles atomic.Int64
	lifted   atomic.Pointer[string] // all, as they were heard of
}

// open runs n gateways until stop.
func openGateways(f *fragile, n int) (all []*gateway, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range n {
		g := &gateway{way: &way{fragile: f}}
		g.inForce.Store(new([]shared.Note))
		g.Book = shared.NewBook(g.way, func(bans []shared.Note) { g.inForce.Store(&bans) }, func(error) { g.troubles.Add(1) })
		g.lifted.Store(new(string))
		g.Lifted = func(s shared.Subject) {
			all := *g.lifted.Load() + s.String() + " "
			g.lifted.Store(&all)
		}
		wg.Go(func() { g.Run(ctx) })
		all = append(all, g)
	}
	return all, func() { cancel(); wg.Wait() }
}

// banned is whom a gateway keeps out, by name.
func (g *gateway) banned() []string {
	names := []string{}
	now := time.Now()
	for _, n := range *g.inForce.Load() {
		if n.Live(now) {
			names = append(names, n.Subject.String())
		}
	}
	slices.Sort(names)
	return names
}

func (g *gateway) want(t *testing.T, names ...string) {
	t.Helper()
	if got := g.banned(); !slices.Equal(got, append([]string{}, names...)) {
		t.Errorf("in force are %v, want %v", got, names)
	}
}

func (g *gateway) add(t *testing.T, subject string, life time.Duration) {
	t.Helper()
	if _, err := g.Add(t.Context(), sharedtest.Ban(subject, life)); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) remove(t *testing.T, subject string) {
	t.Helper()
	if _, found, err := g.Remove(t.Context(), sharedtest.Ban(subject, 0).Subject, "bob", "a mistake"); !found || err != nil {
		t.Fatalf("Remove(%s) = %v, %v", subject, found, err)
	}
}

func TestABanIsInForceWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := openGateways(newFragile(), 3)
		defer stop()
		time.Sleep(time.Second)
		g[0].add(t, "c:alice", 0)
		g[0].add(t, "192.0.2.0/24", time.Minute)
		g[0].want(t, "192.0.2.0/24", "c:alice")
		time.Sleep(time.Second)
		g[1].want(t, "192.0.2.0/24", "c:alice")
		if l := g[2].List(); len(l) != 2 || l[1].By != "ann" || l[1].Why != "a test" || l[1].Signal != rules.ByHand || time.Since(l[0].At) > 2*time.Second {
			t.Errorf("listed are %+v", l)
		}
		g[1].remove(t, "c:alice")
		g[1].want(t, "192.0.2.0/24")
		time.Sleep(time.Second)
		g[0].want(t, "192.0.2.0/24")
		if _, found, err := g[0].Remove(t.Context(), sharedtest.Ban("c:bob", 0).Subject, "a", "b"); found || err != nil {
			t.Errorf("who is not banned: %v, %v", found, err)
		}
		time.Sleep(time.Minute)
		for _, g := range g {
			g.want(t)
		}
	})
}

// TestLiftedIsHeardOfOnce: at once where it is done, elsewhere within a second of being there
// to hear it; neither reading all again nor a store that has lost it says it twice.
func TestLiftedIsHeardOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFragile()
		g, stop := openGateways(f, 3)
		defer stop()
		heard := func(when string, want ...string) {
			t.Helper()
			for i, g := range g {
				if got := *g.lifted.Load(); got != want[i] {
					t.Errorf("%s gateway %d has heard %q, want %q", when, i, got, want[i])
				}
			}
		}
		n := sharedtest.Ban("c:bot", 24*time.Hour)
		n.Signal = rules.ByStrikes
		g[0].Tell(n)
		g[0].add(t, "c:alice", 24*time.Hour)
		g[0].add(t, "c:alice", time.Hour)
		time.Sleep(time.Second)
		heard("before", "", "", "")
		g[2].way.down.Store(true)
		g[1].remove(t, "c:bot")
		heard("at once", "", "c:bot ", "")
		time.Sleep(time.Second)
		heard("a second later", "c:bot ", "c:bot ", "")
		f.lose()
		time.Sleep(time.Second)
		g[2].way.down.Store(false)
		time.Sleep(time.Second)
		heard("back again", "c:bot ", "c:bot ", "c:bot ")
		time.Sleep(3 * time.Minute)
		heard("after all was read anew", "c:bot ", "c:bot ", "c:bot ")
	})
}

func TestWhileTheStoreIsAwayAllStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFragile()
		g, stop := openGateways(f, 2)
		defer stop()
		g[0].add(t, "c:alice", 0)
		time.Sleep(time.Second)
		g[1].way.down.Store(true)
		g[0].add(t, "c:bob", 0)
		time.Sleep(time.Minute)
		g[1].want(t, "c:alice")
		if n := g[1].troubles.Load(); n != 1 {
			t.Errorf("one outage was reported %d times", n)
		}
		if _, err := g[1].Add(t.Context(), sharedtest.Ban("c:eve", 0)); !errors.Is(err, errDown) {
			t.Errorf("a ban that no store has: %v", err)
		}
		if _, _, err := g[1].Remove(t.Context(), sharedtest.Ban("c:alice", 0).Subject, "a", "b"); !errors.Is(err, errDown) {
			t.Errorf("lifted without a store: %v", err)
		}
		if !g[1].Tell(shared.Note{Subject: shared.Subject{Account: "c:bot"}, At: time.Now(), Signal: rules.ByScore}) {
			t.Error("what this gateway finds is not taken")
		}
		time.Sleep(time.Second)
		g[1].way.down.Store(false)
		time.Sleep(time.Second)
		g[0].want(t, "c:alice", "c:bob", "c:bot")
		g[1].want(t, "c:alice", "c:bob", "c:bot")
	})
}

// TestWhatIsLostIsPutBack: Redis forgets, the gateways do not, and what was lifted stays so.
func TestWhatIsLostIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFragile()
		g, stop := openGateways(f, 3)
		defer stop()
		g[0].add(t, "c:alice", 0)
		g[0].add(t, "c:bob", 0)
		g[0].add(t, "c:eve", 0)
		time.Sleep(time.Second)
		g[2].way.down.Store(true) // the third hears of nothing more
		g[0].remove(t, "c:alice")
		time.Sleep(time.Second)
		f.lose()
		g[0].remove(t, "c:bob") // before anybody has put it back
		time.Sleep(time.Second)
		g[2].way.down.Store(false)
		time.Sleep(2 * time.Second)
		fresh, stop2 := openGateways(f, 1)
		defer stop2()
		time.Sleep(time.Second)
		for _, g := range append(g, fresh...) {
			g.want(t, "c:eve")
		}
	})
}

// TestAQuietBookAsksLittle: four questions a second, and nothing else.
func TestAQuietBookAsksLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFragile()
		g, stop := openGateways(f, 1)
		defer stop()
		g[0].add(t, "c:alice", 0)
		time.Sleep(time.Second)
		before := f.calls.Load()
		time.Sleep(5 * time.Minute)
		if n := f.calls.Load() - before; n < 1100 || n > 1300 {
			t.Errorf("%d calls in 5 minutes, want about 1200", n)
		}
	})
}

// TestAnOperatorComesFirst: what gateways find does not replace a ban by hand.
func TestAnOperatorComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := openGateways(newFragile(), 2)
		defer stop()
		g[0].add(t, "c:alice", time.Hour)
		time.Sleep(time.Second)
		n := sharedtest.Ban("c:alice", time.Minute)
		n.Signal = rules.ByStrikes
		g[1].Tell(n)
		time.Sleep(time.Second)
		for _, g := range g {
			if l := g.List(); len(l) != 1 || l[0].Signal != rules.ByHand {
				t.Errorf("listed are %+v", l)
			}
		}
		g[1].remove(t, "c:alice")
		time.Sleep(time.Second)
		n.At = time.Now().Add(time.Millisecond)
		g[0].Tell(n)
		time.Sleep(time.Second)
		for _, g := range g {
			if l := g.List(); len(l) != 1 || l[0].Signal != rules.ByStrikes {
				t.Errorf("after it was lifted listed are %+v", l)
			}
		}
	})
}

// TestBooksAgree has gateways ban and lift at random, with ways cut and the store losing all
// it has, and wants in the end what was said last of each.
func TestBooksAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type step struct{ what, gateway, subject, pause int }
		steps := make([]step, rapid.IntRange(1, 25).Draw(r, "steps"))
		for i := range steps {
			steps[i] = step{rapid.IntRange(0, 9).Draw(r, "what"), rapid.IntRange(0, 2).Draw(r, "gateway"),
				rapid.IntRange(0, 3).Draw(r, "subject"), rapid.IntRange(2, 700).Draw(r, "ms")}
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFragile()
			g, stop := openGateways(f, 3)
			defer stop()
			want := map[string]bool{}
			for _, s := range steps {
				at, name := g[s.gateway], fmt.Sprintf("c:%d", s.subject)
				switch {
				case s.what < 4:
					if _, err := at.Add(t.Context(), sharedtest.Ban(name, 24*time.Hour)); err == nil {
						want[name] = true
					}
				case s.what < 7:
					if _, found, err := at.Remove(t.Context(), sharedtest.Ban(name, 0).Subject, "a", "b"); found && err == nil {
						want[name] = false
					}
				case s.what == 7:
					f.lose()
				default:
					at.way.down.Store(s.what == 8)
				}
				time.Sleep(time.Duration(s.pause) * time.Millisecond)
			}
			for _, g := range g {
				g.way.down.Store(false)
			}
			time.Sleep(3 * time.Minute)
			var names []string
			for name, banned := range want {
				if banned {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			for i, g := range g {
				if got := g.banned(); !slices.Equal(got, append([]string{}, names...)) {
					r.Errorf("gateway %d has %v in force, want %v", i, got, names)
				}
			}
		})
	})
}
