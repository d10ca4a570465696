package rehearse

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/cmd/penstock/rehearse/cheats"
	"penstock/cmd/penstock/rehearse/crowd"
)

func TestStageTime(t *testing.T) {
	s := stageTime{lead: 10 * time.Second, ends: time.Minute}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Map(rapid.Int64Range(int64(-6*time.Hour), int64(time.Hour)), func(n int64) time.Duration { return time.Duration(n) })
		a, b := at.Draw(t, "a"), at.Draw(t, "b")
		x, ok := s.due(a)
		y, _ := s.due(b)
		switch {
		case x < 0, a < b && x > y:
			t.Errorf("%v and %v are due at %v and %v", a, b, x, y)
		case a >= -5*time.Second && x != a+s.lead:
			t.Errorf("%v is due at %v", a, x)
		case ok != (a+s.lead < s.ends):
			t.Errorf("%v is due at %v: %v", a, x, ok)
		}
	})
}

// TestGuestAnswersAChallenge: with work that is right, and not before it may.
func TestGuestAnswersAChallenge(t *testing.T) {
	c := cheats.Draw(3, 200)
	for _, agent := range c.Agents {
		if agent.Kind != cheats.Home {
			continue
		}
		r := cheats.NewResult(c)
		a := &actor{Agent: agent, time: stageTime{10 * time.Second, time.Hour}, result: r, bench: &sync.Mutex{}}
		var press *crowd.Deed
		for _, d := range a.act(nil, nil) {
			if d.Step == guestBuys {
				press = &d
			}
		}
		if press == nil {
			t.Fatalf("%s does not come to buy", a.Account)
		}
		body := `{"reason":"challenge","challenge":{"token":"T","level":1,"seed":"s","parts":3,"bits":6,"wait_ms":60000,"captcha":{"image":"/i"}}}`
		told := func(d crowd.Deed, reason, body string, kind crowd.Kind) []crowd.Deed {
			return a.act(&crowd.Told{Deed: d, Outcome: &crowd.Outcome{Sent: d.Due, Done: d.Due, Kind: kind}, Answer: &crowd.Answer{Status: 403, Reason: []byte(reason), Body: []byte(body)}}, nil)
		}
		solve := told(*press, "challenge", body, crowd.Refused)
		if len(solve) == 0 {
			continue // put off by it: some are
		}
		if d := solve[0]; d.Step != guestSolves || d.Due < press.Due+time.Minute {
			t.Fatalf("having pressed at %v: %+v, want an answer a minute later", press.Due, d)
		}
		form, err := url.ParseQuery(solve[0].Body)
		if err != nil || form.Get("token") != "T" {
			t.Fatalf("answered %q", solve[0].Body)
		}
		for i, n := range strings.Split(form.Get("work"), ",") {
			if sum := sha256.Sum256(fmt.Appendf(nil, "s:%d:%s", i, n)); bits.LeadingZeros8(sum[0]) < 6 || i > 2 {
				t.Errorf("part %d is %s, which is no work", i, n)
			}
		}
		again := told(solve[0], "", "", crowd.Served)
		if len(again) == 0 || again[0].Step != guestBuys {
			t.Fatalf("after the answer: %+v, want another press", again)
		}
		told(again[0], "admitted", "", crowd.Served)
		if x := r.Accounts[agent.ID]; !x.Won || !x.Challenged || !x.Reached || x.WronglyRefused() || x.Requests != 2 {
			t.Errorf("noted %+v", x)
		}
		return
	}
	t.Fatal("nobody answered")
}

func TestChallengesThatAreNoneAskForNothing(t *testing.T) {
	for _, body := range []string{"", "{", `{"challenge":7}`, `{"challenge":{"seed":"s","parts":65,"bits":4}}`, `{"challenge":{"seed":"s","parts":1,"bits":60}}`, `{"challenge":{"seed":"s","parts":-1,"bits":-1}}`} {
		a := &actor{bench: &sync.Mutex{}, Agent: &cheats.Agent{}}
		a.shown([]byte(body))
		if a.puzzle.Seed != "" {
			t.Errorf("%s: %+v is worked at", body, a.puzzle)
		}
	}
}
