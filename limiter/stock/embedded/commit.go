package embedded

// From the books to the file: many calls, one commit.

import (
	"context"
	"fmt"
	"time"

	"penstock/limiter/stock"
)

// batch is what one commit writes.
type batch struct {
	turn  uint64
	books []*book
	done  chan struct{}
	err   error // set before done is closed
}

func newBatch(turn uint64) *batch { return &batch{turn: turn, done: make(chan struct{})} }

// do runs op on the ledger's book and waits until the turn it returns is on disk. An
// error of op's own comes after that. One of ctx means that the change is still coming.
func (s *Store) do(ctx context.Context, ledger string, op func(b *book, now int64) (turn uint64, err error)) error {
	wait, err, fatal := s.change(ledger, op)
	if fatal != nil {
		return fmt.Errorf("ledger %q: %w", ledger, fatal)
	}
	if fatal := s.wait(ctx, ledger, wait); fatal != nil {
		return fatal
	}
	if err != nil {
		return fmt.Errorf("ledger %q: %w", ledger, err)
	}
	return nil
}

func (s *Store) wait(ctx context.Context, ledger string, b *batch) error {
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("commit to ledger %q: %w", ledger, ctx.Err())
	}
}

// change runs op under the lock, and returns the batch to wait for.
func (s *Store) change(ledger string, op func(*book, int64) (uint64, error)) (wait *batch, err, fatal error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	b := s.books[ledger]
	if b == nil {
		return nil, nil, stock.ErrNotLoaded
	}
	b.turn = s.next.turn
	turn, err := op(b, time.Now().UnixMilli())
	s.note(b)
	return s.batch(turn), err, nil
}

// note puts the book on the next commit's list, if it has changed and is not there yet.
func (s *Store) note(b *book) {
	if !b.changed.any || b.listed == s.next.turn {
		return
	}
	b.listed = s.next.turn
	s.next.books = append(s.next.books, b)
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// batch is the one with this turn, unless it is on disk.
func (s *Store) batch(turn uint64) *batch {
	switch {
	case turn == s.next.turn:
		return s.next
	case s.flying != nil && turn == s.flying.turn:
		return s.flying
	}
	return nil
}

// commit is the committer: one batch after the other, each with all that came while the
// one before was written.
func (s *Store) commit() {
	defer close(s.stopped)
	for range s.kick {
		s.mu.Lock()
		b, broken := s.next, s.err
		s.next, s.flying = newBatch(b.turn+1), b
		w := s.encode(b)
		s.mu.Unlock()
		if broken == errClosed { // these calls came before
			broken = nil
		}
		if broken == nil && len(w.ledgers) > 0 {
			if err := s.db.Update(w.write); err != nil {
				broken = s.fail(err)
			}
		}
		s.mu.Lock()
		b.books, b.err, s.flying = nil, broken, nil
		close(b.done)
		s.mu.Unlock()
	}
}

// encode takes the books' changes as they are now: later ones are the next batch's.
func (s *Store) encode(b *batch) *writes {
	w := &writes{ledgers: make([]ledgerWrite, 0, len(b.books))}
	for _, book := range b.books {
		w.ledgers = append(w.ledgers, s.encodeBook(book))
		book.changed = changes{}
	}
	w.index = s.index
	return w
}

func (s *Store) encodeBook(b *book) ledgerWrite {
	w := ledgerWrite{name: b.ledger, fresh: !b.kept}
	if b.kept {
		s.index.drop(b.sum)
	} else if b.after != 0 {
		_, sum := marker(b.ledger, b.after)
		s.index.drop(sum)
	}
	if b.archived {
		var sum uint32
		w.marker, sum = marker(b.ledger, b.Epoch)
		s.index.add(sum)
		return w
	}
	for _, i := range b.changed.items {
		w.items = append(w.items, i.encode(&b.records))
	}
	for _, e := range b.changed.entries {
		w.tokens = e.encode(w.tokens, &b.records)
	}
	for _, h := range b.changed.marks {
		w.lapsed = h.encode(w.lapsed, &b.records)
	}
	w.head, b.sum = sealed([]byte(b.ledger), b.head.record())
	b.kept = true
	s.index.add(b.sum)
	return w
}

// marker is the record of an archived ledger.
func marker(ledger string, epoch uint64) ([]byte, uint32) {
	var w writer
	w.num(epoch)
	return sealed([]byte(ledger), w)
}

func (i *item) encode(d *digest) keyed {
	if i.kept {
		d.drop(i.sum)
	}
	k := keyed{key: []byte(itemPrefix + i.name)}
	k.record, i.sum = sealed(k.key, i.record())
	i.kept = true
	d.add(i.sum)
	return k
}

func (e *entry) encode(list []keyed, d *digest) []keyed {
	if e.kept {
		d.drop(e.sum)
	}
	k, was := keyed{key: e.token[:]}, e.kept
	if e.kept = e.state != forgotten; e.kept {
		k.record, e.sum = sealed(k.key, e.record())
		d.add(e.sum)
	} else if !was {
		return list
	}
	return append(list, k)
}

func (h *holder) encode(list []keyed, d *digest) []keyed {
	if h.marked == h.lapsed {
		return list // to and fro, or noted twice
	}
	k := keyed{key: []byte(h.account)}
	record, sum := sealed(k.key, nil)
	if h.marked = h.lapsed; h.lapsed {
		k.record = record
		d.add(sum)
	} else {
		d.drop(sum)
	}
	return append(list, k)
}

// fail ends the store.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || s.err == errClosed {
		s.err = fmt.Errorf("store %s can only be restarted: commit: %w", s.path, err)
	}
	return s.err
}
