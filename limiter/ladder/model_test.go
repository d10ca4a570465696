package ladder

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/rules"
)

// modelled is one account as the package comment has it: a list of what happened.
type modelled struct {
	strikes, ignored []time.Time
	since            time.Time // of the last ban
	ban, challenge   time.Time // until when
	bans             int
	level            int
	asked            time.Time
}

func (m *modelled) strike(now time.Time, r *rules.Ladder) {
	m.strikes = append(m.strikes, now)
	m.climb(r.Strikes.Rung(len(m.strikes)), now, r)
}

func (m *modelled) ignore(now time.Time, r *rules.Ladder) {
	m.ignored = append(m.ignored, now)
	if len(m.ignored) >= r.Ignored.Ban {
		m.climb(rules.RungBan, now, r)
	}
}

func (m *modelled) climb(rung rules.Rung, now time.Time, r *rules.Ladder) {
	switch rung {
	case rules.RungChallenge:
		if level := min(1+m.bans, 3); m.asked.IsZero() || level > m.level {
			m.level, m.asked = level, now
		}
		m.challenge = now.Add(r.For)
	case rules.RungBan:
		m.since, m.ban, m.strikes, m.ignored = now, now.Add(r.For), nil, nil
		m.bans++
	}
}

// TestModel: the strictest live verdict wins, an end that was said is kept, what is solved before
// something stricter is void, and accounts do not know of each other. All happens within one
// pane: TestWindowForgets is about the others.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sc := &scene{T: t, sale: &rules.Sale{Name: "s", Ladder: steps()}, now: time.Now()}
		sc.sale.Ladder.Window, sc.sale.Ladder.For = 10*365*24*time.Hour, 10*time.Minute
		sc.sale.Ladder.Accounts, sc.sale.Ladder.Addresses = rules.Steps{}, rules.Steps{}
		sc.l = New(Options{Accounts: 256, Addresses: 64})
		sc.g = sc.l.Gate()
		names := []string{"c:a", "c:b", "c:c"}
		models := [3]modelled{}
		for range rapid.IntRange(1, 120).Draw(r, "steps") {
			i := rapid.IntRange(0, 2).Draw(r, "account")
			m, ip := &models[i], address(i)
			banned := m.ban.After(sc.now)
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0, 1:
				sc.told(names[i], ip, gate.RateLimited)
				if !banned {
					m.strike(sc.now, sc.sale.Ladder)
				}
			case 2:
				sc.told(names[i], ip, gate.Challenge)
				if !banned {
					m.ignore(sc.now, sc.sale.Ladder)
				}
			case 3:
				f := sc.facts(names[i], ip)
				sc.now = sc.now.Add(10 * time.Millisecond)
				f.At, f.Cleared.At = sc.now, sc.now
				sc.g.Admit(context.Background(), f)
				sc.now = sc.now.Add(10 * time.Millisecond)
				m.ignored = nil
			case 4:
				sc.now = sc.now.Add(time.Duration(rapid.SampledFrom([]int{1, 60, 599, 600}).Draw(r, "seconds")) * time.Second)
			}
			for i, m := range models {
				check(r, sc, names[i], i, &m)
			}
		}
	})
}

func check(r *rapid.T, sc *scene, name string, i int, m *modelled) {
	v := sc.ask(name, address(i))
	left := max(0, m.ban.Sub(sc.now))
	if (v.Reason == gate.Banned) != (left > 0) || v.Retry != left {
		r.Fatalf("%s is told %v, retry %v, want a ban for %v more", name, v.Reason, v.Retry, left)
	}
	level, since, owed := sc.l.Owes(sc.facts(name, address(i)))
	wantOwed, wantSince, wantLevel := m.challenge.After(sc.now), m.since, 0
	if wantOwed {
		wantLevel = m.level
		if m.asked.After(wantSince) {
			wantSince = m.asked
		}
	}
	if owed != wantOwed || int(level) != wantLevel || !since.Equal(wantSince) {
		r.Fatalf("%s owes %v, level %d, since %v, want %v, %d, %v", name, owed, level, since, wantOwed, wantLevel, wantSince)
	}
}

// TestOrderOfStrangersDoesNotMatter: what happens to several accounts, at one time, leads to the
// same standings in every order.
func TestOrderOfStrangersDoesNotMatter(t *testing.T) {
	type event struct {
		who  int
		what int
	}
	rapid.Check(t, func(r *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) event {
			return event{rapid.IntRange(0, 4).Draw(r, "who"), rapid.IntRange(0, 2).Draw(r, "what")}
		}), 0, 60).Draw(r, "events")
		now := time.Now()
		run := func(events []event) (all [5]Standing) {
			sc := &scene{T: t, sale: &rules.Sale{Name: "s", Ladder: steps()}, now: now}
			sc.sale.Ladder.Accounts = rules.Steps{Challenge: 4}
			sc.sale.Ladder.Ignored, sc.sale.Ladder.Strikes.Ban = rules.Steps{}, 0
			sc.l = New(Options{Accounts: 256, Addresses: 64})
			sc.g = sc.l.Gate()
			for _, e := range events {
				name := string(rune('a' + e.who))
				switch e.what {
				case 0:
					sc.ask(name, address(1))
				case 1:
					sc.told(name, address(1), gate.InFlight)
				default:
					sc.ask(name, address(e.who<<8))
				}
			}
			for i := range all {
				all[i] = sc.l.Stands(sc.facts(string(rune('a'+i)), address(1)))
				all[i].Signals = nil
			}
			return all
		}
		got, want := run(rapid.Permutation(events).Draw(r, "order")), run(events)
		for i := range got {
			if got[i].Rung != want[i].Rung || got[i].By != want[i].By || !got[i].Until.Equal(want[i].Until) {
				r.Fatalf("account %d stands at %+v, in another order at %+v", i, got[i], want[i])
			}
		}
	})
}
