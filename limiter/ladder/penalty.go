package ladder

import (
	"sync/atomic"

	"penstock/limiter/ladder/memory"
	"penstock/rules"
)

// penalty is the verdicts on one account: kept until the last has ended and a window more, so
// that what was solved before a ban does not count after it.
type penalty struct {
	banned    int64 // since when; 0: never
	ban       int64 // until when
	asked     int64 // since when a challenge is owed
	challenge int64 // until when
	shadow    int64 // until when a rule that only watches would ban
	forget    int64

	strikes, ignored             uint16 // while its account is forgotten
	banBy, challengeBy, shadowBy rules.Signal
	level                        uint8 // of the challenge
	bans                         uint8 // so far
	spent                        uint8 // points that have led to a ban: more are needed for another
	_                            [2]uint8
}

// last is when nothing holds any more.
func (p *penalty) last() int64 { return max(p.ban, p.challenge, p.shadow) }

// ended: where room is pressed what has ended need not be remembered as well.
func ended(p *penalty, now int64, pressed bool) bool {
	return p.last() <= now && (pressed || p.forget <= now)
}

// climb notes a reason for a rung. It reports whether that is a new ban.
func (p *penalty) climb(by rules.Signal, rung rules.Rung, r *rules.Ladder, now int64) bool {
	until := now + int64(r.For)
	switch rung {
	case rules.RungChallenge:
		if level := min(1+p.bans, rules.MostLevel); p.asked == 0 || level > p.level {
			p.asked, p.level = now, level
		}
		if until > p.challenge {
			p.challenge, p.challengeBy = until, by
		}
	case rules.RungBan:
		p.banned, p.ban, p.banBy = now, until, by
		p.bans = min(p.bans+1, rules.MostLevel)
	}
	p.forget = max(p.forget, p.last()+window(r))
	return rung == rules.RungBan
}

// marks are the strikes and ignored challenges of accounts that were forgotten: two sketches,
// of this span of time and of the one before.
type marks struct {
	keys int
	span atomic.Int64 // the longest window there was
	pair atomic.Pointer[pair]
}

type pair struct {
	turn      int64
	now, then *memory.Sketch
}

func newMarks(keys int) *marks {
	m := &marks{keys: keys}
	m.pair.Store(&pair{now: memory.NewSketch(keys), then: memory.NewSketch(keys)})
	return m
}

// at returns the pair for a time, turned where its span is over.
func (m *marks) at(now int64) *pair {
	for {
		p, span := m.pair.Load(), m.span.Load()
		turn := now / max(span, 1e9)
		if turn <= p.turn {
			return p
		}
		next := &pair{turn: turn, now: memory.NewSketch(m.keys), then: p.now}
		if turn > p.turn+1 && p.turn != 0 {
			next.then = memory.NewSketch(m.keys)
		}
		if m.pair.CompareAndSwap(p, next) {
			return next
		}
	}
}

// within makes marks last for a window.
func (m *marks) within(window int64) {
	for span := m.span.Load(); span < window && !m.span.CompareAndSwap(span, window); span = m.span.Load() {
	}
}

func (m *marks) add(key uint64, n int, now int64) {
	if n > 0 {
		m.at(now).now.Add(key, n)
	}
}

// of is how many marks a key has, less twice what those of others may have added: who was never
// here must not pay for millions that were.
func (m *marks) of(key uint64, now int64) int {
	p := m.at(now)
	n := max(0, p.now.Estimate(key)-2*p.now.Noise())
	return n + max(0, p.then.Estimate(key)-2*p.then.Noise())
}
