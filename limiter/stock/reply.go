package stock

import (
	"strconv"

	"penstock/proxy/gate"
)

// What the scripts reply, read. Only they write it, so what cannot be read counts as
// zero, or as not there.

// reasonOf reads the word of a decision; "not_loaded" is none.
func reasonOf(word string) (gate.Reason, bool) {
	for _, r := range [...]gate.Reason{gate.SoldOut, gate.Admitted, gate.AlreadyBought, gate.OrderPending,
		gate.ReservationExpired, gate.Limit, gate.UnknownItem} {
		if r.String() == word {
			return r, true
		}
	}
	return gate.Unset, false
}

// picture reads a ledger's counts; none: it is not known.
func picture(counts map[string]string) (p Picture) {
	if len(counts) == 0 {
		return p
	}
	p.Items = make(map[string]Counts)
	for field, value := range counts {
		switch field {
		case "seq":
			p.Seq, _ = strconv.ParseUint(value, 10, 64)
			continue
		case "oversold":
			p.Oversold = number(value)
			continue
		}
		item := field[2:]
		c := p.Items[item]
		switch field[0] {
		case 'L':
			c.Loaded = number(value)
		case 'W':
			c.Withdrawn = number(value)
		default:
			*c.in(state(field[0])) = number(value)
		}
		p.Items[item] = c
	}
	return p
}

// number reads what only the scripts write.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func mapOf(reply any) map[string]string {
	list, _ := reply.([]any)
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		k, _ := list[i].(string)
		v, _ := list[i+1].(string)
		m[k] = v
	}
	return m
}

func pairs(list []string) func(func(k, v string) bool) {
	return func(yield func(k, v string) bool) {
		for i := 0; i+1 < len(list); i += 2 {
			if !yield(list[i], list[i+1]) {
				return
			}
		}
	}
}
