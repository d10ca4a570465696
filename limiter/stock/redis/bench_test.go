package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

// The baseline: one script call for each request, with the checks that every textbook
// has, through a client as it comes. It keeps no deadlines, no order of changes, no terms.
const (
	plainDecide = `
local won = redis.call('HGET', KEYS[2], ARGV[1])
if won then return 1 end
local account = redis.call('HMGET', KEYS[3], ARGV[2] .. ':open', ARGV[2] .. ':bought')
if account[1] then return 2 end
if tonumber(account[2] or 0) + tonumber(ARGV[4]) > tonumber(ARGV[5]) then return 3 end
local free = redis.call('HGET', KEYS[1], 'free:' .. ARGV[3])
if not free then return 4 end
if tonumber(free) < tonumber(ARGV[4]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'free:' .. ARGV[3], -ARGV[4])
redis.call('HSET', KEYS[2], ARGV[1], 'reserved ' .. ARGV[4] .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
redis.call('HSET', KEYS[3], ARGV[2] .. ':open', ARGV[1])
return 1`
	plainStart = `
local u = redis.call('HGET', KEYS[2], ARGV[1])
if not u or string.sub(u, 1, 8) ~= 'reserved' then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], 'sending' .. string.sub(u, 9))
return 1`
	plainSold = `
local u = redis.call('HGET', KEYS[2], ARGV[1])
if not u or string.sub(u, 1, 7) ~= 'sending' then return 0 end
local units, item, account = string.match(u, '^sending (%d+) (%S+) (.*)$')
redis.call('HSET', KEYS[2], ARGV[1], 'sold' .. string.sub(u, 8))
redis.call('HDEL', KEYS[3], account .. ':open')
redis.call('HINCRBY', KEYS[3], account .. ':bought', units)
redis.call('HINCRBY', KEYS[1], 'sold:' .. item, units)
return 1`
)

type plain struct {
	client              *goredis.Client
	keys                []string
	decide, start, sold *goredis.Script
}

func newPlain(b testing.TB, addr string, units int) *plain {
	p := &plain{
		client: goredis.NewClient(&goredis.Options{Addr: addr}),
		decide: goredis.NewScript(plainDecide), start: goredis.NewScript(plainStart), sold: goredis.NewScript(plainSold),
	}
	b.Cleanup(func() { p.client.Close() })
	tag := "{" + stocktest.Ledger() + "}:"
	p.keys = []string{tag + "counts", tag + "tokens", tag + "accounts"}
	if err := p.client.HSet(b.Context(), p.keys[0], "free:red", units).Err(); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *plain) ask(ctx context.Context, account, token string) (int, error) {
	return p.decide.Run(ctx, p.client, p.keys, token, account, "red", 1, 1).Int()
}

func (p *plain) buy(ctx context.Context, account, token string) error {
	n, err := p.ask(ctx, account, token)
	if err == nil {
		_, err = p.start.Run(ctx, p.client, p.keys, token).Int()
	}
	if err == nil {
		_, err = p.sold.Run(ctx, p.client, p.keys, token).Int()
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("decided %d", n)
	}
	return err
}

// sale is a ledger in a Store.
type sale struct {
	store  *redis.Store
	ledger string
}

func newSale(b testing.TB, store *redis.Store, units int) *sale {
	s := &sale{store, stocktest.Ledger()}
	_, _, err := store.Load(b.Context(), stock.Loading{
		Ledger: s.ledger, Items: map[string]int{"red": units},
		Terms: stock.Terms{PerAccount: 1, ReserveFor: time.Hour, SendingFor: time.Hour},
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *sale) ask(ctx context.Context, account string, token gate.Token) (gate.Reason, error) {
	d, err := s.store.Decide(ctx, stock.Ask{Ledger: s.ledger, Account: account, Item: "red", Units: 1, Token: token})
	return d.Reason, err
}

func (s *sale) buy(ctx context.Context, account string, token gate.Token) error {
	r, err := s.ask(ctx, account, token)
	if err == nil {
		_, err = s.store.Start(ctx, stock.Launch{Ledger: s.ledger, Token: token, By: token})
	}
	if err == nil {
		err = s.store.Settle(ctx, stock.Settlement{Ledger: s.ledger, Token: token, By: token, Outcome: rules.OutcomeSold})
	}
	if err == nil && r != gate.Admitted {
		err = fmt.Errorf("decided %v", r)
	}
	return err
}

// cpu is how long the server's main thread has worked.
func cpu(b testing.TB, addr string) time.Duration {
	c := goredis.NewClient(&goredis.Options{Addr: addr})
	defer c.Close()
	said, err := c.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, name := range []string{"used_cpu_sys_main_thread:", "used_cpu_user_main_thread:"} {
		_, v, _ := strings.Cut(said, name)
		v, _, _ = strings.Cut(v, "\r\n")
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			b.Fatalf("read %q of INFO cpu: %v", name, err)
		}
		sum += f
	}
	return time.Duration(sum * float64(time.Second))
}

type cost struct{ wall, cpu time.Duration }

// measured does n things, so many at a time, each with a number of its own.
func measured(b testing.TB, addr string, n, parallel int, do func(i int) error) cost {
	began, worked := time.Now(), cpu(b, addr)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return cost{time.Since(began), cpu(b, addr) - worked}
}

// against reports medians of several rounds, each with both.
func against(b *testing.B, rounds int, one func() (base, ours cost)) {
	var rate, work []float64
	for b.Loop() {
		for range rounds {
			base, ours := one()
			rate = append(rate, float64(base.wall)/float64(ours.wall))
			work = append(work, float64(base.cpu)/float64(ours.cpu))
		}
	}
	b.ReportMetric(median(rate), "x-rate")
	b.ReportMetric(median(work), "x-redis-cpu")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

func account(i int) string { return "c:" + strconv.Itoa(i) }

func name(i int) string { return fmt.Sprintf("%032x", i) }

const crowd = 256

func BenchmarkLosers(b *testing.B) {
	server := stocktest.StartRedis(b)
	ours, base := newSale(b, open(b, server.Rules()), 0), newPlain(b, server.Addr, 0)
	const n = 60_000
	against(b, 5, func() (cost, cost) {
		return measured(b, server.Addr, n, crowd, func(i int) error {
				_, err := base.ask(b.Context(), account(i), name(i))
				return err
			}), measured(b, server.Addr, n, crowd, func(i int) error {
				_, err := ours.ask(b.Context(), account(i), stocktest.Token(i))
				return err
			})
	})
}

func buyers(b *testing.B, addr string, store *redis.Store, n int) (base, ours cost) {
	plain, sale := newPlain(b, addr, n), newSale(b, store, n)
	base = measured(b, addr, n, crowd, func(i int) error { return plain.buy(b.Context(), account(i), name(i)) })
	ours = measured(b, addr, n, crowd, func(i int) error {
		return sale.buy(b.Context(), account(i), stocktest.Token(i))
	})
	if p, err := store.Look(b.Context(), sale.ledger, 0); err != nil || p.Items["red"].Sold != n {
		b.Fatalf("sold %+v, %v, want %d", p.Items["red"], err, n)
	}
	return base, ours
}

func BenchmarkWinners(b *testing.B) {
	server := stocktest.StartRedis(b)
	store := open(b, server.Rules())
	against(b, 5, func() (cost, cost) { return buyers(b, server.Addr, store, 20_000) })
}

// BenchmarkAlone is what one call costs where nothing else is under way.
func BenchmarkAlone(b *testing.B) {
	server := stocktest.StartRedis(b)
	store := open(b, server.Rules())
	var more []float64
	for b.Loop() {
		const n = 4_000
		ours, base := newSale(b, store, n), newPlain(b, server.Addr, n)
		var single, batched []float64
		for i := range n { // by turns, so that both meet the same machine
			began := time.Now()
			if _, err := base.ask(b.Context(), account(i), name(i)); err != nil {
				b.Fatal(err)
			}
			between := time.Now()
			if _, err := ours.ask(b.Context(), account(i), stocktest.Token(i)); err != nil {
				b.Fatal(err)
			}
			single = append(single, float64(between.Sub(began))/1e3)
			batched = append(batched, float64(time.Since(between))/1e3)
		}
		more = append(more, median(batched)-median(single))
	}
	b.ReportMetric(median(more), "µs-more")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAcknowledged has every start acknowledged by a replica; the baseline has none.
func BenchmarkAcknowledged(b *testing.B) {
	server := stocktest.StartRedis(b)
	replica(b, server)
	r := server.Rules()
	r.ReplicasAck = 1
	store := open(b, r)
	against(b, 3, func() (cost, cost) { return buyers(b, server.Addr, store, 10_000) })
}

// BenchmarkMemory is what 10⁵ sold units and their accounts weigh, and as many accounts
// that have lost a reservation.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	used := func(addr string) float64 {
		v, err := strconv.ParseFloat(said(b, raw(b, addr), "memory", "used_memory_dataset"), 64)
		must(b, err)
		return v
	}
	var sold, lost []float64
	for b.Loop() {
		server := stocktest.StartRedis(b)
		s := newShop(b, open(b, server.Rules()), n)
		empty := used(server.Addr)
		measured(b, server.Addr, n, crowd, func(i int) error {
			if !s.buy(b.Context(), i) {
				return fmt.Errorf("buyer %d was refused", i)
			}
			return nil
		})
		full := used(server.Addr)
		must(b, s.store.SetTerms(b.Context(), s.ledger, stock.Terms{PerAccount: 1, ReserveFor: time.Hour, Steps: true}))
		_, err := s.store.Adjust(b.Context(), stock.Adjustment{Ledger: s.ledger, Token: stocktest.Token(1 << 30), Item: "red", Add: n})
		must(b, err)
		measured(b, server.Addr, n, crowd, func(i int) error {
			_, err := s.store.Decide(b.Context(), s.ask(n+i))
			x := s.free(n + i)
			x.Unsent = false
			return errors.Join(err, s.store.Settle(b.Context(), x))
		})
		sold, lost = append(sold, (full-empty)/n), append(lost, (used(server.Addr)-full)/n)
	}
	b.ReportMetric(median(sold), "B/sold-unit")
	b.ReportMetric(median(lost), "B/lapsed-account")
	b.ReportMetric(0, "ns/op")
}
