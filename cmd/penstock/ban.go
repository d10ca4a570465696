package main

// Bans by hand: what the admin API asks for, done in the book of bans, and the commands
// `penstock ban …` that ask it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"penstock/limiter/shared"
	"penstock/proxy/admin"
)

// forEver is how a ban without an end is asked for: leaving the end out would be too easy.
const forEver = "ever"

// banOffice implements admin.Bans.
type banOffice struct{ book *shared.Book }

// Bans shows all that are in force.
func (o *banOffice) Bans(context.Context) ([]admin.Ban, error) {
	var all []admin.Ban
	for _, n := range o.book.List() {
		all = append(all, banOf(n))
	}
	return all, nil
}

// banOf is a note in the API's words.
func banOf(n shared.Note) admin.Ban {
	b := admin.Ban{Subject: n.Subject.String(), At: n.At.UTC(), By: n.By, Why: n.Why, Signal: n.Signal.String()}
	if !n.Until.IsZero() {
		until := n.Until.UTC()
		b.Until = &until
	}
	return b
}

// AddBan takes the place of a ban that the subject has already.
func (o *banOffice) AddBan(ctx context.Context, c admin.BanCommand) (admin.BanDone, error) {
	s, err := subjectOf(c)
	if err != nil {
		return admin.BanDone{}, err
	}
	until, err := banEnd(c, time.Now())
	if err != nil {
		return admin.BanDone{}, err
	}
	n, err := o.book.Add(ctx, shared.Note{Subject: s, Until: until, By: c.By, Why: c.Why})
	if errors.Is(err, shared.ErrFull) {
		return admin.BanDone{}, &admin.Problem{Status: http.StatusConflict, Text: fmt.Sprintf("there are %d bans, and room for no more: lift some, or list networks in a file", shared.MostNotes)}
	}
	if err != nil {
		return admin.BanDone{}, err
	}
	b := banOf(n)
	return admin.BanDone{What: fmt.Sprintf("%s is banned %s", b.Subject, banUntil(b.Until)), Ban: &b}, nil
}

// RemoveBan lifts a ban, also one that a gateway has made by itself.
func (o *banOffice) RemoveBan(ctx context.Context, c admin.BanCommand) (admin.BanDone, error) {
	s, err := subjectOf(c)
	if err != nil {
		return admin.BanDone{}, err
	}
	if c.For != "" || c.Until != nil {
		return admin.BanDone{}, badRequest("a ban is lifted now, or not")
	}
	was, found, err := o.book.Remove(ctx, s, c.By, c.Why)
	if err != nil {
		return admin.BanDone{}, err
	}
	if !found {
		return admin.BanDone{}, &admin.Problem{Status: http.StatusNotFound, Text: fmt.Sprintf("%s is not banned by that name: see `penstock ban list`", s)}
	}
	b := banOf(was)
	return admin.BanDone{What: fmt.Sprintf("%s is not banned any more", b.Subject), Ban: &b}, nil
}

func subjectOf(c admin.BanCommand) (shared.Subject, error) {
	s, err := shared.ParseSubject(c.Subject)
	if err != nil {
		return s, badRequest("%q cannot be banned: %v", c.Subject, err)
	}
	return s, nil
}

// banEnd is zero for a ban that has none.
func banEnd(c admin.BanCommand, now time.Time) (time.Time, error) {
	switch {
	case (c.For == "") == (c.Until == nil):
		return time.Time{}, badRequest(`for how long? want one of "for" ("24h" or %q) and "until"`, forEver)
	case c.For == forEver:
		return time.Time{}, nil
	case c.For != "":
		d, err := time.ParseDuration(c.For)
		if err != nil || d <= 0 {
			return time.Time{}, badRequest("%q is not a time like 24h, and not %q", c.For, forEver)
		}
		return now.Add(d), nil
	case !c.Until.After(now):
		return time.Time{}, badRequest("%s is over", c.Until.Format(time.RFC3339))
	}
	return *c.Until, nil
}

func banUntil(until *time.Time) string {
	if until == nil {
		return "for ever"
	}
	return "until " + until.Format(time.RFC3339)
}

// bans does one of the commands.
func (c *client) bans(ctx context.Context, v *verb, o *options, out io.Writer) error {
	switch v.name {
	case "list":
		return c.listBans(ctx, o, out)
	case "why":
		return c.standing(ctx, o, out)
	}
	var done admin.BanDone
	command := admin.BanCommand{By: o.command.By, Why: o.command.Why, Subject: o.sale, For: o.banFor}
	if err := c.ask(ctx, http.MethodPost, "/bans/"+v.name, command, &done); err != nil {
		return err
	}
	if o.json {
		return printJSON(out, done)
	}
	fmt.Fprintln(out, plain(done.What))
	return nil
}

func (c *client) listBans(ctx context.Context, o *options, out io.Writer) error {
	var all struct {
		Bans []admin.Ban `json:"bans"`
	}
	if err := c.ask(ctx, http.MethodGet, "/bans", nil, &all); err != nil {
		return err
	}
	if o.json {
		return printJSON(out, all)
	}
	printBans(out, all.Bans)
	return nil
}

func printBans(out io.Writer, bans []admin.Ban) {
	rows := [][]any{{"BANNED", "UNTIL", "SINCE", "SIGNAL", "BY", "WHY"}}
	for _, b := range bans {
		rows = append(rows, []any{b.Subject, strings.TrimPrefix(banUntil(b.Until), "until "), b.At.Format(time.RFC3339), b.Signal, b.By, b.Why})
	}
	table(out, rows...)
}

func (c *client) standing(ctx context.Context, o *options, out io.Writer) error {
	q := url.Values{}
	for key, value := range map[string]string{"account": o.account, "ip": o.ip} {
		if value != "" {
			q.Set(key, value)
		}
	}
	var s admin.Standing
	if err := c.ask(ctx, http.MethodGet, at(o.sale, "standing?"+q.Encode()), nil, &s); err != nil {
		return err
	}
	if o.json {
		return printJSON(out, s)
	}
	printStanding(out, &s)
	return nil
}

func printStanding(out io.Writer, s *admin.Standing) {
	who := strings.TrimSpace(s.Account + " " + s.IP)
	line := fmt.Sprintf("%s stands at %s in sale %s", plain(who), s.Rung, plain(s.Sale))
	if s.Until != nil {
		line += " " + banUntil(s.Until)
	}
	if !s.Enforce {
		line += "; that is only counted, and changes nothing"
	}
	fmt.Fprintln(out, line)
	if len(s.Signals) > 0 {
		rows := [][]any{{"SIGNAL", "OF", "COUNT", "RUNG", "UNTIL"}}
		for _, n := range s.Signals {
			until := ""
			if n.Until != nil {
				until = n.Until.Format(time.RFC3339)
			}
			rows = append(rows, []any{n.Signal, n.Of, n.Count, n.Rung, until})
		}
		table(out, rows...)
	}
	if len(s.Points) > 0 {
		rows := [][]any{{"POINTS", "BECAUSE"}}
		for _, p := range s.Points {
			rows = append(rows, []any{p.Points, p.Reason})
		}
		table(out, append(rows, []any{s.Score, "in all"})...)
	}
	if len(s.Bans) > 0 {
		printBans(out, s.Bans)
	}
}
