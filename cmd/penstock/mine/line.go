package mine

// Reads one line of the decision log.
//
// Lines as Penstock writes them (fields in their order, plain ASCII, no blanks) are read by
// hand. Every other line is left to encoding/json, ten times slower, so that what a line
// means is never ours to say twice. A fuzz test holds the two against each other.

import (
	"bytes"
	"encoding/json"
	"net/netip"

	"penstock/proxy/gate"
)

// raw is a line before its words are understood. Its slices are lent.
type raw struct {
	t, off                              int64
	timed, won                          bool
	sale, acct, ip, step, reason, would []byte
}

// entry is a line that is understood.
type entry struct {
	t          int64 // Unix µs
	sale, acct []byte
	site       site
	step       gate.Step
	reason     gate.Reason
	would      gate.Reason
	off        int64 // ms since the sale opened, with timed
	timed, won bool
}

// words are the names in the log.
type words struct{ reasons map[string]gate.Reason }

func newWords() *words {
	w := &words{map[string]gate.Reason{}}
	for _, r := range gate.Reasons() {
		w.reasons[r.String()] = r
	}
	return w
}

// read understands a line, without its line break. False: it cannot be read.
func (w *words) read(b []byte, e *entry) bool {
	var r raw
	return (fast(b, &r) || slow(b, &r)) && w.understand(&r, e)
}

// understand wants a time, a sale and a step. A reason that a later version has invented
// counts as Unset, and an address may be missing.
func (w *words) understand(r *raw, e *entry) bool {
	if r.t <= 0 || len(r.sale) == 0 || len(r.sale) > 1000 || len(r.acct) > 1000 {
		return false
	}
	switch string(r.step) {
	case "buy":
		e.step = gate.Buys
	case "order":
		e.step = gate.Orders
	case "look":
		e.step = gate.Looks
	default:
		return false
	}
	var ok bool
	if e.site, ok = readSite(r.ip); !ok {
		return false
	}
	e.reason, e.would = w.reasons[string(r.reason)], gate.Unset
	if len(r.would) > 0 {
		e.would = w.reasons[string(r.would)]
	}
	const days = 20 * 24 * 3600 * 1000 // fits what a record has room for
	e.t, e.sale, e.acct, e.won = r.t, r.sale, r.acct, r.won
	e.off, e.timed = min(max(r.off, -days), days), r.timed
	return true
}

// fast reads what Penstock writes. False: let slow have a look.
func fast(b []byte, r *raw) bool {
	b, ok := bytes.CutPrefix(b, []byte(`{"t":`))
	if !ok {
		return false
	}
	if r.t, b, ok = number(b); !ok {
		return false
	}
	if !text(&b, `,"sale":"`, &r.sale) || !text(&b, `,"acct":"`, &r.acct) || !text(&b, `,"ip":"`, &r.ip) ||
		!text(&b, `,"step":"`, &r.step) || !text(&b, `,"reason":"`, &r.reason) {
		return false
	}
	if rest, there := bytes.CutPrefix(b, []byte(`,"o":`)); there {
		r.timed = true
		if r.off, b, ok = number(rest); !ok {
			return false
		}
	}
	if !text(&b, `,"would":"`, &r.would) {
		return false
	}
	if rest, there := bytes.CutPrefix(b, []byte(`,"won":true`)); there {
		b, r.won = rest, true
	}
	return len(b) == 1 && b[0] == '}' || len(b) == 2 && b[0] == '}' && b[1] == '\r'
}

// number reads an integer as JSON writes it.
func number(b []byte) (int64, []byte, bool) {
	i, sign := 0, int64(1)
	if len(b) > 0 && b[0] == '-' {
		i, sign = 1, -1
	}
	start, n := i, int64(0)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		n = n*10 + int64(b[i]-'0')
	}
	digits := i - start
	return sign * n, b[i:], digits > 0 && digits <= 18 && (b[start] != '0' || digits == 1)
}

// text reads a string after what announces it. A field that is not there is no fault; a
// string with anything in it that may mean something else is.
func text(b *[]byte, announced string, into *[]byte) bool {
	s := *b
	if len(s) < len(announced) || string(s[:len(announced)]) != announced {
		return true
	}
	s = s[len(announced):]
	for i, c := range s {
		switch {
		case c == '"':
			*into, *b = s[:i], s[i+1:]
			return true
		case c == '\\' || c < 0x20 || c > 0x7e:
			return false
		}
	}
	return false
}

// slow reads any JSON object.
func slow(b []byte, r *raw) bool {
	var w struct {
		T      int64  `json:"t"`
		Sale   string `json:"sale"`
		Acct   string `json:"acct"`
		IP     string `json:"ip"`
		Step   string `json:"step"`
		Reason string `json:"reason"`
		O      *int64 `json:"o"`
		Would  string `json:"would"`
		Won    bool   `json:"won"`
	}
	if len(b) == 0 || json.Unmarshal(b, &w) != nil {
		return false
	}
	*r = raw{
		t: w.T, won: w.Won, sale: []byte(w.Sale), acct: []byte(w.Acct), ip: []byte(w.IP),
		step: []byte(w.Step), reason: []byte(w.Reason), would: []byte(w.Would),
	}
	if w.O != nil {
		r.off, r.timed = *w.O, true
	}
	return true
}

// site is the address that limits count: an IPv4 address whole, an IPv6 address cut to its
// /64. The zero site is none.
type site struct {
	kind uint8 // 4, 6, or 0
	bits uint64
}

func readSite(b []byte) (site, bool) {
	if len(b) == 0 {
		return site{}, true
	}
	if s, ok := readV4(b); ok {
		return s, true
	}
	a, err := netip.ParseAddr(string(b))
	if err != nil {
		return site{}, false
	}
	a = a.Unmap()
	raw := a.As16()
	var v uint64
	for _, c := range raw[:8] {
		v = v<<8 | uint64(c)
	}
	if a.Is4() {
		for _, c := range raw[12:] {
			v = v<<8 | uint64(c)
		}
		return site{4, v}, true
	}
	return site{6, v}, true
}

func readV4(b []byte) (site, bool) {
	var v, part uint64
	digits, dots := 0, 0
	for _, c := range b {
		switch {
		case c-'0' <= 9 && digits < 3 && !(digits == 1 && part == 0):
			part = part*10 + uint64(c-'0')
			digits++
		case c == '.' && digits > 0 && part <= 255 && dots < 3:
			v, part, digits, dots = v<<8|part, 0, 0, dots+1
		default:
			return site{}, false
		}
	}
	return site{4, v<<8 | part}, dots == 3 && digits > 0 && part <= 255
}

// network is the IPv4 /24 or the IPv6 /48 around it.
func (s site) network() site {
	switch s.kind {
	case 4:
		s.bits &^= 0xff
	case 6:
		s.bits &^= 0xffff
	}
	return s
}

func (s site) addr() netip.Addr {
	if s.kind == 4 {
		return netip.AddrFrom4([4]byte{byte(s.bits >> 24), byte(s.bits >> 16), byte(s.bits >> 8), byte(s.bits)})
	}
	var raw [16]byte
	for i := range 8 {
		raw[i] = byte(s.bits >> (56 - 8*i))
	}
	return netip.AddrFrom16(raw)
}

// String is the address, or for IPv6 the /64.
func (s site) String() string {
	switch s.kind {
	case 4:
		return s.addr().String()
	case 6:
		return s.addr().String() + "/64"
	}
	return ""
}

// wide is its network, for people.
func (s site) wide() string {
	bits := 24
	if s.kind == 6 {
		bits = 48
	}
	return netip.PrefixFrom(s.network().addr(), bits).String()
}
