package admin

// What the API speaks of. These are plain values with the names they have in JSON; the
// command line reads the same ones.

import (
	"context"
	"time"
)

// Sales does what the API is asked for. Trouble that is the asker's is a *Problem; any
// other error is answered as the store's.
type Sales interface {
	// Sales shows every sale that has stock, in the order of the file.
	Sales(context.Context) ([]Sale, error)

	// Tokens is a page of a sale's tokens.
	Tokens(ctx context.Context, sale string, s Search) (Page, error)

	// Do does one of Actions.
	Do(ctx context.Context, sale, action string, c Command) (Done, error)

	// Audit compares, and with Apply settles held tokens, telling each.
	Audit(ctx context.Context, sale string, c Command, settled func(what string, err error)) (Report, error)
}

// Actions are what can be done to a sale, beside the audit.
var Actions = []string{
	"pause", "resume", "close", "open", "archive", "load", "thaw", "add", "withdraw", "commit", "release",
}

// Problem is what is wrong with a request, and its HTTP status.
type Problem struct {
	Status int
	Text   string
}

// Error is the text.
func (p *Problem) Error() string { return p.Text }

// Change is one change that was tried.
type Change struct {
	By, Why      string
	Sale, Action string
	What         string // in words
	Err          error  // it was not done, or nobody knows
}

// Sale is one sale as the store has it.
type Sale struct {
	Name        string   `json:"name"`
	Ledger      string   `json:"ledger"`
	Loaded      bool     `json:"loaded"` // the store knows it
	Archived    bool     `json:"archived,omitempty"`
	State       string   `json:"state,omitempty"` // open, paused or closed
	Frozen      bool     `json:"frozen"`
	Oversold    int      `json:"oversold"`
	Items       []Item   `json:"items"`
	Terms       *Terms   `json:"terms,omitempty"` // in force
	Differences []string `json:"differences"`     // to the file
}

// Item is the units of one item, by state.
type Item struct {
	Name      string `json:"name"`
	Loaded    int    `json:"loaded"`
	Free      int    `json:"free"`
	Reserved  int    `json:"reserved"`
	Sending   int    `json:"sending"`
	Held      int    `json:"held"`
	Sold      int    `json:"sold"`
	Withdrawn int    `json:"withdrawn"`
	Latched   bool   `json:"latched"` // this gateway refuses without asking the store
}

// Terms are a sale's rules.
type Terms struct {
	Hash       string `json:"hash"`
	PerAccount int    `json:"per_account"`
	ReserveFor string `json:"reserve_for"`
	SendingFor string `json:"sending_for"`
	Unknown    string `json:"unknown"`
	Steps      bool   `json:"steps"`
}

// Search says which tokens to find.
type Search struct {
	Token, Ref, Account string
	Stage               string // reserved, sending, held or sold; "": open ones, or all of an account; "all"
	Cursor              string
}

// Page is some of the tokens. With Next there are more, also if it is empty.
type Page struct {
	Tokens []Token `json:"tokens"`
	Next   string  `json:"next,omitempty"`
}

// Token is one token.
type Token struct {
	Token   string     `json:"token"`
	By      string     `json:"by,omitempty"` // the request that placed its order
	Stage   string     `json:"stage"`
	Account string     `json:"account"`
	Item    string     `json:"item"`
	Units   int        `json:"units"`
	Over    int        `json:"over,omitempty"` // units sold that were not there
	Due     *time.Time `json:"due,omitempty"`
	Changed time.Time  `json:"changed"`
	Ref     string     `json:"ref,omitempty"`
}

// Command is the body of a POST. Changes need By and Why.
type Command struct {
	By  string `json:"by"`
	Why string `json:"why"`

	Item  string `json:"item,omitempty"`
	Units int    `json:"units,omitempty"` // to add or withdraw
	Token string `json:"token,omitempty"` // to commit or release; or names an adjustment, so that it may be repeated
	Ref   string `json:"ref,omitempty"`

	Orders      string `json:"orders,omitempty"`       // CSV
	Window      string `json:"window,omitempty"`       // around the time of an order: "10m"
	FreeMissing string `json:"free_missing,omitempty"` // free held tokens, this old, that are not in the list
	Apply       bool   `json:"apply,omitempty"`        // settle as planned
}

// Done is what an action has done.
type Done struct {
	What  string `json:"what"`
	Sale  *Sale  `json:"sale,omitempty"`
	Token *Token `json:"token,omitempty"`
}

// Report is what an audit found.
type Report struct {
	Sale        Sale         `json:"sale"`
	Tokens      int          `json:"tokens"` // read
	Moving      bool         `json:"moving"` // the ledger never held still, so tokens were not counted again
	Faults      []string     `json:"faults"`
	Orders      int          `json:"orders"`
	Matched     int          `json:"matched"`
	Differences []Difference `json:"differences"`
	Sell        []Token      `json:"sell"` // held tokens that the list would settle
	Free        []Token      `json:"free"`
	NoFree      string       `json:"no_free,omitempty"` // why none would be freed
	Applied     bool         `json:"applied"`
	Settled     int          `json:"settled"`
	Failed      []string     `json:"failed"`
}

// Difference is between the ledger and the list.
type Difference struct {
	Kind    string `json:"kind"`
	Text    string `json:"text"`
	Line    int    `json:"line,omitempty"` // of the list
	Token   string `json:"token,omitempty"`
	Ref     string `json:"ref,omitempty"`
	Account string `json:"account,omitempty"`
	Stage   string `json:"stage,omitempty"` // here
}
