package model

// The shelf: which origins there are. O1 to O12, S1 and S2 are the ones a controller
// may be tuned on; H1 to H3 are held out, so that there is something left to be surprised by.
//
// What happens once in an origin's life happens Shift after it was made.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Shift is the age at which an origin changes, if it is one that does.
const Shift = 30 * time.Second

// fastFailure is how long an error takes that costs no work.
const fastFailure = time.Millisecond

type dist func(*rand.Rand) float64 // seconds

// shape is what makes an origin.
type shape struct {
	cores     float64
	demand    dist // of processor
	elsewhere dist // before it; nil: none
	slower    course
	workers   int
	spare     int               // places in the backlog
	thrash    func(int) float64 // what is left of the speed with so many workers busy; nil: all
	speed     course
	capacity  float64 // requests/s

	places   int // of the pool; 1: a lock
	holding  dist
	needPool float64 // part of the requests

	failsAt, refusesAt int // requests inside; 0: never
	down               course
}

// Named is an entry of the shelf.
type Named struct {
	Name, About string
	HeldOut     bool
	shape       func() shape
}

// Shelf lists what New can make.
func Shelf() []Named {
	return []Named{
		{"O1", "16 cores, 32 ms of processor per request, no harm done by concurrency", false, shared},
		{"O2", "prefork: 8 cores, 15 ms of processor and 60 ms elsewhere, thrashes past 64 of 256 workers", false, prefork},
		{"O3", "two kinds of page, 13 ms and every fifth 260 ms, on 16 cores", false, bimodal},
		{"O4", "prefork ten times as large: 80 cores, thrashes past 640", false, large},
		{"O5", "prefork whose speed drifts by 30 % in ten minutes, down first", false, drifting},
		{"O6", "prefork with a third of its speed for 15 s", false, third},
		{"O7", "prefork whose time elsewhere becomes three times as long, with the same capacity", false, farther},
		{"O8", "prefork that pauses 300 ms every 5 s", false, pausing},
		{"O9", "prefork that stands still for 8 s", false, stalling},
		{"O10", "16 cores, 8 ms of processor; every fifth request and every claim needs one lock for 4 ms", false, locking},
		{"O11", "prefork that answers 503 in a millisecond when 96 requests are inside", false, failing},
		{"O12", "prefork that refuses connections when 96 requests are inside, and for 3 s all of them", false, refusing},
		{"S1", "20 workers that answer in 50 ms at rest and in 125 ms when all are busy, slower with a queue: the sample shop's pages", false, func() shape { return sample(.050) }},
		{"S2", "its checkouts, which take four times as long", false, func() shape { return sample(.200) }},
		{"H1", "3 cores and 40 workers, heavy-tailed work, slows in a straight line past 12 workers", true, small},
		{"H2", "200 workers on 8 cores that share 24 connections to a database", true, pooled},
		{"H3", "4000 requests/s of 2 ms each", true, fast},
	}
}

// New makes the origin of that name. What happens in it is drawn from seed.
func New(name string, seed uint64) (*Origin, error) {
	for _, n := range Shelf() {
		if n.Name == name {
			now := time.Now()
			o := &Origin{shape: n.shape(), r: rand.New(rand.NewPCG(seed, 0x0519)), began: now, at: now}
			o.timer = time.AfterFunc(time.Hour, o.fire)
			return o, nil
		}
	}
	return nil, fmt.Errorf("make origin: there is no %q", name)
}

func exponential(mean float64) dist {
	return func(r *rand.Rand) float64 { return mean * r.ExpFloat64() }
}

// around is even between half and one and a half of the mean.
func around(mean float64) dist {
	return func(r *rand.Rand) float64 { return mean * (.5 + r.Float64()) }
}

func always(s float64) dist { return func(*rand.Rand) float64 { return s } }

// lognormal with that mean and coefficient of variation.
func lognormal(mean, cv float64) dist {
	sigma := math.Sqrt(math.Log(1 + cv*cv))
	return func(r *rand.Rand) float64 { return mean * math.Exp(sigma*r.NormFloat64()-sigma*sigma/2) }
}

// hyperbolic loss past a knee: half of the speed is gone at knee + width.
func hyperbolic(knee, width float64) func(int) float64 {
	return func(busy int) float64 {
		over := max(0, float64(busy)-knee) / width
		return 1 / (1 + over*over)
	}
}

func shared() shape {
	return shape{cores: 16, demand: exponential(.032), workers: 1024, spare: 511, capacity: 500}
}

func prefork() shape {
	return shape{
		cores: 8, demand: exponential(.015), elsewhere: around(.060), workers: 256, spare: 511,
		thrash: hyperbolic(64, 40), capacity: 8 / .015,
	}
}

func bimodal() shape {
	const mean = .8*.013 + .2*.260
	return shape{cores: 16, workers: 512, spare: 511, capacity: 16 / mean, demand: func(r *rand.Rand) float64 {
		if r.Float64() < .2 {
			return .260 * r.ExpFloat64()
		}
		return .013 * r.ExpFloat64()
	}}
}

func large() shape {
	s := prefork()
	s.cores, s.workers, s.spare, s.thrash, s.capacity = 80, 2560, 5110, hyperbolic(640, 400), 80/.015
	return s
}

func drifting() shape {
	s := prefork()
	s.speed = course{every: time.Second, value: func(age time.Duration) float64 {
		return 1 - .3*math.Sin(2*math.Pi*age.Minutes()/10)
	}}
	return s
}

func third() shape {
	s := prefork()
	s.speed = window(Shift, 15*time.Second, 1./3)
	return s
}

func farther() shape {
	s := prefork()
	s.thrash = hyperbolic(128, 40)
	s.slower = window(Shift, 1000*time.Hour, 3)
	return s
}

func pausing() shape {
	s := prefork()
	s.speed = course{every: 100 * time.Millisecond, value: func(age time.Duration) float64 {
		if age%(5*time.Second) >= 4700*time.Millisecond {
			return 0
		}
		return 1
	}}
	return s
}

func stalling() shape {
	s := prefork()
	s.speed = window(Shift, 8*time.Second, 0)
	return s
}

func locking() shape {
	return shape{
		cores: 16, demand: exponential(.008), workers: 512, spare: 511,
		places: 1, holding: always(.004), needPool: .2, capacity: 250 / .2,
	}
}

func failing() shape {
	s := prefork()
	s.failsAt = 96
	return s
}

func refusing() shape {
	s := prefork()
	s.refusesAt = 96
	s.down = window(Shift, 3*time.Second, 1)
	return s
}

// sample goes by the formula of the sample shop's floor. What it computes takes no turns,
// so it has a core for everybody and loses speed with everyone inside.
func sample(rest float64) shape {
	const workers = 20
	return shape{
		cores: 1024, demand: always(rest), workers: 512, spare: 511, capacity: workers / (2.5 * rest),
		thrash: func(inside int) float64 {
			n := float64(max(inside, 1))
			if n <= workers {
				return 1 / (1 + 1.5*(n-1)/(workers-1))
			}
			return workers / n / (2.5 * (1 + (n-workers)/(2*workers)))
		},
	}
}

func small() shape {
	return shape{
		cores: 3, demand: lognormal(.033, 2), elsewhere: around(.040), workers: 40, spare: 128, capacity: 3 / .033,
		thrash: func(busy int) float64 { return min(1, max(.2, 1-(float64(busy)-12)/35)) },
	}
}

func pooled() shape {
	return shape{
		cores: 8, demand: exponential(.010), workers: 200, spare: 511,
		places: 24, holding: exponential(.040), needPool: 1, capacity: 24 / .040,
	}
}

func fast() shape {
	return shape{
		cores: 8, demand: exponential(.002), elsewhere: around(.002), workers: 512, spare: 511,
		thrash: hyperbolic(96, 60), capacity: 8 / .002,
	}
}

// course is a number that changes with the age of the origin, at multiples of every.
type course struct {
	every time.Duration
	value func(age time.Duration) float64
}

// window is v from an age on for a time, and otherwise the usual.
func window(from, lasts time.Duration, v float64) course {
	return course{every: 500 * time.Millisecond, value: func(age time.Duration) float64 {
		if age >= from && age-from < lasts {
			return v
		}
		return math.NaN()
	}}
}

// at is the number at an age.
func (c course) at(age time.Duration, usual float64) float64 {
	if c.value == nil {
		return usual
	}
	if v := c.value(age - age%c.every); v == v {
		return v
	}
	return usual
}

// has reports whether the number is not the usual one.
func (c course) has(age time.Duration) bool { return c.at(age, 0) > 0 }

// next is the time until it may change.
func (c course) next(age time.Duration) time.Duration {
	if c.value == nil {
		return 1<<63 - 1
	}
	return c.every - age%c.every
}
