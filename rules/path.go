package rules

// The forms of a path. It errs towards refusing: a form too many costs an odd request
// its answer, a form too few gives units away.

import "bytes"

// Path holds every form the origin may make of one request's path. Sales are
// matched on all of them: servers and frameworks decode once or twice, merge
// slashes, resolve dots, drop ";parameters", fragments and what follows a NUL, take
// "/path/info" behind a script for a parameter, and do so in any order. A form that
// is not looked at is a way around the gates. Letter case is not folded, and "/" is
// not "/index.php": an origin that takes them for the same needs a sale for each.
//
// The zero Path is ready; Parse may be called again on it and reuses its memory.
type Path struct {
	raw   []byte
	buf   []byte // the forms' bytes
	forms []span
	deep  bool // there are more forms than were kept: it may be any path
}

type span struct{ from, to int }

// What is kept of one path. Honest paths have a handful of forms; one with more is
// taken for a way around every sale.
const (
	maxForms = 128
	maxBytes = 64 << 10
)

// Parse takes the path of a request target: raw bytes up to "?". It keeps raw.
func (p *Path) Parse(raw []byte) {
	p.raw, p.buf, p.forms, p.deep = raw, p.buf[:0], p.forms[:0], false
	if plain(raw) {
		return
	}
	p.buf = append(p.buf, raw...)
	p.keep(0)
	for i := 0; i < len(p.forms) && !p.deep; i++ {
		p.grow(p.forms[i])
	}
}

// Raw is the path as sent.
func (p *Path) Raw() []byte { return p.raw }

// Is reports whether the pattern fits the path as sent.
func (p *Path) Is(pattern string) bool { return matchPath(pattern, p.raw) }

// plain reports whether the path as sent is its only form.
func (p *Path) plain() bool { return len(p.forms) == 0 && !p.deep }

// match reports whether the pattern fits the path as sent (plain), and whether it
// fits another form of it (crooked). Where the pattern ends in a slash, a path
// without it is crooked: many origins take the two for one.
func (p *Path) match(pattern string) (plain, crooked bool) {
	if matchPath(pattern, p.raw) {
		return true, false
	}
	if p.deep || p.anyForm(pattern) {
		return false, true
	}
	n := len(pattern) - 1
	return false, n > 0 && pattern[n] == '/' && (matchPath(pattern[:n], p.raw) || p.anyForm(pattern[:n]))
}

func (p *Path) anyForm(pattern string) bool {
	for _, s := range p.forms {
		if matchPath(pattern, p.buf[s.from:s.to]) {
			return true
		}
	}
	return false
}

// plain reports whether no server could read the path in another way.
func plain(raw []byte) bool {
	if len(raw) == 0 || raw[0] != '/' {
		return false
	}
	dot := false // a segment with a dot was seen: what follows a slash may be path info
	for i, c := range raw {
		switch c {
		case '%', ';', '\\', '#', '?', 0:
			return false
		case '.':
			if i > 0 && raw[i-1] == '/' {
				return false
			}
			dot = true
		case '/':
			if dot || i > 0 && (raw[i-1] == '/' || i == len(raw)-1) {
				return false
			}
		}
	}
	return true
}

// grow adds the forms that one more reading makes of form s.
func (p *Path) grow(s span) {
	form := p.buf[s.from:s.to] // stays readable when buf grows into other memory
	n := len(p.buf)
	p.buf = appendDecoded(p.buf, form)
	p.keep(n)
	for _, params := range []bool{false, true} {
		n = len(p.buf)
		p.buf = appendClean(p.buf, form, params)
		p.keep(n)
	}
	if i := bytes.IndexAny(form, "?#\x00"); i >= 0 {
		p.cut(form, i, len(form))
	}
	p.growScript(form)
}

// growScript adds, for each segment that may be a script, the path up to it, and for
// a PHP script also the path without it: front controllers route "/index.php/buy" as
// "/buy". The slash at the end counts as path info too.
func (p *Path) growScript(form []byte) {
	start, dot := 0, false // of the segment, its slash included
	for i := 1; i < len(form); i++ {
		switch form[i] {
		case '.':
			dot = true
		case '/':
			if dot || i == len(form)-1 {
				p.cut(form, i, len(form))
			}
			if bytes.HasSuffix(form[start:i], []byte(".php")) {
				p.cut(form, start, i)
			}
			start, dot = i, false
		}
	}
}

// cut adds form without its bytes [from, to).
func (p *Path) cut(form []byte, from, to int) {
	n := len(p.buf)
	p.buf = append(append(p.buf, form[:from]...), form[to:]...)
	p.keep(n)
}

// keep makes a form of what stands in buf from n on, unless it is known already.
func (p *Path) keep(n int) {
	form := p.buf[n:]
	for _, s := range p.forms {
		if bytes.Equal(form, p.buf[s.from:s.to]) {
			p.buf = p.buf[:n]
			return
		}
	}
	if len(p.forms) == maxForms || len(p.buf) > maxBytes {
		p.deep, p.buf = true, p.buf[:n]
		return
	}
	p.forms = append(p.forms, span{n, len(p.buf)})
}

func appendDecoded(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				dst = append(dst, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendClean appends s with "\" as "/", slashes merged and dot segments resolved;
// with params, ";…" is cut from every segment first.
func appendClean(dst, s []byte, params bool) []byte {
	start := len(dst)
	for i := 0; i < len(s); {
		for i < len(s) && isSlash(s[i]) {
			i++
		}
		j := i
		for j < len(s) && !isSlash(s[j]) {
			j++
		}
		seg := s[i:j]
		if params {
			if k := bytes.IndexByte(seg, ';'); k >= 0 {
				seg = seg[:k]
			}
		}
		switch {
		case string(seg) == "." || len(seg) == 0 && j < len(s):
		case string(seg) == "..":
			if k := bytes.LastIndexByte(dst[start:], '/'); k >= 0 {
				dst = dst[:start+k]
			}
		default:
			dst = append(append(dst, '/'), seg...)
		}
		i = j
	}
	if len(dst) == start {
		dst = append(dst, '/')
	}
	return dst
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }

// matchPath matches a path against a pattern: "*" stands for exactly one segment, a
// last "**" for any rest, also none.
func matchPath(pattern string, path []byte) bool {
	if pattern == string(path) {
		return true
	}
	for {
		if pattern == "/**" || pattern == "**" {
			return true
		}
		if pattern == "" || len(path) == 0 {
			return pattern == "" && len(path) == 0
		}
		want, more := segment(pattern)
		got, rest := segment(path)
		if want != string(got) && (want != "/*" || len(got) < 2) {
			return false
		}
		pattern, path = more, rest
	}
}

// segment cuts the first segment off, with its leading slash.
func segment[S ~string | ~[]byte](s S) (first, rest S) {
	for i := 1; i < len(s); i++ {
		if s[i] == '/' {
			return s[:i], s[i:]
		}
	}
	return s, s[len(s):]
}

// Capture returns the segment of path that the pattern's first "*" stands for.
func Capture(pattern string, path []byte) (string, bool) {
	if !matchPath(pattern, path) {
		return "", false
	}
	for pattern != "" {
		want, more := segment(pattern)
		got, rest := segment(path)
		if want == "/*" {
			return string(got[1:]), true
		}
		pattern, path = more, rest
	}
	return "", false
}
