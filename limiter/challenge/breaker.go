package challenge

// Whether a provider is known to be down: enough to stop asking it for a while, and no more.
// It does not count rates, and does not tell other gateways.

import (
	"sync/atomic"
	"time"
)

const (
	failures = 3                // in a row, until a provider is taken to be down
	rest     = 10 * time.Second // after the last one, until it is asked again
)

// breaker remembers how the last questions ended.
type breaker struct {
	failed atomic.Int32 // questions in a row without an answer, at most failures
	last   atomic.Int64 // when the last of them ended, Unix ns
}

func (b *breaker) asked(at time.Time, err error) {
	if err == nil {
		b.failed.Store(0)
		return
	}
	b.last.Store(at.UnixNano())
	if b.failed.Load() < failures {
		b.failed.Add(1)
	}
}

// down is false again after the rest, and then one more failure is enough.
func (b *breaker) down(at time.Time) bool {
	return b.failed.Load() >= failures && at.UnixNano()-b.last.Load() < int64(rest)
}
