package proxy

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// TestSixAtATime: more are not refused, only not raised, and all are given back.
func TestSixAtATime(t *testing.T) {
	g := newPassRig(t, nil)
	pass := g.won()
	open := make(chan struct{})
	g.shop.says(func(string) []byte { <-open; return []byte(sold) })
	<-g.shop.arrived
	var wg sync.WaitGroup
	request := "GET /browse HTTP/1.1\r\nHost: shop.example\r\n" + withPass(pass) + "\r\n\r\n"
	for range passInFlight {
		wg.Go(func() { g.send(request) })
	}
	for range passInFlight {
		<-g.shop.arrived
	}
	wg.Go(func() {
		if a := g.send(request); a.StatusCode != http.StatusCreated {
			t.Errorf("the seventh got %d %s", a.StatusCode, a.reason())
		}
	})
	<-g.shop.arrived
	if got := g.probes[place].facts.Priority; got != rules.Browse {
		t.Errorf("the seventh is %v, want browse", got)
	}
	other := g.proxy.passes.write("phone", pass2(time.Now().Add(time.Minute)))
	wg.Go(func() { g.send(strings.Replace(request, pass, other, 1)) })
	<-g.shop.arrived
	if got := g.probes[place].facts.Priority; got != rules.Checkout {
		t.Errorf("another bearer's is %v, want checkout", got)
	}
	close(open)
	wg.Wait()
	if got := g.browses("/browse", withPass(pass)); got != rules.Checkout {
		t.Errorf("when they have ended: %v, want checkout", got)
	}
	if n := len(g.proxy.passes.inFlight); n != 0 {
		t.Errorf("%d bearers are still counted", n)
	}
}

func pass2(until time.Time) pass {
	return pass{until: until.Unix(), token: reserved, bearer: bearer{2}}
}

// TestPassIsGivenBack whatever way a request ends: when the client has been answered,
// also if the origin is still at work then.
func TestPassIsGivenBack(t *testing.T) {
	panicking := func(context.Context, *gate.Facts) gate.Verdict { panic("here") }
	for name, c := range map[string]struct {
		setUp  func(*rig)
		status int
	}{
		"served":          {func(*rig) {}, 200},
		"refused a place": {func(g *rig) { g.probes[place].says = refusing(gate.Overloaded) }, 503},
		"refused a slot":  {func(g *rig) { g.probes[slot].says = refusing(gate.Overloaded) }, 503},
		"panic":           {func(g *rig) { g.probes[slot].says = panicking }, 500},
		"no answer":       {func(g *rig) { g.shop.saysRaw("") }, 502},
		"cut":             {func(g *rig) { g.shop.saysRaw("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nCUT") }, 200},
		"no shop": {func(g *rig) {
			set := *g.set
			set.Origin.Address = "127.0.0.1:1"
			g.proxy.Use(&set)
		}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			g := newPassRig(t, nil)
			pass := g.won()
			c.setUp(g)
			g.probes[place].released = make(chan gate.End, 1)
			a := g.send("GET /browse HTTP/1.1\r\nHost: shop.example\r\n" + withPass(pass) + "\r\n\r\n")
			if a.StatusCode != c.status {
				t.Errorf("got %d %s, want %d", a.StatusCode, a.reason(), c.status)
			}
			g.emptied()
		})
	}
	t.Run("late", func(t *testing.T) {
		g := newPassRig(t, func(set *rules.Set) { set.Origin.ResponseTimeout = 50 * time.Millisecond })
		pass := g.proxy.passes.write("phone", pass2(time.Now().Add(time.Minute)))
		answer := make(chan struct{})
		g.shop.says(func(string) []byte { <-answer; return []byte(sold) })
		a := g.send("GET /browse HTTP/1.1\r\nHost: shop.example\r\n" + withPass(pass) + "\r\n\r\n")
		if a.reason() != "origin_timeout" {
			t.Fatalf("got %d %s", a.StatusCode, a.reason())
		}
		g.proxy.passes.mu.Lock()
		n := g.proxy.passes.inFlight[bearer{2}]
		g.proxy.passes.mu.Unlock()
		if n != 0 {
			t.Errorf("the client was answered, and %d of its requests are counted", n)
		}
		close(answer)
		g.emptied()
	})
}

// emptied waits until no bearer is counted any more: a request ends behind its answer.
func (g *rig) emptied() {
	g.t.Helper()
	end := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		g.proxy.passes.mu.Lock()
		n := len(g.proxy.passes.inFlight)
		g.proxy.passes.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			g.t.Fatalf("%d bearers are still counted", n)
		}
	}
}
