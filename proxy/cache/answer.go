package cache

// One answer of the origin as it is kept: immutable once it is, and shown to many at once.

import (
	"iter"
	"strings"
	"time"
)

// Field is one header line.
type Field struct{ Name, Value string }

// Answer is an answer of the origin that was read whole. Nothing in it is memory that its
// maker uses again.
type Answer struct {
	Status  int
	Header  []Field  // in the origin's order and spelling, without what ends at the gateway, Set-Cookie and Age
	Cookies []string // values of Set-Cookie; not kept
	Aged    string   // value of Age: how old it was on arrival, seconds
	Body    []byte

	received time.Time
	fresh    time.Time // shown as it is until then
	gone     time.Time // shown at all until then
}

// Age is how old the answer is in whole seconds (RFC 9111, 4.2.3, but without the time
// its fetch took and without a look at clocks of others).
func (a *Answer) Age(now time.Time) int64 {
	return int64((a.aged() + max(0, now.Sub(a.received))) / time.Second)
}

func (a *Answer) aged() time.Duration {
	age, ok := seconds(a.Aged)
	if !ok {
		return 0
	}
	return age
}

func (a *Answer) size() int64 {
	n := int64(overhead + len(a.Body))
	for _, f := range a.Header {
		n += int64(len(f.Name) + len(f.Value) + 32)
	}
	return n
}

// first gives the first value of a header, and how many lines of it there are.
func (a *Answer) first(name string) (value string, lines int) {
	for _, f := range a.Header {
		if strings.EqualFold(f.Name, name) {
			if lines == 0 {
				value = f.Value
			}
			lines++
		}
	}
	return value, lines
}

// list gives the members of all lines of a header that is a list, quotes left as they are.
func (a *Answer) list(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, f := range a.Header {
			if !strings.EqualFold(f.Name, name) {
				continue
			}
			for rest := f.Value; rest != ""; {
				var member string
				member, rest = cutMember(rest)
				if member = trim(member); member != "" && !yield(member) {
					return
				}
			}
		}
	}
}

// cutMember cuts at the first comma outside of a quoted string (RFC 9110, 5.6.4). A string
// that does not end reaches to the end.
func cutMember(s string) (member, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++
		case !quoted && s[i] == ',':
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// Unchanged reports whether a client that has asked with these two headers, "" for none,
// has the answer already (RFC 9110, 13.2.2): it is told 304 then. Only answers of 200.
func (a *Answer) Unchanged(ifNoneMatch, ifModifiedSince string) bool {
	switch {
	case a.Status != 200:
		return false
	case ifNoneMatch != "":
		return a.matches(ifNoneMatch)
	case ifModifiedSince == "":
		return false
	}
	modified, n := a.first("Last-Modified")
	at, ok := date(modified)
	since, valid := date(ifModifiedSince)
	return n == 1 && ok && valid && !at.After(since)
}

// matches compares entity tags weakly (RFC 9110, 8.8.3.2).
func (a *Answer) matches(ifNoneMatch string) bool {
	if trim(ifNoneMatch) == "*" {
		return true
	}
	tag, n := a.first("Etag")
	if tag = opaque(tag); n != 1 || tag == "" {
		return false
	}
	for ifNoneMatch != "" {
		var one string
		if one, ifNoneMatch = cutTag(ifNoneMatch); opaque(one) == tag {
			return true
		}
	}
	return false
}

// cutTag cuts at the first comma outside of a tag: nothing is escaped in one.
func cutTag(s string) (tag, rest string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == ',':
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// opaque is an entity tag without the mark of a weak one; "" if it is none.
func opaque(tag string) string {
	tag = strings.TrimPrefix(trim(tag), "W/")
	if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' || strings.Contains(tag[1:len(tag)-1], `"`) {
		return ""
	}
	return tag
}

// date reads the three forms of a date in HTTP (RFC 9110, 5.6.7).
func date(s string) (time.Time, bool) {
	for _, form := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
