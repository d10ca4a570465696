package proxy

// An answer that streams for long gives the slot back, once, and keeps all else.

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/upstream"
	"penstock/rules"
)

// TestEventStreamHoldsNoSlot: it is not meant to end, and sends little.
func TestEventStreamHoldsNoSlot(t *testing.T) {
	for kind, want := range map[string]int{
		"text/event-stream": 0, "Text/Event-Stream ; charset=utf-8": 0, "text/event-streams": 1, "text/plain": 1, "": 1,
	} {
		g := newServedRig(t)
		r := g.begun(nil)
		ex := &upstream.Exchange{Length: -1, Header: []upstream.Field{{Name: []byte("content-type"), Value: []byte(kind)}}}
		s := g.proxy.holds(r, ex)
		if n, m := g.probes[slot].held(), g.probes[place].held(); n != want || m != 1 {
			t.Errorf("%q: while it goes on %d slots and %d places are held, want %d and 1", kind, n, m, want)
		}
		s.stop()
		g.proxy.settle(r)
		g.balanced(t)
		if end := g.probes[slot].ends[0]; want == 0 && (end.Kind != gate.Answered || end.Status != 200 || end.Took <= 0) {
			t.Errorf("%q: the slot was told %+v, want a useful answer", kind, end)
		}
	}
}

// balanced asserts that each gate of a begun request was given back once.
func (g *rig) balanced(t *testing.T) {
	t.Helper()
	for _, i := range []int{schedule, place, slot} {
		if n := g.probes[i].releases; n != 1 {
			t.Errorf("gate %s was given back %d times", gateNames[i], n)
		}
	}
}

// newServedRig is a rig that has served, so that it can be shut down, and counts anew.
func newServedRig(t *testing.T) *rig {
	g := newRig(t, nil)
	g.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
	for _, p := range g.probes {
		p.mu.Lock()
		p.admits, p.releases, p.ends = 0, 0, nil
		p.mu.Unlock()
	}
	return g
}

// begun is a request that has got its head and whose body nobody has read yet.
func (g *rig) begun(sale *rules.Sale) *request {
	r := new(request)
	g.proxy.begin(r, nil, time.Now(), 0)
	r.facts.Sale = sale
	if sale != nil {
		r.kind = r.bySale[sale]
	}
	for _, i := range []int{schedule, place, slot} {
		g.probes[i].Admit(context.Background(), &r.facts)
		r.held |= 1 << i
	}
	r.end = gate.End{Kind: gate.Answered, Status: 200, Took: time.Second}
	return r
}

// TestSlowReaderHoldsNoSlot: nobody reads, as while a write to a slow client lasts.
func TestSlowReaderHoldsNoSlot(t *testing.T) {
	panics := func(g *rig) { g.probes[slot].onRelease = func() { panic("here") } }
	for name, c := range map[string]struct {
		setUp func(*rig)
		sale  bool
		after time.Duration
		want  int // slots given back by then
	}{
		"quick":           {nil, false, 0, 0},
		"not yet":         {nil, false, longAnswer - 1, 0},
		"slow":            {nil, false, longAnswer + 1, 1},
		"of a sale":       {nil, true, longAnswer + 1, 1},
		"both at once":    {nil, false, longAnswer, -1},
		"very slow":       {nil, false, time.Hour, 1},
		"a panic, slow":   {panics, false, time.Hour, 1},
		"a panic, at end": {panics, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newServedRig(t)
			if c.setUp != nil {
				c.setUp(g)
			}
			synctest.Test(t, func(t *testing.T) {
				var sale *rules.Sale
				if c.sale {
					sale = g.set.Sales[0]
				}
				r := g.begun(sale)
				s := g.proxy.holds(r, &upstream.Exchange{Length: 1 << 20})
				time.Sleep(c.after)
				if c.want >= 0 {
					synctest.Wait()
					if got := 1 - g.probes[slot].held(); got != c.want {
						t.Errorf("after %v the slot was given back %d times, want %d", c.after, got, c.want)
					}
					if n := g.probes[place].held(); n != 1 {
						t.Errorf("%d places are held, want 1", n)
					}
				}
				s.broken = !c.sale
				s.stop()
				g.proxy.settle(r)
				time.Sleep(2 * longAnswer)
				g.balanced(t)
				if end := g.probes[slot].ends[0]; c.want == 1 && (end.Kind != gate.Answered || end.Status != 200 || end.Took != time.Second) {
					t.Errorf("the slot was told %+v, want a useful answer", end)
				}
			})
		})
	}
}
