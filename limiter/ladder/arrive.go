package ladder

import (
	"time"

	"penstock/limiter/ladder/memory"
	"penstock/proxy/gate"
	"penstock/rules"
)

// ignoredMark tells an account's ignored challenges from its strikes in the sketch.
const ignoredMark = 0x94d049bb133111eb

// patience is how many challenges may be ignored where an address is at its ban step.
const patience = 3

// visitor is one account while its record is locked.
type visitor struct {
	l         *Ladder
	f         *gate.Facts
	r         *rules.Ladder
	key       uint64
	now       int64
	pane      uint32
	a         *account
	p         penalty
	put       bool         // p has changed
	elsewhere bool         // it comes from another network than before
	new       rules.Signal // of a ban that is new
	unkept    bool         // there was no room for it
}

func (l *Ladder) visitor(f *gate.Facts) visitor {
	r, now := f.Sale.Ladder, l.now(f.At)
	return visitor{l: l, f: f, r: r, key: f.HashAccount(), now: now, pane: pane(now, r)}
}

// open fills in what is remembered of an account whose record has just been locked.
func (v *visitor) open(fresh bool) {
	if v.a.kept || fresh {
		v.p, v.a.kept = v.l.penalties.Look(v.key)
	}
	if fresh {
		v.a.pane = v.pane
		v.recall()
	}
	v.a.turn(v.pane)
	if at := v.f.Cleared.At; !at.IsZero() {
		v.a.answered(v.l.now(at))
	}
}

// recall gives an account that was forgotten back what it had against it. What only the sketch
// says never bans by itself.
func (v *visitor) recall() {
	a := v.a
	if v.a.kept {
		a.strikes.add(int(v.p.strikes))
		a.ignored.add(int(v.p.ignored))
		return
	}
	v.l.marks.within(window(v.r))
	if s := v.r.Strikes; s != (rules.Steps{}) {
		a.lent = below(v.l.marks.of(v.key, v.now), s.Ban)
		a.strikes.add(int(a.lent))
	}
	if v.r.Ignored.Ban > 0 {
		a.lentIgn = below(v.l.marks.of(v.key^ignoredMark, v.now), v.r.Ignored.Ban)
		a.ignored.add(int(a.lentIgn))
	}
}

func below(n, ban int) uint8 {
	if ban > 0 {
		n = min(n, ban-1)
	}
	return uint8(min(n, 255))
}

// forgotten is called when an account's record is let go.
func (l *Ladder) forgotten(key uint64, a *account, now int64) {
	strikes, ignored := a.strikes.sum(), a.ignored.sum()
	if a.kept {
		if p, here := l.penalties.Look(key); here {
			p.strikes, p.ignored = uint16(min(strikes, 1<<16-1)), uint16(min(ignored, 1<<16-1))
			l.penalties.Put(key, p, now)
			return
		}
	}
	l.marks.add(key, strikes-int(a.lent), now)
	l.marks.add(key^ignoredMark, ignored-int(a.lentIgn), now)
}

// close keeps what has changed and unlocks nothing: the caller does, and then calls tell.
func (v *visitor) close() {
	if v.put {
		kept := v.l.penalties.Put(v.key, v.p, v.now)
		v.a.kept = v.a.kept || kept
		v.unkept = !kept
	}
	if v.new != rules.NoSignal && !v.unkept {
		v.spend()
	}
}

// tell is called when nothing is locked any more.
func (v *visitor) tell() {
	switch {
	case v.new == rules.NoSignal:
	case v.unkept:
		v.l.unkept.Add(1)
	default:
		v.l.bans[v.new].Add(1)
		if v.l.banned != nil {
			v.l.banned(v.f, v.new, v.l.at(v.p.ban))
		}
	}
}

func (v *visitor) banned() bool { return v.p.ban > v.now }

// climb puts the account on a rung. A ban that is live is not made longer: its end has been said.
func (v *visitor) climb(by rules.Signal, rung rules.Rung) {
	if rung < rules.RungChallenge || v.banned() {
		return
	}
	v.put = true
	if v.p.climb(by, rung, v.r, v.now) {
		v.new = by
	}
}

// spend clears what has led to a ban: when it has ended, it takes as much again for another.
// A ban for which there was no room has spent nothing.
func (v *visitor) spend() {
	a := v.a
	switch v.new {
	case rules.ByAddresses:
		a.nets, a.more = [Networks]uint32{}, counts{}
	default:
		a.strikes, a.ignored, a.lent, a.lentIgn = counts{}, counts{}, 0, 0
	}
}

// class is what vouches for the account now.
func (v *visitor) class() class {
	if v.a.won || v.cleared() {
		return vouched
	}
	if _, early := v.a.looked(v.now, v.r); early {
		return light
	}
	return bare
}

func (v *visitor) cleared() bool {
	at := v.f.Cleared.At
	return !at.IsZero() && v.l.now(at)+window(v.r) > v.now
}

// arrive counts a request and says whether its account is banned.
func (l *Ladder) arrive(f *gate.Facts) gate.Verdict {
	v := l.visitor(f)
	l.accounts.Warm(v.key)
	address, network := f.HashIP(), l.network(f)
	byAddress, byNetwork := v.counts()
	if byAddress {
		l.addresses.Warm(address)
	}
	if byNetwork {
		l.networks.Warm(network)
	}
	h := l.accounts.Take(v.key, v.now)
	v.a = h.V
	v.open(h.Fresh)
	if !v.banned() {
		v.count(address, network)
		v.score()
		v.close()
	}
	h.Free()
	v.tell()
	switch {
	case v.banned():
		l.refused.Add(1)
		return gate.Verdict{Reason: gate.Banned, Retry: time.Duration(v.p.ban - v.now)}
	case v.p.shadow > v.now:
		return gate.Verdict{Reason: gate.Admitted, Would: gate.Banned}
	}
	return gate.Admit
}

// counts says which places are counted at.
func (v *visitor) counts() (address, network bool) {
	b := v.f.Sale.Behaviour
	if b == nil {
		b = &rules.Behaviour{}
	}
	return v.r.Accounts != (rules.Steps{}) || b.Shared > 0 || b.Together > 0, v.r.Network != (rules.Steps{}) || b.Together > 0
}

// recently is for how long an account that has been counted at a place is not counted again:
// nothing would be different but the ends of verdicts, by as little.
const recentlyMs = 250

// count is the arrival: where from, and how many others came from there.
func (v *visitor) count(address, network uint64) {
	a, r := v.a, v.r
	c, here, ms := v.class(), uint32(address>>32)|1, millis(v.now)
	known, early := a.here == here && a.class == c, v.early()
	if known && !early && ms-a.hereMs < recentlyMs {
		return
	}
	v4 := v.f.IP.Is4()
	v.elsewhere = a.elsewhere(network, v4)
	a.from(network, v4)
	byAddress, byNetwork := v.counts()
	together := 0
	if byAddress {
		n, at := v.at(v.l.addresses, address, c, known, early, r.Accounts)
		a.crowd, together = short(n), at
	}
	if byNetwork {
		_, in := v.at(v.l.networks, network, c, known, early, r.Network)
		together = max(together, in)
	}
	a.together = short(together)
	a.here, a.hereMs, a.class = here, ms, c
	if n := r.Addresses; n != (rules.Steps{}) {
		v.climb(rules.ByAddresses, n.Rung(a.networks()))
	}
}

func short(n int) uint16 { return uint16(min(n, 1<<16-1)) }

// at makes the account one of those at a place, or takes it out where it is vouched for, and
// says how many there are, and how many asked first together. known says that it has been counted
// there in this pane as it is, and early that this is its first request after the opening.
func (v *visitor) at(t *memory.Table[place], key uint64, c class, known, early bool, s rules.Steps) (count, together int) {
	h := t.Take(key, v.now)
	defer h.Free()
	switch {
	case h.V == nil:
		return 0, 0
	case c == vouched:
		h.V.set.Remove(v.key, v.pane)
	case !known || h.Fresh:
		h.V.set.Add(v.key, c == light, v.pane)
	}
	if early && c != vouched {
		h.V.of(v.opening()).asked(v)
	}
	return h.V.judge(s, v.r, v.now, v.pane), h.V.together(v, c)
}

// score asks what the behaviour is worth.
func (v *visitor) score() {
	b := v.f.Sale.Behaviour
	if v.l.score == nil || b == nil {
		return
	}
	seen := Seen{Accounts: int(v.a.crowd), Together: int(v.a.together), Networks: v.a.networks(), From: v.a.nets, Elsewhere: v.elsewhere}
	seen.Looked, _ = v.a.looked(v.now, v.r)
	v.scored(v.l.score.Asked(v.f, seen, &v.a.notes), b.Enforce)
}

// scored is what the points lead to. Points that have led to a ban do not lead to another.
func (v *visitor) scored(points int, enforce bool) {
	rung := v.r.Score.Rung(points)
	switch {
	case rung == rules.RungBan && points <= int(v.p.spent):
		rung = rules.RungChallenge
	case rung == rules.RungBan && enforce && !v.banned():
		v.p.spent = uint8(min(points, 255))
	}
	if enforce {
		v.climb(rules.ByScore, rung)
	} else if rung == rules.RungBan {
		v.p.shadow, v.p.shadowBy, v.put = v.now+int64(v.r.For), rules.ByScore, true
		v.p.forget = max(v.p.forget, v.p.shadow+window(v.r))
	}
}
