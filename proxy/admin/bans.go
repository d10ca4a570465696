package admin

// The calls about who is kept out: bans by hand, and where somebody stands with a sale.

import (
	"context"
	"net/http"
	"time"
)

// Bans does what the API is asked for about bans, of all sales. Trouble that is the asker's
// is a *Problem.
type Bans interface {
	// Bans shows those in force, also what gateways found by themselves, the latest first.
	Bans(context.Context) ([]Ban, error)

	// AddBan and RemoveBan answer when it is in the store, and in force here.
	AddBan(context.Context, BanCommand) (BanDone, error)
	RemoveBan(context.Context, BanCommand) (BanDone, error)
}

// Ban is one ban.
type Ban struct {
	Subject string     `json:"subject"`         // an account, an address or a network
	Until   *time.Time `json:"until,omitempty"` // nil: it has no end
	At      time.Time  `json:"at"`
	By      string     `json:"by,omitempty"`
	Why     string     `json:"why,omitempty"`
	Signal  string     `json:"signal"` // "by_hand", or what a gateway found
}

// BanCommand is the body of a change of bans. All but the end is needed to remove one, too.
type BanCommand struct {
	By      string     `json:"by"`
	Why     string     `json:"why"`
	Subject string     `json:"subject"`
	For     string     `json:"for,omitempty"`   // "24h", or "ever"; one of For and Until is needed
	Until   *time.Time `json:"until,omitempty"` // RFC 3339
}

// BanDone is what a change has done.
type BanDone struct {
	What string `json:"what"`
	Ban  *Ban   `json:"ban,omitempty"` // as it is, or was
}

// Standings says where somebody stands. Trouble that is the asker's is a *Problem.
type Standings interface {
	// Standing is of an account, an address, or both; one of them may be "".
	Standing(ctx context.Context, sale, account, ip string) (Standing, error)
}

// Standing is where an account or an address stands with a sale, at this gateway, and why.
type Standing struct {
	Sale    string     `json:"sale"`
	Account string     `json:"account,omitempty"`
	IP      string     `json:"ip,omitempty"`
	Rung    string     `json:"rung"`            // "pass", "observe", "challenge" or "ban"
	Until   *time.Time `json:"until,omitempty"` // of the rung; nil: it has no end, or needs none
	Enforce bool       `json:"enforce"`         // false: it is only counted
	Signals []Signal   `json:"signals"`
	Score   int        `json:"score"` // sum of Points
	Points  []Points   `json:"points"`
	Bans    []Ban      `json:"bans"` // that meet them
}

// Signal is one count, and the rung that it alone would lead to.
type Signal struct {
	Signal string     `json:"signal"` // "strikes" and so on
	Of     string     `json:"of"`     // whom it is counted of: the account, address or network
	Count  int        `json:"count"`  // within the window
	Rung   string     `json:"rung"`   // of the count
	Until  *time.Time `json:"until,omitempty"`
}

// Points are a part of an account's score.
type Points struct {
	Points int    `json:"points"`
	Reason string `json:"reason"` // in words
}

func (a *api) listBans(w http.ResponseWriter, r *http.Request) {
	bans, err := a.bans.Bans(r.Context())
	if bans == nil {
		bans = []Ban{}
	}
	answer(w, map[string]any{"bans": bans}, err)
}

// ban serves a change, which is seen through whether or not its asker waits for it.
func (a *api) ban(action string, do func(context.Context, BanCommand) (BanDone, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := http.NewResponseController(w) // fails where there is no connection to set a deadline on
		_ = in.SetReadDeadline(time.Now().Add(apiPatience))
		_ = in.SetWriteDeadline(time.Now().Add(apiPatience))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), apiPatience)
		defer cancel()
		var c BanCommand
		err := read(w, r, maxBody, &c)
		if err == nil {
			err = signed(&c.By, &c.Why)
		}
		if err == nil && c.Subject == "" {
			err = &Problem{http.StatusBadRequest, `"subject" is missing: an account, an address or a network`}
		}
		if err != nil {
			refuse(w, err)
			return
		}
		done, err := do(ctx, c)
		what := done.What
		if what == "" {
			what = c.Subject
		}
		a.changed(Change{By: c.By, Why: c.Why, Action: action, What: what, Err: err})
		answer(w, done, err)
	}
}

func (a *api) standing(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	account, ip := q.Get("account"), q.Get("ip")
	if account == "" && ip == "" {
		refuse(w, &Problem{http.StatusBadRequest, "whose standing? want account=, ip= or both"})
		return
	}
	s, err := a.standings.Standing(r.Context(), r.PathValue("sale"), account, ip)
	answer(w, s, err)
}
