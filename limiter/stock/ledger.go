package stock

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/rules"

	"penstock/proxy/gate"
)

// ledger is what this gateway knows of one ledger.
//
// An item latches when the gateway knows all holders and none is free; so those who
// bought or wait are not told "sold out". Its own changes it knows at once, those of
// other gateways one poll later.
type ledger struct {
	name  string
	items atomic.Pointer[map[string]*latch]
	terms atomic.Pointer[Terms]
	state atomic.Uint32 // a State
	ice   atomic.Int32  // none, gone, cut, iced or archived

	epoch atomic.Uint64
	seen  atomic.Uint64 // the highest seq of the epoch that a reply has carried

	want    atomic.Bool // a Look
	holders holders
	mine    own

	partial bool // this process has not seen all that it holds the store to: it cannot vouch for it

	watched sync.Mutex // the watcher and a reload both compare
	since   uint64     // holders are known up to here
	looked  time.Time  // the last time all were
	told    uint64     // the freeze that all of mine was told to
	frost   uint64     // the freeze that is in force, as far as was seen; 0: none
	said    string     // the trouble that was reported last

	failing bool // of the sweeper alone: the last sweep failed
}

// Why a ledger is frozen.
const (
	none     = iota
	gone     // the store does not know it; it may be back
	cut      // it is older than it was. What is missing stays missing, however much is added
	iced     // the store says so: somebody else has seen it
	archived // an operator has put it away
)

func newLedger(name string, items map[string]int) *ledger {
	l := &ledger{name: strings.Clone(name)}
	l.items.Store(&map[string]*latch{})
	l.terms.Store(&Terms{})
	for item := range items {
		l.add(item)
	}
	return l
}

// add makes room for an item. One goroutine at a time: the watcher, or who makes the ledger.
func (l *ledger) add(item string) {
	all := maps.Clone(*l.items.Load())
	all[strings.Clone(item)] = newLatch()
	l.items.Store(&all)
}

func (l *ledger) item(name string) *latch { return (*l.items.Load())[name] }

func (l *ledger) frozen() bool { return l.ice.Load() != none }

func (l *ledger) stamp() Stamp { return Stamp{l.epoch.Load(), l.seen.Load()} }

// freeze reports once; a lesser reason does not hide a greater one.
func (s *Stock) freeze(l *ledger, why int32) {
	for {
		old := l.ice.Load()
		if old != none && (old != gone && old != iced || why != cut) {
			return
		}
		if !l.ice.CompareAndSwap(old, why) {
			continue
		}
		if old == none {
			s.Report(l.name, ErrFrozen)
		}
		s.wantLook(l)
		return
	}
}

// older reports whether a decision shows less history than was known before it was
// asked for. A win is a change, so it must show more; finding an order's reservation is
// none.
func (l *ledger) older(d Decision, before Stamp, order bool) bool {
	if d.Epoch != before.Epoch {
		return true
	}
	return d.Seq < before.Seq || d.Seq == before.Seq && d.Reason == gate.Admitted && !order
}

// saw raises seen.
func (l *ledger) saw(s Stamp) {
	for s.Epoch == l.epoch.Load() {
		old := l.seen.Load()
		if s.Seq <= old || l.seen.CompareAndSwap(old, s.Seq) {
			return
		}
	}
}

// adopt begins anew with the ledger as it is in the store.
func (l *ledger) adopt(p Picture) {
	l.holders.clear()
	l.since = 0
	for _, t := range *l.items.Load() {
		t.probes.Store(open)
	}
	l.epoch.Store(p.Epoch)
	l.seen.Store(p.Seq)
}

// follow takes what a poll has brought.
func (l *ledger) follow(p Picture) {
	l.saw(p.Stamp)
	terms := p.Terms
	l.terms.Store(&terms)
	l.state.Store(uint32(p.State))
	for item, c := range p.Items {
		if l.item(item) == nil {
			l.add(item)
		}
		t := l.item(item)
		t.glance(c, terms.Unknown)
		t.allow(c.Free)
	}
	if p.Seq != l.since && (l.latched() || p.State != Open) {
		l.want.Store(true)
	}
}

// latched reports whether any item is answered from memory.
func (l *ledger) latched() bool {
	for _, t := range *l.items.Load() {
		if t.probes.Load() != open {
			return true
		}
	}
	return false
}

// settled notes how a win of this gateway ends.
func (l *ledger) settled(f *gate.Facts, d *Settlement) {
	h := l.holders.get(f.Account)
	switch {
	case d.Outcome == rules.OutcomeSold:
		h = Holding{Bought: h.Bought + max(l.mine.units(d.Token), 1)}
	case d.Outcome == rules.OutcomeFree && !(d.Unsent && d.By != d.Token):
		h.Open = false
	default:
		return // held is open, too, and so is what may be ordered again
	}
	l.holders.set(f.Account, h, l.seen.Load()+1)
}

// holders are the accounts that hold something, as far as is known here, and at which
// seq it was known: what is older never replaces what is newer. It is read by every
// refusal and written by winners, so it is cut in pieces with a lock each.
type holders struct {
	pieces [32]piece
}

type piece struct {
	sync.RWMutex
	of    map[string]known
	empty []string // accounts that hold nothing any more, until no older news of them can come
}

type known struct {
	Holding
	seq uint64
}

// piece spreads accounts by FNV-1a (RFC 9923); a bad spread costs time only.
func (h *holders) piece(account string) *piece {
	sum := uint32(2166136261)
	for i := 0; i < len(account); i++ {
		sum = (sum ^ uint32(account[i])) * 16777619
	}
	return &h.pieces[sum%uint32(len(h.pieces))]
}

func (h *holders) get(account string) Holding {
	p := h.piece(account)
	p.RLock()
	defer p.RUnlock()
	return p.of[account].Holding
}

func (h *holders) set(account string, now Holding, seq uint64) {
	p := h.piece(account)
	p.Lock()
	defer p.Unlock()
	if p.of[account].seq > seq {
		return
	}
	if p.of == nil {
		p.of = make(map[string]known)
	}
	account = strings.Clone(account)
	p.of[account] = known{now, seq}
	if now == (Holding{}) {
		p.empty = append(p.empty, account)
	}
}

// prune forgets who holds nothing. All that was so at seq is known, so only what is
// younger may still be contradicted.
func (h *holders) prune(seq uint64) {
	for i := range h.pieces {
		p := &h.pieces[i]
		p.Lock()
		kept := p.empty[:0]
		for _, account := range p.empty {
			switch k := p.of[account]; {
			case k.Holding != Holding{}:
			case k.seq <= seq:
				delete(p.of, account)
			default:
				kept = append(kept, account)
			}
		}
		p.empty = kept
		p.Unlock()
	}
}

// keep forgets who was not seen since seq.
func (h *holders) keep(seq uint64) {
	for i := range h.pieces {
		p := &h.pieces[i]
		p.Lock()
		maps.DeleteFunc(p.of, func(_ string, k known) bool { return k.seq < seq })
		p.Unlock()
	}
}

func (h *holders) clear() {
	for i := range h.pieces {
		h.pieces[i].Lock()
		h.pieces[i].of, h.pieces[i].empty = nil, nil
		h.pieces[i].Unlock()
	}
}
