package cache

// Whether an answer may be kept, and for how long. The operator's word is the most: the
// origin may shorten it, or refuse. Whatever cannot be read counts as a refusal.

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"penstock/rules"
)

// judgement is what may be done with an answer.
type judgement struct {
	result Result
	open   bool          // with Failed: it may be shown to those who wait for it
	life   time.Duration // shown as it is
	stale  time.Duration // and after that while there is no other
	names  []string      // what it varies by
}

// brief are other statuses than 200 that are kept: what a crowd meets as well, at a link
// that moved or leads nowhere. They are not shown past their period: a page that appears
// must not be hidden by what was there before.
var brief = []int{301, 308, 404, 410}

func (c *Cache) judge(f *Flight, a *Answer) judgement {
	j := judgement{life: f.Rule.TTL, stale: f.Rule.Stale}
	var ok bool
	if j.names, ok = c.varies(a); !ok || len(union(f.names, j.names)) > maxNames {
		j.result = Varies
	} else if len(a.Cookies) > 0 && (!f.Rule.Force || a.carries(a.Cookies)) {
		j.result = Cookie
	} else if j.result = Stored; !f.Rule.Force {
		j.heed(a)
	}
	switch {
	case a.Status == 429 || a.Status >= 500:
		j.result, j.open = Failed, j.result == Stored
	case slices.Contains(brief, a.Status):
		j.stale = 0
	case a.Status != 200:
		j.result = Status
	}
	if j.result == Stored && a.over(f.Rule) {
		j.result = TooLarge
	}
	return j
}

func (a *Answer) over(r *rules.Cache) bool { return a.size() > r.MaxEntry+overhead }

// heed shortens the times by what the origin says (RFC 9111, 4.2.1 and 5.2.2), for shared
// caches. s-maxage alone does not forbid to show an answer past its period, as the
// standard has it: the operator's stale says more.
func (j *judgement) heed(a *Answer) {
	var d directives
	d.read(a)
	life, said := d.age, d.said
	if !said {
		life, said = a.expires()
	}
	switch {
	case d.private:
		j.result = Private
		return
	case d.revalidate:
		j.stale = 0
	}
	if !said {
		return
	}
	if life -= a.aged(); life <= 0 {
		j.result = Expired
	}
	j.life = min(j.life, life)
}

// directives are those of Cache-Control that matter here.
type directives struct {
	private    bool          // no-store, private or no-cache, with or without names
	revalidate bool          // must-revalidate or proxy-revalidate
	age        time.Duration // s-maxage, else max-age
	said       bool          // there is an age
}

func (d *directives) read(a *Answer) {
	var shared, any bool
	var sharedAge, anyAge time.Duration
	for member := range a.list("Cache-Control") {
		name, value, _ := strings.Cut(member, "=")
		switch strings.ToLower(trim(name)) {
		case "no-store", "private", "no-cache":
			d.private = true
		case "must-revalidate", "proxy-revalidate":
			d.revalidate = true
		case "s-maxage":
			sharedAge, shared = least(sharedAge, shared, value), true
		case "max-age":
			anyAge, any = least(anyAge, any, value), true
		}
	}
	if _, lines := a.first("Cache-Control"); lines == 0 {
		for member := range a.list("Pragma") {
			d.private = d.private || strings.EqualFold(member, "no-cache")
		}
	}
	d.age, d.said = anyAge, any || shared
	if shared {
		d.age = sharedAge
	}
}

// least is the shorter of an age, if there is one, and what a value says.
func least(age time.Duration, said bool, value string) time.Duration {
	value = trim(value)
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	n, ok := seconds(value)
	if !ok {
		n = 0 // nobody knows what it means
	}
	if said {
		return min(age, n)
	}
	return n
}

// seconds reads a number of seconds; one too large to matter counts as a year.
func seconds(s string) (time.Duration, bool) {
	const year = 365 * 24 * time.Hour
	if s == "" {
		return 0, false
	}
	var n time.Duration
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+time.Duration(c-'0')*time.Second, year)
	}
	return n, true
}

// expires is how long Expires gives an answer, by the origin's own clock.
func (a *Answer) expires() (life time.Duration, said bool) {
	value, lines := a.first("Expires")
	if lines == 0 {
		return 0, false
	}
	at, ok := date(value)
	now, _ := a.first("Date")
	from, known := date(now)
	if !ok || lines > 1 || !known {
		return 0, true
	}
	return at.Sub(from), true
}

const (
	// telling is the least length of a cookie's value that is looked for in an answer.
	telling = 8
	// unpacked bounds how much of a packed body is looked at, in bytes.
	unpacked = 16 << 20
)

// carries reports whether the answer has a value of the cookies in its body or in a
// header: a session in links or forms, which would be everybody's once it is kept.
func (a *Answer) carries(cookies []string) bool {
	body, ok := a.unpack()
	if !ok {
		return true
	}
	for _, cookie := range cookies {
		pair, _, _ := strings.Cut(cookie, ";")
		_, value, _ := strings.Cut(pair, "=")
		value = strings.Trim(trim(value), `"`)
		plain, err := url.QueryUnescape(value)
		if err != nil {
			plain = value
		}
		for _, v := range []string{value, plain} {
			if len(v) < telling {
				continue
			}
			if bytes.Contains(body, []byte(v)) || slices.ContainsFunc(a.Header, func(f Field) bool { return strings.Contains(f.Value, v) }) {
				return true
			}
		}
	}
	return false
}

// unpack is the body as it is read by people; false if that cannot be told.
func (a *Answer) unpack() ([]byte, bool) {
	if content, n := a.first("Content-Encoding"); n == 0 || strings.EqualFold(content, identity) {
		return a.Body, true
	}
	r, err := stdgzip.NewReader(bytes.NewReader(a.Body))
	if err != nil {
		return nil, false
	}
	body, err := io.ReadAll(io.LimitReader(r, unpacked+1))
	return body, err == nil && len(body) <= unpacked
}
