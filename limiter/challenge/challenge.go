// Package challenge is the gate that asks who must first show to be a person, and the desk
// that makes the challenges and judges the answers.
//
// A challenge is proof of work, an image (or its sound), or the widget of a provider. It
// stands whole in its token, signed, and so does the clearance that a right answer earns:
// nothing is kept of a challenge until it is answered, and any gateway of the installation
// judges what another has made. What all of them share is one list, of the challenges that
// have been answered.
//
// It gives up knowing people from machines for certain. Work makes each account cost
// something, whoever pays; the image stops what has no eyes and no program that reads
// digits. A clearance is bound to its sale, account and device, never to an address: a
// phone changes that on its way to work. It does not draw pages, does not decide who owes a
// challenge, and asks no provider itself.
//
// While a provider is known to be down (three questions in a row without an answer, the last
// of them not 10 s ago; this gateway's own experience) its Outage holds: with WorkInstead a
// new challenge is proof of work, with PassAll the gate asks nobody for anything, with
// RefuseAll the gate goes on asking. Whichever it is, an answer of its widget is refused as
// ErrUnchecked meanwhile, without being spent, and the image, where the sale has one, goes
// on being judged. A provider whose widget does not even appear brings no answers, and
// cannot be known to be down by them.
package challenge

import (
	"context"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Options is what a desk is told by the rest of the gateway.
type Options struct {
	// Secret is the installation's: at least 32 bytes, the same on all gateways.
	Secret []byte

	// Owes is the word of the ladder: who owes a challenge, of which level, and since when
	// that is so. It is asked with every request of a sale with challenges; nil: nobody owes
	// one by his own doing.
	Owes func(f *gate.Facts) (level uint8, since time.Time, owed bool)

	// Claim says of an id, over all gateways, whether it is the first to claim it, and
	// remembers it at least for the time that is given. With an error nothing is granted.
	Claim func(ctx context.Context, id []byte, keep time.Duration) (first bool, err error)

	// Load is how busy the origin's queue is, 0 to 1: work grows with it; nil: 0.
	Load func() float64

	// Verify asks a provider about what its widget said. An error is: it cannot be asked.
	// nil: no provider can be.
	Verify func(ctx context.Context, r *rules.Remote, answer string, ip netip.Addr) (ok bool, err error)
}

// longest bounds Within and Clears: keys are changed daily, and the one before is good for a
// day more.
const longest = epoch

// Sizes of what a desk remembers to be quick. Forgetting either costs time, nothing else.
const (
	readProofs = 1 << 14 // clearances that have been verified: some 5 MB
	spentHere  = 1 << 14 // challenges that this gateway knows to be spent
)

// Desk makes and judges challenges. It may be used by any number at once.
type Desk struct {
	o     Options
	sales atomic.Pointer[map[string]*sale]

	names                          *signer // of accounts and devices, as they stand in tokens
	challenges, clearances, images *seal
	proofs                         *lru.Cache[string, *proof]
	spent                          *lru.Cache[nonce, struct{}]
	easel                          easel
}

// sale is what a desk knows of a sale by its name.
type sale struct {
	rule     *rules.Challenge
	provider *breaker // of rule.Remote; nil: there is none
}

var _ gate.Challenger = (*Desk)(nil)

// New returns a desk that knows of no sale yet.
func New(o Options) *Desk {
	if o.Owes == nil {
		o.Owes = func(*gate.Facts) (uint8, time.Time, bool) { return 0, time.Time{}, false }
	}
	if o.Load == nil {
		o.Load = func() float64 { return 0 }
	}
	d := &Desk{
		o:          o,
		names:      newSigner(derive(o.Secret, "name", 0)),
		challenges: &seal{secret: o.Secret, purpose: "challenge"},
		clearances: &seal{secret: o.Secret, purpose: "clearance"},
		images:     &seal{secret: o.Secret, purpose: "captcha"},
		easel:      newEasel(max(1, runtime.GOMAXPROCS(0)/2)),
	}
	d.proofs, _ = lru.New[string, *proof](readProofs) // fails for sizes below 1 only
	d.spent, _ = lru.New[nonce, struct{}](spentHere)
	d.Use(nil)
	return d
}

// Use tells which sales there are. What is known of a provider outlives it, as long as the
// sale asks the same one.
func (d *Desk) Use(sales []*rules.Sale) {
	var before map[string]*sale
	if p := d.sales.Load(); p != nil {
		before = *p
	}
	now := make(map[string]*sale, len(sales))
	for _, s := range sales {
		if s.Challenge == nil {
			continue
		}
		n := &sale{rule: s.Challenge}
		if r := s.Challenge.Remote; r != nil {
			n.provider = &breaker{}
			if b := before[s.Name]; b != nil && b.rule.Remote != nil && b.rule.Remote.Verify == r.Verify && b.rule.Remote.Secret == r.Secret {
				n.provider = b.provider
			}
		}
		now[s.Name] = n
	}
	d.sales.Store(&now)
}

// down reports whether the sale's provider is known to be out of reach.
func (d *Desk) down(name string, at time.Time) bool {
	s := (*d.sales.Load())[name]
	return s != nil && s.provider != nil && s.provider.down(at)
}

// owed is what the client owes by the rules of the sale.
func (d *Desk) owed(f *gate.Facts) (level uint8, since time.Time, owed bool) {
	if level, since, owed = d.o.Owes(f); owed {
		return level, since, true
	}
	return 0, time.Time{}, f.Sale.Challenge.Everyone
}

// Gate returns the gate. It answers Challenge where something is owed that f.Cleared does
// not cover, or would have, where the rule only watches. A clearance covers what is owed as
// long as it is younger than Clears, unless something harder than it is owed, and came to be
// owed after its challenge was made.
func (d *Desk) Gate() gate.Gate { return asks{d} }

type asks struct{ d *Desk }

func (g asks) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	if f.Sale == nil || f.Sale.Challenge == nil {
		return gate.Admit
	}
	c := f.Sale.Challenge
	level, since, owed := g.d.owed(f)
	switch {
	case !owed || covers(&f.Cleared, f.At, c.Clears, level, since):
		return gate.Admit
	case c.Remote != nil && c.Remote.Outage == rules.PassAll && g.d.down(f.Sale.Name, f.At):
		return gate.Admit
	case !c.Enforce:
		return gate.Verdict{Reason: gate.Admitted, Would: gate.Challenge}
	}
	return gate.Verdict{Reason: gate.Challenge}
}

// Release has nothing to give back.
func (asks) Release(*gate.Facts, gate.End) {}

func covers(c *gate.Clearance, at time.Time, clears time.Duration, level uint8, since time.Time) bool {
	if c.At.IsZero() || at.Sub(c.At) >= clears {
		return false
	}
	asked := c.Asked
	if asked.IsZero() {
		asked = c.At
	}
	return level <= c.Level || !since.After(asked)
}
