// Package redis keeps stock in Redis, for any number of gateways.
//
// All decisions, starts and settlements of a ledger that arrive during one round trip are
// answered by the next, with one call of one script (lane.go, lua/batch.lua). A token makes
// each of them safe to repeat, so lost replies are asked for again while the budget lasts.
//
// It is as durable as Redis is made to be. With asynchronous replication a failover can
// lose the last wins, unless replicas must acknowledge each start (script.go). It keeps no
// stock of its own: while Redis cannot be reached nothing is sold.
package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// Store is a stock.Store in Redis.
type Store struct {
	// Observe, if set before the first call, hears of every batch: how many calls it
	// answered, and how long it took.
	Observe func(batch int, took time.Duration)

	alike bool // of tests: a decision that comes alone is treated as any batch

	client   redis.UniversalClient
	cluster  *redis.ClusterClient // nil: it is none
	mode     rules.RedisMode
	timeout  time.Duration
	prefix   string
	replicas int

	mu    sync.RWMutex
	lanes map[string]lanes
}

var _ stock.Store = (*Store)(nil)

// slowFactor is how much longer than a decision a call may take that no client waits for.
const slowFactor = 10

// New makes the store; nothing is dialled before the first call.
func New(r rules.Redis) *Store {
	s := &Store{
		mode: r.Mode, timeout: r.Timeout, prefix: r.KeyPrefix, replicas: r.ReplicasAck,
		lanes: make(map[string]lanes),
	}
	s.client = Dial(r)
	s.cluster, _ = s.client.(*redis.ClusterClient)
	return s
}

// Close ends all connections.
func (s *Store) Close() error { return s.client.Close() }

// Ready is an error, too, where Redis may evict keys: it would evict stock.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*s.timeout)
	defer cancel()
	return s.everyMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		if err := c.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("ping redis: %w", err)
		}
		f := factsOf(ctx, c, "memory")
		return f.keepsKeys()
	})
}

// Secret asks once more where another gateway was first.
func (s *Store) Secret(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*s.timeout)
	defer cancel()
	secret := make([]byte, 32)
	rand.Read(secret)
	key := s.prefix + ":secret"
	fresh, err := s.client.SetNX(ctx, key, secret, 0).Result()
	if err == nil && !fresh {
		secret, err = s.client.Get(ctx, key).Bytes()
	}
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if len(secret) != 32 {
		return nil, fmt.Errorf("read secret: it has %d bytes, want 32", len(secret))
	}
	return secret, nil
}

// keyNames are a ledger's keys, in the order of record.lua.
var keyNames = [...]string{
	"head", "tokens", "accounts", "due", "cancelled", "changes", "gone", "refs", "alive", "told",
}

// key is one of a ledger's. The braces make a cluster keep them together.
func (s *Store) key(ledger, name string) string {
	return "{" + s.prefix + ":" + ledger + "}:" + name
}

// text is a token as it stands in Redis.
func text(t gate.Token) string {
	if t == (gate.Token{}) {
		return ""
	}
	return hex.EncodeToString(t[:])
}

// token reads what text wrote.
func token(s string) (t gate.Token) {
	hex.Decode(t[:], []byte(s[:min(len(s), 2*len(t))]))
	return t
}
