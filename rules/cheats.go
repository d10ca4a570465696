package rules

// What a sale asks of those who want to take part, and what becomes of those who cheat.

import (
	"net/netip"
	"time"
)

// Bans are who is kept out of every sale.
type Bans struct {
	Listed  *List // of the files that are named; nil: none
	Enforce bool
}

// List is a file of subjects, one in each line: an account, an address or a network, with
// what else its line says of it. An account is written as it stands in decisions, with the
// letter of its source ("c:alice"), hashed as it stands there ("#0123456789abcdef"), or
// bare, and then it is meant from whatever source.
type List struct {
	Values   map[string]string // by account; "" where its line says no more
	Networks []netip.Prefix
	Hashed   bool // some of Values are hashes
}

// Decisions is the log of what became of every request of a sale.
type Decisions struct {
	File  string
	Size  int64 // bytes, after which another file is begun
	Files int   // how many of them are kept
	Hash  bool  // accounts are written as keyed hashes
}

// MostTerms bounds the terms of a sale.
const MostTerms = 8

// Require are the terms of taking part. All must hold.
type Require struct {
	Terms   []Term
	Enforce bool
}

// Term is one of them: what is known of an account, and what it must be.
type Term struct {
	Name  string // for people: "level"
	From  Attribute
	Must  Must
	Least float64       // with AtLeast
	Age   time.Duration // with OlderThan
	Words []string      // with OneOf
}

// Must is what an attribute is held against.
type Must uint8

const (
	AtLeast   Must = iota // a number, Least or above
	OlderThan             // a time at least Age ago: RFC 3339, a date, or Unix seconds
	OneOf                 // one of Words
	Listed                // it is there, whatever it says
	Unlisted              // it is not there
)

// AttributeKind is where an attribute of an account is known from.
type AttributeKind uint8

const (
	SaidByHeader AttributeKind = iota // of a trusted proxy
	SaidByJWT
	InRedisHash // field: the account as a bare name
	InRedisSet
	InList
)

// Attribute is something known of an account.
type Attribute struct {
	Kind  AttributeKind
	Name  string        // of the header or the Redis key
	JWT   *JWT          // with SaidByJWT: Claim is the attribute's, not the account's
	Every time.Duration // with InRedis…: between two readings
	List  *List         // with InList
}

// Rung is how far up the ladder somebody is. They are ordered: the strictest counts.
type Rung uint8

const (
	RungPass Rung = iota
	RungObserve
	RungChallenge
	RungBan
)

var rungNames = [...]string{"pass", "observe", "challenge", "ban"}

// String is the name used in configuration, metrics and operators' answers.
func (r Rung) String() string {
	if int(r) >= len(rungNames) {
		return "unknown"
	}
	return rungNames[r]
}

// Steps are the counts from which on somebody is on a rung; 0: never.
type Steps struct{ Observe, Challenge, Ban int }

// Rung is the rung of a count.
func (s Steps) Rung(n int) Rung {
	switch {
	case s.Ban > 0 && n >= s.Ban:
		return RungBan
	case s.Challenge > 0 && n >= s.Challenge:
		return RungChallenge
	case s.Observe > 0 && n >= s.Observe:
		return RungObserve
	}
	return RungPass
}

// Ladder says what leads to which rung. All is counted within Window.
type Ladder struct {
	Strikes   Steps // of an account: refusals as rate_limited or in_flight
	Accounts  Steps // of an address (IPv6: a /64): accounts that have not shown to be people; bans only what ignores challenges
	Network   Steps // the same of an IPv4 /24, and of an IPv6 /48
	Addresses Steps // of an account: networks (/24, /48) that it came from
	Ignored   Steps // of an account: requests refused as challenge without an answer since; its Challenge is never read
	Score     Steps // of an account: points of Behaviour
	Window    time.Duration
	For       time.Duration // how long a rung lasts after its last reason
	Enforce   bool
}

// Signal is what put somebody on a rung.
type Signal uint8

const (
	NoSignal Signal = iota
	ByStrikes
	ByAccounts
	ByNetwork
	ByAddresses
	ByIgnored
	ByScore
	ByHand
	ByList
	ByAll // nobody's own doing: everyone is challenged, or memory for penalties is full
	Signals
)

var signalNames = [Signals]string{
	"none", "strikes", "accounts_per_address", "accounts_per_network", "addresses_per_account",
	"ignored_challenges", "score", "by_hand", "list", "everyone",
}

// String is the name used in configuration, metrics and operators' answers.
func (s Signal) String() string {
	if s >= Signals {
		return "unknown"
	}
	return signalNames[s]
}

// Behaviour says what an account's requests tell of it: points of a score of 0 to 100.
type Behaviour struct {
	Page string // path pattern of what people look at before they buy; "": nobody knows

	Reaction int // points for asking sooner after the opening than Fastest; half of them for nearly as soon
	Fastest  time.Duration
	Regular  int // for intervals as even as a clock's
	NoPage   int // for never having seen Page
	Shared   int // for an address that many accounts use
	Together int // for accounts of an address, or a network, of which too many ask first at once
	Moved    int // for asking at the opening from another network than any before
	Ring     int // for several networks that others use in the same way
	Enforce  bool
}

// MostLevel is the highest level of a challenge, the lowest is 0: harder work, and a longer wait.
const MostLevel = 3

// Challenge is how somebody shows to be a person.
type Challenge struct {
	Everyone bool    // else whom the ladder says
	Work     int     // SHA-256 hashes expected of a solution, at the lowest difficulty
	Captcha  bool    // an image for clients without scripts
	Remote   *Remote // instead of proof of work, where scripts run; nil: proof of work

	Within  time.Duration // to answer in
	Least   time.Duration // an answer counts no sooner than this after its challenge was made, and as much later for each level
	Clears  time.Duration // how long a solution counts
	Enforce bool
}

// Remote is a provider of challenges elsewhere.
type Remote struct {
	Script  string // URL of the script that draws its widget
	Class   string // of the element it is drawn in
	Field   string // of the form, with the widget's answer
	SiteKey string
	Secret  string
	Verify  string // URL that is asked about answers
	Timeout time.Duration
	Outage  Outage
}

// Outage is what holds while a provider cannot be asked.
type Outage uint8

const (
	WorkInstead Outage = iota // proof of work
	PassAll
	RefuseAll
)
