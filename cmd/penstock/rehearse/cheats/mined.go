package cheats

import (
	"encoding/json"
	"io"
	"time"

	"penstock/proxy/gate"
)

// For judging what is mined: the decisions of a play as the gateway logs them, and
// verdicts of whoever has read them.

// Log returns a Tell that writes each decision to w as a line of the decision log. The
// first error is kept in *failed, and nothing is written after it.
func Log(w io.Writer, failed *error) Tell {
	out := json.NewEncoder(w)
	return func(d *gate.Decision, at time.Duration, _ *Agent) {
		if *failed != nil {
			return
		}
		l := line{
			T: d.Facts.At.UnixMicro(), Sale: d.Facts.Sale.Name, Account: d.Facts.Account, IP: d.Facts.IP.String(),
			Step: stepNames[d.Step], Reason: d.Reason.String(), Since: at.Milliseconds(), Won: d.Won,
		}
		if d.Would != gate.Unset {
			l.Would = d.Would.String()
		}
		*failed = out.Encode(&l)
	}
}

// line is one of the log, its fields in this order.
type line struct {
	T       int64  `json:"t"`
	Sale    string `json:"sale"`
	Account string `json:"acct,omitempty"`
	IP      string `json:"ip"`
	Step    string `json:"step"`
	Reason  string `json:"reason"`
	Since   int64  `json:"o,omitempty"`
	Would   string `json:"would,omitempty"`
	Won     bool   `json:"won,omitempty"`
}

var stepNames = [...]string{gate.Buys: "buy", gate.Orders: "order", gate.Looks: "look"}

// Labels are who everybody is, by account as it stands in the log.
func (c *Crowd) Labels() map[string]Kind {
	m := make(map[string]Kind, len(c.Agents))
	for _, a := range c.Agents {
		m[a.Account] = a.Kind
	}
	return m
}

// Mined is the result with a miner's scores instead of those of the gates: an account is
// caught if it scores at least as much as caught says. Whom it does not name scores 0.
func (r *Result) Mined(scores map[string]float64, caught float64) *Result {
	m := &Result{Seed: r.Seed, Units: r.Units, Accounts: make([]Account, len(r.Accounts))}
	for i := range r.Accounts {
		a := &r.Accounts[i]
		s, ok := scores[a.Name]
		m.Accounts[i] = Account{Kind: a.Kind, Name: a.Name, Requests: a.Requests, Asked: a.Asked, Reached: a.Reached, Won: a.Won, Score: s, Banned: ok && s >= caught}
	}
	return m
}
