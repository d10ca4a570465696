package proxy

// Repeats: a client that gives up on an order that still waits, and asks again. Its first
// request holds the unit, and often the account's one request in flight, so its second
// one would be refused although nobody waits for the first any more. If nothing of the
// first has been sent, it is ended, and the second one takes its place.
//
// This is asked only when a request has been refused for such a reason, and it knows
// only requests of this gateway.

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
)

// repeatPatience bounds how long the second request waits for the first one's end.
const repeatPatience = time.Second

// repeats are the requests that hold a unit and of which nothing was sent, by account.
type repeats struct {
	mu      sync.Mutex
	waiting map[repeatKey]*waiter
}

type repeatKey struct{ ledger, account string }

// waiter is one of them, and the context of its wait.
type waiter struct {
	context.Context
	key     repeatKey
	conn    *conn
	orders  bool // it places an order
	cancel  context.CancelFunc
	decided atomic.Bool   // it goes on, or it has been replaced
	ended   chan struct{} // it has given everything back
}

// wait lets a request that holds a unit be replaced until replaced has said no.
func (p *Proxy) wait(r *request) {
	if !r.holdsUnit() || r.conn == nil {
		return
	}
	w := &waiter{
		key:  repeatKey{r.facts.Sale.Stock.Ledger, strings.Clone(r.facts.Account)},
		conn: r.conn, orders: r.step() != reserves, ended: make(chan struct{}),
	}
	w.Context, w.cancel = context.WithCancel(p.ctx)
	r.waits = w
	p.repeats.mu.Lock()
	defer p.repeats.mu.Unlock()
	if p.repeats.waiting == nil {
		p.repeats.waiting = make(map[repeatKey]*waiter)
	}
	p.repeats.waiting[w.key] = w
}

// replaced reports whether another request has taken this one's place. If not, none will.
func (p *Proxy) replaced(r *request) bool {
	if r.waits == nil || r.waits.decided.CompareAndSwap(false, true) {
		return false
	}
	p.abandon(r)
	return true
}

// waited ends the wait of a request that has given everything back.
func (p *Proxy) waited(r *request) {
	w := r.waits
	if w == nil {
		return
	}
	w.cancel()
	p.repeats.mu.Lock()
	if p.repeats.waiting[w.key] == w {
		delete(p.repeats.waiting, w.key)
	}
	p.repeats.mu.Unlock()
	close(w.ended)
}

// supersede ends the request that stands in the way of r, if its client has left and
// nothing of it was sent, and asks gate i again. If it was sent, that is what r hears.
func (p *Proxy) supersede(r *request, i int, v gate.Verdict) gate.Verdict {
	s := r.facts.Sale
	if i != inFlightAccount && v.Reason != gate.OrderPending || s == nil || s.Stock == nil || r.facts.Account == "" {
		return v
	}
	p.repeats.mu.Lock()
	w := p.repeats.waiting[repeatKey{s.Stock.Ledger, r.facts.Account}]
	p.repeats.mu.Unlock()
	switch {
	case w == nil:
		return v
	case w.decided.Load() && w.orders:
		return gate.Verdict{Reason: gate.OrderPending}
	case !w.conn.gone() || !w.decided.CompareAndSwap(false, true):
		return v
	}
	w.cancel()
	patience := time.NewTimer(repeatPatience)
	defer patience.Stop()
	select {
	case <-w.ended:
		return p.ask(r, i, p.gates[i])
	case <-patience.C:
		return v
	}
}

// reservation is the token of the unit that the request holds.
func (r *request) reservation() gate.Token {
	if r.facts.Order {
		return r.facts.Reservation
	}
	return r.facts.Token
}

// What a request does with its unit, in the words of the log.
const (
	reserves          = "reserve"
	orders            = "order"
	reservesAndOrders = "reserve and order"
)

func (r *request) step() string {
	switch {
	case r.facts.Order:
		return orders
	case r.facts.Sale.Order != nil:
		return reserves
	}
	return reservesAndOrders
}
