package config

// Which requests a sale or route is for, and whether one match leaves anything to
// another. Patterns are held to the plain form of a path, since rules refuses all
// others where a sale is. Whether two sales' matches overlap in part is not asked: the
// order of the file decides there, which is often what is wanted. It is asked of orders
// only, because an order of one sale that is taken for another's is refused.

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"penstock/rules"
)

var (
	methods  = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	bodyless = []string{"GET", "HEAD", "OPTIONS"}
)

// match reads which requests a sale or route is for.
func match(v value) rules.Match {
	if !v.require("match: {methods: [POST], path: /buy.php}") || v.node == nil {
		return rules.Match{}
	}
	m := rules.Match{
		Methods: methodsOf(v.at("methods")),
		Host:    v.at("host").host(),
		Query:   conditions(v.at("query")),
		Form:    conditions(v.at("form")),
		JSON:    conditions(v.at("json")),
		From:    v.at("from").prefixes(),
	}
	v.at("from").some()
	if path := v.at("path"); path.require("/buy.php") {
		m.Path = path.pattern()
	}
	for _, name := range []string{"form", "json"} {
		v.at(name).needsBody(&m)
	}
	return m
}

// methodsOf reads the methods of a match. CONNECT and TRACE are never forwarded.
func methodsOf(v value) []string {
	var all []string
	for _, e := range v.some() {
		m := e.text()
		switch {
		case m == "":
		case !slices.Contains(methods, m):
			e.fault(notMethod, m)
		case slices.Contains(all, m):
			e.fault(repeated, m)
		default:
			all = append(all, m)
		}
	}
	return all
}

// some is entries, and tells of a list that was given empty.
func (v value) some() []value {
	v.filled()
	return v.entries()
}

// filled tells when v is a list or block without anything in it.
func (v value) filled() {
	if v.node != nil && v.node.Kind != yaml.ScalarNode && len(v.node.Content) == 0 {
		v.fault(noEntry)
	}
}

// conditions reads names and the values they must have; nil where there are none.
func conditions(v value) map[string]string {
	var all map[string]string
	for _, e := range v.pairs() {
		if all == nil {
			all = map[string]string{}
		}
		all[e.name] = e.text()
	}
	v.filled()
	return all
}

// needsBody tells when v stands in a body that the matched requests do not have.
func (v value) needsBody(m *rules.Match) {
	if v.given && len(m.Methods) > 0 && !slices.ContainsFunc(m.Methods, func(s string) bool { return !slices.Contains(bodyless, s) }) {
		v.fault(noBody, strings.Join(m.Methods, " and "))
	}
}

// pattern reads a path pattern.
func (v value) pattern() string {
	s := v.text()
	if s == "" {
		return ""
	}
	if why := notPath(s); why != "" {
		v.fault(badPath, s, why)
		return ""
	}
	for i, seg := range strings.Split(s[1:], "/") {
		switch {
		case seg == "**" && i < strings.Count(s, "/")-1:
			v.fault(badPattern, s, "** before the end")
			return ""
		case strings.Contains(seg, "*") && seg != "*" && seg != "**":
			v.fault(badPattern, s, "* inside a segment")
			return ""
		}
	}
	return s
}

// notPath says why s cannot be the plain form of any path, or "".
func notPath(s string) string {
	segs := strings.Split(s, "/")
	switch i := strings.IndexAny(s, `?#%;\ `); {
	case s[0] != '/':
		return "it does not begin with /"
	case i >= 0:
		return "it holds " + s[i:i+1]
	case strings.Contains(s, "//"):
		return "it holds //"
	case slices.Contains(segs, ".") || slices.Contains(segs, ".."):
		return "it has a dot segment"
	case strings.ContainsFunc(s, func(r rune) bool { return r > '~' }):
		return "it holds letters that browsers send percent-encoded"
	}
	return ""
}

// covers reports whether all requests that b matches are matched by a as well.
func covers(a, b *rules.Match) bool {
	within := func(a, b map[string]string) bool {
		return !slices.ContainsFunc(slices.Collect(maps.Keys(a)), func(k string) bool { v, ok := b[k]; return !ok || v != a[k] })
	}
	return a.Path != "" && b.Path != "" && pathCovers(a.Path, b.Path) && (a.Host == "" || a.Host == b.Host) &&
		methodsCover(a.Methods, b.Methods) && fromCovers(a.From, b.From) &&
		within(a.Query, b.Query) && within(a.Form, b.Form) && within(a.JSON, b.JSON)
}

// methodsCover: GET stands for HEAD as well, as in rules.
func methodsCover(a, b []string) bool {
	missed := func(m string) bool {
		return !slices.Contains(a, m) && (m != "HEAD" || !slices.Contains(a, "GET"))
	}
	return len(a) == 0 || len(b) > 0 && !slices.ContainsFunc(b, missed)
}

// fromCovers goes by single prefixes: two halves that make up a whole are not seen.
func fromCovers(a, b []netip.Prefix) bool {
	missed := func(p netip.Prefix) bool {
		return !slices.ContainsFunc(a, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
	}
	return len(a) == 0 || len(b) > 0 && !slices.ContainsFunc(b, missed)
}

// pathCovers reports whether all paths that pattern b fits are fit by pattern a.
func pathCovers(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i, seg := range as {
		switch {
		case seg == "**":
			return true
		case i == len(bs) || bs[i] == "**":
			return false
		case seg != bs[i] && (seg != "*" || bs[i] == ""):
			return false
		}
	}
	return len(as) == len(bs)
}

// meet reports whether some request fits both matches. One that would have to give a
// parameter two values does not count: rules refuses it.
func meet(a, b *rules.Match) bool {
	apart := func(a, b map[string]string) bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(a)), func(k string) bool { v, ok := b[k]; return ok && !strings.EqualFold(v, a[k]) })
	}
	// Without the slash at the end a path is another way to write the one with it.
	return a.Path != "" && b.Path != "" && pathsMeet(strings.TrimSuffix(a.Path, "/"), strings.TrimSuffix(b.Path, "/")) &&
		(a.Host == "" || b.Host == "" || a.Host == b.Host) && methodsMeet(a.Methods, b.Methods) && fromMeets(a.From, b.From) &&
		!apart(a.Query, b.Query) && !apart(a.Form, b.Form) && !apart(a.JSON, b.JSON)
}

func methodsMeet(a, b []string) bool {
	in := func(list []string) func(string) bool {
		return func(m string) bool { return methodsCover(list, []string{m}) }
	}
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, in(b)) || slices.ContainsFunc(b, in(a))
}

func fromMeets(a, b []netip.Prefix) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(p netip.Prefix) bool { return slices.ContainsFunc(b, p.Overlaps) })
}

// pathsMeet reports whether some path fits both patterns.
func pathsMeet(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := 0; i < len(as) && i < len(bs); i++ {
		switch x, y := as[i], bs[i]; {
		case x == "**" || y == "**":
			return true
		case x != y && (x != "*" || y == "") && (y != "*" || x == ""):
			return false
		}
	}
	short, long := as, bs
	if len(as) > len(bs) {
		short, long = bs, as
	}
	return len(short) == len(long) || long[len(short)] == "**" // which stands for no segment, too
}
