package mine

import (
	"fmt"
	"strings"
	"testing"
)

// score is what an account comes to.
func score(t *testing.T, r *Result, name string) (score int, why string) {
	t.Helper()
	found := false
	r.Ranked(t.Context(), 0, 0, func(a *Ranked) error {
		if a.Name == name {
			score, why, found = a.Score, a.Reasons, true
		}
		return nil
	})
	if !found {
		t.Fatalf("%s is not ranked", name)
	}
	return score, why
}

func mineOf(t *testing.T, p *people) *Result {
	t.Helper()
	return mined(t, strings.Join(p.lines(), "\n"), Options{Workers: 2})
}

// TestOneRingAmongPeopleOfOneAddress: bots in an office's or a phone network's crowd do not
// draw the others in.
func TestOneRingAmongPeopleOfOneAddress(t *testing.T) {
	p := newPeople(5, "phone")
	p.honest(300, 60, 0, 0)
	p.house("house", 60, "192.0.2.7") // the office's
	r := mineOf(t, p)
	for acct, kind := range p.kinds {
		if s, why := score(t, r, acct); (s >= Threshold) != (kind == "house") {
			t.Errorf("%s: %d: %s", acct, s, why)
		}
	}
}

// TestEveryoneBehindOneAddress: a proxy that hides all addresses makes nobody a cheat.
func TestEveryoneBehindOneAddress(t *testing.T) {
	p := newPeople(6, "phone")
	p.honest(0, 0, 3000, 0)
	if r := mineOf(t, p); len(r.Rings) > 0 {
		t.Errorf("rings %v", r.Rings)
	}
}

// TestAPageThatPressesAtTheOpening for everybody is no ring of anybody.
func TestAPageThatPressesAtTheOpening(t *testing.T) {
	p := newPeople(7, "phone")
	for i := range 600 {
		acct, ip := fmt.Sprintf("c:%d", i), fmt.Sprintf("10.0.%d.1", i/40)
		p.kinds[acct] = "person"
		p.look(acct, ip, opening-p.ms(500, 300_000))
		t := opening + p.ms(1, 90)
		for range 8 {
			p.ask(acct, ip, t)
			t += 2_000_000 + p.ms(0, 500)
		}
	}
	r := mineOf(t, p)
	if len(r.Rings) > 0 {
		t.Errorf("rings %v", r.Rings)
	}
	for acct := range p.kinds {
		if s, why := score(t, r, acct); s >= Threshold {
			t.Errorf("%s: %d: %s", acct, s, why)
		}
		break
	}
}

// TestFamiliesAndColleaguesAreNoRings though they share an address, or two.
func TestFamiliesAndColleaguesAreNoRings(t *testing.T) {
	p := newPeople(8, "phone")
	for i := range 200 {
		for k := range 5 {
			p.person(fmt.Sprintf("c:%d.%d", i, k), fmt.Sprintf("10.0.%d.1", i), fmt.Sprintf("2001:db8:%x::1", i))
		}
	}
	if r := mineOf(t, p); len(r.Rings) > 0 {
		t.Errorf("rings %v", r.Rings)
	}
}

func TestChallengesIgnoredAndSolved(t *testing.T) {
	p := newPeople(9, "phone")
	for i, said := range []string{"challenge", "challenge", "challenge", "rate_limited", "sold_out", "challenge", "challenge"} {
		t := opening + int64(i+1)*1_500_000 + int64(i*i)*90_000
		for _, acct := range []string{"c:ignores", "c:solves"} {
			reason := said
			if acct == "c:solves" && i == 6 {
				reason = "admitted"
			}
			p.acts = append(p.acts, act{t, p.sale, acct, "10.0.0.1", "buy", reason, ""})
		}
	}
	r := mineOf(t, p)
	if s, why := score(t, r, "c:ignores"); s != ignoredPoints || why != "ignored 5 challenges" {
		t.Errorf("ignores: %d: %s", s, why)
	}
	if s, why := score(t, r, "c:solves"); s != 0 {
		t.Errorf("solves: %d: %s", s, why)
	}
}
