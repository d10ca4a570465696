package rules

// What an answer of the origin is asked, to learn what became of the unit and what the
// shop calls the order. It is asked once for every order that was sent.

import (
	"bytes"
	"regexp"
	"strings"
)

// Outcome is what the origin's answer means for the unit.
type Outcome uint8

const (
	OutcomeUnknown Outcome = iota // keeps the unit
	OutcomeSold
	OutcomeFree
)

// String is the name used in logs and metrics.
func (o Outcome) String() string {
	return [...]string{"unknown", "sold", "free"}[min(o, OutcomeFree)]
}

// Answered is one condition on the origin's answer; all of its set fields must hold.
type Answered struct {
	Status       []StatusRange     // any of them; empty: any status
	Location     string            // glob over the Location header, "*" stands for any run; "": not asked
	Header       map[string]string // name → glob; the header must be present and match
	BodyContains []byte            // nil: not asked
}

// StatusRange is an inclusive range of status codes.
type StatusRange struct{ From, To int }

// OriginAnswer is the origin's answer, as far as a rule looks at it.
type OriginAnswer struct {
	Status int
	Header func(name string) (value string, present bool) // names are compared without case
	Body   []byte
}

// Outcome derives what an answer means for the unit: sold or free where exactly one
// of the two rule lists says so, else unknown.
func (s *Sale) Outcome(a *OriginAnswer) Outcome {
	sold, free := anyOf(s.SoldWhen, a), anyOf(s.FreeWhen, a)
	switch {
	case sold && !free:
		return OutcomeSold
	case free && !sold:
		return OutcomeFree
	}
	return OutcomeUnknown
}

// NeedsBody reports whether Outcome or OrderName looks at the answer's body.
func (s *Sale) NeedsBody() bool {
	if s.Ref != nil && s.Ref.Body != nil {
		return true
	}
	for _, list := range [][]Answered{s.SoldWhen, s.FreeWhen} {
		for i := range list {
			if list[i].BodyContains != nil {
				return true
			}
		}
	}
	return false
}

// maxOrderName bounds the name of an order, in bytes: it is kept with every unit sold.
const maxOrderName = 128

// OrderName is the shop's name of the order in an answer that sold it, or "". A name
// that is too long or not of printable ASCII is none: half of one would lead people to
// somebody else's order.
func (s *Sale) OrderName(a *OriginAnswer) string {
	return CleanRef(s.Ref.find(a))
}

// CleanRef is the name if it may be one, else "".
func CleanRef(name string) string {
	if len(name) > maxOrderName {
		return ""
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return ""
		}
	}
	return name
}

// find applies the expression, whatever it finds.
func (f *OrderRef) find(a *OriginAnswer) string {
	switch {
	case f == nil:
		return ""
	case f.Body != nil:
		i := f.Body.FindSubmatchIndex(a.Body)
		from, to := nameAt(f.Body, i)
		return string(a.Body[from:to])
	}
	expr, header := f.Header, f.Name
	if f.Location != nil {
		expr, header = f.Location, "Location"
	}
	v, _ := a.Header(header)
	from, to := nameAt(expr, expr.FindStringSubmatchIndex(v))
	return v[from:to]
}

// nameAt picks the first group out of the places of a match, or all of it where the
// expression has no group; an empty place where there is none.
func nameAt(expr *regexp.Regexp, places []int) (from, to int) {
	if expr.NumSubexp() > 0 && places != nil {
		places = places[2:]
	}
	if places == nil || places[0] < 0 {
		return 0, 0
	}
	return places[0], places[1]
}

func anyOf(list []Answered, a *OriginAnswer) bool {
	for i := range list {
		if list[i].holds(a) {
			return true
		}
	}
	return false
}

func (w *Answered) holds(a *OriginAnswer) bool {
	if len(w.Status) > 0 {
		in := false
		for _, r := range w.Status {
			in = in || r.From <= a.Status && a.Status <= r.To
		}
		if !in {
			return false
		}
	}
	if w.Location != "" {
		if v, ok := a.Header("Location"); !ok || !glob(w.Location, v) {
			return false
		}
	}
	for name, pattern := range w.Header {
		if v, ok := a.Header(name); !ok || !glob(pattern, v) {
			return false
		}
	}
	return w.BodyContains == nil || bytes.Contains(a.Body, w.BodyContains)
}

// glob matches s against a pattern in which "*" stands for any run, also an empty one.
func glob(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, head) {
		return false
	}
	if s = s[len(head):]; !star {
		return s == ""
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}
