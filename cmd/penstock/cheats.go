package main

// What stands against cheats, put together: who is banned, who may take part, who has
// climbed the ladder, who must solve a challenge; and who hears of every decision.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"penstock/limiter/ban"
	"penstock/limiter/behaviour"
	"penstock/limiter/challenge"
	"penstock/limiter/eligible"
	eligibleredis "penstock/limiter/eligible/redis"
	"penstock/limiter/ladder"
	"penstock/limiter/lease"
	"penstock/limiter/shared"
	sharedembedded "penstock/limiter/shared/embedded"
	sharedredis "penstock/limiter/shared/redis"
	"penstock/limiter/stock/embedded"
	"penstock/limiter/stock/redis"
	"penstock/proxy"
	"penstock/proxy/decisions"
	"penstock/proxy/gate"
	"penstock/proxy/verify"
	"penstock/rules"
	"penstock/shedder"
)

// cheats are the parts.
type cheats struct {
	log      *slog.Logger
	hash     func(account string) string
	book     *shared.Book
	bans     *ban.Gate
	ladder   *ladder.Ladder
	eligible *eligible.Gate
	copies   *eligible.Copies
	desk     *challenge.Desk
	provider *verify.Client
	leases   *lease.Gate // nil: there is no other gateway
	decided  *decisions.Log
	begun    atomic.Bool               // all that terms ask for has been read once
	set      atomic.Pointer[rules.Set] // in use

	closing []func() error
}

// meet opens where gateways tell each other things: in the store they share, in the file of
// the only one, or, without a store, in memory.
func (c *cheats) meet(set *rules.Set, own *embedded.Store) (shared.Store, eligible.Reader, error) {
	switch {
	case set.Store.Redis != nil:
		store := sharedredis.New(*set.Store.Redis)
		client := redis.Dial(*set.Store.Redis)
		c.closing = append(c.closing, store.Close, client.Close)
		return store, eligibleredis.New(client), nil
	case own != nil:
		store, err := sharedembedded.Open(own)
		return store, nil, err
	}
	return shared.NewMemory(), nil, nil
}

// newCheats reads the bans in force, so that they are from the first request on.
func newCheats(ctx context.Context, set *rules.Set, secret []byte, own *embedded.Store, load func() shedder.Stats, log *slog.Logger) (*cheats, error) {
	c := &cheats{log: log, hash: proxy.AccountHash(secret), provider: verify.New()}
	store, reader, err := c.meet(set, own)
	if err != nil {
		return nil, fmt.Errorf("open what gateways share: %w", err)
	}
	c.bans = ban.New(func(account string) uint64 {
		n, _ := strconv.ParseUint(c.hash(account), 16, 64) // 16 hex digits always are one
		return n
	})
	c.book = shared.NewBook(store, c.bans.Told, c.report("bans"))
	if err := c.book.Refresh(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read bans: %w", err), c.close())
	}
	c.copies = eligible.NewCopies(reader)
	c.copies.Report = func(key string, err error) { c.log.Error("terms of taking part", "key", key, "err", err) }
	c.eligible = eligible.New(c.copies, c.hash)
	c.ladder = ladder.New(ladder.Options{Score: behaviour.New(), Banned: c.banned})
	c.desk = challenge.New(challenge.Options{
		Secret: secret, Owes: c.ladder.Owes, Claim: store.Claim, Verify: c.provider.Ask,
		Load: func() float64 { return fullness(load(), c.set.Load().Origin.QueueDepth) },
	})
	if set.Store.Redis != nil {
		c.leases = lease.New(store, gatewayName(), secret, c.report("leases"))
	}
	c.decided = decisions.New(c.hash, c.report("decisions"))
	c.use(set)
	c.book.Lifted = c.lifted
	return c, nil
}

// gatewayName is another one for every process.
func gatewayName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// fullness is how full the origin's queue is, 0 to 1.
func fullness(s shedder.Stats, depth int) float64 {
	waiting := 0
	for _, n := range s.Waiting {
		waiting += n
	}
	return min(1, float64(waiting)/float64(max(depth, 1)))
}

func (c *cheats) report(what string) func(error) {
	return func(err error) { c.log.Error(what, "err", err) }
}

// banned tells other gateways of a ban that the ladder has given.
func (c *cheats) banned(f *gate.Facts, by rules.Signal, until time.Time) {
	if f.Sale.Enforce && f.Sale.Ladder.Enforce {
		c.book.Tell(shared.Note{
			Subject: shared.Subject{Account: f.Account}, Until: until, By: "penstock", Why: by.String() + " in sale " + f.Sale.Name,
			At: f.At, Signal: by,
		})
	}
}

// lifted has the ladder forgive what it has found itself: an operator's word holds here as well.
func (c *cheats) lifted(s shared.Subject) {
	for _, sale := range c.set.Load().Sales {
		c.ladder.Forgive(sale, s.Account)
	}
}

// use goes by other rules from now on.
func (c *cheats) use(set *rules.Set) {
	c.set.Store(set)
	c.bans.Use(set.Bans)
	c.eligible.Use(set.Sales)
	c.desk.Use(set.Sales)
	c.decided.Use(set.Decisions)
}

// gates are put in their places.
func (c *cheats) gates(g *proxy.Gates) {
	g.Ban, g.Ladder, g.Eligible, g.Challenge = c.bans, c.ladder.Gate(), c.eligible, c.desk.Gate()
	if c.leases != nil {
		g.Lease = c.leases
	}
}

// Decided tells all who want to hear.
func (c *cheats) Decided(d *gate.Decision) {
	c.ladder.Decided(d)
	c.decided.Decided(d)
}

// hasRead reports whether something that terms ask for was not read yet. Trouble with it
// after the start turns no gateway away.
func (c *cheats) hasRead() error {
	if c.begun.Load() {
		return nil
	}
	if err := c.copies.Ready(); err != nil {
		return err
	}
	c.begun.Store(true)
	return nil
}

// work is what goes on in the background.
func (c *cheats) work() []func(context.Context) {
	all := []func(context.Context){c.book.Run, c.copies.Run}
	if c.leases != nil {
		all = append(all, c.leases.Run)
	}
	return all
}

// close comes after the last request.
func (c *cheats) close() (err error) {
	if c.decided != nil {
		err = c.decided.Close()
	}
	c.provider.Close()
	for _, end := range c.closing {
		err = errors.Join(err, end())
	}
	return err
}
