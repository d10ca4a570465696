package mine

// Links between accounts, from the addresses they share. Sharing an address is no fault:
// families, offices and whole cities do. What links is sharing one and being the same there.
//
//   - Of one address, or one network, in one sale: so many first asks within 50 ms of each
//     other that the rest of the sale does not explain it.
//   - Of one address, or one network, in one sale: more of those who looked at the page ask early
//     than people do, or so many never looked that the rest of the sale does not explain it.
//   - Accounts that hop between addresses, at an address where most do.
//   - Several addresses shared by few others. It is weighed by how few; one or two never link.
//
// Every address is seen whole. Only in crowds of more than 16 is it approximate: a weight that
// does not link by itself is then given to each account's 8 next neighbours in a fixed order
// rather than to all pairs, and above 64 to nobody.

import (
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"
)

const (
	window    = 50_000     // µs
	bin       = 5_000      // µs of the sale's histogram of first asks
	horizon   = 60_000_000 // µs: later first asks are no reaction to the opening
	neighbour = 8
)

// reactions counts, by sale, the accounts whose first ask fell into each bin.
type reactions [][]uint32

func (r reactions) add(sale uint16, first int64) {
	if first >= 0 && first < horizon {
		atomic.AddUint32(&r[sale][first/bin], 1)
	}
}

// visitor is one account at one address in one sale.
type visitor struct {
	ref   uint64
	first int64
	site  site
	sale  uint16

	hops   bool
	looked bool // at the page of the sale, from anywhere
	opened bool // first is its first ask in the sale
}

func appendVisitor(b []byte, v visitor) []byte {
	n := v.site.network()
	b = binary.BigEndian.AppendUint64(b, mix(n.bits+uint64(n.kind)))
	b = append(b, v.site.kind)
	b = binary.BigEndian.AppendUint64(b, v.site.bits)
	b = binary.BigEndian.AppendUint64(b, v.ref)
	b = binary.BigEndian.AppendUint16(b, v.sale)
	b = binary.BigEndian.AppendUint64(b, uint64(v.first))
	flags := byte(0)
	for i, is := range []bool{v.hops, v.looked, v.opened} {
		if is {
			flags |= 1 << i
		}
	}
	return append(b, flags)
}

func readVisitor(b []byte) (v visitor) {
	v.site = site{b[8], binary.BigEndian.Uint64(b[9:])}
	v.ref, v.sale = binary.BigEndian.Uint64(b[17:]), binary.BigEndian.Uint16(b[25:])
	v.first = int64(binary.BigEndian.Uint64(b[27:]))
	v.hops, v.looked, v.opened = b[35]&1 != 0, b[35]&2 != 0, b[35]&4 != 0
	return v
}

// linker sees one network after the other, each with its addresses in order.
type linker struct {
	first   reactions
	looked  reactions      // of those who looked at the page
	asked   []atomic.Int64 // accounts of each sale that asked
	bare    []atomic.Int64 // those of them that never looked at its page
	edges   *writer
	shared  func(ref uint64, at site, accounts int) // told of each account at each address
	cohorts []cohort
	network []visitor
	scratch []visitor
	buf     []byte
}

func (l *linker) see(v visitor) error {
	if len(l.network) > 0 && v.site.network() != l.network[0].site.network() {
		if err := l.end(); err != nil {
			return err
		}
	}
	l.network = append(l.network, v)
	return nil
}

// end closes the network at hand.
func (l *linker) end() error {
	all := l.network
	several := false
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].site == all[0].site {
			n++
		}
		several = several || n < len(all)
		if err := l.address(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	if several {
		if err := l.openings(l.network, true); err != nil {
			return err
		}
	}
	l.network = l.network[:0]
	return nil
}

// address links accounts of one address. They are in order, with several sales each.
func (l *linker) address(at []visitor) error {
	accounts := l.scratch[:0]
	hops := 0
	for _, v := range at {
		if len(accounts) == 0 || accounts[len(accounts)-1].ref != v.ref {
			accounts = append(accounts, v)
			if v.hops {
				hops++
			}
		}
	}
	l.scratch = accounts
	for _, v := range accounts {
		l.shared(v.ref, v.site, len(accounts))
	}
	var err error
	if n := len(accounts); hops >= 3 && hops*10 >= n*6 {
		err = l.pool(accounts, hops)
	} else if n >= 2 && n <= 64 {
		err = l.weigh(accounts, uint16(min(256, 16*256/n)))
	}
	if err != nil || len(at) < leastTogether {
		return err
	}
	return l.openings(at, false)
}

// pool links all that hop at an address where most do.
func (l *linker) pool(accounts []visitor, hops int) error {
	last := -1
	for i, v := range accounts {
		if !v.hops {
			continue
		}
		if last >= 0 {
			if err := l.link(accounts[last].ref, v.ref, linked, byPool); err != nil {
				return err
			}
		} else {
			l.cohorts = append(l.cohorts, cohort{member: v.ref, accounts: hops, among: len(accounts), kind: byPool, site: v.site})
		}
		last = i
	}
	return nil
}

// weigh gives every two of them a weight, or neighbours where they are many.
func (l *linker) weigh(accounts []visitor, weight uint16) error {
	for i, v := range accounts {
		others := accounts[i+1:]
		if len(accounts) > 16 {
			others = others[:min(len(others), neighbour)]
		}
		for _, o := range others {
			if err := l.link(v.ref, o.ref, weight, bySharing); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *linker) link(x, y uint64, weight uint16, kind uint8) error {
	l.buf = appendEdge(l.buf[:0], x, y, weight, kind)
	return l.edges.add(l.buf)
}

// openings looks at each sale's first asks of an address or a network.
func (l *linker) openings(at []visitor, wide bool) error {
	s := slices.Clone(at)
	slices.SortFunc(s, func(a, b visitor) int {
		return cmpAll(int64(a.sale)-int64(b.sale), a.first-b.first, int64(a.ref)-int64(b.ref))
	})
	for len(s) > 0 {
		n := 1
		for n < len(s) && s[n].sale == s[0].sale {
			n++
		}
		if err := l.gathered(s[:n], wide); err != nil {
			return err
		}
		if err := l.opening(s[:n], wide); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

func cmpAll(differences ...int64) int {
	for _, d := range differences {
		switch {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
	}
	return 0
}

const leastTogether = 4

// opening links the most that asked first within one window, if that is no chance. They are
// of one sale, in the order of time. In a network an account may be there more than once;
// its first ask from there counts.
func (l *linker) opening(s []visitor, wide bool) error {
	known := map[uint64]bool{}
	s = slices.DeleteFunc(s, func(v visitor) bool {
		if v.first < 0 || v.first >= horizon || known[v.ref] {
			return true
		}
		if wide {
			known[v.ref] = true
		}
		return false
	})
	from, most := 0, 0
	for i, j := 0, 0; j < len(s); j++ {
		for s[j].first-s[i].first > window {
			i++
		}
		if n := j - i + 1; n > most {
			from, most = i, n
		}
	}
	if most < leastTogether || !l.remarkable(s[from:from+most], len(s)) {
		return nil
	}
	together := s[from : from+most]
	l.cohorts = append(l.cohorts, cohort{
		member: together[0].ref, accounts: most, among: len(s), kind: byOpening, wide: wide, site: together[0].site,
		within: together[most-1].first - together[0].first, from: together[0].first,
	})
	for i := 1; i < most; i++ {
		if err := l.link(together[i-1].ref, together[i].ref, linked, byOpening); err != nil {
			return err
		}
	}
	return nil
}

// remarkable holds k of n within one window against everybody else in the sale: at least a
// third of n, five times the share of the others, and 30 bits against its being chance
// (Chernoff's bound on the binomial tail, over all windows there could be).
func (l *linker) remarkable(together []visitor, n int) bool {
	var inside, all uint32
	k := len(together)
	lo, hi := together[0].first/bin, (together[0].first+window)/bin
	for i, c := range l.first[together[0].sale] {
		all += c
		if int64(i) >= lo && int64(i) <= hi {
			inside += c
		}
	}
	others, among := max(int(all)-n, 0), max(int(inside)-k, 0)
	p := max(float64(among+1)/float64(others+2), window/2e6)
	q := float64(k) / float64(n)
	if q < 1.0/3 || q < 5*p {
		return false
	}
	bits := float64(n) * q * math.Log2(q/p)
	if q < 1 {
		bits += float64(n) * (1 - q) * math.Log2((1-q)/(1-p))
	}
	return bits-math.Log2(float64(n)) >= 30
}
