package eligible

// One term against one request, and the same in words for an operator.

import (
	"fmt"
	"slices"
	"strings"

	"penstock/proxy/gate"
	"penstock/rules"
)

// answer is what a term says; the zero answer refuses.
type answer uint8

const (
	no answer = iota
	yes
	unknown // the copy has never been read whole
)

// holds judges term i. Nobody in particular has no attributes, and is not known to be off
// any list.
func (g *Gate) holds(t *term, i int, f *gate.Facts) answer {
	if f.Account == "" {
		return no
	}
	v, there, known := g.value(t, i, f)
	switch {
	case !known:
		return unknown
	case there && t.meets(v, f) || !there && t.Must == rules.Unlisted:
		return yes
	}
	return no
}

// meets judges a value that is there.
func (t *term) meets(v string, f *gate.Facts) bool {
	switch t.Must {
	case rules.AtLeast:
		n, ok := number(v)
		return ok && n >= t.Least
	case rules.OlderThan:
		at, ok := moment(v)
		return ok && !at.After(f.At.Add(-t.Age))
	case rules.OneOf:
		if t.words != nil {
			_, ok := t.words[v]
			return ok
		}
		return slices.Contains(t.Words, v)
	case rules.Listed:
		return true
	}
	return false
}

// value finds what is known of the account. known is false where nobody can say.
func (g *Gate) value(t *term, i int, f *gate.Facts) (v string, there, known bool) {
	switch t.From.Kind {
	case rules.SaidByHeader, rules.SaidByJWT:
		if f.Said == nil || i >= len(f.Said) {
			return "", false, true
		}
		return f.Said[i], f.Said[i] != "", true
	case rules.InRedisHash, rules.InRedisSet:
		all := t.copy.table.Load()
		if all == nil {
			return "", false, false
		}
		v, there = all.find(hashOf(g.copies.seed, bare(f.Account)))
		return v, there, true
	case rules.InList:
		v, there = g.listed(t, f.Account)
		return v, there, true
	}
	return "", false, false
}

// listed looks an account up as it is, bare, and hashed; what is most exact counts. A bare
// name that reads like one of the other two is not looked up as one: whoever may choose
// it could stand in for somebody else.
func (g *Gate) listed(t *term, account string) (v string, there bool) {
	l := t.From.List
	if l == nil || len(l.Values) == 0 {
		return "", false
	}
	if v, there = l.Values[account]; there {
		return v, true
	}
	if b := bare(account); t.bare && !exact(b) {
		if v, there = l.Values[b]; there {
			return v, true
		}
	}
	if !l.Hashed || g.hash == nil {
		return "", false
	}
	var name [33]byte // "#" and the hash
	name[0] = '#'
	n := 1 + copy(name[1:], g.hash(account))
	v, there = l.Values[string(name[:n])]
	return v, there
}

// bare is the account without the letter of its source.
func bare(account string) string {
	if len(account) >= 2 && account[1] == ':' {
		return account[2:]
	}
	return account
}

// exact reports whether a name reads like an account with its letter, or hashed.
func exact(name string) bool {
	return len(name) > 0 && name[0] == '#' ||
		len(name) > 1 && name[1] == ':' && strings.IndexByte("chjqv", name[0]) >= 0
}

// Explain says of every term of the sale, in a line each, what it makes of the request.
// It is for operators, never for clients; "" where there are no terms.
func (g *Gate) Explain(f *gate.Facts) string {
	if f.Sale == nil {
		return ""
	}
	var b strings.Builder
	for i := range g.plan(f.Sale).terms {
		t := &g.plan(f.Sale).terms[i]
		word := map[answer]string{yes: "holds", no: "fails", unknown: "nobody knows yet"}[g.holds(t, i, f)]
		v, there, known := g.value(t, i, f)
		is := "nothing is known"
		if known && there {
			is = fmt.Sprintf("%q", v)
		}
		if f.Account == "" {
			is = "no account"
		}
		fmt.Fprintf(&b, "%s: %s (%s, must %s)\n", t.Name, word, is, t.must())
	}
	return b.String()
}

func (t *term) must() string {
	switch t.Must {
	case rules.AtLeast:
		return fmt.Sprintf("be at least %v", t.Least)
	case rules.OlderThan:
		return fmt.Sprintf("be at least %v ago", t.Age)
	case rules.OneOf:
		return "be one of " + strings.Join(t.Words, ", ")
	case rules.Listed:
		return "be there"
	}
	return "not be there"
}
