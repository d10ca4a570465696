package rehearse

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"penstock/cmd/penstock/rehearse/cheats"
	"penstock/cmd/penstock/rehearse/crowd"
)

// A rehearsal of who gets the units: a labelled crowd comes to the sale, once with what
// the file has against cheats and once without.

// cheatsLead is how long before the opening the run begins: long enough for a page to be
// looked at before it is bought from.
const cheatsLead = 10 * time.Second

// Trial is what became of a labelled crowd.
type Trial struct {
	Changes []string          // what was played otherwise than the file says
	With    *cheats.Judgement // with what the file has
	Without *cheats.Judgement // nil: the file has nothing that could be left out
	Late    time.Duration     // p99 of our own lag, the worse of both: much of it, and the figures are not the crowd's
	Failed  int64             // requests without an answer
}

// Table is who was refused and who got what, for people to read.
func (t *Trial) Table() string { return cheats.Table(t.With, t.Without) }

// Faults are what is wanted of a gateway and was not reached; there must be a Without.
func (t *Trial) Faults() []string { return cheats.Faults(t.With, t.Without) }

// Cheats plays a labelled crowd of o.People.
func Cheats(ctx context.Context, o Options) (*Trial, error) {
	t := &Trial{}
	for _, bare := range []bool{false, true} {
		p := &play{Options: o}
		j, err := p.trial(ctx, t, bare)
		for i := len(p.ends) - 1; i >= 0; i-- {
			p.ends[i]()
		}
		switch {
		case err != nil:
			return nil, err
		case bare:
			t.Without = j
		default:
			t.With = j
		}
		if s := p.sale; s.Challenge == nil && s.Ladder == nil {
			break
		}
	}
	return t, nil
}

// trial is one of the two runs.
func (p *play) trial(ctx context.Context, t *Trial, bare bool) (*cheats.Judgement, error) {
	if err := p.read(ctx); err != nil {
		return nil, err
	}
	switch {
	case p.Gateway != "start":
		return nil, misuse("cheats need a gateway that is started for them: leave out -gateway")
	case p.People < 10:
		return nil, misuse("-people %d: want at least 10", p.People)
	case p.sale.Item != nil:
		return nil, misuse("cheats come to sales of one item: sale %s has several", p.sale.Name)
	case p.sale.Stock == nil:
		return nil, misuse("sale %s has no stock", p.sale.Name)
	}
	c := cheats.Draw(p.Seed, p.People)
	for item := range p.sale.Stock.Items {
		p.sale.Stock.Items[item] = c.Units // what the shop is started with
	}
	for _, act := range []func(context.Context) error{p.find, p.connect, func(ctx context.Context) error { return p.openFor(ctx, c, bare) }} {
		if err := act(ctx); err != nil {
			return nil, err
		}
	}
	if !bare {
		t.Changes = p.result.Changes
	}
	return p.receive(ctx, t, c)
}

// openFor starts the gateway for a labelled crowd. The time of opening is in p.opens.
func (p *play) openFor(ctx context.Context, c *cheats.Crowd, bare bool) error {
	key := "sales/" + p.sale.Name + "/"
	p.before = cheatsLead
	p.adjust = func(f *copyOf) {
		if p.sale.Opens.IsZero() { // there must be a moment to wait for
			f.opens = time.Now().Add(curtain + cheatsLead + time.Second).Truncate(time.Second)
			f.set(key+"opens", strconv.Quote(f.opens.Format(time.RFC3339)), "It opens when the crowd comes, at "+f.opens.Format(time.TimeOnly)+".")
		}
		f.set(key+"stock/units", strconv.Itoa(c.Units), "It sells "+strconv.Itoa(c.Units)+" units, to "+strconv.Itoa(p.People)+" people and their cheats.")
		f.set(key+"require", "", "Terms of taking part are not asked: nobody in the crowd could meet them.")
		if bare {
			for _, k := range []string{"ladder", "challenge", "behaviour"} {
				f.set(key+k, "", "")
			}
		}
		p.opens = f.opens
	}
	return p.open(ctx)
}

// receive lets the crowd come.
func (p *play) receive(ctx context.Context, t *Trial, c *cheats.Crowd) (*cheats.Judgement, error) {
	s, err := newScript(p.set, p.sale, p.Page, false)
	if err != nil {
		return nil, &Misuse{err}
	}
	host := p.sale.Match.Host
	if host == "" {
		host = p.gateway.host
	}
	k, err := crowd.New(crowd.Plan{
		Target: p.gateway.address, Host: host, Seed: p.Seed, Names: "n", Visitors: []crowd.Visitor{s.guest()},
		Phases:      []crowd.Phase{{Name: "before", For: cheatsLead}, {Name: "sale", For: p.For}},
		Connections: 8192, Grace: s.buying,
	})
	if err != nil {
		return nil, &Misuse{err}
	}
	r, bench := cheats.NewResult(c), &sync.Mutex{}
	var guests []crowd.Guest
	for _, a := range c.Agents {
		x := &actor{Agent: a, time: stageTime{lead: cheatsLead, ends: cheatsLead + p.For}, result: r, bench: bench}
		guests = append(guests, x.guest(0))
	}
	if err := pause(ctx, time.Until(p.opens.Add(-cheatsLead))); err != nil {
		return nil, err
	}
	p.say("%d accounts come …", len(c.Agents))
	tally := k.Entertain(ctx, guests, nil)
	if ctx.Err() != nil {
		return nil, errors.New("the rehearsal was called off")
	}
	t.Late = max(t.Late, time.Duration(tally.Lag.ValueAtQuantile(99))*time.Microsecond)
	for i := range tally.Groups {
		switch tally.Groups[i].Kind {
		case crowd.Trouble, crowd.Unreached, crowd.Reset, crowd.Timeout, crowd.Left:
			t.Failed += tally.Groups[i].Count
		}
	}
	for i := range r.Accounts { // nobody tells us what else is thought of them
		switch a := &r.Accounts[i]; {
		case a.Banned:
			a.Score = 2
		case a.Challenged:
			a.Score = 1
		}
	}
	return cheats.Judge(r), nil
}

// guest is how everybody in a labelled crowd asks.
func (c *script) guest() crowd.Visitor {
	v := crowd.Visitor{Name: "guest", Cookies: c.cookies, Header: c.header}
	take := c.purchase("")[0]
	if take.Good == nil { // else the answer is not kept
		take.Good = func(a *crowd.Answer) bool { return a.Status >= 200 && a.Status <= 399 }
	}
	v.Steps = []crowd.Step{
		guestLooks:  {Class: page, Method: "GET", Path: c.page, Accept: "text/html,*/*;q=0.8"},
		guestBuys:   take,
		guestSolves: {Class: "challenge", Method: "POST", Path: answerPath},
	}
	return v
}
