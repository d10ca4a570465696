package lease

// The exchange with other gateways, in the background.

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"penstock/limiter/shared"
)

const (
	talkEvery = 150 * time.Millisecond
	// lapse is a silence after which others may have forgotten us: what they have heard is
	// not told again, lest it be counted twice.
	lapse = shared.LeaseFor * 3 / 4
)

// talk is of the one goroutine that runs Run.
type talk struct {
	last    time.Duration // when others heard us last
	failing bool
	mine    []shared.Lease
	charged []uint32                            // likewise
	told    map[uint64]time.Duration            // owed, as others have heard it last
	heard   map[string]map[uint64]time.Duration // owed, as told last by each gateway
	deeds   map[uint64]deeds                    // of all of them
}

// Run exchanges until ctx ends. Only one may run.
func (g *Gate) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(talkEvery*2/3 + rand.N(talkEvery*2/3)):
		}
		err := g.exchange(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !g.talk.failing {
			g.report(err)
		}
		g.talk.failing = err != nil
	}
}

func (g *Gate) exchange(ctx context.Context) error {
	t := &g.talk
	now := time.Since(g.start)
	g.gather(now, now-t.last > lapse)
	others, err := g.store.Exchange(ctx, g.gateway, t.mine)
	if err != nil {
		return err
	}
	t.last = now
	g.said()
	g.hear(others, time.Since(g.start))
	return nil
}

// gather finds whom to tell of, and forgets who is of no interest.
func (g *Gate) gather(now time.Duration, lapsed bool) {
	t := &g.talk
	t.mine, t.charged = t.mine[:0], t.charged[:0]
	for i := range g.stripes {
		g.stripes[i].gather(t, now, lapsed)
	}
	if len(t.mine) > shared.MostLeases {
		t.choose()
	}
}

func (s *stripe) gather(t *talk, now time.Duration, lapsed bool) {
	s.Lock()
	defer s.Unlock()
	for i := range s.all {
		a := &s.all[i]
		switch {
		case a.key == 0:
			continue
		case a.over(now):
			s.drop(a)
			continue
		case lapsed && a.told:
			a.since, a.told = a.said, false
		}
		if a.hot() {
			t.mine = append(t.mine, a.lease(now))
			t.charged = append(t.charged, a.charges)
		}
	}
}

// choose keeps those that were charged most.
func (t *talk) choose() {
	order := make([]int, len(t.mine))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(t.charged[j], t.charged[i]), cmp.Compare(t.mine[j].Running, t.mine[i].Running))
	})
	chosen := make([]shared.Lease, 0, shared.MostLeases)
	for _, i := range order[:shared.MostLeases] {
		chosen = append(chosen, t.mine[i])
	}
	t.mine = chosen
}

// said notes what others have heard. Of whom they hear nothing this time they forget.
func (g *Gate) said() {
	told := make(map[uint64]time.Duration, len(g.talk.mine))
	for i := range g.talk.mine {
		l := &g.talk.mine[i]
		told[l.Key] = l.Owed
		g.with(l.Key, func(a *account) { a.told, a.said = true, a.since+l.Owed })
	}
	for key := range g.talk.told {
		if _, again := told[key]; !again {
			g.with(key, func(a *account) { a.told, a.since = false, a.said })
		}
	}
	g.talk.told = told
}

// with does something to an account, if it is still here.
func (g *Gate) with(key uint64, do func(*account)) {
	s := g.stripe(key)
	s.Lock()
	defer s.Unlock()
	if a := s.find(key); a != nil {
		do(a)
	}
}

// deeds are what an account does elsewhere.
type deeds struct {
	running int
	charged time.Duration // since they were heard of last
}

// hear has what others do take the place of what they did.
func (g *Gate) hear(others []shared.Lease, now time.Duration) {
	all, heard := make(map[uint64]deeds, len(others)), make(map[string]map[uint64]time.Duration)
	for i := range others {
		l := &others[i]
		if heard[l.Gateway] == nil {
			heard[l.Gateway] = make(map[uint64]time.Duration)
		}
		heard[l.Gateway][l.Key] = l.Owed
		before, known := g.talk.heard[l.Gateway][l.Key]
		d := all[l.Key]
		d.running, d.charged = d.running+l.Running, min(d.charged+fresh(l, before, known), horizon)
		all[l.Key] = d
	}
	g.talk.heard = heard
	for key, d := range all {
		g.stripe(key).hear(key, d, now)
	}
	for key := range g.talk.deeds {
		if _, again := all[key]; !again {
			g.with(key, func(a *account) { a.others = 0 })
		}
	}
	g.talk.deeds = all
}

func (s *stripe) hear(key uint64, d deeds, now time.Duration) {
	s.Lock()
	defer s.Unlock()
	a := s.find(key)
	if a == nil {
		a = s.add(key)
	}
	if a != nil {
		a.hear(d, now)
	}
}
