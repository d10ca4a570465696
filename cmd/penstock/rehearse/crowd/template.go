package crowd

import (
	"strconv"
	"strings"
)

// Texts of a script with holes, cut up once.

type hole uint8

const (
	none hole = iota
	account
	address
	ref
)

type piece struct {
	text string
	then hole
}

type template []piece

func cut(s string) (t template) {
	names := map[string]hole{"{account}": account, "{address}": address, "{ref}": ref}
	for {
		at, found := len(s), ""
		for name := range names {
			if i := strings.Index(s, name); i >= 0 && i < at {
				at, found = i, name
			}
		}
		t = append(t, piece{s[:at], names[found]})
		if found == "" {
			return t
		}
		s = s[at+len(found):]
	}
}

// fill appends the text as this visitor has it.
func (t template) fill(b []byte, v *visitor) []byte {
	for _, p := range t {
		b = append(b, p.text...)
		switch p.then {
		case account:
			b = append(append(b, v.crowd.plan.Names...), v.account...)
		case address:
			if v.from != "" {
				b = append(b, v.from...)
				break
			}
			b = appendAddress(b, v.address)
		case ref:
			b = append(b, v.ref...)
		}
	}
	return b
}

// appendAddress writes one of the four million addresses of 100.64.0.0/10, which belong
// to nobody in particular.
func appendAddress(b []byte, n uint64) []byte {
	b = append(b, "100."...)
	b = strconv.AppendUint(b, 64+n>>16&63, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, n>>8&255, 10)
	b = append(b, '.')
	return strconv.AppendUint(b, n&255, 10)
}

// script is a kind of visitor, made ready.
type script struct {
	Visitor
	cookies []template
	header  []template
	steps   []line
}

// line is a step, made ready.
type line struct {
	Step
	class      int
	path, body template
	header     []template
	kind       string // Content-Type
}

func ready(v Visitor, class func(string) int) script {
	s := script{Visitor: v}
	for _, c := range v.Cookies {
		s.cookies = append(s.cookies, cut(c))
	}
	for _, h := range v.Header {
		s.header = append(s.header, cut(h))
	}
	for _, t := range v.Steps {
		l := line{Step: t, class: class(t.Class), path: cut(t.Path), body: cut(t.Body), kind: "application/x-www-form-urlencoded"}
		for _, h := range t.Header {
			l.header = append(l.header, cut(h))
		}
		if strings.HasPrefix(t.Body, `{"`) {
			l.kind = "application/json"
		}
		s.steps = append(s.steps, l)
	}
	return s
}

// request writes a request as this visitor sends it now.
func (v *visitor) request(b []byte, l *line) []byte {
	b = append(append(b[:0], l.Method...), ' ')
	b = append(l.path.fill(b, v), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, v.crowd.plan.Host...), "\r\nUser-Agent: penstock-rehearse\r\nAccept: "...)
	b = append(append(b, l.Accept...), "\r\n"...)
	if v.oneShot || l.Elsewhere {
		b = append(b, "Connection: close\r\n"...)
	}
	if !l.Elsewhere {
		b = v.appendCookies(b)
		for _, h := range v.script.header {
			b = append(h.fill(b, v), "\r\n"...)
		}
	}
	for _, h := range l.header {
		b = append(h.fill(b, v), "\r\n"...)
	}
	if l.Method == "GET" || l.Method == "HEAD" {
		return append(b, "\r\n"...)
	}
	v.form = l.body.fill(v.form[:0], v)
	if v.body != "" {
		v.form = append(v.form[:0], v.body...)
	}
	b = append(append(b, "Content-Type: "...), l.kind...)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(v.form)), 10)
	return append(append(b, "\r\n\r\n"...), v.form...)
}

func (v *visitor) appendCookies(b []byte) []byte {
	if len(v.cookies) == 0 {
		return b
	}
	b = append(b, "Cookie: "...)
	for i, c := range v.cookies {
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(b, c...)
	}
	return append(b, "\r\n"...)
}

// remember keeps a cookie that the server has set, or forgets it.
func (v *visitor) remember(set string) {
	pair, rest, _ := strings.Cut(set, ";")
	name, _, ok := strings.Cut(pair, "=")
	if !ok {
		return
	}
	keep := v.cookies[:0]
	for _, c := range v.cookies {
		if !strings.HasPrefix(c, name+"=") {
			keep = append(keep, c)
		}
	}
	v.cookies = keep
	if low := strings.ToLower(rest); !strings.Contains(low, "max-age=0") && !strings.Contains(low, "max-age=-") {
		v.cookies = append(v.cookies, strings.TrimSpace(pair))
	}
}
