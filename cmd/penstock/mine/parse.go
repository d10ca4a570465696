package mine

// The first pass: from lines to records.

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"penstock/proxy/gate"
)

const (
	mostSales    = 1 << 12
	mostExamples = 5
)

// registry numbers sales as they are met.
type registry struct {
	mu    sync.Mutex
	ids   map[string]uint16
	names []string
}

func (r *registry) id(name string) (uint16, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, known := r.ids[name]
	if !known {
		if len(r.names) == mostSales {
			return 0, false
		}
		id = uint16(len(r.names))
		r.ids[name], r.names = id, append(r.names, name)
	}
	return id, true
}

// tally is what one worker has seen of one sale.
type tally struct {
	lines, looks int64
	said         int64 // the opening, by what lines say of it
	answered     int64 // the first answer that is given only when it is open
}

// parser is one worker.
type parser struct {
	*miner
	words    *words
	out      *writer
	ids      map[string]uint16
	name     []byte // of the sale before
	sale     uint16
	tallies  []tally
	buf      []byte
	lines    int64
	bad      int64
	nameless int64
	examples []string
}

// parse reads all logs.
func (m *miner) parse(ctx context.Context) (*Result, error) {
	m.sales = &registry{ids: map[string]uint16{}}
	size := Size(m.Logs)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &logs{in: m.In, chunks: make(chan chunk, m.Workers)}
	var readers, workers sync.WaitGroup
	var next atomic.Int64
	for range min(m.Workers, len(m.Logs)) {
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(m.Logs)); i = next.Add(1) - 1 {
				if err := l.read(ctx, m.Logs[i]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	var mu sync.Mutex
	all := make([]*parser, m.Workers)
	for i := range all {
		all[i] = &parser{miner: m, words: newWords(), out: m.asks.writer(), ids: map[string]uint16{}}
		workers.Go(func() {
			for c := range l.chunks {
				if err := all[i].chunk(c); err != nil {
					cancel(err)
				}
				l.free.Put(&c.data)
				mu.Lock()
				m.tell("lines", l.done.Load(), size)
				mu.Unlock()
			}
			if err := all[i].out.flush(); err != nil {
				cancel(err)
			}
		})
	}
	readers.Wait()
	close(l.chunks)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return m.parsed(all, l), nil
}

func (p *parser) chunk(c chunk) error {
	var e entry
	for at := 0; at < len(c.data); {
		line := c.data[at:]
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			end = len(line)
		}
		line = line[:end]
		if len(bytes.TrimSpace(line)) == 0 {
			at += end + 1
			continue
		}
		p.lines++
		if ok := p.words.read(line, &e); ok && p.Sale != "" && p.Sale != string(e.sale) {
			at += end + 1
			continue
		} else if !ok || !p.known(e.sale) {
			p.bad++
			if len(p.examples) < mostExamples {
				p.examples = append(p.examples, fmt.Sprintf("%s: at byte %d", c.name, c.at+int64(at)))
			}
		} else if err := p.keep(&e); err != nil {
			return err
		}
		at += end + 1
	}
	return nil
}

// known numbers the sale.
func (p *parser) known(name []byte) bool {
	if bytes.Equal(name, p.name) {
		return true
	}
	id, known := p.ids[string(name)]
	if !known {
		if id, known = p.sales.id(string(name)); !known {
			return false
		}
		p.ids[string(name)] = id
	}
	p.name, p.sale = append(p.name[:0], name...), id
	for int(id) >= len(p.tallies) {
		p.tallies = append(p.tallies, tally{said: math.MaxInt64, answered: math.MaxInt64})
	}
	return true
}

func (p *parser) keep(e *entry) error {
	t := &p.tallies[p.sale]
	t.lines++
	switch {
	case e.step == gate.Looks:
		t.looks++
	case e.reason == gate.NotOpen:
	case e.timed && e.off >= 0:
		t.said = min(t.said, e.t-e.off*1000)
	case opens(e.reason):
		t.answered = min(t.answered, e.t)
	}
	if len(e.acct) == 0 {
		p.nameless++
		return nil
	}
	p.buf = appendRecord(p.buf[:0], e, p.sale)
	return p.out.add(p.buf)
}

// opens leaves out what is also said before it is asked whether a sale is open.
func opens(r gate.Reason) bool {
	switch r {
	case gate.Unset, gate.BadRequest, gate.Method, gate.Preflight, gate.HeadTooLarge, gate.Internal, gate.ClientGone:
		return false
	}
	return true
}

// parsed adds up what the workers have seen, and puts the sales in order.
func (m *miner) parsed(all []*parser, l *logs) *Result {
	r := &Result{Unreadable: l.tooLong.Load(), Cut: slices.Sorted(slices.Values(l.trailing))}
	r.Lines = r.Unreadable
	sums := make([]tally, len(m.sales.names))
	for i := range sums {
		sums[i] = tally{said: math.MaxInt64, answered: math.MaxInt64}
	}
	for _, p := range all {
		r.Lines, r.Unreadable, r.Nameless = r.Lines+p.lines, r.Unreadable+p.bad, r.Nameless+p.nameless
		r.Examples = append(r.Examples, p.examples...)
		for i, t := range p.tallies {
			s := &sums[i]
			s.lines, s.looks, s.said, s.answered = s.lines+t.lines, s.looks+t.looks, min(s.said, t.said), min(s.answered, t.answered)
		}
	}
	slices.Sort(r.Examples)
	r.Examples = r.Examples[:min(len(r.Examples), mostExamples)]
	order := make([]int, len(sums))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(m.sales.names[a], m.sales.names[b]) })
	m.rank, m.opened = make([]uint16, len(sums)), make([]int64, 0, len(sums))
	for rank, id := range order {
		m.rank[id] = uint16(rank)
		s := Sale{Name: m.sales.names[id], Lines: sums[id].lines, Looks: sums[id].looks, Opened: sums[id].said}
		if s.Opened == math.MaxInt64 {
			s.Opened, s.Guessed = sums[id].answered, true
		}
		if s.Opened == math.MaxInt64 {
			s.Opened, s.Guessed = 0, false
		}
		m.opened = append(m.opened, s.Opened)
		r.Sales = append(r.Sales, s)
	}
	return r
}
