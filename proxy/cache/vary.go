package cache

// What an answer is found by: the key of what was asked for, and the values of those
// headers that answers to it have named in Vary (RFC 9110, 12.5.5). Every part is written
// with its length in front, so that no two lists of parts look the same.

import (
	"encoding/binary"
	"slices"
	"strings"
)

const (
	maxNames  = 8    // of headers that one page varies by
	maxValues = 1024 // bytes of their values
)

// Key names what is asked for. It is appended to b, whose memory may be used again.
func Key(b []byte, parts ...[]byte) string {
	b = b[:0]
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return string(b)
}

func flightKey(page, values string) string {
	b := binary.AppendUvarint(nil, uint64(len(page)))
	return string(append(append(b, page...), values...))
}

// appendValue writes a value that may be absent, which is not the same as empty.
func appendValue(b []byte, value string, there bool) []byte {
	if !there {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(value))+1)
	return append(b, value...)
}

const acceptEncoding = "accept-encoding"

// valuesOf are the request's values of the names; false if they are longer than a kept
// answer may be found by.
func valuesOf(names []string, a *Asked) (string, bool) {
	if len(names) == 0 {
		return "", true
	}
	b := make([]byte, 0, 64)
	for _, name := range names {
		value, there := a.Header.Value(name)
		if name == acceptEncoding {
			value, there = coding(value), true
		}
		if b = appendValue(b, value, there); len(b) > maxValues {
			return "", false
		}
	}
	return string(b), true
}

// valuesBy are the values that the fetch has said; what it did not say was absent.
func (f *Flight) valuesBy(names []string) string {
	if len(names) == 0 {
		return ""
	}
	var b []byte
	for _, name := range names {
		if name == acceptEncoding {
			b = appendValue(b, codings[f.zip], true)
			continue
		}
		i := slices.IndexFunc(f.Send, func(s Field) bool { return s.Name == name })
		if i < 0 {
			b = appendValue(b, "", false)
		} else {
			b = appendValue(b, f.Send[i].Value, true)
		}
	}
	return string(b)
}

// sendable are the headers of the request that its fetch says: those the page is known to
// vary by, and whether it can read gzip.
func sendable(names []string, a *Asked) (send []Field, zip bool) {
	for _, name := range names {
		if value, there := a.Header.Value(name); there && name != acceptEncoding {
			send = append(send, Field{name, value})
		}
	}
	value, _ := a.Header.Value(acceptEncoding)
	return send, coding(value) == gzip
}

const (
	gzip     = "gzip"
	identity = "identity"
)

var codings = map[bool]string{true: gzip, false: identity}

// coding makes of an Accept-Encoding one of the two that are asked for: so a page has at
// most two variants by it, whatever browsers say. Every browser reads gzip.
func coding(accept string) string {
	for accept != "" {
		var one string
		one, accept, _ = strings.Cut(accept, ",")
		name, params, _ := strings.Cut(one, ";")
		if name = trim(name); !strings.EqualFold(name, gzip) && !strings.EqualFold(name, "x-gzip") {
			continue
		}
		if zeroWeight(params) {
			return identity
		}
		return gzip
	}
	return identity
}

// zeroWeight reports whether parameters hold a weight of 0, or one that cannot be read.
func zeroWeight(params string) bool {
	for params != "" {
		var one string
		one, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(one, "=")
		if !strings.EqualFold(trim(name), "q") {
			continue
		}
		value = trim(value)
		return strings.Trim(value, "0.") == "" || value[0] != '0' && value[0] != '1'
	}
	return false
}

// absent are headers that no request has that comes as far as a fetch, or that the key
// stands for: an answer does not vary by them.
var absent = []string{"authorization", "cookie", "host", "range", "x-forwarded-host", "x-forwarded-proto"}

// unsent are headers that mean something to the cache itself.
var unsent = []string{"cache-control", "pragma", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"}

// varies reads the names of all Vary lines, lower case and sorted. It answers false for
// "*", for what is no name, and for headers that a fetch cannot say as a client did.
func (c *Cache) varies(a *Answer) ([]string, bool) {
	var names []string
	for name := range a.list("Vary") {
		name = strings.ToLower(name)
		switch {
		case slices.Contains(names, name) || slices.Contains(absent, name):
		case name == acceptEncoding:
			names = append(names, name)
		case !isToken(name) || name == "*" || slices.Contains(unsent, name) || !c.sends(name):
			return nil, false
		default:
			names = append(names, name)
		}
	}
	switch content, n := a.first("Content-Encoding"); {
	case n > 1:
		return nil, false
	case n == 0 || strings.EqualFold(content, identity):
	case !strings.EqualFold(content, gzip) && !strings.EqualFold(content, "x-gzip"):
		return nil, false // nobody asked for that
	case !slices.Contains(names, acceptEncoding):
		names = append(names, acceptEncoding) // whether or not it says so
	}
	slices.Sort(names)
	return names, len(names) <= maxNames
}

// union is both lists together, sorted. Neither is changed.
func union(a, b []string) []string {
	if equalNames(a, b) || len(b) == 0 {
		return a
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

func equalNames(a, b []string) bool { return slices.Equal(a, b) }

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func trim(s string) string { return strings.Trim(s, " \t") }
