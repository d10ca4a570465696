package matrix

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
	"penstock/shedder/model"
)

// One cell: a crowd, the gateways, an origin. It must run in a synctest bubble.

const (
	patience = time.Second // of a client: what comes later is of no use to it
	bucket   = 100 * time.Millisecond
	buckets  = int((preload + lasts) / bucket)
	tick     = 250 * time.Microsecond // arrivals closer together than this come together
)

// moment counts what happened in one bucket.
type moment struct {
	offered, refused     float64 // at arrival
	gaveUp, gone         float64 // refused after a wait; served after the client had left
	useful, late, failed float64 // answers
	inside, limit        float64 // at its end; inside the origin
}

type played struct {
	moments  [buckets]moment
	waits    []time.Duration // from arrival to the answer, of what was admitted after the step
	winWaits []time.Duration // of winners, for their slot
	won      int             // winners that arrived after the step
	served   int             // and were answered
	peak     int             // most requests inside the origin at once after the step
	shares   []float64       // useful answers by gateway, after the step
	moves    []move
}

// move is what a limiter said of itself.
type move struct {
	at     time.Duration
	reason string
}

type driver struct {
	load
	origin *model.Origin
	r      *rand.Rand
	start  time.Time
	gw     []limiter
	ctx    context.Context
	wg     sync.WaitGroup

	mu      sync.Mutex
	out     *played
	inside  int
	flights []*flight // at the origin, in the order in which they were sent
	coming  events    // of sessions
}

// flight is a request that has a place.
type flight struct {
	facts    gate.Facts
	gw       int
	winner   bool
	request  model.Request
	person   *person
	sent     time.Time
	released bool
	told     bool // the client knows, or has left
}

type person struct{ pages, tries int }

// play plays one cell.
func play(origin string, l load, name string, knee int, seed uint64) (*played, error) {
	o, err := model.New(origin, seed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &driver{load: l, origin: o, r: rand.New(rand.NewPCG(seed, 0xc0de)), start: time.Now(), ctx: ctx, out: &played{}}
	n := max(1, l.gateways)
	d.out.shares = make([]float64, n)
	for g := range n {
		off := l.clock(g)
		lim, err := newLimiter(name, outside{
			shared: l.gateways > 1,
			wall:   func() time.Time { return time.Now().Add(off) },
			moved:  d.moved,
			knee:   knee / n,
		})
		if err != nil {
			cancel()
			return nil, err
		}
		d.gw = append(d.gw, lim)
		d.wg.Go(func() { lim.run(ctx) })
	}
	d.crowd()
	cancel()
	d.wg.Wait()
	return d.out, nil
}

// bubble plays a cell in virtual time.
func bubble(t *testing.T, origin string, l load, limiter string, knee int, seed uint64) *played {
	t.Helper()
	var p *played
	var err error
	synctest.Test(t, func(*testing.T) { p, err = play(origin, l, limiter, knee, seed) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (d *driver) since() time.Duration { return time.Since(d.start) - preload }

func (d *driver) at(t time.Duration) *moment {
	return &d.out.moments[min(max(0, int((t+preload)/bucket)), buckets-1)]
}

func (d *driver) moved(reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out.moves = append(d.out.moves, move{d.since(), reason})
}

// crowd is the open loop: nothing that happens to one request delays another.
func (d *driver) crowd() {
	capacity := d.origin.Capacity(0)
	perPerson := 1.
	if d.sessions {
		perPerson = meanVisit()
	}
	// A gap that is long is drawn in pieces, so that the crowd may change in it.
	draw := func(from time.Duration, factor float64) (next time.Duration, arrives bool) {
		const piece = 5 * time.Millisecond
		gap := d.r.ExpFloat64() / (factor * capacity / perPerson)
		if gap > piece.Seconds() {
			return from + piece, false
		}
		return from + time.Duration(gap*float64(time.Second)), true
	}
	now := d.since()
	next, arrives := draw(now, d.factor(now))
	nextWinner, wins := draw(0, d.winners)
	nextSample := now + bucket
	var scratch flight
	for now < lasts {
		for ; next <= now; next, arrives = draw(next, d.factor(next)) {
			switch {
			case !arrives:
			case d.sessions:
				d.arrives(&scratch, now, &person{pages: visit(d.r)})
			default:
				d.arrives(&scratch, now, nil)
			}
		}
		for ; nextWinner <= now; nextWinner, wins = draw(nextWinner, d.winners) {
			if wins {
				d.winner(now)
			}
		}
		wake := max(min(next, nextWinner), now+tick)
		if d.sessions {
			wake = min(wake, max(now+tick, d.people(&scratch, now)))
		}
		if now >= nextSample {
			d.sample(now)
			nextSample += bucket
		}
		time.Sleep(min(wake, nextSample) - now)
		now = d.since()
	}
}

// arrives offers a request. Only one that gets a place costs more than its question.
func (d *driver) arrives(s *flight, now time.Duration, p *person) {
	s.gw = d.gateway(d.r, now)
	s.request = model.Request{}
	s.facts.At = time.Now()
	s.facts.Priority = rules.Browse
	ip := d.r.Uint32()
	s.facts.IP = netip.AddrFrom4([4]byte{10, byte(ip >> 16), byte(ip >> 8), byte(ip)})
	if d.checkout != nil && d.r.Float64() < d.checkout(now) {
		s.facts.Priority = rules.Checkout
		s.request.Cost = 3
	}
	m := d.at(now)
	m.offered++
	if !d.gw[s.gw].place(&s.facts) {
		m.refused++
		if p != nil {
			d.again(p, now)
		}
		return
	}
	f := new(flight)
	*f = *s
	if p != nil {
		f.person = p
		d.mu.Lock()
		d.coming.add(event{now + patience, p, f})
		d.mu.Unlock()
	}
	d.wg.Go(func() { d.serve(f) })
}

// winner offers a request that holds a unit.
func (d *driver) winner(now time.Duration) {
	f := &flight{winner: true, gw: d.gateway(d.r, now)}
	f.facts = gate.Facts{At: time.Now(), IP: netip.AddrFrom4([4]byte{10, 0, 0, 1}), Priority: rules.Order, Sale: &sale}
	m := d.at(now)
	m.offered++
	if counted := now >= 0 && now < lasts-responseTimeout; counted {
		d.out.won++
	}
	if !d.gw[f.gw].place(&f.facts) {
		m.refused++
		return
	}
	d.wg.Go(func() { d.serve(f) })
}

var sale = rules.Sale{Name: "sale", Enforce: true, Stock: &rules.Stock{Items: map[string]int{"": 1}}}

// serve is the life of a request that has a place, as the proxy lives it.
func (d *driver) serve(f *flight) {
	if !d.gw[f.gw].slot(d.ctx, &f.facts) {
		if d.ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		now := d.since()
		d.at(now).gaveUp++
		d.tell(f, now, false)
		return
	}
	waited := time.Since(f.facts.At)
	if waited >= patience && !f.winner { // the gateway looks whether the client is still there
		d.gw[f.gw].done(&f.facts, gate.End{Kind: gate.Unsent})
		d.mu.Lock()
		defer d.mu.Unlock()
		d.at(d.since()).gone++
		return
	}
	d.mu.Lock()
	f.sent = time.Now()
	d.inside++
	now := d.since()
	if now >= 0 {
		d.out.peak = max(d.out.peak, d.inside)
		if f.winner {
			d.out.winWaits = append(d.out.winWaits, waited)
		}
	}
	d.flights = append(d.flights, f)
	d.mu.Unlock()
	d.origin.Do(f.request, func(a model.Answer) { d.answered(f, a) })
}

func (d *driver) answered(f *flight, a model.Answer) {
	now := time.Now()
	took := now.Sub(f.sent)
	end := gate.End{Kind: gate.Answered, Status: a.Status, Took: took}
	if errors.Is(a.Err, model.ErrRefused) {
		end = gate.End{Kind: gate.Unsent}
	}
	d.mu.Lock()
	d.inside--
	t := d.since()
	m := d.at(t)
	after := now.Sub(f.facts.At)
	ok := a.Err == nil && a.Status < http.StatusInternalServerError
	switch {
	case !ok:
		m.failed++
	case after <= patience:
		m.useful++
	default:
		m.late++
	}
	if t >= 0 && t < lasts && f.facts.At.Sub(d.start) >= preload {
		if ok {
			d.out.waits = append(d.out.waits, after)
		}
		if ok && after <= patience {
			d.out.shares[f.gw]++
		}
		if ok && f.winner && took <= responseTimeout && f.facts.At.Sub(d.start) < preload+lasts-responseTimeout {
			d.out.served++
		}
	}
	d.tell(f, t, ok)
	released := f.released
	f.released = true
	d.mu.Unlock()
	if !released {
		d.gw[f.gw].done(&f.facts, end)
	}
}

// sample notes the state, and gives back the slots of what the origin has worked on for
// longer than it may.
func (d *driver) sample(now time.Duration) {
	limit := 0
	for _, g := range d.gw {
		limit += g.limit()
	}
	var lost []*flight
	d.mu.Lock()
	m := d.at(now - 1)
	m.inside, m.limit = float64(d.inside), float64(limit)
	for len(d.flights) > 0 && (d.flights[0].released || time.Since(d.flights[0].sent) > 3*responseTimeout) {
		if f := d.flights[0]; !f.released {
			f.released = true
			lost = append(lost, f)
		}
		d.flights = d.flights[1:]
	}
	d.mu.Unlock()
	for _, f := range lost {
		d.gw[f.gw].done(&f.facts, gate.End{})
	}
}
