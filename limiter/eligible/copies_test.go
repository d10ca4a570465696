package eligible

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// shelf is a reader of one set that can be made to fail half way, or to take its time.
type shelf struct {
	mu      sync.Mutex
	members []string
	err     error
	takes   time.Duration
	reads   []time.Time
	keys    []string
}

func (s *shelf) Hash(context.Context, string, func(string, string)) error { panic("nobody asked") }

func (s *shelf) Set(ctx context.Context, key string, each func(string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads, s.keys = append(s.reads, time.Now()), append(s.keys, key)
	for i, m := range s.members {
		if i == len(s.members)/2 {
			select {
			case <-time.After(s.takes):
			case <-ctx.Done():
				return ctx.Err()
			}
			if s.err != nil {
				return s.err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		each(m)
	}
	return s.err
}

func (s *shelf) set(err error, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.members = err, members
}

func (s *shelf) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.reads) }

// members is a sale for those in a set.
func members(key string, every time.Duration) *rules.Sale {
	return asking(rules.Term{Name: key, Must: rules.Listed, From: rules.Attribute{Kind: rules.InRedisSet, Name: key, Every: every}})
}

// kept runs test with copies of the shelf, in a bubble, and tells of every report.
func kept(t *testing.T, s *shelf, test func(t *testing.T, g *Gate, reports *[]string)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := NewCopies(s)
		var reports []string
		c.Report = func(key string, err error) { reports = append(reports, err.Error()) }
		g := New(c, hashed)
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		test(t, g, &reports)
		cancel()
		<-done
	})
}

// says waits so long and then asks for alice.
func says(t *testing.T, g *Gate, s *rules.Sale, after time.Duration, want gate.Reason) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if v := g.Admit(context.Background(), from("c:alice", s)); v.Reason != want {
		t.Errorf("got %v, want %v", v.Reason, want)
	}
}

func TestCopyIsUsedWholeOrNotAtAll(t *testing.T) {
	s := &shelf{members: []string{"alice", "bob"}, err: errors.New("lost")}
	kept(t, s, func(t *testing.T, g *Gate, reports *[]string) {
		sale := members("m", 10*time.Second)
		g.Use([]*rules.Sale{sale})
		says(t, g, sale, 0, gate.StoreUnavailable) // alice was read before it was lost
		if g.copies.Ready() == nil {
			t.Error("ready without a copy")
		}
		says(t, g, sale, 5*time.Second, gate.StoreUnavailable)
		if len(*reports) != 1 || s.count() < 5 {
			t.Errorf("%d reports of %d readings, want 1 of one a second", len(*reports), s.count())
		}
		s.set(nil, "alice", "bob")
		says(t, g, sale, time.Second, gate.Admitted)
		if err := g.copies.Ready(); err != nil {
			t.Error(err)
		}
		read := g.copies.Stats()[0].Read
		s.set(errors.New("lost again"), "bob", "carol")
		says(t, g, sale, 60*time.Second, gate.Admitted) // as it was
		if st := g.copies.Stats()[0]; !st.Failing || st.Read != read || st.Members != 2 || st.Key != "m" || st.Bytes == 0 || len(*reports) != 2 {
			t.Errorf("got %+v and %q, want it failing, from %v, and two reports", st, *reports, read)
		}
		s.set(nil, "bob", "carol")
		says(t, g, sale, time.Second, gate.NotEligible)
		if st := g.copies.Stats()[0]; st.Failing || !st.Read.After(read) {
			t.Errorf("got %+v, want it fresh", st)
		}
	})
}

func TestSlowReadingDoesNotCountBeforeItsEnd(t *testing.T) {
	s := &shelf{members: []string{"alice", "bob"}, takes: 3 * time.Second}
	kept(t, s, func(t *testing.T, g *Gate, _ *[]string) {
		sale := members("m", time.Minute)
		g.Use([]*rules.Sale{sale})
		says(t, g, sale, 2999*time.Millisecond, gate.StoreUnavailable)
		says(t, g, sale, 2*time.Millisecond, gate.Admitted)
		if st := g.copies.Stats()[0]; time.Since(st.Read) < 3*time.Second {
			t.Errorf("it counts as read at %v, want at the beginning of the reading", st.Read)
		}
	})
}

func TestTooMuchIsNoCopyAtAll(t *testing.T) {
	s := &shelf{members: []string{"alice"}}
	kept(t, s, func(t *testing.T, g *Gate, reports *[]string) {
		g.copies.most = 3
		sale := members("m", 10*time.Second)
		g.Use([]*rules.Sale{sale})
		says(t, g, sale, 0, gate.Admitted)
		s.set(nil, "alice", "b", "c", "d")
		says(t, g, sale, 30*time.Second, gate.StoreUnavailable)
		if n := s.count(); n != 4 || len(*reports) != 1 {
			t.Errorf("%d readings and %q in 30 s, want 4 and one report", n, *reports)
		}
		s.set(nil, "alice", "b", "c")
		says(t, g, sale, 10*time.Second, gate.Admitted)
	})
}

func TestWhatNobodyAsksForIsDropped(t *testing.T) {
	s := &shelf{members: []string{"alice"}}
	kept(t, s, func(t *testing.T, g *Gate, _ *[]string) {
		old, young := members("old", time.Minute), members("young", time.Minute)
		g.Use([]*rules.Sale{old})
		says(t, g, old, 0, gate.Admitted)
		g.Use([]*rules.Sale{young})
		says(t, g, young, 0, gate.Admitted)
		says(t, g, old, linger-time.Second, gate.Admitted) // a request that began before
		says(t, g, old, 2*time.Second, gate.StoreUnavailable)
		if n := len(g.copies.all); n != 1 || len(g.copies.Stats()) != 1 {
			t.Errorf("%d copies are kept, want 1", n)
		}
		says(t, g, young, 10*time.Minute, gate.Admitted)
		if slices.Contains(s.keys[2:], "old") {
			t.Errorf("%q were read, want the old one no more", s.keys)
		}
		g.Use([]*rules.Sale{old})
		says(t, g, old, 0, gate.Admitted)
	})
}

func TestReadingsComeAsOftenAsTheMostImpatientWants(t *testing.T) {
	s := &shelf{members: []string{"alice"}}
	kept(t, s, func(t *testing.T, g *Gate, _ *[]string) {
		g.Use([]*rules.Sale{members("m", time.Hour)})
		time.Sleep(10 * time.Minute)
		g.Use([]*rules.Sale{members("m", time.Hour), members("m", time.Minute), members("m", 0)})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := s.count(); n < 10 || n > 12 {
			t.Errorf("%d readings, want one a second", n)
		}
	})
}

func TestCopiesWithoutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := New(NewCopies(nil), hashed)
		sale := members("m", time.Minute)
		g.Use([]*rules.Sale{sale})
		go g.copies.Run(ctx)
		says(t, g, sale, time.Hour, gate.StoreUnavailable)
		cancel()
		synctest.Wait()
	})
}

// TestReloadWhileRunning: no request of a sale that keeps its key may be refused for a reload.
func TestReloadWhileRunning(t *testing.T) {
	s := &shelf{members: []string{"alice"}}
	for i := range 1000 {
		s.members = append(s.members, strconv.Itoa(i))
	}
	c := NewCopies(s)
	g := New(c, hashed)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	var current atomic.Pointer[rules.Sale]
	current.Store(members("m", time.Millisecond))
	g.Use([]*rules.Sale{current.Load()})
	for c.Ready() != nil {
		<-time.After(time.Millisecond)
	}
	var asked atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				asked.Add(1)
				if v := g.Admit(ctx, from("c:alice", current.Load())); !v.OK() {
					t.Errorf("refused as %v: %v", v.Reason, v.Err)
					return
				}
				g.Stats()
				c.Stats()
			}
		})
	}
	for i := 0; i < 200 || asked.Load() < 1000 && !t.Failed(); i++ {
		next := members("m", time.Millisecond)
		g.Use([]*rules.Sale{members(fmt.Sprint("other", i), time.Hour), next})
		current.Store(next)
	}
	cancel()
	wg.Wait()
}
