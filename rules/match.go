package rules

// Which sale or route a request belongs to, and to which step of the sale. It is asked
// of every request and allocates nothing. Overlaps are not resolved here beyond "first
// wins": rules/config refuses files in which that would surprise.

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Match says which requests a sale or route is for; all of its set fields must hold.
type Match struct {
	Methods []string          // upper case; empty: any. GET includes HEAD
	Host    string            // lower case, no port; "": any
	Path    string            // "*" stands for one segment, a last "**" for any rest, also none
	Query   map[string]string // name → value
	Form    map[string]string
	JSON    map[string]string
	From    []netip.Prefix // client addresses; empty: any
}

// NeedsBody reports whether the body must be read to decide the match.
func (m *Match) NeedsBody() bool { return len(m.Form) > 0 || len(m.JSON) > 0 }

// Request is one request as far as a match looks at it.
type Request struct {
	At     time.Time
	Method []byte
	Host   []byte // lower case, no port, no trailing dot
	Path   *Path
	From   netip.Addr
	Params Params
	Body   bool // the body has been read: Params answers for it too
}

// Params answers for the request's parameters.
type Params interface {
	// Has reports whether the parameter has this value anywhere the origin may
	// read it, however often it is given.
	Has(kind SourceKind, name, value string) bool
}

// Hit is what a request was found to be. At most one of Sale and Route is set; none: neither a
// sale's nor a route's.
type Hit struct {
	Sale     *Sale
	Order    bool // with Sale: it is the request that places the order of an earlier one
	Route    *Route
	NeedBody bool   // read the body and ask again
	Refuse   string // why the request may not pass at all: words for the client
	Method   bool   // the refusal is about the method
}

// The words of refusals by Match, for answers and tests.
const (
	RefuseCrooked = "this path is not written the way the shop writes it"
	RefuseHost    = "this host is not known for this path"
	RefuseMethod  = "this method is not allowed for this path"
	RefuseTwo     = "this request asks for two things at once"
)

// Match finds the sale or route a request belongs to.
//
// Sales are matched on every form the origin may make of the path, because a form
// we overlooked would be a way around the gates; a sale's path that is written in
// another form than the plain one is refused. The path of the order is guarded like
// that of the unit. Routes only ever loosen, so they are matched on the path as sent.
//
// Of several sales that match, the one whose window is open now is taken. Where none
// is, one who asks for a unit is told of the next to open, else of the last that
// closed; one who orders belongs to the last that closed, which may have reserved.
func (s *Set) Match(r *Request) Hit {
	var best Hit
	var wrongMethod, wrongHost bool
	for _, sale := range s.Sales {
		for _, order := range [...]bool{false, true} {
			if order && sale.Order == nil {
				continue
			}
			h := Hit{Sale: sale, Order: order}
			// An item in the path has as many forms as the path.
			exact := !order && sale.Item != nil && sale.Item.Kind == FromPath
			switch fit := h.step().fits(r, exact); {
			case fit == butBody:
				return Hit{NeedBody: true}
			case fit == butSpelling:
				return Hit{Refuse: RefuseCrooked}
			case fit != fits:
				wrongMethod = wrongMethod || fit == butMethod
				wrongHost = wrongHost || fit == butHost
			case best.Sale == nil:
				best = h
			case best.Order != order && contradict(best.step(), h.step()):
				return Hit{Refuse: RefuseTwo}
			case better(h, best, r.At):
				best = h
			}
		}
	}
	if best.Sale != nil {
		return best
	}
	return s.route(r, wrongMethod, wrongHost)
}

// step is what the hit was matched by.
func (h *Hit) step() *Match {
	if h.Order {
		return &h.Sale.Order.Match
	}
	return &h.Sale.Match
}

// fit is how far a sale's match holds for a request.
type fit uint8

const (
	misses      fit = iota
	fits            // as a whole
	butBody         // as far as can be said without the body
	butSpelling     // but for the way the path is written
	butHost
	butMethod
)

// fits compares a request with a sale's match. exact: a path with other forms than the
// one sent is crooked, whether or not they fit.
func (m *Match) fits(r *Request, exact bool) fit {
	plain, crooked := r.Path.match(m.Path)
	switch {
	case !plain && !crooked || !m.from(r.From):
		return misses
	case m.Host != "" && m.Host != string(r.Host):
		return butHost
	case crooked || exact && !r.Path.plain():
		return butSpelling
	case !m.method(r.Method):
		return butMethod
	case !has(r.Params, FromQuery, m.Query):
		return misses
	case m.NeedsBody() && !r.Body:
		return butBody
	case !has(r.Params, FromForm, m.Form) || !has(r.Params, FromJSON, m.JSON):
		return misses
	}
	return fits
}

// contradict reports whether a request can only fit both by giving a parameter twice.
// Which of the two the shop reads nobody knows: it may place an order that was taken
// for another step here, and so was never started.
func contradict(a, b *Match) bool {
	return differ(a.Query, b.Query) || differ(a.Form, b.Form) || differ(a.JSON, b.JSON)
}

func differ(a, b map[string]string) bool {
	for name, value := range a {
		if other, ok := b[name]; ok && !strings.EqualFold(other, value) {
			return true
		}
	}
	return false
}

// route finds the first route that fits. One that is to loosen what a sale's path
// forbids must name the method, or the host, it does that for.
func (s *Set) route(r *Request, wrongMethod, wrongHost bool) Hit {
	for _, route := range s.Routes {
		m := &route.Match
		plain, _ := r.Path.match(m.Path)
		if m.Path != "" && !plain || !m.from(r.From) || !m.method(r.Method) ||
			m.Host != "" && m.Host != string(r.Host) || !has(r.Params, FromQuery, m.Query) {
			continue
		}
		if wrongMethod && len(m.Methods) == 0 || wrongHost && m.Host == "" {
			continue
		}
		return Hit{Route: route}
	}
	switch {
	case wrongMethod:
		return Hit{Refuse: RefuseMethod, Method: true}
	case wrongHost:
		return Hit{Refuse: RefuseHost}
	}
	return Hit{}
}

// OnSalePath reports whether any sale or its order, whatever the other conditions, is at
// this path.
func (s *Set) OnSalePath(p *Path) bool {
	for _, sale := range s.Sales {
		if sale.At(p) {
			return true
		}
	}
	return false
}

// At reports whether the sale or its order, whatever the other conditions, is at this path.
func (s *Sale) At(p *Path) bool {
	on := func(m *Match) bool {
		plain, crooked := p.match(m.Path)
		return plain || crooked
	}
	return on(&s.Match) || s.Order != nil && on(&s.Order.Match)
}

// Asked reports whether a request with this path as it is written, host and method can be
// the sale's or its order's: parameters and addresses are not looked at.
func (s *Sale) Asked(p *Path, host, method []byte) bool {
	by := func(m *Match) bool {
		plain, _ := p.match(m.Path)
		return plain && (m.Host == "" || m.Host == string(host)) && m.method(method)
	}
	return by(&s.Match) || s.Order != nil && by(&s.Order.Match)
}

// Allowed lists the methods that sales and routes name for a path, as an Allow header
// does.
func (s *Set) Allowed(p *Path) string {
	var allowed []string
	add := func(m *Match) {
		for _, method := range m.Methods {
			if plain, _ := p.match(m.Path); plain && !slices.Contains(allowed, method) {
				allowed = append(allowed, method)
			}
		}
	}
	for _, sale := range s.Sales {
		add(&sale.Match)
		if sale.Order != nil {
			add(&sale.Order.Match)
		}
	}
	for _, route := range s.Routes {
		add(&route.Match)
	}
	return strings.Join(allowed, ", ")
}

func (m *Match) method(method []byte) bool {
	if len(m.Methods) == 0 {
		return true
	}
	for _, want := range m.Methods {
		if want == string(method) || want == "GET" && string(method) == "HEAD" {
			return true
		}
	}
	return false
}

func (m *Match) from(ip netip.Addr) bool {
	if len(m.From) == 0 {
		return true
	}
	for _, p := range m.From {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func has(p Params, kind SourceKind, want map[string]string) bool {
	for name, value := range want {
		if p == nil || !p.Has(kind, name, value) {
			return false
		}
	}
	return true
}

// Open reports whether the sale is open at t; Opens counts as open, Closes no more.
func (s *Sale) Open(t time.Time) bool {
	return !t.Before(s.Opens) && (s.Closes.IsZero() || t.Before(s.Closes))
}

// better reports whether a is to be preferred over b at t. Both match. Between the steps
// of two sales the order of the file decides where neither is open: their windows say
// nothing about which was meant.
func better(a, b Hit, t time.Time) bool {
	aOpen, bOpen := a.Sale.Open(t), b.Sale.Open(t)
	aSoon, bSoon := t.Before(a.Sale.Opens), t.Before(b.Sale.Opens)
	switch {
	case aOpen || bOpen:
		return aOpen && !bOpen
	case a.Order != b.Order:
		return false
	case aSoon != bSoon:
		return aSoon != a.Order
	case aSoon:
		return a.Sale.Opens.Before(b.Sale.Opens)
	}
	return a.Sale.Closes.After(b.Sale.Closes)
}
