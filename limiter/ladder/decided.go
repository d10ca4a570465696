package ladder

import (
	"time"

	"penstock/limiter/ladder/memory"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Decided counts what became of a request against its account, or for it.
func (l *Ladder) Decided(d *gate.Decision) {
	f := d.Facts
	if f.Sale == nil || f.Sale.Ladder == nil || f.Account == "" || !tells(d) {
		return
	}
	v := l.visitor(f)
	h := l.accounts.Take(v.key, v.now)
	v.a = h.V
	v.open(h.Fresh)
	v.decided(d)
	v.close()
	h.Free()
	v.tell()
}

func (v *visitor) decided(d *gate.Decision) {
	switch {
	case d.Step == gate.Looks:
		v.looks()
	case d.Reason == gate.NotOpen && !v.banned(): // refused before the ladder saw it
		v.count(v.f.HashIP(), v.l.network(v.f))
		v.score()
		v.against(d)
	case !v.banned():
		v.against(d)
	}
	v.a.won = v.a.won || d.Won
}

// looks notes that the account has the page open, and where: who looks from one network and asks
// from another has both.
func (v *visitor) looks() {
	v.a.looks(v.now, v.r)
	network := v.l.network(v.f)
	v.a.from(network, v.f.IP.Is4())
	if !v.timed() || v.a.looking == v.opening() {
		return
	}
	v.a.looking = v.opening()
	look := func(t *memory.Table[place], key uint64) {
		h := t.Take(key, v.now)
		defer h.Free()
		if h.V != nil {
			h.V.of(v.a.looking).known++
		}
	}
	look(v.l.addresses, v.f.HashIP())
	look(v.l.networks, network)
}

// tells reports whether a decision says anything of who asked: most refusals do not.
func tells(d *gate.Decision) bool {
	return d.Step == gate.Looks || d.Won || strikes(d.Reason) || strikes(d.Would) || d.Reason == gate.Challenge || d.Reason == gate.NotOpen
}

// against counts strikes and ignored challenges.
func (v *visitor) against(d *gate.Decision) {
	switch {
	case strikes(d.Reason) || strikes(d.Would):
		v.a.strikes.add(1)
		v.climb(rules.ByStrikes, v.r.Strikes.Rung(v.a.strikes.sum()))
	case d.Reason == gate.NotOpen:
		// Whoever asks has been told when it opens, but for the first time.
		if v.a.told {
			v.a.strikes.add(1)
			v.climb(rules.ByStrikes, v.r.Strikes.Rung(v.a.strikes.sum()))
		}
		v.a.told = true
	case d.Reason == gate.Challenge && (v.a.clearMs == 0 || int32(millis(v.now)-v.a.clearMs) > 0):
		v.a.ignored.add(1)
		n := v.a.ignored.sum()
		if r := v.r.Ignored; r.Ban > 0 && n >= r.Ban || n >= patience && v.harsh() {
			v.climb(rules.ByIgnored, rules.RungBan)
		}
	}
}

func strikes(r gate.Reason) bool { return r == gate.RateLimited || r == gate.InFlight }

// harsh reports whether the account comes from where the ban step is reached, unvouched.
func (v *visitor) harsh() bool {
	if v.class() != bare {
		return false
	}
	a, n := v.places()
	return a.harsh || n.harsh
}

// standing is what a place says to one account now.
type standing struct {
	owes, harsh bool
	since       int64
}

// places asks the address and the network, and counts nothing.
func (v *visitor) places() (address, network standing) {
	c := v.class()
	ask := func(key uint64, network bool) (s standing) {
		t := v.l.addresses
		if network {
			t = v.l.networks
		}
		h := t.Look(key, v.now)
		defer h.Free()
		if h.V == nil {
			return standing{owes: h.Crowded && c != vouched}
		}
		return standing{h.V.owes(c) > v.now, h.V.harsh > v.now, h.V.since}
	}
	if v.r.Accounts != (rules.Steps{}) {
		address = ask(v.f.HashIP(), false)
	}
	if v.r.Network != (rules.Steps{}) {
		network = ask(v.l.network(v.f), true)
	}
	return address, network
}

// Owes says whether a challenge is owed, how hard, and since when the strictest thing is known:
// what was solved before that counts no more. A ban is stricter, even one that has ended: since
// is then its beginning, and is told also where nothing is owed. Zero: anything solved counts.
//
// Level 0 is for where they come from, 1 for what they did themselves, and one more for each
// ban before, up to 3.
func (l *Ladder) Owes(f *gate.Facts) (level uint8, since time.Time, owed bool) {
	if f.Sale == nil || f.Sale.Ladder == nil || f.Account == "" {
		return 0, time.Time{}, false
	}
	v := l.visitor(f)
	h := l.accounts.Take(v.key, v.now)
	v.a = h.V
	v.open(h.Fresh)
	level, at, by := v.owes()
	h.Free()
	return level, l.at(at), by != rules.NoSignal
}

func (v *visitor) owes() (level uint8, since int64, by rules.Signal) {
	since = v.p.banned
	if v.p.challenge > v.now {
		return v.p.level, max(since, v.p.asked), v.p.challengeBy
	}
	if v.class() == vouched {
		return 0, since, rules.NoSignal
	}
	address, network := v.places()
	switch {
	case address.owes:
		return 0, max(since, address.since), rules.ByAccounts
	case network.owes:
		return 0, max(since, network.since), rules.ByNetwork
	case !v.a.kept && v.l.penalties.Full(v.now):
		return 0, since, rules.ByAll
	}
	return 0, since, rules.NoSignal
}
