package cache

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"penstock/rules"
)

func TestPeriods(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	a := ask("k", nil)
	fill(t, c, a, page200("one"), now)
	shows(t, c, a, now, Hit, "one")
	shows(t, c, a, now.Add(2*time.Second-1), Hit, "one")
	shows(t, c, ask("other", nil), now, Miss, "")

	now = now.Add(2 * time.Second)
	f := lead(t, c, a, now)
	for range 3 {
		if found := c.Get(a, now); found.State != Stale || found.Lead || string(found.Answer.Body) != "one" {
			t.Errorf("while it is renewed: %+v, want the old one and no flight", found)
		}
	}
	if got := f.Keep(page200("two"), now); got != Stored {
		t.Fatalf("renewed: %v", got)
	}
	shows(t, c, a, now, Hit, "two")
	shows(t, c, a, now.Add(62*time.Second), Miss, "")
}

// A fetch that fails or is refused leaves the old answer, and the next is a period later.
func TestStaleOutlivesTrouble(t *testing.T) {
	for _, trouble := range []func(*Flight, time.Time){
		func(f *Flight, now time.Time) { f.Fail(Failed, nil, now) },
		func(f *Flight, now time.Time) { f.Fail(Refused, nil, now) },
		func(f *Flight, now time.Time) { f.Keep(answering(503, "sorry"), now) },
		func(f *Flight, now time.Time) { f.Keep(answering(500, "sorry", "Cache-Control", "no-store"), now) },
		func(f *Flight, now time.Time) { f.Keep(answering(429, "sorry"), now) },
	} {
		c, now := open(1<<20), time.Unix(1000, 0)
		a := ask("k", nil)
		fill(t, c, a, page200("one"), now)
		now = now.Add(2 * time.Second)
		trouble(lead(t, c, a, now), now)
		if found := c.Get(a, now.Add(2*time.Second-1)); found.State != Stale || found.Lead {
			t.Errorf("after trouble: %+v, want the old one and no flight", found)
		}
		if found := c.Get(a, now.Add(2*time.Second)); found.State != Stale || !found.Lead {
			t.Errorf("a period later: %+v, want the old one and a flight", found)
		}
	}
}

// An answer that may not be kept takes the place of one that was.
func TestWhatMayNotBeKeptEndsWhatWas(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	a := ask("k", nil)
	fill(t, c, a, page200("one"), now)
	now = now.Add(3 * time.Second)
	if got := lead(t, c, a, now).Keep(page200("mine", "Cache-Control", "private"), now); got != Private {
		t.Fatalf("got %v", got)
	}
	shows(t, c, a, now, Pass, "")
	shows(t, c, a, now.Add(passFor-1), Pass, "")
	shows(t, c, a, now.Add(passFor), Miss, "")
}

// Brief statuses are shown in their period, never after it.
func TestBriefStatuses(t *testing.T) {
	for _, status := range brief {
		c, now := open(1<<20), time.Unix(1000, 0)
		a := ask("k", nil)
		fill(t, c, a, answering(status, "gone"), now)
		shows(t, c, a, now.Add(time.Second), Hit, "gone")
		shows(t, c, a, now.Add(2*time.Second), Miss, "")
	}
}

// One fetch for a crowd, and all are given its answer, also one that is not kept because
// the origin is in trouble.
func TestOneFlightForACrowd(t *testing.T) {
	for _, answer := range []*Answer{page200("one"), answering(503, "one")} {
		synctest.Test(t, func(t *testing.T) {
			c := open(1 << 20)
			var fetches, given atomic.Int32
			var crowd sync.WaitGroup
			for range 1000 {
				crowd.Go(func() {
					a := ask("k", headers{"accept-encoding": "gzip"})
					found := c.Get(a, time.Now())
					if found.Lead {
						fetches.Add(1)
						go func() {
							time.Sleep(time.Second)
							found.Flight.Keep(answer, time.Now())
						}()
					}
					if !found.Flight.Wait(nil) {
						t.Error("the wait was given up")
					}
					if got, _, _ := found.Flight.Share(a); got == answer {
						given.Add(1)
					}
				})
			}
			crowd.Wait()
			if fetches.Load() != 1 || given.Load() != 1000 {
				t.Errorf("%d fetches, given to %d, want 1 and 1000", fetches.Load(), given.Load())
			}
		})
	}
}

// Who waits for what may not be kept goes on at once and together; later ones do not wait.
func TestWaitersOfWhatMayNotBeKeptGoOnTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, began := open(1<<20), time.Now()
		var crowd sync.WaitGroup
		for range 100 {
			crowd.Go(func() {
				a := ask("k", nil)
				for range 10 {
					found := c.Get(a, time.Now())
					if found.State == Pass {
						break
					}
					if found.Lead {
						go func() {
							time.Sleep(time.Second)
							found.Flight.Keep(page200("mine", "Cache-Control", "no-store"), time.Now())
						}()
					}
					found.Flight.Wait(nil)
					if got, _, _ := found.Flight.Share(a); got != nil {
						t.Error("a private answer was given to others")
					}
				}
			})
		}
		crowd.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v, want the one second of the one fetch", took)
		}
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(1 << 20)
		a, began := ask("k", nil), time.Now()
		f := lead(t, c, a, began)
		time.Sleep(4 * time.Second)
		if c.Get(a, time.Now()).Flight.Wait(nil) || time.Since(began) != 10*time.Second {
			t.Errorf("the wait took until %v, want 10s after the flight began", time.Since(began))
		}
		shows(t, c, a, time.Now(), Pass, "") // who comes later does not wait at all
		cancel := make(chan struct{})
		close(cancel)
		if c.Get(ask("other", nil), time.Now()).Flight.Wait(cancel) {
			t.Error("a cancelled wait goes on")
		}
		f.Fail(Failed, "told", time.Now())
		if _, told, _ := f.Share(a); told != "told" {
			t.Errorf("told %v", told)
		}
		shows(t, c, a, time.Now(), Miss, "")
	})
}

func TestFlightEndsOnce(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	f := lead(t, c, ask("k", nil), now)
	f.Keep(page200("one"), now)
	f.Fail(Failed, nil, now) // does not panic
	shows(t, c, ask("k", nil), now, Hit, "one")
}

// Bytes are bounded, and counted right whatever happens; what was used last stays.
func TestBytesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		max := int64(rapid.IntRange(4000, 60000).Draw(t, "max"))
		c, now := open(max), time.Unix(1000, 0)
		rule := &rules.Cache{TTL: 2 * time.Second, Stale: 3 * time.Second, MaxEntry: 3000}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			a := &Asked{Key: fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "key")), Rule: rule, Header: headers{
				"accept-language": fmt.Sprint(rapid.IntRange(0, 50).Draw(t, "language")),
			}}
			found := c.Get(a, now)
			if !found.Lead {
				continue
			}
			answer := page200(strings.Repeat("x", rapid.IntRange(0, 4000).Draw(t, "size")))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				found.Flight.Fail(Failed, nil, now)
			case 1:
				found.Flight.Keep(page200("", "Cache-Control", "private"), now)
			case 2:
				answer.Header = []Field{{"Vary", "Accept-Language"}}
				fallthrough
			default:
				if over := found.Flight.Keep(answer, now) == TooLarge; over != (len(answer.Body) > 3000-lineSize(answer)) {
					t.Fatalf("an answer of %d bytes was too large: %v", len(answer.Body), over)
				}
			}
			bytes, answers := c.Stats()
			wantBytes, wantAnswers := c.count(t)
			if bytes != wantBytes || answers != wantAnswers || bytes > max {
				t.Fatalf("%d bytes and %d answers, want %d and %d, at most %d", bytes, answers, wantBytes, wantAnswers, max)
			}
		}
		if len(c.flights) != 0 {
			t.Fatalf("%d flights are left", len(c.flights))
		}
	})
}

func lineSize(a *Answer) (n int) {
	for _, f := range a.Header {
		n += len(f.Name) + len(f.Value) + 32
	}
	return n
}

// count counts again what is kept.
func (c *Cache) count(t *rapid.T) (bytes int64, answers int) {
	for _, key := range c.pages.Keys() {
		p, _ := c.pages.Peek(key)
		n := overhead + int64(len(key)) + sizeOf(p.names)
		for _, v := range p.variants {
			n += overhead + int64(len(v.values))
			if v.answer != nil {
				n += v.answer.size()
				answers++
			}
		}
		if n != p.size || len(p.variants) > maxVariants {
			t.Fatalf("page %q: %d bytes and %d variants, want %d bytes", key, p.size, len(p.variants), n)
		}
		bytes += n
	}
	return bytes, answers
}

func TestTheOneNotUsedLeaves(t *testing.T) {
	c, now := open(8000), time.Unix(1000, 0)
	hot := ask("hot", nil)
	fill(t, c, hot, page200(strings.Repeat("h", 1000)), now)
	for i := range 100 {
		fill(t, c, ask(fmt.Sprint("scan", i), nil), page200(strings.Repeat("s", 1000)), now)
		if found := c.Get(hot, now); found.State != Hit {
			t.Fatalf("after %d others the page in use is gone", i+1)
		}
	}
	shows(t, c, ask("scan0", nil), now, Miss, "")
	if _, answers := c.Stats(); answers < 4 {
		t.Errorf("%d answers fit, want more", answers)
	}
}
