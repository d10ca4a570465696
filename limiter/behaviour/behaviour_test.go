package behaviour

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"penstock/limiter/ladder"
	"penstock/proxy/gate"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var opens = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

func sale(b rules.Behaviour) *rules.Sale {
	return &rules.Sale{
		Name: "s", Opens: opens, Behaviour: &b,
		Ladder: &rules.Ladder{Window: 10 * time.Minute, For: time.Minute, Accounts: rules.Steps{Observe: 10}, Score: rules.Steps{Ban: 101}},
	}
}

// person is one account and what is kept of it.
type person struct {
	s     *Score
	f     gate.Facts
	seen  ladder.Seen
	notes ladder.Notes
}

func newPerson(s *Score, sale *rules.Sale, account string) *person {
	return &person{s: s, f: gate.Facts{Sale: sale, Account: account, At: opens}, seen: ladder.Seen{Networks: 1}}
}

// asks so long after the opening.
func (p *person) asks(after time.Duration) int {
	p.f.At = opens.Add(after)
	return p.s.Asked(&p.f, p.seen, &p.notes)
}

func (p *person) why() string {
	var all []string
	for _, point := range p.s.Explain(&p.f, p.seen, &p.notes) {
		all = append(all, fmt.Sprintf("%d: %s", point.Points, point.Why))
	}
	return strings.Join(all, "; ")
}

func (p *person) want(t *testing.T, points int, why string) {
	t.Helper()
	if got := p.asks(p.f.At.Sub(opens)); got != points {
		t.Errorf("%d points, want %d", got, points)
	}
	if got := p.why(); got != why {
		t.Errorf("because %q, want %q", got, why)
	}
}

func TestReaction(t *testing.T) {
	b := rules.Behaviour{Reaction: 40, Fastest: 150 * time.Millisecond}
	f := func(points int, why string, sale *rules.Sale, after ...time.Duration) {
		t.Helper()
		p := newPerson(New(), sale, "c:a")
		got := 0
		for _, d := range after {
			got = p.asks(d)
		}
		if why2 := p.why(); got != points || why2 != why {
			t.Errorf("asked after %v: %d points because %q, want %d because %q", after, got, why2, points, why)
		}
	}
	ms := time.Millisecond
	f(40, "40: asked 12 ms after the opening", sale(b), 12*ms)
	f(40, "40: asked 0 ms after the opening", sale(b), 0)
	f(40, "40: asked 12 ms after the opening", sale(b), 12*ms, time.Minute)
	f(40, "40: asked 3 times within 150ms of the opening, first after 12 ms", sale(b), 12*ms, 20*ms, 149*ms)
	f(20, "20: asked 150 ms after the opening, as few people do: half the points", sale(b), 150*ms)
	f(20, "20: asked 299 ms after the opening, as few people do: half the points", sale(b), 299*ms)
	f(0, "", sale(b), 300*ms)
	f(20, "20: asked 160 ms after the opening, as few people do: half the points", sale(b), 170*ms, 160*ms)
	f(40, "40: asked 12 ms after the opening", sale(b), 160*ms, 12*ms, 14*time.Second)
	f(0, "", sale(b), -ms)
	f(0, "", sale(b), -10*ms)
	f(0, "", sale(b), 12*ms, 11*time.Minute)
	short := sale(b)
	short.Ladder.Window = 3 * time.Second
	f(40, "40: asked 12 ms after the opening", short, 12*ms, 3*time.Second, 5*time.Second)
	f(0, "", short, 12*ms, 3*time.Second, 6*time.Second, 9*time.Second, 11*time.Second)
	unknown := sale(b)
	unknown.Opens = time.Time{}
	f(0, "", unknown, 12*ms)
}

func TestNoPageAndShared(t *testing.T) {
	s := sale(rules.Behaviour{NoPage: 30, Page: "/phone", Shared: 25})
	p := newPerson(New(), s, "c:a")
	p.seen.Accounts = 10
	p.want(t, 55, "30: never looked at /phone; 25: its address has 10 accounts that nothing vouches for")
	p.seen = ladder.Seen{Looked: true, Accounts: 9}
	p.want(t, 0, "")
	newPerson(New(), s, "v:abc").want(t, 0, "")
	newPerson(New(), sale(rules.Behaviour{NoPage: 30}), "c:a").want(t, 0, "")
	s.Ladder.Accounts = rules.Steps{}
	p.seen.Accounts = crowd
	p.want(t, 25, "25: its address has 20 accounts that nothing vouches for")
}

func TestScoreIsAHundredAtMost(t *testing.T) {
	p := newPerson(New(), sale(rules.Behaviour{NoPage: 80, Page: "/phone", Reaction: 70, Fastest: time.Second}), "c:a")
	if got := p.asks(0); got != 100 {
		t.Errorf("%d points, want 100", got)
	}
}

func regularly(t *testing.T, name string, want bool, next func(i int) time.Duration) {
	t.Helper()
	p := newPerson(New(), sale(rules.Behaviour{Regular: 35}), "c:a")
	at, got := time.Minute, 0
	for i := range 12 {
		got = max(got, p.asks(at))
		at += next(i)
	}
	if (got > 0) != want {
		t.Errorf("%s: regular %v, want %v", name, got > 0, want)
	}
}

func TestRegular(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	ms := func(n float64) time.Duration { return time.Duration(n * 1e6) }
	regularly(t, "every second", true, func(int) time.Duration { return time.Second })
	regularly(t, "every second, with a network's delays", true, func(int) time.Duration { return ms(1000 + rng.Float64()*20) })
	regularly(t, "backing off by twos", true, func(i int) time.Duration { return min(250*time.Millisecond<<i, 30*time.Second) })
	regularly(t, "multiples of 500 ms", true, func(i int) time.Duration { return 500 * time.Millisecond * time.Duration(1+i*7%5*min(i, 1)) })
	regularly(t, "every 20 ms, which a network can be", false, func(int) time.Duration { return 20 * time.Millisecond })
	regularly(t, "a person's clicks", false, func(int) time.Duration { return ms(300 + rng.ExpFloat64()*2000) })
	p := newPerson(New(), sale(rules.Behaviour{Regular: 35}), "c:a")
	for i := range 5 { // four intervals are too few
		if got := p.asks(time.Duration(i) * time.Second); got != 0 {
			t.Errorf("regular after %d intervals", i)
		}
	}
}

// TestIntervals: those between requests that came one after the other, of one visit.
func TestIntervals(t *testing.T) {
	const from = time.Minute
	for _, x := range []struct {
		name  string
		after []time.Duration // in ms
		n     uint8
		mean  float32
	}{
		{"one after the other", []time.Duration{0, 500, 1100}, 2, 550},
		{"overtaken", []time.Duration{0, 500, 400, 1000}, 2, 500},
		{"sent together", []time.Duration{0, 1, 500}, 1, 500},
		{"after a window", []time.Duration{0, 500, 601_000, 602_000}, 1, 1000},
		{"after a clock was set back", []time.Duration{0, 500, -61_000, -60_000}, 1, 1000},
	} {
		p := newPerson(New(), sale(rules.Behaviour{Regular: 35}), "c:a")
		for _, ms := range x.after {
			p.asks(from + ms*time.Millisecond)
		}
		if n := load(&p.notes); n.n != x.n || n.mean != x.mean {
			t.Errorf("%s: %d intervals of %v ms, want %d of %v", x.name, n.n, n.mean, x.n, x.mean)
		}
	}
}

// TestWhoObeysIsNotRegular: of those who wait as they are told, with our jitter, at most one in
// a hundred looks like a clock at any time of a long wait, whatever they are told.
func TestWhoObeysIsNotRegular(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const people, asks = 2000, 20
	for _, told := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 30 * time.Second} {
		wrong := 0
		for range people {
			p, at := newPerson(&Score{}, sale(rules.Behaviour{Regular: 35}), "c:a"), time.Minute
			for range asks {
				spread := int64(min(told/2+250*time.Millisecond, 2*time.Second))
				at += told + time.Duration(rng.Int64N(spread)) + time.Duration(30+rng.IntN(40))*time.Millisecond
				if p.asks(at) > 0 {
					wrong++
					break
				}
			}
		}
		if wrong > people/100 {
			t.Errorf("told to wait %v, %d of %d look like a clock", told, wrong, people)
		}
	}
}

// TestRing: three networks, at each of which others rotate too, by now. Somebody with a network at
// home and one underway is in none, whoever else is there.
func TestRing(t *testing.T) {
	s, sale := New(), sale(rules.Behaviour{Ring: 45})
	ask := func(p *person, networks ...uint32) int {
		p.seen.From, p.seen.Networks = [ladder.Networks]uint32{}, len(networks)
		copy(p.seen.From[:], networks)
		return p.asks(time.Minute)
	}
	var bots []*person
	for i := range 6 {
		p := newPerson(s, sale, fmt.Sprintf("c:bot%d", i))
		bots = append(bots, p)
		ask(p, 3)
		ask(p, 3, 5)
		if got, want := ask(p, 3, 5, 7), map[bool]int{true: 45}[i >= 2]; got != want {
			t.Errorf("account %d of a ring has %d points, want %d", i, got, want)
		}
	}
	if why := bots[0].why(); why != "45: came from 3 networks that other accounts rotate through as well" {
		t.Errorf("the first of the ring has %q now that there are others", why)
	}
	p := newPerson(s, sale, "c:underway")
	for range 10 {
		if got := ask(p, 3) + ask(p, 3, 1001); got != 0 {
			t.Errorf("a person with two networks has %d points", got)
		}
	}
	for i := range uint32(20) { // two campuses, and the carrier that all on them have
		p = newPerson(s, sale, fmt.Sprint("c:student", i))
		for range 3 {
			if got := ask(p, 3001+i%2*3000, 4001); got != 0 {
				t.Errorf("student %d, between the campus and a carrier, has %d points", i, got)
			}
		}
	}
	for name, where := range map[string][]uint32{"two of a ring's": {3, 5, 5001}, "those of people": {3001, 4001, 6001}} {
		p = newPerson(s, sale, "c:"+name)
		for range 9 {
			if got := ask(p, where...); got != 0 {
				t.Errorf("whose networks are %s has %d points", name, got)
			}
		}
	}
	p = newPerson(s, sale, "c:traveller")
	for range 10 {
		if got := ask(p, 2001, 2003, 2005, 2007); got != 0 {
			t.Errorf("a traveller alone on networks has %d points", got)
		}
	}
	for n := range uint32(3) { // who rotates on, and comes to a ring's networks later
		got := ask(p, append([]uint32{2001, 2003, 2005, 2007}, []uint32{3, 5, 7}[:n+1]...)...)
		if want := map[bool]int{true: 45}[n == 2]; got != want {
			t.Errorf("a traveller in %d networks of a ring has %d points, want %d", n+1, got, want)
		}
	}
	for _, bot := range bots { // the ring goes on to another network
		ask(bot, 3, 5, 7, 9)
	}
	if got := ask(newPerson(s, sale, "c:next"), 9, 5, 7); got != 45 {
		t.Errorf("in the newest of a ring's networks, and two others, has %d points", got)
	}
	p = newPerson(s, sale, "c:later") // a window and a pane after the ring was there
	p.seen.From, p.seen.Networks = [ladder.Networks]uint32{3, 5, 7}, 3
	if got := p.asks(14 * time.Minute); got != 0 {
		t.Errorf("alone on the networks that a ring had %d points", got)
	}
}

// TestRingStaysAsLongAsItAsks: its accounts are noted again in each pane.
func TestRingStaysAsLongAsItAsks(t *testing.T) {
	s, sale := New(), sale(rules.Behaviour{Ring: 45})
	var bots [3]*person
	for i := range bots {
		bots[i] = newPerson(s, sale, fmt.Sprintf("c:bot%d", i))
		bots[i].seen.From, bots[i].seen.Networks = [ladder.Networks]uint32{3, 5, 7}, 3
	}
	for after := time.Minute; after < time.Hour; after += 2 * time.Minute {
		for _, p := range bots {
			p.asks(after)
		}
		if got := bots[0].asks(after); got != 45 {
			t.Fatalf("after %v the ring has %d points, want 45", after, got)
		}
	}
}

func TestNotesKeepWhatTheyAreGiven(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := note{
			last: rapid.Uint32().Draw(r, "last"), mean: rapid.Float32().Draw(r, "mean"), square: rapid.Float32().Draw(r, "square"),
			base: rapid.Uint32().Draw(r, "base"), n: rapid.Byte().Draw(r, "n"), grid: rapid.Byte().Draw(r, "grid"),
			atOnce: rapid.Byte().Draw(r, "at once"), sooner: rapid.Uint16().Draw(r, "sooner"), moved: rapid.Bool().Draw(r, "moved"),
			nets: rapid.Byte().Draw(r, "networks"), pane: rapid.Byte().Draw(r, "pane"),
		}
		var notes ladder.Notes
		if n.store(&notes); load(&notes) != n {
			r.Fatalf("%+v came back as %+v", n, load(&notes))
		}
	})
}

// TestOnALadder: all together, and without an allocation.
func TestOnALadder(t *testing.T) {
	l := ladder.New(ladder.Options{Score: New(), Accounts: 1 << 10, Addresses: 1 << 8})
	s := sale(rules.Behaviour{NoPage: 60, Page: "/phone", Reaction: 50, Fastest: time.Second, Enforce: true})
	s.Ladder.Score = rules.Steps{Challenge: 50, Ban: 100}
	s.Opens = time.Now().Add(-10 * time.Millisecond)
	f := &gate.Facts{At: time.Now(), Sale: s, Account: "c:bot", IP: netip.MustParseAddr("192.0.2.1")}
	if v := l.Gate().Admit(context.Background(), f); v.Reason != gate.Banned {
		t.Errorf("a bot got %v", v.Reason)
	}
	if e := l.Explain(s, "c:bot", f.IP); len(e.Reasons) != 2 || e.Points != 100 || e.By != rules.ByScore {
		t.Errorf("explained as %+v", e)
	}
	p := &gate.Facts{At: time.Now(), Sale: s, Account: "c:person", IP: f.IP}
	l.Decided(&gate.Decision{Facts: p, Step: gate.Looks, Reason: gate.Admitted})
	p.At = p.At.Add(5 * time.Second)
	d := gate.Decision{Facts: p, Reason: gate.SoldOut}
	if n := testing.AllocsPerRun(100, func() {
		if v := l.Gate().Admit(context.Background(), p); !v.OK() {
			t.Errorf("a person got %v", v.Reason)
		}
		l.Decided(&d)
		p.At = p.At.Add(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

func BenchmarkAsked(b *testing.B) {
	l := ladder.New(ladder.Options{Score: New()})
	s := sale(rules.Behaviour{NoPage: 1, Page: "/phone", Reaction: 1, Fastest: time.Second, Regular: 1, Shared: 1, Ring: 1, Enforce: true})
	f := gate.Facts{At: time.Now(), Sale: s, IP: netip.MustParseAddr("192.0.2.1")}
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("c:%d", i)
	}
	d := gate.Decision{Facts: &f, Reason: gate.SoldOut}
	b.ReportAllocs()
	for i := range b.N {
		f.Account = names[i%len(names)]
		f.At = f.At.Add(time.Microsecond)
		l.Gate().Admit(context.Background(), &f)
		l.Decided(&d)
	}
}
