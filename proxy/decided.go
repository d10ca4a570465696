package proxy

// Who hears of what became of requests: those of a sale, and those for the pages of what it
// sells. It is told once, after everything has been given back and before the answer is
// sent, so that who asks again at once is known to have asked before.

import (
	"penstock/proxy/gate"
	"penstock/rules"
)

// decided lets the watcher hear of a request. A panic in it is contained: the answer is still
// to be sent.
func (p *Proxy) decided(r *request, won bool) {
	if p.watcher == nil || r.late || r.lapsed {
		return
	}
	defer func() {
		if e := recover(); e != nil {
			p.panicked(e)
		}
	}()
	if r.facts.Sale == nil {
		p.decidedOfPage(r)
		return
	}
	d := &r.decision
	*d = gate.Decision{Facts: &r.facts, Reason: r.answered, Would: r.would, End: r.end}
	if r.facts.Order {
		d.Step = gate.Orders
	}
	d.Won = won && r.end.Kind == gate.Answered && r.end.Outcome != rules.OutcomeFree
	p.watcher.Decided(d)
}

// decidedOfPage tells of a page that some sale calls its own, by the account that the sale
// would know. A visitor who is not known yet is nobody who could be told from others.
func (p *Proxy) decidedOfPage(r *request) {
	if r.answered != gate.Admitted {
		return
	}
	for _, s := range r.withPages {
		if !r.path.Is(s.Behaviour.Page) {
			continue
		}
		if v, f := p.account(r, s); !v.OK() || f != "" || r.facts.Account == "" {
			continue
		}
		facts := gate.Facts{At: r.facts.At, IP: r.facts.IP, Account: r.facts.Account, Sale: s}
		facts.Hash()
		p.watcher.Decided(&gate.Decision{Facts: &facts, Step: gate.Looks, Reason: gate.Admitted, End: r.end})
	}
}
