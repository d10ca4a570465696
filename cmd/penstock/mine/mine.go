// Package mine looks for cheats in the log of decisions: what each account did, which
// accounts are rings, and how likely each is a machine, with reasons for people.
//
// It is exact over every line and takes bounded memory, whatever the number of lines: it
// reads the logs once, keeps a small record of each line in parts by account, studies one
// part after the other, then the addresses, then the links. Only these are approximate: of
// an account's addresses the first 65 536 are told apart; rings by moments are found by
// sketches (sketch.go); several shared addresses are weighed between neighbours where more
// than 16 share one (links.go). What is held in
// memory beside that is 14 bytes for each account, each ring, and the visitors of one network
// at a time, about 100 bytes each.
//
// It judges nothing by itself: a list of its making does nothing until somebody names it in
// the configuration. It does not know the configuration, and asks no store.
package mine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Options say what is mined.
type Options struct {
	Logs    []string  // files, packed with gzip or not; "-" is In
	In      io.Reader // standard input
	Sale    string    // the only one to look at; "": all
	Memory  int64     // bytes to stay within, roughly; at least LeastMemory
	Tmp     string    // directory of temporary files; "": the system's
	Workers int       // goroutines; at least 1
	Parts   int       // a power of two up to 256; 0: 256

	// Progress hears how far a stage is, from one goroutine at a time; of -1: unknown. It may be nil.
	Progress func(stage string, done, of int64)

	keep int64 // bytes of records in memory; 0: by Memory
	sort int   // bytes of records sorted at once; 0: by Memory
}

// LeastMemory is the least that Memory may be.
const LeastMemory = 64 << 20

// Sale is what was seen of one sale.
type Sale struct {
	Name     string `json:"name"`
	Lines    int64  `json:"lines"`
	Looks    int64  `json:"looks"`
	Accounts int    `json:"accounts"`
	Opened   int64  `json:"opened_us,omitempty"`      // Unix µs; 0: not known
	Guessed  bool   `json:"opened_guessed,omitempty"` // from the first answer that was not "not open"
}

// Result is what was found, but for the accounts, which Ranked gives.
type Result struct {
	Lines      int64    `json:"lines"`
	Unreadable int64    `json:"unreadable"`
	Examples   []string `json:"unreadable_examples,omitempty"` // where some of these are
	Cut        []string `json:"cut_off,omitempty"`             // packed logs that end in the middle
	Nameless   int64    `json:"without_account"`
	Accounts   int      `json:"accounts"`
	Sales      []Sale   `json:"sales"`
	Rings      []*Ring  `json:"rings"`
	Disk       int64    `json:"-"` // bytes written to temporary files

	m *miner
}

// miner is one run.
type miner struct {
	Options
	room    *budget
	asks    *spool // records by account, sale, time
	known   *spool // accounts
	visits  *spool // visitors by network, address
	moments *spool // keys of sketches
	edges   *spool
	spools  []*spool

	sales       *registry
	rank        []uint16 // of the sales' numbers, by name
	opened      []int64  // by rank
	crowd       *density
	first       reactions
	firstLooked reactions      // of those who looked at the page
	counts      []atomic.Int64 // accounts, by rank
	asked       []atomic.Int64 // those of them that asked
	bare        []atomic.Int64 // and never looked
	bases       []uint32       // accounts before each part
	rings       *rings
	ringOf      map[uint32]*Ring
	most        []atomic.Uint32 // accounts at each account's fullest address
}

// Run mines. The caller closes the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Parts == 0 {
		o.Parts = 256
	}
	o.Workers, o.Memory = max(o.Workers, 1), max(o.Memory, LeastMemory)
	if o.Parts&(o.Parts-1) != 0 || o.Parts > 256 || o.Parts < 0 {
		return nil, fmt.Errorf("%d parts: want a power of two up to 256", o.Parts)
	}
	m := &miner{Options: o, crowd: new(density)}
	if o.keep == 0 {
		o.keep = o.Memory / 3
	}
	if o.sort == 0 {
		o.sort = int(min(o.Memory/8/int64(o.Workers), 1<<30))
	}
	m.room = &budget{dir: o.Tmp, parts: o.Parts, keep: o.keep, sort: o.sort}
	m.asks, m.known, m.visits = m.spool("requests"), m.spool("accounts"), m.spool("addresses")
	m.moments, m.edges = m.spool("moments"), m.spool("links")
	r, err := m.run(ctx)
	if err != nil {
		m.close()
		return nil, err
	}
	return r, nil
}

// Close removes what was kept.
func (r *Result) Close() { r.m.close() }

func (m *miner) spool(name string) *spool {
	s := m.room.spool(name)
	m.spools = append(m.spools, s)
	return s
}

func (m *miner) close() {
	for _, s := range m.spools {
		s.close()
	}
}

func (m *miner) run(ctx context.Context) (*Result, error) {
	r, err := m.parse(ctx)
	if err != nil {
		return nil, err
	}
	r.m = m
	if err := m.study(ctx); err != nil {
		return nil, err
	}
	m.asks.close()
	r.Accounts = len(m.most)
	for i := range r.Sales {
		r.Sales[i].Accounts = int(m.counts[i].Load())
	}
	if err := m.link(ctx); err != nil {
		return nil, err
	}
	if err := m.join(ctx); err != nil {
		return nil, err
	}
	m.ringOf = m.rings.found(m.number)
	r.Rings = make([]*Ring, len(m.ringOf))
	for _, ring := range m.ringOf {
		r.Rings[ring.ID-1] = ring
	}
	r.Disk = m.room.disk.Load()
	return r, nil
}

// number is an account's number, in the order of parts.
func (m *miner) number(ref uint64) uint32 { return m.bases[ref>>32] + uint32(ref) }

// parts calls do for every part, from as many goroutines as there are workers. Each gets a
// worker of its own from begin, and end is called when a worker is done.
func (m *miner) parts(ctx context.Context, stage string, begin func() (do func(part int) error, end func() error)) error {
	var next, done atomic.Int64
	var mu sync.Mutex
	var all error
	var wg sync.WaitGroup
	fail := func(err error) bool {
		mu.Lock()
		defer mu.Unlock()
		all = errors.Join(all, err)
		return all != nil
	}
	for range m.Workers {
		wg.Go(func() {
			do, end := begin()
			for i := next.Add(1) - 1; i < int64(m.Parts); i = next.Add(1) - 1 {
				if ctx.Err() != nil || fail(do(int(i))) {
					return
				}
				mu.Lock()
				m.tell(stage, done.Add(1), int64(m.Parts))
				mu.Unlock()
			}
			fail(end())
		})
	}
	wg.Wait()
	return errors.Join(all, ctx.Err())
}

func (m *miner) tell(stage string, done, of int64) {
	if m.Progress != nil {
		m.Progress(stage, done, of)
	}
}

// study tells the features of each account, and what links are looked for in.
func (m *miner) study(ctx context.Context) error {
	sizes := make([]uint32, m.Parts)
	m.first, m.firstLooked = make(reactions, len(m.rank)), make(reactions, len(m.rank))
	for i := range m.first {
		m.first[i], m.firstLooked[i] = make([]uint32, horizon/bin), make([]uint32, horizon/bin)
	}
	m.counts, m.asked, m.bare = make([]atomic.Int64, len(m.rank)), make([]atomic.Int64, len(m.rank)), make([]atomic.Int64, len(m.rank))
	err := m.parts(ctx, "accounts", func() (func(int) error, func() error) {
		w := &student{
			miner: m, study: newStudy(m.opened, m.crowd),
			known: m.known.writer(), visits: m.visits.writer(), moments: m.moments.writer(),
		}
		return func(part int) error {
				w.part, w.n = part, 0
				if err := w.all(ctx); err != nil {
					return err
				}
				sizes[part] = w.n
				m.asks.drop(part)
				return nil
			}, func() error {
				return errors.Join(w.known.flush(), w.visits.flush(), w.moments.flush())
			}
	})
	if err != nil {
		return err
	}
	m.bases = make([]uint32, m.Parts)
	var n uint32
	for i, size := range sizes {
		m.bases[i] = n
		n += size
	}
	m.most, m.rings = make([]atomic.Uint32, n), newRings(int(n))
	return nil
}

// student is one worker of study.
type student struct {
	*miner
	study                  *study
	known, visits, moments *writer
	sorter                 sorter
	part                   int
	n                      uint32 // accounts of the part so far
	name, buf              []byte
	sale                   uint16
}

func (w *student) all(ctx context.Context) error {
	open := false
	n := 0
	err := w.asks.sorted(&w.sorter, w.part, func(rec []byte) error {
		if n++; n&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e, sale := readRecord(rec)
		sale = w.rank[sale]
		other := !open || !bytes.Equal(e.acct, w.name)
		if open && (other || sale != w.sale) {
			w.study.endSale()
		}
		if other {
			if open {
				if err := w.account(); err != nil {
					return err
				}
			}
			w.study.begin()
			w.name = append(w.name[:0], e.acct...)
		}
		if other || sale != w.sale {
			w.study.beginSale(sale)
			w.sale, open = sale, true
		}
		w.study.see(&e)
		return nil
	})
	if err == nil && open {
		w.study.endSale()
		err = w.account()
	}
	return err
}

// account writes what one account has come to.
func (w *student) account() error {
	ref := uint64(w.part)<<32 | uint64(w.n)
	w.n++
	all := w.study.all()
	w.buf = appendAccount(w.buf[:0], w.name, &all, w.study)
	if err := w.known.addTo(w.part, w.buf); err != nil {
		return err
	}
	hop := w.study.hops()
	for _, p := range w.study.places {
		w.buf = appendVisitor(w.buf[:0], visitor{ref, p.first, p.site, p.sale, hop, p.looked, p.opened})
		if err := w.visits.add(w.buf); err != nil {
			return err
		}
	}
	for i, sale := range w.study.ids {
		w.counts[sale].Add(1)
		if n := &w.study.sales[i]; n.First >= 0 {
			w.asked[sale].Add(1)
			if n.Looks == 0 {
				w.bare[sale].Add(1)
			} else {
				w.firstLooked.add(sale, n.First)
			}
		}
		w.first.add(sale, w.study.sales[i].First)
		if err := w.keys(ref, sale, &w.study.sketches[i]); err != nil {
			return err
		}
	}
	return nil
}

// keys writes a sketch under each pair of its least hashes.
func (w *student) keys(ref uint64, sale uint16, k *sketch) error {
	if k.n < 4 {
		return nil
	}
	for i := range keyed {
		for j := range i {
			b := binary.BigEndian.AppendUint64(w.buf[:0], mix(uint64(k.hashes[j])<<32|uint64(k.hashes[i])))
			b = binary.BigEndian.AppendUint16(b, sale)
			b = binary.BigEndian.AppendUint64(b, ref)
			for _, h := range k.hashes[:k.n] {
				b = binary.BigEndian.AppendUint32(b, h)
			}
			w.buf = b
			if err := w.moments.add(b); err != nil {
				return err
			}
		}
	}
	return nil
}
