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
	json   []byte // up to the detail
	usual  []byte // the detail where the request itself is not at fault, quoted
	final  []byte // the whole, where asking again makes no sense
	page   string // with open slots
	head   fasthttp.ResponseHeader
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
		a.head.SetStatusCode(a.status)
		a.head.SetNoDefaultContentType(true)
		a.head.SetContentTypeBytes(problemJSON)
		a.head.SetCanonical(hdrReason, reasonBytes[reason])
		a.head.SetCanonical(hdrCacheControl, noStore)
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

// write sends the answer, in place of all that was to be sent so far. detail replaces the
// usual words where the request itself is at fault; retry is the wait before jitter, 0
// where asking again makes no sense.
func (a *answer) write(c *fasthttp.RequestCtx, r *request, retry time.Duration, detail string) {
	resp := &c.Response
	h := &resp.Header
	a.head.CopyTo(h)
	if retry > 0 {
		retry = jitter(retry)
		r.num = strconv.AppendInt(r.num[:0], seconds(retry), 10)
		h.SetCanonical(hdrRetryAfter, r.num)
	}
	if r.head.wantsHTML() {
		a.writePage(c, r, retry, detail)
		return
	}
	if a.own.JSON != nil {
		h.SetContentTypeBytes(applicationJSON)
		resp.SetBodyRaw(a.own.JSON)
		return
	}
	if retry == 0 && detail == "" {
		resp.SetBodyRaw(a.final)
		return
	}
	r.out = a.appendJSON(r.out[:0], retry, detail)
	resp.SetBody(r.out)
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

func (a *answer) writePage(c *fasthttp.RequestCtx, r *request, retry time.Duration, detail string) {
	h := &c.Response.Header
	if a.own.Redirect != "" {
		c.Response.SetStatusCode(fasthttp.StatusSeeOther)
		h.SetContentType("")
		h.Set("Location", a.own.Redirect)
		return
	}
	h.SetContentTypeBytes(htmlUTF8)
	if a.own.Page != nil {
		c.Response.SetBodyRaw(a.own.Page)
		return
	}
	if detail == "" {
		detail = a.detail
	}
	repost := "1"
	if m := string(r.head.method); m == "GET" || m == "HEAD" {
		repost = "0"
	}
	c.Response.SetBodyString(strings.NewReplacer(
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

var (
	hdrReason       = []byte("Penstock-Reason")
	hdrCacheControl = []byte("Cache-Control")
	hdrRetryAfter   = []byte("Retry-After")
	noStore         = []byte("no-store")
	problemJSON     = []byte("application/problem+json")
	applicationJSON = []byte("application/json")
	htmlUTF8        = []byte("text/html; charset=utf-8")

	reasonBytes = func() (b [64][]byte) {
		for _, r := range gate.Reasons() {
			b[r] = []byte(r.String())
		}
		return b
	}()
)
