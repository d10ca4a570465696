package redis

// Scripts, and how they are sent.

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"penstock/limiter/stock/guard"
)

// The scripts. record.lua, put in front of each, says how a ledger is kept; move.lua, how
// its tokens move.
var (
	//go:embed lua/record.lua
	recordLua string
	//go:embed lua/move.lua
	moveLua string
	//go:embed lua/ask.lua
	askLua string
	//go:embed lua/batch.lua
	batchLua string
	//go:embed lua/lone.lua
	loneLua string
	//go:embed lua/office.lua
	officeLua string
	//go:embed lua/load.lua
	loadLua string
	//go:embed lua/set.lua
	setLua string
	//go:embed lua/adjust.lua
	adjustLua string
	//go:embed lua/archive.lua
	archiveLua string
	//go:embed lua/freeze.lua
	freezeLua string
	//go:embed lua/sweep.lua
	sweepLua string
	//go:embed lua/look.lua
	lookLua string
	//go:embed lua/entries.lua
	entriesLua string
	//go:embed lua/reassert.lua
	reassertLua string
)

// script is one of them, whole.
type script struct{ source, sha any }

func whole(parts ...string) script { return made(recordLua + strings.Join(parts, "\n")) }

func made(source string) script {
	source = guard.Script(source)
	sum := sha1.Sum([]byte(source))
	return script{source, hex.EncodeToString(sum[:])}
}

var (
	batchScript    = whole(askLua, moveLua, batchLua)
	loneScript     = made(loneLua)
	loadScript     = whole(loadLua)
	setScript      = whole(setLua)
	adjustScript   = whole(moveLua, officeLua, adjustLua)
	archiveScript  = whole(archiveLua)
	freezeScript   = whole(freezeLua)
	sweepScript    = whole(moveLua, officeLua, sweepLua)
	lookScript     = whole(lookLua)
	entriesScript  = whole(entriesLua)
	reassertScript = whole(moveLua, officeLua, reassertLua)
)

// fixed is how many words of a call come before the script's own arguments.
const fixed = 3 + len(keyNames)

// head is a call of the script without arguments.
func (s *Store) head(of script, ledger string, room int) []any {
	args := make([]any, 0, fixed+room)
	args = append(args, "evalsha", of.sha, len(keyNames))
	for _, name := range keyNames {
		args = append(args, s.key(ledger, name))
	}
	return args
}

// call is for what no client waits for. acks are the replicas that must have it.
func (s *Store) call(ctx context.Context, of script, ledger string, acks int, args ...any) (any, error) {
	all := append(s.head(of, ledger, len(args)), args...)
	until := time.Now().Add(slowFactor * s.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	return s.send(ctx, of, all, acks, until, nil)
}

// send calls a script until it is answered, or until. Tokens, or the script's own words on
// being run twice, make it safe to send it again when a reply is lost. retry, if not nil,
// is told before what may have been done is sent again.
//
// A server that has forgotten the script has executed nothing; it is sent the source then,
// and only then: a script is 15 kB.
func (s *Store) send(ctx context.Context, of script, args []any, acks int, until time.Time, retry func()) (any, error) {
	pause, sure := time.Millisecond, true
	budget := time.Until(until)
	for {
		reply, err := s.once(ctx, args, acks, until, budget)
		args[0], args[1] = "evalsha", of.sha
		if err == nil {
			return reply, nil
		}
		sure = sure && notDone(err)
		forgotten := redis.HasErrorPrefix(err, "NOSCRIPT")
		if forgotten {
			args[0], args[1] = "eval", of.source
		}
		if !again(err) || !forgotten && !wait(ctx, pause, until) {
			args[0], args[1] = "evalsha", of.sha
			if err = damage(err); sure {
				err = fmt.Errorf("%w: %w", ErrNotDone, err)
			}
			return nil, err
		}
		pause = min(2*pause, s.timeout/5)
		if retry != nil && !notDone(err) {
			retry()
		}
	}
}

// once is one attempt. Silence takes at most half the budget, so that a connection that
// is dead without a word leaves time for another.
func (s *Store) once(ctx context.Context, args []any, acks int, until time.Time, budget time.Duration) (any, error) {
	end := time.Now().Add(budget/2 + time.Millisecond)
	if until.Before(end) {
		end = until
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	if acks > 0 {
		return s.acked(ctx, args, acks)
	}
	cmd := redis.NewCmd(ctx, args...)
	s.client.Process(ctx, cmd)
	return cmd.Result()
}

// acked has the call acknowledged by so many replicas, on the call's own connection: WAIT
// asks for what that connection has written. It stays honest when the call is a repetition
// that writes nothing, on a connection that has written nothing: Redis notes after every
// command how far the whole server's history goes, and it waits for that.
func (s *Store) acked(ctx context.Context, args []any, acks int) (any, error) {
	key, _ := args[3].(string)
	node, err := s.master(ctx, key)
	if err != nil {
		return nil, err
	}
	pipe := node.Pipeline()
	cmd := pipe.Do(ctx, args...)
	have := pipe.Do(ctx, "wait", acks, max(s.timeout/4, time.Millisecond).Milliseconds()) // 0 would be for ever
	_, err = pipe.Exec(ctx)
	if moved(cmd.Err()) && s.cluster != nil {
		s.cluster.ReloadState(ctx)
	}
	switch {
	case cmd.Err() != nil:
		return nil, cmd.Err()
	case err != nil:
		return nil, err
	}
	if n, err := have.Int(); err != nil || n < acks {
		return nil, few(n, acks)
	}
	return cmd.Val(), nil
}

func moved(err error) bool {
	return begins(err, []string{"MOVED ", "ASK ", "READONLY ", "CLUSTERDOWN "})
}

// wait reports whether there is time for another attempt after the pause.
func wait(ctx context.Context, pause time.Duration, until time.Time) bool {
	if time.Until(until) <= pause {
		return false
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
