// Package redis reads whole hashes and sets out of Redis, for the copies that the eligible
// gate keeps of them.
//
// A scan answers all that was there from its beginning to its end, as long as it is one
// server that answers it: cursors mean nothing to another. So each reading has one
// connection of its own, to the primary that has the key, and when that is lost, or the
// key moves, the reading has failed. It blocks the server for no longer than it takes to
// answer some hundred names. It does not retry: whoever asked will ask again.
package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Reader reads from a single server, the primary that sentinels name, or a cluster.
type Reader struct{ client redis.UniversalClient }

// New reads with the client, which stays its owner's to close.
func New(client redis.UniversalClient) *Reader { return &Reader{client} }

// step is about how many names the server is asked for at once.
const step = 500

// Hash calls each with every field. What is not a hash is an error.
func (r *Reader) Hash(ctx context.Context, key string, each func(field, value string)) error {
	return r.scan(ctx, key, func(c *redis.Conn, cursor uint64) (uint64, error) {
		all, next, err := c.HScan(ctx, key, cursor, "", step).Result()
		if err == nil && len(all)%2 != 0 {
			err = errors.New("a field came without its value")
		}
		if err != nil {
			return 0, err
		}
		for i := 0; i < len(all); i += 2 {
			each(all[i], all[i+1])
		}
		return next, nil
	})
}

// Set calls each with every member. What is not a set is an error.
func (r *Reader) Set(ctx context.Context, key string, each func(member string)) error {
	return r.scan(ctx, key, func(c *redis.Conn, cursor uint64) (uint64, error) {
		all, next, err := c.SScan(ctx, key, cursor, "", step).Result()
		if err != nil {
			return 0, err
		}
		for _, m := range all {
			each(m)
		}
		return next, nil
	})
}

func (r *Reader) scan(ctx context.Context, key string, some func(*redis.Conn, uint64) (uint64, error)) error {
	server, err := r.primary(ctx, key)
	if err != nil {
		return fmt.Errorf("find the server: %w", err)
	}
	conn := server.Conn()
	defer conn.Close()
	for cursor := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if cursor, err = some(conn, cursor); err != nil {
			if c, ok := r.client.(*redis.ClusterClient); ok {
				c.ReloadState(ctx) // the key may have another server now
			}
			return fmt.Errorf("scan: %w", err)
		}
		if cursor == 0 {
			return nil
		}
	}
}

// primary is the server that has the key.
func (r *Reader) primary(ctx context.Context, key string) (*redis.Client, error) {
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *redis.Client:
		return c, nil
	}
	return nil, fmt.Errorf("a %T is no client of one server or a cluster", r.client)
}
