// Package ladder is the gate that asks how far somebody has climbed: pass, observe, challenge,
// ban. Every signal of rules.Ladder yields a rung of its own, the strictest that is live counts,
// and each has an end.
//
// # People behind one address, and farms
//
// An office of thirty, a campus of five hundred and the customers of one mobile carrier ask from
// one address, all within the second in which a sale opens. So does a farm of accounts. What
// differs is what is known of each account before it asks. People have had the page open for a
// while; some have solved a challenge, some have bought before. A farm's accounts come out of
// nowhere, because whatever they do first costs the farm a request, a wait or work for each.
//
// So what is counted at an address, and at its /24 or /48, are accounts and not requests, and
//
//   - who has solved a challenge within the window, or has won, counts nothing: it was shown;
//   - who looked at the sale's page at least two seconds before asking is a light account: eight
//     count as one. A page view can be faked, but then it has to be made, in time, for each;
//   - all others count one, with the first request they make and before it is let through.
//
// What is reached by a count holds for the accounts that come from there and are not vouched
// for: they owe a challenge. The light ones owe it only once their own eighths reach the step,
// so a farm does not take the office it hides behind with it: a campus of 500 that looked weighs
// 62, an office of 30 less than 4. Nobody is banned for an address. Who is shown a challenge and
// goes on without answering is (Ignored), alone; where the count has reached Ban, that is so
// from the third ignored challenge on.
//
// # Memory
//
// Accounts, addresses and networks live in tables of a fixed size, in which who asks more often
// stays (see memory.Table); the strikes and ignored challenges of an account that is forgotten
// go to a sketch and come back with it. A forgotten account may be taken for one that has more
// of them than it has, when very many are forgotten in one window: that alone never bans.
// Accounts with a verdict are kept until its end. Where there is no room for another, everybody
// not vouched for and without a verdict owes a challenge until there is; a ban that cannot be
// kept is said each time anew. Addresses with a verdict are not forgotten either; where a place
// in their table is full of them, who comes from an unknown one owes a challenge.
//
// It gives up what other gateways have seen, and what was before a restart. It counts in
// quarters of the window, so what is older than a window may count for a quarter more. It does
// not know what a challenge is, and asks nobody: all is in memory.
package ladder

import (
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"

	"penstock/limiter/ladder/memory"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Scorer judges behaviour. It is called with the account's record locked: it must be quick, and
// may not call the ladder.
type Scorer interface {
	// Asked is told of each request that arrives, and says how many points its account has now.
	Asked(f *gate.Facts, s Seen, n *Notes) (points int)
	// Explain says what the points are for.
	Explain(f *gate.Facts, s Seen, n *Notes) []Point
}

// Notes are what a Scorer keeps of an account; zero for one that is new or was forgotten.
type Notes [6]uint32

// Seen is what the ladder knows of who asks, this request included.
type Seen struct {
	Looked   bool // at the sale's page, before
	Accounts int  // at the address, not vouched for
	Together int  // accounts that asked first at once, at the address or in its network; 0: no more than people do
	Networks int  // that the account looked or asked from
	From     [Networks]uint32

	Elsewhere bool // this request comes from none of the networks before, though there are some; not kept
}

// Networks is how many networks of one account are told apart: From are hashes of them that
// nobody outside can choose, 0 where there is none.
const Networks = 8

// Point is one reason of a score.
type Point struct {
	Points int
	Why    string // in words: "asked 12 ms after the opening"
}

// Options are a ladder's parts and sizes.
type Options struct {
	Score Scorer // nil: nobody is scored

	// Banned hears of each new ban, on the way of the request: it may not wait, and keeps nothing
	// of f. It does not hear of bans that a rule which only watches would have given, but does of
	// those of a ladder that only watches (f.Sale.Ladder.Enforce). nil: nobody hears.
	Banned func(f *gate.Facts, by rules.Signal, until time.Time)

	Accounts  int // remembered, about 160 bytes each; a quarter as many can be penalised, 64 bytes each; 0: Accounts
	Addresses int // remembered, about 600 bytes each, and a quarter as many networks; 0: Addresses
}

// Sizes that fit most shops: 250 MB together.
const (
	Accounts  = 1 << 20
	Addresses = 1 << 16
)

// Ladder is who stands where.
type Ladder struct {
	score  Scorer
	banned func(f *gate.Facts, by rules.Signal, until time.Time)
	start  time.Time
	seed   maphash.Seed
	keys   [3]uint64
	last   atomic.Pointer[named]

	accounts  *memory.Table[account]
	addresses *memory.Table[place]
	networks  *memory.Table[place]
	penalties *memory.Kept[penalty]
	marks     *marks

	bans    [rules.Signals]atomic.Uint64
	unkept  atomic.Uint64
	refused atomic.Uint64
}

// New makes a ladder on which nobody has climbed.
func New(o Options) *Ladder {
	if o.Accounts <= 0 {
		o.Accounts = Accounts
	}
	if o.Addresses <= 0 {
		o.Addresses = Addresses
	}
	l := &Ladder{score: o.Score, banned: o.Banned, start: time.Now(), seed: maphash.MakeSeed()}
	for i := range l.keys {
		l.keys[i] = maphash.Bytes(l.seed, []byte{byte(i)})
	}
	l.accounts = memory.NewTable(o.Accounts, nil, l.forgotten)
	l.addresses = memory.NewTable[place](o.Addresses, pinned, nil)
	l.networks = memory.NewTable[place](o.Addresses/4, pinned, nil)
	l.penalties = memory.NewKept[penalty](o.Accounts/4, ended)
	l.marks = newMarks(o.Accounts)
	return l
}

// Gate is the gate before all that counts.
func (l *Ladder) Gate() gate.Gate { return entry{l} }

type entry struct{ l *Ladder }

// Admit counts the arrival, and answers Banned while that is the strictest verdict.
func (e entry) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if f.Sale == nil || f.Sale.Ladder == nil || f.Account == "" {
		return gate.Admit
	}
	return e.l.arrive(f)
}

// Release has nothing to give back: who came has come.
func (e entry) Release(*gate.Facts, gate.End) {}

// century keeps times from before the ladder was made above zero.
const century = 100 * 365 * 24 * time.Hour

// now is the ladder's time: nanoseconds, by the monotonic clock.
func (l *Ladder) now(at time.Time) int64 { return int64(at.Sub(l.start) + century) }

// at is the time of now.
func (l *Ladder) at(now int64) time.Time {
	if now == 0 {
		return time.Time{}
	}
	return l.start.Add(time.Duration(now) - century)
}

// window is never zero, so that it can be divided by.
func window(r *rules.Ladder) int64 {
	if r.Window < time.Millisecond {
		return int64(time.Minute)
	}
	return int64(r.Window)
}

// pane is the quarter of a window that now lies in.
func pane(now int64, r *rules.Ladder) uint32 { return uint32(now / (window(r) / panes)) }
