package ladder

import (
	"hash/maphash"
	"math/bits"
	"net/netip"

	"penstock/limiter/ladder/distinct"
	"penstock/limiter/ladder/memory"
	"penstock/proxy/gate"
	"penstock/rules"
)

// place is what is remembered of an address, or of a network, of one sale.
type place struct {
	since int64        // when it was first found on the challenge rung
	bare  int64        // until when accounts without anything to vouch for them owe a challenge from here
	light int64        // until when those that only looked do, too
	harsh int64        // until when the ban step holds
	set   distinct.Set // of accounts not vouched for
}

// lightWeight is how many accounts that looked count as one that did not.
const lightWeight = 8

func pinned(p *place, now int64) bool { return p.bare > now }

// judge sets what its count leads to.
func (p *place) judge(s rules.Steps, r *rules.Ladder, now int64, pane uint32) (count int) {
	heavy, light := p.set.Count(pane)
	count = heavy + light/lightWeight
	until := now + int64(r.For)
	if rung := s.Rung(count); rung >= rules.RungChallenge {
		if p.since == 0 || p.bare <= now {
			p.since = now
		}
		p.bare = max(p.bare, until)
		if rung == rules.RungBan {
			p.harsh = max(p.harsh, until)
		}
	}
	if s.Rung(light/lightWeight) >= rules.RungChallenge {
		p.light = max(p.light, until)
	}
	return count
}

// owes is until when accounts of the class owe a challenge from here.
func (p *place) owes(c class) int64 {
	switch c {
	case bare:
		return p.bare
	case light:
		return p.light
	}
	return 0
}

// visit is what one request makes of a place.
type visit struct {
	count int
	owes  bool
	harsh bool
}

// count makes the account one of the place's, or takes it out where it is vouched for. known
// says that it was counted there in this pane and nothing has changed.
func count(t *memory.Table[place], key, who uint64, c class, known bool, s rules.Steps, r *rules.Ladder, now int64, pane uint32) visit {
	h := t.Take(key, now)
	defer h.Free()
	if h.V == nil {
		return visit{owes: c != vouched}
	}
	switch {
	case c == vouched:
		h.V.set.Remove(who, pane)
	case !known || h.Fresh:
		h.V.set.Add(who, c == light, pane)
	}
	n := h.V.judge(s, r, now, pane)
	return visit{n, h.V.owes(c) > now, h.V.harsh > now}
}

// network is the /24 or /48 of a request, with the sale, hashed like gate.Facts hashes.
func (l *Ladder) network(f *gate.Facts) uint64 {
	const odd = 0x9e3779b97f4a7c15
	ip := mask(f.IP)
	hi, lo := bits.Mul64(maphash.Bytes(l.seed, ip[:])^odd, l.sale(f.Sale))
	return hi ^ lo
}

// named is a sale and the hash of its name.
type named struct {
	sale *rules.Sale
	hash uint64
}

// sale hashes the name: of the sale that was asked for last it is known.
func (l *Ladder) sale(s *rules.Sale) uint64 {
	if n := l.last.Load(); n != nil && n.sale == s {
		return n.hash
	}
	n := &named{s, maphash.String(l.seed, s.Name)}
	l.last.Store(n)
	return n.hash
}

func mask(a netip.Addr) (ip [16]byte) {
	ip = a.As16()
	if a.Is4() || a.Is4In6() {
		ip[15] = 0
		return ip
	}
	clear(ip[6:])
	return ip
}
