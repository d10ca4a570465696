package rules

import (
	"net/netip"
	"testing"
	"time"
)

// params answers for parameters written as kind, name, value.
type params map[[2]string]SourceKind

func (p params) Has(kind SourceKind, name, value string) bool {
	k, ok := p[[2]string{name, value}]
	return ok && k == kind
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// ask is a POST to /buy at noon.
func ask(change func(*Request)) *Request {
	r := &Request{At: noon, Method: []byte("POST"), Host: []byte("shop.example"), Path: new(Path), From: netip.MustParseAddr("192.0.2.7"), Params: params{}}
	r.Path.Parse([]byte("/buy"))
	change(r)
	return r
}

func path(s string) func(*Request) { return func(r *Request) { r.Path.Parse([]byte(s)) } }

func method(s string) func(*Request) { return func(r *Request) { r.Method = []byte(s) } }

// named says which sale or route was hit, or why none.
func named(h Hit) string {
	switch {
	case h.Order:
		return "order " + h.Sale.Name
	case h.Sale != nil:
		return "sale " + h.Sale.Name
	case h.Route != nil:
		return "route " + h.Route.Name
	case h.NeedBody:
		return "body"
	case h.Method:
		return "method: " + h.Refuse
	}
	return h.Refuse
}

func expect(t *testing.T, s *Set, r *Request, want string) {
	t.Helper()
	if got := named(s.Match(r)); got != want {
		t.Errorf("%s %s%s: got %q, want %q", r.Method, r.Host, r.Path.Raw(), got, want)
	}
}

func TestMatchMethods(t *testing.T) {
	s := &Set{
		Sales: []*Sale{
			{Name: "buy", Match: Match{Methods: []string{"POST"}, Path: "/buy"}},
			{Name: "draw", Match: Match{Methods: []string{"GET"}, Path: "/draw"}},
			{Name: "any", Match: Match{Path: "/any"}},
		},
		Routes: []*Route{
			{Name: "loose", Match: Match{Path: "/buy"}},
			{Name: "form", Match: Match{Methods: []string{"GET"}, Path: "/buy"}},
			{Name: "second", Match: Match{Methods: []string{"GET"}, Path: "/buy"}},
		},
	}
	expect(t, s, ask(method("POST")), "sale buy")
	expect(t, s, ask(method("GET")), "route form")
	expect(t, s, ask(method("HEAD")), "route form")
	expect(t, s, ask(method("PUT")), "method: "+RefuseMethod)
	expect(t, s, ask(func(r *Request) { method("HEAD")(r); path("/draw")(r) }), "sale draw")
	expect(t, s, ask(func(r *Request) { method("POST")(r); path("/draw")(r) }), "method: "+RefuseMethod)
	expect(t, s, ask(func(r *Request) { method("TRACE")(r); path("/any")(r) }), "sale any")
	expect(t, s, ask(path("/else")), "")
}

func TestMatchCrooked(t *testing.T) {
	s := &Set{
		Sales:  []*Sale{{Name: "buy", Match: Match{Path: "/buy.php"}}, {Name: "red", Match: Match{Path: "/p/*"}, Item: &Source{Kind: FromPath, Name: "/p/*"}}},
		Routes: []*Route{{Name: "all", Match: Match{Path: "/**"}}},
	}
	expect(t, s, ask(path("/buy.php")), "sale buy")
	expect(t, s, ask(path("/buy.php/")), RefuseCrooked)
	expect(t, s, ask(path("/%62uy.php")), RefuseCrooked)
	expect(t, s, ask(path("/%65lse")), "route all") // a route is matched as sent
	expect(t, s, ask(path("/p/red")), "sale red")
	expect(t, s, ask(path("/p/%72ed")), RefuseCrooked) // else it would be an item nobody knows
	expect(t, s, ask(path("/p/red;x")), RefuseCrooked)
}

func TestOnSalePath(t *testing.T) {
	s := &Set{Sales: []*Sale{{Match: Match{Path: "/buy.php", Methods: []string{"POST"}, Host: "a"}}}}
	for raw, want := range map[string]bool{"/buy.php": true, "//buy.php": true, "/else": false} {
		var p Path
		p.Parse([]byte(raw))
		if got := s.OnSalePath(&p); got != want {
			t.Errorf("path %s: got %v, want %v", raw, got, want)
		}
	}
}

func TestAllowed(t *testing.T) {
	s := &Set{
		Sales:  []*Sale{{Match: Match{Methods: []string{"POST", "PUT"}, Path: "/buy"}}, {Match: Match{Path: "/buy"}}},
		Routes: []*Route{{Match: Match{Methods: []string{"GET", "POST"}, Path: "/**"}}, {Match: Match{Methods: []string{"DELETE"}, Path: "/x"}}},
	}
	for raw, want := range map[string]string{"/buy": "POST, PUT, GET", "/x": "GET, POST, DELETE", "/else": "GET, POST"} {
		var p Path
		p.Parse([]byte(raw))
		if got := s.Allowed(&p); got != want {
			t.Errorf("path %s: got %q, want %q", raw, got, want)
		}
	}
}

func TestMatchHost(t *testing.T) {
	s := &Set{
		Sales:  []*Sale{{Name: "buy", Match: Match{Host: "shop.example", Path: "/buy"}}},
		Routes: []*Route{{Name: "loose", Match: Match{Path: "/**"}}, {Name: "other", Match: Match{Host: "other.example", Path: "/buy"}}},
	}
	host := func(h string) func(*Request) { return func(r *Request) { r.Host = []byte(h) } }
	expect(t, s, ask(host("shop.example")), "sale buy")
	expect(t, s, ask(host("other.example")), "route other")
	expect(t, s, ask(host("127.0.0.1")), RefuseHost)
	expect(t, s, ask(func(r *Request) { host("127.0.0.1")(r); path("/buy/")(r) }), RefuseHost)
	expect(t, s, ask(func(r *Request) { host("127.0.0.1")(r); path("/x")(r) }), "route loose")
}

func TestMatchFrom(t *testing.T) {
	inside := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s := &Set{
		Sales:  []*Sale{{Name: "staff", Match: Match{Path: "/staff", From: inside}}},
		Routes: []*Route{{Name: "callback", Match: Match{Path: "/buy", From: inside}}},
	}
	outside := func(r *Request) { r.From = netip.MustParseAddr("198.51.100.1") }
	expect(t, s, ask(path("/staff")), "sale staff")
	expect(t, s, ask(path("/buy")), "route callback")
	expect(t, s, ask(func(r *Request) { outside(r); path("/staff")(r) }), "")
	expect(t, s, ask(outside), "")
}

func TestMatchParams(t *testing.T) {
	s := &Set{
		Sales: []*Sale{
			{Name: "query", Match: Match{Path: "/buy", Query: map[string]string{"sku": "1"}}},
			{Name: "form", Match: Match{Path: "/buy", Form: map[string]string{"sku": "2"}}},
			{Name: "json", Match: Match{Path: "/buy", JSON: map[string]string{"sku": "3"}}},
		},
		Routes: []*Route{{Name: "by-query", Match: Match{Path: "/buy", Query: map[string]string{"view": "1"}}}},
	}
	given := func(kind SourceKind, name, value string, body bool) func(*Request) {
		return func(r *Request) { r.Params, r.Body = params{{name, value}: kind}, body }
	}
	expect(t, s, ask(given(FromForm, "sku", "2", false)), "body")
	expect(t, s, ask(given(FromForm, "sku", "2", true)), "sale form")
	expect(t, s, ask(given(FromJSON, "sku", "3", true)), "sale json")
	expect(t, s, ask(given(FromQuery, "sku", "1", true)), "sale query")
	expect(t, s, ask(given(FromQuery, "view", "1", true)), "route by-query")
	expect(t, s, ask(given(FromForm, "sku", "9", true)), "")
	expect(t, s, ask(func(r *Request) { r.Params, r.Body = nil, true }), "")
	expect(t, s, ask(path("/else")), "") // no body is read for other paths
}

func TestMatchWindows(t *testing.T) {
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	here := Match{Path: "/buy"}
	s := &Set{Sales: []*Sale{
		{Name: "late", Match: here, Opens: at(4), Closes: at(5)},
		{Name: "first", Match: here, Opens: at(0), Closes: at(1)},
		{Name: "second", Match: here, Opens: at(2), Closes: at(3)},
	}}
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{at(-1), "sale first"},
		{at(0), "sale first"},
		{at(1).Add(-1), "sale first"},
		{at(1), "sale second"},
		{at(2), "sale second"},
		{at(3), "sale late"},
		{at(5).Add(-1), "sale late"},
		{at(5), "sale late"},
		{at(9), "sale late"},
	} {
		if got := named(s.Match(ask(func(r *Request) { r.At = c.at }))); got != c.want {
			t.Errorf("at %v: got %s, want %s", c.at, got, c.want)
		}
	}
	ordered := &Set{Sales: []*Sale{
		{Name: "past", Match: here, Closes: at(-4)},
		{Name: "over", Match: here, Opens: at(-2), Closes: at(-1)},
	}}
	expect(t, ordered, ask(path("/buy")), "sale over")
	ordered.Sales = append(ordered.Sales, &Sale{Name: "coming", Match: here, Opens: at(1)})
	expect(t, ordered, ask(path("/buy")), "sale coming")
	open := &Set{Sales: []*Sale{
		{Name: "never-opened", Match: here, Opens: at(1)},
		{Name: "always", Match: here},
		{Name: "hidden", Match: here},
	}}
	expect(t, open, ask(path("/buy")), "sale always")
	if !(&Sale{}).Open(noon) {
		t.Error("a sale without a window: got closed, want open")
	}
}

func TestPriorityNames(t *testing.T) {
	if got := Checkout.String() + " " + Static.String() + " " + Priorities.String(); got != "checkout static unknown" {
		t.Errorf("got %q, want %q", got, "checkout static unknown")
	}
	for kind := FromHeader; kind <= FromVisitor; kind++ {
		if got, want := kind.InBody(), kind == FromForm || kind == FromJSON; got != want {
			t.Errorf("source kind %d in the body: got %v, want %v", kind, got, want)
		}
	}
}

func TestSaleAskedAndAt(t *testing.T) {
	s := &Sale{
		Match: Match{Methods: []string{"POST"}, Host: "shop.example", Path: "/buy", Form: map[string]string{"sku": "PHONE"}, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Order: &OrderStep{Match: Match{Methods: []string{"PUT"}, Path: "/order/*"}},
	}
	for _, c := range []struct {
		path, host, method string
		asked, at          bool
	}{
		{"/buy", "shop.example", "POST", true, true},
		{"/buy", "shop.example", "GET", false, true},
		{"/buy", "other.example", "POST", false, true},
		{"//buy", "shop.example", "POST", false, true},
		{"/order/1", "anywhere", "PUT", true, true},
		{"/order/1", "anywhere", "POST", false, true},
		{"/else", "shop.example", "POST", false, false},
	} {
		var p Path
		p.Parse([]byte(c.path))
		if asked, at := s.Asked(&p, []byte(c.host), []byte(c.method)), s.At(&p); asked != c.asked || at != c.at {
			t.Errorf("%s %s%s: asked %v and at %v, want %v and %v", c.method, c.host, c.path, asked, at, c.asked, c.at)
		}
	}
}
