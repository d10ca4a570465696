package proxy

// From a request to gate.Facts: who asks, for what. Strings of the facts lie in
// memory of the request, which is used again after its last Release.

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"unsafe"

	"penstock/proxy/gate"
	"penstock/rules"
)

// maxAccount bounds an account's name in bytes.
const maxAccount = 256

// clientAddr is the client's address: the peer's, or, if the peer is trusted, the
// rightmost address of the forwarded header that is not itself a trusted proxy. What
// a trusted proxy wrote but nobody can read ends the walk at the proxy that wrote it.
func clientAddr(set *rules.Set, h *head, peer netip.Addr) (ip netip.Addr, trusted bool) {
	if !trusts(set, peer) {
		return peer, false
	}
	ip = peer
	for i := len(h.fields) - 1; i >= 0; i-- {
		if !h.fields[i].is(set.ClientIPHeader) {
			continue
		}
		rest := h.fields[i].value
		for rest != nil {
			elem := rest
			if j := bytes.LastIndexByte(rest, ','); j >= 0 {
				rest, elem = rest[:j], rest[j+1:]
			} else {
				rest = nil
			}
			hop, ok := parseAddr(trimOWS(elem))
			if !ok {
				return ip, true
			}
			if ip = hop; !trusts(set, ip) {
				return ip, true
			}
		}
	}
	return ip, true
}

func trusts(set *rules.Set, ip netip.Addr) bool {
	for _, p := range set.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// parseAddr reads an address as proxies write them: bare, with a port, in brackets,
// quoted, with a zone.
func parseAddr(b []byte) (netip.Addr, bool) {
	if len(b) == 0 || len(b) > 64 {
		return netip.Addr{}, false
	}
	s := view(b)
	s = strings.Trim(s, `"`)
	if strings.HasPrefix(s, "[") {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return netip.Addr{}, false
		}
		s = s[1:i]
	} else if strings.Count(s, ":") == 1 {
		s, _, _ = strings.Cut(s, ":")
	}
	if i := strings.IndexByte(s, '%'); i >= 0 {
		s = s[:i]
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap(), err == nil
}

// peer is the address at the other end of the connection, or what the PROXY protocol says
// in its place.
func (r *request) peer() netip.Addr {
	if r.conn == nil {
		return peerAddr(r.c.RemoteAddr())
	}
	if !r.conn.peer.IsValid() {
		r.conn.peer = peerAddr(r.conn.RemoteAddr())
	}
	return r.conn.peer
}

func peerAddr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ip, _ := netip.AddrFromSlice(tcp.IP)
		return ip.Unmap()
	}
	return netip.Addr{}
}

// view is b as a string without a copy; it is only valid as long as b is.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// account finds who asks: the first source of the sale that is present.
func (p *Proxy) account(r *request, sale *rules.Sale) (gate.Verdict, fault) {
	for i := range sale.Account {
		s := &sale.Account[i]
		prefix, name, f := p.accountFrom(r, s)
		if f != "" {
			return gate.Verdict{Reason: gate.BadRequest}, f
		}
		if len(name) > maxAccount {
			return gate.Verdict{Reason: gate.BadRequest}, "the account's name is too long"
		}
		if name != "" {
			// The source's letter keeps a cookie's value from posing as a header's.
			r.account = append(append(r.account[:0], prefix, ':'), name...)
			r.facts.Account = view(r.account)
			return gate.Admit, ""
		}
	}
	if len(sale.Account) > 0 {
		return gate.Verdict{Reason: gate.NoAccount}, ""
	}
	return gate.Admit, ""
}

func (p *Proxy) accountFrom(r *request, s *rules.Source) (prefix byte, name string, f fault) {
	switch s.Kind {
	case rules.FromHeader:
		if !r.trusted {
			return 'h', "", ""
		}
		v, n := r.head.value(s.Name)
		if n > 1 {
			return 'h', "", "the account's header is there twice"
		}
		return 'h', view(v), ""
	case rules.FromCookie:
		v, f := r.head.cookie(s.Name)
		return 'c', v, f
	case rules.FromQuery:
		v := r.params.find(rules.FromQuery, s.Name)
		if v.n > 1 || v.array {
			return 'q', "", "the account's parameter is there twice"
		}
		return 'q', v.value, ""
	case rules.FromJWT:
		v, f := p.jwts.account(&r.head, s.JWT, r.facts.At)
		return 'j', v, f
	case rules.FromVisitor:
		v, f := r.head.cookie(visitorCookie)
		if f != "" {
			return 'v', "", f
		}
		id, ok := p.secret.visitor(v)
		if !ok && r.facts.Sale == nil { // who only looks is made known by nobody
			return 'v', "", ""
		}
		if !ok {
			id, r.newVisitor = p.secret.newVisitor()
		}
		return 'v', id, ""
	}
	return 0, "", "the account cannot be read"
}

// cookie finds the one value of a cookie by name. Escapes are decoded, quotes and blanks
// taken off, so that one account has one spelling; a name that is there twice, also in a
// form that some shop takes for the same, is a fault: the shop may read the other one.
func (h *head) cookie(name string) (value string, f fault) {
	n := 0
	for i := range h.fields {
		if h.fields[i].known != hCookie {
			continue
		}
		for rest := h.fields[i].value; len(rest) > 0; {
			piece := rest
			if j := bytes.IndexByte(rest, ';'); j >= 0 {
				piece, rest = rest[:j], rest[j+1:]
			} else {
				rest = nil
			}
			k, v, _ := bytes.Cut(piece, equals)
			is, list := namedCookie(trimOWS(k), name)
			if !is {
				continue
			}
			if n++; n > 1 || list {
				return "", "the account's cookie is there twice"
			}
			if v = trimOWS(v); len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			if value = view(v); bytes.IndexByte(v, '%') >= 0 || bytes.IndexByte(v, '+') >= 0 {
				value = strings.Trim(unescape(v), " ")
			}
		}
	}
	return value, ""
}

func namedCookie(k []byte, name string) (is, list bool) {
	if bytes.IndexByte(k, '%') >= 0 {
		k = []byte(unescape(k))
	}
	return named(view(k), name)
}

var equals = []byte("=")

// bodyFacts finds item and quantity.
func (r *request) bodyFacts(sale *rules.Sale) fault {
	r.facts.Units = 1
	if r.params.broken {
		return "the body cannot be read as its Content-Type says"
	}
	for i := range sale.Account {
		// The body was not there when the account was read from the query.
		s := &sale.Account[i]
		if v := r.params.find(s.Kind, s.Name); s.Kind == rules.FromQuery && (v.n > 1 || v.n != v.inPlace || v.array) {
			return "the account is given in two places"
		}
	}
	if r.facts.Order {
		return "" // what it orders has been reserved before
	}
	if sale.Item != nil {
		v, f := r.fact(sale.Item)
		if f != "" {
			return f
		}
		if v == "" {
			return "the item is missing"
		}
		r.item = append(r.item[:0], v...)
		r.facts.Item = view(r.item)
	}
	if sale.Stock != nil && sale.Stock.Quantity != nil {
		v, f := r.fact(sale.Stock.Quantity)
		if f != "" {
			return f
		}
		if v != "" {
			n, ok := quantity(v)
			if !ok {
				return "the quantity is not a number from 1 to 9999"
			}
			r.facts.Units = n
		}
	}
	return ""
}

// quantity reads [1-9][0-9]{0,3}.
func quantity(s string) (n int, ok bool) {
	if len(s) == 0 || len(s) > 4 || s[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// fact reads one value that must stand once and in its place; "" if it is absent.
func (r *request) fact(s *rules.Source) (string, fault) {
	switch s.Kind {
	case rules.FromHeader:
		v, n := r.head.value(s.Name)
		if n > 1 || n == 1 && v == nil {
			return "", fault("“" + s.Name + "” is not given once and by this name")
		}
		return view(v), ""
	case rules.FromPath:
		v, ok := rules.Capture(s.Name, r.path.Raw())
		if !ok {
			return "", "the path does not name an item"
		}
		return v, ""
	}
	if s.Kind.InBody() && r.params.kind == bodyForeign {
		return "", "the body is not of a type this sale reads"
	}
	v := r.params.find(s.Kind, s.Name)
	switch {
	case v.array:
		return "", fault("“" + s.Name + "” is given as a list")
	case v.n > 1:
		return "", fault("“" + s.Name + "” is given more than once")
	case v.n != v.inPlace:
		return "", fault("“" + s.Name + "” is given in the wrong place")
	}
	return v.value, ""
}

// keep copies what the facts borrowed, for a request whose end outlives its handler.
func keep(f *gate.Facts) *gate.Facts {
	k := *f
	k.Account, k.Item, k.Said = strings.Clone(f.Account), strings.Clone(f.Item), nil
	return &k
}
