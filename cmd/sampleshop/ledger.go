package main

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// What really happened, told apart from what the shop believes: every order and
// every checkout that reached it. Unlike the stock it is counted under a lock, so it
// may be believed when the two differ.
//
// Nothing is ever dropped from it, and a repeated reservation is counted, not
// honoured: legacy shops do not know the header, and a gateway that sends an order
// twice must show here as two orders.

const milliseconds = "2006-01-02T15:04:05.000Z07:00" // RFC 3339

// order is one order taken.
type order struct {
	Order   string    `json:"order"`
	Account string    `json:"account"`
	Qty     int       `json:"qty"`
	Token   string    `json:"token,omitempty"` // Penstock-Reservation; "": it had none
	At      time.Time `json:"at"`              // to the millisecond
	Paid    bool      `json:"paid"`            // as the payment provider says; never without a cart
	Variant string    `json:"variant,omitempty"`
}

// listing is the answer of /orders.
type listing struct {
	Stock      int     `json:"stock"`       // units at the start
	Left       int     `json:"left"`        // units, as the shop believes
	Count      int     `json:"count"`       // orders
	Units      int     `json:"units"`       // in all orders; above stock: oversold
	Checkouts  int     `json:"checkouts"`   // that reached a worker, whatever became of them
	Duplicates int     `json:"duplicates"`  // checkouts whose token had come before
	Peak       int     `json:"peak"`        // the most requests ever inside, waiting ones included
	TurnedAway int     `json:"turned_away"` // requests that found the backlog full
	Carts      int     `json:"carts"`       // that hold something
	Orders     []order `json:"orders"`      // oldest first

	Repeated map[string]int `json:"repeated"` // how often each token came that came more than once
}

// received is the head of a request as the shop got it: it shows what a gateway
// added, and what it should have taken out. Names are in Go's canonical form.
type received struct {
	Target string      `json:"target"`
	Host   string      `json:"host"`
	Header http.Header `json:"header"`
}

type ledger struct {
	mu         sync.Mutex
	orders     []order
	units      int
	checkouts  int
	duplicates int
	last       received

	// By Penstock-Reservation.
	tokens  map[string]int    // checkouts that came
	running map[string]int    // checkouts that have not ended
	sold    map[string]string // the first order
	fenced  map[string]bool   // it was said that there is no order: there must never be one
}

func newLedger() ledger {
	return ledger{
		tokens: map[string]int{}, running: map[string]int{},
		sold: map[string]string{}, fenced: map[string]bool{},
	}
}

// deliver records a checkout's arrival and returns its number, from 1, and whether
// its token is fenced. The caller owes an end.
func (l *ledger) deliver(r *http.Request) (n int, fenced bool) {
	l.see(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checkouts++
	token := r.Header.Get(reservation)
	if token == "" {
		return l.checkouts, false
	}
	if l.tokens[token] > 0 {
		l.duplicates++
	}
	l.tokens[token]++
	l.running[token]++
	return l.checkouts, l.fenced[token]
}

// end records that a checkout is over, however it ended.
func (l *ledger) end(r *http.Request) {
	token := r.Header.Get(reservation)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[token]--; l.running[token] <= 0 {
		delete(l.running, token)
	}
}

// see keeps the head of a checkout, or of what fills a cart.
func (l *ledger) see(r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = received{Target: r.RequestURI, Host: r.Host, Header: r.Header}
}

// enter writes an order down and returns its number, from "1".
func (l *ledger) enter(want sale) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.units += want.Qty
	number := strconv.Itoa(len(l.orders) + 1)
	l.orders = append(l.orders, order{
		Order: number, Account: want.account, Qty: want.Qty, Token: want.token,
		At: time.Now().UTC().Truncate(time.Millisecond), Variant: want.Variant,
	})
	if _, sold := l.sold[want.token]; !sold && want.token != "" {
		l.sold[want.token] = number
	}
	return number
}

// find is the order of that number.
func (l *ledger) find(number string) (o order, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.index(number); i >= 0 {
		return l.orders[i], true
	}
	return order{}, false
}

// pay marks an order paid; it reports false if there is none of that number.
func (l *ledger) pay(number string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.index(number)
	if i >= 0 {
		l.orders[i].Paid = true
	}
	return i >= 0
}

// index is where the order of that number is, -1 if nowhere. A number has one
// spelling: "01" is none.
func (l *ledger) index(number string) int {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(l.orders) || l.orders[n-1].Order != number {
		return -1
	}
	return n - 1
}

// list is a snapshot: the orders are copied, because more may come while it is read.
func (s *shop) list() listing {
	s.floor.mu.Lock()
	peak, away := s.floor.peak, s.floor.turnedAway
	s.floor.mu.Unlock()
	l := &s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	repeated := map[string]int{}
	for token, n := range l.tokens {
		if n > 1 {
			repeated[token] = n
		}
	}
	return listing{
		Stock: s.stock, Left: int(s.left.Load()),
		Count: len(l.orders), Units: l.units,
		Checkouts: l.checkouts, Duplicates: l.duplicates,
		Peak: peak, TurnedAway: away, Carts: s.carts.filled(),
		Orders:   append([]order{}, l.orders...), // never nil: clients expect a list
		Repeated: repeated,
	}
}

func (s *shop) orders(w http.ResponseWriter, _ *http.Request) { sendJSON(w, s.list()) }

func (s *shop) ordersCSV(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c := csv.NewWriter(w)
	c.Write([]string{"order", "account", "qty", "token", "at", "paid", "variant"})
	for _, o := range s.list().Orders {
		c.Write([]string{
			o.Order, o.Account, strconv.Itoa(o.Qty), o.Token, o.At.Format(milliseconds),
			strconv.FormatBool(o.Paid), o.Variant,
		})
	}
	c.Flush() // errors: the client has left
}

// lastCheckout shows the head of what came last, a checkout or what fills a cart.
func (s *shop) lastCheckout(w http.ResponseWriter, _ *http.Request) {
	s.ledger.mu.Lock()
	last := s.ledger.last
	s.ledger.mu.Unlock()
	sendJSON(w, last)
}
