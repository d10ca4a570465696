package stock

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"penstock/rules"
)

// The background's pace. Every interval is jittered, so gateways do not fall in step.
const (
	sweepEvery = time.Second
	pollEvery  = 150 * time.Millisecond // and latched items open within two of these
	mostAsking = 4                      // orders that the shop is asked about at a time
	pruneEvery = 64                     // sweeps
)

// Run keeps stock moving: it sweeps, watches what is latched or frozen, and settles what
// could not be settled at once. It returns after ctx has ended and the outbox was tried
// once more.
func (s *Stock) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.sweep(ctx, &wg) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.repay(ctx) })
	wg.Wait()
}

// jittered is d, a third more or less.
func jittered(d time.Duration) time.Duration { return d*2/3 + rand.N(d*2/3) }

// sweep needs no election between gateways: each moves what it finds, once.
func (s *Stock) sweep(ctx context.Context, wg *sync.WaitGroup) {
	for n := 1; ; n++ {
		for _, l := range *s.ledgers.Load() {
			if n%pruneEvery == 0 {
				l.mine.prune()
			}
			err := s.sweepAll(ctx, l, wg)
			s.swept(ctx, l, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered(sweepEvery)):
		}
	}
}

func (s *Stock) sweepAll(ctx context.Context, l *ledger, wg *sync.WaitGroup) error {
	for {
		swept, err := s.store.Sweep(ctx, l.name, s.gateway)
		if err != nil {
			return err
		}
		for _, e := range swept.Ask {
			s.ask(ctx, l, e, wg)
		}
		if swept.Moved < SweepLimit {
			return nil
		}
	}
}

// swept reports the first failure in a row.
func (s *Stock) swept(ctx context.Context, l *ledger, err error) {
	switch {
	case errors.Is(err, ErrNotLoaded) && l.ice.Load() == archived:
		return
	case errors.Is(err, ErrNotLoaded):
		s.freeze(l, gone)
		return
	}
	if err != nil && !l.failing && ctx.Err() == nil {
		s.Report(l.name, err)
	}
	l.failing = err != nil
}

// ask asks the shop about a held unit. What there is no time for now comes again with a
// later sweep.
func (s *Stock) ask(ctx context.Context, l *ledger, e Entry, wg *sync.WaitGroup) {
	if s.Resolve == nil {
		return
	}
	select {
	case s.asking <- struct{}{}:
	default:
		return
	}
	wg.Go(func() {
		defer func() { <-s.asking }()
		outcome, ref, err := s.Resolve(ctx, l.name, e)
		if err != nil {
			s.Report(l.name, err)
		}
		if err == nil && outcome != rules.OutcomeUnknown {
			d := Settlement{Ledger: l.name, Token: e.Token, Outcome: outcome, Ref: ref}
			s.recall(l, &d)
			if !s.settle(ctx, d) {
				s.outbox.owe(d)
			}
		}
	})
}

// wantLook asks the watcher to look at the ledger soon.
func (s *Stock) wantLook(l *ledger) {
	l.want.Store(true)
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// watch polls all ledgers, and looks at those of which something has sold out.
func (s *Stock) watch(ctx context.Context) {
	poll := time.NewTimer(jittered(pollEvery))
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.look:
		case <-poll.C:
			s.poll(ctx)
			poll.Reset(jittered(pollEvery))
		}
		for _, l := range *s.ledgers.Load() {
			if l.want.Load() && !l.frozen() {
				s.lookAt(ctx, l)
			}
		}
	}
}

// poll takes the pulse of every ledger, also of those that only other gateways sell: how
// far each had come must be known if the store goes back. Trouble shows in requests, and
// a latch stays as it is.
func (s *Stock) poll(ctx context.Context) {
	all := slices.Collect(maps.Values(*s.ledgers.Load()))
	if len(all) == 0 {
		return
	}
	names, before := make([]string, len(all)), make([]Stamp, len(all))
	for i, l := range all {
		if names[i], before[i] = l.name, l.stamp(); before[i] == (Stamp{}) {
			before[i], _ = s.Memory.knows(l.name) // it was not there when we started
		}
	}
	pictures, err := s.store.Pulse(ctx, names...)
	if err != nil { // a poll is patient, so that one succeeds says nothing to those who are not
		s.breaker.note(err)
		return
	}
	for i, l := range all {
		s.compare(ctx, l, pictures[i], before[i])
	}
	if err := s.Memory.save(); err != nil {
		s.Report("", err)
	}
}

// compare holds a ledger as it is in the store against what was known of it before. One
// that is gone, or older than it was, is frozen; one that was gone and is back as it was
// goes on.
func (s *Stock) compare(ctx context.Context, l *ledger, p Picture, before Stamp) {
	l.watched.Lock()
	defer l.watched.Unlock()
	s.compareLocked(ctx, l, p, before)
}

func (s *Stock) compareLocked(ctx context.Context, l *ledger, p Picture, before Stamp) {
	ice := l.ice.Load()
	switch {
	case p.Items == nil && p.Archived:
		l.ice.Store(archived)
		s.Memory.forget(l.name)
	case p.Items == nil:
		s.freeze(l, gone)
	case l.begins(ice, p, before):
		l.adopt(p)
		l.told, l.frost, l.partial = 0, 0, l.partial && p.Freeze != 0
		l.ice.Store(none)
		l.mine.clear()
		s.resume(l, p)
	case p.Freeze != 0:
		l.frost = p.Freeze
		s.freeze(l, iced)
		s.retell(ctx, l, p)
	case ice != none && l.frost != 0 && p.Frozen >= l.frost:
		l.adopt(p) // thawed
		l.told, l.frost, l.partial = 0, 0, false
		l.ice.Store(none)
		s.resume(l, p)
	case ice == cut || ice == iced && l.frost != 0 || p.Epoch != before.Epoch || p.Seq < before.Seq:
		l.told = 0
		s.freeze(l, cut)
		_, err := s.store.Freeze(ctx, l.name)
		s.trouble(l, err)
	case ice == iced: // and thawed before we had a look
		l.ice.Store(none)
		s.resume(l, p)
	default:
		l.ice.CompareAndSwap(gone, none)
		s.resume(l, p)
	}
}

// begins reports whether the ledger is one that this gateway has not seen before: the
// first, or one that has the name after an archived one.
func (l *ledger) begins(ice int32, p Picture, before Stamp) bool {
	switch {
	case l.epoch.Load() == 0:
		return p.Epoch > before.Epoch || p.Epoch == before.Epoch && p.Seq >= before.Seq
	case ice == archived:
		return p.Epoch > before.Epoch
	}
	return p.Epoch > before.Epoch && p.After >= before.Epoch
}

// trouble reports what keeps a ledger frozen, once for as long as it is the same.
func (s *Stock) trouble(l *ledger, err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && said != l.said {
		s.Report(l.name, err)
	}
	l.said = said
}

// resume goes by what the store has.
func (s *Stock) resume(l *ledger, p Picture) {
	if p.Freeze != 0 {
		s.freeze(l, iced)
		return
	}
	l.follow(p)
	s.Memory.note(l.name, p.Stamp)
}

// lookAt brings the holders up to date, page by page, and latches what has sold out.
func (s *Stock) lookAt(ctx context.Context, l *ledger) {
	l.watched.Lock()
	defer l.watched.Unlock()
	l.want.Store(false)
	anew := time.Since(l.looked) > Remembered/2 // who gave something back may be forgotten by now
	if anew {
		l.since = 0
	}
	began := uint64(0)
	for {
		before := l.stamp()
		p, err := s.store.Look(ctx, l.name, l.since)
		switch {
		case errors.Is(err, ErrNotLoaded):
			s.freeze(l, gone)
			return
		case err != nil:
			l.want.Store(true)
			return
		case p.Freeze != 0, p.Epoch != before.Epoch, p.Seq < before.Seq:
			s.compareLocked(ctx, l, p, before)
			return
		}
		if began == 0 {
			began = p.Seq
		}
		for account, h := range p.Holders {
			l.holders.set(account, h, p.Seq)
		}
		l.since = p.Upto
		l.follow(p)
		if p.Upto >= p.Seq {
			l.looked = time.Now()
			l.want.Store(false)
			if anew {
				l.holders.keep(began)
			}
			l.holders.prune(p.Seq)
			l.install(p)
			return
		}
	}
}

// install latches what has sold out. All holders are known.
func (l *ledger) install(p Picture) {
	for item, c := range p.Items {
		if t := l.item(item); t != nil && c.Free <= 0 {
			t.close()
		}
	}
}
