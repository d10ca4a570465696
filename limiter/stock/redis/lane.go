package redis

// A lane makes one round trip at a time for a ledger. Who finds it idle sends his own call
// at once, with nobody's help; who comes meanwhile waits, and the next round trip answers
// all that have. So the more calls there are the less each costs, and Redis is never asked
// more than it answers.
//
// It has no goroutine while it is idle, one while calls wait, and never one per call.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/limiter/stock"
)

const (
	batchLimit = 256  // more would make the first wait for the last
	queueLimit = 4096 // more could not be answered within anybody's budget
)

type lane struct {
	store  *Store
	ledger string
	acks   int

	mu    sync.Mutex
	busy  bool    // a round trip is under way
	queue []*call // in order of arrival

	// Of whoever made the lane busy.
	batch batch
	anew  atomic.Bool // what was seen does not count any more
	seen  stock.Stamp // by the last round trip; all are one after the other, so none may show less
	args  []any
	lone  []any // of a decision that comes alone
	ready []*call
}

// lanes are a ledger's. Starts have one of their own where replicas must acknowledge them,
// so that those who take nothing do not wait for replicas.
type lanes struct{ all, starts *lane }

func (s *Store) way(ledger string) lanes {
	s.mu.RLock()
	l, ok := s.lanes[ledger]
	s.mu.RUnlock()
	if ok {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok = s.lanes[ledger]; !ok {
		l.all = &lane{
			store: s, ledger: ledger, args: s.head(batchScript, ledger, 4), lone: s.head(loneScript, ledger, 4),
		}
		if l.starts = l.all; s.replicas > 0 {
			l.starts = &lane{store: s, ledger: ledger, args: s.head(batchScript, ledger, 4), acks: s.replicas}
		}
		s.lanes[ledger] = l
	}
	return l
}

// A call's way: it waits, until it is sent or its caller is gone.
const (
	waiting int32 = iota
	sent
	gone
)

// call is one decision, start or settlement. Whoever moves it away from waiting decides
// whose it is: a lane answers what it has sent, and nobody looks at one that is gone.
type call struct {
	kind                 kind
	token, account, item string // a settlement's or a start's token is more: see lua/ask.lua
	units                int

	ctx   context.Context
	until time.Time
	at    atomic.Int32
	done  chan struct{}
	timer *time.Timer

	answer answer
	err    error
}

var calls = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &call{done: make(chan struct{}, 1), timer: t}
}}

func newCall(k kind) *call {
	c := calls.Get().(*call)
	done, timer := c.done, c.timer
	*c = call{kind: k, done: done, timer: timer}
	return c
}

// do has the call answered. The answer is the caller's own; the call is not, afterwards.
func (l *lane) do(ctx context.Context, c *call) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrNotDone, err)
	}
	c.ctx, c.until = ctx, time.Now().Add(l.store.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(c.until) {
		c.until = d
	}
	l.mu.Lock()
	switch {
	case !l.busy:
		l.busy = true
		l.mu.Unlock()
		l.ready = append(l.ready[:0], c)
		l.send()
		l.handOver()
	case len(l.queue) >= queueLimit:
		l.mu.Unlock()
		return answer{}, fmt.Errorf("%w: %w", ErrNotDone, errFull)
	default:
		// The caller may leave before the call is sent, and its strings with it.
		c.account, c.item = strings.Clone(c.account), strings.Clone(c.item)
		l.queue = append(l.queue, c)
		l.mu.Unlock()
		if err := c.wait(); err != nil {
			return answer{}, err // the lane may still write to the call
		}
	}
	a, err := c.answer, c.err
	c.ctx = nil
	calls.Put(c)
	return a, err
}

// wait ends early when the caller's time is over. What has been sent by then goes on.
func (c *call) wait() error {
	c.timer.Reset(time.Until(c.until))
	defer c.timer.Stop()
	var err error
	select {
	case <-c.done:
		return nil
	case <-c.ctx.Done():
		err = c.ctx.Err()
	case <-c.timer.C:
		err = errLate
	}
	if c.at.CompareAndSwap(waiting, gone) {
		return fmt.Errorf("%w: %w", ErrNotDone, err)
	}
	return err
}

// handOver ends the sender's own round trip.
func (l *lane) handOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.busy = false
		return
	}
	go l.run()
}

func (l *lane) run() {
	for l.take() {
		if len(l.ready) == 0 {
			continue
		}
		l.send()
		for _, c := range l.ready {
			c.done <- struct{}{}
		}
	}
}

// take makes ready what has waited longest, and drops what nobody waits for any more. No:
// nothing waits, and the lane is idle.
func (l *lane) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = l.ready[:0]
	if len(l.queue) == 0 {
		l.busy = false
		return false
	}
	now, n := time.Now(), 0
	for ; n < len(l.queue) && len(l.ready) < batchLimit; n++ {
		// One whose time is over is left to its caller, who is about to find that out.
		c := l.queue[n]
		if c.ctx.Err() == nil && now.Before(c.until) && c.at.CompareAndSwap(waiting, sent) {
			l.ready = append(l.ready, c)
		}
	}
	l.queue = slices.Delete(l.queue, 0, n)
	return true
}

// send is one round trip, for all that is ready. It goes on for as long as any of their
// callers waits, and whether they wait or not: half a call would have to be undone.
func (l *lane) send() {
	until := l.ready[0].until
	for _, c := range l.ready[1:] {
		if c.until.After(until) {
			until = c.until
		}
	}
	began := time.Now()
	if l.anew.Swap(false) {
		l.seen = stock.Stamp{}
	}
	l.batch.sort(l.ready)
	reply, err := l.sendLone(until)
	if reply == nil && err == nil {
		l.args = l.batch.fill(l.args[:fixed])
		reply, err = l.store.send(context.Background(), batchScript, l.args, l.acks, until, l.batch.retry)
		clear(l.args[fixed:])
	}
	if err == nil {
		err = l.batch.read(reply, &l.seen)
	}
	if err != nil {
		for _, c := range l.ready {
			c.err = err
		}
	}
	if l.store.Observe != nil {
		l.store.Observe(len(l.ready), time.Since(began))
	}
}

// sendLone sends a decision that came alone, by a script that does only that, and only if
// it is as plain as most are. No reply, no error: it is for the batch's script.
func (l *lane) sendLone(until time.Time) (reply any, err error) {
	c := l.ready[0]
	if len(l.ready) > 1 || c.kind != deciding || l.store.alike {
		return nil, nil
	}
	l.lone = append(l.lone[:fixed], &c.token, &c.account, &c.item, &c.units)
	reply, err = l.store.send(context.Background(), loneScript, l.lone, 0, until, l.batch.retry)
	clear(l.lone[fixed:])
	if n, ok := reply.(int64); ok && n == 0 {
		return nil, err
	}
	return reply, err
}
