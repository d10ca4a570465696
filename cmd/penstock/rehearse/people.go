package rehearse

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
	"penstock/rules"
)

// Who comes to a sale: made from its rules, so that they ask for what the file sells,
// where it sells it, as the accounts it knows. Tokens of a login cannot be made up.

// Classes of requests.
const (
	page   = "page"
	claim  = "claim" // takes the unit; without an order step it is "buy"
	buy    = "buy"
	order  = "order"
	thanks = "thanks"
	onward = "checkout" // pages between them
)

const lookPatience = 10 * time.Second

// script makes the visitors of one sale.
type script struct {
	sale    *rules.Sale
	routes  []*rules.Route
	page    string // where people look before they buy
	whole   bool   // the shop has a cart's pages, up to the thanks
	buying  time.Duration
	cookies []string
	header  []string
	query   url.Values // of requests for the unit and the order
	fields  url.Values
}

func newScript(set *rules.Set, s *rules.Sale, pagePath string, whole bool) (*script, error) {
	c := &script{sale: s, routes: set.Routes, page: pagePath, whole: whole, query: url.Values{}, fields: url.Values{}}
	c.buying = set.Origin.WinnersMaxWait + set.Origin.ResponseTimeout
	c.header = []string{"X-Forwarded-For: {address}"}
	if err := c.account(); err != nil {
		return nil, err
	}
	if s.Stock != nil && s.Stock.Quantity != nil {
		c.put(s.Stock.Quantity, "1")
	}
	for k, v := range s.Match.Query {
		c.query.Set(k, v)
	}
	for k, v := range s.Match.Form {
		c.fields.Set(k, v)
	}
	for k, v := range s.Match.JSON {
		c.fields.Set(k, v)
	}
	return c, nil
}

// account makes visitors known by the first source that can be made up.
func (c *script) account() error {
	if len(c.sale.Account) == 0 {
		return nil
	}
	for i := range c.sale.Account {
		switch a := &c.sale.Account[i]; a.Kind {
		case rules.FromCookie:
			c.cookies = append(c.cookies, a.Name+"={account}")
		case rules.FromHeader:
			c.header = append(c.header, a.Name+": {account}")
		case rules.FromQuery:
			c.query.Set(a.Name, "{account}")
		case rules.FromVisitor:
		default:
			continue
		}
		return nil
	}
	return errors.New("accounts of this sale are known by signed tokens only, which a crowd cannot make up: put a cookie before them in a copy of the file")
}

// put writes a value where the sale looks for it.
func (c *script) put(at *rules.Source, value string) {
	switch at.Kind {
	case rules.FromHeader:
		c.header = append(c.header, at.Name+": "+value)
	case rules.FromQuery:
		c.query.Set(at.Name, value)
	case rules.FromForm, rules.FromJSON:
		c.fields.Set(at.Name, value)
	}
}

// request is the one that a match is for.
func (c *script) request(class string, m *rules.Match, item string) crowd.Step {
	s := crowd.Step{Class: class, Method: "POST", Path: concrete(m.Path)}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, "POST") {
		s.Method = m.Methods[0]
	}
	query, fields := copied(c.query), copied(c.fields)
	if item != "" && c.sale.Item != nil {
		switch c.sale.Item.Kind {
		case rules.FromQuery:
			query.Set(c.sale.Item.Name, item)
		case rules.FromForm, rules.FromJSON:
			fields.Set(c.sale.Item.Name, item)
		case rules.FromHeader:
			s.Header = append(s.Header, c.sale.Item.Name+": "+item)
		case rules.FromPath:
			s.Path = strings.Replace(c.sale.Item.Name, "*", item, 1)
		}
	}
	if len(query) > 0 {
		s.Path += "?" + unescaped(query.Encode())
	}
	s.Body = unescaped(fields.Encode())
	if c.json() {
		flat := map[string]any{}
		for k := range fields {
			flat[k] = fields.Get(k)
		}
		b, err := json.Marshal(flat)
		if err == nil { // strings always marshal
			s.Body = string(b)
		}
	}
	return s
}

// json reports whether the sale reads its bodies as JSON.
func (c *script) json() bool {
	of := func(s *rules.Source) bool { return s != nil && s.Kind == rules.FromJSON }
	return len(c.sale.Match.JSON) > 0 || of(c.sale.Item) || c.sale.Stock != nil && of(c.sale.Stock.Quantity)
}

func copied(v url.Values) url.Values {
	to := url.Values{}
	for k := range v {
		to.Set(k, v.Get(k))
	}
	return to
}

// unescaped undoes the escaping of our own placeholders.
func unescaped(s string) string {
	return strings.NewReplacer("%7Baccount%7D", "{account}", "%7Bref%7D", "{ref}").Replace(s)
}

// sold reports whether the shop's answer is a sale, by the file's own rules.
func (c *script) sold() func(*crowd.Answer) bool {
	for _, list := range [][]rules.Answered{c.sale.SoldWhen, c.sale.FreeWhen} {
		for i := range list {
			if len(list[i].Header) > 0 {
				return nil // answers are kept without their headers: the status must do
			}
		}
	}
	return func(a *crowd.Answer) bool { return c.sale.Outcome(outcome(a)) == rules.OutcomeSold }
}

// taken reports whether the shop's answer lets the visitor go on to the order.
func (c *script) taken() func(*crowd.Answer) bool {
	return func(a *crowd.Answer) bool {
		return a.Status >= 200 && a.Status <= 399 && c.sale.Outcome(outcome(a)) != rules.OutcomeFree
	}
}

func outcome(a *crowd.Answer) *rules.OriginAnswer {
	return &rules.OriginAnswer{Status: a.Status, Body: a.Body, Header: func(name string) (string, bool) {
		if strings.EqualFold(name, "Location") && len(a.Location) > 0 {
			return string(a.Location), true
		}
		return "", false
	}}
}

// purchase are the steps from taking the unit to the end.
func (c *script) purchase(item string) []crowd.Step {
	take := c.request(buy, &c.sale.Match, item)
	take.Think = 2 * time.Second
	if c.sale.Order == nil {
		take.Good = c.sold()
		return []crowd.Step{take}
	}
	take.Class, take.Good = claim, c.taken()
	place := crowd.Step{Class: order, Method: "POST", Path: concrete(c.sale.Order.Match.Path), Think: time.Second, Good: c.sold(), Ref: regexp.MustCompile(`order=(\w+)`)}
	if len(c.query) > 0 {
		place.Path += "?" + unescaped(c.query.Encode())
	}
	for k, v := range c.sale.Order.Match.Form {
		place.Body = url.Values{k: {v}}.Encode()
	}
	if m := c.sale.Order.Match.Methods; len(m) > 0 && !slices.Contains(m, "POST") {
		place.Method = m[0]
	}
	if !c.whole {
		return []crowd.Step{take, place}
	}
	return []crowd.Step{
		take,
		{Class: onward, Method: "GET", Path: "/checkout", Think: 200 * time.Millisecond},
		place,
		{Class: onward, Method: "GET", Path: "/pay?order={ref}", Think: 200 * time.Millisecond},
		{Class: onward, Method: "POST", Path: "/pay/callback", Body: "order={ref}", Think: time.Second, Elsewhere: true, Header: c.provider()},
		{Class: thanks, Method: "GET", Path: "/thanks?order={ref}", Think: 200 * time.Millisecond},
	}
}

// provider is how the payment provider is known, if a route says from where it calls.
func (c *script) provider() []string {
	for _, r := range c.routes {
		if r.Match.Path == "/pay/callback" && len(r.Match.From) > 0 {
			return []string{fmt.Sprintf("X-Forwarded-For: %s", r.Match.From[0].Addr().Next())}
		}
	}
	return nil
}

// visitors are the crowd: most look, many buy, some are in a hurry. They are the same
// for every item, by how many units it has.
func (c *script) visitors() []crowd.Visitor {
	look := crowd.Step{Class: page, Method: "GET", Path: c.page, Accept: "text/html,*/*;q=0.8", Think: time.Second}
	again := look
	again.Tail, again.Times = 2, 20
	items := map[string]int{"": 1}
	if c.sale.Stock != nil && c.sale.Item != nil {
		items = c.sale.Stock.Items
	}
	base := crowd.Visitor{Cookies: c.cookies, Header: c.header, OneShot: .2, Sharing: 3}
	looker := base
	looker.Name, looker.Weight, looker.Steps = "looker", 60, []crowd.Step{again}
	looker.Patience, looker.Leave, looker.Retries, looker.Obey = lookPatience, .05, 1, .5
	all := []crowd.Visitor{looker}
	sum := 0
	for _, n := range items {
		sum += max(n, 1)
	}
	for item, n := range items {
		share := float64(max(n, 1)) / float64(sum)
		buyer := base
		buyer.Name, buyer.Weight, buyer.Steps = "buyer", 25*share, c.purchase(item)
		buyer.Patience, buyer.Double, buyer.Retries, buyer.Obey = c.buying, .05, 2, .7
		hasty := buyer
		hasty.Name, hasty.Weight, hasty.Patience, hasty.Leave, hasty.Double, hasty.Retries, hasty.Obey = "hasty buyer", 5*share, lookPatience, .2, .3, 4, 0
		walker := buyer
		walker.Name, walker.Weight, walker.Steps = "looker who buys", 10*share, append([]crowd.Step{look}, c.purchase(item)...)
		all = append(all, buyer, hasty, walker)
	}
	slices.SortStableFunc(all, func(a, b crowd.Visitor) int { return strings.Compare(a.Name+a.Steps[0].Body, b.Name+b.Steps[0].Body) })
	return all
}
