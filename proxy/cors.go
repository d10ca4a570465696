package proxy

// Pages of other origins that ask a sale by script (CORS, https://fetch.spec.whatwg.org).
// A browser hides an answer from them unless it names their origin, and asks beforehand
// whether they may ask at all. Neither can be left to the shop: a refusal never reaches it,
// and a crowd's preflights would.
//
// So for sales with cors.origins, preflights are answered here, ahead of every gate, and
// refusals name the origin if it is in the list. What the shop answers is the shop's, also
// where it does not name the origin.

import (
	"slices"

	"penstock/proxy/gate"
)

// preflightAge is how long a browser may remember our answer to a preflight, seconds: the
// longest that browsers take. Leaving the list counts at once all the same, since every
// answer names the origin anew.
const preflightAge = "7200"

// maxAskedHeaders bounds the names of headers that a preflight may ask for, bytes.
const maxAskedHeaders = 1024

// cors finds the page that asks, and answers a preflight of a sale; true: it has.
func (p *Proxy) cors(r *request) bool {
	if !r.shares {
		return false
	}
	origin, n := r.head.value("Origin")
	if n != 1 || len(origin) == 0 {
		return false
	}
	r.page = origin
	if string(r.head.method) != "OPTIONS" {
		return false
	}
	method, n := r.head.value("Access-Control-Request-Method")
	if n != 1 || len(method) == 0 {
		return false
	}
	ours, allowed := false, false
	for _, s := range r.set.Sales {
		if len(s.Origins) > 0 && s.Asked(&r.path, r.head.host, method) {
			ours, allowed = true, allowed || slices.Contains(s.Origins, view(origin))
		}
	}
	if ours {
		p.preflight(r, allowed, method)
	}
	return ours
}

// preflight answers a preflight. One that may not is told nothing, which is what browsers
// take for no.
func (p *Proxy) preflight(r *request, allowed bool, method []byte) {
	r.answered = gate.Preflight
	r.lines = r.lines[:0]
	r.last = r.last || r.unread() || p.draining.Load()
	r.line("Penstock-Reason", gate.Preflight.String())
	r.line("Cache-Control", "no-store")
	r.line("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	if allowed {
		r.line("Access-Control-Allow-Origin", view(r.page))
		r.line("Access-Control-Allow-Credentials", "true")
		r.line("Access-Control-Allow-Methods", view(method))
		if names, n := r.head.value("Access-Control-Request-Headers"); n == 1 && headerNames(names) {
			r.line("Access-Control-Allow-Headers", view(names))
		}
		r.line("Access-Control-Max-Age", preflightAge)
	}
	r.out = r.endBare(r.date(append(r.out[:0], statusLines[204]...)))
}

// headerNames reports whether b is a list of names of headers, and not too long a one.
func headerNames(b []byte) bool {
	for _, c := range b {
		if !tokenChar[c] && c != ',' && c != ' ' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxAskedHeaders
}

// shareRefusal lets the page that asks read a refusal: of its sale, or where that is not
// known, of a sale at that path.
func (r *request) shareRefusal() {
	if r.page == nil {
		return
	}
	may, varies := false, false
	for _, s := range r.set.Sales {
		if len(s.Origins) > 0 && (s == r.facts.Sale || r.facts.Sale == nil && s.At(&r.path)) {
			varies, may = true, may || slices.Contains(s.Origins, view(r.page))
		}
	}
	if varies {
		r.line("Vary", "Origin")
	}
	if may {
		r.line("Access-Control-Allow-Origin", view(r.page))
		r.line("Access-Control-Allow-Credentials", "true")
		r.line("Access-Control-Expose-Headers", "Penstock-Reason, Retry-After")
	}
}
