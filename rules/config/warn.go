package config

// What is right but may not be meant. A warning stops nobody: it says what will happen,
// for those who did not expect it.

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"penstock/rules"
)

// Warnings says what operators should know about a set before it goes live: one line
// each, the key first, in the order of the file.
func Warnings(set *rules.Set) []string {
	var all []string
	warn := func(s *rules.Sale, key, format string, args ...any) {
		all = append(all, fmt.Sprintf("sales[%s].%s: ", s.Name, key)+fmt.Sprintf(format, args...))
	}
	all = append(all, originWarnings(&set.Origin)...)
	for _, r := range set.Routes {
		if r.Cache != nil && r.Cache.Force {
			all = append(all, fmt.Sprintf("routes[%s].cache.force: answers are shown to everybody, also those that the shop calls private or that set cookies: nothing on them may be somebody's own", r.Name))
		}
	}
	for _, s := range set.Sales {
		if others := passing(set, &s.Match); others != "" {
			warn(s, "match", "requests to %s with other values of %s pass as browse", s.Match.Path, others)
		}
		if st := s.Stock; st != nil {
			switch {
			case st.Unknown == rules.Release:
				warn(s, "stock.unknown", "can oversell: a held unit is free again after %s, though its order may exist", spell(st.UnknownAfter))
			case st.Unknown == rules.Resolve && !strings.Contains(st.Resolver.URL, "{token}"):
				warn(s, "stock.unknown", "nothing is found: an order without an answer has no {ref} yet, ask by {token}")
			}
		}
		if s.Order != nil {
			if others := passing(set, &s.Order.Match); others != "" {
				warn(s, "order.match", "orders to %s with other values of %s pass as browse", s.Order.Match.Path, others)
			}
			if s.Order.ForwardWithout {
				warn(s, "order.without", "can oversell: orders without a reservation reach the shop")
			}
		}
		termWarnings(s, warn)
		cheatWarnings(set, s, warn)
	}
	return all
}

// warner adds a warning about a key of a sale.
type warner func(s *rules.Sale, key, format string, args ...any)

// termWarnings is the same for what a sale asks.
func termWarnings(s *rules.Sale, warn warner) {
	visitors := slices.ContainsFunc(s.Account, func(a rules.Source) bool { return a.Kind == rules.FromVisitor })
	for i := range s.Require.Terms {
		t, key := &s.Require.Terms[i], fmt.Sprintf("require.terms[%s]", s.Require.Terms[i].Name)
		switch from := &t.From; {
		case t.Must == rules.Unlisted && visitors:
			warn(s, key, "who leaves out the cookie of the shop is a visitor, who is on no list, and passes")
		case from.Kind == rules.InList && t.Must != rules.Unlisted && len(from.List.Values) == 0:
			warn(s, key, "the list is empty: nobody may take part")
		case from.Kind == rules.SaidByJWT && !slices.ContainsFunc(s.Account, func(a rules.Source) bool {
			return a.Kind == rules.FromJWT && strings.EqualFold(a.JWT.Header, from.JWT.Header)
		}):
			warn(s, key, "the token may be somebody else's: the account is not taken from %s as well", from.JWT.Header)
		}
	}
}

// slowPhone is about how many hashes a slow phone computes in a second.
const slowPhone = 100_000

// cheatWarnings is the same for how suspects are found and treated.
func cheatWarnings(set *rules.Set, s *rules.Sale, warn warner) {
	if c := s.Challenge; c != nil {
		if c.Everyone && c.Remote == nil && c.Work >= 5*slowPhone {
			warn(s, "challenge.work", "everybody has to compute %d hashes before they can buy: about %d s on a slow phone", c.Work, c.Work/slowPhone)
		}
		if !c.Everyone && s.Ladder == nil {
			warn(s, "challenge.of", "nobody is challenged: suspects are who climbs the ladder, and the sale has none")
		}
		if r := c.Remote; r != nil {
			if r.Outage == rules.PassAll {
				warn(s, "challenge.remote.outage", "whoever asks is let through while the provider cannot be reached")
			}
			if strings.HasPrefix(r.Verify, "http:") {
				warn(s, "challenge.remote.verify", "the secret is sent without encryption")
			}
		}
	}
	l := s.Ladder
	if l == nil {
		return
	}
	act := false
	for _, steps := range []rules.Steps{l.Strikes, l.Accounts, l.Network, l.Addresses, l.Ignored, l.Score} {
		act = act || steps.Challenge > 0 || steps.Ban > 0
	}
	switch {
	case !l.Enforce || !act:
		warn(s, "ladder", "only watches: nobody is challenged or banned")
	case s.Challenge == nil:
		warn(s, "ladder", "nobody is challenged, because the sale has no challenge: suspects are only observed until they are banned")
	}
	if set.Decisions == nil {
		warn(s, "ladder", "without decisions nobody can look up later why somebody was challenged or banned")
	}
	if b := s.Behaviour; b != nil {
		if least := l.Score; least.Rung(min(sum(b), mostPoints)) == rules.RungPass {
			warn(s, "ladder.score", "nobody gets there: behaviour gives at most %d points", sum(b))
		}
	}
}

// originWarnings is the same for what protects the shop.
func originWarnings(o *rules.Origin) (all []string) {
	if o.AnyCert {
		all = append(all, "origin.tls.insecure_skip_verify: whoever answers is taken for the shop, orders and passwords are sent to anybody in between")
	}
	switch {
	case o.ObserveConcurrency:
		all = append(all, fmt.Sprintf("origin.concurrency: nothing protects the shop below max_concurrency: it can get %d requests at a time", o.MaxConcurrency))
	case o.Concurrency > 0 && o.LatencyTarget > 0:
		all = append(all, fmt.Sprintf("origin.latency_target: has no effect: it moves what auto has found, and concurrency is %d", o.Concurrency))
	}
	return all
}

// passing names the parameters that a match asks for, if requests to its path that have
// other values are nobody's: neither a sale's nor a route's.
func passing(set *rules.Set, m *rules.Match) string {
	names := slices.Concat(slices.Collect(maps.Keys(m.Query)), slices.Collect(maps.Keys(m.Form)), slices.Collect(maps.Keys(m.JSON)))
	if len(names) == 0 {
		return ""
	}
	wide := *m
	wide.Query, wide.Form, wide.JSON = nil, nil, nil
	for _, s := range set.Sales {
		if covers(&s.Match, &wide) || s.Order != nil && covers(&s.Order.Match, &wide) {
			return ""
		}
	}
	for _, r := range set.Routes {
		if covers(&r.Match, &wide) {
			return ""
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " and ")
}
