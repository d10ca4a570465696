package config

// Which routes keep answers, and how many bytes of them. That a page is nobody's own is
// the operator's word; what can be seen to contradict it is a fault.

import (
	"slices"
	"strings"

	"penstock/rules"
)

// What a cache may be given.
const (
	leastCache = 64 << 10
	mostCache  = 64 << 30
	leastEntry = 1 << 10
	mostEntry  = 64 << 20 // it is held whole in memory

	// ownCookies begins the names of the gateway's cookies.
	ownCookies = "penstock_"
)

// pageCache reads how the answers of a route are kept; nil: they are not.
func pageCache(route value) *rules.Cache {
	v := route.at("cache")
	if v.node == nil {
		return nil
	}
	v.at("ttl").require("ttl: 2s")
	c := &rules.Cache{
		TTL:      v.at("ttl").duration(shortest),
		Stale:    v.at("stale").duration(0),
		Force:    v.at("force").boolean(),
		MaxEntry: v.at("max_entry").size(leastEntry, mostEntry),
	}
	for _, e := range v.at("ignore_cookies").some() {
		switch name := e.token(); {
		case strings.HasPrefix(name, ownCookies):
			e.fault(ownCookie, name)
		case name != "" && slices.Contains(c.IgnoreCookies, name):
			e.fault(repeated, name)
		case name != "":
			c.IgnoreCookies = append(c.IgnoreCookies, name)
		}
	}
	return c
}

// cacheBytes reads the bound of all routes together, and looks at what the routes that
// keep answers have to do with it and with the sales.
func cacheBytes(v value, s *rules.Set) int64 {
	all := v.at("cache").at("max_bytes").size(leastCache, mostCache)
	i := 0
	for _, e := range v.at("routes").entries() {
		if e.node == nil {
			continue
		}
		e.checkCache(s, s.Routes[i], all)
		i++
	}
	return all
}

func (v value) checkCache(s *rules.Set, route *rules.Route, all int64) {
	if route.Cache == nil {
		return
	}
	c := v.at("cache")
	if route.Cache.MaxEntry > all {
		c.at("max_entry").fault(tooMuch, sizeText(route.Cache.MaxEntry), "cache.max_bytes ("+sizeText(all)+")", sizeText(all))
	}
	m := &route.Match
	if len(m.Methods) > 0 && !methodsMeet(m.Methods, []string{"GET", "HEAD"}) {
		c.fault(neverKept, strings.Join(m.Methods, " and "))
	}
	for _, sale := range s.Sales {
		if path := sharedPath(m, sale); path != "" {
			c.fault(keptSale, path, sale.Name)
		}
	}
}

// sharedPath is the path of the sale, or of its order, that a route's requests may have,
// whatever else is asked of them.
func sharedPath(m *rules.Match, sale *rules.Sale) string {
	at := func(step *rules.Match) bool {
		return meet(&rules.Match{Path: m.Path, Host: m.Host}, &rules.Match{Path: step.Path, Host: step.Host})
	}
	switch {
	case at(&sale.Match):
		return sale.Match.Path
	case sale.Order != nil && at(&sale.Order.Match):
		return sale.Order.Match.Path
	}
	return ""
}
