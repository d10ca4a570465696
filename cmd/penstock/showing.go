package main

// The stock's values in the words of the admin API.

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/admin"
	"penstock/proxy/gate"
	"penstock/rules"
)

// stateWords are the names of a ledger's states.
var stateWords = map[stock.State]string{stock.Open: "open", stock.Paused: "paused", stock.Closed: "closed"}

// saleOf is one sale as the store has it, and how that differs from the file.
func (o *office) saleOf(at subject, p stock.Picture) admin.Sale {
	s := admin.Sale{
		Name: at.name, Ledger: at.ledger, Loaded: p.Items != nil, Archived: p.Archived, Frozen: p.Freeze != 0,
		Oversold: p.Oversold, Items: []admin.Item{}, Differences: []string{},
	}
	if !s.Loaded {
		s.Differences = append(s.Differences, "the store does not know it")
		return s
	}
	s.State = stateWords[p.State]
	s.Terms = termsDTO(p.Terms)
	for _, name := range slices.Sorted(maps.Keys(p.Items)) {
		c := p.Items[name]
		s.Items = append(s.Items, admin.Item{
			Name: name, Loaded: c.Loaded, Free: c.Free, Reserved: c.Reserved, Sending: c.Sending, Held: c.Held, Sold: c.Sold,
			Withdrawn: c.Withdrawn, Latched: o.latched != nil && o.latched(at.ledger, name),
		})
	}
	if at.sale == nil {
		s.Differences = append(s.Differences, "it is not in the file")
		return s
	}
	s.Differences = append(s.Differences, unitsDiffer(p.Items, at.sale.Stock.Items)...)
	s.Differences = append(s.Differences, p.Terms.Differences(stock.TermsOf(at.sale))...)
	return s
}

// unitsDiffer says of which items the file has other numbers than the store sells.
func unitsDiffer(store map[string]stock.Counts, file map[string]int) (all []string) {
	names := maps.Clone(file)
	for name := range store {
		names[name] += 0
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c, known := store[name]
		want, listed := file[name]
		switch has := c.Loaded - c.Withdrawn; {
		case !known:
			all = append(all, fmt.Sprintf("item %q is not in the store, the file has %d units of it", name, want))
		case !listed && has > 0:
			all = append(all, fmt.Sprintf("item %q has %d units, the file does not list it", name, has))
		case listed && has != want:
			all = append(all, fmt.Sprintf("item %q has %d units, the file says %d", name, has, want))
		}
	}
	return all
}

func termsDTO(t stock.Terms) *admin.Terms {
	unknown := "keep"
	switch t.Unknown {
	case rules.Resolve:
		unknown = "resolve every " + t.UnknownAfter.String()
	case rules.Release:
		unknown = "release after " + t.UnknownAfter.String()
	}
	return &admin.Terms{
		Hash: t.Hash(), PerAccount: t.PerAccount, ReserveFor: t.ReserveFor.String(), SendingFor: t.SendingFor.String(),
		Unknown: unknown, Steps: t.Steps,
	}
}

func tokensOf(entries []stock.Entry) []admin.Token {
	all := make([]admin.Token, 0, len(entries))
	for _, e := range entries {
		all = append(all, tokenDTO(e))
	}
	return all
}

func tokenDTO(e stock.Entry) admin.Token {
	t := admin.Token{
		Token: hexOf(e.Token), By: hexOf(e.By), Stage: e.State.String(), Account: e.Account, Item: e.Item,
		Units: e.Units, Over: e.Over, Changed: e.Changed.UTC().Truncate(time.Millisecond), Ref: e.Ref,
	}
	if !e.Due.IsZero() {
		due := e.Due.UTC().Truncate(time.Millisecond)
		t.Due = &due
	}
	return t
}

// hexOf is "" for no token.
func hexOf(t gate.Token) string {
	if t == (gate.Token{}) {
		return ""
	}
	return hex.EncodeToString(t[:])
}

func stageText(e stock.Entry) string {
	if e.State == stock.Cancelled {
		return "given back: its units are free"
	}
	return e.State.String()
}

func reportOf(found stock.Report, q stock.Inquiry) admin.Report {
	r := admin.Report{
		Tokens: found.Tokens, Moving: found.Moving, Faults: append([]string{}, found.Faults...), Matched: found.Matched,
		Differences: make([]admin.Difference, 0, len(found.Differences)), Sell: []admin.Token{}, Free: tokensOf(found.Plan.Free),
		NoFree: found.Plan.NoFree, Failed: []string{},
	}
	if q.Orders != nil {
		r.Orders = len(q.Orders.List)
	}
	for _, d := range found.Differences {
		r.Differences = append(r.Differences, differenceDTO(d))
	}
	for _, s := range found.Plan.Sell {
		t := tokenDTO(s.Entry)
		if s.Ref != "" {
			t.Ref = s.Ref
		}
		r.Sell = append(r.Sell, t)
	}
	return r
}

func differenceDTO(d stock.Difference) admin.Difference {
	to := admin.Difference{
		Kind: string(d.Kind), Text: d.String(), Line: d.Order.Line, Token: hexOf(d.Entry.Token), Ref: d.Order.Ref,
		Account: d.Entry.Account, Stage: d.Stage(),
	}
	if to.Token == "" {
		to.Token, to.Account = d.Order.Text, d.Order.Account
	}
	if to.Ref == "" {
		to.Ref = d.Entry.Ref
	}
	return to
}
