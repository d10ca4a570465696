package redis

import (
	"errors"
	"runtime"

	"penstock/limiter/stock"
)

const (
	BatchLimit = batchLimit
	QueueLimit = queueLimit
)

// Alike makes the store treat a decision that comes alone as any batch.
func Alike(s *Store) *Store {
	s.alike = true
	return s
}

func IsFull(err error) bool { return errors.Is(err, errFull) }

// Queued returns when so many calls wait in the ledger's lane.
func Queued(s *Store, ledger string, n int) {
	await(s, ledger, func(l *lane) bool { return len(l.queue) >= n })
}

// Busy returns when a round trip of the ledger is under way.
func Busy(s *Store, ledger string) { await(s, ledger, func(l *lane) bool { return l.busy }) }

func await(s *Store, ledger string, holds func(*lane) bool) {
	for l := s.way(ledger).all; ; runtime.Gosched() {
		l.mu.Lock()
		done := holds(l)
		l.mu.Unlock()
		if done {
			return
		}
	}
}

// Repack sends an entry through Redis' form of it.
func Repack(e stock.Entry) stock.Entry { return entry(text(e.Token), string(record(&e))) }

// Scripts are what a test holds against the Go side.
var Scripts = struct{ Move, Record string }{moveLua, recordLua}
