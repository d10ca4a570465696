package stock

import (
	"context"
	"sync"
	"time"
)

const (
	// outboxCancels bounds the cancels that wait. One that is dropped costs nothing but
	// time: its token passed no fence, so its units come back at the deadline.
	outboxCancels = 16384

	repayMin  = 50 * time.Millisecond // between two tries, doubled up to
	repayMax  = time.Second           // units wait for it
	lastRepay = 2 * time.Second       // for the last try
)

// outbox holds debts in order. Those of orders are never dropped; there are at most as
// many as open tokens.
type outbox struct {
	mu    sync.Mutex
	debts []Settlement
	taken int // by a try that is under way
	wake  chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) owe(d Settlement) {
	o.mu.Lock()
	o.debts = append(o.debts, d)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// cancel owes the settle of a token that may or may not be reserved.
func (o *outbox) cancel(d Settlement) {
	if o.length() < outboxCancels {
		o.owe(d)
	}
}

func (o *outbox) length() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.debts) + o.taken
}

// take empties the outbox until putBack.
func (o *outbox) take() []Settlement {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.debts
	o.debts, o.taken = nil, len(all)
	return all
}

// putBack puts what is left of the taken before those that came meanwhile.
func (o *outbox) putBack(debts []Settlement) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.debts, o.taken = append(debts, o.debts...), 0
}

// repay tries the outbox whenever something comes, and after a failure with back-off.
func (s *Stock) repay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRepay)
			defer cancel()
			s.flush(last)
			return
		case <-s.outbox.wake:
		}
		for wait := repayMin; !s.flush(ctx) && ctx.Err() == nil; wait = min(2*wait, repayMax) {
			select {
			case <-ctx.Done():
			case <-time.After(jittered(wait)):
			}
		}
	}
}

// flush reports whether nothing is owed any more. It stops at trouble with the store,
// but one ledger that is not there does not keep the others waiting.
func (s *Stock) flush(ctx context.Context) bool {
	debts := s.outbox.take()
	var kept []Settlement
	for i, d := range debts {
		l := s.ledger(d.Ledger)
		switch {
		case ctx.Err() != nil:
			kept = append(kept, debts[i:]...)
		case l.ice.Load() == archived, !l.frozen() && s.settle(ctx, d):
			continue
		case l.frozen(): // it may have lost the token: first it is told of that
			kept = append(kept, d)
			continue
		default:
			kept = append(kept, debts[i:]...)
		}
		break
	}
	s.outbox.putBack(kept)
	return len(kept) == 0
}
