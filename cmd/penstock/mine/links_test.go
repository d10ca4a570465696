package mine

import (
	"fmt"
	"strings"
	"testing"
)

// scores are what accounts come to, and why.
func scores(t *testing.T, r *Result) map[string]Ranked {
	t.Helper()
	all := map[string]Ranked{}
	err := r.Ranked(t.Context(), 0, 0, func(a *Ranked) error {
		all[a.Name] = Ranked{Score: a.Score, Reasons: a.Reasons}
		return nil
	})
	if err != nil || len(all) != r.Accounts {
		t.Fatalf("%d accounts of %d, %v", len(all), r.Accounts, err)
	}
	return all
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
	for acct, a := range scores(t, r) {
		if (a.Score >= Threshold) != (p.kinds[acct] == "house") {
			t.Errorf("%s: %d: %s", acct, a.Score, a.Reasons)
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
	for acct, a := range scores(t, r) {
		if a.Score >= Threshold {
			t.Errorf("%s: %d: %s", acct, a.Score, a.Reasons)
		}
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
	all := scores(t, mineOf(t, p))
	if a := all["c:ignores"]; a.Score != ignoredPoints || a.Reasons != "ignored 5 challenges" {
		t.Errorf("ignores: %d: %s", a.Score, a.Reasons)
	}
	if a := all["c:solves"]; a.Score != 0 {
		t.Errorf("solves: %d: %s", a.Score, a.Reasons)
	}
}
