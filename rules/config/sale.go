package config

// Routes and sales, and what must hold between their keys. Only what can never be
// meant is a fault; what is merely unwise stays with the operator.

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"penstock/rules"
)

// What a sale may be given.
const (
	maxUnits      = 10_000_000
	maxPerAccount = 9_999 // the largest quantity a request can name
	maxLimit      = 1_000_000
	maxSaleBody   = 64 << 20 // it is read whole into memory
)

// observed begins the name under which the store keeps a sale that is not enforced.
const observed = "observe:"

// routes reads the kinds of requests that are no sale's. The priority of winners cannot
// be given: it is won.
func routes(v value) []*rules.Route {
	classes := []rules.Priority{rules.Browse, rules.Checkout, rules.Order, rules.Prefetch, rules.Static}
	words := make([]string, len(classes))
	for i, c := range classes {
		words[i] = c.String()
	}
	var all []*rules.Route
	seen := names{}
	for _, e := range v.entries() {
		if e.node == nil {
			continue
		}
		for _, name := range []string{"form", "json"} {
			if c := e.at("match").at(name); c.given {
				c.fault(routeBody)
			}
		}
		all = append(all, &rules.Route{
			Name:     seen.read(e),
			Match:    match(e.at("match")),
			Priority: classes[e.at("priority").choice(words...)],
			Cache:    pageCache(e),
			Answers:  overrides(e.at("answers")),
		})
	}
	return all
}

// names holds the names of a list's entries, and their lines.
type names map[string]int

func (n names) read(entry value) string {
	v := entry.at("name")
	if !v.require("name: phone") {
		return ""
	}
	s := one(v, notName, func(s string) (string, bool) { return s, nameForm.MatchString(s) })
	if line, taken := n[s]; taken {
		v.fault(nameTaken, s, line)
	} else if s != "" {
		n[s] = entry.line
	}
	return s
}

func (r *reader) sales(v value, s *rules.Set) []*rules.Sale {
	var all []*rules.Sale
	seen := names{}
	var lines []int
	r.redis = v.at("store").at("redis").given
	for _, e := range v.at("sales").entries() {
		if e.node == nil {
			continue
		}
		sale := r.sale(e, s)
		sale.Name = seen.read(e)
		if sale.Stock != nil {
			sale.Stock.Ledger = sale.Name
			if !sale.Enforce {
				sale.Stock.Ledger = observed + sale.Name
			}
			if !v.at("store").given {
				r.say(e.at("stock").line, "store", missing, "store: {embedded: {path: penstock.db}}")
			}
		}
		for j, earlier := range all {
			e.checkOrder(sale, earlier, lines[j])
		}
		all, lines = append(all, sale), append(lines, e.line)
	}
	return all
}

// checkOrder tells when an earlier sale takes requests of this one. A narrower sale in
// front of a wider one is fine, and so are windows that do not touch.
func (v value) checkOrder(sale, earlier *rules.Sale, line int) {
	a, b := earlier, sale
	apart := !b.Closes.IsZero() && !a.Opens.Before(b.Closes) || !a.Closes.IsZero() && !b.Opens.Before(a.Closes)
	whole := !a.Opens.After(b.Opens) && (a.Closes.IsZero() || !b.Closes.IsZero() && !b.Closes.After(a.Closes))
	if apart {
		return
	}
	taken := shadowed
	if !whole {
		taken = overlapping
	}
	if covers(&a.Match, &b.Match) || a.Order != nil && covers(&a.Order.Match, &b.Match) {
		v.fault(taken, a.Name, line)
	}
	switch {
	case b.Order == nil:
	case covers(&a.Match, &b.Order.Match):
		v.at("order").fault(taken, a.Name, line)
	case a.Order != nil && meet(&a.Order.Match, &b.Order.Match):
		v.at("order").fault(sharedOrder, a.Name, line)
	}
}

// sale reads one sale; its name and ledger are set by sales, which knows the others.
func (r *reader) sale(v value, set *rules.Set) *rules.Sale {
	s := &rules.Sale{
		Match:    match(v.at("match")),
		Opens:    v.at("opens").moment(),
		Closes:   v.at("closes").moment(),
		Account:  accounts(v.at("account"), set),
		SoldWhen: answered(v.at("sold_when")),
		FreeWhen: answered(v.at("free_when")),
		Limits:   limits(v.at("limits")),
		Answers:  overrides(v.at("answers")),
		Origins:  origins(v.at("cors")),
		Enforce:  v.at("enforce").boolean(),
	}
	s.Order, s.Ref = orderStep(v, s), orderRef(v)
	if !s.Closes.IsZero() && !s.Closes.After(s.Opens) {
		v.at("closes").fault(emptyWindow, v.at("closes").node.Value)
	}
	if v.at("free_when").given && len(s.SoldWhen) > 0 && sameConditions(s.SoldWhen, s.FreeWhen) {
		v.at("free_when").fault(sameOutcome)
	}
	if a := v.at("limits").at("account"); a.given && !v.at("account").given {
		a.fault(noAccount)
	}
	s.Item = item(v, s)
	if stock := v.at("stock"); stock.node != nil {
		v.at("account").require("account: [{cookie: SESSION}, {visitor: true}]")
		s.Stock = stockOf(stock, s, &set.Origin)
	}
	cheats(v, s, set)
	return s
}

// item reads what a request asks for, which the sale's stock must tell apart.
func item(v value, s *rules.Sale) *rules.Source {
	it, items := v.at("item"), v.at("stock").at("items")
	if !it.given {
		if items.given {
			items.fault(noItem)
		}
		return nil
	}
	if stock := v.at("stock"); !items.given && (stock.node != nil || !stock.given) {
		it.fault(noItems)
	}
	src := source(it, &s.Match, "header", "query", "form", "json", "path")
	if src == nil || src.Kind != rules.FromPath || src.Name == "" {
		return src
	}
	if at := it.at("path"); strings.Count(src.Name, "*") != 1 {
		at.fault(itemPath, src.Name)
	} else if s.Match.Path != "" && !pathsMeet(src.Name, s.Match.Path) {
		at.fault(itemNever, src.Name, s.Match.Path)
	}
	for _, e := range items.pairs() {
		if !pathItem.MatchString(e.name) {
			e.fault(itemName, e.name)
		}
	}
	return src
}

// pathItem is an item that every client writes in one way only.
var pathItem = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// stockOf reads what a sale sells. A reservation must outlive the longest wait for the
// origin, or units would go back under winners that are still in the queue; sending
// lasts as long as an answer may still come.
func stockOf(v value, s *rules.Sale, o *rules.Origin) *rules.Stock {
	st := &rules.Stock{
		Items:        map[string]int{},
		ForwardOther: v.at("other_items").choice("refuse", "forward") == 1,
		PerAccount:   v.at("per_account").integer(1, maxPerAccount),
		ReserveFor:   v.at("reserve_for").duration(shortest),
		SendingFor:   o.ConnectTimeout + 3*o.ResponseTimeout + o.IdleBodyTimeout,
	}
	unknownRule(v.at("unknown"), st)
	if q := v.at("quantity"); q.given {
		st.Quantity = source(q, &s.Match, "header", "query", "form", "json")
	}
	if least := o.WinnersMaxWait + o.ConnectTimeout; st.ReserveFor < least {
		v.at("reserve_for").fault(tooShort, spell(st.ReserveFor), "origin.winners.max_wait + origin.timeout.connect", spell(least))
	}
	if units, ok := v.oneOf("units", "items"); ok && v.at("units").given {
		st.Items[""] = units.integer(1, maxUnits)
		return st
	}
	items := v.at("items")
	for _, e := range items.pairs() {
		st.Items[e.name] = e.integer(1, maxUnits)
	}
	items.filled()
	return st
}

func limits(v value) rules.Limits {
	return rules.Limits{
		IP:          limit(v.at("ip")),
		Account:     limit(v.at("account")),
		Body:        v.at("body").size(1, maxSaleBody),
		BodyTimeout: v.at("body_timeout").duration(shortest),
	}
}

// limit reads one limit; in_flight: 0 is no cap.
func limit(v value) rules.Limit {
	return rules.Limit{
		Every:    v.at("rate").rate(),
		Burst:    v.at("burst").integer(1, maxLimit),
		InFlight: v.at("in_flight").integer(0, maxLimit),
		Enforce:  v.at("enforce").boolean(),
	}
}

// answered reads conditions on the origin's answer.
func answered(v value) []rules.Answered {
	var all []rules.Answered
	for _, e := range v.entries() {
		a := rules.Answered{Location: e.at("location").text(), Header: conditions(e.at("header"))}
		for _, s := range e.at("status").some() {
			a.Status = append(a.Status, one(s, notStatus, parseStatus))
		}
		for _, h := range e.at("header").pairs() {
			if !tokenForm.MatchString(h.name) {
				h.fault(notToken, h.name)
			}
		}
		if text := e.at("body_contains").text(); text != "" {
			a.BodyContains = []byte(text)
		}
		e.filled()
		all = append(all, a)
	}
	return all
}

var statusForm = regexp.MustCompile(`^([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?$`)

// parseStatus reads "201" or "400-499".
func parseStatus(s string) (rules.StatusRange, bool) {
	m := statusForm.FindStringSubmatch(s)
	if m == nil {
		return rules.StatusRange{}, false
	}
	from, _ := strconv.Atoi(m[1])
	to, err := strconv.Atoi(m[2])
	if err != nil {
		to = from
	}
	return rules.StatusRange{From: from, To: to}, from <= to
}

// sameConditions compares lists as written, in order; it is for copies, not for logic.
func sameConditions(a, b []rules.Answered) bool {
	return slices.EqualFunc(a, b, func(a, b rules.Answered) bool {
		return slices.Equal(a.Status, b.Status) && a.Location == b.Location &&
			string(a.BodyContains) == string(b.BodyContains) && maps.Equal(a.Header, b.Header)
	})
}
