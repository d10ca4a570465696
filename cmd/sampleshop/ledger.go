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

// order is one order taken.
type order struct {
	Order   string    `json:"order"`
	Account string    `json:"account"`
	Qty     int       `json:"qty"`
	Token   string    `json:"token,omitempty"` // Penstock-Reservation; "": it had none
	At      time.Time `json:"at"`
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
	Orders     []order `json:"orders"`      // oldest first

	Repeated map[string]int `json:"repeated"` // how often each token came that came more than once
}

// received is the head of a checkout as the shop got it: it shows what a gateway
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
	tokens     map[string]int // checkouts by Penstock-Reservation
	last       received
}

// deliver records a checkout's arrival and returns its number, from 1.
func (l *ledger) deliver(r *http.Request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checkouts++
	l.last = received{Target: r.RequestURI, Host: r.Host, Header: r.Header}
	if token := r.Header.Get(reservation); token != "" {
		if l.tokens[token] > 0 {
			l.duplicates++
		}
		l.tokens[token]++
	}
	return l.checkouts
}

// enter writes an order down and returns its number, from "1".
func (l *ledger) enter(account, token string, qty int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.units += qty
	number := strconv.Itoa(len(l.orders) + 1)
	l.orders = append(l.orders, order{number, account, qty, token, time.Now()})
	return number
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
		Peak: peak, TurnedAway: away,
		Orders:   append([]order{}, l.orders...), // never nil: clients expect a list
		Repeated: repeated,
	}
}

func (s *shop) orders(w http.ResponseWriter, _ *http.Request) { sendJSON(w, s.list()) }

func (s *shop) ordersCSV(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c := csv.NewWriter(w)
	c.Write([]string{"order", "account", "qty", "token", "at"})
	for _, o := range s.list().Orders {
		c.Write([]string{o.Order, o.Account, strconv.Itoa(o.Qty), o.Token, o.At.Format(time.RFC3339Nano)})
	}
	c.Flush() // errors: the client has left
}

// lastCheckout shows the head of the checkout that came last.
func (s *shop) lastCheckout(w http.ResponseWriter, _ *http.Request) {
	s.ledger.mu.Lock()
	last := s.ledger.last
	s.ledger.mu.Unlock()
	sendJSON(w, last)
}
