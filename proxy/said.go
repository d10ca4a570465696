package proxy

// What the head of a request says of its account, for the terms of a sale: lines of a
// trusted proxy, and claims of a token. It is only handed on. Whether it is enough is the
// eligible gate's to say, and what stands elsewhere is that gate's to find.

import (
	"penstock/proxy/gate"
	"penstock/rules"
)

// said finds what the head says for each term. What nobody could read for certain is a
// fault, unless the terms only watch: then nothing is said.
func (p *Proxy) said(r *request, sale *rules.Sale) fault {
	for i := range min(len(sale.Require.Terms), rules.MostTerms) {
		from := &sale.Require.Terms[i].From
		if from.Kind != rules.SaidByHeader && from.Kind != rules.SaidByJWT {
			continue
		}
		v, f := p.saidBy(r, from)
		if f != "" && !sale.Require.Enforce {
			r.kind.observed(eligible, gate.BadRequest)
			r.facts.Said, r.saidOf = nil, [rules.MostTerms]string{}
			return ""
		}
		if f != "" {
			return f
		}
		r.saidOf[i] = v
		r.facts.Said = &r.saidOf
	}
	return ""
}

func (p *Proxy) saidBy(r *request, from *rules.Attribute) (string, fault) {
	if from.Kind == rules.SaidByJWT {
		return p.jwts.said(&r.head, from.JWT, r.facts.At)
	}
	if !r.trusted {
		return "", ""
	}
	v, n := r.head.value(from.Name)
	if n > 1 {
		return "", "a header that speaks of the account is there twice"
	}
	return view(v), ""
}

// termHeaders are those that speak of accounts. Like an account's own they reach the shop
// only from trusted proxies.
func termHeaders(sale *rules.Sale) (names []string) {
	for i := range sale.Require.Terms {
		if from := &sale.Require.Terms[i].From; from.Kind == rules.SaidByHeader {
			names = append(names, from.Name)
		}
	}
	return names
}
