package stock

// Getting over lost data. A store that was replaced by an older copy of itself, as after
// the promotion of a replica that had not kept up, does not know the last wins. The
// gateway that has won them does, for as long as it lives, and tells it, before anything
// is sold again.

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// own are the tokens this gateway has won, or is sending, as far as their units have not
// come back; so they are about as many as there are units. What is sold is kept only where
// the store can lose it.
type own struct {
	mu     sync.Mutex
	tokens map[gate.Token]Entry
}

// remember notes a token that was won, or found; of one that is known more is known.
// Strings of a request are used again.
func (s *Stock) remember(l *ledger, e Entry) {
	e.Account, e.Item = strings.Clone(e.Account), strings.Clone(e.Item)
	l.mine.mu.Lock()
	defer l.mine.mu.Unlock()
	if l.mine.tokens == nil {
		l.mine.tokens = make(map[gate.Token]Entry)
	}
	if _, known := l.mine.tokens[e.Token]; !known {
		l.mine.tokens[e.Token] = e
	}
}

// launched notes that a token has been started.
func (s *Stock) launched(l *ledger, launch Launch) {
	l.mine.change(launch.Token, func(e *Entry) { e.State, e.By = Sending, launch.By })
}

// recall notes how a token ends. What this gateway cannot lose, because the store is its
// own, is not kept beyond that.
func (s *Stock) recall(l *ledger, d *Settlement) {
	switch {
	case d.Unsent && d.By != d.Token && d.By != gate.Token{}:
		l.mine.change(d.Token, func(e *Entry) {
			if e.By == d.By { // else another Launch is sending it
				e.State, e.By = Reserved, gate.Token{}
			}
		})
	case d.Outcome == rules.OutcomeFree || s.Memory == nil && d.Outcome == rules.OutcomeSold:
		l.mine.mu.Lock()
		delete(l.mine.tokens, d.Token)
		l.mine.mu.Unlock()
	case d.Outcome == rules.OutcomeSold:
		l.mine.change(d.Token, func(e *Entry) { e.State, e.Ref = Sold, strings.Clone(d.Ref) })
	default:
		l.mine.change(d.Token, func(e *Entry) { e.State = Held })
	}
}

func (o *own) change(t gate.Token, f func(*Entry)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.tokens[t]; ok {
		f(&e)
		o.tokens[t] = e
	}
}

// units is what the token has taken; 0: it is not known here.
func (o *own) units(t gate.Token) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tokens[t].Units
}

// told are all that a store may have to be told of. What is reserved and past its time is
// anybody's; and the store's clock, not ours, says when what is told begins to pass.
func (o *own) told() (all []Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for _, e := range o.tokens {
		if e.State != Reserved || now.Before(e.Due) {
			e.Due = time.Time{}
			all = append(all, e)
		}
	}
	return all
}

// prune drops reservations that nobody has ordered and nobody can order any more.
func (o *own) prune() {
	o.mu.Lock()
	defer o.mu.Unlock()
	past := time.Now().Add(-Remembered)
	maps.DeleteFunc(o.tokens, func(_ gate.Token, e Entry) bool { return e.State == Reserved && e.Due.Before(past) })
}

func (o *own) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tokens = nil
}

// retell tells a frozen ledger all that this gateway has won of it, once, and then asks
// whether the freeze is over. A gateway that was started after the history it missed
// cannot vouch for it, and leaves the rest to an operator.
func (s *Stock) retell(ctx context.Context, l *ledger, p Picture) {
	a := Assertion{Ledger: l.name, Gateway: s.gateway, Freeze: p.Freeze}
	var left []Entry
	if l.told != p.Freeze {
		left = l.mine.told()
	}
	for len(left) > SweepLimit {
		a.Entries, left = left[:SweepLimit], left[SweepLimit:]
		if _, err := s.store.Reassert(ctx, a); err != nil {
			s.trouble(l, err)
			return
		}
	}
	a.Entries, a.Last = left, !l.partial
	_, err := s.store.Reassert(ctx, a)
	if s.trouble(l, err); err == nil {
		l.told = p.Freeze
	}
}
