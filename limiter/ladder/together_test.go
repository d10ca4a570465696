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

// TestFarmThatLookedAsksTogether: forty accounts that had the page open, at one address or in a /24.
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
		if first < 0 || first > 7 {
			t.Errorf("%s: a farm that asks every 20 ms is found with account %d, want one of the first eight", name, first)
		}
		s.now = s.sale.Opens.Add(time.Minute)
		for _, account := range []string{"c:0", "c:39"} { // 19 of the 40 were there within 400 ms, and that is half
			s.l.Stands(s.facts(account, from(0)))
			if p.seen.Together != 19 {
				t.Errorf("%s: a minute later %s is seen with %d together", name, account, p.seen.Together)
			}
		}
		if s.l.Stands(s.facts("c:0", address(1<<16))); p.seen.Together != 0 {
			t.Errorf("%s: who is elsewhere is seen with %d", name, p.seen.Together)
		}
		s.now = s.sale.Opens.Add(16 * time.Minute)
		if s.l.Stands(s.facts("c:0", from(0))); p.seen.Together != 0 {
			t.Errorf("%s: that %d asked together is still held against them after ladder.for", name, p.seen.Together)
		}
	}
}

// TestAFewBotsDoNotTakeAnOfficeAlong: eight that looked, among sixty people; and eight that never
// did are held together, and nobody who looked with them.
func TestAFewBotsDoNotTakeAnOfficeAlong(t *testing.T) {
	for name, looked := range map[string]bool{"that looked": true, "that never looked": false} {
		s, p := opening(t)
		for i := range 60 {
			s.looks(fmt.Sprint("c:person", i), address(1))
		}
		together := 0
		for i := range 8 {
			bot := fmt.Sprint("c:bot", i)
			if looked {
				s.looks(bot, address(1))
			}
			if s.asks(p, bot, address(1), 10*time.Millisecond) > 0 {
				together++
			}
		}
		if want := map[bool]int{true: 1, false: 2}[looked]; together != want { // 4 and .05 of who looked there
			t.Errorf("%d of eight bots %s have been held together so far, want %d", together, name, want)
		}
		if n := s.asks(p, "c:bot0", address(1), 300*time.Millisecond); n != 8 {
			t.Errorf("the first of the bots %s is seen with %d, want 8", name, n)
		}
		for i := range 60 {
			if n := s.asks(p, fmt.Sprint("c:person", i), address(1), 500*time.Millisecond); n != 0 {
				t.Fatalf("a person is seen with %d bots %s", n, name)
			}
		}
		n := s.asks(p, "c:app", address(1), 500*time.Millisecond)
		if want := map[bool]int{false: 8}[looked]; n != want {
			t.Errorf("who never looked is seen with %d bots %s, want %d", n, name, want)
		}
	}
}

// TestPeopleDoNotAskTogether: of an office, a campus and a carrier's network, whose people press
// as people do. A tenth of them never looked, and as many hours ago.
func TestPeopleDoNotAskTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, people := range []int{4, 12, 30, 120, 600} {
		wrong := 0
		for range 60 {
			s, p := opening(t)
			type press struct {
				who   int
				from  netip.Addr
				after time.Duration
			}
			var all []press
			now := s.now
			for i := range people {
				s.now = now
				if i%10 == 1 {
					s.now = now.Add(-5 * time.Hour)
				}
				from := address(rng.IntN(40))
				if i%10 > 0 {
					s.looks(fmt.Sprint("c:", i), from)
				}
				reaction := time.Duration(math.Exp(rng.NormFloat64()*.6) * 650e6)
				all = append(all, press{i, from, max(reaction, 160*time.Millisecond)})
			}
			together := 0
			for at := time.Duration(0); at < 400*time.Millisecond; at += 5 * time.Millisecond {
				for _, one := range all {
					if one.after >= at && one.after < at+5*time.Millisecond {
						together = max(together, s.asks(p, fmt.Sprint("c:", one.who), one.from, at))
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
	s.sale.Opens = s.sale.Opens.Add(5 * time.Minute) // it was put off
	if s.l.Stands(s.facts("c:again", address(1))); p.seen.Together != 0 {
		t.Errorf("before the next opening who asked together is seen with %d", p.seen.Together)
	}
	for i := range 3 {
		if n := s.asks(p, fmt.Sprint("c:other", i), address(1), 20*time.Millisecond); n != 0 {
			t.Errorf("after the next opening account %d is seen with %d of the one before", i, n)
		}
	}
	if n := s.asks(p, "c:again", address(1), 30*time.Millisecond); n != 4 {
		t.Errorf("who asked after the opening before is one of %d after this one, want 4", n)
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
	for i, t0 := range []turnout{{early: 5}, {whole: 5}, {none: 5}} {
		if p := (place{turnout: t0}); !pinned(&p, 4) || pinned(&p, 5) {
			t.Errorf("%d: a place is to be kept for as long as it holds that its accounts asked together", i)
		}
	}
}

// TestNobodyIsTogether where there is no opening, where it gives no points, of visitors without an
// account, and of those that are vouched for.
func TestNobodyIsTogether(t *testing.T) {
	for name, change := range map[string]func(*rules.Sale, *gate.Facts){
		"without an opening": func(s *rules.Sale, _ *gate.Facts) { s.Opens = time.Time{} },
		"without points":     func(s *rules.Sale, _ *gate.Facts) { s.Behaviour.Together = 0 },
		"of visitors":        func(_ *rules.Sale, f *gate.Facts) { f.Account = "v:" + f.Account },
		"of who has solved":  func(s *rules.Sale, f *gate.Facts) { f.Cleared.At = s.Opens.Add(-time.Second) },
	} {
		s, p := opening(t)
		at := s.sale.Opens.Add(10 * time.Millisecond)
		for i := range 30 {
			s.now = at
			f := s.facts(fmt.Sprint("c:", i), address(1))
			change(s.sale, f)
			s.g.Admit(t.Context(), f)
			if p.seen.Together != 0 {
				t.Fatalf("%s %d are seen together", name, p.seen.Together)
			}
		}
	}
}

// TestWhoIsVouchedForIsNotCounted, and not held to what others there did.
func TestWhoIsVouchedForIsNotCounted(t *testing.T) {
	s, p := opening(t)
	s.now = s.sale.Opens.Add(10 * time.Millisecond)
	ask := func(account string, cleared bool) int {
		f := s.facts(account, address(1))
		if cleared {
			f.Cleared.At = s.sale.Opens.Add(-time.Second)
		}
		s.g.Admit(t.Context(), f)
		return p.seen.Together
	}
	for i := range 30 {
		ask(fmt.Sprint("c:cleared", i), true)
	}
	for i := range 4 {
		if n, want := ask(fmt.Sprint("c:bot", i), false), map[bool]int{true: 4}[i == 3]; n != want {
			t.Errorf("bot %d, beside thirty that are cleared, is seen with %d, want %d", i, n, want)
		}
	}
	if n := ask("c:another", true); n != 0 {
		t.Errorf("who has solved a challenge is seen with %d bots", n)
	}
}

// TestLookingAgainAndAgainIsOne who looked.
func TestLookingAgainAndAgainIsOne(t *testing.T) {
	s, p := opening(t)
	for range 1000 {
		s.looks("c:0", address(1))
	}
	for i := range 6 {
		s.asks(p, fmt.Sprint("c:", i), address(1), 10*time.Millisecond)
	}
	if p.seen.Together != 5 { // those that never looked
		t.Errorf("beside one that looked a thousand times five are seen as %d", p.seen.Together)
	}
}

// TestElsewhere: another network of the same version of IP than before, with this request.
func TestElsewhere(t *testing.T) {
	s, p := opening(t)
	six := func(n byte) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, n, 15: 1}) }
	ask := func(account string, at netip.Addr, want bool) {
		t.Helper()
		if s.asks(p, account, at, time.Second); p.seen.Elsewhere != want {
			t.Errorf("%s from %v is elsewhere: %v, want %v", account, at, p.seen.Elsewhere, want)
		}
		s.sale.Opens = s.sale.Opens.Add(time.Second) // so that it is not too soon to be counted again
	}
	s.looks("c:a", address(0))
	s.looks("c:a", address(1<<8))
	ask("c:a", address(1), false)
	ask("c:a", address(1<<8), false)
	ask("c:a", address(1<<9), true)
	ask("c:a", address(1<<9), false)
	ask("c:a", six(1), false)
	ask("c:a", six(2), true)
	ask("c:new", address(0), false)
}
