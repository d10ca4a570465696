package redis

// What watches ledgers, and clears up behind requests.

import (
	"context"
	"fmt"
	"maps"

	"github.com/redis/go-redis/v9"

	"penstock/limiter/stock"
)

func (s *Store) Sweep(ctx context.Context, ledger, gateway string) (stock.Swept, error) {
	reply, err := s.call(ctx, sweepScript, ledger, 0, gateway, stock.SweepLimit, stock.ForgetLimit)
	l := list(reply)
	if err == nil && len(l) == 0 {
		err = stock.ErrNotLoaded
	}
	if err != nil {
		return stock.Swept{}, fmt.Errorf("sweep ledger %q: %w", ledger, err)
	}
	moved, _ := l[0].(int64)
	return stock.Swept{Moved: int(moved), Ask: entries(l[1:])}, nil
}

func (s *Store) Look(ctx context.Context, ledger string, since uint64) (stock.Picture, error) {
	reply, err := s.call(ctx, lookScript, ledger, 0, since, stock.LookLimit)
	l := list(reply)
	if err == nil && len(l) < 2 {
		err = stock.ErrNotLoaded
	}
	if err != nil {
		return stock.Picture{}, fmt.Errorf("look at ledger %q: %w", ledger, err)
	}
	p := picture(pairs(list(l[0])))
	upto, _ := l[1].(string)
	p.Upto = uint64(integer(upto))
	p.Holders = make(map[string]stock.Holding, len(l)/2)
	for account, h := range pairs(l[2:]) {
		p.Holders[account] = holding(h)
	}
	return p, nil
}

// Pulse asks for all ledgers in one round trip; a cluster's client makes one for each node.
func (s *Store) Pulse(ctx context.Context, ledgers ...string) ([]stock.Picture, error) {
	if len(ledgers) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, slowFactor*s.timeout)
	defer cancel()
	replies := make([]*redis.MapStringStringCmd, len(ledgers))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, ledger := range ledgers {
			replies[i] = p.HGetAll(ctx, s.key(ledger, keyNames[0]))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", damage(err))
	}
	pictures := make([]stock.Picture, len(ledgers))
	for i, reply := range replies {
		pictures[i] = picture(maps.All(reply.Val()))
	}
	return pictures, nil
}

// entries reads tokens and their records.
func entries(l []any) (found []stock.Entry) {
	for token, record := range pairs(l) {
		found = append(found, entry(token, record))
	}
	return found
}
