package mine

// A spool takes more records than memory holds and gives them back in order.
//
// Records are bytes, and their order is that of their bytes. They are put into parts by the
// first of them, so that parts follow each other in the same order and can be read at the
// same time. Blocks stay in memory while the budget lasts and then go to one temporary file,
// whose name is removed as soon as it is open: nothing is left behind, however we end.
// A part that is too large to be sorted at once is sorted in runs that are merged, so one
// account with half of all lines does no harm.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

const block = 32 << 10 // bytes of records that are handed on at once

// budget is what spools share.
type budget struct {
	dir   string       // for temporary files; "": the system's
	parts int          // of each spool: a power of two, at most 256
	keep  int64        // bytes of records that may stay in memory
	sort  int          // bytes of records that one worker sorts at once
	kept  atomic.Int64 // bytes of records that do
	disk  atomic.Int64 // bytes written to temporary files
}

type spool struct {
	*budget
	name  string
	parts []part

	open sync.Once
	file *os.File
	err  error // of opening it
	end  atomic.Int64
}

type part struct {
	mu     sync.Mutex
	blocks []extent
	size   int64
}

// extent is a block of whole records: in memory, or of the file.
type extent struct {
	mem    []byte
	at     int64
	length int
}

func (b *budget) spool(name string) *spool {
	return &spool{budget: b, name: name, parts: make([]part, b.parts)}
}

// close forgets all records.
func (s *spool) close() {
	for i := range s.parts {
		s.drop(i)
	}
	if s.file != nil {
		s.file.Close()
	}
}

// drop forgets the records of a part.
func (s *spool) drop(i int) {
	for _, b := range s.parts[i].blocks {
		s.kept.Add(-int64(cap(b.mem)))
	}
	s.parts[i].blocks = nil
}

func (s *spool) temporary() (*os.File, error) {
	s.open.Do(func() {
		if s.file, s.err = os.CreateTemp(s.dir, "penstock-mine-"); s.err == nil {
			s.err = os.Remove(s.file.Name())
		}
	})
	return s.file, s.err
}

// take keeps a block. The answer is room for the next one.
func (s *spool) take(i int, b []byte) ([]byte, error) {
	p, x := &s.parts[i], extent{mem: b, length: len(b)}
	spill := s.kept.Add(int64(cap(b))) > s.keep
	if spill {
		s.kept.Add(-int64(cap(b)))
		var err error
		if x, err = s.write(b); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	p.blocks = append(p.blocks, x)
	p.size += int64(len(b))
	p.mu.Unlock()
	if spill {
		return b[:0], nil
	}
	return nil, nil
}

func (s *spool) write(b []byte) (extent, error) {
	f, err := s.temporary()
	if err != nil {
		return extent{}, fmt.Errorf("temporary file for %s: %w", s.name, err)
	}
	at := s.end.Add(int64(len(b))) - int64(len(b))
	if _, err := f.WriteAt(b, at); err != nil {
		return extent{}, fmt.Errorf("write temporary file for %s: %w", s.name, err)
	}
	s.disk.Add(int64(len(b)))
	return extent{at: at, length: len(b)}, nil
}

// load appends an extent's bytes.
func (s *spool) load(to []byte, x extent) ([]byte, error) {
	if x.mem != nil {
		return append(to, x.mem...), nil
	}
	n := len(to)
	to = slices.Grow(to, x.length)[:n+x.length]
	if _, err := s.file.ReadAt(to[n:], x.at); err != nil {
		return nil, fmt.Errorf("read temporary file of %s: %w", s.name, err)
	}
	return to, nil
}

// writer is one goroutine's way into a spool.
type writer struct {
	s    *spool
	bufs [][]byte
}

func (s *spool) writer() *writer { return &writer{s, make([][]byte, len(s.parts))} }

// add copies a record of at least one byte.
func (w *writer) add(rec []byte) error {
	i := int(rec[0]) * len(w.bufs) >> 8
	return w.addTo(i, rec)
}

func (w *writer) addTo(i int, rec []byte) error {
	b := w.bufs[i]
	if len(b)+len(rec)+4 > block && len(b) > 0 {
		var err error
		if b, err = w.s.take(i, b); err != nil {
			return err
		}
		if b == nil {
			b = make([]byte, 0, block)
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rec)))
	w.bufs[i] = append(b, rec...)
	return nil
}

// flush hands on what is left.
func (w *writer) flush() error {
	for i, b := range w.bufs {
		if len(b) > 0 {
			if _, err := w.s.take(i, b); err != nil {
				return err
			}
		}
		w.bufs[i] = nil
	}
	return nil
}

// sorter is one goroutine's room for sorting.
type sorter struct {
	arena []byte
	items []item
}

// item is a record in the arena. Its first bytes decide most comparisons.
type item struct {
	first  uint64
	at     uint32
	length uint32
}

func (i item) of(arena []byte) []byte { return arena[i.at : i.at+i.length] }

// each calls see with every record of a part as it was added by one writer. Records are lent.
func (s *spool) each(i int, see func(rec []byte) error) error {
	var buf []byte
	var err error
	for _, x := range s.parts[i].blocks {
		b := x.mem
		if b == nil {
			if buf, err = s.load(buf[:0], x); err != nil {
				return err
			}
			b = buf
		}
		for len(b) > 0 {
			n := binary.LittleEndian.Uint32(b)
			if err := see(b[4 : 4+n]); err != nil {
				return err
			}
			b = b[4+n:]
		}
	}
	return nil
}

// sorted calls see with every record of a part in order. Records are lent.
func (s *spool) sorted(r *sorter, i int, see func(rec []byte) error) error {
	p := &s.parts[i]
	if p.size <= int64(s.sort) {
		if err := s.fill(r, p.blocks); err != nil {
			return err
		}
		return r.each(see)
	}
	var runs [][]extent
	for rest := p.blocks; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+rest[n].length <= s.sort) {
			size += rest[n].length
			n++
		}
		if err := s.fill(r, rest[:n]); err != nil {
			return err
		}
		run, err := s.store(r)
		if err != nil {
			return err
		}
		runs, rest = append(runs, run), rest[n:]
	}
	return s.merge(runs, see)
}

// fill loads blocks into the arena and sorts them.
func (s *spool) fill(r *sorter, blocks []extent) (err error) {
	size := 0
	for _, x := range blocks {
		size += x.length
	}
	r.arena, r.items = slices.Grow(r.arena[:0], size), r.items[:0]
	for _, x := range blocks {
		if r.arena, err = s.load(r.arena, x); err != nil {
			return err
		}
	}
	for at := 0; at < len(r.arena); {
		n := int(binary.LittleEndian.Uint32(r.arena[at:]))
		r.items = append(r.items, item{prefix(r.arena[at+4 : at+4+n]), uint32(at + 4), uint32(n)})
		at += 4 + n
	}
	slices.SortFunc(r.items, func(a, b item) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return bytes.Compare(a.of(r.arena), b.of(r.arena))
	})
	return nil
}

func prefix(rec []byte) uint64 {
	if len(rec) >= 8 {
		return binary.BigEndian.Uint64(rec)
	}
	var b [8]byte
	copy(b[:], rec)
	return binary.BigEndian.Uint64(b[:])
}

func (r *sorter) each(see func(rec []byte) error) error {
	for _, i := range r.items {
		if err := see(i.of(r.arena)); err != nil {
			return err
		}
	}
	return nil
}

// store writes what is sorted as a run.
func (s *spool) store(r *sorter) (run []extent, err error) {
	b := make([]byte, 0, block)
	write := func() error {
		x, err := s.write(b)
		run, b = append(run, x), b[:0]
		return err
	}
	err = r.each(func(rec []byte) error {
		if len(b) > 0 && len(b)+len(rec)+4 > block {
			if err := write(); err != nil {
				return err
			}
		}
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(rec))), rec...)
		return nil
	})
	if err == nil && len(b) > 0 {
		err = write()
	}
	return run, err
}
