package embedded

// Accounts: what each holds, and in which order that changed.

import (
	"slices"
	"sort"
	"strings"

	"penstock/limiter/stock"
)

// holder is one account.
type holder struct {
	account string
	open    *entry
	seq     uint64 // of its last change; 0: nothing is to be told of it
	bought  int32
	lapsed  bool // has lost its reservation
	marked  bool // lapsed, on disk
}

func (h *holder) holding() stock.Holding {
	return stock.Holding{Bought: int(h.bought), Open: h.open != nil}
}

// leaver is an account that held nothing after the change seq, at that time.
type leaver struct {
	of  *holder
	seq uint64
	at  int64
}

// holder keeps a copy of the account: the caller's may be used again.
func (b *book) holder(account string) *holder {
	h := b.holders[account]
	if h == nil {
		h = &holder{account: strings.Clone(account)}
		b.holders[h.account] = h
	}
	return h
}

// hold books an open token of its account, or that it is open no more. An account has one
// at most, unless gateways assert others after data was lost.
func (b *book) hold(e *entry, open bool) {
	h := e.holder
	if !open {
		b.open--
		b.letGo(h, e)
		return
	}
	b.open++
	b.mark(h, false)
	if h.open == nil {
		h.open = e
	} else {
		b.beside[h] = append(b.beside[h], e)
	}
}

func (b *book) letGo(h *holder, e *entry) {
	others := b.beside[h]
	if h.open == e {
		if h.open = nil; len(others) == 0 {
			return
		}
		h.open, others = others[0], others[1:]
	} else if n := slices.Index(others, e); n >= 0 {
		others = slices.Delete(others, n, n+1)
	}
	if b.beside[h] = others; len(others) == 0 {
		delete(b.beside, h)
	}
}

// mark notes whether the account has lost a reservation since it last took one.
func (b *book) mark(h *holder, lapsed bool) {
	if h.lapsed != lapsed {
		h.lapsed, b.changed.any = lapsed, true
		b.changed.marks = append(b.changed.marks, h)
	}
}

// note puts the account last, because what it holds has changed.
func (b *book) note(h *holder, now int64) {
	b.journal.remove(h)
	b.Seq++
	h.seq = b.Seq
	b.journal.add(h)
	if h.open == nil && h.bought == 0 {
		b.leavers = append(b.leavers, leaver{h, h.seq, now})
	}
}

// leave forgets accounts that hold nothing, once everybody can have heard of it.
func (b *book) leave(now int64) {
	for n := 0; n < stock.ForgetLimit && len(b.leavers) > 0 && past(b.leavers[0].at, now); n++ {
		l := b.leavers[0]
		b.leavers[0] = leaver{}
		b.leavers = b.leavers[1:]
		if l.of.seq != l.seq {
			continue // it has changed since
		}
		b.journal.remove(l.of)
		l.of.seq = 0
		b.drop(l.of)
	}
}

// drop forgets an account of which nothing is left to say.
func (b *book) drop(h *holder) {
	if h.seq == 0 && !h.lapsed && h.bought == 0 && h.open == nil {
		delete(b.holders, h.account)
	}
}

// past reports whether what happened at that time need not be remembered any more.
func past(at, now int64) bool { return at+stock.Remembered.Milliseconds() <= now }

// page is the accounts that changed after since, and the seq up to which these are all.
func (b *book) page(since uint64) (map[string]stock.Holding, uint64) {
	found := make(map[string]stock.Holding)
	for h := range b.journal.after(since) {
		if len(found) == stock.LookLimit {
			return found, since
		}
		found[h.account], since = h.holding(), h.seq
	}
	return found, b.Seq
}

// journal is the holders in the order of their seq: a list of short lists, so that taking
// one out of the middle of a million moves some hundreds only.
type journal struct{ parts [][]*holder }

const journalPart = 512

func (j *journal) add(h *holder) {
	last := len(j.parts) - 1
	if last < 0 || len(j.parts[last]) == journalPart {
		j.parts = append(j.parts, nil)
		last++
	}
	j.parts[last] = append(j.parts[last], h)
}

// seek finds where the first holder with at least this seq is.
func (j *journal) seek(seq uint64) (part, at int) {
	part = sort.Search(len(j.parts), func(n int) bool {
		p := j.parts[n]
		return p[len(p)-1].seq >= seq
	})
	if part < len(j.parts) {
		p := j.parts[part]
		at = sort.Search(len(p), func(n int) bool { return p[n].seq >= seq })
	}
	return part, at
}

func (j *journal) remove(h *holder) {
	if h.seq == 0 {
		return
	}
	n, at := j.seek(h.seq)
	j.parts[n] = slices.Delete(j.parts[n], at, at+1)
	// Neighbours that fit into one do not stay apart: parts are half full on the whole.
	if n+1 < len(j.parts) && len(j.parts[n])+len(j.parts[n+1]) <= journalPart {
		j.parts[n] = append(j.parts[n], j.parts[n+1]...)
		j.parts = slices.Delete(j.parts, n+1, n+2)
	}
	if len(j.parts[n]) == 0 {
		j.parts = slices.Delete(j.parts, n, n+1)
	}
}

// after goes through the holders with a seq above since.
func (j *journal) after(since uint64) func(yield func(*holder) bool) {
	return func(yield func(*holder) bool) {
		n, at := j.seek(since + 1)
		for ; n < len(j.parts); n, at = n+1, 0 {
			for _, h := range j.parts[n][at:] {
				if !yield(h) {
					return
				}
			}
		}
	}
}
