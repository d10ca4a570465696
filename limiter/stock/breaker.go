package stock

import (
	"errors"
	"sync"
	"time"
)

// A store that is slow does more harm than one that is dead: every request waits out
// its budget. After some calls in a row have failed, or taken longer than their budget,
// which is a failure, too, nobody asks any more for a while; then one call tries.

var errBroken = errors.New("store has failed again and again: not asked for a moment")

const (
	tripAfter = 8 // failures in a row
	breakMin  = 100 * time.Millisecond
	breakMax  = time.Second
)

// breaker is closed when it is zero.
type breaker struct {
	mu     sync.Mutex
	failed int // in a row
	rest   time.Duration
	until  time.Time // no call before
}

// allow reports whether the store may be asked. While it is broken one caller may, each
// time the rest is over.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed < tripAfter {
		return true
	}
	now := time.Now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(b.rest) // for all others, until it is known
	return true
}

// note counts how a call ended. What a store has to say of a ledger or a token is an
// answer, not a failure.
func (b *breaker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil || answers(err) {
		b.failed, b.rest = 0, 0
		return
	}
	if b.failed++; b.failed < tripAfter {
		return
	}
	now := time.Now()
	if b.failed == tripAfter || !now.Before(b.until.Add(-b.rest)) {
		b.rest = min(max(2*b.rest, breakMin), breakMax)
		b.until = now.Add(b.rest)
	}
}

func answers(err error) bool {
	for _, e := range []error{ErrNotLoaded, ErrFrozen, ErrCut, ErrDamaged, ErrOversold, ErrSold} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// open reports whether the store is not asked at the moment.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed >= tripAfter
}
