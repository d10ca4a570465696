package stock

// The audit: does the ledger add up, and does the shop agree? Both are asked while the
// sale runs. A ledger that changes while it is read proves nothing, so it is read again
// a few times; if it never holds still, the report says so and leaves out what would need
// that. It gives up memory: all tokens that are open or sold are held at once.

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"penstock/proxy/gate"
)

// NearBy is how far the shop's time of an order may be from ours, unless told otherwise.
const NearBy = 10 * time.Minute

// auditTries bounds how often an audit reads a ledger that does not hold still.
const auditTries = 5

// Inquiry says what an audit compares with and what it may plan.
type Inquiry struct {
	Ledger      string
	Orders      *Orders       // nil: only whether the ledger adds up
	Window      time.Duration // 0: NearBy
	FreeMissing time.Duration // not 0: plan to free held tokens, this old, that are not in the list
	Now         time.Time     // what ages are counted from
}

// Report is what an audit found.
type Report struct {
	Picture     Picture
	Tokens      int      // read: those that are open or sold
	Moving      bool     // the ledger never held still: tokens were not counted again
	Faults      []string // of the ledger in itself
	Matched     int      // orders of the list that have a token here
	Differences []Difference
	Plan        Plan
}

// Plan is how held tokens would be settled by the list.
type Plan struct {
	Sell   []Ordered // they are in the list
	Free   []Entry   // they are not, and are old enough
	NoFree string    // why none shall be freed, though it was asked for; "": there is no objection
}

// Ordered is a held token that the shop has an order for.
type Ordered struct {
	Entry Entry
	Ref   string
}

// Audit reads a ledger and compares. It changes nothing.
func (d *Desk) Audit(ctx context.Context, q Inquiry) (Report, error) {
	var r Report
	var tokens []Entry
	for tried, proven := 0, false; tried < auditTries && !proven; tried++ {
		read, p, still, err := d.read(ctx, q.Ledger)
		if err != nil {
			return Report{}, err
		}
		if tokens, r.Picture = read, p; still {
			faults := recount(p, read)
			proven = len(faults) == 0
			r.Faults, r.Moving = faults, false
		} else if tried == 0 {
			r.Moving = true
		}
	}
	r.Tokens = len(tokens)
	if r.Moving {
		r.Faults = conservation(r.Picture)
	}
	if q.Orders == nil {
		return r, nil
	}
	tokens, err := d.lookUp(ctx, q.Ledger, tokens, q.Orders)
	if err != nil {
		return Report{}, err
	}
	c := compare(tokens, *q.Orders, cmp.Or(q.Window, NearBy))
	r.Matched, r.Differences = len(c.pairs), c.differences
	r.Plan = planOf(tokens, *q.Orders, c.pairs, q.FreeMissing, q.Now)
	return r, nil
}

// read pages through all tokens. still: nothing changed meanwhile.
func (d *Desk) read(ctx context.Context, ledger string) (tokens []Entry, p Picture, still bool, err error) {
	p, err = d.show(ctx, ledger)
	if err == nil && p.Items == nil {
		err = ErrNotLoaded
	}
	if err != nil {
		return nil, p, false, err
	}
	at := make(map[gate.Token]int)
	for cursor, more := "", true; more; more = cursor != "" {
		var page []Entry
		page, cursor, err = d.store.Entries(ctx, Query{Ledger: ledger, Cursor: cursor})
		if err != nil {
			return nil, p, false, during("read tokens", err)
		}
		for _, e := range page {
			if i, seen := at[e.Token]; seen {
				tokens[i] = e // the later reading
				continue
			}
			at[e.Token] = len(tokens)
			tokens = append(tokens, e)
		}
	}
	after, err := d.show(ctx, ledger)
	still = p.Stamp == after.Stamp && maps.Equal(p.Items, after.Items)
	return tokens, p, still, err
}

// lookUp adds the tokens of the list that no page has: those that are free again.
func (d *Desk) lookUp(ctx context.Context, ledger string, tokens []Entry, o *Orders) ([]Entry, error) {
	if o.Key != ByToken {
		return tokens, nil
	}
	known := make(map[gate.Token]bool, len(tokens))
	for i := range tokens {
		known[tokens[i].Token] = true
	}
	for i := range o.List {
		t := o.List[i].Token
		if t == (gate.Token{}) || known[t] {
			continue
		}
		known[t] = true
		found, _, err := d.store.Entries(ctx, Query{Ledger: ledger, Token: t})
		if err != nil {
			return nil, during("find token", err)
		}
		tokens = append(tokens, found...)
	}
	return tokens, nil
}

// conservation says of which items the counts do not add up.
func conservation(p Picture) (faults []string) {
	for _, item := range slices.Sorted(maps.Keys(p.Items)) {
		c := p.Items[item]
		if sum := c.Free + c.Reserved + c.Sending + c.Held + c.Sold + c.Withdrawn; sum != c.Loaded {
			faults = append(faults, fmt.Sprintf("item %q: the counts add up to %d, loaded were %d", item, sum, c.Loaded))
		}
		if c.Free < 0 {
			faults = append(faults, fmt.Sprintf("item %q: %d units are promised that are not there", item, -c.Free))
		}
	}
	return faults
}

// recount counts everything again from the tokens and says what does not agree.
func recount(p Picture, tokens []Entry) []string {
	faults := conservation(p)
	counted := make(map[string]Counts)
	oversold := 0
	for i := range tokens {
		e := &tokens[i]
		c := counted[e.Item]
		if _, known := p.Items[e.Item]; !known && e.Units > 0 {
			faults = append(faults, fmt.Sprintf("token %x is of item %q, which the ledger does not have", e.Token, e.Item))
		}
		switch e.State {
		case Reserved:
			c.Reserved += e.Units
		case Sending:
			c.Sending += e.Units
		case Held:
			c.Held += e.Units
		case Sold:
			c.Sold += e.Units
		}
		counted[e.Item] = c
		oversold += e.Over
	}
	for _, item := range slices.Sorted(maps.Keys(p.Items)) {
		is, want := p.Items[item], counted[item]
		want.Loaded, want.Free, want.Withdrawn = is.Loaded, is.Free, is.Withdrawn
		if is != want {
			faults = append(faults, fmt.Sprintf("item %q: the ledger says %s, its tokens %s", item, is.inHand(), want.inHand()))
		}
	}
	if oversold != p.Oversold {
		faults = append(faults, fmt.Sprintf("the ledger says %d units are oversold, its tokens %d", p.Oversold, oversold))
	}
	return append(append(faults, accountFaults(p.Terms, tokens)...), refFaults(tokens)...)
}

func (c Counts) inHand() string {
	return fmt.Sprintf("%d reserved, %d sending, %d held, %d sold", c.Reserved, c.Sending, c.Held, c.Sold)
}

// accountFaults says which accounts have more than they may.
func accountFaults(t Terms, tokens []Entry) (faults []string) {
	type has struct{ units, open int }
	accounts := make(map[string]has)
	for i := range tokens {
		e := &tokens[i]
		if e.Account == "" || !e.State.Open() && e.State != Sold {
			continue
		}
		h := accounts[e.Account]
		h.units += e.asked()
		if e.State.Open() {
			h.open++
		}
		accounts[e.Account] = h
	}
	for _, a := range slices.Sorted(maps.Keys(accounts)) {
		h := accounts[a]
		if h.open > 1 {
			faults = append(faults, fmt.Sprintf("account %q has %d open tokens", a, h.open))
		}
		if h.units > t.PerAccount {
			faults = append(faults, fmt.Sprintf("account %q has %d units, its limit is %d", a, h.units, t.PerAccount))
		}
	}
	return faults
}

// refFaults says which references stand for two tokens.
func refFaults(tokens []Entry) (faults []string) {
	refs := make(map[string]int)
	for i := range tokens {
		if tokens[i].Ref != "" {
			refs[tokens[i].Ref]++
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		if refs[ref] > 1 {
			faults = append(faults, fmt.Sprintf("reference %q stands for %d tokens", ref, refs[ref]))
		}
	}
	return faults
}
