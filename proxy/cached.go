package proxy

// Answers that a route keeps for a moment (proxy/cache), between the life of a request and
// the wire. A request that is nobody's own and finds its answer costs the origin nothing,
// and waits for nothing. One that finds none waits for the one fetch under way; what may
// not be kept is nobody's but whose request it was, so they all go on then, each for
// itself, and are admitted, forwarded and answered as if there were no cache.
//
// A fetch is a request of the gateway's own (refresh.go): no client's leaving ends it and
// nothing of a client's is in it that an answer is not found by. What a request of a sale
// was told is never kept. Requests' own words about caches are not heard: a crowd that
// presses reload must not get around it.

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"penstock/proxy/cache"
	"penstock/proxy/gate"
	"penstock/rules"
)

// shelf holds the answers that routes keep. A reload begins anew.
type shelf struct {
	*cache.Cache // nil: no route keeps any
	routes       map[*kind]*keeping
	persons      []string // headers that say who asks
}

// keeping is a route that keeps answers.
type keeping struct {
	rule     *rules.Cache
	name     []byte
	priority rules.Priority
	asked    [lookups]prometheus.Counter
	fetched  []prometheus.Counter // by cache.Result
}

// What a request of such a route can come to.
const (
	shownFresh = iota
	shownStale
	shownFetched
	wentFailed // with the fetch it waited for
	wentAlone  // what it asks for may not be kept, or it waited for too long
	wentBy     // it is somebody's own, or no GET or HEAD
	lookups
)

var lookupNames = [lookups]string{"hit", "stale", "miss", "failed", "pass", "bypass"}

// lookAgain is how many fetches a request waits for: the first may only have taught what
// answers vary by.
const lookAgain = 3

// keep makes the cache for a set of rules.
func (p *Proxy) keep(u *ruled) {
	for _, route := range u.set.Routes {
		if route.Cache == nil {
			continue
		}
		k := &keeping{rule: route.Cache, name: []byte(route.Name), priority: route.Priority}
		for i, name := range lookupNames {
			k.asked[i] = p.metrics.cached.WithLabelValues(route.Name, name)
		}
		for _, result := range cache.Results() {
			k.fetched = append(k.fetched, p.metrics.fetches.WithLabelValues(route.Name, result.String()))
		}
		if u.kept.routes == nil {
			u.kept.routes = map[*kind]*keeping{}
		}
		u.kept.routes[u.byRoute[route]] = k
	}
	if u.kept.routes == nil {
		return
	}
	for _, s := range u.set.Sales {
		for _, a := range s.Account {
			switch {
			case a.Kind == rules.FromHeader:
				u.kept.persons = append(u.kept.persons, a.Name)
			case a.Kind == rules.FromJWT && a.JWT != nil:
				u.kept.persons = append(u.kept.persons, a.JWT.Header)
			}
		}
	}
	o := &u.set.Origin
	u.kept.Cache = cache.New(cache.Options{
		MaxBytes: u.set.CacheBytes, Patience: o.QueueMaxWait + o.ConnectTimeout + o.ResponseTimeout, Sends: u.varies,
	})
}

// varies reports whether a fetch may say a client's header of this name: not those that
// the gateway itself writes, believes or removes.
func (u *ruled) varies(name string) bool {
	if k := classify([]byte(name)); k != other && k != hAccept {
		return false
	}
	return !equalFold([]byte(u.set.ClientIPHeader), name) && !equalFold([]byte(name), "X-Request-Id") &&
		!slices.ContainsFunc(u.kept.persons, func(p string) bool { return equalFold([]byte(p), name) })
}

// cached answers a request from what its route keeps; false: it goes on.
func (p *Proxy) cached(r *request) bool {
	k := r.kept.routes[r.kind]
	if k == nil || r.facts.Sale != nil {
		return false
	}
	if !r.anybodys(k.rule) {
		k.asked[wentBy].Inc()
		return false
	}
	t := r.fetchTarget()
	asked := cache.Asked{
		Key:  cache.Key(r.asked, k.name, t.Proto, t.Host, t.ForwardedHost, scripts[t.Script], t.Target),
		Rule: k.rule, Header: (*spoken)(&r.head),
	}
	for range lookAgain {
		found := r.kept.Get(&asked, time.Now())
		if found.Lead {
			p.refresh(r, k, found.Flight, t)
		}
		switch found.State {
		case cache.Hit:
			return p.show(r, k, found.Answer, shownFresh)
		case cache.Stale:
			return p.show(r, k, found.Answer, shownStale)
		}
		if found.State == cache.Pass || !p.await(r, found.Flight) {
			break
		}
		if r.left {
			p.abandon(r)
			return true
		}
		answer, told, again := found.Flight.Share(&asked)
		if answer != nil {
			return p.show(r, k, answer, shownFetched)
		}
		// Who carries a pass stands in another queue than the one that was full.
		if v, ok := told.(gate.Verdict); ok && !(r.raised && v.Reason == gate.Overloaded) {
			k.asked[wentFailed].Inc()
			p.refuse(r, v, "")
			return true
		}
		if !again {
			break
		}
	}
	k.asked[wentAlone].Inc()
	return false
}

// await waits for a flight as long as the client is there; false if it takes too long.
func (p *Proxy) await(r *request, f *cache.Flight) bool {
	if r.conn == nil {
		return f.Wait(p.ctx.Done())
	}
	r.here = presence{Context: p.ctx, conn: r.conn}
	ended := f.Wait(r.here.Done())
	r.left = r.here.end()
	return ended || r.left
}

// anybodys reports whether the answer to the request can be anybody's: it asks for a whole
// page, and nothing in it says who asks, but for cookies that the operator knows better.
func (r *request) anybodys(rule *rules.Cache) bool {
	h := &r.head
	if m := string(h.method); m != "GET" && m != "HEAD" || h.length != 0 || h.override {
		return false
	}
	for i := range h.fields {
		f := &h.fields[i]
		switch {
		case f.known == hCookie:
			if !cache.Anonymous(view(f.value), rule.IgnoreCookies, ownCookies) {
				return false
			}
		case f.known == hHop && equalFold(f.name, "Upgrade"):
			return false
		case f.known != other:
		case equalFold(f.name, "Authorization"), equalFold(f.name, "Range"), equalFold(f.name, "If-Range"),
			equalFold(f.name, "If-Match"), equalFold(f.name, "If-Unmodified-Since"):
			return false
		}
		for _, name := range r.kept.persons {
			if equalFold(f.name, name) {
				return false
			}
		}
	}
	return true
}

// fetchTarget is what is asked for, as the origin is told. All of it is in the key.
func (r *request) fetchTarget() *cache.Target {
	t := &cache.Target{Target: r.head.target, Proto: []byte(r.scheme())}
	for i := range r.head.fields {
		switch f := &r.head.fields[i]; {
		case f.known == hHost:
			t.Host, t.ForwardedHost = f.value, f.value
		case r.trusted && f.is("X-Forwarded-Proto"):
			t.Proto = f.value
		case f.is("X-Requested-With"):
			t.Script = strings.EqualFold(view(f.value), "XMLHttpRequest")
		}
	}
	for i := range r.head.fields {
		if f := &r.head.fields[i]; r.trusted && f.is("X-Forwarded-Host") {
			t.ForwardedHost = f.value
		}
	}
	switch {
	case r.set.Origin.Host != "":
		t.Host = []byte(r.set.Origin.Host)
	case t.Host == nil:
		t.Host = []byte(r.set.Origin.Address)
	}
	return t
}

var scripts = map[bool][]byte{true: []byte("script")}

// spoken is a head as the cache asks for its headers.
type spoken head

// Value gives what the lines of this very name say, together, in memory of its own.
func (s *spoken) Value(name string) (value string, ok bool) {
	for i := range s.fields {
		switch f := &s.fields[i]; {
		case !f.is(name):
		case ok:
			value += ", " + string(f.value)
		default:
			value, ok = string(f.value), true
		}
	}
	return value, ok
}

var cacheLines = [lookups]string{
	shownFresh: "Penstock-Cache: hit\r\n", shownStale: "Penstock-Cache: stale\r\n", shownFetched: "Penstock-Cache: miss\r\n",
}

// show answers with what is kept.
func (p *Proxy) show(r *request, k *keeping, a *cache.Answer, how int) bool {
	k.asked[how].Inc()
	r.answered = gate.Admitted
	r.end = gate.End{Kind: gate.Unsent}
	r.last = r.last || p.draining.Load()
	r.lines = r.lines[:0]
	known, _ := (*spoken)(&r.head).Value("If-None-Match")
	since, _ := (*spoken)(&r.head).Value("If-Modified-Since")
	same := a.Unchanged(known, since)
	status := a.Status
	if same {
		status = fasthttp.StatusNotModified
	}
	b := append(r.out[:0], statusLines[status]...)
	for _, f := range a.Header {
		if !same || !describes(f.Name) {
			b = append(append(append(append(b, f.Name...), ": "...), f.Value...), "\r\n"...)
		}
	}
	b = append(strconv.AppendInt(append(b, "Age: "...), a.Age(time.Now()), 10), "\r\n"...)
	b = append(append(b, cacheLines[how]...), admittedLine...)
	switch {
	case same:
		r.out = r.endBare(b)
	case string(r.head.method) == "HEAD":
		r.out = r.endHead(b, int64(len(a.Body)))
	case len(a.Body) <= smallAnswer:
		r.out = append(r.endHead(b, int64(len(a.Body))), a.Body...)
	default:
		r.out = r.endHead(b, int64(len(a.Body)))
		r.sendBody(a.Body)
	}
	return true
}

// sendBody sends a body that is not worth a copy behind the head in r.out.
func (r *request) sendBody(body []byte) {
	if !r.flush() || r.conn == nil {
		return
	}
	if _, err := r.conn.send(body); err != nil {
		r.last = true
	}
}

// describes reports whether a header is about the body, which a 304 does not have
// (RFC 9110, 15.4.5).
func describes(name string) bool {
	return strings.EqualFold(name, "Content-Type") || strings.EqualFold(name, "Content-Encoding") ||
		strings.EqualFold(name, "Content-Language") || strings.EqualFold(name, "Content-Disposition")
}

// watchKept shows how much is kept at the moment.
func (p *Proxy) watchKept(reg prometheus.Registerer) {
	gauge := func(name, help string, value func(*cache.Cache) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "penstock", Name: name, Help: help}, func() float64 {
			if u := p.current.Load(); u != nil && u.kept.Cache != nil {
				return value(u.kept.Cache)
			}
			return 0
		}))
	}
	gauge("cache_bytes", "Bytes of answers that routes keep, with what it takes to find them.", func(c *cache.Cache) float64 { n, _ := c.Stats(); return float64(n) })
	gauge("cache_entries", "Answers that routes keep.", func(c *cache.Cache) float64 { _, n := c.Stats(); return float64(n) })
}
