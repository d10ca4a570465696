package embedded

// What else is kept in the file, by others: buckets of their own beside the stock's. A
// hand-over gives them on with the file.

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Write runs op, and answers when what it wrote is on disk. Calls at the same time share a
// commit, for which the first waits up to 10 ms; op may be run again, alone, if another's
// fails. A commit that fails is the end of the store, as one of the stock's is.
func (s *Store) Write(op func(*bolt.Tx) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	var refused error
	err := s.db.Batch(func(tx *bolt.Tx) error {
		refused = op(tx)
		return refused
	})
	if err == nil || refused != nil {
		return err
	}
	if s.usable() == errClosed { // nothing was begun
		return errClosed
	}
	return s.fail(fmt.Errorf("beside the stock: %w", err))
}

func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
