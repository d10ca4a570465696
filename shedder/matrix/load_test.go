package matrix

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The crowds. Time is counted from the moment the sale starts; before that lies the
// pre-load, in which a limiter may learn what it learns from a quiet shop.

const (
	preload = 10 * time.Second
	lasts   = 60 * time.Second
)

type load struct {
	name     string
	about    string
	factor   func(t time.Duration) float64 // offered, as a multiple of the origin's capacity
	winners  float64                       // besides, the same for requests with a unit in hand
	checkout func(t time.Duration) float64 // part of the offers that is checkout; nil: none
	sessions bool                          // offers are people: several pages each, and retries
	gateways int                           // 0: 1
	skewed   bool                          // the first gateway gets most
	clocks   time.Duration                 // the gateways' clocks differ by up to so much from the true one
	joins    bool                          // the last gateway joins after 20 s, the first leaves after 40 s
}

func step(before, after float64) func(time.Duration) float64 {
	return func(t time.Duration) float64 {
		if t < 0 {
			return before
		}
		return after
	}
}

func loads() []load {
	all := []load{
		{name: "step1", about: "0.2 to just what it can do", factor: step(.2, 1)},
		{name: "step2", about: "0.2 to 2 times the capacity at once", factor: step(.2, 2)},
		{name: "step10", about: "0.2 to 10", factor: step(.2, 10)},
		{name: "step100", about: "0.2 to 100", factor: step(.2, 100)},
		{name: "cold100", about: "0.004 to 100", factor: step(.004, 100)},
		{name: "half100", about: "0.5 to 100", factor: step(.5, 100)},
		{name: "ramp", about: "0.2 to 10 in a minute", factor: func(t time.Duration) float64 {
			return .2 + 9.8*max(0, t.Seconds())/lasts.Seconds()
		}},
		{name: "spikes", about: "0.5, and 50 for a second every 5 s", factor: func(t time.Duration) float64 {
			if t >= 0 && t%(5*time.Second) < time.Second {
				return 50
			}
			return .5
		}},
		{name: "sessions", about: "ten times as many people as can be served, heavy-tailed visits, three retries at once", factor: step(.2, 10), sessions: true},
		{name: "steady60", about: "0.6 all the time", factor: step(.6, .6)},
		{name: "steady80", about: "0.8 all the time", factor: step(.8, .8)},
		{name: "mix", about: "10, and after 20 s three in five are checkouts of three times the work", factor: step(.2, 10),
			checkout: func(t time.Duration) float64 {
				if t >= 20*time.Second {
					return .6
				}
				return 0
			}},
		{name: "winners", about: "100, and besides 0.3 of winners", factor: step(.2, 100), winners: .3},
	}
	for _, n := range []int{4, 8} {
		all = append(all,
			load{name: fmt.Sprint("gw", n), about: fmt.Sprintf("step10 on %d gateways", n), factor: step(.2, 10), gateways: n},
			load{name: fmt.Sprint("gw", n, "clocks"), about: "the same, clocks up to 60 ms off, half of the crowd at one gateway", factor: step(.2, 10), gateways: n, skewed: true, clocks: 60 * time.Millisecond})
	}
	return append(all, load{name: "gw4joins", about: "four gateways, one joins and one leaves", factor: step(.2, 10), gateways: 4, joins: true})
}

func loadNamed(name string) (load, bool) {
	for _, l := range loads() {
		if l.name == name {
			return l, true
		}
	}
	return load{}, false
}

// gateway draws which gateway an offer arrives at.
func (l *load) gateway(r *rand.Rand, t time.Duration) int {
	n := max(1, l.gateways)
	from := 0
	if l.joins {
		if t < 20*time.Second {
			n--
		}
		if t >= 40*time.Second {
			from = 1
		}
	}
	if n == 1 {
		return 0
	}
	if l.skewed && r.Float64() < .5 {
		return 0
	}
	return from + r.IntN(n-from)
}

// clock is how far a gateway's clock is off.
func (l *load) clock(g int) time.Duration {
	if l.clocks == 0 || l.gateways < 2 {
		return 0
	}
	return -l.clocks + 2*l.clocks*time.Duration(g)/time.Duration(l.gateways-1)
}
