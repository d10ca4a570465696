package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The shop itself: what it answers at which path, and its checkout. Every page and
// the checkout take a worker each, as PHP scripts do. Prices are left out, and so are
// carts and payment unless they are asked for: what a gateway must cope with is the
// stock and the time it takes.

const (
	session     = "PHPSESSID"
	reservation = "Penstock-Reservation"

	maxBody    = 1 << 20 // bytes
	maxQty     = 9999
	maxVariant = 100 // bytes

	// What a request costs, as a divisor of a checkout's service time.
	checkoutCost = 1
	pageCost     = 4
	staticCost   = 20
)

// shop is safe for concurrent use, and wrong under it: left is read and written in
// two steps, on purpose. It is atomic only so that the race is in the logic and not
// in the memory.
type shop struct {
	stock    int
	left     atomic.Int64 // units, as the shop believes
	overflow string       // "hang" or "close"
	floor    *floor
	ledger   ledger
	carts    carts

	changing sync.Mutex // one change of conduct at a time
	conduct  atomic.Pointer[conduct]
	barrier  barrier

	controlled bool
	resolves   bool
	stop       <-chan struct{} // closed when the shop closes
}

// newShop takes a config that has been checked. Closing stop ends what would never
// end by itself: stalled requests, those at the barrier, those that hang.
func newShop(cfg config, stop <-chan struct{}) *shop {
	s := &shop{
		stock:      cfg.stock,
		overflow:   cfg.overflow,
		floor:      newFloor(cfg.workers, cfg.backlog),
		ledger:     newLedger(),
		carts:      carts{lines: map[string]line{}},
		controlled: cfg.control,
		resolves:   cfg.status,
		stop:       stop,
	}
	s.left.Store(int64(cfg.stock))
	s.conduct.Store(&cfg.conduct)
	s.barrier.set(cfg.conduct.barrier)
	return s
}

// handler is the whole shop, without a server around it.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.served(pageCost, s.product))
	mux.Handle("GET /thanks", s.served(pageCost, s.thanks))
	mux.Handle("GET /static/shop.css", s.served(staticCost, s.stylesheet))
	mux.Handle("POST /buy.php", s.only(false, s.served(checkoutCost, s.checkout(fromForm))))
	mux.Handle("POST /cart/add", s.only(true, s.served(checkoutCost, s.add)))
	mux.Handle("GET /checkout", s.only(true, s.served(pageCost, s.cart)))
	mux.Handle("POST /checkout/place", s.only(true, s.served(checkoutCost, s.checkout(s.fromCart))))
	mux.Handle("GET /pay", s.only(true, s.served(pageCost, s.pay)))
	mux.Handle("POST /pay/callback", s.only(true, s.served(pageCost, s.callback)))
	// What operators and tests look at takes no worker: it must answer when the shop does not.
	mux.HandleFunc("GET /orders", s.orders)
	mux.HandleFunc("GET /orders.csv", s.ordersCSV)
	if s.resolves {
		mux.HandleFunc("GET /-/order-status", s.orderStatus)
	}
	if s.controlled {
		mux.HandleFunc("GET /-/control", s.control)
		mux.HandleFunc("POST /-/control", s.control)
		mux.HandleFunc("GET /-/last", s.lastCheckout)
	}
	return lenient(mux)
}

// lenient finds a script by every path that Apache and PHP find it by: decoded,
// slashes merged, dots resolved, with path info behind it. A gateway that overlooks
// one of these leaves a way around itself, and here it shows.
func lenient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := path.Clean("/" + r.URL.Path)
		if i := strings.Index(p, ".php/"); i >= 0 {
			p = p[:i+len(".php")]
		}
		plain := *r
		plain.URL = &url.URL{Path: p, RawQuery: r.URL.RawQuery}
		next.ServeHTTP(w, &plain)
	})
}

// task serves one request with a worker of its own and works that long for it.
type task func(w http.ResponseWriter, r *http.Request, work time.Duration)

// served gives each request a worker, or turns it away if too many wait already: a
// full listen backlog lets clients hang, or refuses them, as the host is set up.
func (s *shop) served(cost time.Duration, do task) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.floor.enter() {
			if s.overflow == "close" {
				panic(http.ErrAbortHandler)
			}
			io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)) // so that its leaving is noticed
			s.abandon(r)
		}
		defer s.floor.leave()
		do(w, r, s.floor.work(s.conduct.Load().service/cost))
	})
}

// choice is what a visitor wants, or why that is nothing. It has read the form.
type choice func(w http.ResponseWriter, r *http.Request, account string) (line, *refused)

// checkout sells, or does whatever it is told to do instead. It does not notice
// that its client has left.
func (s *shop) checkout(chosen choice) task {
	return func(w http.ResponseWriter, r *http.Request, work time.Duration) {
		c := s.conduct.Load()
		n, fenced := s.ledger.deliver(r)
		defer s.ledger.end(r)
		account := visitor(w, r)
		want, why := chosen(w, r, account)
		if why == nil && fenced {
			why = &calledOff
		}
		if why == nil && every(c.stallEvery, n) {
			s.abandon(r)
		}
		var a *answer
		switch {
		case why != nil:
			a = c.refusal(*why)
		case every(c.failEvery, n):
			time.Sleep(work)
			a = c.refusal(failed)
		default:
			a = s.sell(c, sale{n, account, r.Header.Get(reservation), want}, work)
		}
		if a.sold {
			s.carts.empty(account)
		}
		if a.sold && every(c.hangupEvery, n) {
			hangUp(w, a, c.hangupAt)
			return
		}
		a.send(w)
	}
}

// sale is what one checkout asks for.
type sale struct {
	checkout int // its number
	account  string
	token    string
	line
}

// sell reads the stock, thinks, and writes it back: whoever reads in between sells
// the same units again.
func (s *shop) sell(c *conduct, want sale, work time.Duration) *answer {
	left := s.left.Load()
	if left < int64(want.Qty) {
		time.Sleep(work)
		return c.refusal(soldOut)
	}
	// All of the work lies between the read and the write: the widest window there is.
	time.Sleep(work + c.think)
	s.barrier.wait(s.stop)
	if every(c.declineEvery, want.checkout) {
		return c.refusal(declined)
	}
	s.left.Store(left - int64(want.Qty))
	return c.success(s.ledger.enter(want))
}

// fromForm is what the form asks for: its qty, 1 if there is none, of its variant.
func fromForm(w http.ResponseWriter, r *http.Request, _ string) (line, *refused) {
	if err := readForm(w, r); err != nil {
		return line{}, &badRequest
	}
	want := line{Qty: 1, Variant: r.PostForm.Get("variant")}
	if field := r.PostForm.Get("qty"); field != "" {
		want.Qty, _ = strconv.Atoi(field) // 0, or far too much, if it is no number
	}
	if want.Qty < 1 || want.Qty > maxQty || len(want.Variant) > maxVariant {
		return line{}, &badRequest
	}
	return want, nil
}

// readForm reads the body whole, whatever its type: a body cut short must not become
// an order, and only behind its end does the server watch for the client's leaving.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("read form: %w", err)
	}
	if err := r.ParseMultipartForm(maxBody); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return fmt.Errorf("read form: %w", err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	return nil
}

// visitor names who asks: the customer cookie, the session, X-Account or the query,
// whichever is first there. A visitor without a session is given one, and is known
// by it if by nothing else.
func visitor(w http.ResponseWriter, r *http.Request) string {
	id := ""
	if c, err := r.Cookie(session); err == nil {
		id = c.Value
	}
	fresh := ""
	if id == "" {
		fresh = strings.ToLower(rand.Text())
		http.SetCookie(w, &http.Cookie{Name: session, Value: fresh, Path: "/", HttpOnly: true})
	}
	customer := ""
	if c, err := r.Cookie("customer"); err == nil {
		customer = c.Value
	}
	for _, name := range []string{customer, id, r.Header.Get("X-Account"), r.URL.Query().Get("account")} {
		if name != "" {
			return name
		}
	}
	return fresh
}
