package mine

// The passes over addresses, moments and links.

import (
	"context"
	"encoding/binary"
	"errors"
)

// link looks for links at addresses and in sketches.
func (m *miner) link(ctx context.Context) error {
	err := m.parts(ctx, "addresses", func() (func(int) error, func() error) {
		var sorter sorter
		l := &linker{first: m.first, looked: m.firstLooked, edges: m.edges.writer(), shared: m.shared, asked: m.asked, bare: m.bare}
		return func(part int) error {
				err := m.visits.sorted(&sorter, part, func(rec []byte) error { return l.see(readVisitor(rec)) })
				return errors.Join(err, l.end())
			}, func() error {
				m.rings.mu.Lock()
				m.rings.cohorts = append(m.rings.cohorts, l.cohorts...)
				m.rings.mu.Unlock()
				return l.edges.flush()
			}
	})
	m.visits.close()
	if err != nil {
		return err
	}
	err = m.parts(ctx, "moments", func() (func(int) error, func() error) {
		var sorter sorter
		out := m.edges.writer()
		return func(part int) error {
			c := &company{m: m, out: out}
			return m.moments.sorted(&sorter, part, c.see)
		}, out.flush
	})
	m.moments.close()
	return err
}

// shared keeps the most accounts at any address of an account.
func (m *miner) shared(ref uint64, _ site, accounts int) {
	n := &m.most[m.number(ref)]
	for {
		old := n.Load()
		if old >= uint32(accounts) || n.CompareAndSwap(old, uint32(accounts)) {
			return
		}
	}
}

// company are accounts whose sketches have a key in common: the last 32 of them.
type company struct {
	m    *miner
	out  *writer
	key  [10]byte
	n    int
	refs [32]uint64
	seen [32]sketch
	buf  []byte
}

func (c *company) see(rec []byte) error {
	if string(rec[:10]) != string(c.key[:]) {
		copy(c.key[:], rec)
		c.n = 0
	}
	sale, ref := binary.BigEndian.Uint16(rec[8:]), binary.BigEndian.Uint64(rec[10:])
	var k sketch
	for b := rec[18:]; len(b) > 0; b = b[4:] {
		k.hashes[k.n] = binary.BigEndian.Uint32(b)
		k.n++
	}
	accounts := int(c.m.counts[sale].Load())
	for i := range min(c.n, len(c.refs)) {
		if c.m.crowd.together(&c.seen[i], &k, accounts) {
			c.buf = appendEdge(c.buf[:0], c.refs[i], ref, linked, byMoments)
			if err := c.out.add(c.buf); err != nil {
				return err
			}
		}
	}
	c.refs[c.n%len(c.refs)], c.seen[c.n%len(c.refs)] = ref, k
	c.n++
	return nil
}

// join adds up the weights between each two accounts, and joins those that are enough.
func (m *miner) join(ctx context.Context) error {
	err := m.parts(ctx, "links", func() (func(int) error, func() error) {
		var sorter sorter
		return func(part int) error {
			var x, y uint64
			var sum int
			var kinds uint8
			settle := func() {
				if sum >= linked {
					m.rings.join(m.number(x), m.number(y), kinds)
				}
			}
			err := m.edges.sorted(&sorter, part, func(rec []byte) error {
				a, b := binary.BigEndian.Uint64(rec[8:]), binary.BigEndian.Uint64(rec[16:])
				if a != x || b != y {
					settle()
					x, y, sum, kinds = a, b, 0, 0
				}
				sum += int(binary.BigEndian.Uint16(rec[24:]))
				kinds |= rec[26]
				return nil
			})
			settle()
			return err
		}, func() error { return nil }
	})
	m.edges.close()
	return err
}
