package stock

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"penstock/proxy/gate"
	"penstock/rules"
)

// The scripts. record.lua, put in front of each, says how a ledger is kept.
var (
	//go:embed lua/record.lua
	recordLua string
	//go:embed lua/load.lua
	loadLua string
	//go:embed lua/decide.lua
	decideLua string
	//go:embed lua/start.lua
	startLua string
	//go:embed lua/settle.lua
	settleLua string
	//go:embed lua/sweep.lua
	sweepLua string
	//go:embed lua/look.lua
	lookLua string
)

// slowFactor is how much longer than a decision a call may take that no client waits for.
const slowFactor = 10

// poolSize: one decision is one short call, so a few connections keep Redis busy; more
// only queue there instead of here.
const poolSize = 32

// Redis is a Store for any number of gateways: one script call for each decision.
//
// It is as durable as Redis is made to be: with asynchronous replication a failover can
// lose the last wins. Replies that are lost are asked for again, which the token makes
// safe, so one call may run up to three times within its timeout.
type Redis struct {
	client  *redis.Client
	slow    *redis.Client // the same connections, more patience
	timeout time.Duration
	prefix  string

	load, decide, start, settle, sweep, look *redis.Script
}

// NewRedis makes the store; nothing is dialled before the first call.
func NewRedis(r rules.Redis) *Redis {
	logging.Disable() // it would log what callers are told as errors
	client := redis.NewClient(&redis.Options{
		Addr: r.Addr, Username: r.Username, Password: r.Password, DB: r.DB,
		DialTimeout: r.Timeout, ReadTimeout: r.Timeout, WriteTimeout: r.Timeout, PoolTimeout: r.Timeout,
		ContextTimeoutEnabled: true, // else a call outlives its context by far
		MaxRetries:            2,
		MinRetryBackoff:       time.Millisecond,
		MaxRetryBackoff:       r.Timeout / 5,
		DialerRetries:         1, // its own retries would come on top
		PoolSize:              poolSize,
		MinIdleConns:          2,
		DisableIdentity:       true,
		// They ask the server for what only one vendor's knows.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	script := func(source string) *redis.Script { return redis.NewScript(recordLua + source) }
	return &Redis{
		client: client, slow: client.WithTimeout(slowFactor * r.Timeout), timeout: r.Timeout, prefix: r.KeyPrefix,
		load: script(loadLua), decide: script(decideLua), start: script(startLua),
		settle: script(settleLua), sweep: script(sweepLua), look: script(lookLua),
	}
}

// Close ends all connections.
func (r *Redis) Close() error { return r.client.Close() }

// Ready is an error, too, where Redis may evict keys: it would evict stock.
func (r *Redis) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*r.timeout)
	defer cancel()
	if err := r.slow.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	info, err := r.slow.Info(ctx, "memory").Result()
	if err != nil {
		return nil // INFO may be forbidden; the server answers, that is what was asked
	}
	_, policy, found := strings.Cut(info, "maxmemory_policy:")
	policy, _, _ = strings.Cut(policy, "\r\n")
	if found && policy != "noeviction" {
		return fmt.Errorf("redis evicts keys: maxmemory-policy is %q, want \"noeviction\"", policy)
	}
	return nil
}

// Load refuses a Redis that is not Ready.
func (r *Redis) Load(ctx context.Context, ledger string, items map[string]int) (map[string]int, error) {
	if err := checkLoad(ledger, items); err != nil {
		return nil, err
	}
	if err := r.Ready(ctx); err != nil {
		return nil, err
	}
	args := make([]any, 0, 2*len(items))
	for item, units := range items {
		args = append(args, item, units)
	}
	ctx, cancel := context.WithTimeout(ctx, slowFactor*r.timeout)
	defer cancel()
	reply, err := r.load.Run(ctx, r.slow, r.keys(ledger), args...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("load ledger %q: %w", ledger, err)
	}
	loaded := make(map[string]int, len(reply)/2)
	for item, units := range pairs(reply) {
		loaded[item] = number(units)
	}
	return loaded, nil
}

// Decide asks on even when its client leaves: half a decision would have to be undone.
func (r *Redis) Decide(ctx context.Context, a Ask) (Decision, error) {
	if err := a.check(); err != nil {
		return Decision{}, err
	}
	ctx, cancel := r.patience(ctx)
	defer cancel()
	reply, err := r.decide.Run(ctx, r.client, r.keys(a.Ledger), tokenKey(a.Token), a.Account, a.Item,
		a.Units, a.PerAccount, a.ReserveFor.Milliseconds()).Slice()
	if err != nil {
		return Decision{}, fmt.Errorf("decide in ledger %q: %w", a.Ledger, err)
	}
	word, _ := reply[0].(string)
	reason, ok := reasonOf(word)
	if !ok {
		return Decision{}, fmt.Errorf("decide in ledger %q: %w", a.Ledger, ErrNotLoaded)
	}
	n := func(i int) int { v, _ := reply[i].(int64); return int(v) }
	return Decision{Reason: reason, Seq: uint64(n(1)), Free: n(2), Pending: n(3), Bought: n(4)}, nil
}

func (r *Redis) Start(ctx context.Context, ledger string, token gate.Token, sendingFor time.Duration) (bool, error) {
	ctx, cancel := r.patience(ctx)
	defer cancel()
	n, err := r.start.Run(ctx, r.client, r.keys(ledger), tokenKey(token), sendingFor.Milliseconds()).Int()
	if err == nil && n < 0 {
		err = ErrNotLoaded
	}
	if err != nil {
		return false, fmt.Errorf("start in ledger %q: %w", ledger, err)
	}
	return n == 1, nil
}

func (r *Redis) Settle(ctx context.Context, ledger string, token gate.Token, outcome rules.Outcome) error {
	ctx, cancel := r.patience(ctx)
	defer cancel()
	word, err := r.settle.Run(ctx, r.client, r.keys(ledger), tokenKey(token), outcome.String(),
		Remembered.Milliseconds()).Text()
	switch word {
	case "not_loaded":
		err = ErrNotLoaded
	case "sold":
		err = ErrSold
	case "oversold":
		err = ErrOversold
	}
	if err != nil {
		return fmt.Errorf("settle in ledger %q: %w", ledger, err)
	}
	return nil
}

func (r *Redis) Sweep(ctx context.Context, ledger string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*r.timeout)
	defer cancel()
	n, err := r.sweep.Run(ctx, r.slow, r.keys(ledger), SweepLimit, Remembered.Milliseconds(), forgetLimit).Int()
	if err == nil && n < 0 {
		n, err = 0, ErrNotLoaded
	}
	if err != nil {
		return 0, fmt.Errorf("sweep ledger %q: %w", ledger, err)
	}
	return n, nil
}

func (r *Redis) Look(ctx context.Context, ledger string) (Picture, error) {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*r.timeout)
	defer cancel()
	reply, err := r.look.Run(ctx, r.slow, r.keys(ledger)).Slice()
	if err != nil {
		return Picture{}, fmt.Errorf("look at ledger %q: %w", ledger, err)
	}
	p := picture(mapOf(reply[0]))
	if p.Items == nil {
		return Picture{}, fmt.Errorf("look at ledger %q: %w", ledger, ErrNotLoaded)
	}
	holders := mapOf(reply[1])
	p.Holders = make(map[string]Holding, len(holders))
	for account, h := range holders {
		bought, open, _ := strings.Cut(h, ":")
		p.Holders[account] = Holding{Bought: number(bought), Open: open != ""}
	}
	return p, nil
}

func (r *Redis) Pulse(ctx context.Context, ledgers ...string) ([]Picture, error) {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*r.timeout)
	defer cancel()
	replies := make([]*redis.MapStringStringCmd, len(ledgers))
	_, err := r.slow.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, ledger := range ledgers {
			replies[i] = p.HGetAll(ctx, r.keys(ledger)[0])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	pictures := make([]Picture, len(ledgers))
	for i, reply := range replies {
		pictures[i] = picture(reply.Val())
	}
	return pictures, nil
}

func (r *Redis) Secret(ctx context.Context) ([]byte, error) {
	ctx, cancel := r.patience(ctx)
	defer cancel()
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	key := r.prefix + ":secret"
	err := r.client.SetNX(ctx, key, secret, 0).Err()
	if err == nil {
		secret, err = r.client.Get(ctx, key).Bytes()
	}
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return secret, nil
}

// keys are a ledger's, in the order of record.lua. The braces make a cluster keep them
// together.
func (r *Redis) keys(ledger string) []string {
	tag := "{" + r.prefix + ":" + ledger + "}:"
	return []string{tag + "counts", tag + "tokens", tag + "accounts", tag + "due", tag + "cancelled"}
}

// patience bounds a call that is on a request's way, and sees it through.
func (r *Redis) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
}

func tokenKey(t gate.Token) string { return hex.EncodeToString(t[:]) }
