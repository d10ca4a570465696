package ladder

// Who asks together. People who have the page open at one address press when each of them sees
// that it has opened, and that takes them 0.65 s in the middle: few are there in the first tenths
// of a second. The accounts of a farm press as soon as their program says. So what is counted at
// an address, and at its network, are the accounts whose first request after the opening comes
// within early, and they are held against how many had the page open there. Farms that look at
// the page first are told from a campus by that; those that do not are counted as bare anyway.

const (
	soon  = 2   // times rules.Behaviour.Fastest: early
	least = 4   // accounts that nobody wonders about
	share = .35 // of those that had the page open, at the end of early
)

// timed reports whether the sale wants to know.
func (v *visitor) timed() bool {
	s := v.f.Sale
	return s.Behaviour != nil && s.Behaviour.Together > 0 && !s.Opens.IsZero()
}

// early reports whether it is the account's first request after the opening, and soon.
func (v *visitor) early() bool {
	if !v.timed() || v.f.At.Before(v.f.Sale.Opens) {
		return false
	}
	opening := v.opening()
	if v.a.opening == opening {
		return false
	}
	v.a.opening = opening
	return v.f.At.Sub(v.f.Sale.Opens) < soon*v.f.Sale.Behaviour.Fastest
}

func (v *visitor) opening() uint32 { return millis(v.l.now(v.f.Sale.Opens)) }

// asked counts an account that is early. What people may be grows with the square of the time,
// which is slower than they do from about Fastest on: the sooner it is, the fewer make a farm.
func (p *place) asked(v *visitor) {
	if o := v.opening(); p.opening != o {
		p.opening, p.early = o, 0
	}
	p.early++
	known, _ := p.looks.Count(v.pane)
	part := float64(v.f.At.Sub(v.f.Sale.Opens)) / float64(soon*v.f.Sale.Behaviour.Fastest)
	if float64(p.early) >= least+share*part*part*float64(known) {
		p.together = max(p.together, v.now+int64(v.r.For))
	}
}

// atOnce is how many accounts were early, where those are more than people are.
func (p *place) atOnce(now int64) int {
	if p.together <= now {
		return 0
	}
	return int(p.early)
}
