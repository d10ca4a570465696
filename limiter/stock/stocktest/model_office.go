package stocktest

// What the model does beside taking and settling units.

import (
	"maps"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// sweep moves every token that is past its deadline once, and says which are to be asked
// about; they count as moved.
func (m *model) sweep() (moved int, ask map[gate.Token]bool) {
	ask = map[gate.Token]bool{}
	if m.frozen {
		return 0, ask
	}
	for n, t := range maps.Clone(m.tokens) {
		if !t.stage.Open() || t.due != passed {
			continue
		}
		moved++
		switch {
		case t.stage == stock.Reserved, t.stage == stock.Held && m.terms.Unknown == rules.Release:
			m.free(n, t, true)
		case t.stage == stock.Sending:
			m.hold(n, t)
		case m.terms.Unknown == rules.Resolve:
			ask[n] = true
			t.due = in(m.terms.UnknownAfter)
			m.put(n, t)
		default: // kept from now on
			moved--
			t.due = never
			m.put(n, t)
		}
	}
	return moved, ask
}

// setTerms: deadlines that run stay, held tokens that have none get one if they need it.
func (m *model) setTerms(t stock.Terms) {
	m.terms = t
	for n, t := range maps.Clone(m.tokens) {
		if t.stage == stock.Held && t.due == never {
			m.hold(n, t)
		}
	}
}

func (m *model) adjust(a stock.Adjustment) (stock.Counts, error) {
	t, seen := m.tokens[a.Token]
	_, known := m.loaded[a.Item]
	switch {
	case seen && t.stage != stock.Adjusted:
		return stock.Counts{}, errToken
	case seen:
		return m.counts(a.Item), nil
	case a.Remove > 0 && (!known || m.counts(a.Item).Free < a.Remove):
		return stock.Counts{}, stock.ErrTooFew
	}
	m.loaded[a.Item] += a.Add
	m.withdrawn[a.Item] += a.Remove
	m.put(a.Token, ticket{stage: stock.Adjusted})
	return m.counts(a.Item), nil
}

// archive fails where a token is open; else nothing is left of the model.
func (m *model) archive() error {
	for _, t := range m.tokens {
		if t.stage.Open() {
			return stock.ErrOpenTokens
		}
	}
	return nil
}

// rank is how far a token has come, for assertions.
var rank = map[stock.Stage]int{
	stock.Cancelled: 1, stock.Reserved: 2, stock.Sending: 3, stock.Held: 4, stock.Sold: 5,
}

// assert is what a gateway tells of a token while the ledger is frozen. The deadlines it
// tells of have not passed.
func (m *model) assert(x stock.Entry) {
	t, seen := m.tokens[x.Token]
	nobody := t.stage == stock.Sold && t.account == ""
	switch {
	case x.Account == "" && x.State != stock.Cancelled && x.State != stock.Sold, t.stage == stock.Adjusted:
		return
	case x.State == stock.Cancelled:
		if !seen {
			m.put(x.Token, ticket{stage: stock.Cancelled})
		}
		return
	case nobody && x.Account != "":
		x.State = stock.Sold
	case seen && rank[x.State] <= rank[t.stage]:
		return
	}
	if !t.stage.Open() { // an open one has its units
		t.units, t.over = x.Units, x.Over
		if x.Account == "" && t.account == "" {
			t.units, t.over = 0, max(x.Over, 1)
		}
	}
	if t.account == "" && x.Account != "" {
		t.account, t.item = x.Account, x.Item
		m.loaded[t.item] += 0
	}
	m.advance(x, t)
}

func (m *model) advance(x stock.Entry, t ticket) {
	if x.By != (gate.Token{}) {
		t.by = x.By
	}
	if t.ref == "" {
		t.ref = x.Ref
	}
	switch t.stage = x.State; t.stage {
	case stock.Held:
		t.due = m.heldUntil()
	case stock.Sold:
		t.due = never
	default:
		t.due = ahead
	}
	m.put(x.Token, t)
}
