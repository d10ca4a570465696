package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// The shop behind the gateways. Whatever it tells them, what it has taken is what was sold.

const (
	answerWithin = 40 * time.Millisecond // then a client hears that there was no answer
	lateWithin   = 80 * time.Millisecond // then nobody waits for the answer any more
)

var errAway = errors.New("shop does not answer")

// order is one that the shop has taken.
type order struct {
	account, item string
	units         int
	ref           string
}

type origin struct {
	mu       sync.Mutex
	orders   map[gate.Token]order
	fenced   map[gate.Token]bool
	sent     map[gate.Token]int
	repeated []gate.Token // sent again after it was sold: the fence should have kept it

	honest  bool // says what it does, at once
	refusal bool // refuses some orders
}

func newOrigin() *origin {
	return &origin{
		orders: map[gate.Token]order{}, fenced: map[gate.Token]bool{}, sent: map[gate.Token]int{}, refusal: true,
	}
}

// manner is how one order is met.
type manner struct {
	take  bool          // the order, unless it is fenced
	after time.Duration // it takes so long
	say   string        // truth, error or nothing; unreachable: nothing was sent
}

func (o *origin) manner(r *rand.Rand) manner {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := manner{take: true, say: "truth", after: time.Duration(r.IntN(8)) * time.Millisecond}
	if o.honest {
		return m
	}
	switch n := r.IntN(100); {
	case n < 50:
	case n < 70:
		m.take = !o.refusal
	case n < 75:
		m.say = "error" // 500, after the order was taken
	case n < 79:
		m.say = "nothing"
	case n < 82:
		m.take, m.say = false, "error"
	case n < 84:
		m.take, m.say = false, "nothing"
	case n < 90:
		m.after = answerWithin + time.Duration(r.IntN(int(lateWithin/2)))
	case n < 93:
		m.after = 3 * lateWithin
	default:
		m.say = "unreachable"
	}
	return m
}

// post sends an order. The first end is known within answerWithin. If there is none then,
// late tells whoever waits for longer.
func (o *origin) post(t gate.Token, ord order, m manner) (end gate.End, late <-chan gate.End) {
	if m.say == "unreachable" {
		return gate.End{Kind: gate.Unsent}, nil
	}
	o.mu.Lock()
	o.sent[t]++
	o.mu.Unlock()
	answer := make(chan gate.End, 1)
	time.AfterFunc(m.after, func() { answer <- o.meet(t, ord, m) })
	select {
	case end = <-answer:
		return end, nil
	case <-time.After(answerWithin):
		return gate.End{}, answer
	}
}

// meet takes the order or does not, and answers.
func (o *origin) meet(t gate.Token, ord order, m manner) gate.End {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, had := o.orders[t]
	if had {
		o.repeated = append(o.repeated, t)
	}
	taken := had || m.take && !o.fenced[t]
	if taken {
		ord.ref = fmt.Sprintf("order %x", t)
		o.orders[t] = ord
	}
	switch {
	case m.say == "nothing":
		return gate.End{}
	case m.say == "error":
		return gate.End{Kind: gate.Answered, Status: 500}
	case taken:
		return gate.End{Kind: gate.Answered, Status: 200, Outcome: rules.OutcomeSold, Ref: ord.ref}
	}
	return gate.End{Kind: gate.Answered, Status: 409, Outcome: rules.OutcomeFree}
}

// resolve is what the shop's own endpoint for held units says. Once it has said that there
// is no order there never is one.
func (o *origin) resolve(_ context.Context, _ string, e stock.Entry) (rules.Outcome, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.honest && rand.IntN(5) == 0 {
		return rules.OutcomeUnknown, "", errAway
	}
	if ord, ok := o.orders[e.Token]; ok {
		return rules.OutcomeSold, ord.ref, nil
	}
	o.fenced[e.Token] = true
	return rules.OutcomeFree, "", nil
}

// calm makes the shop honest, and one that takes every order.
func (o *origin) calm() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.honest, o.refusal = true, false
}

// list is a copy of what the shop has taken, and which orders were sent.
func (o *origin) list() (orders map[gate.Token]order, sent map[gate.Token]int, repeated []gate.Token) {
	o.mu.Lock()
	defer o.mu.Unlock()
	orders, sent = make(map[gate.Token]order), make(map[gate.Token]int)
	for t, ord := range o.orders {
		orders[t] = ord
	}
	for t, n := range o.sent {
		sent[t] = n
	}
	return orders, sent, append([]gate.Token(nil), o.repeated...)
}
