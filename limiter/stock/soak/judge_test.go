package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// The judge: what the shop has taken, held against what the store says.

// bound is how long anything may take that must come to be. It is far more than it takes.
const bound = 20 * time.Second

// watch holds that units are neither made nor lost, at every instant.
func (w *world) watch(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(20 * time.Millisecond):
		}
		p, err := w.look()
		if err != nil {
			continue
		}
		w.tally.Count("instants looked at", 1)
		for item, c := range p.Items {
			if sum := c.Free + c.Reserved + c.Sending + c.Held + c.Sold + c.Withdrawn; sum != c.Loaded {
				w.Errorf("seed %d: item %q does not add up: %+v", w.seed, item, c)
			}
		}
	}
}

func (w *world) look() (stock.Picture, error) {
	p, err := w.site.watcher(w).Pulse(context.Background(), ledger)
	if err != nil {
		return stock.Picture{}, err
	}
	return p[0], nil
}

// judge waits until nothing is wrong any more.
func (w *world) judge(when string) bool {
	var wrong []string
	for end := time.Now().Add(bound); time.Now().Before(end); <-time.After(30 * time.Millisecond) {
		w.operate()
		if wrong = w.wrong(); len(wrong) == 0 {
			return true
		}
	}
	for i, what := range wrong {
		if i < 12 {
			w.Errorf("seed %d, %s: %s", w.seed, when, what)
		}
	}
	return false
}

// operate is what operators do: a freeze that waits for a gateway that will never come
// again is ended by them.
func (w *world) operate() {
	p, err := w.look()
	if err != nil || p.Freeze == 0 || !w.crashes() {
		return
	}
	if w.thawAt.IsZero() {
		w.thawAt = time.Now().Add(stock.ThawAfter + time.Second) // so that the living have told
	}
	if time.Now().After(w.thawAt) {
		w.tally.Count("thawed by an operator", 1)
		w.site.watcher(w).Thaw(context.Background(), ledger)
	}
}

// wrong is all that is not as it should be.
func (w *world) wrong() (wrong []string) {
	say := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	ctx := context.Background()
	desk := stock.NewDesk(w.site.watcher(w))
	report, err := desk.Audit(ctx, stock.Inquiry{Ledger: ledger, Now: time.Now()})
	if err != nil {
		return []string{err.Error()}
	}
	p := report.Picture
	for _, f := range report.Faults {
		say("audit: %s", f)
	}
	if p.Freeze != 0 {
		say("the ledger is frozen")
	}
	for item, c := range p.Items {
		if c.Pending() != 0 || w.rule != rules.Keep && c.Held != 0 {
			say("stranded units of %q: %+v", item, c)
		}
	}
	if p.Oversold != 0 && w.rule != rules.Release {
		say("%d units are oversold", p.Oversold)
	}
	entries, err := w.entries()
	if err != nil {
		return append(wrong, err.Error())
	}
	orders, _, repeated := w.origin.list()
	for _, t := range repeated {
		say("token %x was sent again after it was sold: %+v", t, entries[t])
	}
	w.compare(say, p, entries, orders)
	return wrong
}

func (w *world) entries() (map[gate.Token]stock.Entry, error) {
	all := make(map[gate.Token]stock.Entry)
	desk := stock.NewDesk(w.site.watcher(w))
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := desk.Find(context.Background(), stock.Search{Ledger: ledger, All: true, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		cursor = next
		for _, e := range page {
			all[e.Token] = e
		}
	}
	return all, nil
}

type sayer func(format string, a ...any)

// compare: the shop's orders are the sold tokens, but for those that nobody can know of.
func (w *world) compare(say sayer, p stock.Picture, entries map[gate.Token]stock.Entry, orders map[gate.Token]order) {
	units, bought := make(map[string]int), make(map[string]int)
	for t, ord := range orders {
		units[ord.item] += ord.units
		bought[ord.account] += ord.units
		e := entries[t]
		switch {
		case w.rule == rules.Release:
		case e.State != stock.Sold && e.State != stock.Held:
			say("the shop has an order for token %x, which is %q: %+v", t, e.State, w.fate(t))
		case e.Item != ord.item || e.Account != ord.account || e.Units != ord.units:
			say("the order of token %x is %+v here, %+v in the shop, its end %+v", t, e, ord, w.fate(t).end)
		}
	}
	for item, n := range units {
		if c := p.Items[item]; n > c.Loaded-c.Withdrawn && w.rule != rules.Release {
			say("OVERSOLD: %d of %q, loaded %d", n, item, c.Loaded-c.Withdrawn)
		}
	}
	for account, n := range bought {
		if n > p.Terms.PerAccount && w.rule != rules.Release {
			say("account %s has bought %d", account, n)
		}
	}
	for t, e := range entries {
		_, ordered := orders[t]
		f := w.fate(t)
		switch {
		case e.State == stock.Sold && !ordered:
			say("token %x is sold without an order: %+v", t, f)
		case e.State == stock.Held && !f.tried:
			say("token %x is held and was never started", t)
		case e.State == stock.Held && w.known(&f):
			say("token %x is held, and its gateway knows better: %+v ended %+v", t, e, f.end)
		}
	}
}

// known: a gateway that lives was told how the order ended.
func (w *world) known(f *fate) bool {
	if !f.ended || f.by == nil || f.by.dead.Load() || w.site.lost() {
		return false
	}
	switch f.end.Kind {
	case gate.Unsent:
		return true
	case gate.Answered:
		return f.end.Outcome != rules.OutcomeUnknown
	}
	return false
}

// drain buys all that is left: no unit may be free and not to be had.
func (w *world) drain() bool {
	r := rand.New(rand.NewPCG(w.seed, 99))
	left := "nothing could be seen"
	n := 0
	for end := time.Now().Add(bound); time.Now().Before(end); {
		p, err := w.look()
		if err != nil {
			continue
		}
		free := 0
		for item, c := range p.Items {
			for range min(c.Free, 8) {
				n++
				f := gate.Facts{Account: fmt.Sprintf("d:%d", n), Item: item, Units: 1}
				if w.send(0, r, f) && w.steps {
					w.send(0, r, gate.Facts{Account: f.Account, Order: true})
				}
			}
			free += c.Free + c.Pending()
			if w.rule != rules.Keep {
				free += c.Held
			}
		}
		if left = fmt.Sprintf("%+v", p.Items); free == 0 {
			return true
		}
	}
	w.Errorf("seed %d: units are left that nobody can buy: %s", w.seed, left)
	return false
}

// latched: once sold out, every gateway says so from memory.
func (w *world) latched() {
	for place := range w.slots {
		g := w.slots[place].Load()
		for end := time.Now().Add(bound); !g.stock.Latched(ledger, "red") || !g.stock.Latched(ledger, "blue"); {
			if time.Now().After(end) {
				w.Errorf("seed %d: gateway %d does not latch", w.seed, place)
				return
			}
			w.send(place, rand.New(rand.NewPCG(1, 1)), gate.Facts{Account: "nobody", Item: "red", Units: 1})
			w.send(place, rand.New(rand.NewPCG(1, 1)), gate.Facts{Account: "nobody", Item: "blue", Units: 1})
			<-time.After(5 * time.Millisecond)
		}
		before := w.decides.Load()
		for n := range 100 {
			w.send(place, rand.New(rand.NewPCG(1, 1)), gate.Facts{Account: fmt.Sprintf("n:%d", n), Item: "red", Units: 1})
		}
		if n := w.decides.Load() - before; n != 0 {
			w.Errorf("seed %d: a latched gateway made %d decisions", w.seed, n)
		}
	}
}
