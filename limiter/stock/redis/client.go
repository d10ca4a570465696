package redis

// Clients, one kind for each way in which servers stand together.

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"penstock/rules"
)

// poolSize: a batch in flight for each ledger, and operators' calls. More connections only
// queue calls in Redis instead of here.
const poolSize = 32

// Dial makes a client and connects nothing yet. It goes by the mode that was configured. What
// it is made of must not decide: a cluster of which one address is known looks like a single
// server.
//
// The clients do not retry by themselves: theirs would send a batch again with no regard to
// its budget, and without loading the script. Only a cluster's client follows redirections,
// and by the same loop it repeats calls up to three times, which the tokens make safe.
func Dial(r rules.Redis) redis.UniversalClient {
	logging.Disable() // it would log what callers are told as errors
	o := &redis.UniversalOptions{
		Addrs: r.Addrs, Username: r.Username, Password: r.Password, DB: r.DB,
		DialTimeout: r.Timeout / 2, PoolTimeout: r.Timeout,
		ReadTimeout: slowFactor * r.Timeout, WriteTimeout: slowFactor * r.Timeout,
		ContextTimeoutEnabled: true, // else a call outlives its context by far
		MaxRetries:            -1,
		DialerRetries:         1, // its own retries would come on top
		MaxRedirects:          3,
		MinRetryBackoff:       time.Millisecond,
		MaxRetryBackoff:       r.Timeout / 5,
		PoolSize:              poolSize,
		MinIdleConns:          2,
		DisableIdentity:       true,
		TLSConfig:             secure(r.TLS),
		// They ask the server for what only one vendor's knows.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	switch r.Mode {
	case rules.RedisSentinel:
		f := o.Failover()
		f.MasterName = r.MasterName
		return redis.NewFailoverClient(f)
	case rules.RedisCluster:
		c := o.Cluster()
		c.MinIdleConns = 1
		c.DisableRoutingPolicies = true // they would ask for COMMAND, which users may be denied
		return redis.NewClusterClient(c)
	}
	return redis.NewClient(o.Simple())
}

func secure(t *rules.ServerTLS) *tls.Config {
	if t == nil {
		return nil
	}
	return &tls.Config{
		RootCAs: t.Roots, Certificates: t.Cert, ServerName: t.ServerName, MinVersion: tls.VersionTLS12,
	}
}

// everyMaster does something with each server that takes writes.
func (s *Store) everyMaster(ctx context.Context, do func(context.Context, *redis.Client) error) error {
	if s.cluster != nil {
		return s.cluster.ForEachMaster(ctx, do)
	}
	return do(ctx, s.client.(*redis.Client))
}

// master is the server that has the key.
func (s *Store) master(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster != nil {
		return s.cluster.MasterForKey(ctx, key)
	}
	return s.client.(*redis.Client), nil
}
