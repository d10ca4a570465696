package embedded

// Operators' work on one ledger, and getting over lost data.

import (
	"fmt"
	"strings"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

func (b *book) setTerms(t stock.Terms, now int64) uint64 {
	if b.terms == t {
		return b.last
	}
	b.terms = t
	b.touchHead()
	if t.Unknown != rules.Keep {
		b.unpark(now)
	}
	return b.turn
}

// unpark gives held tokens that had no deadline one.
func (b *book) unpark(now int64) {
	for e := range b.parked {
		delete(b.parked, e)
		e.due = b.heldUntil(now)
		b.await(e)
		b.touch(e)
	}
}

func (b *book) setState(s stock.State) uint64 {
	if b.state != s {
		b.state = s
		b.touchHead()
	}
	return b.last
}

func (b *book) adjust(a *stock.Adjustment, now int64) (c stock.Counts, turn uint64, err error) {
	i := b.items[a.Item]
	if e := b.tokens[a.Token]; e != nil {
		if e.state != stock.Adjusted {
			return c, 0, fmt.Errorf("token %x is an order's", a.Token)
		}
		if i != nil {
			c = i.Counts
		}
		return c, e.last, nil
	}
	if a.Remove > 0 && (i == nil || i.Free < a.Remove) {
		return c, 0, stock.ErrTooFew
	}
	i = b.item(a.Item)
	i.Loaded += a.Add
	i.Free += a.Add - a.Remove
	i.Withdrawn += a.Remove
	b.touchItem(i)
	e := &entry{token: a.Token}
	b.tokens[e.token] = e
	b.move(e, stock.Adjusted, 0, now)
	return i.Counts, e.last, nil
}

// item makes the ledger know the item.
func (b *book) item(name string) *item {
	i := b.items[name]
	if i == nil {
		i = &item{name: strings.Clone(name)}
		b.items[i.name] = i
		b.touchItem(i)
	}
	return i
}

func (b *book) freezeNow(now int64) (uint64, uint64) {
	if b.freeze == 0 {
		// Above the epoch, so that no other ledger of the name had a freeze of the number.
		b.freezes = max(b.freezes, b.Epoch) + 1
		b.freeze, b.frozen = b.freezes, now
		clear(b.told)
		b.touchHead()
	}
	return b.freeze, b.last
}

func (b *book) thaw() uint64 {
	if b.freeze != 0 {
		b.freeze, b.frozen = 0, 0
		b.touchHead()
	}
	return b.last
}

func (b *book) reassert(a *stock.Assertion, now int64) (thawed bool, turn uint64) {
	if b.freeze == 0 || b.freeze != a.Freeze {
		return true, b.last
	}
	for n := range a.Entries {
		if x := &a.Entries[n]; b.assert(x, now) {
			turn = b.turn
		} else if e := b.tokens[x.Token]; e != nil {
			turn = max(turn, e.last)
		}
	}
	if a.Last {
		b.told[strings.Clone(a.Gateway)] = true
	}
	if !a.Last || !b.allTold(now) {
		return false, turn
	}
	return true, b.thaw()
}

// allTold reports whether nobody is left who may know of what is lost.
func (b *book) allTold(now int64) bool {
	if now-b.frozen < stock.ThawAfter.Milliseconds() {
		return false
	}
	for gateway, at := range b.alive {
		if at >= b.frozen-stock.AliveFor.Milliseconds() && !b.told[gateway] {
			return false
		}
	}
	return true
}

// later is how far a token has come.
var later = map[stock.Stage]int{
	stock.Cancelled: 1, stock.Reserved: 2, stock.Sending: 3, stock.Held: 4, stock.Sold: 5,
}

// assert makes the ledger know of a token what a gateway knows.
func (b *book) assert(x *stock.Entry, now int64) (changed bool) {
	e := b.tokens[x.Token]
	if later[x.State] == 0 || x.Account == "" && x.State.Open() {
		return false
	}
	switch {
	case e == nil && x.State == stock.Cancelled:
		e = &entry{token: x.Token}
		b.tokens[e.token] = e
		b.move(e, stock.Cancelled, 0, now)
		return true
	case e == nil:
		e = &entry{token: x.Token, state: stock.Cancelled}
		b.tokens[e.token] = e
	case e.state == stock.Sold && e.holder == nil && x.Account != "" && x.State != stock.Cancelled:
		x = b.completion(e, x)
	case later[e.state] == 0 || later[x.State] <= later[e.state]:
		return false
	}
	b.advance(e, x, now)
	return true
}

// completion is what to assert of a token that was sold but never seen, once a gateway
// knows whose it was: its units are booked anew, as it was not known of what.
func (b *book) completion(e *entry, x *stock.Entry) *stock.Entry {
	b.oversold -= int(e.over)
	e.state, e.over = stock.Cancelled, 0
	sold := *x
	sold.State = stock.Sold
	return &sold
}

// advance takes units that need not be there any more: free ones may fall below zero.
func (b *book) advance(e *entry, x *stock.Entry, now int64) {
	if e.item == nil && x.Account != "" {
		e.item, e.holder = b.item(x.Item), b.holder(x.Account)
	}
	if e.state == stock.Cancelled { // an open one has its units
		if e.item != nil {
			e.units = int32(x.Units)
		}
		if x.State == stock.Sold {
			e.over = int32(x.Over)
			if e.item == nil { // as where a settlement says so
				e.units, e.over = 0, max(e.over, 1)
			}
			b.oversold += int(e.over)
		}
	}
	if x.By != (gate.Token{}) {
		e.sent(x.By)
	}
	b.move(e, x.State, b.assertedUntil(x, now), now)
	if x.Ref != "" && e.ref() == "" {
		b.name(e, x.Ref)
	}
}

// assertedUntil is the deadline that the gateway knows, or one that begins now.
func (b *book) assertedUntil(x *stock.Entry, now int64) int64 {
	switch {
	case x.State == stock.Held:
		return b.heldUntil(now)
	case x.State == stock.Sold:
		return 0
	case !x.Due.IsZero():
		return x.Due.UnixMilli()
	case x.State == stock.Reserved:
		return now + b.terms.ReserveFor.Milliseconds()
	}
	return now + b.terms.SendingFor.Milliseconds()
}
