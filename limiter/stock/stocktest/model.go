package stocktest

// A ledger as plainly as it can be said: the reference of the walk and of the histories.
// It knows no durability, no time of day, and no limit of what one call does.

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// model is a list of tokens, counted anew for every answer: it keeps no count that could
// go wrong. Its calls change it; whoever needs it as it was calls clone first. An account
// has at most one open token: it must not be told of others.
type model struct {
	loaded, withdrawn map[string]int
	terms             stock.Terms
	state             stock.State
	frozen            bool
	seq               uint64
	lapsed            map[string]bool // accounts that have lost a reservation since they took one
	tokens            map[gate.Token]ticket
}

type ticket struct {
	stage         stock.Stage
	account, item string
	units, over   int
	by            gate.Token
	due           deadline
	ref           string
}

// deadline is all that the model knows of time: one of zero has passed, others do not.
type deadline byte

const (
	never deadline = iota
	ahead
	passed
)

func in(d time.Duration) deadline {
	if d == 0 {
		return passed
	}
	return ahead
}

// errToken: the token is no order's, or no adjustment's. Stores have errors of their own for it.
var errToken = errors.New("token is another kind's")

func newModel(items map[string]int, t stock.Terms) *model {
	return &model{
		loaded: maps.Clone(items), withdrawn: map[string]int{}, terms: t, state: stock.Open,
		lapsed: map[string]bool{}, tokens: map[gate.Token]ticket{},
	}
}

func (m *model) clone() *model {
	c := *m
	c.loaded, c.withdrawn = maps.Clone(m.loaded), maps.Clone(m.withdrawn)
	c.lapsed, c.tokens = maps.Clone(m.lapsed), maps.Clone(m.tokens)
	return &c
}

// String is the same for models that are.
func (m *model) String() string {
	var b strings.Builder
	fmt.Fprint(&b, m.seq, m.loaded, m.withdrawn, m.lapsed, m.terms, m.state, m.frozen)
	compare := func(a, b gate.Token) int { return slices.Compare(a[:], b[:]) }
	for _, n := range slices.SortedFunc(maps.Keys(m.tokens), compare) {
		fmt.Fprintf(&b, " %x%+v", n, m.tokens[n])
	}
	return b.String()
}

func (m *model) counts(item string) stock.Counts {
	c := stock.Counts{Loaded: m.loaded[item], Withdrawn: m.withdrawn[item]}
	for _, t := range m.tokens {
		if t.item != item || t.account == "" {
			continue
		}
		switch t.stage {
		case stock.Reserved:
			c.Reserved += t.units
		case stock.Sending:
			c.Sending += t.units
		case stock.Held:
			c.Held += t.units
		case stock.Sold:
			c.Sold += t.units
		}
	}
	c.Free = c.Loaded - c.Reserved - c.Sending - c.Held - c.Sold - c.Withdrawn
	return c
}

func (m *model) holding(account string) (h stock.Holding) {
	for _, t := range m.tokens {
		if t.account == account && t.stage == stock.Sold {
			h.Bought += t.units + t.over
		}
		h.Open = h.Open || t.account == account && t.stage.Open()
	}
	return h
}

// open is the account's open token; zero: none.
func (m *model) open(account string) gate.Token {
	for n, t := range m.tokens {
		if t.account == account && t.stage.Open() {
			return n
		}
	}
	return gate.Token{}
}

// picture has all accounts that hold something. A number stands for every freeze.
func (m *model) picture() stock.Picture {
	p := stock.Picture{Items: map[string]stock.Counts{}, Holders: map[string]stock.Holding{}, Terms: m.terms, State: m.state}
	p.Seq, p.Upto = m.seq, m.seq
	for item := range m.loaded {
		p.Items[item] = m.counts(item)
	}
	for _, t := range m.tokens {
		p.Oversold += t.over
		if h := m.holding(t.account); t.account != "" && h != (stock.Holding{}) {
			p.Holders[t.account] = h
		}
	}
	if m.frozen {
		p.Freeze = 1
	}
	return p
}

// entry is what Entries finds of a token.
func (m *model) entry(n gate.Token) (e stock.Entry, found bool) {
	t, known := m.tokens[n]
	if !known || t.stage == stock.Adjusted {
		return e, false
	}
	return stock.Entry{
		Token: n, By: t.by, State: t.stage, Account: t.account, Item: t.item, Units: t.units, Over: t.over, Ref: t.ref,
	}, true
}

// put is the only way that tokens change.
func (m *model) put(n gate.Token, t ticket) {
	before := m.holding(t.account)
	m.tokens[n] = t
	if t.account != "" && m.holding(t.account) != before {
		m.seq++
	}
	if t.stage.Open() {
		delete(m.lapsed, t.account)
	}
}

func (m *model) decide(a stock.Ask) (stock.Decision, error) {
	if a.Order {
		return m.order(a.Account)
	}
	reason, err := m.judge(a)
	if reason == gate.Unset && err == nil {
		reason = gate.Admitted
		m.put(a.Token, ticket{stage: stock.Reserved, account: a.Account, item: a.Item, units: a.Units, due: in(m.terms.ReserveFor)})
	}
	c := m.counts(a.Item)
	return stock.Decision{
		Stamp: stock.Stamp{Seq: m.seq}, Reason: reason, Free: c.Free, Pending: c.Pending(), Bought: m.holding(a.Account).Bought,
	}, err
}

// judge answers Unset where the units can be reserved.
func (m *model) judge(a stock.Ask) (gate.Reason, error) {
	t, seen := m.tokens[a.Token]
	h := m.holding(a.Account)
	_, known := m.loaded[a.Item]
	switch {
	case seen && !t.stage.Open() && t.stage != stock.Sold:
		return gate.ReservationExpired, nil
	case seen:
		return gate.Admitted, nil
	case h.Open:
		return gate.OrderPending, nil
	case h.Bought >= m.terms.PerAccount:
		return gate.AlreadyBought, nil
	case h.Bought+a.Units > m.terms.PerAccount:
		return gate.Limit, nil
	case m.frozen:
		return gate.Unset, stock.ErrFrozen
	case m.state == stock.Paused:
		return gate.Paused, nil
	case m.state == stock.Closed:
		return gate.Closed, nil
	case !known:
		return gate.UnknownItem, nil
	case m.counts(a.Item).Free < a.Units:
		return gate.SoldOut, nil
	}
	return gate.Unset, nil
}

func (m *model) order(account string) (stock.Decision, error) {
	d := stock.Decision{Stamp: stock.Stamp{Seq: m.seq}, Bought: m.holding(account).Bought}
	n := m.open(account)
	t, open := m.tokens[n]
	switch {
	case m.frozen:
		return d, stock.ErrFrozen
	case !open && d.Bought > 0:
		d.Reason = gate.AlreadyBought
	case !open:
		d.Reason, d.Stranger = gate.ReservationExpired, !m.lapsed[account]
	case t.stage != stock.Reserved:
		d.Reason = gate.OrderPending
	case t.due == passed:
		d.Reason = gate.ReservationExpired
	default:
		c := m.counts(t.item)
		d.Reason, d.Token, d.Item, d.Units, d.Free, d.Pending = gate.Admitted, n, t.item, t.units, c.Free, c.Pending()
	}
	return d, nil
}

func (m *model) start(l stock.Launch) (gate.Reason, error) {
	t := m.tokens[l.Token]
	switch {
	case m.tokens[l.By].stage == stock.Cancelled, !t.stage.Open() && t.stage != stock.Sold,
		t.stage == stock.Reserved && t.due == passed:
		return gate.ReservationExpired, nil
	case t.stage == stock.Sending && t.by == l.By:
		return gate.Admitted, nil
	case t.stage == stock.Sending, t.stage == stock.Held:
		return gate.OrderPending, nil
	case t.stage == stock.Sold:
		return gate.AlreadyBought, nil
	case m.frozen:
		return gate.Unset, stock.ErrFrozen
	}
	t.stage, t.by, t.due = stock.Sending, l.By, in(m.terms.SendingFor)
	m.put(l.Token, t)
	return gate.Admitted, nil
}

func (m *model) settle(s stock.Settlement) error {
	t, seen := m.tokens[s.Token]
	another := t.stage == stock.Sending && s.By != (gate.Token{}) && s.By != t.by
	switch {
	case t.stage == stock.Adjusted:
		return errToken
	case s.Outcome == rules.OutcomeSold:
		return m.sell(s.Token, t, s.Ref)
	case s.Outcome == rules.OutcomeUnknown:
		if (t.stage == stock.Reserved || t.stage == stock.Sending) && !another {
			m.hold(s.Token, t)
		}
	case s.Unsent && s.By != (gate.Token{}) && s.By != s.Token:
		m.unsend(s.Token, s.By)
	case !seen:
		m.put(s.Token, ticket{stage: stock.Cancelled})
	case t.stage == stock.Sold:
		return stock.ErrSold
	case t.stage.Open() && !another:
		m.free(s.Token, t, !s.Unsent)
	}
	return nil
}

// sell: of a token never seen nobody knows the account, so it is one unit that was not there.
func (m *model) sell(n gate.Token, t ticket, ref string) error {
	if !t.stage.Open() && t.stage != stock.Sold {
		asked := max(t.units, 1)
		t.units = 0
		if t.account != "" {
			t.units = min(asked, max(m.counts(t.item).Free, 0))
		}
		t.over = asked - t.units
	}
	t.stage, t.due = stock.Sold, never
	if t.ref == "" {
		t.ref = ref
	}
	m.put(n, t)
	if t.over > 0 {
		return stock.ErrOversold
	}
	return nil
}

// hold keeps the token until it is known what became of its order.
func (m *model) hold(n gate.Token, t ticket) {
	t.stage, t.due = stock.Held, m.heldUntil()
	m.put(n, t)
}

// heldUntil: whoever is to be asked is asked at once.
func (m *model) heldUntil() deadline {
	switch m.terms.Unknown {
	case rules.Release:
		return in(m.terms.UnknownAfter)
	case rules.Resolve:
		return passed
	}
	return never
}

func (m *model) unsend(n, by gate.Token) {
	if _, seen := m.tokens[by]; !seen {
		m.put(by, ticket{stage: stock.Cancelled})
	}
	if t := m.tokens[n]; (t.stage == stock.Sending || t.stage == stock.Held) && t.by == by {
		t.stage, t.by, t.due = stock.Reserved, gate.Token{}, in(m.terms.ReserveFor)
		m.put(n, t)
	}
}

func (m *model) free(n gate.Token, t ticket, lost bool) {
	t.stage, t.due = stock.Cancelled, never
	m.put(n, t)
	if lost && m.terms.Steps {
		m.lapsed[t.account] = true
	}
}
