package ladder

import "strings"

// Who asks together. People who have the page open at one address press when each of them sees
// that it has opened, and that takes them 0.65 s in the middle: few are there in the first tenths
// of a second. The accounts of a farm press as soon as their program says. So what is counted at
// an address, and at its network, are the accounts whose first request after the opening comes
// within early, and they are held against how many had looked at the page there.
//
// Those that looked themselves are counted, and judged, apart from those that did not. It is held
// against the ones that were early, and against all who looked only where the early ones are twice
// what people are: a few bots do not take the office they hide in with them, and whoever wants to
// have a carrier's customers challenged needs a quarter as many accounts as it has customers there.
// Who is vouched for is neither counted nor held to it; nor are visitors without an account, whose
// first look nobody could know to be theirs.

const (
	soon  = 2   // times rules.Behaviour.Fastest: early
	least = 4   // accounts that nobody wonders about
	few   = .05 // of those that looked there, at once
	share = .3  // and as many more at the end of early
	whole = .25 // of them, from which on it holds for all that looked
)

// turnout is who looked and who asked first at a place, of one opening.
type turnout struct {
	opening uint32 // as millis
	known   uint32 // accounts that looked there first
	looked  uint32 // accounts that looked, and asked first from there, early
	bare    uint32 // the same of those that did not

	early int64 // until when it holds for those that looked and were early that they are too many
	whole int64 // for all that looked
	none  int64 // for those that did not
}

// timed reports whether the sale wants to know.
func (v *visitor) timed() bool {
	s := v.f.Sale
	return s.Behaviour != nil && s.Behaviour.Together > 0 && !s.Opens.IsZero() && !strings.HasPrefix(v.f.Account, "v:")
}

func (v *visitor) opening() uint32 { return millis(v.l.now(v.f.Sale.Opens)) }

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
	v.a.early = v.f.At.Sub(v.f.Sale.Opens) < soon*v.f.Sale.Behaviour.Fastest
	return v.a.early
}

func (t *turnout) of(opening uint32) *turnout {
	if t.opening != opening {
		*t = turnout{opening: opening}
	}
	return t
}

// asked counts an account that is early. What people may be grows with the square of the time,
// which is slower than they do from about Fastest on: the sooner it is, the fewer make a farm.
func (t *turnout) asked(v *visitor) {
	part := float64(v.f.At.Sub(v.f.Sale.Opens)) / float64(soon*v.f.Sale.Behaviour.Fastest)
	known, until := float64(t.known), v.now+int64(v.r.For)
	if ever, _ := v.a.looked(v.now, v.r); !ever {
		if t.bare++; float64(t.bare) >= least+few*known {
			t.none = until
		}
		return
	}
	t.looked++
	if n := float64(t.looked); n >= least+(few+share*part*part)*known {
		if t.early = until; n >= least+whole*known {
			t.whole = until
		}
	}
}

// together is how many accounts of a place asked first at once, where that is held against the
// account, which is of that class.
func (t *turnout) together(v *visitor, c class) int {
	if c == vouched || !v.timed() || t.opening != v.opening() {
		return 0
	}
	ever, _ := v.a.looked(v.now, v.r)
	switch {
	case !ever && t.none > v.now:
		return int(t.bare)
	case ever && (t.whole > v.now || t.early > v.now && v.a.early):
		return int(t.looked)
	}
	return 0
}

func (t *turnout) live(now int64) bool { return max(t.early, t.whole, t.none) > now }
