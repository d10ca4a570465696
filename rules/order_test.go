package rules

// The two steps of a sale: the request that takes the unit, and the later one that
// places the order.

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// cart is a sale whose order is placed by a later request.
func cart(name string, order Match) *Sale {
	return &Sale{
		Name:  name,
		Match: Match{Methods: []string{"POST"}, Path: "/add/*"},
		Item:  &Source{Kind: FromPath, Name: "/add/*"},
		Order: &OrderStep{Match: order},
	}
}

func TestMatchOrder(t *testing.T) {
	staff := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s := &Set{
		Sales: []*Sale{cart("phone", Match{Methods: []string{"POST"}, Host: "shop.example", Path: "/place", From: staff})},
		Routes: []*Route{
			{Name: "all", Match: Match{Path: "/**"}},
			{Name: "see", Match: Match{Methods: []string{"GET"}, Path: "/place"}},
			{Name: "other", Match: Match{Host: "other.example", Path: "/place"}},
		},
	}
	place := func(change func(*Request)) *Request { return ask(func(r *Request) { path("/place")(r); change(r) }) }
	host := func(h string) func(*Request) { return func(r *Request) { r.Host = []byte(h) } }
	expect(t, s, ask(path("/add/red")), "sale phone")
	expect(t, s, place(method("POST")), "order phone")
	expect(t, s, place(method("GET")), "route see")
	expect(t, s, place(method("PUT")), "method: "+RefuseMethod)
	expect(t, s, place(host("other.example")), "route other")
	expect(t, s, place(host("127.0.0.1")), RefuseHost)
	expect(t, s, place(func(r *Request) { r.From = netip.MustParseAddr("198.51.100.1") }), "route all")
	for _, raw := range []string{"/place/", "//place", "/%70lace", "/x/../place", "/place;a=1", "/index.php/place", "/place%00", "/%2570lace"} {
		expect(t, s, ask(path(raw)), RefuseCrooked)
	}
	expect(t, s, ask(path("/add/%72ed")), RefuseCrooked)
}

// An item in the path binds only the step that takes it.
func TestMatchOrderWithWildcard(t *testing.T) {
	s := &Set{Sales: []*Sale{cart("phone", Match{Path: "/place/*"})}}
	expect(t, s, ask(path("/place/1%202")), "order phone")
	expect(t, s, ask(path("/place//1")), RefuseCrooked)
}

func TestMatchOrderParams(t *testing.T) {
	do := func(step string) map[string]string { return map[string]string{"do": step} }
	s := &Set{Sales: []*Sale{
		{Name: "query", Match: Match{Path: "/q", Query: do("add")}, Order: &OrderStep{Match: Match{Path: "/q", Query: do("order")}}},
		{Name: "form", Match: Match{Path: "/f", Form: do("add")}, Order: &OrderStep{Match: Match{Path: "/f", Form: do("order")}}},
		{Name: "json", Match: Match{Path: "/j"}, Order: &OrderStep{Match: Match{Path: "/place", JSON: do("order")}}},
	}}
	given := func(at string, kind SourceKind, body bool, steps ...string) *Request {
		return ask(func(r *Request) {
			p := params{}
			for _, step := range steps {
				p[[2]string{"do", step}] = kind
			}
			r.Params, r.Body = p, body
			path(at)(r)
		})
	}
	expect(t, s, given("/q", FromQuery, true, "add"), "sale query")
	expect(t, s, given("/q", FromQuery, true, "order"), "order query")
	expect(t, s, given("/q", FromQuery, true, "look"), "")
	expect(t, s, given("/q", FromQuery, true, "add", "order"), RefuseTwo)
	expect(t, s, given("/f", FromForm, false), "body")
	expect(t, s, given("/f", FromForm, true, "order"), "order form")
	expect(t, s, given("/f", FromForm, true, "add", "order"), RefuseTwo)
	expect(t, s, given("/place", FromJSON, false, "order"), "body")
	expect(t, s, given("/place", FromJSON, true, "order"), "order json")
	expect(t, s, given("/place", FromJSON, true, "add"), "")
	expect(t, s, given("/j", FromJSON, false), "sale json") // only the order is read for it
	// Values are compared without case, so one value fits both: no contradiction.
	s.Sales = []*Sale{{Name: "upper", Match: Match{Path: "/q", Query: do("ADD")}}, s.Sales[0], {Name: "lower", Order: &OrderStep{Match: Match{Path: "/q", Query: do("add")}}}}
	expect(t, s, given("/q", FromQuery, true, "add", "ADD"), "sale upper")
}

// One path may take for one sale and order for another: the first in the file that fits.
func TestMatchStepsOfTwoSales(t *testing.T) {
	narrow := &Sale{Name: "narrow", Match: Match{Path: "/place", Query: map[string]string{"sku": "1"}}}
	wide := &Sale{Name: "wide", Match: Match{Path: "/add"}, Order: &OrderStep{Match: Match{Path: "/place"}}}
	sku := func(r *Request) { path("/place")(r); r.Params = params{{"sku", "1"}: FromQuery} }
	for _, c := range []struct {
		sales     []*Sale
		with, not string
	}{
		{[]*Sale{narrow, wide}, "sale narrow", "order wide"},
		{[]*Sale{wide, narrow}, "order wide", "order wide"},
	} {
		expect(t, &Set{Sales: c.sales}, ask(sku), c.with)
		expect(t, &Set{Sales: c.sales}, ask(path("/place")), c.not)
	}
	// Closed, they are still in the order of the file; open comes before closed.
	over := &Sale{Name: "over", Match: narrow.Match, Closes: noon.Add(-time.Hour)}
	past := &Sale{Name: "past", Order: wide.Order, Closes: noon.Add(-time.Minute)}
	expect(t, &Set{Sales: []*Sale{over, past}}, ask(sku), "sale over")
	expect(t, &Set{Sales: []*Sale{past, over}}, ask(sku), "order past")
	expect(t, &Set{Sales: []*Sale{over, wide}}, ask(sku), "order wide")
	expect(t, &Set{Sales: []*Sale{past, narrow}}, ask(sku), "sale narrow")
}

// An order after the end belongs to the sale that has just closed, for that may have
// reserved the unit, and not to the next.
func TestMatchOrderWindows(t *testing.T) {
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	window := func(name string, from, to int) *Sale {
		s := cart(name, Match{Path: "/place"})
		s.Opens, s.Closes = at(from), at(to)
		return s
	}
	s := &Set{Sales: []*Sale{window("late", 4, 5), window("first", 0, 1), window("second", 2, 3)}}
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{at(-1), "order first"}, // none can have reserved
		{at(0), "order first"},
		{at(1), "order first"},
		{at(2).Add(-1), "order first"},
		{at(2), "order second"},
		{at(3), "order second"},
		{at(4), "order late"},
		{at(9), "order late"},
	} {
		r := ask(func(r *Request) { path("/place")(r); r.At = c.at })
		if got := named(s.Match(r)); got != c.want {
			t.Errorf("at %v: got %s, want %s", c.at, got, c.want)
		}
	}
}

func TestOrderPathIsASalePath(t *testing.T) {
	s := &Set{Sales: []*Sale{cart("phone", Match{Methods: []string{"PUT", "POST"}, Path: "/place"}), {Match: Match{Path: "/x"}}}}
	for raw, want := range map[string]bool{"/place": true, "/%70lace": true, "/add/1": true, "/x": true, "/else": false} {
		var p Path
		p.Parse([]byte(raw))
		if got := s.OnSalePath(&p); got != want {
			t.Errorf("path %s: got %v, want %v", raw, got, want)
		}
	}
	var p Path
	p.Parse([]byte("/place"))
	if got := s.Allowed(&p); got != "PUT, POST" {
		t.Errorf("allowed: got %q, want %q", got, "PUT, POST")
	}
}

// FuzzOrderPath: no chain of readings leads to the path of an order in such a way that
// the request passes for somebody's who only looks.
func FuzzOrderPath(f *testing.F) {
	for _, s := range []string{"/place", "/x%2fy/../%70lace", `/a\..;x/b;y/..//%2570lace/`, "%2Fplace", "/add/..%2fplace"} {
		f.Add(s, []byte{0, 1, 2, 3})
		f.Add(s, []byte{1, 0, 2, 0})
	}
	readings := []reading{decode, clean, withoutParams, withoutSlash}
	set := &Set{
		Sales:  []*Sale{cart("phone", Match{Methods: []string{"POST"}, Path: "/place"})},
		Routes: []*Route{{Name: "all", Match: Match{Path: "/**"}}},
	}
	f.Fuzz(func(t *testing.T, raw string, chain []byte) {
		form := raw
		for _, c := range chain[:min(len(chain), 6)] {
			form = readings[int(c)%len(readings)](form)
		}
		hit := set.Match(ask(path(raw)))
		if form == "/place" && hit.Refuse == "" && !hit.Order {
			t.Errorf("path %q read by %v is the order's and was %q", raw, chain, named(hit))
		}
		if hit.Order && raw != "/place" {
			t.Errorf("path %q passes for an order", raw)
		}
	})
}

func TestOrderName(t *testing.T) {
	f := func(ref *OrderRef, location, id, body, want string) {
		t.Helper()
		header := func(name string) (string, bool) {
			v := map[string]string{"location": location, "x-order-id": id}[strings.ToLower(name)]
			return v, v != ""
		}
		s := &Sale{Ref: ref}
		if got := s.OrderName(&OriginAnswer{Status: 302, Header: header, Body: []byte(body)}); got != want {
			t.Errorf("location %q, X-Order-Id %q, body %q: got %q, want %q", location, id, body, got, want)
		}
	}
	re := regexp.MustCompile
	location, body := &OrderRef{Location: re(`order=(\d+)(&.*)?`)}, &OrderRef{Body: re(`"id": ?"([^"]+)"|"no": ?\d+`)}
	header := &OrderRef{Header: re(`(?s).+`), Name: "X-Order-Id"}
	f(nil, "/pay?order=17", "17", "17", "")
	f(location, "/pay?order=17&x=1", "", "", "17")
	f(location, "/pay?orders=17", "order=18", "order=19", "")
	f(location, "", "", "", "")
	f(body, "", "", `{"id": "A-17", "id": "B"}`, "A-17")
	f(body, "", "", `{"no": 5}`, "") // matched without its group
	f(body, "order=1", "2", "", "")
	f(header, "", "A-17", "", "A-17")
	f(header, "17", "", "17", "")
	f(&OrderRef{Location: re(`(\d*)x`)}, "/x", "", "", "") // an empty group
	f(header, "", strings.Repeat("a", 128), "", strings.Repeat("a", 128))
	f(header, "", strings.Repeat("a", 129), "", "")
	f(header, "", "!~", "", "!~")
	for _, bad := range []string{"A 17", " A", "A\t", "A\x00", "A\x7f", "Ä17", "A\n17"} {
		f(header, "", bad, "", "")
	}
	if !(&Sale{Ref: body}).NeedsBody() || (&Sale{Ref: location}).NeedsBody() || (&Sale{Ref: header}).NeedsBody() {
		t.Error("needs the body: want true for a name in the body, false for others")
	}
}
