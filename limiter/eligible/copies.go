package eligible

// Copies of what stands in Redis, kept fresh in the background.
//
// A copy is read whole and then takes the place of the last one as one; what a reading
// that failed has found is never used. One that cannot be read any more stays as it is, and
// gets older. They are read one after the other, so that memory for only one more is
// needed, and the server never answers two scans of ours at once.
//
// It cannot see that a key is being rewritten piece by piece: whoever replaces one fills
// another and renames it.

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"penstock/rules"
)

// Reader reads all there is under a key. each is called in turn, may hear of the same more
// than once, and keeps nothing. A nil error says that nothing was left out; of a key that
// is not there nothing is heard.
type Reader interface {
	Hash(ctx context.Context, key string, each func(field, value string)) error
	Set(ctx context.Context, key string, each func(member string)) error
}

// Most is how many fields or members are copied of one key. Beyond it there is no copy at
// all: half of one would keep honest people out, or let the others in.
const Most = 10_000_000

// ErrTooMuch is reported of a key that is too large to be copied.
var ErrTooMuch = errors.New("there is more under the key than is copied (10 million names, 256 MiB of values)")

// linger is how long a copy that no sale asks for any more is kept, for requests under way.
const linger = 10 * time.Second

// minEvery is for rules that were made without an Every.
const minEvery = time.Second

// Copies are the copies of all sales.
type Copies struct {
	// Report hears of the first failure in a row to read a key. Set before Run.
	Report func(key string, err error)

	reader Reader
	seed   maphash.Seed
	most   int
	kick   chan struct{}

	mu  sync.Mutex
	all map[ident]*held
}

type ident struct {
	kind rules.AttributeKind
	key  string
}

// held is one copy.
type held struct {
	ident
	unread error                 // what is said while there is none
	table  atomic.Pointer[table] // nil: never read, or too large

	// Guarded by Copies.mu:
	every   time.Duration
	due     time.Time // the next reading
	read    time.Time // when the one that is used began
	failing bool
	gone    time.Time // when it is dropped; zero: it is wanted
}

// NewCopies makes none yet. A nil reader is for gateways without Redis: what stands there
// is not known, ever.
func NewCopies(r Reader) *Copies {
	return &Copies{
		Report: func(string, error) {}, reader: r, seed: maphash.MakeSeed(), most: Most,
		kick: make(chan struct{}, 1), all: map[ident]*held{},
	}
}

func inRedis(k rules.AttributeKind) bool { return k == rules.InRedisHash || k == rules.InRedisSet }

// use says what is wanted from now on. The rest is dropped soon.
func (c *Copies) use(sales []*rules.Sale) {
	c.mu.Lock()
	defer c.mu.Unlock()
	every := map[ident]time.Duration{}
	for _, s := range sales {
		for i := range s.Require.Terms {
			from := &s.Require.Terms[i].From
			if !inRedis(from.Kind) {
				continue
			}
			k, e := ident{from.Kind, from.Name}, max(from.Every, minEvery)
			if before, ok := every[k]; ok {
				e = min(e, before)
			}
			every[k] = e
		}
	}
	now := time.Now()
	for k, h := range c.all {
		if _, wanted := every[k]; !wanted && h.gone.IsZero() {
			h.gone = now.Add(linger)
		}
	}
	for k, e := range every {
		h := c.all[k]
		if h == nil {
			h = newHeld(k)
			c.all[k] = h
		}
		if soon := now.Add(e); h.due.After(soon) { // it has to be read more often than before
			h.due = soon
		}
		h.every, h.gone = e, time.Time{}
	}
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

func newHeld(k ident) *held {
	return &held{ident: k, unread: fmt.Errorf("read %q: not read whole yet", k.key)}
}

// find is the copy of an attribute; one of a sale that is not in use is never read.
func (c *Copies) find(a *rules.Attribute) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := ident{a.Kind, a.Name}
	if h := c.all[k]; h != nil {
		return h
	}
	return newHeld(k)
}

// Run reads what is due until ctx is over. It is called once.
func (c *Copies) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		h, wait := c.next(time.Now())
		if h != nil {
			c.refresh(ctx, h)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-c.kick:
		case <-timer.C:
		}
	}
}

// next is the copy that has waited longest, or how long to wait for one. It drops what its
// time has come for.
func (c *Copies) next(now time.Time) (first *held, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := now.Add(time.Hour)
	for k, h := range c.all {
		switch {
		case h.gone.IsZero():
			if h.due.Before(at) {
				first, at = h, h.due
			}
		case h.gone.After(now):
			if h.gone.Before(at) {
				first, at = nil, h.gone
			}
		default:
			h.table.Store(nil)
			delete(c.all, k)
		}
	}
	switch {
	case c.reader == nil:
		return nil, time.Hour
	case at.After(now):
		return nil, at.Sub(now)
	}
	return first, 0
}

// refresh reads one copy, and swaps it in if it is whole.
func (c *Copies) refresh(ctx context.Context, h *held) {
	began := time.Now()
	t, err := c.copy(ctx, h.ident)
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	pause := h.every
	switch {
	case err == nil:
		h.table.Store(t)
		h.read = began
	case errors.Is(err, ErrTooMuch):
		h.table.Store(nil)
	default:
		pause = min(again, h.every)
	}
	h.due = time.Now().Add(pause)
	first := err != nil && !h.failing
	h.failing = err != nil
	c.mu.Unlock()
	if first {
		c.Report(h.key, err)
	}
}

func (c *Copies) copy(ctx context.Context, k ident) (*table, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := builder{seed: c.seed, most: c.most, hasValues: k.kind == rules.InRedisHash}
	each := func(name, value string) {
		if !b.add(name, value) {
			cancel()
		}
	}
	var err error
	if b.hasValues {
		err = c.reader.Hash(ctx, k.key, each)
	} else {
		err = c.reader.Set(ctx, k.key, func(member string) { each(member, "") })
	}
	if b.full {
		err = ErrTooMuch
	}
	if err != nil {
		return nil, fmt.Errorf("copy %q: %w", k.key, err)
	}
	return b.table(), nil
}

// CopyStat is one copy, for metrics.
type CopyStat struct {
	Key     string
	Members int       // fields or members
	Bytes   int       // in memory
	Read    time.Time // when its reading began, by the clock; zero: there is none
	Failing bool      // it could not be read, the last time
}

// Stats is in no order.
func (c *Copies) Stats() []CopyStat {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []CopyStat
	for _, h := range c.all {
		if !h.gone.IsZero() {
			continue
		}
		s := CopyStat{Key: h.key, Failing: h.failing}
		if t := h.table.Load(); t != nil {
			s.Members, s.Bytes, s.Read = t.size, t.bytes(), h.read
		}
		all = append(all, s)
	}
	return all
}

// Ready is an error as long as some copy that is wanted is not there.
func (c *Copies) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.all {
		if h.gone.IsZero() && h.table.Load() == nil {
			return h.unread
		}
	}
	return nil
}
