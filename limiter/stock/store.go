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

	// ErrOversold: an order went through after its unit had been given back, and no
	// unit was free to take again. The order is recorded, and counted as oversold.
	ErrOversold = errors.New("order sold after its unit was given back, and none is left")

	// ErrSold: the token's order went through, so its unit cannot be freed.
	ErrSold = errors.New("order is sold, its unit cannot be freed")
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
	// Ready reports whether the store can be reached and is fit to keep stock.
	Ready(ctx context.Context) error

	// Load makes the ledger known with these units (at least 0) by item. If it is known
	// already nothing changes; what was loaded then is returned in either case.
	Load(ctx context.Context, ledger string, items map[string]int) (loaded map[string]int, err error)

	// Decide reserves the units asked for, or says why not. The first that holds:
	//
	//	ReservationExpired  the token was freed, cancelled, or expired
	//	Admitted            the token has its units already
	//	OrderPending        the account has another open token
	//	AlreadyBought       the account has all that it may have
	//	Limit               it asks for more than is left to it
	//	UnknownItem         the ledger has no such item
	//	SoldOut             fewer units are free than asked for
	//	Admitted            they are reserved now
	Decide(ctx context.Context, a Ask) (Decision, error)

	// Start is the fence, reserved → sending: no byte may be sent to the origin before
	// it has answered true, and then the step is durable. A token that is sending
	// already gets true again and keeps its deadline; one that is past its deadline,
	// swept or not, settled or not known gets false.
	Start(ctx context.Context, ledger string, token gate.Token, sendingFor time.Duration) (bool, error)

	// Settle ends an open token: sold, free, or (unknown) held.
	//
	// Free of a token never seen is remembered for Remembered, so that a Decide that
	// comes late cannot reserve. Free of a sold one fails with ErrSold. Sold of a freed
	// one takes its units back; those that are no longer free are counted as oversold
	// and the call fails with ErrOversold. Unknown changes nothing but open tokens.
	Settle(ctx context.Context, ledger string, token gate.Token, outcome rules.Outcome) error

	// Sweep moves at most SweepLimit tokens that are past their deadlines, reserved →
	// free and sending → held, and says how many.
	Sweep(ctx context.Context, ledger string) (moved int, err error)

	// Look is the whole ledger at one instant. It costs as much as there are holders.
	Look(ctx context.Context, ledger string) (Picture, error)

	// Pulse is Look without holders, for polling, one Picture for each ledger in order.
	// One that is not known has nil Items; that is not an error here.
	Pulse(ctx context.Context, ledgers ...string) ([]Picture, error)

	// Secret is 32 random bytes, made by the first who asks and kept.
	Secret(ctx context.Context) ([]byte, error)

	Close() error
}

// Remembered is how long a cancelled token is refused for certain: far longer than a
// call can be under way.
const Remembered = 10 * time.Minute

// SweepLimit bounds the tokens one Sweep moves, so that it never holds up decisions.
const SweepLimit = 128

// forgetLimit bounds the cancelled tokens one Sweep forgets: cheap, and more in a second
// than an origin refuses orders, each of which cancels one.
const forgetLimit = 8 * SweepLimit

// Ask is one attempt to take units. Strings may be any bytes.
type Ask struct {
	Ledger     string
	Account    string // not empty
	Item       string
	Token      gate.Token
	Units      int // at least 1
	PerAccount int // units, over all items
	ReserveFor time.Duration
}

// check keeps out what would bend the counts.
func (a *Ask) check() error {
	if a.Units < 1 || a.Account == "" {
		return fmt.Errorf("ask for %d units for account %q: want at least 1, and an account", a.Units, a.Account)
	}
	return nil
}

// Decision is the answer to an Ask, and how things stand after it.
type Decision struct {
	Reason  gate.Reason
	Free    int // units of the item
	Pending int // units of the item that are reserved or sending: they may come back soon
	Bought  int // units of all items the account has bought
	Seq     uint64
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
	Items    map[string]Counts
	Holders  map[string]Holding // accounts that bought or have an open token
	Seq      uint64             // grows with every change of who holds what
	Oversold int                // units sold that were not there
}

// checkLoad does the same for Load.
func checkLoad(ledger string, items map[string]int) error {
	if ledger == "" {
		return errors.New("load ledger: it has no name")
	}
	for item, units := range items {
		if units < 0 {
			return fmt.Errorf("load ledger %q: item %q has %d units", ledger, item, units)
		}
	}
	return nil
}
