package shared

// The bans in memory, kept fresh. What operators tell is in the store before they are
// answered, and in force here at once; elsewhere it is in force within a second. While the
// store is away all stays as it was last known.
//
// What the store has lost the books put back: whenever one reads all there is, because the
// store does not know its place any more or because a minute has gone by, it tells what it
// has and the store has not. A ban that was lifted is told as lifted, so nobody brings it
// back. What is lost is what no gateway knows: all of it, if Redis keeps nothing on disk and
// they end together with it.

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"penstock/rules"
)

const (
	pollEvery  = 250 * time.Millisecond
	wholeEvery = 240 // polls
	mostFound  = 4096
)

// Book is one gateway's copy of all notes. Its memory is bounded as the store's is, by
// MostNotes and what that says of lifted ones, and by as much again of what the store has
// not taken yet.
type Book struct {
	// Lifted hears of each ban that was lifted, here or elsewhere, before a change is said to be
	// made, perhaps of several at a time. It is set before the book is used by many.
	Lifted func(Subject)

	store   Store
	changed func([]Note)
	report  func(error)

	reading sync.Mutex // held through a whole poll
	polls   int
	failing bool
	rev     Rev

	telling sync.Mutex // held through a call of changed, so that the last is of the latest

	mu    sync.Mutex
	notes map[Subject]Note
	owed  map[Subject]struct{} // whose notes the store may not have

	found struct { // by this gateway itself, for the next poll: who tells waits for nobody
		sync.Mutex
		notes []Note
	}
}

// NewBook makes an empty one. changed hears of all bans in force whenever they are other
// ones, one call at a time and before a change is said to be made; report hears of the first
// failure of a row. Either may be nil.
func NewBook(s Store, changed func(bans []Note), report func(error)) *Book {
	if changed == nil {
		changed = func([]Note) {}
	}
	if report == nil {
		report = func(error) {}
	}
	return &Book{Lifted: func(Subject) {}, store: s, changed: changed, report: report, notes: make(map[Subject]Note), owed: make(map[Subject]struct{})}
}

// Run keeps the book fresh until ctx ends.
func (b *Book) Run(ctx context.Context) {
	for {
		err := b.Refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !b.failing {
			b.report(err)
		}
		b.failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollEvery*2/3 + rand.N(pollEvery*2/3)):
		}
	}
}

// Refresh reads what is new, now. Called once before the gateway serves, it has bans in
// force from the first request on.
func (b *Book) Refresh(ctx context.Context) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	changed := b.takeFound()
	full := b.pay(ctx)
	if full != nil && !errors.Is(full, ErrFull) {
		return full
	}
	from := b.rev
	if b.polls++; b.polls%wholeEvery == 0 {
		from = Rev{}
	}
	found, upto, whole, err := b.read(ctx, from)
	if err != nil {
		return err
	}
	b.rev = upto
	others, lifted := b.merge(found, whole)
	for _, s := range lifted {
		b.Lifted(s)
	}
	if others || changed {
		b.tell()
	}
	return errors.Join(full, b.pay(ctx))
}

func (b *Book) read(ctx context.Context, from Rev) (found []Note, upto Rev, whole bool, err error) {
	for {
		c, err := b.store.Since(ctx, from)
		if err != nil {
			return nil, Rev{}, false, err
		}
		if c.Whole {
			found, whole = nil, true // it may have been lost on the way
		}
		found = append(found, c.Notes...)
		if from = c.Upto; !c.More {
			return found, from, whole, nil
		}
	}
}

// merge takes over what the store has. With the whole of it before us, what is missing
// there is owed.
func (b *Book) merge(found []Note, whole bool) (changed bool, lifted []Subject) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	changed = b.expireLocked(now)
	there := make(map[Subject]struct{}, len(found))
	for _, n := range found {
		there[n.Subject] = struct{}{}
		switch mine, known := b.notes[n.Subject]; {
		case known && mine == n:
			delete(b.owed, n.Subject)
		case known && mine.Outdoes(&n, now):
			b.owed[n.Subject] = struct{}{}
		default:
			b.notes[n.Subject] = n
			delete(b.owed, n.Subject)
			changed = true
			if n.Lifted {
				lifted = append(lifted, n.Subject)
			}
		}
	}
	for s := range b.notes {
		if _, ok := there[s]; whole && !ok {
			b.owed[s] = struct{}{}
		}
	}
	return changed, lifted
}

func (b *Book) expireLocked(now time.Time) (some bool) {
	for s, n := range b.notes {
		if !n.Live(now) {
			delete(b.notes, s)
			delete(b.owed, s)
			some = true
		}
	}
	return some
}

func (b *Book) tell() {
	b.telling.Lock()
	defer b.telling.Unlock()
	b.changed(b.bans())
}

func (b *Book) bans() []Note {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	bans := make([]Note, 0, len(b.notes))
	for _, n := range b.notes {
		if !n.Lifted && n.Live(now) {
			bans = append(bans, n)
		}
	}
	return bans
}

// pay tells the store what it may not have. What finds no room there goes on counting here,
// and is told again when all has been read.
func (b *Book) pay(ctx context.Context) (full error) {
	for {
		b.mu.Lock()
		var some []Note
		for s := range b.owed {
			if some = append(some, b.notes[s]); len(some) == MostPage {
				break
			}
		}
		b.mu.Unlock()
		if len(some) == 0 {
			return full
		}
		if err := b.store.Mend(ctx, some); errors.Is(err, ErrFull) {
			full = err
		} else if err != nil {
			return err
		}
		b.mu.Lock()
		for _, n := range some {
			if b.notes[n.Subject] == n { // else it was told anew meanwhile
				delete(b.owed, n.Subject)
			}
		}
		b.mu.Unlock()
	}
}

// Add bans n.Subject by hand; its At and Signal are set here. It answers when that is in the
// store, and in force here. With an error nobody is banned here, and it may be tried again.
func (b *Book) Add(ctx context.Context, n Note) (Note, error) {
	n.At, n.Signal, n.Lifted = b.after(n.Subject), rules.ByHand, false
	n, err := b.store.Put(ctx, n)
	if err != nil {
		return n, err
	}
	b.take(n)
	return n, nil
}

// Remove lifts a ban, whoever made it; false: there is none. It answers when that is in the
// store and the ban is not in force here.
func (b *Book) Remove(ctx context.Context, s Subject, by, why string) (was Note, found bool, err error) {
	if was, found = b.ban(s); !found { // it may just have been made elsewhere
		if err := b.Refresh(ctx); err != nil && !errors.Is(err, ErrFull) {
			return Note{}, false, err
		}
		if was, found = b.ban(s); !found {
			return Note{}, false, nil
		}
	}
	n, err := b.store.Drop(ctx, Note{Subject: s, Until: was.Until, By: by, Why: why, At: b.after(s), Signal: rules.ByHand})
	if err != nil {
		return was, true, err
	}
	b.take(n)
	return was, true, nil
}

// Tell has this and other gateways take over a ban that this one has found by itself: with
// the next poll, if there is room then. It may be called on the way of a request, and keeps
// nothing that is lent. False: too many wait for that poll.
func (b *Book) Tell(n Note) bool {
	n.Subject.Account, n.By, n.Why = strings.Clone(n.Subject.Account), strings.Clone(n.By), strings.Clone(n.Why)
	b.found.Lock()
	defer b.found.Unlock()
	if len(b.found.notes) >= mostFound {
		return false
	}
	b.found.notes = append(b.found.notes, n)
	return true
}

func (b *Book) takeFound() (changed bool) {
	b.found.Lock()
	found := b.found.notes
	b.found.notes = nil
	b.found.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i := range found {
		n := found[i].Rounded()
		n.Lifted = false
		old, known := b.notes[n.Subject]
		if n.Check() != nil || n.Hand() || !n.Live(now) || known && !n.Outdoes(&old, now) || !known && len(b.notes) >= MostAutomatic {
			continue
		}
		b.notes[n.Subject] = n
		b.owed[n.Subject] = struct{}{}
		changed = true
	}
	return changed
}

// after is now, or later than what is known of the subject.
func (b *Book) after(s Subject) time.Time {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, known := b.notes[s]; known && !now.After(old.At) {
		return old.At.Add(time.Millisecond)
	}
	return now
}

func (b *Book) ban(s Subject) (Note, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, known := b.notes[s]
	return n, known && !n.Lifted && n.Live(time.Now())
}

// take has what the store was told count here.
func (b *Book) take(n Note) {
	b.mu.Lock()
	old, known := b.notes[n.Subject]
	counts := !known || !old.At.After(n.At) || !old.Hand() // else it has been outdone already
	if counts {
		b.notes[n.Subject] = n
		delete(b.owed, n.Subject)
	}
	b.mu.Unlock()
	if counts && n.Lifted {
		b.Lifted(n.Subject)
	}
	b.tell()
}

// List is all bans in force, the latest first.
func (b *Book) List() []Note {
	bans := b.bans()
	slices.SortFunc(bans, func(x, y Note) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(x.Subject.String(), y.Subject.String()))
	})
	return bans
}
