package crowd

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The book is where outcomes are written down while the crowd runs.

const longest = 3 * time.Minute // what a histogram can tell apart; more counts as this

type groupKey struct {
	class  int
	kind   Kind
	reason string
	waited bool
}

type book struct {
	mu       sync.Mutex
	each     func(*Outcome)
	tally    Tally
	groups   map[groupKey]*Group
	journeys map[Journey]int64
}

func newBook(classes []string, spans []Span) *book {
	return &book{
		tally: Tally{
			Classes: classes, Phases: spans,
			Lag: hdrhistogram.New(1, longest.Microseconds(), 3),
		},
		groups:   map[groupKey]*Group{},
		journeys: map[Journey]int64{},
	}
}

// second makes sure that there is one.
func (b *book) second(at time.Duration) *Second {
	n := int(at / time.Second)
	for len(b.tally.Seconds) <= n {
		b.tally.Seconds = append(b.tally.Seconds, Second{
			Reasons: map[string]int64{}, Classes: make([]Moment, len(b.tally.Classes)),
		})
	}
	return &b.tally.Seconds[n]
}

func (b *book) arrived(due time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally.Arrivals++
	b.second(due).Arrivals++
}

func (b *book) record(o *Outcome, class int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &b.tally
	t.Requests++
	lag := o.Sent - o.Due
	count(t.Lag, lag)
	due := b.second(o.Due)
	due.Due++
	due.Lag = max(due.Lag, lag)

	s := b.second(o.Done)
	s.Reasons[o.Reason]++
	m := &s.Classes[class]
	m.Counts[o.Kind]++
	switch o.Kind {
	case Served:
		m.Served = rough(m.Served, o.Latency())
	case Refused:
		m.Refused = rough(m.Refused, o.Latency())
	}
	if o.Waited {
		t.Waited++
	}
	key := groupKey{class, o.Kind, o.Reason, o.Waited}
	g := b.groups[key]
	if g == nil {
		g = &Group{Class: t.Classes[class], Kind: o.Kind, Reason: o.Reason, Waited: o.Waited, Latency: hdrhistogram.New(1, longest.Microseconds(), 3)}
		b.groups[key] = g
	}
	g.Count++
	count(g.Latency, o.Latency())
	if b.each != nil {
		b.each(o)
	}
}

func rough(h *hdrhistogram.Histogram, d time.Duration) *hdrhistogram.Histogram {
	if h == nil {
		h = hdrhistogram.New(1, longest.Microseconds(), 2)
	}
	count(h, d)
	return h
}

func count(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(d, 0), longest).Microseconds()) // never out of range
}

// ended counts a journey.
func (b *book) ended(j *Journey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journeys[*j]++
}

// opened notes how many connections were open when a second ended.
func (b *book) opened(at time.Duration, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.second(at).Open = n
}

// look is a copy of the second before at, without histograms.
func (b *book) look(at time.Duration) (n int, s Second, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = min(int(at/time.Second), len(b.tally.Seconds)) - 1; n < 0 {
		return 0, s, false
	}
	s = b.tally.Seconds[n]
	s.Reasons, s.Classes = maps.Clone(s.Reasons), slices.Clone(s.Classes)
	for i := range s.Classes {
		s.Classes[i].Served, s.Classes[i].Refused = nil, nil
	}
	return n, s, true
}

// close is the whole tally, in order.
func (b *book) close(took time.Duration) *Tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tally
	t.Took = took
	for _, g := range b.groups {
		t.Groups = append(t.Groups, *g)
	}
	slices.SortFunc(t.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Reason, b.Reason))
	})
	for j, n := range b.journeys {
		j.Count = n
		t.Journeys = append(t.Journeys, j)
	}
	slices.SortFunc(t.Journeys, func(a, b Journey) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Visitor, b.Visitor), cmp.Compare(a.Reached, b.Reached), cmp.Compare(a.Reason, b.Reason))
	})
	return &t
}
