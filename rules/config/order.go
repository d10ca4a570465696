package config

// What a sale says about orders: the later request that places one, what the shop
// calls it, and what becomes of units whose order may or may not exist.

import (
	"errors"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"penstock/rules"
)

// oftenest is how often a shop is asked about one order at most.
const oftenest = time.Second

// orderStep reads the later request that places the order. What becomes of orders
// without a reservation must be said: either answer hurts somebody.
func orderStep(sale value, s *rules.Sale) *rules.OrderStep {
	v := sale.at("order")
	if v.given && !sale.at("stock").given {
		v.fault(noUnit)
	}
	if v.node == nil {
		return nil
	}
	o := &rules.OrderStep{Match: match(v.at("match"))}
	if without := v.at("without"); without.require("without: refuse, or forward to let orders without a reservation pass") {
		o.ForwardWithout = without.choice("refuse", "forward") == 1
	}
	if meet(&o.Match, &s.Match) {
		v.at("match").fault(sameStep)
	}
	return o
}

// orderRef reads where the shop's answer names the order.
func orderRef(sale value) *rules.OrderRef {
	v := sale.at("order_ref")
	if v.given && !sale.at("stock").given {
		v.fault(noUnit)
	}
	at, ok := v.oneOf("location", "body", "header")
	if v.at("value").given && !v.at("header").given {
		v.at("value").fault(valueAlone)
	}
	if !ok {
		return nil
	}
	ref := &rules.OrderRef{}
	switch at.key.name {
	case "location":
		ref.Location = at.expression()
	case "body":
		ref.Body = at.expression()
	case "header":
		ref.Name = at.token()
		if value := v.at("value"); value.require(`value: '.+'`) {
			ref.Header = value.expression()
		}
	}
	return ref
}

// expression reads a regular expression.
func (v value) expression() *regexp.Regexp {
	s := v.text()
	if s == "" {
		return nil
	}
	expr, err := regexp.Compile(s)
	if err != nil {
		why := err.Error()
		if e := (*syntax.Error)(nil); errors.As(err, &e) {
			why = e.Code.String() + ": " + e.Expr
		}
		v.fault(notExpression, s, why)
	}
	return expr
}

// unknownRule reads what becomes of a unit whose order may or may not exist. Before an
// answer can no longer come nothing is released: that would not be a risk but a certainty.
func unknownRule(v value, st *rules.Stock) {
	if v.node == nil {
		return
	}
	if v.node.Kind == yaml.ScalarNode {
		if word := v.text(); word != "keep" && word != "" {
			v.fault(notChoice, word, "keep, {resolve: {url: ...}}, {release_after: 30m}")
		}
		return
	}
	resolve, release := v.at("resolve"), v.at("release_after")
	v.oneOf("resolve", "release_after")
	if resolve.node != nil {
		st.Unknown, st.UnknownAfter = rules.Resolve, resolve.at("every").duration(oftenest)
		st.Resolver = &rules.Resolver{Timeout: resolve.at("timeout").duration(shortest)}
		if url := resolve.at("url"); url.require(`"http://shop.example/orders?token={token}"`) {
			st.Resolver.URL = url.resolver()
		}
	}
	if release.node == nil {
		return
	}
	st.Unknown, st.UnknownAfter = rules.Release, release.duration(shortest)
	if after := st.UnknownAfter; after > 0 && after < st.SendingFor {
		release.fault(tooShort, spell(after), "origin.timeout.connect + 3 x response + idle_body", spell(st.SendingFor))
	}
}

// placeholders are filled in for each order.
var placeholders = strings.NewReplacer("{token}", "0", "{ref}", "0")

// resolverForm keeps placeholders out of the host: whom to ask is not for an order to say.
var resolverForm = regexp.MustCompile(`^https?://[A-Za-z0-9._:\[\]-]+[/?][!"$-~]*$`)

// resolver reads the address at which the shop tells what became of an order.
func (v value) resolver() string {
	return one(v, notResolver, func(s string) (string, bool) {
		filled := placeholders.Replace(s)
		_, err := url.Parse(filled)
		return s, err == nil && filled != s && resolverForm.MatchString(s) && !strings.ContainsAny(filled, "{}")
	})
}
