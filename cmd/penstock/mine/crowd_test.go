package mine

// A small labelled crowd, the same for the same seed, and logs of it.

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const opening = 1764288000_000000 // Unix µs

// act is one line to be.
type act struct {
	t                               int64
	sale, acct, ip, step, reason, x string
}

func (a act) String() string {
	b := fmt.Sprintf(`{"t":%d,"sale":%q,"acct":%q,"ip":%q,"step":%q,"reason":%q`, a.t, a.sale, a.acct, a.ip, a.step, a.reason)
	if a.t >= opening && a.step != "look" {
		b += fmt.Sprintf(`,"o":%d`, (a.t-opening)/1000)
	}
	return b + a.x + "}"
}

// people writes what a crowd of honest people and some cheats does in one sale.
type people struct {
	*rand.Rand
	sale  string
	acts  []act
	kinds map[string]string
}

func newPeople(seed uint64, sale string) *people {
	return &people{Rand: rand.New(rand.NewPCG(seed, 7)), sale: sale, kinds: map[string]string{}}
}

func (p *people) ms(least, most int) int64 {
	return int64(least+p.IntN(most-least))*1000 + int64(p.IntN(1000))
}

func (p *people) ask(acct, ip string, t int64) {
	reason := "sold_out"
	if t < opening {
		reason = "not_open"
	}
	p.acts = append(p.acts, act{t, p.sale, acct, ip, "buy", reason, ""})
}

func (p *people) look(acct, ip string, t int64) {
	p.acts = append(p.acts, act{t, p.sale, acct, ip, "look", "admitted", ""})
}

// person looks, presses 200 to 800 ms after the opening, perhaps twice, and then obeys
// Retry-After: by hand, or because the page asks again by itself.
func (p *people) person(acct string, homes ...string) {
	p.kinds[acct] = "person"
	for range 1 + p.IntN(4) {
		p.look(acct, homes[0], opening-p.ms(500, 300_000))
	}
	if p.IntN(3) == 0 { // impatient
		for range 3 + p.IntN(30) {
			p.ask(acct, homes[0], opening-p.ms(1000, 20_000))
		}
	}
	t := opening + p.ms(200, 800)
	if p.IntN(4) == 0 { // comes later
		t = opening + p.ms(1000, 120_000)
	}
	itself := p.IntN(3) == 0
	for i := range 2 + p.IntN(25) {
		ip := homes[0]
		if i > 0 {
			ip = homes[(i/8)%len(homes)]
		}
		p.ask(acct, ip, t)
		if p.IntN(5) == 0 { // clicks twice
			p.ask(acct, ip, t+p.ms(80, 250))
		}
		t += 2_000_000 + p.ms(5, 60)
		if !itself {
			t += p.ms(100, 4000)
		}
	}
}

// clock is a lone bot that is up at once and asks by the clock.
func (p *people) clock(acct, ip string) {
	p.kinds[acct] = "clock"
	t := opening + p.ms(1, 40)
	for range 60 {
		p.ask(acct, ip, t+int64(p.IntN(3000)))
		t += 100_000
	}
}

// house is n bots behind one address, all there at the opening.
func (p *people) house(prefix string, n int, ip string) {
	at := p.ms(5, 60)
	for i := range n {
		acct := fmt.Sprintf("c:%s%d", prefix, i)
		p.kinds[acct] = "house"
		t := opening + at + p.ms(0, 30)
		for range 3 + p.IntN(3) {
			p.ask(acct, ip, t)
			t += p.ms(300, 3000)
		}
	}
}

// rotating is n bots that use a pool of addresses in turn.
func (p *people) rotating(prefix string, n, pool int) {
	for i := range n {
		acct := fmt.Sprintf("c:%s%d", prefix, i)
		p.kinds[acct] = "rotating"
		t := opening + p.ms(20, 90)
		for range 12 {
			at := p.IntN(pool)
			p.ask(acct, fmt.Sprintf("198.%d.%d.9", 18+at%2, at), t)
			t += p.ms(400, 2500)
		}
	}
}

// herd is n bots on addresses of their own that are told when to ask by one clock.
func (p *people) herd(prefix string, n int) {
	var beats []int64
	for t := opening + p.ms(100, 900); len(beats) < 14; t += p.ms(500, 9000) {
		beats = append(beats, t)
	}
	for i := range n {
		acct := fmt.Sprintf("c:%s%d", prefix, i)
		p.kinds[acct] = "herd"
		for _, t := range beats {
			p.ask(acct, fmt.Sprintf("203.%d.%d.7", i%250, i/250), t+int64(p.IntN(3000)))
		}
	}
}

// honest are homes, an office, a phone network and people on the move.
func (p *people) honest(homes, office, phones, movers int) {
	for i := range homes {
		ip := fmt.Sprintf("10.%d.%d.1", i/200, i%200)
		for k := range 1 + p.IntN(4) {
			p.person(fmt.Sprintf("c:home%d.%d", i, k), ip)
		}
	}
	for i := range office {
		p.person(fmt.Sprintf("c:office%d", i), "192.0.2.7")
	}
	for i := range phones {
		p.person(fmt.Sprintf("c:phone%d", i), "100.64.0.1")
	}
	for i := range movers {
		home := fmt.Sprintf("10.99.%d.1", i%250)
		p.person(fmt.Sprintf("c:mover%d", i), home, fmt.Sprintf("100.64.1.%d", p.IntN(4)), fmt.Sprintf("2001:db8:%x::1", p.IntN(9)))
	}
}

// lines are the log, nearly in the order of time.
func (p *people) lines() []string {
	slices.SortFunc(p.acts, func(a, b act) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.acct, b.acct)) })
	var lines []string
	for _, a := range p.acts {
		lines = append(lines, a.String())
	}
	return lines
}

func crowd(seed uint64) *people {
	p := newPeople(seed, "phone")
	p.honest(800, 30, 500, 120)
	for i := range 20 {
		p.clock(fmt.Sprintf("c:clock%d", i), fmt.Sprintf("10.200.%d.1", i))
	}
	p.house("house", 60, "203.0.113.7")
	p.house("few", 8, "203.0.113.99")
	p.rotating("rot", 80, 24)
	p.herd("herd", 25)
	return p
}

// mined runs over text.
func mined(t testing.TB, text string, o Options) *Result {
	t.Helper()
	o.Logs, o.In = []string{"-"}, strings.NewReader(text)
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}
