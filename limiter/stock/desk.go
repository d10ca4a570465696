package stock

// The operators' desk: what people do to a ledger, by hand or from the shop's own list of
// orders. It goes through the Store as everybody does, so it holds no state, and two
// gateways' desks may be used at once.
//
// It does not know who asks or why: whoever serves it writes that down. It gives up
// speed: a search by account reads the whole ledger, page by page.

import (
	"context"
	"errors"
	"fmt"

	"penstock/proxy/gate"
	"penstock/rules"
)

var (
	// ErrNoToken: the ledger has never seen the token. Nothing was changed.
	ErrNoToken = errors.New("ledger has never seen this token")

	// ErrSending: the token's order is on its way to the origin. Nothing was changed.
	ErrSending = errors.New("order is being sent right now; wait until it is sold, free or held")
)

// Desk does operators' work.
type Desk struct{ store Store }

// NewDesk makes a desk for the ledgers of store.
func NewDesk(store Store) *Desk { return &Desk{store} }

// Show is each ledger as it stands, in order; one that is not known has nil Items.
func (d *Desk) Show(ctx context.Context, ledgers ...string) ([]Picture, error) {
	if len(ledgers) == 0 {
		return nil, nil
	}
	p, err := d.store.Pulse(ctx, ledgers...)
	if err != nil {
		return nil, fmt.Errorf("look at ledgers: %w", err)
	}
	if len(p) != len(ledgers) {
		return nil, fmt.Errorf("look at %d ledgers: the store showed %d", len(ledgers), len(p))
	}
	return p, nil
}

func (d *Desk) show(ctx context.Context, ledger string) (Picture, error) {
	p, err := d.Show(ctx, ledger)
	if err != nil {
		return Picture{}, err
	}
	return p[0], nil
}

// Search says which tokens to find: one by Token or by Ref, else those of the account and
// of the stage. With neither account nor stage: the open ones, or All.
type Search struct {
	Ledger  string
	Token   gate.Token
	Ref     string
	Account string // with or without the prefix of its source
	Stage   Stage
	All     bool
	Cursor  string // as an earlier Find returned it
}

// finds reports whether e is looked for.
func (s *Search) finds(e *Entry) bool {
	switch {
	case s.Account != "" && !sameAccount(s.Account, e.Account):
		return false
	case s.Stage != 0:
		return e.State == s.Stage
	}
	return s.All || s.Account != "" || e.State.Open()
}

// findPages bounds the pages that one Find reads before it answers with what it has.
const findPages = 32

// Find is a page of tokens. next, if not "", continues; a page may be empty and have a
// next one.
func (d *Desk) Find(ctx context.Context, s Search) (found []Entry, next string, err error) {
	q := Query{Ledger: s.Ledger, Token: s.Token}
	if q.Token == (gate.Token{}) {
		q.Ref = s.Ref // of the two the token is the surer one
	}
	if q.Token != (gate.Token{}) || q.Ref != "" {
		found, _, err = d.store.Entries(ctx, q)
		return found, "", during("find token", err)
	}
	next = s.Cursor
	for range findPages {
		var page []Entry
		page, next, err = d.store.Entries(ctx, Query{Ledger: s.Ledger, Cursor: next})
		if err != nil {
			return nil, "", during("read tokens", err)
		}
		for i := range page {
			if s.finds(&page[i]) {
				found = append(found, page[i])
			}
		}
		if next == "" || len(found) > 0 {
			break
		}
	}
	return found, next, nil
}

func during(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// token is what the ledger knows of one token.
func (d *Desk) token(ctx context.Context, ledger string, t gate.Token) (Entry, error) {
	if t == (gate.Token{}) {
		return Entry{}, ErrNoToken
	}
	found, _, err := d.Find(ctx, Search{Ledger: ledger, Token: t})
	if err != nil {
		return Entry{}, err
	}
	if len(found) == 0 {
		return Entry{}, ErrNoToken
	}
	return found[0], nil
}

// Commit says that the token's order exists in the shop, under ref if that is not "". It
// is sold then, also if its unit had been given back; ErrOversold if none was left to
// take again. It answers with the token as it is now.
func (d *Desk) Commit(ctx context.Context, ledger string, t gate.Token, ref string) (Entry, error) {
	if _, err := d.token(ctx, ledger, t); err != nil {
		return Entry{}, err
	}
	err := d.store.Settle(ctx, Settlement{Ledger: ledger, Token: t, Outcome: rules.OutcomeSold, Ref: ref})
	if err != nil && !errors.Is(err, ErrOversold) {
		return Entry{}, during("commit token", err)
	}
	now, seen := d.token(ctx, ledger, t)
	return now, errors.Join(err, during("read the token again", seen))
}

// Release says that the token has no order in the shop: its units are free again. One
// that is being sent is refused: whether its order exists is being decided.
func (d *Desk) Release(ctx context.Context, ledger string, t gate.Token) (Entry, error) {
	e, err := d.token(ctx, ledger, t)
	if err != nil {
		return Entry{}, err
	}
	if e.State == Sending {
		return e, ErrSending
	}
	err = d.store.Settle(ctx, Settlement{Ledger: ledger, Token: t, Outcome: rules.OutcomeFree})
	if errors.Is(err, ErrSold) {
		return e, fmt.Errorf("%w: cancel it in the shop, then add its %d units to the stock", err, e.Units)
	}
	if err != nil {
		return Entry{}, during("release token", err)
	}
	return d.token(ctx, ledger, t)
}

// Add adds units of an item; the same t again changes nothing.
func (d *Desk) Add(ctx context.Context, ledger string, t gate.Token, item string, units int) (Counts, error) {
	return d.adjust(ctx, Adjustment{Ledger: ledger, Token: t, Item: item, Add: units}, units)
}

// Withdraw takes free units of an item out; the same t again changes nothing.
func (d *Desk) Withdraw(ctx context.Context, ledger string, t gate.Token, item string, units int) (Counts, error) {
	return d.adjust(ctx, Adjustment{Ledger: ledger, Token: t, Item: item, Remove: units}, units)
}

func (d *Desk) adjust(ctx context.Context, a Adjustment, units int) (Counts, error) {
	if units < 1 || a.Token == (gate.Token{}) {
		return Counts{}, fmt.Errorf("adjust stock by %d units: want at least 1, and a token", units)
	}
	c, err := d.store.Adjust(ctx, a)
	return c, during("adjust stock", err)
}

// Load makes the ledger known with the file's units and terms. One that the store has
// lost starts frozen, until the gateways have told what they know of it; one that was
// archived starts afresh. A ledger that is known keeps its units and gets the terms.
func (d *Desk) Load(ctx context.Context, l Loading) (p Picture, fresh bool, err error) {
	was, err := d.show(ctx, l.Ledger)
	if err != nil {
		return Picture{}, false, err
	}
	l.Frozen = !was.Archived
	p, fresh, err = d.store.Load(ctx, l)
	if err != nil {
		return Picture{}, false, during("load ledger", err)
	}
	if !fresh && p.Terms != l.Terms {
		if err := d.store.SetTerms(ctx, l.Ledger, l.Terms); err != nil {
			return p, false, during("set terms", err)
		}
		p.Terms = l.Terms
	}
	return p, fresh, nil
}

// Thaw ends a freeze, whatever the gateways still had to tell.
func (d *Desk) Thaw(ctx context.Context, ledger string) error {
	return during("thaw ledger", d.store.Thaw(ctx, ledger))
}

// SetState opens, pauses or closes a ledger.
func (d *Desk) SetState(ctx context.Context, ledger string, s State) error {
	return during("set state", d.store.SetState(ctx, ledger, s))
}

// Archive puts a ledger away of which no token is open.
func (d *Desk) Archive(ctx context.Context, ledger string) error {
	return during("archive ledger", d.store.Archive(ctx, ledger))
}
