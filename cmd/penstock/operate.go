package main

// What the admin API asks for, done at the stock's desk: names of sales become ledgers,
// the desk's findings become the API's words, and its errors get their HTTP status.

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/admin"
	"penstock/proxy/gate"
	"penstock/rules"
)

// office implements admin.Sales.
type office struct {
	desk    *stock.Desk
	set     func() *rules.Set              // in use
	latched func(ledger, item string) bool // whether this gateway refuses from memory; nil: not known
}

// adminOptions are what the operators' listener serves.
func (g *gateway) adminOptions(upgrade admin.Upgrade) admin.Options {
	set := g.set.Load()
	o := admin.Options{
		Listen: set.Admin.Listen, Token: set.Admin.Token, Registry: g.registry, Ready: g.isReady, Changed: logChange(g.log),
		Forwarders: func() (all []admin.Forwarder) {
			for _, f := range g.proxy.Forwarders() {
				all = append(all, admin.Forwarder{Peer: f.Peer.String(), Last: f.Last})
			}
			return all
		},
		Upgrade: upgrade, Bans: &banOffice{g.cheats.book}, Standings: &standings{g.cheats, g.set.Load},
	}
	if g.store != nil {
		o.Sales = &office{desk: stock.NewDesk(g.store), set: g.set.Load, latched: g.stock.Latched}
	}
	return o
}

// logChange writes down who changed what, and why.
func logChange(log *slog.Logger) func(admin.Change) {
	return func(c admin.Change) {
		level, note := slog.LevelInfo, "changed by hand"
		attrs := []any{"by", c.By, "why", c.Why, "sale", c.Sale, "action", c.Action, "what", c.What}
		if c.Err != nil {
			level, note = slog.LevelWarn, "change by hand failed"
			attrs = append(attrs, "err", c.Err)
		}
		log.Log(context.Background(), level, note, attrs...)
	}
}

// subject is what a name in the API stands for: a sale of the file, or a ledger that is
// not in the file any more.
type subject struct {
	name, ledger string
	sale         *rules.Sale // nil: not in the file
}

func (o *office) find(name string) (subject, error) {
	for _, s := range o.set().Sales {
		switch {
		case s.Name != name:
		case s.Stock == nil:
			return subject{}, &admin.Problem{Status: http.StatusNotFound, Text: fmt.Sprintf("sale %q has no stock", name)}
		default:
			return subject{name, s.Stock.Ledger, s}, nil
		}
	}
	return subject{name: name, ledger: name}, nil
}

// Sales shows the sales of the file.
func (o *office) Sales(ctx context.Context) ([]admin.Sale, error) {
	var subjects []subject
	var ledgers []string
	for _, s := range o.set().Sales {
		if s.Stock != nil {
			subjects = append(subjects, subject{s.Name, s.Stock.Ledger, s})
			ledgers = append(ledgers, s.Stock.Ledger)
		}
	}
	pictures, err := o.desk.Show(ctx, ledgers...)
	if err != nil {
		return nil, err
	}
	all := make([]admin.Sale, 0, len(subjects))
	for i := range subjects {
		all = append(all, o.saleOf(subjects[i], pictures[i]))
	}
	return all, nil
}

// Tokens finds tokens of a sale.
func (o *office) Tokens(ctx context.Context, sale string, s admin.Search) (admin.Page, error) {
	at, err := o.find(sale)
	if err != nil {
		return admin.Page{}, err
	}
	cursor, err := base64.RawURLEncoding.DecodeString(s.Cursor) // a store's cursor may be any bytes
	if err != nil {
		return admin.Page{}, badRequest("%q is not a cursor", s.Cursor)
	}
	search := stock.Search{Ledger: at.ledger, Ref: s.Ref, Account: s.Account, Cursor: string(cursor)}
	if s.Token != "" {
		if search.Token, err = tokenOf(s.Token); err != nil {
			return admin.Page{}, err
		}
	}
	stages := map[string]stock.Stage{"reserved": stock.Reserved, "sending": stock.Sending, "held": stock.Held, "sold": stock.Sold}
	switch stage, ok := stages[s.Stage]; {
	case ok:
		search.Stage = stage
	case s.Stage == "all":
		search.All = true
	case s.Stage != "":
		return admin.Page{}, badRequest("%q is not a stage: want reserved, sending, held, sold or all", s.Stage)
	}
	found, next, err := o.desk.Find(ctx, search)
	if err != nil {
		return admin.Page{}, problem(at, err)
	}
	return admin.Page{Tokens: tokensOf(found), Next: base64.RawURLEncoding.EncodeToString([]byte(next))}, nil
}

// Do does one action and answers with the sale as it is then.
func (o *office) Do(ctx context.Context, sale, action string, c admin.Command) (admin.Done, error) {
	at, err := o.find(sale)
	if err != nil {
		return admin.Done{}, err
	}
	done, err := o.act(ctx, at, action, c)
	if err != nil {
		return admin.Done{}, problem(at, err)
	}
	if p, err := o.desk.Show(ctx, at.ledger); err == nil { // the change is done; that it cannot be shown is no trouble of it
		s := o.saleOf(at, p[0])
		done.Sale = &s
	}
	return done, nil
}

func (o *office) act(ctx context.Context, at subject, action string, c admin.Command) (admin.Done, error) {
	switch action {
	case "pause":
		return admin.Done{What: "paused"}, o.desk.SetState(ctx, at.ledger, stock.Paused)
	case "close":
		return admin.Done{What: "closed"}, o.desk.SetState(ctx, at.ledger, stock.Closed)
	case "resume", "open":
		return admin.Done{What: "opened"}, o.desk.SetState(ctx, at.ledger, stock.Open)
	case "archive":
		return admin.Done{What: "archived"}, o.desk.Archive(ctx, at.ledger)
	case "thaw":
		return admin.Done{What: "thawed"}, o.desk.Thaw(ctx, at.ledger)
	case "load":
		return o.load(ctx, at)
	case "add", "withdraw":
		return o.adjust(ctx, at, action, c)
	case "commit", "release":
		return o.settle(ctx, at, action, c)
	}
	return admin.Done{}, badRequest("there is no action %q", action)
}

func (o *office) load(ctx context.Context, at subject) (admin.Done, error) {
	if at.sale == nil {
		return admin.Done{}, &admin.Problem{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no sale %q in the file, so nobody knows what to load", at.name)}
	}
	p, fresh, err := o.desk.Load(ctx, stock.Loading{Ledger: at.ledger, Items: at.sale.Stock.Items, Terms: stock.TermsOf(at.sale)})
	switch {
	case err != nil:
		return admin.Done{}, err
	case !fresh:
		return admin.Done{What: "was loaded already: its units are as they were, its terms are the file's now"}, nil
	case p.Freeze != 0:
		return admin.Done{What: "loaded, and frozen until every gateway has told what it knows of it"}, nil
	}
	return admin.Done{What: "loaded"}, nil
}

// adjust adds or withdraws. An item that neither the file nor the store has is a slip.
func (o *office) adjust(ctx context.Context, at subject, action string, c admin.Command) (admin.Done, error) {
	if c.Units < 1 {
		return admin.Done{}, badRequest("%d units: want at least 1", c.Units)
	}
	var token gate.Token
	rand.Read(token[:])
	if c.Token != "" {
		var err error
		if token, err = tokenOf(c.Token); err != nil {
			return admin.Done{}, err
		}
	}
	p, err := o.desk.Show(ctx, at.ledger)
	if err != nil {
		return admin.Done{}, err
	}
	_, known := p[0].Items[c.Item]
	if !known && at.sale != nil {
		_, known = at.sale.Stock.Items[c.Item]
	}
	if !known && p[0].Items != nil {
		return admin.Done{}, badRequest("neither the store nor the file has an item %q", c.Item)
	}
	verb, done := o.desk.Add, "added %d units of item %q: %d are free now"
	if action == "withdraw" {
		verb, done = o.desk.Withdraw, "withdrew %d units of item %q: %d are free now"
	}
	counts, err := verb(ctx, at.ledger, token, c.Item, c.Units)
	return admin.Done{What: fmt.Sprintf(done, c.Units, c.Item, counts.Free)}, err
}

func (o *office) settle(ctx context.Context, at subject, action string, c admin.Command) (admin.Done, error) {
	token, err := tokenOf(c.Token)
	if err != nil {
		return admin.Done{}, err
	}
	var e stock.Entry
	over := ""
	if action == "commit" {
		e, err = o.desk.Commit(ctx, at.ledger, token, c.Ref)
		if errors.Is(err, stock.ErrOversold) {
			over, err = fmt.Sprintf("; %d of its units were not there any more and are oversold", e.Over), nil
		}
	} else {
		e, err = o.desk.Release(ctx, at.ledger, token)
	}
	if err != nil {
		return admin.Done{}, err
	}
	t := tokenDTO(e)
	return admin.Done{What: fmt.Sprintf("token %s is %s%s", t.Token, stageText(e), over), Token: &t}, nil
}

// Audit compares, and settles what it planned if it shall.
func (o *office) Audit(ctx context.Context, sale string, c admin.Command, settled func(string, error)) (admin.Report, error) {
	at, err := o.find(sale)
	if err != nil {
		return admin.Report{}, err
	}
	q, err := inquiryOf(at.ledger, c)
	if err != nil {
		return admin.Report{}, err
	}
	found, err := o.desk.Audit(ctx, q)
	if err != nil {
		return admin.Report{}, problem(at, err)
	}
	r := reportOf(found, q)
	r.Sale = o.saleOf(at, found.Picture)
	if c.Apply {
		r.Applied = true
		o.desk.Apply(ctx, at.ledger, found.Plan, func(s stock.Settled) {
			what := fmt.Sprintf("held token %x of account %q: %s, ref %q", s.Entry.Token, s.Entry.Account, s.Outcome, s.Ref)
			if settled(what, s.Err); s.Err != nil {
				r.Failed = append(r.Failed, what+": "+s.Err.Error())
				return
			}
			r.Settled++
		})
	}
	return r, nil
}

func inquiryOf(ledger string, c admin.Command) (q stock.Inquiry, err error) {
	q = stock.Inquiry{Ledger: ledger, Now: time.Now()}
	for text, d := range map[*string]*time.Duration{&c.Window: &q.Window, &c.FreeMissing: &q.FreeMissing} {
		if *text == "" {
			continue
		}
		if *d, err = time.ParseDuration(*text); err != nil || *d <= 0 {
			return q, badRequest("%q is not a time like 10m", *text)
		}
	}
	if c.Orders != "" {
		o, err := stock.ReadOrders([]byte(c.Orders))
		if err != nil {
			return q, badRequest("%v", err)
		}
		q.Orders = &o
	}
	if q.Orders == nil && (c.Apply || q.FreeMissing > 0) {
		return q, badRequest("settling needs the shop's list of orders")
	}
	return q, nil
}

func tokenOf(s string) (gate.Token, error) {
	t, ok := stock.ParseToken(s)
	if !ok {
		return t, badRequest("%q is not a token: want 32 hexadecimal digits", s)
	}
	return t, nil
}

func badRequest(format string, args ...any) error {
	return &admin.Problem{Status: http.StatusBadRequest, Text: fmt.Sprintf(format, args...)}
}

// problem gives the desk's refusals their status. Anything else is trouble.
func problem(at subject, err error) error {
	conflict := func(next string) error {
		return &admin.Problem{Status: http.StatusConflict, Text: fmt.Sprintf("sale %q: %v%s", at.name, err, next)}
	}
	switch {
	case errors.Is(err, stock.ErrNoToken), errors.Is(err, stock.ErrNotLoaded) && at.sale == nil:
		return &admin.Problem{Status: http.StatusNotFound, Text: fmt.Sprintf("sale %q: %v", at.name, err)}
	case errors.Is(err, stock.ErrNotLoaded):
		return conflict(": see `penstock stock load`")
	case errors.Is(err, stock.ErrOpenTokens):
		return conflict(": settle them first, see `penstock stock reservations`")
	case errors.Is(err, stock.ErrFrozen):
		return conflict(": see `penstock stock thaw`")
	case errors.Is(err, stock.ErrSold), errors.Is(err, stock.ErrTooFew), errors.Is(err, stock.ErrSending):
		return conflict("")
	}
	return err
}
