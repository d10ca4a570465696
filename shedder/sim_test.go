package shedder

// A small discrete-event simulation for the limit alone: origins of which the best limit
// is known by trying, crowds, clocks that are off. No goroutines and no real time, so one
// seed is one result, and a minute of a sale takes some milliseconds.
//
// It gives up queue discipline: requests have no class, and those who find fifty waiting
// are gone. The gates themselves are tested in slots_test.go and places_test.go.

import (
	"container/heap"
	"math/rand/v2"
	"time"
	"unsafe"

	"penstock/rules"
)

// simOrigin shares its cores among the requests that compute. A request waits for
// something else first (io), which takes a worker, but no core.
type simOrigin struct {
	cores     float64
	workers   int
	cpu       func(r *rand.Rand) float64 // seconds of a core
	io        func(r *rand.Rand) float64 // seconds of nothing
	efficient func(busy int) float64     // what is left of the cores with so many workers busy
	peak      float64                    // answers/s it can give, at the most
	best      int                        // about the best limit
}

func exponential(mean float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return r.ExpFloat64() * mean }
}

func constantly(seconds float64) func(*rand.Rand) float64 {
	return func(*rand.Rand) float64 { return seconds }
}

func thrash(past, width float64) func(int) float64 {
	return func(busy int) float64 {
		over := max(0, float64(busy)-past) / width
		return 1 / (1 + over*over)
	}
}

func untiring(int) float64 { return 1 }

// The origins: one that never thrashes, one that does, and soon; a big one and a tiny one
// of its kind; and the second with I/O that takes three times as long.
func steadyOrigin() simOrigin {
	return simOrigin{16, 1000, exponential(.032), constantly(0), untiring, 500, 40}
}
func thrashingOrigin() simOrigin {
	return simOrigin{8, 256, exponential(.015), constantly(.060), thrash(64, 40), 533, 61}
}
func bigOrigin() simOrigin {
	return simOrigin{80, 2560, exponential(.015), constantly(.060), thrash(640, 400), 5330, 560}
}
func tinyOrigin() simOrigin {
	return simOrigin{3, 40, exponential(.033), constantly(0), thrash(8, 12), 90, 8}
}
func shiftedOrigin() simOrigin {
	return simOrigin{8, 256, exponential(.015), constantly(.180), thrash(128, 40), 533, 123}
}

type simJob struct {
	at     float64 // time, or work done by every core's share, at which it goes on
	gw     int
	born   float64
	failed bool // the origin answers at once, and says no
}

type simHeap []simJob

func (h simHeap) Len() int           { return len(h) }
func (h simHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h simHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *simHeap) Push(x any)        { *h = append(*h, x.(simJob)) }
func (h *simHeap) Pop() any {
	o := *h
	x := o[len(o)-1]
	*h = o[:len(o)-1]
	return x
}

// simRun is what is played. Functions of t are of seconds since the start.
type simRun struct {
	conf     rules.Origin // MaxConcurrency 0: 1000
	origin   func(t float64) simOrigin
	offered  func(t float64) float64           // requests/s
	stalled  func(t float64) bool              // nothing is computed; nil: never
	fails    func(t float64, busy int) float64 // part of the answers that are failures; nil: none
	refuses  func(busy int) bool               // the origin fails a request at once; nil: never
	clock    func(gw int, t float64) time.Duration
	gateways int // 0: one
	remember int // the remembered limit; 0: none
	lasts    float64
	seed     uint64
	watch    func(t float64, l *limit) // the first gateway's limit, after each tick
}

type simResult struct {
	perSecond []float64 // useful answers within a second, by the second
	seconds   []float64 // that useful answers took, by the second
	sent      []float64 // requests given to the origin, by the second
	useful    []uint64  // answers, by gateway
	levels    []float64 // by gateway, at the end
	moves     []Move    // of the first gateway
}

type simGateway struct {
	reading
	l            *limit
	queue, limit int
}

type sim struct {
	simRun
	simResult
	epoch     time.Time
	random    *rand.Rand
	gws       []*simGateway
	o         simOrigin
	io, cpu   simHeap
	backlog   []simJob // for want of a worker
	busy      int
	now, work float64
}

func (run simRun) run() simResult {
	if run.conf.MaxConcurrency == 0 {
		run.conf.MaxConcurrency = 1000
	}
	n := int(run.lasts) + 1
	s := &sim{simRun: run, random: rand.New(rand.NewPCG(run.seed, 99)), o: run.origin(0)}
	s.epoch = time.Now()
	s.epoch = s.epoch.Add(time.Unix(1_700_000_000, 0).Sub(s.epoch))
	s.perSecond, s.seconds, s.sent = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range max(1, run.gateways) {
		var told func(Move)
		if i == 0 {
			told = func(m Move) { s.moves = append(s.moves, m) }
		}
		l := newLimit(run.conf, Remembered{Limit: run.remember}, s.wall(i), told)
		l.shared = run.gateways > 1
		s.gws = append(s.gws, &simGateway{l: l, limit: l.now()})
	}
	s.play()
	for _, g := range s.gws {
		s.useful = append(s.useful, g.useful)
		s.levels = append(s.levels, g.l.level)
	}
	return s.simResult
}

// wall is what the clock of a gateway shows. Like every time of a running process it
// carries the monotonic clock, too, which nobody can set: to have the two differ, the test
// has to reach into it.
func (s *sim) wall(gw int) time.Time {
	off := time.Duration(0)
	if s.clock != nil {
		off = s.clock(gw, s.now)
	}
	at := s.epoch.Add(seconds(s.now) + off)
	*(*int64)(unsafe.Add(unsafe.Pointer(&at), unsafe.Sizeof(uint64(0)))) -= int64(off)
	return at
}

func (s *sim) play() {
	ticks, arrival := 1, s.random.ExpFloat64()/s.offered(0)
	for s.now < s.lasts {
		next, event := float64(ticks)*tick.Seconds(), func() { ticks++; s.tick() }
		if arrival < next {
			next, event = arrival, func() {
				s.arrive()
				arrival = s.now + s.random.ExpFloat64()/s.offered(s.now)
			}
		}
		if len(s.io) > 0 && s.io[0].at < next {
			next, event = s.io[0].at, s.compute
		}
		if rate := s.rate(); rate > 0 {
			if t := s.now + max(0, s.cpu[0].at-s.work)/rate; t < next {
				next, event = t, func() { s.answer(heap.Pop(&s.cpu).(simJob)) }
			}
		}
		s.advance(next)
		event()
	}
}

// rate is how fast each request that computes does.
func (s *sim) rate() float64 {
	if len(s.cpu) == 0 || s.stalled != nil && s.stalled(s.now) {
		return 0
	}
	return min(1, s.o.cores/float64(len(s.cpu))) * s.o.efficient(s.busy)
}

func (s *sim) advance(to float64) {
	s.work += (to - s.now) * s.rate()
	for _, g := range s.gws {
		g.area += float64(g.inFlight) * (to - s.now)
	}
	s.now = to
}

func (s *sim) tick() {
	s.o = s.origin(s.now)
	for i, g := range s.gws {
		g.l.tick(s.wall(i), g.reading)
		g.limit = g.l.now()
		if g.l.phase == Stalled {
			g.limit = 0
			if g.l.guard.canary && g.queue > 0 {
				g.queue--
				s.send(i)
			}
		}
		s.pump(i)
	}
	if s.watch != nil {
		s.watch(s.now, s.gws[0].l)
	}
}

func (s *sim) arrive() {
	i := s.random.IntN(len(s.gws))
	g := s.gws[i]
	g.offered++
	if g.inFlight < g.limit && g.queue == 0 {
		s.send(i)
		return
	}
	g.waited++
	if g.queue < 50 {
		g.queue++
	}
}

func (s *sim) pump(gw int) {
	for g := s.gws[gw]; g.queue > 0 && g.inFlight < g.limit; {
		g.queue--
		s.send(gw)
	}
}

func (s *sim) send(gw int) {
	s.gws[gw].inFlight++
	s.sent[int(s.now)]++
	j := simJob{gw: gw, born: s.now}
	switch {
	case s.refuses != nil && s.refuses(s.busy):
		j.failed, j.at = true, s.now+.001
		heap.Push(&s.io, j)
	case s.busy < s.o.workers:
		s.begin(j)
	default:
		s.backlog = append(s.backlog, j)
	}
}

func (s *sim) begin(j simJob) {
	s.busy++
	j.at = s.now + s.o.io(s.random)
	heap.Push(&s.io, j)
}

// compute ends the I/O of the request that is through with it first.
func (s *sim) compute() {
	j := heap.Pop(&s.io).(simJob)
	if j.failed {
		s.settle(j)
		return
	}
	j.at = s.work + s.o.cpu(s.random)
	heap.Push(&s.cpu, j)
}

func (s *sim) answer(j simJob) {
	j.failed = s.fails != nil && s.random.Float64() < s.fails(s.now, s.busy)
	s.busy--
	if len(s.backlog) > 0 {
		next := s.backlog[0]
		s.backlog = s.backlog[1:]
		s.begin(next)
	}
	s.settle(j)
}

func (s *sim) settle(j simJob) {
	g, took := s.gws[j.gw], s.now-j.born
	g.inFlight--
	if j.failed {
		g.failed++
	} else {
		g.useful++
		g.done[rules.Browse]++
		g.took[rules.Browse] += took
		s.seconds[int(s.now)] += took
		if took < 1 {
			s.perSecond[int(s.now)]++
		}
	}
	s.pump(j.gw)
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}
