// Package redis lets gateways meet in Redis: one server, one behind sentinels, or a cluster,
// where one hash tag keeps all of it on one node.
//
//	{PREFIX:shared}:head      epoch, and the number of the last change
//	{PREFIX:shared}:notes     subject → note
//	{PREFIX:shared}:revs      subjects by the change that told of them last
//	{PREFIX:shared}:ends      subjects by when that counts no more
//	{PREFIX:shared}:leases    gateway → its leases
//	{PREFIX:shared}:beats     gateway → when it told them
//	{PREFIX:shared}:claim:ID  one for each claim, until it is over
//
// Time is Redis' own. Calls are scripts that may be sent twice, and are, when a reply is
// lost and the budget allows it. What Redis has lost is put back by the books of gateways.
package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"penstock/limiter/shared"
	stock "penstock/limiter/stock/redis"
	"penstock/rules"
)

var (
	//go:embed lua/claim.lua
	claimLua string
	//go:embed lua/tell.lua
	tellLua string
	//go:embed lua/since.lua
	sinceLua string
	//go:embed lua/exchange.lua
	exchangeLua string
)

// slowFactor is how much longer than a claim a call may take that no client waits for.
const slowFactor = 10

// Store is a shared.Store in Redis.
type Store struct {
	client  redis.UniversalClient
	timeout time.Duration
	prefix  string

	claim, tell, since, exchange *redis.Script
}

var _ shared.Store = (*Store)(nil)

// New makes the store; nothing is dialled before the first call.
func New(r rules.Redis) *Store {
	return &Store{
		client: stock.Dial(r), timeout: r.Timeout, prefix: "{" + r.KeyPrefix + ":shared}:",
		claim: redis.NewScript(claimLua), tell: redis.NewScript(tellLua),
		since: redis.NewScript(sinceLua), exchange: redis.NewScript(exchangeLua),
	}
}

// Close ends all connections.
func (s *Store) Close() error { return s.client.Close() }

func (s *Store) keys(names ...string) []string {
	for i := range names {
		names[i] = s.prefix + names[i]
	}
	return names
}

// run sends the script until it is answered or the budget is spent. Silence takes at most
// half of it, so that a dead connection leaves time for another.
func (s *Store) run(ctx context.Context, budget time.Duration, of *redis.Script, keys []string, args ...any) (any, error) {
	until := time.Now().Add(budget)
	for pause := time.Millisecond; ; pause = min(2*pause, s.timeout/5) {
		end := time.Now().Add(budget/2 + time.Millisecond)
		if until.Before(end) {
			end = until
		}
		once, cancel := context.WithDeadline(ctx, end)
		reply, err := of.Run(once, s.client, keys, args...).Result()
		cancel()
		if err == nil || !stock.Again(err) || time.Until(until) <= pause {
			return reply, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// Claim is one round trip. Its name makes it safe to send twice.
func (s *Store) Claim(ctx context.Context, id []byte, life time.Duration) (bool, error) {
	key := shared.ClaimOf(id)
	reply, err := s.run(ctx, s.timeout, s.claim, s.keys("claim:"+hex.EncodeToString(key[:])), rand.Text(), max(life, time.Millisecond).Milliseconds())
	if err != nil {
		return false, fmt.Errorf("claim: %w", err)
	}
	return reply == int64(1), nil
}

// Put tells the note.
func (s *Store) Put(ctx context.Context, n shared.Note) (shared.Note, error) {
	n.Lifted = false
	return s.over(ctx, n)
}

// Drop tells that it is lifted.
func (s *Store) Drop(ctx context.Context, n shared.Note) (shared.Note, error) {
	return s.over(ctx, shared.Lift(n, time.Now()))
}

// over may be sent twice: the second time the note is told anew, at a later time.
func (s *Store) over(ctx context.Context, n shared.Note) (shared.Note, error) {
	n = n.Rounded()
	at, full, err := s.send(ctx, "put", []shared.Note{n})
	switch {
	case err != nil:
		return n, fmt.Errorf("tell of a ban: %w", err)
	case full > 0:
		return n, shared.ErrFull
	}
	n.At = time.UnixMilli(at)
	return n, nil
}

// Mend tells those that outdo others.
func (s *Store) Mend(ctx context.Context, notes []shared.Note) error {
	if len(notes) == 0 {
		return nil
	}
	_, full, err := s.send(ctx, "mend", notes)
	if err != nil {
		return fmt.Errorf("tell of bans: %w", err)
	}
	if full > 0 {
		return shared.ErrFull
	}
	return nil
}

func (s *Store) send(ctx context.Context, how string, notes []shared.Note) (at, full int64, err error) {
	args := make([]any, 0, 4+2*len(notes))
	args = append(args, how, rand.Text(), shared.MostNotes, shared.MostAutomatic, int(rules.ByHand))
	for i := range notes {
		if err := notes[i].Check(); err != nil {
			return 0, 0, err
		}
		args = append(args, notes[i].Subject.String(), notes[i].Record())
	}
	reply, err := s.run(ctx, slowFactor*s.timeout, s.tell, s.keys("head", "notes", "revs", "ends"), args...)
	if err != nil {
		return 0, 0, err
	}
	l, _ := reply.([]any)
	if len(l) != 2 {
		return 0, 0, errReply
	}
	at, _ = l[0].(int64)
	full, _ = l[1].(int64)
	return at, full, nil
}

// Exchange is one round trip.
func (s *Store) Exchange(ctx context.Context, gateway string, mine []shared.Lease) ([]shared.Lease, error) {
	// One that comes late is of no use: the leases would have ended.
	budget := min(slowFactor*s.timeout, shared.LeaseFor/2)
	reply, err := s.run(ctx, budget, s.exchange, s.keys("leases", "beats"), gateway, shared.PackLeases(mine), shared.LeaseFor.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("exchange leases: %w", err)
	}
	l, ok := reply.([]any)
	if !ok || len(l)%2 != 0 {
		return nil, fmt.Errorf("exchange leases: %w", errReply)
	}
	var others []shared.Lease
	for i := 0; i < len(l); i += 2 {
		name, _ := l[i].(string)
		packed, _ := l[i+1].(string)
		if others, err = shared.UnpackLeases(others, name, []byte(packed)); err != nil {
			return nil, fmt.Errorf("read the leases of gateway %q: %w", name, err)
		}
	}
	return others, nil
}
