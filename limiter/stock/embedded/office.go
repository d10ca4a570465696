package embedded

// The calls of stock.Office.

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

var _ stock.Store = (*Store)(nil)

func (s *Store) Load(ctx context.Context, l stock.Loading) (p stock.Picture, fresh bool, err error) {
	if err := l.Check(); err != nil {
		return p, false, err
	}
	names := []string{l.Ledger}
	for item := range l.Items {
		names = append(names, item)
	}
	if err := checkNames(names...); err != nil {
		return p, false, fmt.Errorf("load ledger: %w", err)
	}
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return p, false, fmt.Errorf("load ledger %q: %w", l.Ledger, s.err)
	}
	b := s.books[l.Ledger]
	if fresh = b == nil; fresh {
		b = s.begin(&l, time.Now())
	}
	p = b.picture()
	wait := s.batch(b.last)
	s.mu.Unlock()
	return p, fresh, s.wait(ctx, l.Ledger, wait)
}

// begin makes the ledger known.
func (s *Store) begin(l *stock.Loading, now time.Time) *book {
	before := s.archived[l.Ledger]
	b := newBook(strings.Clone(l.Ledger), max(uint64(now.UnixMicro()), before+1), l.Terms)
	b.after, b.turn = before, s.next.turn
	for name, units := range l.Items {
		i := b.item(name)
		i.Loaded, i.Free = units, units
	}
	b.touchHead()
	if l.Frozen {
		b.freezeNow(now.UnixMilli())
	}
	delete(s.archived, l.Ledger)
	s.books[b.ledger] = b
	s.note(b)
	return b
}

func (s *Store) SetTerms(ctx context.Context, ledger string, t stock.Terms) error {
	return s.do(ctx, ledger, func(b *book, now int64) (uint64, error) { return b.setTerms(t, now), nil })
}

func (s *Store) SetState(ctx context.Context, ledger string, state stock.State) error {
	if state != stock.Open && state != stock.Paused && state != stock.Closed {
		return fmt.Errorf("set state of ledger %q: there is no state %q", ledger, byte(state))
	}
	return s.do(ctx, ledger, func(b *book, _ int64) (uint64, error) { return b.setState(state), nil })
}

func (s *Store) Adjust(ctx context.Context, a stock.Adjustment) (c stock.Counts, err error) {
	if a.Add < 0 || a.Remove < 0 || (a.Add == 0) == (a.Remove == 0) {
		return c, fmt.Errorf("adjust ledger %q: add %d and remove %d, want one of them", a.Ledger, a.Add, a.Remove)
	}
	if err := checkNames(a.Item); err != nil {
		return c, fmt.Errorf("adjust ledger %q: %w", a.Ledger, err)
	}
	err = s.do(ctx, a.Ledger, func(b *book, now int64) (turn uint64, err error) {
		c, turn, err = b.adjust(&a, now)
		return turn, err
	})
	return c, err
}

func (s *Store) Freeze(ctx context.Context, ledger string) (freeze uint64, err error) {
	err = s.do(ctx, ledger, func(b *book, now int64) (turn uint64, err error) {
		freeze, turn = b.freezeNow(now)
		return turn, nil
	})
	return freeze, err
}

func (s *Store) Thaw(ctx context.Context, ledger string) error {
	return s.do(ctx, ledger, func(b *book, _ int64) (uint64, error) { return b.thaw(), nil })
}

func (s *Store) Reassert(ctx context.Context, a stock.Assertion) (thawed bool, err error) {
	for _, x := range a.Entries {
		if err := checkNames(x.Account, x.Item); err != nil {
			return false, fmt.Errorf("reassert ledger %q: %w", a.Ledger, err)
		}
	}
	err = s.do(ctx, a.Ledger, func(b *book, now int64) (turn uint64, err error) {
		thawed, turn = b.reassert(&a, now)
		return turn, nil
	})
	return thawed && err == nil, err
}

func (s *Store) Archive(ctx context.Context, ledger string) error {
	return s.do(ctx, ledger, func(b *book, _ int64) (uint64, error) {
		if b.open > 0 {
			return 0, stock.ErrOpenTokens
		}
		b.archived = true
		b.touchHead()
		delete(s.books, b.ledger)
		s.archived[b.ledger] = b.Epoch
		return b.turn, nil
	})
}

// entriesPage is how many tokens a page of Entries goes through.
const entriesPage = 1000

func (s *Store) Entries(ctx context.Context, q stock.Query) (found []stock.Entry, next string, err error) {
	var page []gate.Token
	if q.Token == (gate.Token{}) && q.Ref == "" {
		if page, next, err = s.page(q.Ledger, q.Cursor); err != nil {
			return nil, "", err
		}
	}
	err = s.do(ctx, q.Ledger, func(b *book, _ int64) (uint64, error) {
		e := b.tokens[q.Token]
		if q.Ref != "" {
			e = b.refs[q.Ref]
		}
		if e != nil && e.state != stock.Adjusted {
			found = append(found, e.entry())
		}
		for _, token := range page {
			if e := b.tokens[token]; e != nil && (e.state.Open() || e.state == stock.Sold) {
				found = append(found, e.entry())
			}
		}
		return 0, nil
	})
	return found, next, err
}

// page reads the next tokens after the cursor from the file, which keeps them in order.
// The cursor is the last token of the page before.
func (s *Store) page(ledger, cursor string) (tokens []gate.Token, next string, err error) {
	after, err := hex.DecodeString(cursor)
	if err != nil || len(after) != 0 && len(after) != len(gate.Token{}) {
		return nil, "", fmt.Errorf("list ledger %q: bad cursor %q", ledger, cursor)
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(keyLedgers).Bucket([]byte(ledger))
		if b == nil {
			return nil // the books say so, too
		}
		c := b.Bucket(keyTokens).Cursor()
		k, _ := c.Seek(append(after, 0))
		if len(after) == 0 {
			k, _ = c.First()
		}
		for ; k != nil; k, _ = c.Next() {
			if len(tokens) == entriesPage {
				next = hex.EncodeToString(tokens[len(tokens)-1][:])
				return nil
			}
			tokens = append(tokens, gate.Token(k))
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("list ledger %q: %w", ledger, err)
	}
	return tokens, next, nil
}
