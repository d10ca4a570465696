package cheats

import (
	"bytes"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/rules"
)

// tiny is a crowd small enough to be judged by hand.
func tiny() *Result {
	return &Result{Seed: 1, Units: 4, Accounts: []Account{
		{Kind: Home, Name: "c:a", Requests: 1, Asked: 1, Reached: true, Won: true, Score: 1},
		{Kind: Home, Name: "c:b", Requests: 2, Asked: 2, Kept: true, Challenged: true, Reached: true, Score: 5},
		{Kind: Shared, Name: "c:c", Requests: 3, Asked: 3, Kept: true, Banned: true, Score: 3},   // wrongly refused
		{Kind: Impatient, Name: "c:d", Requests: 4, Asked: 4, Kept: true, Score: 2},              // wrongly refused: rate
		{Kind: Mobile, Name: "c:e", Requests: 1},                                                 // before the opening only
		{Kind: Farm, Name: "c:f", Requests: 5, Asked: 4, Kept: true, Banned: true, Score: 4},     //
		{Kind: Farm, Name: "c:g", Requests: 5, Asked: 5, Reached: true, Won: true, Score: 3},     //
		{Kind: Flood, Name: "c:h", Requests: 9, Asked: 9, Won: true, Rung: rules.RungChallenge},  // caught later
		{Kind: Ring, Name: "c:i", Requests: 1, Asked: 1, Reached: true, Rung: rules.RungObserve}, // not caught
	}}
}

func TestJudgeByHand(t *testing.T) {
	j := Judge(tiny())
	same := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	same("wrongly refused", j.Refused(), 2./4)
	same("challenged", j.Challenged(), 1./4)
	same("loot", j.Loot(), 2./3)
	same("the farm's loot", j.Loots(Farm), 1./3)
	same("the farm's recall", j.Kinds[Farm].Recall, 1./2)
	same("the farm's precision", j.Kinds[Farm].Precision, 1./3)
	same("the flood's recall", j.Kinds[Flood].Recall, 1)
	same("the ring's recall", j.Kinds[Ring].Recall, 0)
	same("all precision", j.Cheats.Precision, 2./4)
	// people have 0 1 2 3 5: 4 is above four of them, 3 above three and a half
	same("the farm's AUC", j.Kinds[Farm].AUC, 7.5/10)
	same("the flood's AUC", j.Kinds[Flood].AUC, .5/5)
	if j.People.Requests != 11 || j.Cheats.Requests != 20 || j.People.Asked != 4 || j.Kinds[Kiddie].Accounts != 0 {
		t.Errorf("counted %+v and %+v", j.People, j.Cheats)
	}
}

func TestMinedVerdicts(t *testing.T) {
	j := Judge(tiny().Mined(map[string]float64{"c:f": .9, "c:g": .8, "c:h": .3, "c:b": .85, "c:nobody": 1}, .8))
	if f := &j.Kinds[Farm]; f.Recall != 1 || f.Precision != 2./3 || f.AUC != (5+4)/10. || j.Kinds[Flood].Recall != 0 || j.Loot() != 2./3 {
		t.Errorf("mined %+v", f)
	}
}

func TestAUCIsTheChanceThatACheatScoresHigher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 6), func(n int) float64 { return float64(n) }), 1, 30)
		cheats, people := some.Draw(t, "cheats"), some.Draw(t, "people")
		want := 0.0
		for _, c := range cheats {
			for _, p := range people {
				if c > p {
					want++
				} else if c == p {
					want += .5
				}
			}
		}
		want /= float64(len(cheats) * len(people))
		if got := auc(cheats, people); math.Abs(got-want) > 1e-9 {
			t.Fatalf("AUC is %v, want %v", got, want)
		}
	})
}

// TestPooledAUC: two crowds as one, against the same without pools.
func TestPooledAUC(t *testing.T) {
	one, two := Judge(tiny()), Judge(&Result{Accounts: []Account{{Kind: Home, Score: 4.5}, {Kind: Farm, Score: 2.5}}})
	// people have 0 1 2 3 4.5 5: 4 is above four of them, 3 above three and a half, 2.5 above three
	if got, want := pooled(Farm, []*Judgement{one, two}), (4+3.5+3)/18; math.Abs(got-want) > 1e-9 {
		t.Errorf("the AUC over both crowds is %v, want %v", got, want)
	}
}

func TestLogLine(t *testing.T) {
	var b bytes.Buffer
	var failed error
	tell := Log(&b, &failed)
	s := &rules.Sale{Name: "phone"}
	f := &gate.Facts{At: time.UnixMicro(1764288000123456), Sale: s, Account: "c:alice", IP: netip.MustParseAddr("192.0.2.7")}
	tell(&gate.Decision{Facts: f, Reason: gate.SoldOut, Would: gate.Challenge, Won: true}, 152*time.Millisecond, nil)
	tell(&gate.Decision{Facts: f, Step: gate.Looks, Reason: gate.Admitted}, -1500*time.Millisecond, nil)
	want := `{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"sold_out","o":152,"would":"challenge","won":true}
{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"look","reason":"admitted","o":-1500}
`
	if failed != nil || b.String() != want {
		t.Errorf("wrote %v\n%swant\n%s", failed, b.String(), want)
	}
}

func TestTableNamesEveryKind(t *testing.T) {
	j := Judge(tiny())
	text := Table(j, j)
	for k := range Kinds {
		if !strings.Contains(text, "\n"+k.String()+" ") {
			t.Errorf("%v is missing in\n%s", k, text)
		}
	}
	if want := "Of 4 people who asked, 50.00 % were wrongly refused and 25.00 % challenged. Of 3 units sold, cheats took 66.67 %; without protection 66.67 %."; !strings.Contains(text, want) {
		t.Errorf("want %q in\n%s", want, text)
	}
}
