package stock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"penstock/proxy/gate"
	"penstock/rules"
)

var errClosed = errors.New("store is closed")

// Embedded is a Store in one file, for one gateway. Memory is the truth while it runs,
// the file when it starts.
//
// Calls change the books in memory one at a time; a committer writes what has changed
// meanwhile in one transaction and one fsync, however many calls wait for it. A call
// answers once its own change, or the one it repeats, is on disk; one that changes
// nothing answers at once. A commit that fails is the end of the store: after a failed
// fsync nobody knows what the disk holds, and trying again would only seem to help.
//
// At the start every sending token becomes held, because its gateway is gone.
type Embedded struct {
	db      *bolt.DB
	secret  []byte
	loading sync.Mutex    // one Load at a time
	kick    chan struct{} // the next batch is not empty, or the store is closed
	stopped chan struct{}

	mu     sync.Mutex
	books  map[string]*book
	next   *batch
	err    error // every later call's answer
	closed bool
}

// batch is what one commit writes.
type batch struct {
	changed map[string]map[*entry]struct{} // by ledger
	done    chan struct{}
	err     error // set before done is closed
}

func newBatch() *batch {
	return &batch{changed: make(map[string]map[*entry]struct{}), done: make(chan struct{})}
}

// OpenEmbedded opens the file at path, or makes it. It fails if another process has it.
func OpenEmbedded(path string) (*Embedded, error) {
	db, secret, books, err := openFile(path)
	if err != nil {
		return nil, err
	}
	e := &Embedded{
		db: db, secret: secret, books: books, next: newBatch(),
		kick: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	for ledger, b := range books {
		b.touch = e.touch(ledger)
	}
	go e.commit()
	return e, nil
}

// Close writes what is under way and gives the file back.
func (e *Embedded) Close() error {
	e.mu.Lock()
	first := !e.closed
	if first {
		e.closed = true
		if e.err == nil {
			e.err = errClosed
		}
		close(e.kick)
	}
	e.mu.Unlock()
	<-e.stopped
	if first {
		return e.db.Close()
	}
	return nil
}

// Ready fails for good after a commit has failed.
func (e *Embedded) Ready(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *Embedded) Load(_ context.Context, ledger string, items map[string]int) (map[string]int, error) {
	if err := checkLoad(ledger, items); err != nil {
		return nil, err
	}
	e.loading.Lock()
	defer e.loading.Unlock()
	e.mu.Lock()
	b, err := e.books[ledger], e.err
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if b == nil {
		b = newBook(items)
		b.touch = e.touch(ledger)
		if err := e.db.Update(func(tx *bolt.Tx) error { return writeLedger(tx, ledger, items) }); err != nil {
			return nil, e.fail(err)
		}
		e.mu.Lock()
		e.books[strings.Clone(ledger)] = b
		e.mu.Unlock()
		return maps.Clone(items), nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	loaded := make(map[string]int, len(b.items))
	for item, c := range b.items {
		loaded[item] = c.Loaded
	}
	return loaded, nil
}

func (e *Embedded) Decide(ctx context.Context, a Ask) (d Decision, err error) {
	if err := a.check(); err != nil {
		return Decision{}, err
	}
	err = e.do(ctx, a.Ledger, func(b *book, now int64) (changed *entry, err error) {
		d, changed = b.decide(&a, now)
		return changed, nil
	})
	return d, err
}

func (e *Embedded) Start(ctx context.Context, ledger string, token gate.Token, sendingFor time.Duration) (ok bool, err error) {
	err = e.do(ctx, ledger, func(b *book, now int64) (changed *entry, err error) {
		changed, ok = b.start(token, now, now+sendingFor.Milliseconds())
		return changed, nil
	})
	return ok && err == nil, err
}

func (e *Embedded) Settle(ctx context.Context, ledger string, token gate.Token, outcome rules.Outcome) error {
	return e.do(ctx, ledger, func(b *book, now int64) (*entry, error) {
		return b.settle(token, outcome, now)
	})
}

func (e *Embedded) Sweep(ctx context.Context, ledger string) (moved int, err error) {
	err = e.do(ctx, ledger, func(b *book, now int64) (changed *entry, err error) {
		moved, changed = b.sweep(now)
		return changed, nil
	})
	return moved, err
}

func (e *Embedded) Look(ctx context.Context, ledger string) (p Picture, err error) {
	err = e.do(ctx, ledger, func(b *book, _ int64) (*entry, error) {
		p = b.picturePlus()
		return nil, nil
	})
	return p, err
}

func (e *Embedded) Pulse(_ context.Context, ledgers ...string) ([]Picture, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, e.err
	}
	pictures := make([]Picture, len(ledgers))
	for i, ledger := range ledgers {
		if b := e.books[ledger]; b != nil {
			pictures[i] = b.picture()
		}
	}
	return pictures, nil
}

func (e *Embedded) Secret(context.Context) ([]byte, error) {
	return append([]byte(nil), e.secret...), nil
}

// do runs op on the ledger's book and waits until the entry it returns is on disk. An
// error of op's own comes after that. One of ctx means that the change is still coming.
func (e *Embedded) do(ctx context.Context, ledger string, op func(b *book, now int64) (*entry, error)) error {
	changed, err, fatal := e.change(ledger, op)
	if fatal != nil {
		return fmt.Errorf("ledger %q: %w", ledger, fatal)
	}
	if changed != nil {
		select {
		case <-changed.done:
		case <-ctx.Done():
			return fmt.Errorf("commit to ledger %q: %w", ledger, ctx.Err())
		}
		if changed.err != nil {
			return changed.err
		}
	}
	return err
}

// change runs op under the lock. It returns the batch that the entry's last change is
// part of, which may be another call's.
func (e *Embedded) change(ledger string, op func(*book, int64) (*entry, error)) (b *batch, err, fatal error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, nil, e.err
	}
	book := e.books[ledger]
	if book == nil {
		return nil, nil, ErrNotLoaded
	}
	entry, err := op(book, time.Now().UnixMilli())
	if entry != nil {
		b = entry.last
	}
	return b, err, nil
}

// touch notes that an entry of the ledger must be written. Called under the lock.
func (e *Embedded) touch(ledger string) func(*entry) {
	ledger = strings.Clone(ledger)
	return func(changed *entry) {
		b := e.next
		if b.changed[ledger] == nil {
			b.changed[ledger] = make(map[*entry]struct{})
		}
		b.changed[ledger][changed] = struct{}{}
		changed.last = b
		select {
		case e.kick <- struct{}{}:
		default:
		}
	}
}

// commit is the committer: one batch after the other, each with all that came while the
// one before was written.
func (e *Embedded) commit() {
	defer close(e.stopped)
	for range e.kick {
		e.mu.Lock()
		b, broken := e.next, e.err
		e.next = newBatch()
		w := e.encode(b)
		e.mu.Unlock()
		if broken == errClosed { // these calls came before
			broken = nil
		}
		if broken == nil && len(w) > 0 {
			if err := e.db.Update(w.write); err != nil {
				broken = e.fail(err)
			}
		}
		b.changed, b.err = nil, broken
		close(b.done)
	}
}

// encode takes the entries as they are now: later changes are the next batch's.
func (e *Embedded) encode(b *batch) writes {
	w := make(writes, 0, len(b.changed))
	for ledger, entries := range b.changed {
		l := ledgerWrite{ledger: ledger, seq: e.books[ledger].seq}
		for entry := range entries {
			r := tokenWrite{key: tokenKey(entry.token)}
			if entry.state != cancelled {
				r.record = entry.record()
			}
			l.tokens = append(l.tokens, r)
		}
		w = append(w, l)
	}
	return w
}

// fail ends the store.
func (e *Embedded) fail(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil || e.err == errClosed {
		e.err = fmt.Errorf("store %s can only be restarted: commit: %w", e.db.Path(), err)
	}
	return e.err
}
