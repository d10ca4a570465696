package soak

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

const ledger = "phone"

// world is one seed.
type world struct {
	testing.TB
	seed  uint64
	dir   string
	r     *rand.Rand // of the one who plans the faults
	tally *Tally
	site  site
	steps bool
	rule  rules.Unknown

	origin  *origin
	sales   []*rules.Sale // by place; they may differ
	slots   []atomic.Pointer[gateway]
	closed  atomic.Bool
	tokens  atomic.Uint64
	decides atomic.Int64

	keepers sync.WaitGroup // one for each place
	late    sync.WaitGroup // answers that no client waits for
	over    chan struct{}
	thawAt  time.Time // by an operator; the judge's

	mu    sync.Mutex
	fates map[gate.Token]*fate
}

// fate is what the world knows of a token.
type fate struct {
	order          order
	tried, started bool
	ended          bool
	end            gate.End
	by             *gateway // the last that had to do with it
}

// site is a store with all that is around it.
type site interface {
	places() int
	// open is the store for a gateway that starts at the place. after: the one that has
	// crashed there; nil: none has.
	open(w *world, after *gateway) (stock.Store, error)
	watcher(w *world) stock.Store // for the judge; may be another one after a crash
	memory() bool                 // gateways have one
	fault(w *world)               // something happens
	heal(w *world)                // and is over
	lost() bool                   // the store has lost history
}

func newWorld(t testing.TB, seed uint64, tally *Tally) *world {
	w := &world{
		TB: t, seed: seed, dir: t.TempDir(), r: rand.New(rand.NewPCG(seed, 0)), tally: tally, origin: newOrigin(),
		over: make(chan struct{}), fates: map[gate.Token]*fate{},
	}
	w.rule = []rules.Unknown{rules.Keep, rules.Resolve, rules.Keep, rules.Resolve, rules.Release}[w.r.IntN(5)]
	w.steps = w.r.IntN(3) == 0
	w.site = newSite(w)
	w.slots = make([]atomic.Pointer[gateway], w.site.places())
	for range w.slots {
		w.sales = append(w.sales, w.sale())
	}
	if n := len(w.sales); n > 1 && w.r.IntN(3) == 0 { // an edited file: what was loaded counts
		w.sales[n-1].Stock.PerAccount = 1 + 2*w.r.IntN(2)
		w.sales[n-1].Stock.Items = map[string]int{"red": 500, "blue": 1}
		tally.Fault("gateways with other rules")
	}
	return w
}

func (w *world) sale() *rules.Sale {
	s := &rules.Sale{Name: ledger, Enforce: true, Stock: &rules.Stock{
		Ledger: ledger, Items: map[string]int{"red": 80, "blue": 40}, PerAccount: 2,
		ReserveFor: 300 * time.Millisecond, SendingFor: 300 * time.Millisecond, Unknown: w.rule,
	}}
	if w.rule != rules.Keep {
		s.Stock.UnknownAfter = 250 * time.Millisecond
	}
	if w.steps {
		s.Order = &rules.OrderStep{}
	}
	return s
}

func (w *world) selling() bool { return !w.closed.Load() }

func (w *world) token() (t gate.Token) {
	binary.BigEndian.PutUint64(t[:], w.seed|1<<63)
	binary.BigEndian.PutUint64(t[8:], w.tokens.Add(1))
	return t
}

func (w *world) note(t gate.Token, f func(*fate)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fates[t] == nil {
		w.fates[t] = &fate{}
	}
	f(w.fates[t])
}

func (w *world) fate(t gate.Token) (f fate) {
	w.note(t, func(x *fate) { f = *x })
	return f
}

// spawn starts a gateway at a place, once its store lets it.
func (w *world) spawn(place int, after *gateway) *gateway {
	for end := time.Now().Add(bound); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		g, err := w.try(place, after)
		if err == nil {
			return g
		}
		select {
		case <-w.over:
			return nil
		default:
		}
	}
	w.Errorf("no gateway starts at place %d", place)
	return nil
}

func (w *world) try(place int, after *gateway) (*gateway, error) {
	store, err := w.site.open(w, after)
	if err != nil {
		return nil, err
	}
	g := &gateway{world: w, sale: w.sales[place], store: store, over: make(chan struct{}), died: make(chan struct{})}
	options := stock.Options{Report: func(_ string, err error) { w.report(err) }}
	if w.rule == rules.Resolve {
		options.Resolve = w.origin.resolve
	}
	if w.site.memory() {
		if options.Memory, err = stock.OpenMemory(w.path(place)); err != nil {
			return nil, errors.Join(err, store.Close())
		}
	}
	g.stock = stock.New(&tether{store, g}, options)
	if err := g.stock.Load(context.Background(), []*rules.Sale{g.sale}); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	g.soldOut, g.unit, g.fence = g.stock.SoldOut(), g.stock.Unit(), g.stock.Fence()
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	go func() {
		defer close(g.over)
		g.stock.Run(ctx)
	}()
	w.slots[place].Store(g)
	return g, nil
}

func (w *world) path(place int) string {
	return filepath.Join(w.dir, fmt.Sprintf("state-%d", place))
}

// report hears of trouble. Selling what is not there is the only kind that no fault excuses,
// but that a store has gone back: what it has forgotten seems oversold until it is told.
func (w *world) report(err error) {
	if errors.Is(err, stock.ErrOversold) && w.rule != rules.Release && !w.site.lost() {
		w.Errorf("seed %d: %v", w.seed, err)
	}
	if errors.Is(err, stock.ErrFrozen) {
		w.tally.Count("freezes seen", 1)
	}
}

// keeper starts a gateway anew after every crash.
func (w *world) keeper(place int) {
	g := w.slots[place].Load()
	for g != nil {
		select {
		case <-w.over:
			return
		case <-g.died:
		}
		<-g.over
		next := w.spawn(place, g)
		g.store.Close()
		g = next
	}
}

// play is the whole of it.
func (w *world) play() {
	defer w.finish()
	for place := range w.slots {
		if w.spawn(place, nil) == nil {
			return
		}
		w.keepers.Go(func() { w.keeper(place) })
	}
	var shoppers sync.WaitGroup
	for n := range 4 * len(w.slots) {
		shoppers.Go(func() { w.shopper(n%len(w.slots), uint64(n+1)) })
	}
	watched := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(watched) })
	for range 3 + w.r.IntN(5) {
		<-time.After(time.Duration(60+w.r.IntN(200)) * time.Millisecond)
		w.fault()
	}
	w.disarm()
	w.site.heal(w)
	w.origin.calm()
	<-time.After(200 * time.Millisecond)
	w.closed.Store(true)
	shoppers.Wait()
	w.late.Wait()
	if w.judge("settled") && w.drain() {
		w.late.Wait()
		if w.judge("drained") {
			w.latched()
		}
	}
	close(watched)
	watching.Wait()
}

func (w *world) finish() {
	close(w.over)
	w.keepers.Wait()
	for place := range w.slots {
		if g := w.slots[place].Load(); g != nil {
			g.stop()
			g.store.Close()
		}
	}
	w.tally.Seed(w.seed, w.Failed())
}

// fault is one of the gateways', or of the store's.
func (w *world) fault() {
	n := w.r.IntN(8)
	switch {
	case n < 3 && w.crashes():
		w.any().arm(points[w.r.IntN(len(points))], 0)
	case n < 5:
		w.any().arm(points[w.r.IntN(len(points))], time.Duration(350+w.r.IntN(400))*time.Millisecond)
	default:
		w.site.fault(w)
	}
}

// crashes: where history is lost, gateways that know it must live; losing both can oversell.
func (w *world) crashes() bool {
	s, ok := w.site.(interface{ fragile() bool })
	return !ok || !s.fragile()
}

func (w *world) any() *gateway { return w.slots[w.r.IntN(len(w.slots))].Load() }

func (w *world) disarm() {
	for i := range w.slots {
		w.slots[i].Load().arm("", 0)
	}
}
