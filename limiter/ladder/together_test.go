package ladder

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// seeing is a Scorer that remembers what it was last shown.
type seeing struct {
	Scorer
	seen Seen
}

func (s *seeing) Asked(_ *gate.Facts, seen Seen, _ *Notes) int       { s.seen = seen; return 0 }
func (s *seeing) Explain(_ *gate.Facts, seen Seen, _ *Notes) []Point { s.seen = seen; return nil }

// opening is a scene before a sale with a page, and its scorer.
func opening(t *testing.T) (*scene, *seeing) {
	p := &seeing{}
	s := newScene(t, Options{Score: p})
	s.sale.Behaviour = &rules.Behaviour{Page: "/p", Fastest: 200 * time.Millisecond, Together: 1}
	s.sale.Opens = s.now.Add(time.Minute)
	return s, p
}

// asks so long after the opening, and says how many are seen to ask together.
func (s *scene) asks(p *seeing, account string, from netip.Addr, after time.Duration) int {
	s.now = s.sale.Opens.Add(after)
	s.ask(account, from)
	return p.seen.Together
}

// TestFarmThatLookedAsksTogether: of forty accounts that had the page open, half in a /24.
func TestFarmThatLookedAsksTogether(t *testing.T) {
	for name, from := range map[string]func(i int) netip.Addr{
		"one address": func(int) netip.Addr { return address(1) },
		"a network":   func(i int) netip.Addr { return address(i) },
	} {
		s, p := opening(t)
		for i := range 40 {
			s.looks(fmt.Sprint("c:", i), from(i))
		}
		first := -1
		for i := range 40 {
			if n := s.asks(p, fmt.Sprint("c:", i), from(i), time.Duration(20+20*i)*time.Millisecond); n > 0 && first < 0 {
				first = i
			}
		}
		if first < 0 || first > 6 {
			t.Errorf("%s: a farm that asks every 20 ms is found with account %d, want one of the first seven", name, first)
		}
		s.now = s.sale.Opens.Add(time.Minute)
		s.l.Stands(s.facts("c:0", from(0)))
		if p.seen.Together != 19 { // of the 40, those within 400 ms
			t.Errorf("%s: a minute later the first of them is seen with %d together", name, p.seen.Together)
		}
		if s.l.Stands(s.facts("c:elsewhere", address(1<<16))); p.seen.Together != 0 {
			t.Errorf("%s: who is elsewhere is seen with %d", name, p.seen.Together)
		}
		s.now = s.sale.Opens.Add(16 * time.Minute)
		if s.l.Stands(s.facts("c:0", from(0))); p.seen.Together != 0 {
			t.Errorf("%s: that %d asked together is still held against them after ladder.for", name, p.seen.Together)
		}
	}
}

// TestPeopleDoNotAskTogether: of an office, a campus and a carrier's network, whose people press
// as people do. A tenth of them have no page open there.
func TestPeopleDoNotAskTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, people := range []int{4, 12, 30, 120, 600} {
		wrong := 0
		for range 60 {
			s, p := opening(t)
			type press struct {
				who   int
				after time.Duration
			}
			var all []press
			for i := range people {
				if i%10 > 0 {
					s.looks(fmt.Sprint("c:", i), address(1))
				}
				reaction := time.Duration(math.Exp(rng.NormFloat64()*.6) * 650e6)
				all = append(all, press{i, max(reaction, 160*time.Millisecond)})
			}
			together := 0
			for at := time.Duration(0); at < 400*time.Millisecond; at += 5 * time.Millisecond {
				for _, one := range all {
					if one.after >= at && one.after < at+5*time.Millisecond {
						together = max(together, s.asks(p, fmt.Sprint("c:", one.who), address(1), at))
					}
				}
			}
			if together > 0 {
				wrong++
			}
		}
		if wrong > 1 {
			t.Errorf("%d of 60 places with %d people look like a farm", wrong, people)
		}
	}
}

// TestOnlyFirstRequestsSoonAfterTheOpening: who asks again, or late, or before it, is nobody new.
func TestOnlyFirstRequestsSoonAfterTheOpening(t *testing.T) {
	s, p := opening(t)
	for i := range 9 {
		s.told(fmt.Sprint("c:early", i), address(1), gate.NotOpen)
		if n := s.asks(p, fmt.Sprint("c:late", i), address(1), 400*time.Millisecond); n != 0 {
			t.Errorf("%d that ask when people do are seen together", n)
		}
	}
	for i := range 9 {
		if n := s.asks(p, "c:again", address(1), time.Duration(i)*40*time.Millisecond); n != 0 {
			t.Errorf("one account that asks again and again is seen as %d", n)
		}
	}
	for i := range 2 {
		s.asks(p, fmt.Sprint("c:other", i), address(1), 10*time.Millisecond)
	}
	if n := s.asks(p, "c:other2", address(1), 20*time.Millisecond); n != 4 {
		t.Errorf("four accounts at one place with nobody who looked are seen as %d, want 4", n)
	}
	s.sale.Opens = s.sale.Opens.Add(time.Hour) // the next sale of that name
	if n := s.asks(p, "c:again", address(1), 10*time.Millisecond); n != 0 {
		t.Errorf("after the next opening the first is seen with %d of the one before", n)
	}
	for i := range 3 {
		s.asks(p, fmt.Sprint("c:other", i), address(1), 20*time.Millisecond)
	}
	if p.seen.Together != 4 {
		t.Errorf("who asked after the opening before is one of %d after this one, want 4", p.seen.Together)
	}
}

// TestFirstAfterTheOpeningCountsThoughItAskedJustBefore, and where nothing else is counted.
func TestFirstAfterTheOpeningCountsThoughItAskedJustBefore(t *testing.T) {
	s, p := opening(t)
	s.sale.Ladder.Accounts, s.sale.Ladder.Network = rules.Steps{}, rules.Steps{}
	for i := range 4 {
		s.now = s.sale.Opens.Add(-20 * time.Millisecond)
		s.told(fmt.Sprint("c:", i), address(i), gate.NotOpen)
	}
	for i := range 4 {
		s.asks(p, fmt.Sprint("c:", i), address(i), 30*time.Millisecond)
	}
	if p.seen.Together != 4 {
		t.Errorf("four that asked before and after the opening are seen as %d", p.seen.Together)
	}
}

func TestPlacesThatAskTogetherAreNotForgotten(t *testing.T) {
	if p := (place{together: 5}); !pinned(&p, 4) || pinned(&p, 5) {
		t.Error("a place is to be kept for as long as it holds that its accounts asked together")
	}
}

// TestWithoutAnOpeningNobodyIsTogether, nor where it gives no points.
func TestWithoutAnOpeningNobodyIsTogether(t *testing.T) {
	for name, without := range map[string]func(*rules.Sale){
		"an opening": func(s *rules.Sale) { s.Opens = time.Time{} },
		"points":     func(s *rules.Sale) { s.Behaviour.Together = 0 },
	} {
		s, p := opening(t)
		opens := s.sale.Opens
		without(s.sale)
		s.now = opens.Add(10 * time.Millisecond)
		for i := range 30 {
			s.looks(fmt.Sprint("c:", i), address(1))
			if s.ask(fmt.Sprint("c:", i), address(1)); p.seen.Together != 0 {
				t.Errorf("without %s %d are seen together", name, p.seen.Together)
			}
		}
	}
}
