package cheats

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/inflight"
	"penstock/limiter/rate"
	"penstock/limiter/schedule"
	"penstock/proxy/gate"
	"penstock/rules"
)

// opens is later than any clock that a gate could start with.
var opens = time.Date(2090, 1, 2, 20, 0, 0, 0, time.UTC)

// sale is one with the limits that a file has if it says nothing.
func sale() *rules.Sale {
	return &rules.Sale{
		Name: "phone", Opens: opens, Enforce: true,
		Limits: rules.Limits{
			IP:      rules.Limit{Every: 10 * time.Millisecond, Burst: 200, InFlight: 100, Enforce: true},
			Account: rules.Limit{Every: 500 * time.Millisecond, Burst: 4, InFlight: 1, Enforce: true},
		},
		Challenge: &rules.Challenge{Work: 1 << 18, Captcha: true, Clears: time.Hour, Enforce: true},
	}
}

// bare are the gates of a sale that asks nobody who they are.
func bare() Gates {
	return Gates{Before: []gate.Gate{schedule.New(), rate.ByIP(rate.Keys), rate.ByAccount(rate.Keys), inflight.ByIP(), inflight.ByAccount()}}
}

func TestSameSeedSamePlay(t *testing.T) {
	play := func(seed uint64) (*Result, []byte) {
		var log bytes.Buffer
		var failed error
		r := Play(Draw(seed, 1500), sale(), bare(), Shop{Fails: .02}, Log(&log, &failed))
		if failed != nil {
			t.Fatal(failed)
		}
		return r, log.Bytes()
	}
	one, first := play(3)
	two, second := play(3)
	if !reflect.DeepEqual(one, two) || !bytes.Equal(first, second) {
		t.Error("the same seed was played in two ways")
	}
	if _, other := play(4); bytes.Equal(first, other) {
		t.Error("two seeds gave one play")
	}
}

// TestCheatsWinWithoutProtection: else a crowd proves nothing.
func TestCheatsWinWithoutProtection(t *testing.T) {
	sum := 0.0
	const crowds = 12
	for seed := range uint64(crowds) {
		j := Judge(Play(Draw(seed+1, 5000), sale(), bare(), Shop{}, nil))
		sum += j.Loot()
		if fair := share(j.Cheats.Accounts, j.Cheats.Accounts+j.People.Accounts); j.Loot() < 2*fair {
			t.Errorf("seed %d: cheats are %.0f %% of the accounts and took %.0f %% of the units: want at least twice as much", seed+1, 100*fair, 100*j.Loot())
		}
		if j.Refused() > MostRefused {
			t.Errorf("seed %d: loose limits kept %.2f %% of people out", seed+1, 100*j.Refused())
		}
	}
	if sum/crowds < .6 {
		t.Errorf("cheats took %.0f %% of the units on average, want most", 100*sum/crowds)
	}
}

// nosy is a gate that checks how it is used.
type nosy struct {
	t     failer
	held  map[*gate.Facts]bool
	asked int
	last  time.Time
}

type failer interface{ Errorf(string, ...any) }

func (n *nosy) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	n.asked++
	if f.At.Before(n.last) {
		n.t.Errorf("asked at %v after %v", f.At, n.last)
	}
	n.last, n.held[f] = f.At, true
	return gate.Admit
}

func (n *nosy) Release(f *gate.Facts, _ gate.End) {
	if !n.held[f] {
		n.t.Errorf("released what is not held")
	}
	delete(n.held, f)
}

func TestPlayKeepsTheContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Draw(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(20, 400).Draw(t, "people"))
		shop := Shop{Workers: rapid.IntRange(1, 40).Draw(t, "workers"), Fails: rapid.Float64Range(0, .5).Draw(t, "fails")}
		gates := bare()
		n := &nosy{t: t, held: map[*gate.Facts]bool{}}
		gates.Before = append(gates.Before, nil, n)
		sold, buys, last := 0, 0, time.Duration(-1<<62)
		r := Play(c, sale(), gates, shop, func(d *gate.Decision, at time.Duration, a *Agent) {
			if at < last || !d.Facts.At.Equal(opens.Add(at)) && d.Reason != gate.Admitted {
				t.Errorf("decided at %v after %v, facts of %v", at, last, d.Facts.At)
			}
			last = at
			if d.Step == gate.Looks {
				return
			}
			buys++
			if d.Reason == gate.Admitted {
				if d.Facts.At.Before(opens) {
					t.Errorf("%v was sold one at %v", a.Kind, d.Facts.At)
				}
				if d.End.Outcome == rules.OutcomeSold {
					sold++
				}
			}
		})
		won, requests := 0, 0
		for i := range r.Accounts {
			requests += r.Accounts[i].Requests
			if r.Accounts[i].Won {
				won++
			}
		}
		if won != sold || sold > c.Units || requests != buys || len(n.held) != 0 || n.asked == 0 {
			t.Errorf("%d accounts have won, %d of %d units are sold, %d of %d requests noted, %d held at the end, %d asked", won, sold, c.Units, requests, buys, len(n.held), n.asked)
		}
	})
}

// asks is a challenge for those it is meant for.
type asks struct{ whom func(f *gate.Facts) bool }

func (g asks) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if g.whom(f) && f.Cleared.At.IsZero() {
		return gate.Verdict{Reason: gate.Challenge}
	}
	return gate.Admit
}

func (asks) Release(*gate.Facts, gate.End) {}

func TestChallengesAreSolvedByWhoCan(t *testing.T) {
	everyone := func() Gates {
		g := bare()
		g.After = []gate.Gate{asks{func(*gate.Facts) bool { return true }}}
		return g
	}
	s := sale()
	c := Draw(5, 3000)
	c.Units = 1e6 // sold out would hide the challenge
	j := Judge(Play(c, s, everyone(), Shop{Workers: 1e4}, nil))
	if share(j.People.Won, j.People.Accounts) < .9 {
		t.Errorf("%d of %d people came through a challenge that all can solve", j.People.Won, j.People.Accounts)
	}
	if k := &j.Kinds[NoScript]; share(k.Won, k.Accounts) < .8 {
		t.Errorf("%d of %d people without scripts came through an image", k.Won, k.Accounts)
	}
	if k := &j.Kinds[Kiddie]; k.Won > 0 || k.Challenged == 0 {
		t.Errorf("%d of %d challenged kiddies came through", k.Won, k.Challenged)
	}
	s.Challenge.Captcha = false
	c = Draw(5, 3000)
	c.Units = 1e6
	j = Judge(Play(c, s, everyone(), Shop{Workers: 1e4}, nil))
	if k := &j.Kinds[NoScript]; k.Won > 0 || k.WronglyRefused != k.Asked || k.Asked == 0 {
		t.Errorf("without an image %d of %d people without scripts came through, and %d count as wrongly refused", k.Won, k.Asked, k.WronglyRefused)
	}
}

// TestSweepsSeeWhatBecomesKnownLater: of everybody who has asked by then, when they ask no more.
func TestSweepsSeeWhatBecomesKnownLater(t *testing.T) {
	late := sweeps[len(sweeps)-1]
	g := bare()
	g.Score = func(f *gate.Facts) float64 { return map[bool]float64{true: 7}[f.At.Equal(opens.Add(late))] }
	g.Rung = func(f *gate.Facts) rules.Rung {
		return map[bool]rules.Rung{true: rules.RungBan}[f.At.Equal(opens.Add(late))]
	}
	first := map[string]time.Duration{}
	r := Play(Draw(8, 500), sale(), g, Shop{}, func(d *gate.Decision, at time.Duration, a *Agent) {
		if _, known := first[a.Account]; !known && d.Step == gate.Buys {
			first[a.Account] = at
		}
	})
	for i := range r.Accounts {
		a := &r.Accounts[i]
		at, asked := first[a.Name]
		if want := asked && at < late; (a.Score == 7) != want || (a.Rung == rules.RungBan) != want {
			t.Errorf("%v, who first asked at %v, has the score %v and the rung %v", a.Kind, at, a.Score, a.Rung)
		}
	}
}

// oracle is a gate that has seen the labels.
type oracle struct {
	kinds map[string]Kind
	bans  func(k Kind) bool
}

func (o oracle) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if o.bans(o.kinds[f.Account]) {
		return gate.Verdict{Reason: gate.Banned, Retry: time.Hour}
	}
	return gate.Admit
}

func (oracle) Release(*gate.Facts, gate.End) {}

func TestJudgeOfGatesThatAreRightAndWrong(t *testing.T) {
	play := func(bans func(k Kind) bool) *Judgement {
		c := Draw(6, 3000)
		o := oracle{c.Labels(), bans}
		g := bare()
		g.Before = append([]gate.Gate{o}, g.Before...)
		g.Score = func(f *gate.Facts) float64 { return map[bool]float64{true: 1}[bans(o.kinds[f.Account])] }
		return Judge(Play(c, sale(), g, Shop{}, nil))
	}
	without := Judge(Play(Draw(6, 3000), sale(), bare(), Shop{}, nil))
	right := play(Kind.Cheat)
	if f := append(Faults(right, without), Unknown(right)...); f != nil || right.Loot() != 0 || right.Cheats.Precision != 1 || right.Cheats.Recall != 1 || right.Cheats.AUC != 1 {
		t.Errorf("a gate that knows is found fault with: %v, %+v", f, right.Cheats)
	}
	wrong := play(func(k Kind) bool { return !k.Cheat() })
	if f := append(Faults(wrong, without), Unknown(wrong)...); len(f) != 2+int(Careful-Flood) || wrong.Refused() != 1 || wrong.Cheats.AUC != 0 {
		t.Errorf("a gate that bans people only: %v, refused %.2f", f, wrong.Refused())
	}
}
