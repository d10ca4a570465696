package proxy

// From the bytes of a request to its facts, and back into the pool.

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"penstock/proxy/gate"
	"penstock/rules"
)

// tokens makes a token per request: eight random bytes per process, then a counter.
type tokens struct {
	boot  uint64
	count atomic.Uint64
}

func newTokens() tokens {
	var b [8]byte
	rand.Read(b[:])
	return tokens{boot: binary.BigEndian.Uint64(b[:])}
}

func (t *tokens) next() (k gate.Token) {
	binary.BigEndian.PutUint64(k[:8], t.boot)
	binary.BigEndian.PutUint64(k[8:], t.count.Add(1))
	return k
}

// parsed answers a request that fasthttp has read the head of.
func (p *Proxy) parsed(c *fasthttp.RequestCtx) {
	r := p.requests.Get().(*request)
	r.c, r.from = c, c.RequestBodyStream()
	k, _ := c.Conn().(*conn)
	p.begin(r, k, c.Time(), headSize(&c.Request.Header))
	r.last = r.last || c.Request.Header.ConnectionClose()
	p.handle(r)
}

// begin makes a pooled request ready for its life.
func (p *Proxy) begin(r *request, k *conn, at time.Time, head int) {
	r.conn, r.ruled = k, p.current.Load()
	r.end = gate.End{Kind: gate.Refused}
	r.facts = gate.Facts{At: at, Priority: rules.Browse}
	r.kind = r.rest
	if k != nil {
		k.handling(head)
		r.last = k.requests >= maxRequests
	}
}

// maxRequests ends a connection now and then, so that load spreads after a restart.
const maxRequests = 1000

func (p *Proxy) put(r *request) {
	r.c, r.conn, r.from, r.ruled, r.kind = nil, nil, nil, nil, nil
	r.inline.Reset(nil)
	if r.facts.Said != nil {
		r.saidOf = [rules.MostTerms]string{}
	}
	r.facts = gate.Facts{}
	r.params = params{fields: r.params.fields[:0]}
	r.trusted, r.newVisitor, r.answered, r.would = false, "", gate.Unset, gate.Unset
	r.out, r.begun, r.last = r.out[:0], false, false
	r.whole, r.lapsed, r.late, r.waits = false, false, false, nil
	r.up, r.allow, r.page = upload{}, "", nil
	r.here, r.left = presence{}, false
	r.pass, r.raised, r.switching = pass{}, false, false
	if r.body = r.body[:0]; cap(r.body) > keepBody {
		r.body = nil
	}
	if cap(r.out) > keepBody {
		r.out = nil
	}
	p.requests.Put(r)
}

// keepBody bounds the body buffer a pooled request keeps, in bytes.
const keepBody = 64 << 10

// readHead parses strictly, finds the sale or route and the facts of the head.
func (p *Proxy) readHead(r *request) bool {
	if r.c != nil {
		if f := r.head.scan(r.c); f != "" {
			return p.bad(r, f)
		}
	}
	if r.conn != nil && r.conn.surplus {
		r.last = true
		p.refuse(r, gate.Verdict{Reason: gate.Overloaded, Retry: time.Second}, "")
		return false
	}
	r.path.Parse(r.head.rawPath)
	r.params.query = r.head.query
	p.client(r)
	if p.cors(r) || p.ownPath(r) {
		return false
	}
	hit, ok := p.find(r)
	if !ok {
		return false
	}
	if hit.Refuse != "" {
		if hit.Method {
			r.allow = r.set.Allowed(&r.path)
			p.refuse(r, gate.Verdict{Reason: gate.Method}, fault(hit.Refuse))
			return false
		}
		return p.bad(r, fault(hit.Refuse))
	}
	if r.head.override && r.enforced.OnSalePath(&r.path) {
		return p.bad(r, "the method may not be overridden here")
	}
	if p.leaving.Load() {
		p.refuse(r, gate.Verdict{Reason: gate.Draining, Retry: time.Second}, "")
		return false
	}
	if hit.Sale == nil {
		if !p.headOfRoute(r, hit.Route) {
			return false
		}
		p.showPass(r)
		return true
	}
	r.facts.Sale, r.facts.Order, r.facts.Priority = hit.Sale, hit.Order, rules.Order
	r.kind = r.bySale[hit.Sale]
	v, f := p.account(r, hit.Sale)
	r.facts.Hash()
	if v.OK() {
		if f = p.said(r, hit.Sale); f == "" {
			p.showCleared(r)
			p.showPass(r)
			return true
		}
		v = gate.Verdict{Reason: gate.BadRequest}
	}
	return p.lapse(r, v, f)
}

// find finds the sale or route of a request. Which sale it is may stand in the body;
// until that is read the request holds nothing but its connection. A sale that only
// observes makes no request unfit: those it would refuse count as not its own.
func (p *Proxy) find(r *request) (rules.Hit, bool) {
	hit, strict := r.match(r.set), false
	if hit.NeedBody {
		strict = r.enforced == r.set || r.match(r.enforced).NeedBody
		if fits := int64(r.head.length) <= r.bodyLimit; (fits || strict) && !p.readWhole(r, r.bodyLimit, r.bodyTimeout) {
			return hit, false
		}
		if r.params.kind == bodyForeign && strict {
			return hit, p.bad(r, "the body is not of a type this path reads")
		}
		if r.whole || r.head.length == 0 {
			hit = r.match(r.set)
		}
	}
	if r.enforced != r.set && (hit.Refuse != "" || hit.NeedBody) {
		r.observed(eligible, gate.BadRequest)
		hit = r.match(r.enforced)
	}
	return hit, true
}

// match asks the rules which sale or route the request belongs to.
func (r *request) match(set *rules.Set) rules.Hit {
	return set.Match(&rules.Request{
		At: r.facts.At, Method: r.head.method, Host: r.head.host, Path: &r.path,
		From: r.facts.IP, Params: &r.params, Body: r.whole || r.head.length == 0,
	})
}

// lapse refuses a request whose facts a sale cannot use. Where the sale only
// observes, it is counted and goes on, out of the sight of the gates that need them.
func (p *Proxy) lapse(r *request, v gate.Verdict, f fault) bool {
	if s := r.facts.Sale; s != nil && !s.Enforce && int64(r.head.length) <= max(s.Limits.Body, r.set.Client.MaxBody) {
		r.observed(eligible, v.Reason)
		r.lapsed = true
		return true
	}
	p.refuse(r, v, f)
	return false
}

func (p *Proxy) headOfRoute(r *request, route *rules.Route) bool {
	if route != nil {
		r.facts.Priority, r.kind = route.Priority, r.byRoute[route]
	}
	if int64(r.head.length) > r.set.Client.MaxBody {
		p.refuse(r, gate.Verdict{Reason: gate.BodyTooLarge}, "")
		return false
	}
	return true
}

// bad refuses a malformed request.
func (p *Proxy) bad(r *request, f fault) bool {
	v := gate.Verdict{Reason: gate.BadRequest}
	switch f {
	case faultMethod:
		v.Reason = gate.Method
	case faultTooMany:
		v.Reason = gate.HeadTooLarge
	}
	p.refuse(r, v, f)
	return false
}

// readBody reads a sale's body whole, and the beginning of any other.
func (p *Proxy) readBody(r *request) bool { return p.readSale(r) && p.readAhead(r) }

// readSale reads a sale's body whole and finds the facts in it.
func (p *Proxy) readSale(r *request) bool {
	sale := r.facts.Sale
	if sale == nil || r.lapsed {
		return true
	}
	if !sale.Enforce && int64(r.head.length) > sale.Limits.Body {
		return p.lapse(r, gate.Verdict{Reason: gate.BodyTooLarge}, "")
	}
	if !r.whole && !p.readWhole(r, sale.Limits.Body, sale.Limits.BodyTimeout) {
		return false
	}
	if f := r.bodyFacts(sale); f != "" {
		return p.lapse(r, gate.Verdict{Reason: gate.BadRequest}, f)
	}
	return true
}

// readWhole reads the body into memory, within a size and a time.
func (p *Proxy) readWhole(r *request, limit int64, patience time.Duration) bool {
	if r.head.length == 0 {
		return true
	}
	if int64(r.head.length) > limit {
		p.refuse(r, gate.Verdict{Reason: gate.BodyTooLarge}, "")
		return false
	}
	if err := r.fill(r.upload(limit, patience, true), math.MaxInt); err != nil {
		p.brokenOff(r, err)
		return false
	}
	kind := r.head.contentType
	if _, n := r.head.value("Content-Encoding"); n > 0 {
		kind = nil // some shops unpack it, we do not: none of the types we read
	}
	r.whole = true
	r.params.setBody(kind, r.body)
	return true
}

// fill reads u into r.body, to its end or until that many bytes are there.
func (r *request) fill(u *upload, enough int) error {
	for len(r.body) < enough {
		if len(r.body) == cap(r.body) {
			r.body = slices.Grow(r.body, 512)
		}
		n, err := u.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outstanding is how much of the body has not been read, in bytes; below 0: nobody knows.
func (r *request) outstanding() int64 {
	switch {
	case r.whole || r.up.ended:
		return 0
	case r.c == nil: // it came whole; and fasthttp, which waits for its first request still, must find the connection idle
		return 0
	case r.up.err != nil:
		return -1
	case r.up.from != nil && !r.up.chunked:
		return r.up.left
	}
	return int64(r.head.length)
}

// unread reports whether so much of the body is outstanding that the connection is
// better closed than drained.
func (r *request) unread() bool {
	n := r.outstanding()
	return n < 0 || n > drainable || r.conn != nil && r.conn.waiting // nobody knows whether the body comes
}

// drainable is the most of a refused body that is read to keep its connection, bytes.
const drainable = 16 << 10

// greet hands a newcomer the cookie that makes it known.
func (p *Proxy) greet(r *request) {
	if r.newVisitor != "" {
		r.line("Set-Cookie", visitorCookie+"="+r.newVisitor+"; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax")
	}
}

func tokenString(t gate.Token) string { return hex.EncodeToString(t[:]) }
