package stock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

var (
	// ErrNotLoaded: the store does not know the ledger. It is never loaded on the way:
	// a store that has lost its data must not sell it a second time.
	ErrNotLoaded = errors.New("ledger is not loaded")

	// ErrFrozen: the store has lost some of the ledger's history, so nothing is taken from
	// it and nothing sent until it is whole again, or an operator says so.
	ErrFrozen = errors.New("store has lost data: ledger is frozen")

	// ErrCut: the store shows less of the ledger's history than it did before. The call
	// may have been done, in a history that lacks what others have been told.
	ErrCut = errors.New("store shows less history than before")

	// ErrDamaged: what the store holds of the ledger is not what it has written. No call
	// can mend that, so the ledger should be frozen.
	ErrDamaged = errors.New("store's data are damaged")

	// ErrOversold: an order went through after its unit had been given back, and no
	// unit was free to take again. The order is recorded, and counted as oversold.
	ErrOversold = errors.New("order sold after its unit was given back, and none is left")

	// ErrSold: the token's order went through, so its unit cannot be freed.
	ErrSold = errors.New("order is sold, its unit cannot be freed")

	// ErrTooFew: fewer units are free than shall be withdrawn. Nothing was changed.
	ErrTooFew = errors.New("fewer units are free")

	// ErrOpenTokens: some units are reserved, sending or held. Nothing was changed.
	ErrOpenTokens = errors.New("units are reserved, sending or held")
)

// Store counts the units of ledgers. A ledger is one sale's stock: several items, one
// limit per account over all of them. Of every item
//
//	free + reserved + sending + held + sold + withdrawn = loaded
//
// at every instant, and an account has at most one open token: one that is reserved,
// sending or held. Every call is atomic, also between gateways, and may be repeated: a
// token's second call finds what its first one did. Deadlines are counted by the
// store's own clock, in milliseconds; one of zero has passed at once.
//
// A call about a ledger the store does not know fails with ErrNotLoaded. After any
// other error the call may or may not have been done, unless said otherwise.
type Store interface {
	// Decide reserves the units asked for, or says why not. The first that holds:
	//
	//	ReservationExpired  the token was freed, cancelled, or expired
	//	Admitted            the token has its units already
	//	OrderPending        the account has another open token
	//	AlreadyBought       the account has all that it may have
	//	Limit               it asks for more than is left to it
	//	(ErrFrozen)         the ledger is frozen
	//	Paused, Closed      the ledger is
	//	UnknownItem         the ledger has no such item
	//	SoldOut             fewer units are free than asked for
	//	Admitted            they are reserved now, for Terms.ReserveFor
	//
	// With a.Order it changes nothing, and says with which reservation the account may
	// place its order:
	//
	//	(ErrFrozen)         the ledger is frozen
	//	Admitted            with Decision.Token, which is reserved and not past its deadline
	//	OrderPending        the account's open token is sending or held
	//	ReservationExpired  it is past its deadline
	//	AlreadyBought       the account has no open token, and has bought
	//	ReservationExpired  it has neither; Decision.Stranger: and has never lost a
	//	                    reservation either, since it last bought or took one
	Decide(ctx context.Context, a Ask) (Decision, error)

	// Start is the fence, reserved → sending: no byte may be sent to the origin before
	// it has answered Admitted, and then the step is durable. The same Launch gets
	// Admitted again while its token is sending, and the first deadline stays.
	//
	//	ReservationExpired  l.By or the token was freed, cancelled or never seen, or the
	//	                    token is past its deadline, swept or not
	//	OrderPending        another Launch is sending, or the token is held
	//	AlreadyBought       the token is sold
	//	(ErrFrozen)         the ledger is frozen; nothing was done
	Start(ctx context.Context, l Launch) (gate.Reason, error)

	// Settle ends an open token. Settlements of frozen ledgers are taken, too.
	//
	// Sold: any open token is sold. A freed one takes its units back; those that are no
	// longer free are counted as oversold and the call fails with ErrOversold.
	//
	// Free: an open token's units go back, unless it is sending for another Launch than
	// s.By (if s.By is set). A token never seen is remembered for Remembered, so that a
	// Decide that comes late cannot reserve. A sold one fails with ErrSold. In a ledger
	// of orders in steps the account is marked as one that has lost its reservation,
	// until it takes another, unless s.Unsent.
	//
	// Free with Unsent, where s.By is set and not s.Token: the order's request did not
	// send. s.By is remembered as cancelled; if the token is sending for it, or held
	// since, the token is reserved again, for Terms.ReserveFor. Nothing else changes.
	//
	// Unknown: a reserved or sending token is held, unless it is sending for another
	// Launch than s.By. Anything else is left as it is.
	Settle(ctx context.Context, s Settlement) error

	// Sweep moves at most SweepLimit tokens that are past their deadlines: reserved →
	// free (marked as Settle does), sending → held, and held → free where Terms.Unknown
	// is rules.Release. Where it is rules.Resolve, held ones are returned to be asked
	// about, and not returned again, to anybody, before Terms.UnknownAfter. It also
	// notes that the gateway is alive. In a frozen ledger it does only that.
	Sweep(ctx context.Context, ledger, gateway string) (Swept, error)

	// Look is the ledger at one instant, with the accounts whose last change is later
	// than since, at most LookLimit of them, in the order of their changes.
	Look(ctx context.Context, ledger string, since uint64) (Picture, error)

	// Pulse is Look without accounts, for polling, one Picture for each ledger in order.
	// One that is not known has nil Items; that is not an error here.
	Pulse(ctx context.Context, ledgers ...string) ([]Picture, error)

	// Ready reports whether the store can be reached and is fit to keep stock.
	Ready(ctx context.Context) error

	// Secret is 32 random bytes, made by the first who asks and kept.
	Secret(ctx context.Context) ([]byte, error)

	Close() error

	Office
}

// Remembered is how long a cancelled token is refused for certain: far longer than a
// call can be under way.
const Remembered = 10 * time.Minute

// SweepLimit bounds the tokens one Sweep moves, so that it never holds up decisions.
const SweepLimit = 128

// LookLimit bounds the accounts of one Look, for the same reason.
const LookLimit = 1000

// ForgetLimit bounds the cancelled tokens one Sweep forgets: cheap, and more in a second
// than an origin refuses orders, each of which cancels one.
const ForgetLimit = 8 * SweepLimit

// Ask is one attempt to take units. Strings may be any bytes.
type Ask struct {
	Ledger  string
	Account string // not empty
	Token   gate.Token
	Item    string
	Units   int  // at least 1
	Order   bool // take nothing, find what the account took before; Item and Units do not count
}

// Check keeps out what would bend the counts.
func (a *Ask) Check() error {
	if a.Account == "" || a.Units < 1 && !a.Order {
		return fmt.Errorf("ask for %d units for account %q: want at least 1, and an account", a.Units, a.Account)
	}
	return nil
}

// Stamp says how far a ledger's history goes. The epoch is the time of its loading, in
// µs, by the store's clock; seq grows by one with every change of what an account holds.
type Stamp struct{ Epoch, Seq uint64 }

// Decision is the answer to an Ask, and how things stand after it.
type Decision struct {
	Stamp
	Reason gate.Reason

	Free    int // units of the item
	Pending int // units of the item that are reserved or sending: they may come back soon
	Bought  int // units of all items the account has bought

	// With Order:
	Token    gate.Token // of the reservation, with Admitted
	Item     string     // and what it is of; Free and Pending are this item's
	Units    int
	Stranger bool
}

// Launch is one request that is about to be sent with a reservation's token.
type Launch struct {
	Ledger string
	Token  gate.Token // the reservation's
	By     gate.Token // the request's own; the same, unless a later request places the order
}

// Settlement is how a token ends.
type Settlement struct {
	Ledger  string
	Token   gate.Token
	By      gate.Token // of the Launch; zero: whoever it was (an operator's word)
	Outcome rules.Outcome
	Unsent  bool   // with OutcomeFree: no byte was sent
	Ref     string // with OutcomeSold: the shop's name of the order; "": not known
}

// Swept is what a Sweep has done.
type Swept struct {
	Moved int     // tokens, those to ask about included
	Ask   []Entry // held tokens, for whoever can find out what became of their orders
}

// Counts are the units of one item.
type Counts struct {
	Loaded, Free, Reserved, Sending, Held, Sold, Withdrawn int
}

// Pending are the units that may come back by themselves.
func (c Counts) Pending() int { return c.Reserved + c.Sending }

// Holding is what one account has.
type Holding struct {
	Bought int  // units
	Open   bool // has an open token
}

// Picture is one ledger at one instant.
type Picture struct {
	Stamp
	Items    map[string]Counts
	Terms    Terms
	State    State
	Freeze   uint64 // not 0: the ledger is frozen, and this freeze's number
	Frozen   uint64 // at least the last freeze's number, also when that is over
	After    uint64 // the epoch of the archived ledger that had the name before; 0: none had
	Archived bool   // not known any more, because an operator has put it away
	Oversold int    // units sold that were not there

	// Of Look: accounts that changed, what they hold now, and the seq up to which these
	// are all. Less than Seq: look again, since Upto.
	Holders map[string]Holding
	Upto    uint64
}
