package stock

// The two gates that ask the store: for the unit, and for the start.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Unit is the gate that reserves units, or finds what an order has reserved, and settles
// at Release.
func (s *Stock) Unit() gate.Gate { return unit{s} }

type unit struct{ *Stock }

// Admit makes one call to the store. If nobody knows what became of it, the token is
// cancelled behind the request's back.
func (u unit) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	st, v := sells(f)
	if st == nil {
		return v
	}
	l := u.ledger(st.Ledger)
	switch {
	case f.Account == "":
		return gate.Verdict{Reason: gate.NoAccount}
	case f.Units < 1 && !f.Order:
		return gate.Verdict{Reason: gate.Internal, Err: fmt.Errorf("ask for %d units", f.Units)}
	case l == nil:
		return unavailable(ErrNotLoaded)
	case l.ice.Load() == archived:
		return gate.Verdict{Reason: gate.Closed}
	case l.frozen():
		return unavailable(ErrFrozen)
	case ctx.Err() != nil:
		return unavailable(ctx.Err())
	case !u.breaker.allow():
		return unavailable(errBroken)
	}
	before := l.stamp()
	d, err := u.store.Decide(ctx, Ask{
		Ledger: st.Ledger, Account: f.Account, Item: f.Item, Token: f.Token, Units: f.Units, Order: f.Order,
	})
	u.breaker.note(err)
	if err == nil && l.older(d, before, f.Order) {
		u.freeze(l, cut)
	}
	if err == nil && l.frozen() { // another answer may have shown that the store went back
		err = ErrFrozen
	}
	if err != nil {
		u.doubt(l, err)
		if !f.Order {
			u.outbox.cancel(Settlement{Ledger: l.name, Token: f.Token, By: f.Token, Outcome: rules.OutcomeFree, Unsent: true})
		}
		if l.frozen() {
			err = ErrFrozen
		}
		return unavailable(err)
	}
	if f.Order {
		return u.found(l, f, d)
	}
	return u.answer(l, f, d)
}

// doubt freezes a ledger that the store has lost, or that it has frozen.
func (s *Stock) doubt(l *ledger, err error) {
	switch {
	case errors.Is(err, ErrNotLoaded):
		s.freeze(l, gone)
	case errors.Is(err, ErrFrozen):
		s.freeze(l, iced)
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrCut):
		s.freeze(l, cut)
	}
}

// answer tells the ledger what the store has decided, and the request.
func (s *Stock) answer(l *ledger, f *gate.Facts, d Decision) gate.Verdict {
	l.saw(d.Stamp)
	t := l.item(f.Item)
	t.allow(d.Free)
	if t != nil && t.halved(d.Free) {
		s.wantLook(l)
	}
	if d.Reason == gate.Admitted {
		l.holders.set(f.Account, Holding{Bought: d.Bought, Open: true}, d.Seq)
		s.remember(l, Entry{
			Token: f.Token, State: Reserved, Account: f.Account, Item: f.Item, Units: f.Units,
			Due: time.Now().Add(l.terms.Load().ReserveFor),
		})
		return gate.Admit
	}
	if t != nil && d.Free <= 0 && t.probes.Load() != 0 { // whoever asked: the next refusal is from memory
		s.wantLook(l)
	}
	switch {
	case d.Reason == gate.SoldOut && d.Bought > 0:
		return gate.Verdict{Reason: gate.AlreadyBought} // who has won never hears "sold out"
	case d.Reason == gate.SoldOut:
		return soldOut(d.Pending > 0 || t != nil && t.pending.Load())
	case d.Reason == gate.Paused:
		return gate.Verdict{Reason: gate.Paused, Retry: retryPaused}
	}
	return gate.Verdict{Reason: d.Reason}
}

// found is the answer to an order of what an earlier request has reserved. One that has
// nothing to do with the sale goes through ungated, if the rules say so.
func (s *Stock) found(l *ledger, f *gate.Facts, d Decision) gate.Verdict {
	l.saw(d.Stamp)
	switch {
	case d.Reason == gate.Admitted:
		// Due at once: who has won it knows until when it is reserved, and we only if it starts.
		s.remember(l, Entry{Token: d.Token, State: Reserved, Account: f.Account, Item: d.Item, Units: d.Units, Due: f.At})
		return gate.Verdict{Reason: gate.Admitted, Token: d.Token}
	case d.Stranger && f.Sale.Order != nil && f.Sale.Order.ForwardWithout:
		return gate.Admit
	}
	return gate.Verdict{Reason: d.Reason}
}

// Release settles; what the store cannot be told now, Run tells it later.
func (u unit) Release(f *gate.Facts, end gate.End) {
	st, _ := sells(f)
	if st == nil {
		return
	}
	d, owed := debt(f, end)
	if !owed {
		return
	}
	d.Ledger = st.Ledger
	l := u.ledger(st.Ledger)
	l.settled(f, &d) // first: once the store knows, the account may win again
	u.recall(l, &d)
	if l.frozen() || !u.settle(context.Background(), d) {
		u.outbox.owe(d)
		return
	}
	if d.Outcome == rules.OutcomeFree && !f.Order {
		l.item(f.Item).allow(f.Units) // no need to wait for a poll
	}
}

// debt is what a request owes the store when it ends.
//
// A request that only reserves for a later order owes nothing for what it was answered,
// but a clear no: whether the shop took it or not, without an order the reservation ends
// by itself. A later order that was refused before it tried to start has changed
// nothing.
func debt(f *gate.Facts, end gate.End) (d Settlement, owed bool) {
	d = Settlement{Token: f.Token, By: f.Token, Outcome: rules.OutcomeUnknown}
	switch end.Kind {
	case gate.Refused, gate.Unsent:
		d.Outcome, d.Unsent = rules.OutcomeFree, true
	case gate.Answered:
		d.Outcome, d.Ref = end.Outcome, end.Ref
	}
	switch {
	case f.Order:
		d.Token = f.Reservation
		return d, f.Reservation != gate.Token{} && end.Kind != gate.Refused
	case f.Sale.Order != nil:
		return d, d.Outcome == rules.OutcomeFree
	}
	return d, true
}

// settle reports whether the debt is done with: paid, or never to be.
func (s *Stock) settle(ctx context.Context, d Settlement) bool {
	if !s.breaker.allow() {
		return false
	}
	err := s.store.Settle(ctx, d)
	s.breaker.note(err)
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrOversold), errors.Is(err, ErrSold):
		s.Report(d.Ledger, fmt.Errorf("token %x: %w", d.Token, err))
		return true
	}
	s.doubt(s.ledger(d.Ledger), err)
	return false
}

// Fence is the gate between the reservation and the first byte to the origin. It holds
// nothing: what it has started, the Release of Unit ends.
func (s *Stock) Fence() gate.Gate { return fence{s} }

type fence struct{ *Stock }

// Admit starts what places an order; a request that only reserves places none.
func (n fence) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	st, v := sells(f)
	if st == nil {
		return v
	}
	l, launch := n.ledger(st.Ledger), Launch{Ledger: st.Ledger, Token: f.Token, By: f.Token}
	switch {
	case f.Order && f.Reservation == gate.Token{}, !f.Order && f.Sale.Order != nil:
		return gate.Admit
	case f.Order:
		launch.Token = f.Reservation
	}
	switch {
	case l == nil:
		return unavailable(ErrNotLoaded)
	case l.frozen():
		return unavailable(ErrFrozen)
	case ctx.Err() != nil:
		return unavailable(ctx.Err())
	case !n.breaker.allow():
		return unavailable(errBroken)
	}
	reason, err := n.store.Start(ctx, launch)
	n.breaker.note(err)
	if err == nil && l.frozen() {
		err = ErrFrozen
	}
	if err != nil {
		n.doubt(l, err)
		return unavailable(err)
	}
	if reason == gate.Admitted {
		n.launched(l, launch)
	}
	return gate.Verdict{Reason: reason}
}

func (fence) Release(*gate.Facts, gate.End) {}
