// Package gate is the contract between the life of a request (package proxy) and
// the gates that may refuse it.
//
// A gate knows one question and its own counters. It does not know HTTP, another
// gate, a logger or metrics. Every zero value errs on the safe side: the zero
// Verdict admits nobody, the zero End keeps the unit.
package gate

import (
	"context"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"time"

	"penstock/rules"
)

// Token names one attempt to take a unit. It is made once per request, outside
// any retry loop, so a call to the store that is sent twice cannot take two units.
type Token [16]byte

// Facts is what is known of one request before a gate is asked. It is written
// once and then only read.
//
// Its strings may lie in memory that is used again after the last Release of the
// request: a gate that keeps Account or Item clones it.
type Facts struct {
	At       time.Time      // arrival; carries the monotonic clock
	IP       netip.Addr     // the client, trusted hops peeled off, never 4-in-6, no zone
	Account  string         // with a prefix for its source ("c:alice"); "" where none is asked for
	Token    Token          // unique per request
	Priority rules.Priority // of the sale or route
	Sale     *rules.Sale    // pinned: a reload cannot change it half way; nil: not a sale's request
	Item     string         // a key of Sale.Stock.Items once the body facts are read
	Units    int            // quantity, at least 1 once the body facts are read

	// Of a sale with terms or challenges:
	Said    *[rules.MostTerms]string // what the head says for Sale.Require.Terms, by index; nil, "": nothing
	Cleared Clearance                // a challenge that this account has solved; zero: none

	// Of a sale whose orders are placed by a later request than the one that reserves:
	Order       bool  // this is the later one; it has no Item and no Units
	Reservation Token // what it orders, once the stock gate has found it

	ipHash, accountHash uint64 // 0: not computed yet
}

// Subject is the address that per-address limits count: an IPv4 address whole, an
// IPv6 address cut to its /64, because that is the least one subscriber is given.
func (f *Facts) Subject() netip.Addr {
	if f.IP.Is6() {
		if p, err := f.IP.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return f.IP
}

// HashIP and HashAccount name the subject of a per-address or per-account limit of the
// sale. With a seed made per process nobody can choose subjects that meet.
func (f *Facts) HashIP() uint64 {
	if f.ipHash != 0 {
		return f.ipHash
	}
	ip := f.Subject().As16()
	return f.inSale(maphash.Bytes(seed, ip[:]))
}

func (f *Facts) HashAccount() uint64 {
	if f.accountHash != 0 {
		return f.accountHash
	}
	return f.inSale(maphash.String(seed, f.Account))
}

// Hash computes once what several gates will ask for. IP, Account and Sale do not change
// any more.
func (f *Facts) Hash() { f.ipHash, f.accountHash = f.HashIP(), f.HashAccount() }

var seed = maphash.MakeSeed()

func (f *Facts) inSale(subject uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15 // keeps a zero on one side from hiding the other
	hi, lo := bits.Mul64(subject^odd, maphash.String(seed, f.Sale.Name))
	return hi ^ lo
}

// Reason is why a request was admitted or refused: a closed set, and the only
// spelling of it that answers, logs and metrics use.
type Reason uint8

const (
	Unset Reason = iota // admits nobody
	Admitted
	NotOpen
	Closed
	NoAccount
	Banned
	NotEligible
	Challenge
	RateLimited
	InFlight
	SoldOut
	AlreadyBought
	OrderPending
	ReservationExpired
	Limit
	UnknownItem
	Overloaded
	Paused
	Draining
	StoreUnavailable
	OriginUnreachable
	OriginFailed
	OriginTimeout
	BadRequest
	Method
	BodyTooLarge
	BodyTimeout
	HeadTooLarge
	Internal
	ClientGone // never answered: nobody is there to read it
	Preflight  // a browser asked whether a page may ask: neither refused nor admitted
	reasons
)

var reasonNames = [reasons]string{
	"unset", "admitted", "not_open", "closed", "no_account", "banned", "not_eligible", "challenge",
	"rate_limited", "in_flight", "sold_out", "already_bought", "order_pending", "reservation_expired",
	"limit", "unknown_item", "overloaded", "paused", "draining", "store_unavailable",
	"origin_unreachable", "origin_failed", "origin_timeout", "bad_request", "method",
	"body_too_large", "body_timeout", "head_too_large", "internal", "client_gone", "preflight",
}

// String is the reason as it stands in Penstock-Reason, in logs and in metrics.
func (r Reason) String() string {
	if r >= reasons {
		return "unset"
	}
	return reasonNames[r]
}

// Reasons lists every reason, for tables that must name them all.
func Reasons() []Reason {
	all := make([]Reason, reasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// Verdict is a gate's answer. A refusal is a value; Err is trouble.
type Verdict struct {
	Reason Reason        // zero: Unset, which admits nobody
	Retry  time.Duration // when asking again makes sense, before jitter; 0: it does not
	Err    error         // with StoreUnavailable or Internal: for the log, never for the client
	Token  Token         // with Admitted, of the stock gate: the reservation that the request orders
	Would  Reason        // with Admitted: what a rule of the gate that only watches would have said; Unset: nothing
}

// OK reports whether the verdict admits.
func (v Verdict) OK() bool { return v.Reason == Admitted }

// Admit is the verdict of a gate that has no objection.
var Admit = Verdict{Reason: Admitted}

// EndKind is how a request ended.
type EndKind uint8

const (
	// Unknown: bytes may have reached the origin and no answer came.
	Unknown EndKind = iota
	// Refused: a gate said no, or the request was bad.
	Refused
	// Unsent: admitted, but not one byte was sent to the origin.
	Unsent
	// Answered: the origin's answer was read whole.
	Answered
)

// End tells a gate, at Release, how the request ended. The zero End is Unknown and
// keeps what it may have bought.
type End struct {
	Kind    EndKind
	Status  int           // of the origin's answer, with Answered
	Outcome rules.Outcome // what the sale's rules made of that answer, with Answered
	Took    time.Duration // from the first byte sent to the answer read, with Answered
	Ref     string        // the shop's name of the order, with Answered; "": not known

	Held time.Duration // from the first byte sent until the origin was done with it, if that is longer than Took

	Unreachable bool // with Unsent: because the origin took no connection
}

// Clearance is what a solved challenge is worth.
type Clearance struct {
	At    time.Time // when it was solved; zero: there is none
	Asked time.Time // when it was made: what came to be owed later is not what it was made for; zero: At
	Level uint8     // its difficulty: it counts for no higher one that was owed later
}

// Step is what a request of a sale was for.
type Step uint8

const (
	Buys   Step = iota // the unit
	Orders             // of what was reserved
	Looks              // at a page of what is sold: no request of the sale
)

// Decision is what became of one request of a sale, or of one for its pages.
type Decision struct {
	Facts  *Facts // lent, with all its strings; Sale is set
	Step   Step
	Reason Reason // what it was told
	Would  Reason // the first refusal that only watched; Unset: there was none
	End    End
	Won    bool // it holds or has sold a unit
}

// Watcher hears of every Decision, on the way of the request: it must be quick, never wait,
// and keep nothing that is lent.
type Watcher interface{ Decided(d *Decision) }

// Gate is one question asked of every request.
type Gate interface {
	// Admit answers at once or within ctx. If it answers Admitted the caller owes
	// exactly one Release with the same facts; otherwise the gate holds nothing.
	// A request the gate has no rule for is admitted.
	Admit(ctx context.Context, f *Facts) Verdict

	// Release settles one Admit. It takes no context and does not fail: a client
	// that leaves must not stop a unit from coming back.
	Release(f *Facts, end End)
}
