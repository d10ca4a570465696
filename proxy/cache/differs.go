package cache

// Whether two answers to the same request are the same, for those who want to know before
// a sale whether a page is anybody's own.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// passing are headers that differ between any two answers and say nothing of the page.
var passing = []string{"age", "date", "expires", "last-modified", "etag", "x-request-id", "server-timing"}

// excerpt is how much of a difference is shown, in bytes.
const excerpt = 40

// Differs says in what two answers to the same request differ, one line each; nothing if
// they are the same. With force: true of a route, what differs would be shown to
// everybody as it was in the one that is kept.
func Differs(a, b *Answer) []string {
	var all []string
	if a.Status != b.Status {
		all = append(all, fmt.Sprintf("status: %d, then %d", a.Status, b.Status))
	}
	for _, name := range headerNames(a, b) {
		if x, y := a.lines(name), b.lines(name); x != y {
			all = append(all, fmt.Sprintf("%s: %q, then %q", name, clip(x), clip(y)))
		}
	}
	x, whole := a.unpack()
	y, too := b.unpack()
	if !whole || !too {
		x, y = a.Body, b.Body
	}
	if i := apart(x, y); i >= 0 {
		all = append(all, fmt.Sprintf("body: from byte %d on: %q, then %q", i, around(x, i), around(y, i)))
	}
	for i, one := range []*Answer{a, b} {
		if len(one.Cookies) > 0 && one.carries(one.Cookies) {
			all = append(all, fmt.Sprintf("answer %d: holds the value of a cookie that it sets, and so would not be kept", i+1))
		}
	}
	return all
}

func headerNames(answers ...*Answer) []string {
	var names []string
	for _, a := range answers {
		for _, f := range a.Header {
			if name := strings.ToLower(f.Name); !slices.Contains(passing, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *Answer) lines(name string) string {
	var all []string
	for _, f := range a.Header {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value)
		}
	}
	return strings.Join(all, ", ")
}

// apart is where two bodies begin to differ; -1: nowhere.
func apart(x, y []byte) int {
	if bytes.Equal(x, y) {
		return -1
	}
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return i
		}
	}
	return min(len(x), len(y))
}

// around shows the place, with a little of what stands before it.
func around(body []byte, i int) string {
	return string(body[max(0, i-excerpt/2):min(len(body), i+excerpt)])
}

func clip(s string) string { return s[:min(len(s), excerpt*2)] }
