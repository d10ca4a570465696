// Package shared is what gateways tell each other beside the stock: what may be used once,
// who is banned, and what accounts are doing right now.
//
// Nothing of it is asked for while a request waits, but for Claim. A Book keeps the bans in
// memory and fresh; limiter/lease does the same for what accounts do. While the store is
// away every gateway goes on with what it knows.
//
// It is not where stock is: a unit must never be sold twice, and nothing here is kept so
// carefully. Bans are durable where the store is; what a store has lost is put back by the
// gateways that still know it.
package shared

import (
	"context"
	"errors"
	"time"

	"penstock/rules"
)

// The bounds. A note is at most about 1 KB, and one of usual size 200 bytes, so that all of
// them take some 13 MB, and 65 MB at the worst, in the store and in each gateway.
const (
	MostNotes     = 1 << 16           // those that are lifted count, and alone may be twice as many
	MostAutomatic = MostNotes * 3 / 4 // of MostNotes: an operator's ban finds room when gateways have filled this
	MostName      = 512               // bytes of an account
	MostText      = 200               // bytes of by, and of why
	MostPage      = 1000              // notes that one call of Since answers, or Mend takes
	MostLeases    = 2000              // that a gateway tells at a time
)

// LiftedFor is how long it is remembered that a ban was lifted. A gateway that has not
// reached the store for longer may bring the ban back, if the store has lost it.
const LiftedFor = 30 * 24 * time.Hour

// LeaseFor is how long a gateway's leases count after its last exchange.
const LeaseFor = time.Second

// ErrFull: there is no room for another; nothing is ever thrown out to make room.
var ErrFull = errors.New("no room for another")

// Note is one ban.
type Note struct {
	Subject Subject
	Until   time.Time // to the ms; zero: it has no end
	By, Why string    // who made it; with Lifted, who lifted it
	At      time.Time // when, to the ms. Of two notes of one subject the later counts
	Signal  rules.Signal
	Lifted  bool // it was a ban, and is none any more
}

// Live reports whether it counts at all: a lifted one does, against older ones.
func (n *Note) Live(now time.Time) bool { return n.Until.IsZero() || n.Until.After(now) }

// Hand reports whether an operator made it.
func (n *Note) Hand() bool { return n.Signal == rules.ByHand }

// Outdoes reports whether n, which counts, takes the place of old: the later does, but an
// operator's ban that holds comes before what gateways find by themselves.
func (n *Note) Outdoes(old *Note, now time.Time) bool {
	if mine, theirs := n.holds(now), old.holds(now); mine && !old.Hand() || theirs && !n.Hand() {
		return mine
	}
	return n.At.After(old.At)
}

// holds reports whether it is an operator's ban, in force.
func (n *Note) holds(now time.Time) bool { return n.Hand() && !n.Lifted && n.Live(now) }

// Check reports what keeps the note from being told.
func (n *Note) Check() error {
	switch {
	case n.Subject.IsZero():
		return errors.New("a ban needs a subject")
	case len(n.Subject.Account) > MostName:
		return errors.New("the account's name is too long")
	case len(n.By) > MostText || len(n.Why) > MostText:
		return errors.New("by and why are too long")
	case n.Signal >= rules.Signals:
		return errors.New("there is no such signal")
	}
	return nil
}

// Rev is how far somebody has read. The zero Rev has read nothing.
type Rev struct {
	Epoch string // another one: the store has lost what it had
	N     uint64
}

// Changes are what has become of the notes since a Rev.
type Changes struct {
	Notes []Note // live ones, also lifted ones; the later of two of one subject counts
	Upto  Rev
	More  bool // ask again, from Upto
	Whole bool // these are the first of all notes: the store does not know that Rev
}

// Lease is what one account does at one gateway.
type Lease struct {
	Gateway string        // with those of others
	Key     uint64        // of sale and account, the same at all gateways
	Running int           // requests in flight
	Owed    time.Duration // what it was charged since it was told of first; it only grows
	Debt    time.Duration // what it would still owe, had nobody else charged it
}

// Store is where gateways meet. It is safe for use by many; an error says that nothing is
// known of what was done.
type Store interface {
	// Claim is true for the first who claims id, of any length, until so long after.
	Claim(ctx context.Context, id []byte, life time.Duration) (first bool, err error)

	// Put has n take the place of whatever is told of its subject, and answers with it as
	// it is told: its At is later than that of the note before. ErrFull: there is no room.
	Put(ctx context.Context, n Note) (Note, error)

	// Drop does the same with a note that is lifted, for LiftedFor at most; whether the
	// subject is known here does not matter. There is room for it where others find none.
	Drop(ctx context.Context, n Note) (Note, error)

	// Mend puts those of at most MostPage notes that outdo what is told of their subjects,
	// lifted or not. ErrFull: some found no room.
	Mend(ctx context.Context, notes []Note) error

	// Since is cheap where nothing has changed.
	Since(ctx context.Context, r Rev) (Changes, error)

	// Exchange has mine stand in the place of what this gateway told before, for LeaseFor,
	// and answers with what others have told.
	Exchange(ctx context.Context, gateway string, mine []Lease) (others []Lease, err error)
}
