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
// a look at the page; and nobody else is named.
func TestFarmsThatTakeTheirTime(t *testing.T) {
	spread := func(i int) string { return fmt.Sprintf("203.0.113.%d", i%200) }
	for name, c := range map[string]struct {
		looks  bool
		within int
		ip     func(int) string
		why    string
	}{
		"looked, one address": {true, 800, at("203.0.113.7"), "asked first within 360 ms of the opening: more than people do"},
		"looked, a network":   {true, 800, spread, "from 203.0.113.0/24 and asked first within 360 ms of the opening: more than people do"},
		"an office's address": {false, 30_000, at("192.0.2.7"), "at 192.0.2.7 and without a look at the product page"},
		"most of the sale":    {true, 800, func(i int) string { return "203.0.113.7" }, "asked first within 360 ms of the opening: more than people do"},
		"never, a network":    {false, 30_000, spread, "at 203.0.113.0/24 and without a look at the product page"},
	} {
		p := newPeople(11, "phone")
		n := 80
		if p.honest(300, 60, 200, 50); name == "most of the sale" {
			n = 2000
		}
		p.farm("farm", n, c.within, c.looks, c.ip)
		r := mineOf(t, p)
		for acct, a := range scores(t, r) {
			if (a.Score >= Threshold) != (p.kinds[acct] == "farm") {
				t.Errorf("%s: %s: %d: %s", name, acct, a.Score, a.Reasons)
			}
			if p.kinds[acct] == "farm" && !strings.Contains(a.Reasons, c.why) {
				t.Errorf("%s: %s is named for %q", name, acct, a.Reasons)
			}
		}
		if len(r.Rings) != 1 || r.Rings[0].Accounts != n || r.Rings[0].Soon != c.looks || r.Rings[0].Bare == c.looks {
			t.Errorf("%s: rings %v", name, r.Rings)
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

// TestOfNoFarm: who looked at work and asks from home, a family that never looks, and who asked
// only before the opening.
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
	for i := range 6 {
		p.ask(fmt.Sprint("c:family", i), "198.18.5.1", opening+p.ms(1000, 60_000))
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
		"c:near, 300 ms": {"198.18.0.2", 300_000}, "c:moved, 600 ms": {"198.18.1.1", 600_000}, "c:moved, early": {"198.18.1.1", -1_000_000},
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
	nearly, moved := "asked 300 ms after the opening, as few people do", "asked %d ms after the opening, from another network than before"
	for acct, want := range map[string]string{
		"c:stays, 300 ms": nearly, "c:near, 300 ms": nearly, "c:moved, 300 ms": fmt.Sprintf(moved, 300) + "; " + nearly,
		"c:moved, 500 ms": fmt.Sprintf(moved, 500), "c:moved, 600 ms": "", "c:moved, early": "", "c:restless": "",
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
