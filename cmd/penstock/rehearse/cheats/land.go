package cheats

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// Where people and cheats come from: providers of lines, operators of mobile networks,
// and data centres, each with addresses of its own.

// land is one seed's map.
type land struct {
	dice
	lines   []provider
	upTo    []float64 // cumulated shares of the market
	mobiles []operator
}

// provider gives each home an address of its own.
type provider struct {
	four uint32  // a /15
	six  [4]byte // a /32
	new  float64 // share of homes with IPv6
}

// operator hides its subscribers behind pools, or gives each a /64.
type operator struct {
	pool []netip.Addr
	six  [4]byte
	new  float64
}

func newLand(d dice) *land {
	l := &land{dice: d}
	sum := 0.0
	for i := range d.n(12, 40) {
		sum += math.Pow(float64(i+1), -d.between(.7, 1.1)) // a few have most
		l.lines = append(l.lines, provider{four: l.block() << 17, six: l.prefix(), new: d.between(0, .7)})
		l.upTo = append(l.upTo, sum)
	}
	for range d.n(2, 5) {
		o := operator{six: l.prefix(), new: d.between(.2, .8)}
		for range d.n(1, 6) { // a pool is made of pieces of networks
			base := l.block()<<17 | uint32(d.IntN(1<<17))&^255
			for i := range d.n(16, 200) {
				o.pool = append(o.pool, four(base+uint32(i)+1))
			}
		}
		l.mobiles = append(l.mobiles, o)
	}
	return l
}

// block is the upper 15 bits of an address, of a part of the net where nothing is special.
func (l *land) block() uint32 {
	for {
		b := uint32(l.n(20, 220))<<7 | uint32(l.IntN(128))
		switch b >> 7 {
		case 100, 127, 169, 172, 192, 198, 203:
			continue
		}
		return b
	}
}

func (l *land) prefix() [4]byte {
	return [4]byte{0x24 + byte(l.IntN(10)), byte(l.Uint32()), byte(l.Uint32()), byte(l.Uint32())}
}

func four(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// six is an address in a /64 of its own: a home's within a /36 of the provider's, so some
// share a /48.
func (l *land) six(prefix [4]byte) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], l.Uint64())
	binary.BigEndian.PutUint64(b[8:], l.Uint64())
	copy(b[:], prefix[:])
	b[4] &= 0x0f
	return netip.AddrFrom16(b)
}

// home is the address of a line.
func (l *land) home() netip.Addr {
	p := l.provider()
	if l.chance(p.new) {
		return l.six(p.six)
	}
	return four(p.four | uint32(l.IntN(1<<17)))
}

// line is the IPv4 address of a line: an office's, a campus', or a proxy's in a home.
func (l *land) line() netip.Addr { return four(l.provider().four | uint32(l.IntN(1<<17))) }

func (l *land) provider() *provider {
	u := l.Float64() * l.upTo[len(l.upTo)-1]
	for i, to := range l.upTo {
		if u < to {
			return &l.lines[i]
		}
	}
	return &l.lines[0]
}

// mobile is what a telephone has at the moment.
func (l *land) mobile() netip.Addr {
	o := &l.mobiles[l.IntN(len(l.mobiles))]
	if l.chance(o.new) {
		return l.six(o.six)
	}
	return o.pool[l.IntN(len(o.pool))]
}

// near are n addresses of one /24.
func (l *land) near(n int) []netip.Addr {
	base := l.block()<<17 | uint32(l.IntN(1<<17))&^255
	all := make([]netip.Addr, 0, n)
	for _, i := range l.Perm(254)[:min(n, 254)] {
		all = append(all, four(base+uint32(i)+1))
	}
	return all
}

// exits are n addresses of a seller of proxies: in homes, or in a few data centres.
func (l *land) exits(n int, homes bool) []netip.Addr {
	var all []netip.Addr
	for len(all) < n {
		if homes {
			all = append(all, l.line())
			continue
		}
		all = append(all, l.near(min(n-len(all), l.n(8, 60)))...)
	}
	return all
}
