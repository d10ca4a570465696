package stock

// What is done to ledgers beside taking and settling units: loading, operators' work,
// and getting over lost data.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Office is the part of a Store that no request waits for.
type Office interface {
	// Inspect looks, once at the start, at how the store is set up. An error: it is not
	// fit to keep stock. A warning: something that operators should know and may want.
	Inspect(ctx context.Context) (warnings []string, err error)

	// Load makes the ledger known, with these units (at least 0) by item and these terms,
	// if it is not known or archived. If it is known nothing changes. What is there then
	// is returned in either case, and whether it was loaded now.
	Load(ctx context.Context, l Loading) (p Picture, fresh bool, err error)

	// SetTerms gives a ledger other terms. Deadlines that run already stay.
	SetTerms(ctx context.Context, ledger string, t Terms) error

	// SetState opens, pauses or closes a ledger. It stops Decide from reserving; what has
	// been reserved may be started and settled.
	SetState(ctx context.Context, ledger string, s State) error

	// Adjust adds units of an item, which may be new to the ledger, or withdraws free
	// ones. A token's second call changes nothing and finds the counts as they are. It
	// fails with ErrTooFew where fewer are free, or the item is not there to withdraw.
	Adjust(ctx context.Context, a Adjustment) (Counts, error)

	// Entries finds tokens, in no order: one by token or by the shop's reference, or else
	// a page of all. next, if not "", is the cursor of the next page. A token may be on
	// two pages if the ledger changes meanwhile; one that was there all the time is on one
	// at least. Cancelled tokens are found by token only.
	Entries(ctx context.Context, q Query) (found []Entry, next string, err error)

	// Archive forgets a ledger of which no token is open, else it fails with
	// ErrOpenTokens. That it was archived is remembered, until it is loaded anew.
	Archive(ctx context.Context, ledger string) error

	// Freeze stops Decide, Start and sweeping. It returns the number of the freeze, which
	// is the one in force if the ledger is frozen already.
	Freeze(ctx context.Context, ledger string) (freeze uint64, err error)

	// Thaw ends a freeze, on an operator's word.
	Thaw(ctx context.Context, ledger string) error

	// Reassert tells a frozen ledger what a gateway knows of it. A token that is not there
	// is put in, one that is there moves on if what is asserted comes later (reserved,
	// sending, held, sold; a cancelled one comes before all of these). A token that was
	// sold but never seen is completed: its account, item and units are known now, and
	// what was counted as oversold for it is not any more. An item that is not there is put
	// in with no units loaded. Units are taken from the free ones, which may fall below
	// zero: then nothing is sold until so many have come back, and it shows how many were
	// lost.
	//
	// With Last the gateway has told all. The freeze ends (thawed) once it is ThawAfter
	// old and every gateway that was alive within AliveFor before it, or since, has told
	// all. Repeating Last asks again. Where the ledger is not frozen by this freeze the
	// call changes nothing and answers thawed.
	Reassert(ctx context.Context, a Assertion) (thawed bool, err error)
}

// How a freeze ends by itself.
const (
	ThawAfter = 2 * time.Second
	AliveFor  = 30 * time.Second
)

// Loading is a ledger as it begins.
type Loading struct {
	Ledger string // not empty
	Items  map[string]int
	Terms  Terms
	Frozen bool // frozen from the start: gateways may know of units that are gone
}

// Check keeps out what would bend the counts.
func (l *Loading) Check() error {
	if l.Ledger == "" {
		return errors.New("load ledger: it has no name")
	}
	for item, units := range l.Items {
		if units < 0 {
			return fmt.Errorf("load ledger %q: item %q has %d units", l.Ledger, item, units)
		}
	}
	return nil
}

// Terms are a ledger's rules. They live in the store, so that all gateways go by the
// same ones.
type Terms struct {
	PerAccount   int           // units, over all items
	ReserveFor   time.Duration // until start
	SendingFor   time.Duration // from start until an unanswered unit counts as held
	Unknown      rules.Unknown // what becomes of held units
	UnknownAfter time.Duration // Release: until they are free; Resolve: between two questions
	Steps        bool          // the order is placed by a later request than the one that reserves
}

// State is whether units can be taken.
type State byte

// The states of a ledger, and their letters in both stores.
const (
	Open   State = 'O'
	Paused State = 'P'
	Closed State = 'C'
)

// Adjustment adds units, or withdraws them.
type Adjustment struct {
	Ledger string
	Token  gate.Token // new for every adjustment
	Item   string
	Add    int // of these two one is above zero, the other zero
	Remove int
}

// Query says which tokens to find.
type Query struct {
	Ledger string
	Token  gate.Token // this one
	Ref    string     // or the one with this reference
	Cursor string     // or a page of all: "" for the first
}

// Entry is what a ledger knows of one token.
type Entry struct {
	Token   gate.Token
	By      gate.Token // the Launch that has sent it; zero: none has
	State   Stage
	Account string // "": cancelled before it was seen
	Item    string
	Units   int
	Over    int       // units sold that were not there
	Due     time.Time // zero: none
	Changed time.Time
	Ref     string
}

// Stage is where a token is on its way.
type Stage byte

// The stages of a token, and their letters in both stores.
const (
	Reserved  Stage = 'R'
	Sending   Stage = 'S'
	Held      Stage = 'H'
	Sold      Stage = 'B'
	Cancelled Stage = 'X'
	Adjusted  Stage = 'A' // the token of an Adjustment; found by nobody
)

// Open reports whether the token has units whose fate is not known yet.
func (s Stage) Open() bool { return s == Reserved || s == Sending || s == Held }

// String is the word used in answers of the API.
func (s Stage) String() string {
	switch s {
	case Reserved:
		return "reserved"
	case Sending:
		return "sending"
	case Held:
		return "held"
	case Sold:
		return "sold"
	}
	return "cancelled"
}

// Assertion is what a gateway knows that a frozen ledger may have lost.
type Assertion struct {
	Ledger  string
	Gateway string
	Freeze  uint64
	Entries []Entry // at most SweepLimit
	Last    bool
}
