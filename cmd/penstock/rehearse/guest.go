package rehearse

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"penstock/cmd/penstock/rehearse/cheats"
	"penstock/cmd/penstock/rehearse/crowd"
	"penstock/limiter/challenge/challengetest"
	"penstock/proxy/gate"
)

// One of a labelled crowd, over HTTP: what the agent decides becomes requests, and what
// the gateway answers becomes what the agent hears.
//
// Proof of work is really done, by this machine, which is faster than most of the crowd:
// the answer is then kept until the agent would have it. Nothing here reads an image: those
// who would type what they see send work as well, when they would have typed it.

// Steps of a guest: indices in its visitor's.
const (
	guestLooks = iota
	guestBuys
	guestSolves
)

const answerPath = "/.penstock/challenge"

// stageTime is how a crowd's time becomes that of a run: the sale opens at lead.
type stageTime struct{ lead, ends time.Duration }

// due is when something is done in the run; ok is false if it is over by then. What would
// be done before the run begins is done in its first half of the lead, in the same order.
func (s stageTime) due(at time.Duration) (due time.Duration, ok bool) {
	due = at + s.lead
	if due < s.lead/2 {
		early := (s.lead/2 - due).Seconds()
		due = time.Duration(float64(s.lead/2) * math.Exp(-early/600))
	}
	return due, due < s.ends
}

// actor is an agent on the stage.
type actor struct {
	*cheats.Agent
	time   stageTime
	result *cheats.Result
	bench  *sync.Mutex   // at which one at a time computes
	puzzle gate.Puzzle   // the last one
	ready  time.Duration // of the run: its answer counts no sooner
	next   []cheats.Action
}

func (a *actor) guest(person int) crowd.Guest {
	return crowd.Guest{Person: person, Account: strings.TrimPrefix(a.Account, "c:"), Next: a.act}
}

// act is the guest's Next.
func (a *actor) act(got *crowd.Told, next []crowd.Deed) []crowd.Deed {
	if got == nil {
		a.next = a.Next(nil, a.next[:0])
	} else {
		a.next = a.Next(a.hear(got), a.next[:0])
	}
	for _, n := range a.next {
		if due, ok := a.time.due(n.At); ok {
			next = append(next, a.deed(n, due))
		}
	}
	return next
}

func (a *actor) deed(n cheats.Action, due time.Duration) crowd.Deed {
	d := crowd.Deed{Due: due, Address: n.From.String()}
	switch n.Step {
	case cheats.Buy:
		d.Step = guestBuys
	case cheats.Solve:
		a.bench.Lock()
		defer a.bench.Unlock()
		d.Step, d.Due = guestSolves, max(due, a.ready)
		d.Body = url.Values{"token": {a.puzzle.Token}, "work": {challengetest.Solve(a.puzzle)}}.Encode()
	}
	return d
}

// hear is what the agent is told.
func (a *actor) hear(got *crowd.Told) *cheats.Answer {
	h := &cheats.Answer{At: got.Outcome.Done - a.time.lead, Reason: reasonOf(got)}
	switch got.Deed.Step {
	case guestLooks:
		return h
	case guestSolves:
		h.Step, h.Reason = cheats.Solve, gate.Admitted // if it was wrong, the next press says so
		return h
	}
	h.Step, h.Won = cheats.Buy, got.Outcome.Kind == crowd.Served
	if got.Answer != nil && got.Answer.HasRetry {
		h.Retry = got.Answer.RetryAfter
	}
	if h.Reason == gate.Challenge {
		h.Puzzle = a.shown(got.Answer.Body)
		a.ready = got.Outcome.Done + a.puzzle.Wait
	}
	a.result.Note(a.Agent, h.Reason, got.Outcome.Sent >= a.time.lead, h.Won)
	return h
}

// reasonOf is the gateway's, or one that comes near to what happened.
func reasonOf(got *crowd.Told) gate.Reason {
	if got.Answer == nil {
		return gate.OriginTimeout
	}
	for _, r := range gate.Reasons() {
		if r.String() == string(got.Answer.Reason) {
			return r
		}
	}
	if got.Answer.Status == http.StatusTooManyRequests {
		return gate.RateLimited
	}
	return gate.Admitted
}

// shown reads a challenge from a refusal's JSON. One that cannot be solved here is one that
// asks for nothing: the next press says again that it is owed.
func (a *actor) shown(body []byte) cheats.Puzzle {
	var said struct {
		Challenge struct {
			Token       string
			Level       uint8
			Seed        string
			Parts, Bits int
			Wait        int64 `json:"wait_ms"`
			Captcha     *struct{}
		}
	}
	if json.Unmarshal(body, &said) != nil {
		return cheats.Puzzle{}
	}
	c := &said.Challenge
	if c.Parts < 0 || c.Parts > mostParts || c.Bits < 0 || c.Bits > mostBits {
		c.Seed = "" // not one of ours, or more than can be done here
	}
	a.puzzle = gate.Puzzle{Token: c.Token, Level: c.Level, Wait: time.Duration(c.Wait) * time.Millisecond, Seed: c.Seed, Parts: c.Parts, Bits: c.Bits}
	return cheats.Puzzle{Parts: c.Parts, Each: math.Exp2(float64(c.Bits)), Captcha: c.Captcha != nil}
}

// What is computed here at most: some ten seconds of one core.
const (
	mostParts = 64
	mostBits  = 20
)
