package rules

// Which sale or route a request belongs to, and what the origin's answer means. Both
// are asked of every request and allocate nothing. Overlaps are not resolved here
// beyond "first wins": rules/config refuses files in which that would surprise.

import (
	"bytes"
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

// Hit is what a request was found to be. At most one field is set; none: neither a
// sale's nor a route's.
type Hit struct {
	Sale     *Sale
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
)

// Match finds the sale or route a request belongs to.
//
// Sales are matched on every form the origin may make of the path, because a form
// we overlooked would be a way around the gates; a sale's path that is written in
// another form than the plain one is refused. Routes only ever loosen, so they are
// matched on the path as sent. Of several sales that match, the one whose window is
// open now is taken, else the next to open, else the last that closed.
func (s *Set) Match(r *Request) Hit {
	var best *Sale
	var wrongMethod, wrongHost bool
	for _, sale := range s.Sales {
		m := &sale.Match
		plain, crooked := r.Path.match(m.Path)
		switch {
		case !plain && !crooked:
			continue
		case !m.from(r.From):
			continue
		case m.Host != "" && m.Host != string(r.Host):
			wrongHost = true
			continue
		case crooked || sale.Item != nil && sale.Item.Kind == FromPath && !r.Path.plain():
			// An item in the path has as many forms as the path.
			return Hit{Refuse: RefuseCrooked}
		case !m.method(r.Method):
			wrongMethod = true
			continue
		case !has(r.Params, FromQuery, m.Query):
			continue
		}
		if m.NeedsBody() {
			if !r.Body {
				return Hit{NeedBody: true}
			}
			if !has(r.Params, FromForm, m.Form) || !has(r.Params, FromJSON, m.JSON) {
				continue
			}
		}
		if best == nil || sooner(sale, best, r.At) {
			best = sale
		}
	}
	if best != nil {
		return Hit{Sale: best}
	}
	return s.route(r, wrongMethod, wrongHost)
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

// OnSalePath reports whether any sale, whatever its other conditions, is at this path.
func (s *Set) OnSalePath(p *Path) bool {
	for _, sale := range s.Sales {
		if plain, crooked := p.match(sale.Match.Path); plain || crooked {
			return true
		}
	}
	return false
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

// sooner reports whether a is to be preferred over b at t. Both match; their
// windows do not overlap.
func sooner(a, b *Sale, t time.Time) bool {
	switch {
	case a.Open(t) || b.Open(t):
		return a.Open(t) && !b.Open(t)
	case t.Before(a.Opens) && t.Before(b.Opens):
		return a.Opens.Before(b.Opens)
	case t.Before(a.Opens) != t.Before(b.Opens):
		return t.Before(a.Opens)
	}
	return a.Closes.After(b.Closes)
}

// Outcome derives what an answer means for the unit: sold or free where exactly one
// of the two rule lists says so, else unknown.
func (s *Sale) Outcome(a *OriginAnswer) Outcome {
	sold, free := anyOf(s.SoldWhen, a), anyOf(s.FreeWhen, a)
	switch {
	case sold && !free:
		return OutcomeSold
	case free && !sold:
		return OutcomeFree
	}
	return OutcomeUnknown
}

// NeedsBody reports whether Outcome looks at the answer's body.
func (s *Sale) NeedsBody() bool {
	for _, list := range [][]Answered{s.SoldWhen, s.FreeWhen} {
		for i := range list {
			if list[i].BodyContains != nil {
				return true
			}
		}
	}
	return false
}

func anyOf(list []Answered, a *OriginAnswer) bool {
	for i := range list {
		if list[i].holds(a) {
			return true
		}
	}
	return false
}

func (w *Answered) holds(a *OriginAnswer) bool {
	if len(w.Status) > 0 {
		in := false
		for _, r := range w.Status {
			in = in || r.From <= a.Status && a.Status <= r.To
		}
		if !in {
			return false
		}
	}
	if w.Location != "" {
		if v, ok := a.Header("Location"); !ok || !glob(w.Location, v) {
			return false
		}
	}
	for name, pattern := range w.Header {
		if v, ok := a.Header(name); !ok || !glob(pattern, v) {
			return false
		}
	}
	return w.BodyContains == nil || bytes.Contains(a.Body, w.BodyContains)
}

// glob matches s against a pattern in which "*" stands for any run, also an empty one.
func glob(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, head) {
		return false
	}
	if s = s[len(head):]; !star {
		return s == ""
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}
