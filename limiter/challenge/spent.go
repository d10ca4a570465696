package challenge

// The list of spent challenges of a gateway that is alone. It gives up outliving the process:
// a challenge that was answered just before a restart can be answered once more, and clears
// the same account and device again.

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Spent is Options.Claim for one gateway, in memory. Several gateways need a store.
type Spent struct {
	mu    sync.Mutex
	most  int
	until map[string]time.Time
}

// NewSpent returns a list with room for so many.
func NewSpent(most int) *Spent { return &Spent{most: most, until: map[string]time.Time{}} }

var errFull = errors.New("too many challenges are spent at once")

// Claim is Options.Claim. It fails when the list is full of what must not be forgotten yet.
func (s *Spent) Claim(_ context.Context, id []byte, keep time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if until, ok := s.until[string(id)]; ok && now.Before(until) {
		return false, nil
	}
	s.sweepLocked(now)
	if len(s.until) >= s.most {
		return false, errFull
	}
	s.until[string(id)] = now.Add(keep)
	return true, nil
}

// sweepLocked forgets a little more than is added, wherever the map begins this time.
func (s *Spent) sweepLocked(now time.Time) {
	looks := 4
	for id, until := range s.until {
		if !now.Before(until) {
			delete(s.until, id)
		}
		if looks--; looks == 0 {
			return
		}
	}
}
