package ladder

import (
	"net/netip"
	"time"
	"unsafe"

	"penstock/limiter/ladder/memory"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Standing is where one account stands, for operators.
type Standing struct {
	Rung  rules.Rung
	By    rules.Signal // what put it there
	Since time.Time    // zero: for as long as it is counted
	Until time.Time    // zero: no end is set

	Would   rules.Rung // that a rule which only watches would say; pass: none
	Signals []Count    // all that are configured
	Points  int
	Reasons []Point // of the points
	Vouched bool    // by a clearance or by having won
	Looked  bool    // at the page
	Bans    int     // remembered
}

// Count is one signal: how many were counted, and to which rung that leads.
type Count struct {
	Signal rules.Signal
	Count  int
	Rung   rules.Rung
}

// Explain says where an account stands in a sale, now, when it comes from ip. It counts nothing,
// and knows of no clearance: what a clearance vouches for is owed here.
func (l *Ladder) Explain(sale *rules.Sale, account string, ip netip.Addr) Standing {
	return l.Stands(&gate.Facts{At: time.Now(), Sale: sale, Account: account, IP: ip})
}

// Stands says the same of who asks with f, at f.At.
func (l *Ladder) Stands(f *gate.Facts) Standing {
	if f.Sale == nil || f.Sale.Ladder == nil || f.Account == "" {
		return Standing{}
	}
	v := l.visitor(f)
	h := l.accounts.Look(v.key, v.now)
	defer h.Free()
	var a account // a copy: asking changes nothing
	if h.V != nil {
		a = *h.V
	}
	v.a = &a
	v.open(h.V == nil)
	s := Standing{Vouched: v.class() == vouched, Bans: int(v.p.bans)}
	s.Looked, _ = a.looked(v.now, v.r)
	v.signals(&s)
	v.verdict(&s)
	return s
}

func (v *visitor) signals(s *Standing) {
	add := func(by rules.Signal, steps rules.Steps, n int, most rules.Rung) {
		if steps != (rules.Steps{}) {
			s.Signals = append(s.Signals, Count{by, n, min(steps.Rung(n), most)})
		}
	}
	r, a := v.r, v.a
	add(rules.ByStrikes, r.Strikes, a.strikes.sum(), rules.RungBan)
	seen := Seen{Looked: s.Looked, Networks: a.networks(), From: a.nets}
	here, at := v.counted(v.l.addresses, v.f.HashIP())
	near, in := v.counted(v.l.networks, v.l.network(v.f))
	seen.Accounts, seen.Together = here, max(at, in)
	add(rules.ByAccounts, r.Accounts, here, rules.RungChallenge)
	add(rules.ByNetwork, r.Network, near, rules.RungChallenge)
	add(rules.ByAddresses, r.Addresses, seen.Networks, rules.RungBan)
	add(rules.ByIgnored, rules.Steps{Observe: r.Ignored.Observe, Ban: r.Ignored.Ban}, a.ignored.sum(), rules.RungBan)
	if v.l.score == nil || v.f.Sale.Behaviour == nil {
		return
	}
	s.Reasons = v.l.score.Explain(v.f, seen, &a.notes)
	for _, p := range s.Reasons {
		s.Points = min(s.Points+p.Points, 100)
	}
	add(rules.ByScore, r.Score, s.Points, rules.RungBan)
	if !v.f.Sale.Behaviour.Enforce && len(s.Signals) > 0 && r.Score != (rules.Steps{}) {
		last := &s.Signals[len(s.Signals)-1]
		s.Would, last.Rung = last.Rung, rules.RungPass
	}
}

// counted is how many accounts are counted at a place, and how many asked first together.
func (v *visitor) counted(t *memory.Table[place], key uint64) (count, together int) {
	h := t.Look(key, v.now)
	defer h.Free()
	if h.V == nil {
		return 0, 0
	}
	set := h.V.set
	heavy, light := set.Count(v.pane)
	return heavy + light/lightWeight, h.V.together(v, v.class())
}

// verdict is the strictest that is live; counts alone lead no higher than to observe.
func (v *visitor) verdict(s *Standing) {
	if v.p.shadow > v.now {
		s.Would = rules.RungBan
	}
	if v.banned() {
		s.Rung, s.By, s.Since, s.Until = rules.RungBan, v.p.banBy, v.l.at(v.p.banned), v.l.at(v.p.ban)
		return
	}
	if _, since, by := v.owes(); by != rules.NoSignal {
		s.Rung, s.By, s.Since = rules.RungChallenge, by, v.l.at(since)
		if v.p.challenge > v.now {
			s.Until = v.l.at(v.p.challenge)
		}
		return
	}
	for _, c := range s.Signals {
		if c.Rung > rules.RungPass && s.Rung == rules.RungPass {
			s.Rung, s.By = rules.RungObserve, c.Signal
		}
	}
}

// Stats are for metrics.
type Stats struct {
	Accounts, Addresses, Networks int    // remembered
	Forgotten                     uint64 // of all three, to make room
	Penalties, Room               int    // kept, and how many can be
	Bans                          [rules.Signals]uint64
	Refused                       uint64 // requests, as banned
	Unkept                        uint64 // bans for which there was no room: each held for one request
	Bytes                         int    // of an account's record, its place in the table not counted
}

// Stats counts what there is.
func (l *Ladder) Stats() Stats {
	s := Stats{
		Accounts: l.accounts.Size(), Addresses: l.addresses.Size(), Networks: l.networks.Size(),
		Forgotten: l.accounts.Evicted() + l.addresses.Evicted() + l.networks.Evicted(),
		Penalties: l.penalties.Size(), Room: l.penalties.Room(),
		Refused: l.refused.Load(), Unkept: l.unkept.Load(), Bytes: int(unsafe.Sizeof(account{})),
	}
	for i := range s.Bans {
		s.Bans[i] = l.bans[i].Load()
	}
	return s
}
