package ladder

import (
	"time"

	"penstock/limiter/ladder/distinct"
	"penstock/rules"
)

const panes = distinct.Panes

// account is what is remembered of one account of one sale, in 136 bytes.
type account struct {
	pane     uint32 // of all counts
	here     uint32 // the address it was last counted at in this pane; 0: nowhere
	hereMs   uint32 // and when
	crowd    uint16 // how many were counted there
	together uint16 // how many of those, or of its network, asked first as one; 0: as people do
	opening  uint32 // that it has asked after, as millis; 0: none
	looking  uint32 // opening that it has looked before or after
	firstMs  uint32 // when it first and last looked at the page; 0: it did not
	lastMs   uint32
	clearMs  uint32 // its newest clearance; 0: none
	strikes  counts
	ignored  counts
	more     counts // networks beyond what nets has room for
	nets     [Networks]uint32
	netPanes [Networks]uint8
	class    class
	lent     uint8 // strikes that came back from the sketch: not put there again
	lentIgn  uint8
	kept     bool // it has a penalty
	won      bool
	told     bool // when it opens
	early    bool // its first request after opening was
	notes    Notes
}

// class is what vouches for an account.
type class uint8

const (
	bare class = iota
	light
	vouched
)

// counts are the last panes, the newest first.
type counts [panes + 1]uint16

func (c *counts) add(n int) { c[0] = uint16(min(int(c[0])+n, 1<<16-1)) }

func (c *counts) sum() (n int) {
	for _, one := range c {
		n += int(one)
	}
	return n
}

func (c *counts) shift(d int) {
	copy(c[d:], c[:])
	clear(c[:d])
}

// turn forgets what is too old; see distinct.Set about panes that come late.
func (a *account) turn(pane uint32) {
	d := int32(pane - a.pane)
	if d == 0 || d == -1 {
		return
	}
	a.pane, a.here = pane, 0
	if d < 0 || d > panes {
		a.strikes, a.ignored, a.more, a.nets, a.lent, a.lentIgn = counts{}, counts{}, counts{}, [Networks]uint32{}, 0, 0
		return
	}
	a.strikes.shift(int(d))
	a.ignored.shift(int(d))
	a.more.shift(int(d))
	for i, p := range a.netPanes {
		if uint8(pane)-p > panes {
			a.nets[i] = 0
		}
	}
}

// fingerprint is a network's own, never 0, and tells whether it is one of IPv4.
func fingerprint(network uint64, v4 bool) uint32 {
	fp := uint32(network>>32) &^ 3
	if v4 {
		return fp | 1
	}
	return fp | 2
}

// elsewhere reports whether a network is another than all that the account came from. One of the
// other version of IP is not: whoever has both uses now the one and now the other.
func (a *account) elsewhere(network uint64, v4 bool) bool {
	fp, others := fingerprint(network, v4), false
	for _, n := range a.nets {
		if n == fp {
			return false
		}
		others = others || n&3 == fp&3
	}
	return others
}

// from notes the network of a request.
func (a *account) from(network uint64, v4 bool) {
	fp := fingerprint(network, v4)
	free := 0
	for i, n := range a.nets {
		if n == fp {
			a.netPanes[i] = uint8(a.pane)
			return
		}
		if n == 0 || a.nets[free] != 0 && uint8(a.pane)-a.netPanes[i] > uint8(a.pane)-a.netPanes[free] {
			free = i
		}
	}
	if a.nets[free] != 0 {
		a.more.add(1)
	}
	a.nets[free], a.netPanes[free] = fp, uint8(a.pane)
}

// networks is how many it came from: exact up to eight, above that perhaps too many, because
// one that comes back may have been taken for new.
func (a *account) networks() int {
	n := a.more.sum()
	for _, fp := range a.nets {
		if fp != 0 {
			n++
		}
	}
	return n
}

// human is how long people look at a page at least before they ask for what is on it.
const humanMs = 2000

// millis are a time's milliseconds, never 0, wrapping every 49 days.
func millis(now int64) uint32 { return uint32(now/1e6) | 1 }

// tab is how long somebody has a page open, in ms: it may be that it counts down to a sale all day.
func tab(r *rules.Ladder) uint32 { return uint32(max(window(r), int64(12*time.Hour)) / 1e6) }

// looks notes that the account has the page open.
func (a *account) looks(now int64, r *rules.Ladder) {
	ms := millis(now)
	if a.firstMs == 0 || ms-a.firstMs > tab(r) {
		if a.firstMs = a.lastMs; a.firstMs == 0 || ms-a.firstMs > tab(r) {
			a.firstMs = ms
		}
	}
	a.lastMs = ms
}

// looked reports whether it has looked by now, and whether as early as people do.
func (a *account) looked(now int64, r *rules.Ladder) (ever, early bool) {
	ms, most := millis(now), tab(r)
	within := func(at uint32) (uint32, bool) { ago := ms - at; return ago, at != 0 && ago <= most }
	first, ok := within(a.firstMs)
	last, also := within(a.lastMs)
	return ok || also, ok && first >= humanMs || also && last >= humanMs
}

// answered notes a clearance: challenges shown before it were not ignored.
func (a *account) answered(clearedAt int64) {
	if ms := millis(clearedAt); a.clearMs == 0 || int32(ms-a.clearMs) > 0 {
		a.clearMs = ms
		a.ignored, a.lentIgn = counts{}, 0
	}
}
