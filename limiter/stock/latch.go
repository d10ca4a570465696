package stock

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// probesMin is how many requests go to the store at least when units have come back to a
// latched item, so that one unit does not let the whole crowd loose, and one lost probe
// does not waste it.
const probesMin = 4

// ledger is what this gateway knows of one ledger.
//
// An item latches when a Look shows none free; by then the Look has brought the accounts
// that bought or wait, so they are not told "sold out". Wins of this gateway that are
// younger than the Look are in mine; wins of others are known one Look later.
type ledger struct {
	name   string
	loaded map[string]int
	items  map[string]*latch // of what is loaded

	ice  atomic.Int32  // none, gone or cut
	seen atomic.Uint64 // the highest seq a reply has carried

	want atomic.Bool // a Look
	view atomic.Pointer[view]
	mine recent

	// Of the watcher alone:
	rest    time.Time // no Look before
	failing bool      // the last sweep failed
}

// Why a ledger is frozen.
const (
	none = iota
	gone // the store does not know it; it may be back
	cut  // it is older than it was. What is missing stays missing, however much is added
)

func (l *ledger) frozen() bool { return l.ice.Load() != none }

// freeze reports once.
func (s *Stock) freeze(l *ledger) {
	if l.ice.CompareAndSwap(none, gone) {
		s.report(l.name, ErrFrozen)
	}
}

// cutShort freezes for as long as the process lives.
func (s *Stock) cutShort(l *ledger) {
	if l.ice.Swap(cut) == none {
		s.report(l.name, ErrFrozen)
	}
}

// view is what the last Look brought; never changed.
type view struct {
	seq     uint64
	holders map[string]Holding
}

func newLedger(name string, loaded map[string]int) *ledger {
	l := &ledger{name: strings.Clone(name), loaded: loaded, items: make(map[string]*latch, len(loaded))}
	for item := range loaded {
		l.items[item] = &latch{}
		l.items[item].probes.Store(open)
	}
	return l
}

// saw raises seen.
func (l *ledger) saw(seq uint64) {
	for {
		old := l.seen.Load()
		if seq <= old || l.seen.CompareAndSwap(old, seq) {
			return
		}
	}
}

// holding is what the account has, as far as is known here.
func (l *ledger) holding(account string) Holding {
	if h, ok := l.mine.get(account); ok {
		return h
	}
	if v := l.view.Load(); v != nil {
		return v.holders[account]
	}
	return Holding{}
}

// settled notes how a win of this gateway ended.
func (l *ledger) settled(account string, units int, outcome rules.Outcome) {
	h := l.holding(account)
	switch outcome {
	case rules.OutcomeSold:
		h = Holding{Bought: h.Bought + units}
	case rules.OutcomeFree:
		h.Open = false
	default:
		return // held is open, too
	}
	l.mine.set(account, h)
}

// install puts a Look in force, latches what has sold out and opens what has not.
func (l *ledger) install(p Picture, mark uint64) {
	l.view.Store(&view{seq: p.Seq, holders: p.Holders})
	l.mine.forget(mark)
	for item, c := range p.Items {
		t := l.items[item]
		if t == nil {
			continue
		}
		t.pending.Store(c.Free+c.Pending() > 0)
		if c.Free == 0 {
			t.probes.Store(0)
		} else {
			t.allow(c.Free)
		}
	}
}

// glance takes counts without holders: they may open, but never latch.
func (l *ledger) glance(p Picture) {
	for item, c := range p.Items {
		if t := l.items[item]; t != nil {
			t.pending.Store(c.Free+c.Pending() > 0)
			t.allow(c.Free)
		}
	}
}

// latch is one item's. probes is how many requests may still go to the store before it
// answers again; open: any number.
type latch struct {
	probes  atomic.Int64
	pending atomic.Bool // units may come back, or are there for those who probe
}

const open = -1

// allow makes room for probes where units are free again, or still.
func (t *latch) allow(free int) {
	if t == nil || free == 0 || t.probes.Load() == open {
		return
	}
	t.probes.Store(int64(max(probesMin, 2*free)))
}

// probe reports whether one more request may go to the store.
func (t *latch) probe() bool {
	for {
		n := t.probes.Load()
		if n == 0 {
			return false
		}
		if n == open || t.probes.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// recent are changes of holdings by this gateway that the last Look may have missed. It
// keeps none before the first Look begins: that one will see them.
type recent struct {
	mu    sync.RWMutex
	kept  map[string]change // nil: none are kept yet
	count uint64
	size  atomic.Int64 // of kept, to be seen without the lock: mostly it is empty
}

type change struct {
	Holding
	at uint64
}

// begin is called before a Look; what it returns goes to forget after it.
func (r *recent) begin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept == nil {
		r.kept = make(map[string]change)
	}
	return r.count
}

// forget drops what was set before the begin that returned mark.
func (r *recent) forget(mark uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.kept, func(_ string, c change) bool { return c.at <= mark })
	r.size.Store(int64(len(r.kept)))
}

func (r *recent) set(account string, h Holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.kept != nil {
		r.kept[strings.Clone(account)] = change{h, r.count}
		r.size.Store(int64(len(r.kept)))
	}
}

func (r *recent) get(account string) (Holding, bool) {
	if r.size.Load() == 0 {
		return Holding{}, false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.kept[account]
	return c.Holding, ok
}

// SoldOut is the gate that refuses from memory: no store, no allocation.
func (s *Stock) SoldOut() gate.Gate { return latched{s} }

type latched struct{ *Stock }

func (g latched) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	st, v := sells(f)
	if st == nil {
		return v
	}
	l := g.ledger(st.Ledger)
	if l == nil {
		return gate.Admit
	}
	t := l.items[f.Item]
	if t == nil || t.probes.Load() == open {
		return gate.Admit
	}
	h := l.holding(f.Account)
	switch {
	case h.Open:
		return gate.Verdict{Reason: gate.OrderPending}
	case h.Bought >= st.PerAccount:
		return gate.Verdict{Reason: gate.AlreadyBought}
	case t.probe():
		return gate.Admit
	case h.Bought > 0:
		return gate.Verdict{Reason: gate.AlreadyBought}
	}
	return soldOut(t.pending.Load())
}

func (latched) Release(*gate.Facts, gate.End) {}
