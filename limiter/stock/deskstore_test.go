package stock_test

// A store for tests of the desk: a map, counted anew for every answer, three tokens to a
// page. It has no deadlines; what the desk does not call is not there.

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

type shelf struct {
	stock.Store // nil: the desk does not call what is not here

	mu      sync.Mutex
	ledgers map[string]*shelved
	paged   func() // called before every page
	trouble error
}

type shelved struct {
	archived bool
	p        stock.Picture
	loaded   map[string]int
	gone     map[string]int // withdrawn
	done     map[gate.Token]bool
	tokens   map[gate.Token]stock.Entry
}

func newShelf() *shelf { return &shelf{ledgers: make(map[string]*shelved)} }

// put makes a token be as e says.
func (s *shelf) put(ledger string, e stock.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgers[ledger]
	l.tokens[e.Token] = e
	l.p.Seq++
}

func (l *shelved) picture() stock.Picture {
	p := l.p
	p.Items, p.Oversold = make(map[string]stock.Counts), 0
	for item, n := range l.loaded {
		p.Items[item] = stock.Counts{Loaded: n, Free: n - l.gone[item], Withdrawn: l.gone[item]}
	}
	for _, e := range l.tokens {
		c, loaded := p.Items[e.Item]
		if !loaded {
			continue
		}
		switch e.State {
		case stock.Reserved:
			c.Reserved += e.Units
		case stock.Sending:
			c.Sending += e.Units
		case stock.Held:
			c.Held += e.Units
		case stock.Sold:
			c.Sold += e.Units
		default:
			continue
		}
		c.Free -= e.Units
		p.Items[e.Item] = c
		p.Oversold += e.Over
	}
	return p
}

func (s *shelf) known(ledger string) (*shelved, error) {
	if s.trouble != nil {
		return nil, s.trouble
	}
	if l := s.ledgers[ledger]; l != nil && !l.archived {
		return l, nil
	}
	return nil, stock.ErrNotLoaded
}

func (s *shelf) Pulse(_ context.Context, ledgers ...string) (all []stock.Picture, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil {
		return nil, s.trouble
	}
	for _, name := range ledgers {
		l := s.ledgers[name]
		switch {
		case l == nil:
			all = append(all, stock.Picture{})
		case l.archived:
			all = append(all, stock.Picture{Archived: true})
		default:
			all = append(all, l.picture())
		}
	}
	return all, nil
}

func (s *shelf) Entries(_ context.Context, q stock.Query) (found []stock.Entry, next string, err error) {
	if s.paged != nil {
		s.paged()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.known(q.Ledger)
	if err != nil {
		return nil, "", err
	}
	if q.Token != (gate.Token{}) {
		if e, ok := l.tokens[q.Token]; ok {
			found = append(found, e)
		}
		return found, "", nil
	}
	tokens := slices.SortedFunc(maps.Keys(l.tokens), func(a, b gate.Token) int { return bytes.Compare(a[:], b[:]) })
	for _, t := range tokens {
		e := l.tokens[t]
		switch {
		case e.State == stock.Cancelled, q.Ref != "" && e.Ref != q.Ref, string(t[:]) <= q.Cursor:
		case len(found) == 3:
			last := found[2].Token
			return found, string(last[:]), nil
		default:
			found = append(found, e)
		}
	}
	return found, "", nil
}

func (s *shelf) Settle(_ context.Context, x stock.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.known(x.Ledger)
	if err != nil {
		return err
	}
	e, was := l.tokens[x.Token], l.picture()
	l.p.Seq++
	switch {
	case x.Outcome == rules.OutcomeFree && e.State == stock.Sold:
		return stock.ErrSold
	case x.Outcome == rules.OutcomeFree:
		e.State = stock.Cancelled
	case e.State == stock.Cancelled && was.Items[e.Item].Free < e.Units:
		e.State, e.Over, e.Units, e.Ref = stock.Sold, e.Units, 0, x.Ref
		err = stock.ErrOversold
	default:
		e.State, e.Ref = stock.Sold, x.Ref
	}
	e.Token = x.Token
	l.tokens[x.Token] = e
	return err
}

func (s *shelf) Adjust(_ context.Context, a stock.Adjustment) (stock.Counts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.known(a.Ledger)
	if err != nil {
		return stock.Counts{}, err
	}
	if l.picture().Items[a.Item].Free < a.Remove && !l.done[a.Token] {
		return stock.Counts{}, stock.ErrTooFew
	}
	if !l.done[a.Token] {
		l.done[a.Token] = true
		l.loaded[a.Item] += a.Add
		l.gone[a.Item] += a.Remove
	}
	return l.picture().Items[a.Item], nil
}

func (s *shelf) Load(_ context.Context, x stock.Loading) (stock.Picture, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, err := s.known(x.Ledger); err == nil {
		return l.picture(), false, nil
	}
	l := &shelved{loaded: maps.Clone(x.Items), gone: map[string]int{}, done: map[gate.Token]bool{}, tokens: map[gate.Token]stock.Entry{}}
	l.p = stock.Picture{Terms: x.Terms, State: stock.Open, Stamp: stock.Stamp{Epoch: uint64(len(s.ledgers) + 1)}}
	if x.Frozen {
		l.p.Freeze = 1
	}
	s.ledgers[x.Ledger] = l
	return l.picture(), true, nil
}

func (s *shelf) SetTerms(_ context.Context, ledger string, t stock.Terms) error {
	return s.set(ledger, func(l *shelved) { l.p.Terms = t })
}

func (s *shelf) SetState(_ context.Context, ledger string, to stock.State) error {
	return s.set(ledger, func(l *shelved) { l.p.State = to })
}

func (s *shelf) Thaw(_ context.Context, ledger string) error {
	return s.set(ledger, func(l *shelved) { l.p.Freeze = 0 })
}

func (s *shelf) Archive(_ context.Context, ledger string) error {
	return s.set(ledger, func(l *shelved) { l.archived = true })
}

func (s *shelf) set(ledger string, change func(*shelved)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.known(ledger)
	if err == nil {
		change(l)
	}
	return err
}

// tokenNo is a token by number.
func tokenNo(n byte) gate.Token { return gate.Token{n} }

// eight is when everything in these tests happens.
var eight = time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)

// oneUnit is one unit of the only item, changed at eight.
func oneUnit(n byte, state stock.Stage, account, ref string) stock.Entry {
	return stock.Entry{Token: tokenNo(n), State: state, Account: account, Units: 1, Changed: eight, Ref: ref}
}
