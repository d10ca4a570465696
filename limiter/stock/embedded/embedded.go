// Package embedded keeps stock in one file, for one gateway. Memory is the truth while it
// runs, the file when it starts.
//
// Calls change the books in memory one at a time; a committer writes what has changed
// meanwhile in one transaction and one fsync, however many calls wait for it. A call
// answers once its own change, or the one it repeats, is on disk; one that changes
// nothing answers at once. A commit that fails is the end of the store: after a failed
// fsync nobody knows what the disk holds, and trying again would only seem to help.
//
// At the start every sending token becomes held, because its gateway is gone. All tokens
// that were sold stay in memory: about 150 bytes each, and as much for each account.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

var errClosed = errors.New("store is closed")

// Store is a stock.Store in one file.
type Store struct {
	path    string
	db      *bolt.DB
	secret  []byte
	kick    chan struct{} // the next batch is not empty, or the store is closed
	stopped chan struct{}

	mu       sync.Mutex
	books    map[string]*book
	archived map[string]uint64 // ledgers that were put away, and their epochs
	index    digest
	next     *batch
	flying   *batch // is being written
	err      error  // every later call's answer
	closed   bool
}

// Open opens the file at path, or makes it. It fails if another process has it, or if it
// is not as it was written.
func Open(path string) (*Store, error) {
	db, c, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, db: db, secret: c.secret, books: c.books, archived: c.archived, index: c.index, next: newBatch(1),
		kick: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	for _, b := range s.books {
		s.note(b)
	}
	go s.commit()
	return s, nil
}

// Close writes what is under way and gives the file back.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	if first {
		s.closed = true
		if s.err == nil {
			s.err = errClosed
		}
		close(s.kick)
	}
	s.mu.Unlock()
	<-s.stopped
	if first {
		return s.db.Close()
	}
	return nil
}

// Ready fails for good after a commit has failed.
func (s *Store) Ready(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// inMemory are file systems that forget all when the power goes.
var inMemory = map[uint32]string{unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs"}

func (s *Store) Inspect(ctx context.Context) (warnings []string, err error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(s.path), &fs); err != nil {
		return nil, fmt.Errorf("inspect store %s: %w", s.path, err)
	}
	if name := inMemory[uint32(fs.Type)]; name != "" {
		warnings = append(warnings, fmt.Sprintf("store %s is on a %s: it does not survive a loss of power", s.path, name))
	}
	return warnings, nil
}

func (s *Store) Secret(context.Context) ([]byte, error) {
	return append([]byte(nil), s.secret...), nil
}

func (s *Store) Decide(ctx context.Context, a stock.Ask) (d stock.Decision, err error) {
	if err := a.Check(); err != nil {
		return d, err
	}
	if err := checkNames(a.Account); err != nil {
		return d, err
	}
	err = s.do(ctx, a.Ledger, func(b *book, now int64) (turn uint64, err error) {
		d, turn, err = b.decide(&a, now)
		return turn, err
	})
	return d, err
}

func (s *Store) Start(ctx context.Context, l stock.Launch) (r gate.Reason, err error) {
	err = s.do(ctx, l.Ledger, func(b *book, now int64) (turn uint64, err error) {
		r, turn, err = b.start(&l, now)
		return turn, err
	})
	if err != nil {
		return gate.Unset, err // not known to be on disk
	}
	return r, nil
}

func (s *Store) Settle(ctx context.Context, x stock.Settlement) error {
	return s.do(ctx, x.Ledger, func(b *book, now int64) (uint64, error) { return b.settle(&x, now) })
}

func (s *Store) Sweep(ctx context.Context, ledger, gateway string) (swept stock.Swept, err error) {
	err = s.do(ctx, ledger, func(b *book, now int64) (turn uint64, err error) {
		swept, turn = b.sweep(gateway, now)
		return turn, nil
	})
	return swept, err
}

func (s *Store) Look(ctx context.Context, ledger string, since uint64) (p stock.Picture, err error) {
	err = s.do(ctx, ledger, func(b *book, _ int64) (uint64, error) {
		p = b.picture()
		p.Holders, p.Upto = b.page(since)
		return 0, nil
	})
	return p, err
}

func (s *Store) Pulse(_ context.Context, ledgers ...string) ([]stock.Picture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	pictures := make([]stock.Picture, len(ledgers))
	for n, ledger := range ledgers {
		if b := s.books[ledger]; b != nil {
			pictures[n] = b.picture()
		} else {
			_, pictures[n].Archived = s.archived[ledger]
		}
	}
	return pictures, nil
}

// picture is the ledger without its accounts.
func (b *book) picture() stock.Picture {
	p := stock.Picture{
		Stamp: b.Stamp, Items: make(map[string]stock.Counts, len(b.items)), Terms: b.terms, State: b.state,
		Freeze: b.freeze, Frozen: b.freezes, After: b.after, Oversold: b.oversold,
	}
	for name, i := range b.items {
		p.Items[name] = i.Counts
	}
	return p
}

// checkNames keeps out names that the file cannot hold.
func checkNames(names ...string) error {
	for _, name := range names {
		if len(name) >= bolt.MaxKeySize {
			return fmt.Errorf("name of %d bytes is too long", len(name))
		}
	}
	return nil
}
