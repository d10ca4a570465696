package redis_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

func TestSingle(t *testing.T) {
	server := stocktest.StartRedis(t)
	stocktest.Run(t, func(t testing.TB) stock.Store { return open(t, server.Rules()) })
}

// TestSingleInBatches: nearly all calls of the suite come alone, and batches have another
// script for decisions.
func TestSingleInBatches(t *testing.T) {
	server := stocktest.StartRedis(t)
	stocktest.Run(t, func(t testing.TB) stock.Store { return redis.Alike(open(t, server.Rules())) })
}

func TestCluster(t *testing.T) {
	cluster := stocktest.StartCluster(t)
	stocktest.Run(t, func(t testing.TB) stock.Store { return open(t, cluster.Rules()) })
}

// TestClusterMovesSlot: while a ledger moves from node to node calls may fail, but what
// is sold is sold once, and nothing is lost.
func TestClusterMovesSlot(t *testing.T) {
	cluster := stocktest.StartCluster(t)
	s := newShop(t, open(t, cluster.Rules()), 100)
	stop := make(chan struct{})
	var sold, next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := int(next.Add(1))
				if s.buy(t.Context(), n) {
					sold.Add(1)
				}
			}
		})
	}
	for range 3 { // round to where it was
		cluster.Migrate(t, s.key("head"), nil)
	}
	close(stop)
	wg.Wait()
	p, err := s.store.Look(t.Context(), s.ledger, 0)
	c := p.Items["red"]
	if err != nil || int64(c.Sold) != sold.Load() || c.Free+c.Reserved+c.Sending+c.Sold != 100 || p.Oversold != 0 {
		t.Fatalf("sold %d, counts %+v, oversold %d, %v", sold.Load(), c, p.Oversold, err)
	}
	t.Logf("%d asked, %d sold while the slot moved", next.Load(), sold.Load())
}

// buy goes all the way, with the persistence of a gateway's outbox.
func (s *shop) buy(ctx context.Context, n int) bool {
	d, err := s.store.Decide(ctx, s.ask(n))
	if err == nil && d.Reason != gate.Admitted {
		return false
	}
	r := gate.Unset
	if err == nil {
		r, err = s.store.Start(ctx, s.launch(n))
	}
	x := s.sold(n)
	if err != nil || r != gate.Admitted {
		x = s.free(n)
	}
	tries := 0
	for err = s.store.Settle(ctx, x); err != nil; err = s.store.Settle(ctx, x) {
		if tries++; tries > 1000 {
			s.Errorf("settle: %v", err)
			return false
		}
	}
	return x.Outcome == rules.OutcomeSold
}
