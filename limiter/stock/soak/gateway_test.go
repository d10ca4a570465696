package soak

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// A gateway that can be crashed and paused where it stands. A crash closes its connections,
// and none of its goroutines comes past the next point: nothing is released, nothing is
// settled, and nobody hears what the store still answered.

// points are where a gateway can be hit. Those of the store are before and after a call.
var points = []string{
	"before decide", "after decide", "before start", "after start", "before send", "after send",
	"before settle", "after settle", "before sweep", "after sweep", "after pulse", "after look",
}

type gateway struct {
	world *world
	sale  *rules.Sale
	store stock.Store // its own
	stock *stock.Stock

	soldOut, unit, fence gate.Gate

	cancel context.CancelFunc
	over   chan struct{} // Run has returned
	dead   atomic.Bool
	died   chan struct{}
	once   sync.Once

	mu   sync.Mutex
	trap string        // crash, or pause, whoever comes here first
	hold time.Duration // 0: crash
}

// arm sets a trap.
func (g *gateway) arm(point string, hold time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trap, g.hold = point, hold
}

// at is passed by every goroutine of the gateway, unless it is dead.
func (g *gateway) at(point string) {
	g.mu.Lock()
	hit, hold := g.trap == point, g.hold
	if hit {
		g.trap = ""
	}
	g.mu.Unlock()
	switch {
	case hit && hold == 0:
		g.crash("crash " + point)
	case hit:
		g.world.tally.Fault("pause " + point)
		<-time.After(hold)
	}
	if g.dead.Load() {
		runtime.Goexit()
	}
}

// crash ends the gateway where it is, if it still lives.
func (g *gateway) crash(how string) {
	g.once.Do(func() {
		g.world.tally.Fault(how)
		g.world.tally.Count("gateway crashes", 1)
		g.dead.Store(true)
		g.cancel()
		close(g.died)
	})
}

// stop ends it in good order.
func (g *gateway) stop() {
	g.cancel()
	<-g.over
}

// tether is a gateway's way to its store.
type tether struct {
	stock.Store
	g *gateway
}

func (t *tether) call(what string, do func() error) error {
	t.g.at("before " + what)
	err := do()
	t.g.at("after " + what)
	return err
}

func (t *tether) Decide(ctx context.Context, a stock.Ask) (d stock.Decision, err error) {
	t.g.world.tally.Count("decisions", 1)
	t.g.world.decides.Add(1)
	if !a.Order {
		t.g.world.note(a.Token, func(f *fate) { f.order = order{account: a.Account, item: a.Item, units: a.Units} })
	}
	err = t.call("decide", func() error { d, err = t.Store.Decide(ctx, a); return err })
	return d, err
}

func (t *tether) Start(ctx context.Context, l stock.Launch) (r gate.Reason, err error) {
	t.g.world.note(l.Token, func(f *fate) { f.tried, f.by = true, t.g })
	err = t.call("start", func() error { r, err = t.Store.Start(ctx, l); return err })
	if err == nil && r == gate.Admitted {
		t.g.world.note(l.Token, func(f *fate) { f.started = true })
	}
	return r, err
}

func (t *tether) Settle(ctx context.Context, s stock.Settlement) error {
	return t.call("settle", func() error { return t.Store.Settle(ctx, s) })
}

func (t *tether) Sweep(ctx context.Context, ledger, gateway string) (s stock.Swept, err error) {
	err = t.call("sweep", func() error { s, err = t.Store.Sweep(ctx, ledger, gateway); return err })
	return s, err
}

func (t *tether) Look(ctx context.Context, ledger string, since uint64) (p stock.Picture, err error) {
	err = t.call("look", func() error { p, err = t.Store.Look(ctx, ledger, since); return err })
	return p, err
}

func (t *tether) Pulse(ctx context.Context, ledgers ...string) (p []stock.Picture, err error) {
	err = t.call("pulse", func() error { p, err = t.Store.Pulse(ctx, ledgers...); return err })
	return p, err
}

func (t *tether) Freeze(ctx context.Context, ledger string) (n uint64, err error) {
	err = t.call("freeze", func() error { n, err = t.Store.Freeze(ctx, ledger); return err })
	return n, err
}

func (t *tether) Reassert(ctx context.Context, a stock.Assertion) (thawed bool, err error) {
	err = t.call("reassert", func() error { thawed, err = t.Store.Reassert(ctx, a); return err })
	return thawed, err
}
