package redis_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/rules"
)

func open(t testing.TB, r rules.Redis) *redis.Store {
	t.Helper()
	store := redis.New(r)
	t.Cleanup(func() { store.Close() })
	return store
}

// raw is a plain client, to do to Redis what operators and accidents do.
func raw(t testing.TB, addr string) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: addr, ReadTimeout: 10 * time.Second})
	t.Cleanup(func() { c.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// said is one line of INFO.
func said(t testing.TB, c *goredis.Client, section, name string) string {
	t.Helper()
	info, err := c.Info(t.Context(), section).Result()
	must(t, err)
	_, v, _ := strings.Cut(info, "\n"+name+":")
	v, _, _ = strings.Cut(v, "\r\n")
	return v
}

// freeze stops a server as a stalled machine does; the answer wakes it.
func freeze(t testing.TB, addr string) (wake func()) {
	t.Helper()
	pid, err := strconv.Atoi(said(t, raw(t, addr), "server", "process_id"))
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	wake = sync.OnceFunc(func() { syscall.Kill(pid, syscall.SIGCONT) })
	t.Cleanup(wake)
	return wake
}

// eventually polls for what has no other sign.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if holds() {
			return
		}
	}
	t.Fatalf("after 20 s it is still not so that %s", what)
}

// replica is a server that follows another, and has caught up with it. stall has it get
// nothing more of what the other writes, ever.
func replica(t testing.TB, of *stocktest.Server) (s *stocktest.Server, stall func()) {
	t.Helper()
	l := &link{}
	host, port, _ := net.SplitHostPort(l.listen(t, of.Addr))
	master := raw(t, of.Addr)
	must(t, master.ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err())
	s = stocktest.StartRedis(t, "--replicaof", host, port)
	caughtUp(t, master)
	return s, func() { l.stalled.Store(true) }
}

// caughtUp returns when a replica has all that the server has.
func caughtUp(t testing.TB, server *goredis.Client) {
	t.Helper()
	eventually(t, "the replica acknowledges", func() bool {
		must(t, server.Set(t.Context(), "hello", 1, 0).Err())
		return server.Wait(t.Context(), 1, 100*time.Millisecond).Val() == 1
	})
}

// link passes bytes on until it is stalled; from then on it swallows what the server says.
type link struct{ stalled atomic.Bool }

func (l *link) listen(t testing.TB, to string) string {
	return listen(t, func(client net.Conn) {
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			io.Copy(server, client)
			server.Close()
		}()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if !l.stalled.Load() {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
		}
	})
}

// listen serves connections until the test is over.
func listen(t testing.TB, serve func(net.Conn)) string {
	in, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { in.Close() })
	wg.Go(func() {
		for {
			client, err := in.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				serve(client)
			})
		}
	})
	return in.Addr().String()
}

// shop is a ledger in a store.
type shop struct {
	testing.TB
	store  *redis.Store
	ledger string
}

func newShop(t testing.TB, store *redis.Store, units int) *shop {
	t.Helper()
	s := &shop{t, store, stocktest.Ledger()}
	l := stock.Loading{
		Ledger: s.ledger, Items: map[string]int{"red": units},
		Terms: stock.Terms{PerAccount: 1, ReserveFor: time.Hour, SendingFor: time.Hour},
	}
	eventually(t, "the ledger is loaded", func() bool { // replicas of a busy machine can be too slow
		_, _, err := store.Load(t.Context(), l)
		return err == nil
	})
	return s
}

func (s *shop) ask(n int) stock.Ask {
	return stock.Ask{Ledger: s.ledger, Account: fmt.Sprint("c:", n), Item: "red", Token: stocktest.Token(n), Units: 1}
}

func (s *shop) launch(n int) stock.Launch {
	return stock.Launch{Ledger: s.ledger, Token: stocktest.Token(n), By: stocktest.Token(n)}
}

func (s *shop) sold(n int) stock.Settlement {
	return stock.Settlement{Ledger: s.ledger, Token: stocktest.Token(n), By: stocktest.Token(n), Outcome: rules.OutcomeSold}
}

func (s *shop) free(n int) stock.Settlement {
	return stock.Settlement{Ledger: s.ledger, Token: stocktest.Token(n), Outcome: rules.OutcomeFree, Unsent: true}
}

func (s *shop) decide(n int, want gate.Reason) {
	s.Helper()
	if d, err := s.store.Decide(s.Context(), s.ask(n)); err != nil || d.Reason != want {
		s.Fatalf("Decide(%d) = %+v, %v, want %v", n, d, err, want)
	}
}

func (s *shop) start(n int, want gate.Reason) {
	s.Helper()
	if r, err := s.store.Start(s.Context(), s.launch(n)); err != nil || r != want {
		s.Fatalf("Start(%d) = %v, %v, want %v", n, r, err, want)
	}
}

// send starts, however long its replicas take.
func (s *shop) send(n int) {
	s.Helper()
	eventually(s, "the start is acknowledged", func() bool {
		r, err := s.store.Start(s.Context(), s.launch(n))
		return err == nil && r == gate.Admitted
	})
}

func (s *shop) settle(x stock.Settlement, want error) {
	s.Helper()
	if err := s.store.Settle(s.Context(), x); !errors.Is(err, want) {
		s.Fatalf("Settle(%+v) = %v, want %v", x, err, want)
	}
}

func (s *shop) counts(want stock.Counts) {
	s.Helper()
	p, err := s.store.Look(s.Context(), s.ledger, 0)
	if err != nil || p.Items["red"] != want {
		s.Fatalf("counts are %+v, %v, want %+v", p.Items["red"], err, want)
	}
}

func (s *shop) key(name string) string { return "{penstock:" + s.ledger + "}:" + name }

// calls is how many script calls a server has been sent.
func calls(t testing.TB, c *goredis.Client) int {
	t.Helper()
	v := said(t, c, "commandstats", "cmdstat_evalsha")
	_, v, _ = strings.Cut(v, "calls=")
	v, _, _ = strings.Cut(v, ",")
	n, _ := strconv.Atoi(v)
	return n
}

// lossy stands between client and Redis. While lose is set it lets each request through
// and drops the connection instead of passing the reply on.
type lossy struct {
	lose atomic.Int64 // how many replies more
	lost atomic.Int64
}

func (l *lossy) listen(t *testing.T, to string) string {
	return listen(t, func(client net.Conn) { l.serve(client, to) })
}

func (l *lossy) serve(client net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if l.lose.Load() > 0 && l.lose.Add(-1) >= 0 {
			l.lost.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
