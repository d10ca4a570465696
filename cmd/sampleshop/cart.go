package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// The cart flow: what most legacy shops do. One request puts something into the cart,
// a later one places the order and sends the customer to pay, and whether they have
// paid is told by somebody else: the payment provider, who has no cookie.
//
// Carts hold no stock: the units in them are sold to whoever orders first. They are
// kept for good, abandoned or not, and hold one line: what is added replaces what was
// there. Whoever knows an order's number may see it, and may call it paid.

// line is what a visitor wants to buy.
type line struct {
	Qty     int
	Variant string // "": none was chosen
}

// carts holds them by account.
type carts struct {
	mu    sync.Mutex
	lines map[string]line
}

func (c *carts) put(account string, l line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines[account] = l
}

func (c *carts) of(account string) (l line, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok = c.lines[account]
	return l, ok
}

func (c *carts) empty(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lines, account)
}

// filled is how many carts hold something.
func (c *carts) filled() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// only leaves a path to the shops that have it: one has a cart, or sells at once.
func (s *shop) only(cart bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (s.conduct.Load().flow == "cart") != cart {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// add puts something into the visitor's cart if as much is left as the shop believes.
// It is no checkout: it is not counted as one, and never told to fail.
func (s *shop) add(w http.ResponseWriter, r *http.Request, work time.Duration) {
	c := s.conduct.Load()
	s.ledger.see(r)
	account := visitor(w, r)
	want, why := fromForm(w, r, account)
	if why != nil {
		c.refusal(*why).send(w)
		return
	}
	time.Sleep(work)
	if s.left.Load() < int64(want.Qty) {
		c.refusal(soldOut).send(w)
		return
	}
	s.carts.put(account, want)
	moved(http.StatusSeeOther, "/checkout").send(w)
}

// fromCart is what the visitor's cart holds.
func (s *shop) fromCart(w http.ResponseWriter, r *http.Request, account string) (line, *refused) {
	if err := readForm(w, r); err != nil {
		return line{}, &badRequest
	}
	want, ok := s.carts.of(account)
	if !ok {
		return line{}, &emptyCart
	}
	return want, nil
}

// cart is the checkout page: what will be ordered.
func (s *shop) cart(w http.ResponseWriter, r *http.Request, work time.Duration) {
	want, ok := s.carts.of(visitor(w, r))
	time.Sleep(work)
	if !ok {
		sendPage(w, http.StatusOK, page("refused", emptyCart))
		return
	}
	sendPage(w, http.StatusOK, page("cart", want))
}

// pay is the payment page.
func (s *shop) pay(w http.ResponseWriter, r *http.Request, work time.Duration) {
	visitor(w, r)
	time.Sleep(work)
	s.orderPage(w, r, "pay")
}

// orderPage shows the order that the query names.
func (s *shop) orderPage(w http.ResponseWriter, r *http.Request, name string) {
	o, ok := s.ledger.find(r.URL.Query().Get("order"))
	if !ok {
		sendPage(w, http.StatusNotFound, page("refused", noOrder))
		return
	}
	sendPage(w, http.StatusOK, page(name, o))
}

// callback hears of a payment. It asks nobody who they are, starts no session, and
// says the same however often it is told.
func (s *shop) callback(w http.ResponseWriter, r *http.Request, work time.Duration) {
	if err := readForm(w, r); err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	time.Sleep(work)
	if !s.ledger.pay(r.PostForm.Get("order")) {
		http.Error(w, "no such order", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "ok")
}
