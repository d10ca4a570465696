package main

// Where somebody stands with a sale, at this gateway, for operators and whoever they have to
// explain it to.

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"penstock/limiter/shared"
	"penstock/proxy/admin"
	"penstock/rules"
)

// standings implements admin.Standings.
type standings struct {
	cheats *cheats
	set    func() *rules.Set // in use
}

// Standing asks the ladder and the book of bans, and counts nothing.
func (o *standings) Standing(_ context.Context, sale, account, ip string) (admin.Standing, error) {
	s, address, err := o.find(sale, ip)
	if err != nil {
		return admin.Standing{}, err
	}
	out := admin.Standing{
		Sale: sale, Account: account, IP: ip, Rung: rules.RungPass.String(),
		Signals: []admin.Signal{}, Points: []admin.Points{}, Bans: []admin.Ban{},
	}
	for _, n := range o.cheats.book.List() {
		if n.Subject.Meets(account, address) {
			out.Bans = append(out.Bans, banOf(n))
		}
	}
	if s.Ladder == nil {
		return out, nil
	}
	out.Enforce = s.Enforce && s.Ladder.Enforce
	if account != "" && !shared.Sourced(account) {
		return admin.Standing{}, badRequest("%q does not say where the account is known from: write it as decisions do, such as c:%s", account, account)
	}
	st := o.cheats.ladder.Explain(s, account, address)
	out.Rung, out.Score = st.Rung.String(), st.Points
	if !st.Until.IsZero() {
		until := st.Until.UTC()
		out.Until = &until
	}
	for _, c := range st.Signals {
		out.Signals = append(out.Signals, admin.Signal{Signal: c.Signal.String(), Of: of(c.Signal), Count: c.Count, Rung: c.Rung.String()})
	}
	for _, p := range st.Reasons {
		out.Points = append(out.Points, admin.Points{Points: p.Points, Reason: p.Why})
	}
	return out, nil
}

// of says whom a signal is counted of.
func of(s rules.Signal) string {
	switch s {
	case rules.ByAccounts:
		return "address"
	case rules.ByNetwork:
		return "network"
	}
	return "account"
}

func (o *standings) find(sale, ip string) (s *rules.Sale, address netip.Addr, err error) {
	for _, one := range o.set().Sales {
		if one.Name == sale {
			s = one
		}
	}
	if s == nil {
		return nil, address, &admin.Problem{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no sale %q in the file", sale)}
	}
	if ip == "" {
		return s, address, nil
	}
	if address, err = netip.ParseAddr(ip); err != nil {
		return nil, address, badRequest("%q is not an address", ip)
	}
	return s, address.Unmap().WithZone(""), nil
}
