package shedder

// People at the gates, in a bubble where time is the test's: they ask for a place, wait for
// a slot, are at an origin that takes its time, and give everything back. The origin takes
// as long for each request however many it has, so what it serves is the limit through that time.

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
)

// people are all who ever asked.
type people struct {
	s      *Shedder
	takes  time.Duration        // at the origin
	stop   func()               // ends Run
	varies func() time.Duration // the same, not always as long; nil: as long as takes

	mu    sync.Mutex
	all   sync.WaitGroup
	asked []visit
	at    int // the origin, now
	most  int
	down  bool // the origin answers nobody
}

type visit struct {
	f       *gate.Facts
	v       gate.Verdict
	placed  bool // a place was given
	at      time.Time
	waited  time.Duration // for the verdict
	granted time.Time
}

// open is a shop with a gateway that runs.
func open(t *testing.T, s *Shedder, takes time.Duration) *people {
	ctx, cancel := context.WithCancel(t.Context())
	p := &people{s: s, takes: takes, stop: cancel}
	go s.Run(ctx)
	return p
}

// come sends somebody in; come does not wait.
func (p *people) come(f *gate.Facts) {
	f.At = time.Now()
	p.all.Go(func() {
		v := visit{f: f, at: f.At}
		v.v, v.placed = p.through(f, &v)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, v)
	})
}

func (p *people) through(f *gate.Facts, v *visit) (gate.Verdict, bool) {
	places, slots := p.s.Places(), p.s.Slots()
	if v := places.Admit(context.Background(), f); !v.OK() {
		return v, false
	}
	end := gate.End{Kind: gate.Refused}
	defer func() { places.Release(f, end) }()
	got := slots.Admit(context.Background(), f)
	v.waited = time.Since(v.at)
	if !got.OK() {
		return got, true
	}
	v.granted = time.Now()
	p.count(1)
	began := time.Now()
	for time.Sleep(p.one()); p.isDown(); time.Sleep(p.takes) {
	}
	p.count(-1)
	end = gate.End{Kind: gate.Answered, Status: 200, Took: time.Since(began)}
	slots.Release(f, end)
	return got, true
}

func (p *people) count(by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at += by
	p.most = max(p.most, p.at)
}

func (p *people) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

func (p *people) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// keep sends one of the requests that next makes every gap, for so long.
func (p *people) keep(gap, long time.Duration, next func(i int) *gate.Facts) {
	end := time.Now().Add(long)
	for i := 0; time.Now().Before(end); i++ {
		p.come(next(i))
		time.Sleep(gap)
	}
}

// since are the visits that began at t or later, once all of them are over.
func (p *people) since(t time.Time) (v []visit) {
	p.all.Wait()
	for _, a := range p.asked {
		if !a.at.Before(t) {
			v = append(v, a)
		}
	}
	return v
}

// close ends the shop and checks that everything was given back.
func (p *people) close(t *testing.T) {
	t.Helper()
	p.all.Wait()
	p.stop()
	synctest.Wait()
	empty(t, p.s)
}

// empty checks that nobody holds anything.
func empty(t *testing.T, s *Shedder) {
	t.Helper()
	st := s.Stats()
	if st.InFlight != 0 || s.waiters.Load() != 0 || len(s.static) != 0 {
		t.Errorf("at the end %d are at the origin and %d wait, want nobody", st.InFlight, s.waiters.Load())
	}
	for l := range s.lines {
		if n := s.lines[l].Load(); n != 0 {
			t.Errorf("at the end line %d has %d, want nobody", l, n)
		}
	}
	for c := range st.Depth {
		if st.Depth[c] != 0 || st.Waiting[c] != 0 {
			t.Errorf("at the end class %d has %d places and %d waiting, want none", c, st.Depth[c], st.Waiting[c])
		}
	}
}

func from(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// one is how long the next request is at the origin.
func (p *people) one() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.varies == nil {
		return p.takes
	}
	return p.varies()
}
