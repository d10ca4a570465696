package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"penstock/limiter/shared"
)

var errReply = errors.New("redis replied what no script replies")

// Since is one round trip, of a few bytes where nothing has changed.
func (s *Store) Since(ctx context.Context, r shared.Rev) (shared.Changes, error) {
	reply, err := s.run(ctx, slowFactor*s.timeout, s.since, s.keys("head", "notes", "revs"), r.Epoch, r.N, shared.MostPage)
	if err != nil {
		return shared.Changes{}, fmt.Errorf("read bans: %w", err)
	}
	c, err := changes(reply)
	if err != nil {
		return shared.Changes{}, fmt.Errorf("read bans: %w", err)
	}
	return c, nil
}

// changes reads the reply of lua/since.lua. A note that cannot be read is trouble: who is
// banned by it would get in.
func changes(reply any) (c shared.Changes, err error) {
	l, _ := reply.([]any)
	if len(l) < 4 || len(l)%2 != 0 {
		return c, errReply
	}
	epoch, ok1 := l[0].(string)
	n, ok2 := l[1].(int64)
	more, ok3 := l[2].(int64)
	whole, ok4 := l[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || n < 0 {
		return c, errReply
	}
	c = shared.Changes{Upto: shared.Rev{Epoch: epoch, N: uint64(n)}, More: more != 0, Whole: whole != 0}
	now := time.Now()
	for i := 4; i < len(l); i += 2 {
		subject, _ := l[i].(string)
		record, _ := l[i+1].(string)
		note, err := shared.ReadNote(subject, record)
		if err != nil {
			return c, fmt.Errorf("of %q: %w", subject, err)
		}
		if note.Live(now) {
			c.Notes = append(c.Notes, note)
		}
	}
	return c, nil
}
