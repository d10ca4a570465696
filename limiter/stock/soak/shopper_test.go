package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Shoppers, and the life of their requests as package proxy leads it.

const (
	accounts = 120
	patience = 250 * time.Millisecond // of a request, for its gates
)

// request is one, from the gates to its end.
type request struct {
	g     *gateway
	r     *rand.Rand
	facts gate.Facts
}

// shopper buys at one place until the shops close. Each request has a goroutine of its
// own, because a crash ends it.
func (w *world) shopper(place int, seed uint64) {
	r := rand.New(rand.NewPCG(w.seed, seed))
	for w.selling() {
		account := fmt.Sprintf("c:%d", r.IntN(accounts))
		item := []string{"red", "red", "blue"}[r.IntN(3)]
		reserved := w.send(place, r, gate.Facts{Account: account, Item: item, Units: 1 + r.IntN(8)/7})
		if reserved && w.steps && r.IntN(5) > 0 {
			w.rest(r)
			w.send(r.IntN(len(w.slots)), r, gate.Facts{Account: account, Order: true})
		}
		w.rest(r)
	}
}

func (w *world) rest(r *rand.Rand) { <-time.After(time.Duration(5+r.IntN(30)) * time.Millisecond) }

// send makes one request at a place and waits for its answer. ok: it was admitted.
func (w *world) send(place int, r *rand.Rand, f gate.Facts) (ok bool) {
	g := w.slots[place].Load()
	f.At, f.Sale, f.Token = time.Now(), g.sale, w.token()
	q := &request{g: g, r: r, facts: f}
	done := make(chan struct{})
	go func() {
		defer close(done) // also of those that a crash ends
		ok = q.run()
	}()
	<-done
	return ok
}

// run is Proxy.Handle without HTTP.
func (q *request) run() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f := &q.facts
	if !q.g.soldOut.Admit(ctx, f).OK() {
		return false
	}
	v := q.g.unit.Admit(ctx, f)
	if !v.OK() {
		return false
	}
	f.Reservation = v.Token
	if q.r.IntN(4) == 0 { // it waits for the shop's slot
		<-time.After(time.Duration(q.r.IntN(30)) * time.Millisecond)
	}
	if q.r.IntN(12) == 0 { // it has left
		q.end(gate.End{Kind: gate.Unsent})
		return false
	}
	if v = q.g.fence.Admit(ctx, f); !v.OK() {
		q.end(gate.End{Kind: gate.Unsent})
		return false
	}
	if !f.Order && q.g.sale.Order != nil {
		return q.cart()
	}
	q.order()
	return true
}

// cart is the first of two steps: the shop takes note, or not, and sells nothing.
func (q *request) cart() bool {
	switch q.r.IntN(8) {
	case 0:
		q.end(gate.End{Kind: gate.Answered, Status: 409, Outcome: rules.OutcomeFree})
		return false
	case 1:
		q.end(gate.End{})
	default:
		q.end(gate.End{Kind: gate.Answered, Status: 200, Outcome: rules.OutcomeSold})
	}
	return true
}

func (q *request) order() {
	t, w := q.facts.Token, q.g.world
	if q.facts.Order {
		t = q.facts.Reservation
	}
	f := w.fate(t)
	if !f.started {
		w.Errorf("token %x is sent without a start", t)
	}
	q.g.at("before send")
	end, late := w.origin.post(t, f.order, w.origin.manner(q.r))
	q.g.at("after send")
	if late == nil {
		q.end(end)
		return
	}
	w.late.Go(func() { // the client is answered, the unit is not
		select {
		case end = <-late:
		case <-time.After(lateWithin):
		}
		q.g.at("after send")
		q.end(end)
	})
}

// end settles.
func (q *request) end(end gate.End) {
	f := &q.facts
	t := f.Token
	if f.Order {
		t = f.Reservation
	}
	q.g.world.note(t, func(x *fate) { x.ended, x.end, x.by = true, end, q.g })
	q.g.fence.Release(f, end)
	q.g.unit.Release(f, end)
	q.g.soldOut.Release(f, end)
}
