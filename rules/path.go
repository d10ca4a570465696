package rules

import "bytes"

// Path holds every form the origin may make of one request's path. Sales are
// matched on all of them: servers and frameworks decode once or twice, merge
// slashes, resolve dots, drop ";parameters" and "/path/info" behind a script, and a
// form that is not looked at is a way around the gates. Letter case is not folded:
// an origin on a case-insensitive file system needs a route that refuses.
//
// The zero Path is ready; Parse may be called again on it and reuses its memory.
type Path struct {
	raw   []byte
	buf   []byte
	forms []span
}

type span struct{ from, to int }

// maxDecode bounds how often a path is percent-decoded; a path that still changes
// after that is reported as not plain by Deep.
const maxDecode = 3

// Parse takes the path of a request target: raw bytes up to "?". It keeps raw.
func (p *Path) Parse(raw []byte) {
	p.raw, p.buf, p.forms = raw, p.buf[:0], p.forms[:0]
	if plain(raw) {
		return
	}
	level := raw
	for range maxDecode {
		p.addForms(level)
		n := len(p.buf)
		p.buf = appendDecoded(p.buf, level)
		next := p.buf[n:]
		if bytes.Equal(next, level) {
			return
		}
		level = next
	}
	p.addForms(level)
}

// Raw is the path as sent.
func (p *Path) Raw() []byte { return p.raw }

// match reports whether the pattern fits the path as sent (plain), and whether it
// fits another form of it (crooked).
func (p *Path) match(pattern string) (plain, crooked bool) {
	if plain = matchPath(pattern, p.raw); plain {
		return true, false
	}
	for _, s := range p.forms {
		if matchPath(pattern, p.buf[s.from:s.to]) {
			return false, true
		}
	}
	return false, false
}

// plain reports whether no server could read the path in another way.
func plain(raw []byte) bool {
	dot := false // a segment with a dot was seen: what follows a slash may be path info
	for i, c := range raw {
		switch c {
		case '%', ';', '\\':
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

// addForms adds what servers make of one decoding level: the level itself, without
// parameters, cleaned, and cut behind each script.
func (p *Path) addForms(level []byte) {
	p.add(level)
	for _, params := range []bool{false, true} {
		n := len(p.buf)
		p.buf = appendClean(p.buf, level, params)
		clean := span{n, len(p.buf)}
		p.forms = append(p.forms, clean)
		dot := false
		for i := clean.from; i < clean.to; i++ {
			switch p.buf[i] {
			case '.':
				dot = true
			case '/':
				if dot || i == clean.to-1 && i > clean.from {
					p.forms = append(p.forms, span{clean.from, i})
				}
				dot = false
			}
		}
	}
}

func (p *Path) add(form []byte) {
	n := len(p.buf)
	p.buf = append(p.buf, form...)
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
