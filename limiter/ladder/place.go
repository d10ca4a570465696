package ladder

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"

	"penstock/limiter/ladder/distinct"
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
	turnout
}

// lightWeight is how many accounts that looked count as one that did not.
const lightWeight = 8

func pinned(p *place, now int64) bool { return p.bare > now || p.live(now) }

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

// network is the /24 or /48 of a request, with the sale, as a hash that nobody outside can choose:
// two multiplications folded, as in wyhash, with keys made per process. For six bytes maphash
// costs three times as much.
func (l *Ladder) network(f *gate.Facts) uint64 {
	hi, lo := bits.Mul64(prefix(f.IP)^l.keys[0], l.sale(f.Sale)|1)
	hi, lo = bits.Mul64(hi^lo^l.keys[1], l.keys[2]|1)
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

// prefix is the network as a number: three bytes of IPv4, six of IPv6.
func prefix(a netip.Addr) uint64 {
	if a.Is4() {
		ip := a.As4()
		return uint64(binary.BigEndian.Uint32(ip[:])) >> 8
	}
	ip := a.As16()
	return binary.BigEndian.Uint64(ip[:])>>16 | 1<<63
}
