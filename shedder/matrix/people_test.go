package matrix

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"
)

// People: pages, thoughts between them, and retries.

const (
	thinks    = 2 * time.Second
	mostTries = 4
	roundTrip = 50 * time.Millisecond
)

type event struct {
	at time.Duration
	p  *person
	f  *flight // its patience is over; nil: it comes
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
func (e *events) add(x event) { heap.Push(e, x) }

// people plays what is due, and answers when the next thing is.
func (d *driver) people(s *flight, now time.Duration) time.Duration {
	for {
		d.mu.Lock()
		if len(d.coming) == 0 {
			d.mu.Unlock()
			return math.MaxInt64 / 2
		}
		if at := d.coming[0].at; at > now {
			d.mu.Unlock()
			return at
		}
		e := heap.Pop(&d.coming).(event)
		switch {
		case e.f == nil:
			d.mu.Unlock()
			d.arrives(s, now, e.p)
		default:
			if !e.f.told {
				d.tell(e.f, now, false)
			}
			d.mu.Unlock()
		}
	}
}

func (d *driver) again(p *person, now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retries(p, now)
}

func (d *driver) retries(p *person, now time.Duration) {
	if p.tries++; p.tries < mostTries {
		d.coming.add(event{now + roundTrip, p, nil})
	}
}

// tell lets the client know, once. Under the lock.
func (d *driver) tell(f *flight, now time.Duration, ok bool) {
	p := f.person
	if p == nil || f.told {
		return
	}
	f.told = true
	if !ok {
		d.retries(p, now)
		return
	}
	p.tries = 0
	if p.pages--; p.pages > 0 {
		d.coming.add(event{now + time.Duration(thoughts(f)*float64(thinks)), p, nil})
	}
}

// thoughts is an exponential number drawn from what the request has by chance, so that
// the order in which answers come does not decide what others draw.
func thoughts(f *flight) float64 {
	ip := f.facts.IP.As4()
	u := (float64(ip[1])*65536 + float64(ip[2])*256 + float64(ip[3]) + .5) / (1 << 24)
	return -math.Log(u)
}

// visit is how many pages somebody looks at: Pareto, two to a hundred.
func visit(r *rand.Rand) int {
	u := r.Float64()
	return min(100, int(2/math.Pow(1-u, 2./3)))
}

// meanVisit is its mean, by the same draw.
func meanVisit() float64 {
	r := rand.New(rand.NewPCG(1, 1))
	sum := 0
	for range 100_000 {
		sum += visit(r)
	}
	return float64(sum) / 100_000
}
