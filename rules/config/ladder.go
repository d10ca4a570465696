package config

// What makes somebody a suspect, and what becomes of suspects. A step that needs what the
// sale does not have is a fault where it is written, and is left out where it is only a
// default: so a ladder alone observes and bans, and one with a challenge asks first.

import (
	"cmp"
	"time"

	"penstock/rules"
)

// What steps and points may be.
const (
	mostSteps  = 1_000_000
	mostPoints = 100 // a score is never above it
	slowest    = time.Minute
)

// ladder reads a sale's; nil: nobody climbs.
func ladder(sale value) *rules.Ladder {
	v := sale.at("ladder")
	if v.node == nil {
		return nil
	}
	var ask, points kind
	if !sale.at("challenge").given {
		ask = noChallenge
	}
	if !sale.at("behaviour").given {
		points = noBehaviour
	}
	steps := func(name string, most int, observe, challenge, ban kind) rules.Steps {
		at := v.at(name)
		s := rules.Steps{Observe: at.at("observe").step(most, observe), Ban: at.at("ban").step(most, ban)}
		if at.key.kid("challenge") != nil {
			s.Challenge = at.at("challenge").step(most, challenge)
		}
		at.rising(s)
		return s
	}
	return &rules.Ladder{
		Strikes:   steps("strikes", mostSteps, 0, ask, 0),
		Accounts:  steps("accounts_per_address", mostSteps, 0, ask, ask),
		Network:   steps("accounts_per_network", mostSteps, 0, ask, ask),
		Addresses: steps("addresses_per_account", mostSteps, 0, ask, 0),
		Ignored:   steps("ignored_challenges", mostSteps, ask, ask, ask),
		Score:     steps("score", mostPoints, points, cmp.Or(points, ask), points),
		Window:    v.at("window").duration(time.Second),
		For:       v.at("for").duration(time.Second),
		Enforce:   v.at("enforce").boolean(),
	}
}

// step reads one. It is 0 where lacks says what the sale would have to have for it.
func (v value) step(most int, lacks kind) int {
	n := v.integer(0, most)
	if lacks == 0 || n == 0 {
		return n
	}
	if v.given {
		v.fault(lacks)
	}
	return 0
}

// rising tells of a step that is not above the one before it, also if one of them is a
// default: which of the two was meant is not known here.
func (v value) rising(s rules.Steps) {
	last, name := 0, ""
	for _, step := range []struct {
		name string
		n    int
	}{{"observe", s.Observe}, {"challenge", s.Challenge}, {"ban", s.Ban}} {
		if step.n == 0 {
			continue
		}
		if step.n <= last {
			v.at(step.name).fault(notRising, step.n, name, last)
		}
		last, name = step.n, step.name
	}
}

// behaviour reads what an account's requests tell of it; nil: nobody is scored.
func behaviour(sale value) *rules.Behaviour {
	v := sale.at("behaviour")
	if v.given && !sale.at("ladder").given {
		v.fault(noLadder)
	}
	if v.node == nil {
		return nil
	}
	points := func(name string) int { return v.at(name).integer(0, mostPoints) }
	b := &rules.Behaviour{
		Page:     v.at("page").pattern(),
		Reaction: points("reaction"),
		Fastest:  v.at("fastest").duration(shortest),
		Regular:  points("regular"),
		NoPage:   points("no_page"),
		Shared:   points("shared"),
		Together: points("together"),
		Moved:    points("moved"),
		Ring:     points("ring"),
		Enforce:  v.at("enforce").boolean(),
	}
	if b.Fastest > slowest {
		v.at("fastest").fault(tooMuch, spell(b.Fastest), "any person takes", spell(slowest))
	}
	if !v.at("page").given {
		for i, points := range []*int{&b.NoPage, &b.Together, &b.Moved} {
			if key := v.at([]string{"no_page", "together", "moved"}[i]); *points > 0 && key.given {
				key.fault(noPage)
			}
			*points = 0
		}
	}
	if sum(b) == 0 {
		v.fault(noPoints)
	}
	return b
}

// sum is the points of an account that does everything it gets points for.
func sum(b *rules.Behaviour) int {
	return b.Reaction + b.Regular + b.NoPage + b.Shared + b.Together + b.Moved + b.Ring
}
