package lease

import (
	"sync"
	"time"

	"penstock/limiter/shared"
)

const (
	stripeBits = 8
	stripes    = 1 << stripeBits
	// mostAccounts bounds memory: with all that a map takes beside them, 40 MB. Accounts of
	// which there is no room to think count with this gateway's own limits only.
	mostAccounts = 1 << 18
	perStripe    = mostAccounts / stripes
	// mostLooks is how many accounts are looked at for one that is of no interest.
	mostLooks = 8
)

// stripe is a share of the accounts. They lie in one piece, which is what the exchange goes
// through from end to end, and are found by a map that is written only as they come and go.
type stripe struct {
	sync.Mutex
	at    map[uint64]uint32 // by key, where in all
	all   []account
	free  []uint32
	looks uint32   // where the last look for one of no interest has ended
	_     [40]byte // no two locks on one cache line
}

// find answers nil where the account is not here. What it answers is the stripe's until
// that is unlocked.
func (s *stripe) find(key uint64) *account {
	if i, here := s.at[key]; here {
		return &s.all[i]
	}
	return nil
}

// add makes an account that is not here; nil: there is no room for it.
func (s *stripe) add(key uint64) *account {
	if len(s.free) == 0 && len(s.all) == perStripe {
		s.makeRoom()
	}
	switch n := len(s.free); {
	case n > 0:
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.at[key] = i
		s.all[i] = account{key: key}
		return &s.all[i]
	case len(s.all) < perStripe:
		s.at[key] = uint32(len(s.all))
		s.all = append(s.all, account{key: key})
		return &s.all[len(s.all)-1]
	}
	return nil
}

// makeRoom drops one of no interest, if it soon finds one. What is hot, or others told of, is
// not thrown out.
func (s *stripe) makeRoom() {
	for range mostLooks {
		s.looks = (s.looks + 1) % perStripe
		if a := &s.all[s.looks]; !a.hot() && a.others == 0 && !a.told && !a.foreign {
			s.drop(a)
			return
		}
	}
}

func (s *stripe) drop(a *account) {
	s.free = append(s.free, s.at[a.key])
	delete(s.at, a.key)
	*a = account{}
}

// account is what one account does. Times are counted from the gate's start.
type account struct {
	key     uint64        // 0: there is none here
	tat     time.Duration // GCRA: when it will owe nothing, of charges by all gateways
	own     time.Duration // the same of charges here alone
	last    time.Duration // the interval that it was charged last, here
	owed    time.Duration // sum of charges here
	since   time.Duration // of it, what others heard of before they forgot
	said    time.Duration // of it, what others have heard of
	until   time.Duration // others counts so long
	running int32         // here
	others  int32         // in flight elsewhere
	charges uint32        // here
	told    bool          // others know of it
	foreign bool          // it owes by others' charges
}

func (a *account) elsewhere(now time.Duration) int {
	if now >= a.until {
		return 0
	}
	return int(a.others)
}

func (a *account) charge(now, every time.Duration) {
	a.tat = max(a.tat, now) + every
	a.own = max(a.own, now) + every
	a.last = every
	a.owed = min(a.owed+every, horizon)
	a.charges++
}

// hot accounts are told of.
func (a *account) hot() bool { return a.running > 0 || a.charges >= 2 }

// over reports whether nothing about it matters any more.
func (a *account) over(now time.Duration) bool {
	return a.running == 0 && now >= a.until && now >= a.tat+a.last
}

// lease is what others are told.
func (a *account) lease(now time.Duration) shared.Lease {
	return shared.Lease{Key: a.key, Running: int(a.running), Owed: a.owed - a.since, Debt: max(0, a.own-now)}
}

// fresh is what an account was charged at another gateway since that told before. With
// nothing told before, or when it has begun anew, only what is still owed can matter of it.
func fresh(l *shared.Lease, before time.Duration, known bool) time.Duration {
	if known && l.Owed >= before {
		return l.Owed - before
	}
	return min(l.Owed, l.Debt)
}

// hear counts what all others do.
func (a *account) hear(d deeds, now time.Duration) {
	a.others, a.until = int32(min(d.running, 1<<30)), now+shared.LeaseFor
	if d.charged > 0 {
		a.tat = min(max(a.tat, now)+d.charged, now+horizon)
		a.foreign = true
	}
}
