package cheats

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// census is who is where.
type census struct {
	kinds [Kinds][]*Agent
	at    map[netip.Addr][]*Agent
}

func count(c *Crowd) *census {
	s := &census{at: map[netip.Addr][]*Agent{}}
	for _, a := range c.Agents {
		s.kinds[a.Kind] = append(s.kinds[a.Kind], a)
		for _, at := range a.addresses {
			s.at[at] = append(s.at[at], a)
		}
	}
	return s
}

func of(all []*Agent, is func(*Agent) bool) float64 {
	n := 0
	for _, a := range all {
		if is(a) {
			n++
		}
	}
	return share(n, len(all))
}

func TestCrowdsAreSane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		people := rapid.IntRange(4000, 8000).Draw(t, "people")
		c := Draw(rapid.Uint64().Draw(t, "seed"), people)
		s := count(c)
		names, humans := map[string]bool{}, []*Agent(nil)
		for i, a := range c.Agents {
			if a.ID != i || names[a.Account] || len(a.addresses) == 0 {
				t.Fatalf("agent %d is %+v", i, a)
			}
			names[a.Account] = true
			for _, at := range a.addresses {
				if !at.IsGlobalUnicast() || at.IsPrivate() || at.Is4In6() {
					t.Fatalf("%v is nobody's address", at)
				}
			}
			if !a.Kind.Cheat() {
				humans = append(humans, a)
			}
		}
		if len(humans) != people {
			t.Fatalf("%d people, want %d", len(humans), people)
		}
		for k := range Kinds {
			if len(s.kinds[k]) == 0 {
				t.Errorf("nobody is %v", k)
			}
		}
		within := func(what string, got, low, high float64) {
			if got < low || got > high {
				t.Errorf("%s: %.3f, want %.3f to %.3f", what, got, low, high)
			}
		}
		of4 := func(a *Agent) bool { return len(s.at[a.addresses[0]]) > 4 }
		within("people at home who share with more than three", of(s.kinds[Home], of4), 0, .02)
		within("people who share an address and do not", of(s.kinds[Shared], func(a *Agent) bool { return !of4(a) }), 0, .1)
		within("people who never looked", of(humans, func(a *Agent) bool { return len(a.mind.(*person).looks) == 0 }), .005, .1)
		within("people without scripts", of(humans, func(a *Agent) bool { return !a.Script }), 0, .03)
		within("impatient people", share(len(s.kinds[Impatient]), people), .02, .12)
		within("people who come late", of(humans, func(a *Agent) bool { return a.mind.(*person).press > 10*time.Second }), .08, .5)
		for _, a := range s.kinds[Mobile] {
			if len(a.addresses) < 2 || len(a.addresses) > 3 || len(a.moves) == 0 {
				t.Errorf("mobile: %d networks, %d moves", len(a.addresses), len(a.moves))
			}
		}
		within("bots of a ring with addresses to themselves", of(s.kinds[Ring], func(a *Agent) bool {
			return !a.rotates || !slices.ContainsFunc(a.addresses, func(at netip.Addr) bool { return len(s.at[at]) > 1 })
		}), 0, .4)
		within("cheats that are careful and share an address with another", of(s.kinds[Careful], func(a *Agent) bool { return len(s.at[a.addresses[0]]) > 1 }), 0, .2)
		farms := map[netip.Prefix]int{}
		for _, a := range s.kinds[Farm] {
			farms[netip.PrefixFrom(a.addresses[0], 24).Masked()]++
		}
		if len(farms) > 4 {
			t.Errorf("farms in %d networks, want at most four", len(farms))
		}
		within("units", float64(c.Units)/float64(people), .01, .11)
	})
}

func TestHandsAreHuman(t *testing.T) {
	d := newDice(1, 1)
	var all []time.Duration
	for range 20000 {
		all = append(all, d.reaction())
	}
	slices.Sort(all)
	for _, q := range []struct {
		at        float64
		low, high time.Duration
	}{{0, 160 * time.Millisecond, 250 * time.Millisecond}, {.5, 600 * time.Millisecond, 700 * time.Millisecond}, {.99, 2 * time.Second, 4 * time.Second}} {
		if got := all[int(q.at*float64(len(all)))]; got < q.low || got > q.high {
			t.Errorf("quantile %v of reactions is %v, want %v to %v", q.at, got, q.low, q.high)
		}
	}
}

// TestNoTwoCrowdsAreAlike: what could be a threshold's answer must move.
func TestNoTwoCrowdsAreAlike(t *testing.T) {
	seen := map[Kind]map[int]bool{}
	for seed := range uint64(8) {
		s := count(Draw(seed, 2000))
		for _, k := range []Kind{Shared, Mobile, Impatient, Flood, Farm, Ring, Kiddie, Careful} {
			if seen[k] == nil {
				seen[k] = map[int]bool{}
			}
			seen[k][len(s.kinds[k])] = true
		}
	}
	for k, sizes := range seen {
		if len(sizes) < 3 {
			t.Errorf("%v: eight crowds had %d sizes", k, len(sizes))
		}
	}
}

func TestEngineMakesOthersWait(t *testing.T) {
	e := newEngine(2, 10)
	var got []time.Duration
	for range 5 {
		got = append(got, e.run(10, time.Second))
	}
	if want := []time.Duration{2e9, 2e9, 3e9, 3e9, 4e9}; !slices.Equal(got, want) {
		t.Errorf("five tasks on two cores end at %v, want %v", got, want)
	}
}
