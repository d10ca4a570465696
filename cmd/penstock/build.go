package main

// The one place that knows every package: rules in, a gateway out.

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/limiter/inflight"
	"penstock/limiter/rate"
	"penstock/limiter/schedule"
	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/limiter/stock/redis"
	"penstock/proxy"
	"penstock/proxy/resolve"
	"penstock/rules"
	"penstock/shedder"
)

// gateway is everything that one process runs.
type gateway struct {
	log      *slog.Logger
	registry *prometheus.Registry
	set      atomic.Pointer[rules.Set] // in use
	store    stock.Store               // nil: no sale has stock
	stock    *stock.Stock              // nil: as above
	own      *embedded.Store           // nil: the store is another one
	cheats   *cheats
	shedder  *shedder.Shedder
	proxy    *proxy.Proxy
	warmer   *warmer
	reloads  *prometheus.CounterVec

	tlsReloads *prometheus.CounterVec
	moves      *prometheus.CounterVec // of the origin's limit
	ready      atomic.Bool
	memory     *stock.Memory // of a store that is shared
	census     census

	asker         resolve.Client
	resolved      *prometheus.CounterVec
	storeWarnings int
}

// outside is what the origin's queue is told. Only an embedded store says that there is no
// other gateway.
func (g *gateway) outside(set *rules.Set) shedder.Outside {
	return shedder.Outside{
		Shared: set.Store.Embedded == "",
		Moved:  g.moved, Remembered: recall(&set.Origin, time.Now(), g.log),
	}
}

// build makes a gateway for set and loads its stock.
func build(ctx context.Context, set *rules.Set, log *slog.Logger) (*gateway, error) {
	g := &gateway{log: log, registry: prometheus.NewRegistry(), moves: newMoves()}
	g.set.Store(set)
	g.shedder = shedder.New(set.Origin, g.outside(set))
	g.resolved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "penstock_resolved_total", Help: "Held units that the shop was asked about, by its answer.",
	}, []string{"sale", "answer"})
	g.census.others = &counted{Gate: schedule.New()}
	gates := proxy.Gates{
		Schedule:        g.census.others,
		RateIP:          rate.ByIP(rate.Keys),
		RateAccount:     rate.ByAccount(rate.Keys),
		InFlightIP:      inflight.ByIP(),
		InFlightAccount: inflight.ByAccount(),
		Place:           g.shedder.Places(),
		Slot:            g.shedder.Slots(),
	}
	if err := g.openStore(set.Store); err != nil {
		return nil, err
	}
	if g.store != nil {
		options := stock.Options{Report: g.report, Resolve: g.resolve}
		if r := set.Store.Redis; r != nil {
			memory, err := stock.OpenMemory(r.StateFile)
			if err != nil {
				return nil, err
			}
			options.Memory, g.memory = memory, memory
		}
		if err := g.inspect(ctx); err != nil {
			return nil, err
		}
		g.stock = stock.New(g.store, options)
		if err := g.stock.Load(ctx, set.Sales); err != nil {
			return nil, fmt.Errorf("load stock: %w", err)
		}
		g.census.holders = &counted{Gate: g.stock.Unit(), sales: true}
		gates.SoldOut, gates.Stock, gates.Start = g.stock.SoldOut(), g.census.holders, g.stock.Fence()
	}
	secret, err := g.secret(ctx, set)
	if err != nil {
		return nil, err
	}
	if g.cheats, err = newCheats(ctx, set, secret, g.own, g.shedder.Stats, log); err != nil {
		return nil, err
	}
	g.cheats.gates(&gates)
	g.proxy = proxy.New(proxy.Options{
		Gates: gates, Challenger: g.cheats.desk, Watcher: g.cheats, Secret: secret, Log: log, Registry: g.registry,
	})
	g.proxy.Use(set)
	g.warmer = g.newWarmer()
	g.register()
	return g, nil
}

func (g *gateway) openStore(s rules.Store) error {
	switch {
	case s.Redis != nil:
		shared := redis.New(*s.Redis)
		shared.Observe = batchSizes(g.registry)
		g.store = newTimedStore(shared, g.registry)
	case s.Embedded != "":
		own, err := embedded.Open(s.Embedded)
		if err != nil {
			return err
		}
		g.own, g.store = own, newTimedStore(own, g.registry)
	}
	return nil
}

// secret is the operator's, or the store's; without either it lasts as long as the
// process, and visitors are strangers again after a restart.
func (g *gateway) secret(ctx context.Context, set *rules.Set) ([]byte, error) {
	if set.Secret != nil {
		return set.Secret, nil
	}
	if g.store != nil {
		s, err := g.store.Secret(ctx)
		if err != nil {
			return nil, fmt.Errorf("read secret from store: %w", err)
		}
		return s, nil
	}
	b := make([]byte, 32)
	rand.Read(b)
	return b, nil
}

// inspect looks at how the store is set up. What is unwise is said loudly, once.
func (g *gateway) inspect(ctx context.Context) error {
	warnings, err := g.store.Inspect(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, w := range warnings {
		g.log.Warn("store", "warning", w)
	}
	g.storeWarnings = len(warnings)
	return nil
}

// resolve asks the shop about a held unit, as the file in use says.
func (g *gateway) resolve(ctx context.Context, ledger string, e stock.Entry) (rules.Outcome, string, error) {
	for _, s := range g.set.Load().Sales {
		if s.Stock != nil && s.Stock.Ledger == ledger && s.Stock.Resolver != nil {
			o, ref, err := g.asker.Ask(ctx, s.Stock.Resolver, e.Token, e.Ref)
			g.resolved.WithLabelValues(s.Name, resolution(o, err)).Inc()
			return o, ref, err
		}
	}
	return rules.OutcomeUnknown, "", nil
}

func resolution(o rules.Outcome, err error) string {
	if err != nil {
		return "error"
	}
	return o.String()
}

// report hears of trouble with stock that no request is told of.
func (g *gateway) report(ledger string, err error) {
	g.log.Error("stock", "ledger", ledger, "err", err)
}

// reload puts the file to use again: all of it or nothing.
func (g *gateway) reload(ctx context.Context, next *rules.Set) error {
	if err := needsRestart(g.set.Load(), next); err != nil {
		return err
	}
	if g.stock != nil {
		if err := g.stock.Load(ctx, next.Sales); err != nil {
			return fmt.Errorf("load stock: %w", err)
		}
	}
	g.shedder.Configure(next.Origin)
	g.cheats.use(next)
	g.proxy.Use(next)
	g.set.Store(next)
	return nil
}
