package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// What the shop says: its pages, and the answers of its checkout in each flow. In all
// but the json flow every failure is a page with status 200, as legacy shops have it,
// so that only a page's words tell a sale from a refusal.

//go:embed shop.html
var shopHTML string

//go:embed shop.css
var shopCSS []byte

var pages = template.Must(template.New("").Parse(shopHTML))

// answer is a checkout's answer, made whole before the first byte is sent.
type answer struct {
	status   int
	kind     string // Content-Type
	location string // "": none
	body     []byte
	sold     bool
}

// refused is why a checkout sold nothing, in every flow's words.
type refused struct {
	status int    // in the json flow; the others say 200
	word   string // of the JSON answer
	Title  string // of the page
	Text   string
}

var (
	soldOut    = refused{http.StatusConflict, "sold_out", "Sold out", "Sorry, there is nothing left to sell."}
	declined   = refused{http.StatusPaymentRequired, "card_declined", "Card declined", "Your bank has declined the payment. Nothing was charged."}
	failed     = refused{http.StatusInternalServerError, "error", "Error", "Something went wrong on our side. Please try again."}
	badRequest = refused{http.StatusBadRequest, "bad_request", "Bad request", "We did not understand what you want to buy."}
	calledOff  = refused{http.StatusConflict, "called_off", "Order called off", "This order was called off before it was placed. Nothing was charged."}

	// Only with carts.
	emptyCart = refused{Title: "Your cart is empty", Text: "There is nothing to order yet."}
	noOrder   = refused{Title: "No such order", Text: "We have no order of this number."}
)

// refusal is the answer of a checkout that sold nothing.
func (c *conduct) refusal(why refused) *answer {
	if c.flow != "json" {
		return &answer{status: http.StatusOK, kind: "text/html; charset=utf-8", body: page("refused", why)}
	}
	return &answer{status: why.status, kind: "application/json", body: asJSON(map[string]string{"error": why.word})}
}

// success is the answer of a checkout that became this order.
func (c *conduct) success(order string) *answer {
	var a *answer
	switch c.flow {
	case "json":
		a = &answer{status: http.StatusCreated, kind: "application/json", body: asJSON(map[string]string{"order": order})}
	case "redirect":
		a = moved(http.StatusFound, "/thanks?order="+order)
		a.body = page("thanks-moved", order)
	case "cart":
		a = moved(http.StatusFound, "/pay?order="+order)
	}
	a.sold = true
	return a
}

// moved is an answer that sends its client on.
func moved(status int, to string) *answer {
	return &answer{status: status, location: to, kind: "text/html; charset=utf-8", body: page("onward", to)}
}

func (a *answer) send(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.location != "" {
		h.Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}

func (s *shop) product(w http.ResponseWriter, r *http.Request, work time.Duration) {
	visitor(w, r)
	time.Sleep(work)
	sendPage(w, http.StatusOK, page("product", map[string]any{"Left": s.left.Load(), "Cart": s.conduct.Load().flow == "cart"}))
}

func (s *shop) thanks(w http.ResponseWriter, r *http.Request, work time.Duration) {
	visitor(w, r)
	time.Sleep(work)
	if s.conduct.Load().flow == "cart" {
		s.orderPage(w, r, "thanks-paid")
		return
	}
	sendPage(w, http.StatusOK, page("thanks", r.URL.Query().Get("order")))
}

func (s *shop) stylesheet(w http.ResponseWriter, _ *http.Request, work time.Duration) {
	time.Sleep(work)
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Write(shopCSS)
}

func sendPage(w http.ResponseWriter, status int, html []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(html)
}

func sendJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(asJSON(v))
}

// page panics only on a template that does not fit its data, which no request can bring about.
func page(name string, data any) []byte {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// asJSON is for values that always marshal: strings, numbers, times, and structs of them.
func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}
