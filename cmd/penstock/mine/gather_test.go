package mine

import (
	"fmt"
	"strings"
	"testing"
)

// farm is n bots that ask for the first time within a time, with a look before or without.
func (p *people) farm(prefix string, n int, within int, looks bool, ip func(i int) string) {
	for i := range n {
		acct := fmt.Sprintf("c:%s%d", prefix, i)
		p.kinds[acct] = "farm"
		if looks {
			p.look(acct, ip(i), opening-p.ms(2000, 200_000))
		}
		t := opening + p.ms(10, within)
		for range 2 {
			p.ask(acct, ip(i), t)
			t += p.ms(1000, 60_000)
		}
	}
}

func at(ip string) func(int) string { return func(int) string { return ip } }

// TestFarmsThatTakeTheirTime: beside an office at the same address, in a network, with and without
// a look at the page; and nobody else is named. Never to have looked is not enough to be named for.
func TestFarmsThatTakeTheirTime(t *testing.T) {
	spread := func(i int) string { return fmt.Sprintf("203.0.113.%d", i%200) }
	for name, c := range map[string]struct {
		n, within int
		looks     bool
		ip        func(int) string
		why       string
	}{
		"looked, one address": {80, 600, true, at("203.0.113.7"), "asked first within 360 ms of the opening: more than people do"},
		"looked, a network":   {80, 600, true, spread, "from 203.0.113.0/24 and asked first within 360 ms of the opening: more than people do"},
		"looked, an office's": {8, 60, true, at("192.0.2.7"), "8 of them from 192.0.2.7 and asked first within 360 ms of the opening: more than people do"},
		"most of the sale":    {2000, 800, true, at("203.0.113.7"), "asked first within 360 ms of the opening: more than people do"},
		"never, an office's":  {80, 30_000, false, at("192.0.2.7"), "at 192.0.2.7 and without a look at the product page"},
		"never, a network":    {80, 30_000, false, spread, "at 203.0.113.0/24 and without a look at the product page"},
	} {
		p := newPeople(11, "phone")
		p.honest(300, 60, 200, 50)
		for i := 0; c.looks && i < 300; i++ { // a flood, early, at homes: it hides nobody who looked
			acct, ip := fmt.Sprint("c:flood", i), fmt.Sprintf("10.77.%d.1", i)
			p.kinds[acct] = "flood"
			p.ask(acct, ip, opening+p.ms(10, 150))
		}
		p.farm("farm", c.n, c.within, c.looks, c.ip)
		r := mineOf(t, p)
		named := Threshold
		if !c.looks {
			named = bareRing + noPagePoints
		}
		ring := 0
		for acct, a := range scores(t, r) {
			farm := p.kinds[acct] == "farm"
			if strings.Contains(a.Reasons, c.why) && farm {
				ring++
			}
			if p.kinds[acct] == "person" && a.Score >= named || !c.looks && farm && a.Score < named {
				t.Errorf("%s: %s: %d: %s", name, acct, a.Score, a.Reasons)
			}
			if c.looks && farm && a.Score < named && strings.Contains(a.Reasons, c.why) {
				t.Errorf("%s: %s is of the ring, and not named: %d: %s", name, acct, a.Score, a.Reasons)
			}
		}
		if ring != c.n || r.Rings[0].Accounts != c.n || r.Rings[0].Soon != c.looks || r.Rings[0].Bare == c.looks {
			t.Errorf("%s: %d of %d are told to be of a ring; rings %v", name, ring, c.n, r.Rings)
		}
	}
}

// TestAppUsersBehindOneAddress: who uses the shop's app never looks at the page. Most of them are
// at home; where forty are one carrier's, they are a ring, but nobody is named for that.
func TestAppUsersBehindOneAddress(t *testing.T) {
	p := newPeople(18, "phone")
	p.honest(300, 0, 10, 0)
	app := func(acct, ip string) {
		p.kinds[acct] = "person"
		p.ask(acct, ip, opening+p.ms(400, 30_000))
	}
	for i := range 60 {
		app(fmt.Sprint("c:app", i), fmt.Sprintf("10.66.%d.1", i))
	}
	for i := range 40 {
		app(fmt.Sprint("c:carrier", i), "100.64.0.1")
	}
	for acct, a := range scores(t, mineOf(t, p)) {
		if a.Score >= Threshold {
			t.Errorf("%s: %d: %s", acct, a.Score, a.Reasons)
		}
	}
}

// TestWhereFewLook nobody is named for not looking: an app's users, a page that is in no log.
func TestWhereFewLook(t *testing.T) {
	p := newPeople(12, "phone")
	p.honest(200, 60, 300, 0)
	acts := p.acts[:0]
	for _, a := range p.acts {
		if a.step != "look" || len(a.acct)%3 == 0 {
			acts = append(acts, a)
		}
	}
	p.acts = acts
	if r := mineOf(t, p); len(r.Rings) > 0 {
		t.Errorf("rings %v", r.Rings)
	}
}

// TestOfNoFarm: who looked at work and asks from home, an office of nine that never looks, and who
// asked only before the opening.
func TestOfNoFarm(t *testing.T) {
	p := newPeople(15, "phone")
	p.honest(300, 0, 0, 0)
	for i := range 40 {
		acct := fmt.Sprint("c:colleague", i)
		p.look(acct, "198.18.0.1", opening-600_000_000)
		t := opening + 140_000 + int64(i)*4_400
		p.ask(acct, fmt.Sprintf("10.55.%d.1", i), t)
		p.ask(acct, "198.18.0.1", t+30_000) // by the line at work, too
		p.ask(fmt.Sprint("c:before", i), "198.18.9.1", opening-p.ms(2000, 60_000))
	}
	for i := range 9 {
		p.ask(fmt.Sprint("c:office", i), "198.18.5.1", opening+p.ms(1000, 60_000))
	}
	if r := mineOf(t, p); len(r.Rings) > 0 {
		t.Errorf("rings %v", r.Rings)
	}
}

// TestMovedAndNearly: what few people do at the opening, each for itself.
func TestMovedAndNearly(t *testing.T) {
	p := newPeople(13, "phone")
	p.honest(50, 0, 0, 0)
	for acct, c := range map[string]struct {
		from  string
		after int64
	}{
		"c:stays, 300 ms": {"198.18.0.1", 300_000}, "c:moved, 300 ms": {"198.18.1.1", 300_000}, "c:moved, 500 ms": {"198.18.1.1", 500_000},
		"c:near, 300 ms": {"198.18.0.2", 300_000}, "c:IPv6, 300 ms": {"2001:db8::1", 300_000}, "c:moved, 600 ms": {"198.18.1.1", 600_000}, "c:moved, early": {"198.18.1.1", -1_000_000},
	} {
		p.look(acct, "198.18.0.1", opening-60_000_000)
		p.ask(acct, c.from, opening+c.after)
		p.ask(acct, c.from, opening+100_000_000)
	}
	for i := range int64(3) { // presses all the time: one falls behind the opening
		p.look("c:restless", "198.18.3.1", opening-60_000_000)
		p.ask("c:restless", "198.18.3.1", opening-1_200_000+i*i*375_000)
	}
	all := scores(t, mineOf(t, p))
	nearly, moved := "asked 300 ms after the opening, as few people do", "asked within 540 ms of the opening, from another network than before"
	for acct, want := range map[string]string{
		"c:stays, 300 ms": nearly, "c:near, 300 ms": nearly, "c:IPv6, 300 ms": nearly, "c:moved, 300 ms": moved + "; " + nearly,
		"c:moved, 500 ms": moved, "c:moved, 600 ms": "", "c:moved, early": "", "c:restless": "",
	} {
		if a := all[acct]; a.Reasons != want || (a.Score == nearlyPoints+movedPoints) != (acct == "c:moved, 300 ms") {
			t.Errorf("%s: %d: %s", acct, a.Score, a.Reasons)
		}
	}
}

// TestOnceAsAMachineIsNotNearlyAsWell: of two sales the worse counts.
func TestOnceAsAMachineIsNotNearlyAsWell(t *testing.T) {
	p, q := newPeople(16, "phone"), newPeople(17, "console")
	for _, one := range []*people{p, q} {
		one.honest(20, 0, 0, 0)
		one.look("c:a", "198.18.0.1", opening-60_000_000)
	}
	p.ask("c:a", "198.18.0.1", opening+100_000)
	q.ask("c:a", "198.18.0.1", opening+300_000)
	all := scores(t, mined(t, strings.Join(append(p.lines(), q.lines()...), "\n"), Options{Workers: 2}))
	if a := all["c:a"]; a.Score != reactionPoints {
		t.Errorf("%d: %s", a.Score, a.Reasons)
	}
}

func TestBannedByTheGateway(t *testing.T) {
	p := newPeople(14, "phone")
	for acct, times := range map[string]int{"c:once": 1, "c:deaf": 10} {
		p.look(acct, "198.18.0.1", opening-60_000_000)
		for i := range int64(times) {
			p.acts = append(p.acts, act{opening + 3_000_000 + i*i*2_300_000, p.sale, acct, "198.18.0.1", "buy", "banned", ""})
		}
	}
	all := scores(t, mineOf(t, p))
	if a := all["c:once"]; a.Score != bannedPoints || a.Reasons != "refused as banned, 1 times" {
		t.Errorf("once: %d: %s", a.Score, a.Reasons)
	}
	if a := all["c:deaf"]; a.Score != deafPoints || a.Reasons != "refused as banned 10 times, and asked on" {
		t.Errorf("deaf: %d: %s", a.Score, a.Reasons)
	}
}
