// Package proxy is the gateway's HTTP side: the life of a request, from the first
// byte to the settled end, is handle in this file, top to bottom.
//
// It is the only package that knows HTTP. It knows no gate but by the contract of
// proxy/gate; which gates exist is decided where the binary is wired. A sale's
// answer is never shown to another request, and nothing is retried: a request that may place
// an order reaches the origin at most once.
package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"penstock/proxy/certs"
	"penstock/proxy/gate"
	"penstock/proxy/socket"
	"penstock/rules"
)

// Gates are the questions asked of every request, in this order: cheap before dear,
// memory before store, what is easily given back before what is not. A nil gate is open.
type Gates struct {
	Schedule        gate.Gate // is the sale open?
	Ban             gate.Gate // is this address or account banned?
	Ladder          gate.Gate // has it earned a ban by what it did?
	Eligible        gate.Gate // may this account take part?
	RateIP          gate.Gate // has this address asked too often?
	RateAccount     gate.Gate // has this account?
	InFlightIP      gate.Gate // is too much of this address running already?
	InFlightAccount gate.Gate // is too much of this account?
	Lease           gate.Gate // or has it asked too often, or runs too much, over all gateways?

	// A sale's body is read here, so that nobody holds a unit while dripping bytes.

	SoldOut   gate.Gate // latched as sold out, or has this account already won? (memory only)
	Challenge gate.Gate // must it prove itself first, and has it?
	Place     gate.Gate // is there a place to wait, with a wait worth waiting?
	Stock     gate.Gate // is a unit left, and may this account have it?
	Slot      gate.Gate // waits for the origin
	Start     gate.Gate // the durable fence without which no byte is sent
}

// The gates by number: bits of request.held, and names in metrics.
const (
	schedule = iota
	ban
	ladder
	eligible
	rateIP
	rateAccount
	inFlightIP
	inFlightAccount
	lease
	soldOut
	challenge
	place
	stock
	slot
	start
	gates
)

var gateNames = [gates]string{
	"schedule", "ban", "ladder", "eligible", "rate_ip", "rate_account", "in_flight_ip", "in_flight_account",
	"lease", "sold_out", "challenge", "place", "stock", "slot", "start",
}

func (g *Gates) list() [gates]gate.Gate {
	return [gates]gate.Gate{
		g.Schedule, g.Ban, g.Ladder, g.Eligible, g.RateIP, g.RateAccount, g.InFlightIP, g.InFlightAccount,
		g.Lease, g.SoldOut, g.Challenge, g.Place, g.Stock, g.Slot, g.Start,
	}
}

// Proxy handles requests. New makes one; Use gives it rules, now and at every reload.
type Proxy struct {
	gates   [gates]gate.Gate
	current atomic.Pointer[ruled]
	secret  secret
	jwts    *jwts
	tls     *certs.Front // nil: plain; set by the first Use
	metrics *metrics
	log     *slog.Logger
	tokens  tokens
	repeats repeats
	passes  *passes
	tunnels *tunnels
	watcher gate.Watcher // nil: nobody

	challenges *challenges // nil: nobody makes any

	gateTimes [gates]prometheus.Observer
	waitTimes [rules.Priorities]prometheus.Observer
	throttle  throttle

	forwarders forwarders

	requests sync.Pool
	draining atomic.Bool    // answers end their connections
	leaving  atomic.Bool    // new requests are refused
	late     sync.WaitGroup // requests whose answer is still awaited after we gave up
	ctx      context.Context
}

// request is one request on its way. It is used again after its last Release.
type request struct {
	*ruled
	c       *fasthttp.RequestCtx // nil: it came whole
	conn    *conn                // nil only in tests
	from    io.Reader            // its body; nil: none
	inline  bytes.Reader         // that body, if it came whole
	facts   gate.Facts
	end     gate.End
	held    uint32 // bit i: gate i is owed a Release
	writer  socket.Writer
	out     []byte                  // of the answer, what is to be written next
	lines   []byte                  // header lines of the answer, beside those it always has
	text    []byte                  // scratch: the body of an answer of ours
	asked   []byte                  // scratch: the head of the request to the origin
	account []byte                  // memory of facts.Account
	item    []byte                  // and of facts.Item
	saidOf  [rules.MostTerms]string // and of facts.Said; what it says lies in the head
	body    []byte                  // of a sale, read whole

	head       head
	path       rules.Path
	params     params
	trusted    bool // the peer is a trusted proxy
	newVisitor string
	page       []byte // the origin of the page that asks by script; nil: none, or no sale has cors
	kind       *kind
	answered   gate.Reason
	would      gate.Reason   // the first refusal that only watched
	decision   gate.Decision // memory of what the watcher is told: on its own it would be garbage of every refusal
	up         upload        // the body on its way in
	whole      bool          // the body has been read whole
	allow      string        // with a refusal for its method: those it may have
	lapsed     bool          // an observed sale's request whose facts cannot be used
	here       presence      // while it waits for the origin
	left       bool          // its client has left meanwhile
	waits      *waiter       // while it holds a unit and nothing was sent: who asks again may take its place
	pass       pass          // that was shown, if it is good
	raised     bool          // it counts among its bearer's requests under way
	decided    time.Time     // when the stock gate answered
	switching  bool          // it asks for a WebSocket, and may have one
	begun      bool          // bytes of the answer have been written
	last       bool          // the connection ends with this answer
	late       bool          // it was answered and counted, only its end was not known
}

// handle is the life of a request.
func (p *Proxy) handle(r *request) {
	defer p.finish(r)

	if !p.readHead(r) || !p.pass(r, schedule, soldOut) || p.cached(r) {
		return
	}
	if !p.readBody(r) || !p.pass(r, soldOut, stock) || p.gone(r) {
		return
	}
	r.facts.Token = p.tokens.next()
	if !p.pass(r, stock, slot) {
		return
	}
	p.wait(r) // from here on who left may be replaced by its own next click
	if !p.pass(r, slot, start) || p.gone(r) || p.replaced(r) {
		return
	}
	r.end = gate.End{} // from here on nobody may take the unit back but who knows the end
	if !p.pass(r, start, gates) {
		return
	}
	p.forward(r)
}

// needsFacts are the gates that make no sense without account, item and quantity.
const needsFacts = 1<<ladder | 1<<eligible | 1<<soldOut | 1<<challenge | 1<<stock | 1<<start

// pass asks the gates from i to before j. It answers false, and the client, at the
// first refusal that counts.
func (p *Proxy) pass(r *request, i, j int) bool {
	for ; i < j; i++ {
		g := p.gates[i]
		if g == nil || r.lapsed && needsFacts&(1<<i) != 0 {
			continue
		}
		v := p.ask(r, i, g)
		if !v.OK() {
			v = p.supersede(r, i, v)
		}
		if v.OK() {
			r.held |= 1 << i
			if i == stock {
				r.facts.Reservation = v.Token
			}
			if v.Would != gate.Unset {
				r.observed(i, v.Would)
			}
			continue
		}
		if r.watched(i) {
			r.observed(i, v.Reason)
			continue
		}
		if i == slot && p.replaced(r) { // it was not refused: it gave way
			return false
		}
		if r.left {
			p.abandon(r)
			return false
		}
		r.end = gate.End{Kind: gate.Refused}
		if i == start {
			r.end.Kind = gate.Unsent
		}
		p.trouble(v)
		p.refuse(r, v, "")
		return false
	}
	return true
}

// watched reports whether gate i only watches this request's sale. The queue in front of
// the origin is nobody's to switch off: it protects all that is behind it.
func (r *request) watched(i int) bool {
	s := r.facts.Sale
	if s == nil || i == place || i == slot {
		return false
	}
	enforced := s.Enforce
	switch i {
	case ladder:
		enforced = enforced && (s.Ladder == nil || s.Ladder.Enforce)
	case eligible:
		enforced = enforced && s.Require.Enforce
	case rateIP, inFlightIP:
		enforced = enforced && s.Limits.IP.Enforce
	case rateAccount, inFlightAccount, lease:
		enforced = enforced && s.Limits.Account.Enforce
	case challenge:
		enforced = enforced && (s.Challenge == nil || s.Challenge.Enforce)
	}
	return !enforced
}

// observed counts a refusal that only watched.
func (r *request) observed(i int, reason gate.Reason) {
	r.kind.observed(i, reason)
	if r.would == gate.Unset {
		r.would = reason
	}
}

// gone gives up on a client that has left: nobody is there to read the answer.
func (p *Proxy) gone(r *request) bool {
	if r.facts.Sale == nil && r.here.inner == nil {
		return false // it did not have to wait, and to look costs a 50th of what forwarding does
	}
	if r.conn == nil || !r.conn.gone() {
		return false
	}
	p.abandon(r)
	return true
}

// abandon ends a request that nobody waits for any more, and of which nothing was sent.
func (p *Proxy) abandon(r *request) {
	r.end = gate.End{Kind: gate.Unsent}
	r.answered = gate.ClientGone
	r.last = true
}

// refuse answers the client. detail is in the client's words, "" for the usual ones.
func (p *Proxy) refuse(r *request, v gate.Verdict, detail fault) {
	r.answered = v.Reason
	r.lines = r.lines[:0]
	r.last = r.last || r.unread() || v.Reason == gate.BadRequest || p.draining.Load()
	p.greet(r)
	p.handPass(r)
	r.shareRefusal()
	if v.Reason == gate.Challenge && p.challenge(r, v.Retry) {
		return
	}
	r.kind.answers[v.Reason].write(r, v.Retry, string(detail))
}

// finish settles a request, whatever way handle was left, and sends what is left of its
// answer.
func (p *Proxy) finish(r *request) {
	if e := recover(); e != nil {
		p.panicked(e)
		r.last = true
		if r.begun {
			r.cut()
		} else {
			p.refuse(r, gate.Verdict{Reason: gate.Internal}, "")
		}
	}
	p.settle(r)
	p.say(r)
	p.put(r)
}

// settle is the one place where everything taken is given back, last taken first.
func (p *Proxy) settle(r *request) {
	won := r.holdsUnit()
	p.release(r, everything)
	p.waited(r)
	if r.raised {
		p.passes.leave(r.pass.bearer)
	}
	r.kind.done(r)
	p.decided(r, won)
	if won {
		p.logWinner(r)
	}
}

const everything = 1<<gates - 1

// release settles with every gate of these that is owed it. A panic in one must not keep
// the others from hearing of the end, and outside of handle nobody else would catch it.
func (p *Proxy) release(r *request, which uint32) {
	defer func() {
		if e := recover(); e != nil {
			p.panicked(e)
			p.release(r, which)
		}
	}()
	for r.held&which != 0 {
		i := bits.Len32(r.held&which) - 1
		r.held &^= 1 << i
		p.gates[i].Release(&r.facts, r.end)
	}
}

func (p *Proxy) panicked(e any) {
	p.metrics.panics.Inc()
	p.log.Error("panic", "at", fmt.Sprint(e), "stack", string(debug.Stack()))
}

// holdsUnit reports whether the request has taken a unit of a sale.
func (r *request) holdsUnit() bool {
	s := r.facts.Sale
	if r.held&(1<<stock) == 0 || s == nil || s.Stock == nil {
		return false
	}
	if r.facts.Order {
		return r.facts.Reservation != gate.Token{}
	}
	_, sold := s.Stock.Items[r.facts.Item]
	return sold
}
