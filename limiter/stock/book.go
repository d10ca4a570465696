package stock

import (
	"container/heap"
	"strings"

	"penstock/proxy/gate"
	"penstock/rules"
)

// holder is one account: units bought, and its open token if any.
type holder struct {
	bought int
	open   *entry
}

// book is one ledger in memory: the rules of Store, and nothing of disks or locks. Its
// caller gives the time, in Unix ms, and is told which entries changed through touch.
type book struct {
	items     map[string]*Counts
	tokens    map[gate.Token]*entry
	holders   map[string]*holder
	due       dueHeap
	forgotten []forget // in order: all wait equally long
	seq       uint64
	oversold  int
	touch     func(*entry)
}

type forget struct {
	token gate.Token
	at    int64
}

func newBook(items map[string]int) *book {
	b := &book{
		items:   make(map[string]*Counts, len(items)),
		tokens:  make(map[gate.Token]*entry),
		holders: make(map[string]*holder),
	}
	for item, units := range items {
		b.items[item] = &Counts{Loaded: units, Free: units}
	}
	return b
}

// decide returns the entry of the token if it is admitted or was before.
func (b *book) decide(a *Ask, now int64) (Decision, *entry) {
	e := b.tokens[a.Token]
	c := b.items[a.Item]
	var h holder
	if known := b.holders[a.Account]; known != nil {
		h = *known
	}
	reason := gate.Admitted
	switch {
	case e != nil && e.state == cancelled:
		reason = gate.ReservationExpired
	case e != nil:
	case h.open != nil:
		reason = gate.OrderPending
	case h.bought >= a.PerAccount:
		reason = gate.AlreadyBought
	case h.bought+a.Units > a.PerAccount:
		reason = gate.Limit
	case c == nil:
		reason = gate.UnknownItem
	case c.Free < a.Units:
		reason = gate.SoldOut
	default:
		e = b.reserve(a, now)
	}
	d := Decision{Reason: reason, Bought: h.bought, Seq: b.seq}
	if c != nil {
		d.Free, d.Pending = c.Free, c.Pending()
	}
	return d, e
}

// reserve keeps copies of the strings: the caller's may be used again.
func (b *book) reserve(a *Ask, now int64) *entry {
	e := &entry{token: a.Token, state: free, item: strings.Clone(a.Item), account: strings.Clone(a.Account), units: a.Units}
	b.tokens[e.token] = e
	b.holder(e.account).open = e
	b.move(e, reserved, now+a.ReserveFor.Milliseconds())
	b.seq++
	return e
}

func (b *book) start(token gate.Token, now, until int64) (*entry, bool) {
	e := b.tokens[token]
	switch {
	case e == nil:
		return nil, false
	case e.state == sending:
		return e, true
	case e.state != reserved || e.due <= now:
		return e, false
	}
	b.move(e, sending, until)
	return e, true
}

// settle returns the entry whose commit the caller must wait for; nil: none.
func (b *book) settle(token gate.Token, o rules.Outcome, now int64) (*entry, error) {
	e := b.tokens[token]
	was := cancelled
	if e != nil {
		was = e.state
	}
	switch {
	case o == rules.OutcomeSold && was == cancelled:
		return b.sellLate(e, token)
	case o == rules.OutcomeSold && was == bought && e.over > 0:
		return e, ErrOversold
	case o == rules.OutcomeFree && was == bought:
		return e, ErrSold
	case o == rules.OutcomeFree && e == nil:
		b.tokens[token] = &entry{token: token, state: cancelled}
		b.forget(token, now)
		return nil, nil
	case !was.open():
		return e, nil
	case o == rules.OutcomeSold:
		h := b.holder(e.account)
		h.bought, h.open = h.bought+e.units, nil
		b.move(e, bought, 0)
	case o == rules.OutcomeFree:
		b.release(e, now)
	case was == held:
		return e, nil
	default:
		b.move(e, held, 0)
	}
	b.seq++
	return e, nil
}

// release gives an open token's units back.
func (b *book) release(e *entry, now int64) {
	h := b.holder(e.account)
	if h.open = nil; h.bought == 0 {
		delete(b.holders, e.account)
	}
	b.move(e, cancelled, 0)
	b.forget(e.token, now)
}

// sellLate books an order that went through after its units were given back. Of a token
// never seen nobody knows the account: it counts as one unit that was not there.
func (b *book) sellLate(e *entry, token gate.Token) (*entry, error) {
	if e == nil {
		e = &entry{token: token}
		b.tokens[token] = e
	}
	asked := max(e.units, 1)
	e.state, e.units = bought, 0
	if e.account != "" {
		c := b.items[e.item]
		e.units = min(asked, c.Free)
		c.Free -= e.units
		c.Sold += e.units
		b.holder(e.account).bought += asked
	}
	e.over = asked - e.units
	b.oversold += e.over
	b.seq++
	b.touch(e)
	if e.over > 0 {
		return e, ErrOversold
	}
	return e, nil
}

// sweep returns one of the entries it moved, to wait for.
func (b *book) sweep(now int64) (moved int, e *entry) {
	for n := 0; n < forgetLimit && len(b.forgotten) > 0 && b.forgotten[0].at <= now; n++ {
		if f := b.forgotten[0]; b.tokens[f.token].state == cancelled {
			delete(b.tokens, f.token)
		}
		b.forgotten = b.forgotten[1:]
	}
	// What is popped and not moved is not counted: each entry is pushed twice at most.
	for moved < SweepLimit && len(b.due) > 0 && b.due[0].at <= now {
		d := heap.Pop(&b.due).(due)
		if d.of.due != d.at || d.of.state != d.state {
			continue // it has gone on since
		}
		if e = d.of; e.state == reserved {
			b.release(e, now)
		} else {
			b.move(e, held, 0)
		}
		b.seq++
		moved++
	}
	return moved, e
}

// move counts an entry's units in another state; cancelled: free.
func (b *book) move(e *entry, to state, until int64) {
	c := b.items[e.item]
	*c.in(e.state) -= e.units
	*c.in(to) += e.units
	e.state, e.due = to, until
	if to == reserved || to == sending {
		b.await(e)
	}
	b.touch(e)
}

// await has the sweep look at the entry when its deadline has passed.
func (b *book) await(e *entry) { heap.Push(&b.due, due{at: e.due, state: e.state, of: e}) }

func (b *book) forget(token gate.Token, now int64) {
	b.forgotten = append(b.forgotten, forget{token, now + Remembered.Milliseconds()})
}

func (b *book) holder(account string) *holder {
	h := b.holders[account]
	if h == nil {
		h = &holder{}
		b.holders[account] = h
	}
	return h
}

// picture copies the counts.
func (b *book) picture() Picture {
	p := Picture{Items: make(map[string]Counts, len(b.items)), Seq: b.seq, Oversold: b.oversold}
	for item, c := range b.items {
		p.Items[item] = *c
	}
	return p
}

// picturePlus copies the holders, too.
func (b *book) picturePlus() Picture {
	p := b.picture()
	p.Holders = make(map[string]Holding, len(b.holders))
	for account, h := range b.holders {
		p.Holders[account] = Holding{Bought: h.bought, Open: h.open != nil}
	}
	return p
}

// due is a deadline an entry had when it was pushed.
type due struct {
	at    int64
	state state
	of    *entry
}

// dueHeap is a heap.Interface, the earliest deadline first.
type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = due{}
	*h = old[:len(old)-1]
	return last
}
