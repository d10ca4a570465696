package redis_test

import (
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
)

// hasty is how long a call may take where replies are lost: some calls are to fail.
const hasty = 300 * time.Millisecond

func TestHistoriesWithLostReplies(t *testing.T) {
	server, lossy := stocktest.StartRedis(t), stocktest.NewLossy(t)
	lossy.Front(server.Addr)
	r := server.Rules()
	r.Addrs, r.Timeout = []string{lossy.Addr}, hasty
	stocktest.Histories(t, func(t testing.TB) stock.Store { return open(t, r) }, lossy)
}

func TestHistoriesWithLostRepliesOfACluster(t *testing.T) {
	cluster := stocktest.StartLossyCluster(t)
	r := cluster.Rules()
	r.Timeout = hasty
	stocktest.Histories(t, func(t testing.TB) stock.Store { return open(t, r) }, cluster.Lossy...)
}
