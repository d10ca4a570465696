package embedded

// One ledger in memory: the rules of stock.Store, and nothing of disks or locks. Its
// caller gives the time, in Unix ms, and writes what the book notes as changed.

import (
	"penstock/limiter/stock"
	"penstock/limiter/stock/guard"
	"penstock/proxy/gate"
)

// book is one ledger. Its calls return the turn that the caller must wait for: the
// commit that the change, or the one it repeats, is part of; 0: none.
type book struct {
	ledger string
	head
	items    map[string]*item
	tokens   map[gate.Token]*entry
	refs     map[string]*entry
	holders  map[string]*holder
	journal  journal
	beside   map[*holder][]*entry // open tokens of an account that has another
	parked   map[*entry]struct{}  // held, for as long as it takes
	due      deadlines
	open     int      // tokens
	late     []*entry // cancelled and adjusted, the next to be forgotten first
	leavers  []leaver // accounts that hold nothing, likewise
	oversold int
	alive    map[string]int64 // gateways, and when they swept last
	told     map[string]bool  // gateways that have told all since the freeze

	turn     uint64 // of the commit that changes made now are part of
	changed  changes
	listed   uint64 // the last turn that the book was part of
	after    uint64 // the epoch of the ledger that had the name before, if it is archived
	archived bool
}

// head is what the file keeps of a ledger beside its records.
type head struct {
	stock.Stamp
	terms   stock.Terms
	state   stock.State
	freeze  uint64 // 0: not frozen
	freezes uint64 // the last freeze's number
	frozen  int64  // since when
	records digest // of all that are on disk
	last    uint64 // the turn of its last change
	sum     uint32 // of its record
	kept    bool   // it has a record
}

// changes are what the next commit writes.
type changes struct {
	any     bool
	entries []*entry
	items   []*item
	marks   []*holder // that have lost a reservation, or got over it
}

type item struct {
	stock.Counts
	name string
	last uint64
	sum  uint32 // of its record
	kept bool   // it has a record
}

// in is where units of tokens at the stage are counted.
func (i *item) in(s stock.Stage) *int {
	switch s {
	case stock.Reserved:
		return &i.Reserved
	case stock.Sending:
		return &i.Sending
	case stock.Held:
		return &i.Held
	case stock.Sold:
		return &i.Sold
	}
	return &i.Free
}

// entry is what a book knows of one token. There are millions: it is 80 bytes.
type entry struct {
	token   gate.Token
	holder  *holder // nil: cancelled before it was seen, or of an adjustment
	item    *item   // nil with holder
	more    *more
	due     int64 // 0: none
	changed int64
	last    uint64 // the turn of its last change
	units   int32
	over    int32
	sum     uint32      // of its record
	kept    bool        // it has a record
	itself  bool        // By is the token
	state   stock.Stage // forgotten: it is to be deleted
}

// more is what not every token has.
type more struct {
	by  gate.Token
	ref string
}

// forgotten is the stage of an entry that nothing refers to but the next commit.
const forgotten stock.Stage = 0

func newBook(ledger string, epoch uint64, t stock.Terms) *book {
	return &book{
		ledger: ledger,
		head:   head{Stamp: stock.Stamp{Epoch: epoch}, terms: t, state: stock.Open},
		items:  make(map[string]*item), tokens: make(map[gate.Token]*entry), refs: make(map[string]*entry),
		holders: make(map[string]*holder), beside: make(map[*holder][]*entry), parked: make(map[*entry]struct{}),
		alive: make(map[string]int64), told: make(map[string]bool), turn: 1,
	}
}

func (b *book) decide(a *stock.Ask, now int64) (d stock.Decision, turn uint64, err error) {
	if a.Order {
		return b.find(a.Account, now)
	}
	e, i := b.tokens[a.Token], b.items[a.Item]
	var h holder
	if known := b.holders[a.Account]; known != nil {
		h = *known
	}
	if d.Reason, err = b.judge(a, e, &h, i); d.Reason == gate.Unset && err == nil {
		d.Reason, e = gate.Admitted, b.reserve(a, i, now)
	}
	if d.Reason == gate.Admitted {
		turn = e.last
	}
	d.Stamp, d.Bought = b.Stamp, int(h.bought)
	if i != nil {
		d.Free, d.Pending = i.Free, i.Pending()
	}
	return d, turn, err
}

// judge answers Unset where the units can be reserved.
func (b *book) judge(a *stock.Ask, e *entry, h *holder, i *item) (gate.Reason, error) {
	known := e != nil && (e.state.Open() || e.state == stock.Sold)
	switch bought := int(h.bought); {
	case e != nil && !known && !guard.Off("tombstone"):
		return gate.ReservationExpired, nil
	case known && !guard.Off("token replay"):
		return gate.Admitted, nil
	case h.open != nil && !guard.Off("open token"):
		return gate.OrderPending, nil
	case bought >= b.terms.PerAccount:
		return gate.AlreadyBought, nil
	case a.Units > b.terms.PerAccount-bought:
		return gate.Limit, nil
	case b.freeze != 0:
		return gate.Unset, stock.ErrFrozen
	case b.state == stock.Paused:
		return gate.Paused, nil
	case b.state == stock.Closed:
		return gate.Closed, nil
	case i == nil:
		return gate.UnknownItem, nil
	case i.Free < a.Units:
		return gate.SoldOut, nil
	}
	return gate.Unset, nil
}

func (b *book) reserve(a *stock.Ask, i *item, now int64) *entry {
	e := &entry{token: a.Token, state: stock.Cancelled, item: i, holder: b.holder(a.Account), units: int32(a.Units)}
	b.tokens[e.token] = e
	b.move(e, stock.Reserved, now+b.terms.ReserveFor.Milliseconds(), now)
	return e
}

// find is decide for an order.
func (b *book) find(account string, now int64) (d stock.Decision, turn uint64, err error) {
	var h holder
	if known := b.holders[account]; known != nil {
		h = *known
	}
	d.Stamp, d.Bought = b.Stamp, int(h.bought)
	switch e := h.open; {
	case b.freeze != 0:
		return d, 0, stock.ErrFrozen
	case e == nil && h.bought > 0:
		d.Reason = gate.AlreadyBought
	case e == nil:
		d.Reason, d.Stranger = gate.ReservationExpired, !h.lapsed || guard.Off("lapsed account")
	case e.state != stock.Reserved:
		d.Reason = gate.OrderPending
	case e.due <= now:
		d.Reason = gate.ReservationExpired
	default:
		d.Reason, d.Token, d.Item, d.Units = gate.Admitted, e.token, e.item.name, int(e.units)
		d.Free, d.Pending = e.item.Free, e.item.Pending()
		return d, e.last, nil
	}
	return d, 0, nil
}

func (b *book) start(l *stock.Launch, now int64) (gate.Reason, uint64, error) {
	e, by := b.tokens[l.Token], b.tokens[l.By]
	gone := by != nil && by.state == stock.Cancelled && !guard.Off("tombstone")
	fence := !guard.Off("start fence")
	switch {
	case e == nil || gone || e.state == stock.Adjusted:
		return gate.ReservationExpired, 0, nil
	case e.state == stock.Cancelled && (fence || e.item == nil), e.state == stock.Reserved && e.due <= now && fence:
		return gate.ReservationExpired, 0, nil
	case e.state == stock.Sending && e.sentBy() == l.By && !guard.Off("token replay"):
		return gate.Admitted, e.last, nil
	case e.state == stock.Sending, e.state == stock.Held:
		return gate.OrderPending, 0, nil
	case e.state == stock.Sold:
		return gate.AlreadyBought, 0, nil
	case b.freeze != 0:
		return gate.Unset, 0, stock.ErrFrozen
	}
	e.sent(l.By)
	b.move(e, stock.Sending, now+b.terms.SendingFor.Milliseconds(), now)
	return gate.Admitted, e.last, nil
}

// move takes an entry to another stage, with its units and all that goes by it.
func (b *book) move(e *entry, to stock.Stage, due, now int64) {
	was, h := e.state, e.holder
	if e.item != nil {
		*e.item.in(was) -= int(e.units)
		*e.item.in(to) += int(e.units)
	}
	e.state, e.due, e.changed = to, due, now
	if was == stock.Held {
		delete(b.parked, e)
	}
	if h != nil && to == stock.Sold {
		h.bought += e.units + e.over
	}
	if was.Open() != to.Open() {
		b.hold(e, to.Open())
	}
	if h != nil && (was.Open() != to.Open() || to == stock.Sold) {
		b.note(h, now)
	}
	b.await(e)
	b.touch(e)
}

// await has the sweep come to the entry in time.
func (b *book) await(e *entry) {
	switch {
	case e.state == stock.Cancelled || e.state == stock.Adjusted:
		b.late = append(b.late, e)
	case e.state.Open() && e.due != 0:
		b.due.push(e, 2*b.open)
	case e.state == stock.Held:
		b.parked[e] = struct{}{}
	}
}

// touch notes that the entry must be written.
func (b *book) touch(e *entry) {
	if b.changed.any = true; e.last != b.turn {
		e.last = b.turn
		b.changed.entries = append(b.changed.entries, e)
	}
}

func (b *book) touchItem(i *item) {
	if b.changed.any = true; i.last != b.turn {
		i.last = b.turn
		b.changed.items = append(b.changed.items, i)
	}
}

func (b *book) touchHead() { b.last, b.changed.any = b.turn, true }

// sentBy is the Launch that has sent the entry's token; zero: none has.
func (e *entry) sentBy() gate.Token {
	switch {
	case e.itself:
		return e.token
	case e.more != nil:
		return e.more.by
	}
	return gate.Token{}
}

func (e *entry) sent(by gate.Token) {
	e.itself = by == e.token
	switch ref := e.ref(); {
	case e.itself || by == e.sentBy():
	case by == (gate.Token{}) && ref == "":
		e.more = nil
	default:
		e.more = &more{by: by, ref: ref}
	}
}

func (e *entry) ref() string {
	if e.more == nil {
		return ""
	}
	return e.more.ref
}
