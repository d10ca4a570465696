package embedded

// How tokens end: by a settlement, or by their deadlines.

import (
	"container/heap"
	"fmt"
	"strings"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/guard"
	"penstock/proxy/gate"
	"penstock/rules"
)

func (b *book) settle(s *stock.Settlement, now int64) (turn uint64, err error) {
	e := b.tokens[s.Token]
	if e != nil && e.state == stock.Adjusted {
		return 0, fmt.Errorf("token %x is an adjustment's", s.Token)
	}
	switch s.Outcome {
	case rules.OutcomeSold:
		e, err = b.sell(e, s, now)
	case rules.OutcomeFree:
		if s.Unsent && s.By != (gate.Token{}) && s.By != s.Token {
			return b.unsend(e, s.By, now), nil
		}
		e, err = b.free(e, s, now)
	default:
		if e != nil && (e.state == stock.Reserved || e.state == stock.Sending) && !e.another(s.By) {
			b.keep(e, now)
		}
	}
	if e != nil {
		turn = e.last
	}
	return turn, err
}

// another reports whether the entry is sending for another Launch than by.
func (e *entry) another(by gate.Token) bool {
	return e.state == stock.Sending && by != (gate.Token{}) && by != e.sentBy()
}

func (b *book) sell(e *entry, s *stock.Settlement, now int64) (*entry, error) {
	if e == nil {
		e = &entry{token: s.Token, state: stock.Cancelled}
		b.tokens[e.token] = e
	}
	switch {
	case e.state == stock.Cancelled:
		b.sellLate(e, now)
	case e.state.Open():
		b.move(e, stock.Sold, 0, now)
	}
	if s.Ref != "" && e.ref() == "" {
		b.name(e, s.Ref)
		b.touch(e)
	}
	if e.over > 0 {
		return e, stock.ErrOversold
	}
	return e, nil
}

// sellLate books an order that went through after its units were given back. Of a token
// never seen nobody knows the account: it counts as one unit that was not there.
func (b *book) sellLate(e *entry, now int64) {
	asked := max(e.units, 1)
	if e.units = 0; e.item != nil {
		e.units = int32(min(int(asked), max(e.item.Free, 0)))
	}
	e.over = asked - e.units
	b.oversold += int(e.over)
	b.move(e, stock.Sold, 0, now)
}

// name files the entry under the shop's reference, too.
func (b *book) name(e *entry, ref string) {
	ref = strings.Clone(ref)
	by := gate.Token{}
	if e.more != nil {
		by = e.more.by
	}
	e.more = &more{by: by, ref: ref}
	b.refs[ref] = e
}

func (b *book) free(e *entry, s *stock.Settlement, now int64) (*entry, error) {
	switch {
	case e == nil:
		return b.cancel(s.Token, now), nil
	case e.state == stock.Sold:
		return e, stock.ErrSold
	case e.state.Open() && !e.another(s.By):
		b.release(e, !s.Unsent, now)
	}
	return e, nil
}

// cancel remembers a token that was never seen.
func (b *book) cancel(token gate.Token, now int64) *entry {
	if guard.Off("tombstone") {
		return nil
	}
	e := &entry{token: token}
	b.tokens[token] = e
	b.move(e, stock.Cancelled, 0, now)
	return e
}

// release gives an open token's units back; lost: its account will hear of it.
func (b *book) release(e *entry, lost bool, now int64) {
	b.move(e, stock.Cancelled, 0, now)
	if lost && b.terms.Steps && e.holder.open == nil {
		b.mark(e.holder, true)
	}
}

// unsend takes back a Launch of which nothing was sent.
func (b *book) unsend(e *entry, by gate.Token, now int64) uint64 {
	cancelled := b.tokens[by]
	if cancelled == nil {
		cancelled = b.cancel(by, now)
	}
	if e != nil && (e.state == stock.Sending || e.state == stock.Held) && e.sentBy() == by {
		e.sent(gate.Token{})
		b.move(e, stock.Reserved, now+b.terms.ReserveFor.Milliseconds(), now)
		return e.last
	}
	if cancelled == nil {
		return 0
	}
	return cancelled.last
}

// keep holds an open token until it is known what became of its order.
func (b *book) keep(e *entry, now int64) { b.move(e, stock.Held, b.heldUntil(now), now) }

// heldUntil is when the sweep comes to a token held since now; 0: never.
func (b *book) heldUntil(now int64) int64 {
	switch b.terms.Unknown {
	case rules.Release:
		return now + b.terms.UnknownAfter.Milliseconds()
	case rules.Resolve:
		return now
	}
	return 0
}

func (b *book) sweep(gateway string, now int64) (s stock.Swept, turn uint64) {
	b.see(gateway, now)
	if b.freeze != 0 {
		return s, 0
	}
	b.forget(now)
	b.leave(now)
	// All are taken first, so that none moves twice at once.
	for _, d := range b.due.take(now) {
		if !d.stands() {
			continue
		}
		if d.of.state != stock.Held || b.terms.Unknown != rules.Keep {
			s.Moved, turn = s.Moved+1, b.turn
		}
		if e := d.of; b.expire(e, now) {
			s.Ask = append(s.Ask, e.entry())
		}
	}
	return s, turn
}

// expire moves an entry past its deadline on, or says that it is to be asked about.
func (b *book) expire(e *entry, now int64) (ask bool) {
	switch {
	case e.state == stock.Reserved, e.state == stock.Sending && guard.Off("sending held"):
		b.release(e, true, now)
	case e.state == stock.Sending:
		b.keep(e, now)
	case b.terms.Unknown == rules.Release:
		b.release(e, true, now)
	case b.terms.Unknown == rules.Resolve:
		e.due, ask = now+b.terms.UnknownAfter.Milliseconds(), true
		b.await(e)
		b.touch(e)
	default:
		e.due = 0
		b.await(e)
	}
	return ask
}

// forget lets go of cancelled tokens, once no call about them can be under way.
func (b *book) forget(now int64) {
	for n := 0; n < stock.ForgetLimit && len(b.late) > 0 && past(b.late[0].changed, now); n++ {
		e := b.late[0]
		b.late[0] = nil
		b.late = b.late[1:]
		if e.state != stock.Cancelled && e.state != stock.Adjusted || b.tokens[e.token] != e {
			continue // sold or asserted since, or forgotten
		}
		delete(b.tokens, e.token)
		e.state = forgotten
		b.touch(e)
	}
}

// see notes that the gateway is alive.
func (b *book) see(gateway string, now int64) {
	if _, known := b.alive[gateway]; !known && b.freeze == 0 {
		for other, at := range b.alive {
			if at+stock.AliveFor.Milliseconds() < now {
				delete(b.alive, other)
			}
		}
		gateway = strings.Clone(gateway)
	}
	b.alive[gateway] = now
}

// entry is the entry as callers see it.
func (e *entry) entry() stock.Entry {
	x := stock.Entry{
		Token: e.token, By: e.sentBy(), State: e.state, Units: int(e.units), Over: int(e.over),
		Changed: time.UnixMilli(e.changed), Ref: e.ref(),
	}
	if e.holder != nil {
		x.Account, x.Item = e.holder.account, e.item.name
	}
	if e.due != 0 {
		x.Due = time.UnixMilli(e.due)
	}
	return x
}

// deadline is one that an entry had when it was pushed.
type deadline struct {
	at    int64
	of    *entry
	state stock.Stage
}

// stands reports whether the entry has not gone on since.
func (d deadline) stands() bool { return d.of.due == d.at && d.of.state == d.state }

// deadlines is a heap.Interface, the earliest first.
type deadlines []deadline

// push adds the entry's deadline. Once more than enough of them stand no more those are
// cleared away, so that sold tokens do not weigh until their deadlines.
func (h *deadlines) push(e *entry, enough int) {
	heap.Push(h, deadline{e.due, e, e.state})
	if len(*h) <= enough+2*stock.SweepLimit {
		return
	}
	standing := (*h)[:0]
	for _, d := range *h {
		if d.stands() {
			standing = append(standing, d)
		}
	}
	clear((*h)[len(standing):])
	*h = standing
	heap.Init(h)
}

// take pops as many as one Sweep moves.
func (h *deadlines) take(now int64) (taken []deadline) {
	for len(taken) < stock.SweepLimit && len(*h) > 0 && (*h)[0].at <= now {
		if d := heap.Pop(h).(deadline); d.stands() {
			taken = append(taken, d)
		}
	}
	return taken
}

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].at < h[j].at }
func (h deadlines) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlines) Push(x any)        { *h = append(*h, x.(deadline)) }
func (h *deadlines) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = deadline{}
	*h = old[:len(old)-1]
	return last
}
