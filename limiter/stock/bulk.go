package stock

// Held units settled by the shop's list, all at once. What is in the list is sold. What
// is not may be freed only if the list would have it for certain: it ties orders to
// tokens in a way that held ones have, every line of it could be read, and it is of this
// sale at all. A unit freed wrongly is an oversell; one kept too long is only late.

import (
	"context"
	"errors"
	"strings"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// errNotHeld: it was settled since the audit.
var errNotHeld = errors.New("token is not held any more")

// planOf says which held tokens to settle. olderThan is 0 if none shall be freed.
func planOf(tokens []Entry, o Orders, pairs []pair, olderThan time.Duration, now time.Time) Plan {
	var p Plan
	listed := make(map[gate.Token]bool, len(pairs))
	for i := range pairs {
		e := pairs[i].entry
		listed[e.Token] = true
		if e.State == Held {
			p.Sell = append(p.Sell, Ordered{e, pairs[i].order.Ref})
		}
	}
	if olderThan <= 0 {
		return p
	}
	if p.NoFree = noFree(o, pairs); p.NoFree != "" {
		return p
	}
	named := make(map[string]bool) // accounts: an order of theirs may be the held one's, at another time
	for i := range o.List {
		named[o.List[i].Account] = o.Key == ByAccount
	}
	for _, e := range tokens {
		if e.State != Held || listed[e.Token] || now.Sub(e.Changed) < olderThan {
			continue
		}
		if o.Key == ByAccount && (visitor(e.Account) || named[e.Account] || named[bareAccount(e.Account)]) {
			continue
		}
		p.Free = append(p.Free, e)
	}
	return p
}

// visitor reports whether the account is one of our own cookies, which no shop knows.
func visitor(account string) bool { return strings.HasPrefix(account, "v:") }

// noFree is why a list says nothing about the tokens that are not in it.
func noFree(o Orders, pairs []pair) string {
	if o.Key == ByRef {
		return "held tokens have no reference yet, so a list of references cannot tell which have no order"
	}
	if len(pairs) == 0 {
		return "no line of the list has a token here: it may be the list of another sale"
	}
	for i := range o.List {
		if o.Key == ByToken && o.List[i].Token == (gate.Token{}) {
			return "some lines of the list have no token, and may be the orders of held ones"
		}
	}
	return ""
}

// Settled is one token of a plan, done.
type Settled struct {
	Entry   Entry // as it was
	Outcome rules.Outcome
	Ref     string
	Err     error // it is as it was, or nobody knows
}

// Apply settles a plan, token by token, and tells each. Trouble with one does not keep
// the others; a context that ends does.
func (d *Desk) Apply(ctx context.Context, ledger string, p Plan, tell func(Settled)) {
	for _, s := range p.Sell {
		tell(d.settleHeld(ctx, ledger, Settled{Entry: s.Entry, Outcome: rules.OutcomeSold, Ref: s.Ref}))
	}
	for _, e := range p.Free {
		tell(d.settleHeld(ctx, ledger, Settled{Entry: e, Outcome: rules.OutcomeFree}))
	}
}

func (d *Desk) settleHeld(ctx context.Context, ledger string, s Settled) Settled {
	if s.Err = ctx.Err(); s.Err != nil {
		return s
	}
	now, err := d.token(ctx, ledger, s.Entry.Token)
	switch {
	case err != nil:
		s.Err = err
	case now.State != Held:
		s.Err = errNotHeld
	default:
		s.Err = during("settle token", d.store.Settle(ctx, Settlement{Ledger: ledger, Token: now.Token, Outcome: s.Outcome, Ref: s.Ref}))
	}
	return s
}
