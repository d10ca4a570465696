package proxy

// What a client is told when Penstock answers itself: one table from reason to
// status and words, as problem+json (RFC 9457) or as a page, with the operator's
// overrides. Everything that does not change from request to request is rendered once.

import (
	"bytes"
	"encoding/json"
	"html"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"penstock/proxy/gate"
	"penstock/proxy/pages"
	"penstock/rules"
)

type words struct {
	status        int
	title, detail string
}

// table is every answer Penstock makes itself.
var table = map[gate.Reason]words{
	gate.NotOpen:            {403, "Not open yet", "This sale has not started."},
	gate.Closed:             {410, "This sale is over", "This sale has ended."},
	gate.NoAccount:          {403, "Please sign in first", "This sale needs to know who you are: sign in, allow cookies, then try again."},
	gate.Banned:             {403, "Not allowed", "This account or address may not take part in this sale."},
	gate.NotEligible:        {403, "Not eligible", "This account does not meet the terms of this sale."},
	gate.Challenge:          {403, "One more step", "Please show first that you are a person."},
	gate.RateLimited:        {429, "Too many requests", "You have asked too often. Nothing is lost: wait a moment, then try again."},
	gate.InFlight:           {429, "One at a time", "Another request of yours is still being worked on. Wait for it, then try again."},
	gate.SoldOut:            {409, "Sold out", "Everything has been sold or is being paid for."},
	gate.AlreadyBought:      {409, "You already have one", "This account has bought all it may buy in this sale. Your order stands."},
	gate.OrderPending:       {409, "Your order is on its way", "An order of this account is being worked on. Do not order again: look at your orders in a moment."},
	gate.ReservationExpired: {409, "No reservation", "No unit is kept for you: there was none, or it has been given back. Nothing was ordered."},
	gate.Limit:              {409, "Too many for one account", "This is more than this account may still buy in this sale."},
	gate.UnknownItem:        {404, "Not in this sale", "This item is not part of this sale."},
	gate.Overloaded:         {503, "The shop is very busy", "More people are asking than the shop can serve right now. Nothing was ordered."},
	gate.Paused:             {503, "Paused", "This sale is paused for a moment. Nothing was ordered."},
	gate.Draining:           {503, "One moment", "This server is being restarted. Nothing was ordered: try again."},
	gate.StoreUnavailable:   {503, "One moment", "The stock cannot be checked right now. Nothing was ordered."},
	gate.OriginUnreachable:  {502, "The shop cannot be reached", "Nothing was ordered: try again."},
	gate.OriginFailed:       {502, "The shop did not finish its answer", "Your order may exist. Look at your orders before you try again."},
	gate.OriginTimeout:      {504, "The shop did not answer in time", "Your order may exist. Look at your orders before you try again."},
	gate.BadRequest:         {400, "Bad request", "This request cannot be understood without doubt."},
	gate.Method:             {405, "Method not allowed", "This method is not allowed here."},
	gate.BodyTooLarge:       {413, "Too large", "The body of this request is larger than is allowed here."},
	gate.BodyTimeout:        {408, "Too slow", "The request did not arrive in time. Nothing was ordered."},
	gate.HeadTooLarge:       {431, "Headers too large", "The headers of this request are larger than is allowed here."},
	gate.Internal:           {500, "Something went wrong here", "This is our fault. If you were ordering, look at your orders before you try again."},
}

// answer is one rendered answer.
type answer struct {
	words
	reason gate.Reason
	json   []byte       // up to the detail
	usual  []byte       // the detail where the request itself is not at fault, quoted
	final  []byte       // the whole, where asking again makes no sense
	page   string       // with open slots
	head   []byte       // from the status line to what is the same for every form
	own    rules.Answer // what the operator says instead
}

// answers holds one answer per reason.
type answers [64]*answer

// render makes the answers of one place: a later override wins, field by field.
func render(overrides ...map[string]*rules.Answer) *answers {
	var all answers
	for reason, w := range table {
		a := &answer{words: w, reason: reason, own: rules.Answer{Status: w.status}}
		for _, o := range overrides {
			a.override(o[reason.String()])
		}
		a.status = a.own.Status
		a.json = append(a.json, `{"title":`...)
		a.json = strconv.AppendQuote(a.json, a.title)
		a.json = append(a.json, `,"status":`...)
		a.json = strconv.AppendInt(a.json, int64(a.status), 10)
		a.json = append(append(append(a.json, `,"reason":"`...), reason.String()...), `","detail":`...)
		a.usual, _ = json.Marshal(a.detail)
		a.final = a.appendJSON(nil, 0, "")
		a.page = pages.Render(a.title)
		a.head = a.start(a.status)
		all[reason] = a
	}
	return &all
}

// override takes over what o says. A page and a redirect stand for each other.
func (a *answer) override(o *rules.Answer) {
	if o == nil {
		return
	}
	if o.Status != 0 {
		a.own.Status = o.Status
	}
	if o.JSON != nil {
		a.own.JSON = o.JSON
	}
	if o.Page != nil || o.Redirect != "" {
		a.own.Page, a.own.Redirect = o.Page, o.Redirect
	}
}

// maxJitter bounds how far refusals are spread over time.
const maxJitter = 2 * time.Second

// jitter lengthens a wait, so that those refused together do not return as one wave.
// It never shortens it: nobody is sent back before an opening.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(min(d/2+250*time.Millisecond, maxJitter))))
}

// start writes what the head of the answer has in every form.
func (a *answer) start(status int) []byte {
	return []byte(statusLines[status] + "Penstock-Reason: " + a.reason.String() + "\r\nCache-Control: no-store\r\n")
}

// write makes the answer, in place of all that was to be sent so far. detail replaces the
// usual words where the request itself is at fault; retry is the wait before jitter, 0
// where asking again makes no sense.
func (a *answer) write(r *request, retry time.Duration, detail string) {
	if retry > 0 {
		retry = jitter(retry)
	}
	page := r.head.wantsHTML()
	b := append(r.out[:0], a.head...)
	if page && a.own.Redirect != "" {
		b = append(r.out[:0], a.start(fasthttp.StatusSeeOther)...)
	}
	b = r.date(b)
	if retry > 0 {
		b = append(strconv.AppendInt(append(b, "Retry-After: "...), seconds(retry), 10), "\r\n"...)
	}
	if r.allow != "" {
		b = append(append(append(b, "Allow: "...), r.allow...), "\r\n"...)
	}
	var body []byte
	switch {
	case page && a.own.Redirect != "":
		b = append(append(append(b, "Location: "...), a.own.Redirect...), "\r\n"...)
	case page:
		b = append(b, "Content-Type: text/html; charset=utf-8\r\n"...)
		body = a.pageFor(r, retry, detail)
	case a.own.JSON != nil:
		b = append(b, "Content-Type: application/json\r\n"...)
		body = a.own.JSON
	default:
		b = append(b, "Content-Type: application/problem+json\r\n"...)
		if body = a.final; retry > 0 || detail != "" {
			r.text = a.appendJSON(r.text[:0], retry, detail)
			body = r.text
		}
	}
	b = r.endHead(b, int64(len(body)))
	if string(r.head.method) != "HEAD" {
		b = append(b, body...)
	}
	r.out = b
}

func (a *answer) appendJSON(out []byte, retry time.Duration, detail string) []byte {
	out = append(out, a.json...)
	if detail == "" {
		out = append(out, a.usual...)
	} else {
		quoted, _ := json.Marshal(detail) // a string always has JSON
		out = append(out, quoted...)
	}
	if retry > 0 {
		out = strconv.AppendInt(append(out, `,"retry_after_ms":`...), int64((retry+time.Millisecond-1)/time.Millisecond), 10)
	}
	if a.reason == gate.SoldOut {
		out = strconv.AppendBool(append(out, `,"final":`...), retry == 0)
	}
	return append(out, '}', '\n')
}

// pageFor is the answer as a page.
func (a *answer) pageFor(r *request, retry time.Duration, detail string) []byte {
	if a.own.Page != nil {
		return a.own.Page
	}
	if detail == "" {
		detail = a.detail
	}
	repost := "1"
	if m := string(r.head.method); m == "GET" || m == "HEAD" {
		repost = "0"
	}
	return []byte(strings.NewReplacer(
		pages.SlotDetail, html.EscapeString(detail),
		pages.SlotSeconds, strconv.FormatInt(seconds(retry), 10),
		pages.SlotRepost, repost,
	).Replace(a.page))
}

// wantsHTML reports whether the client would rather be shown a page than JSON: the order
// of the two is its preference, weights are not looked at.
func (h *head) wantsHTML() bool {
	i, j := bytes.Index(h.accept, textHTML), bytes.Index(h.accept, jsonName)
	return i >= 0 && (j < 0 || i < j)
}

var (
	textHTML = []byte("text/html")
	jsonName = []byte("json")
)

// seconds rounds up, because a client that comes back early is refused again.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
