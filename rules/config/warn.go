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
		if s.Order == nil {
			continue
		}
		if others := passing(set, &s.Order.Match); others != "" {
			warn(s, "order.match", "orders to %s with other values of %s pass as browse", s.Order.Match.Path, others)
		}
		if s.Order.ForwardWithout {
			warn(s, "order.without", "can oversell: orders without a reservation reach the shop")
		}
	}
	return all
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
