package main_test

// Restart without loss, as customers see it: two hundred of them ask all the time while one
// gateway follows another, and none of them is refused, cut off or answered twice.

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"penstock/limiter/stock/stocktest"
)

// restarts is how often each test changes the gateway: PENSTOCK_RESTARTS, or a few.
func restarts(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("PENSTOCK_RESTARTS"), "3"))
	if err != nil || n < 1 {
		t.Fatalf("PENSTOCK_RESTARTS is %q: want a number", os.Getenv("PENSTOCK_RESTARTS"))
	}
	return n
}

const loopers = 200

const steady = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
health: {listen: "HEALTH"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 250, max_concurrency: 250, queue: {depth: 1000, max_wait: 20s}}
store: {STORE}
shutdown: {delay: 0s, timeout: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 1000000}
    limits: {ip: {rate: 100000/s, burst: 100000, in_flight: 1000}}
`

const embeddedStore = "embedded: {path: penstock.db}"

func redisStore(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`redis: {addrs: [%q], timeout: 5s}`, stocktest.StartRedis(t).Addr)
}

// paced is a shop that keeps two hundred customers busy, and the machine not too much.
var paced = []string{"-stock=10000000", "-service=100ms", "-workers=400", "-backlog=1000"}

// loop is a crowd that asks and asks, each customer on one connection as long as that lasts.
type loop struct {
	stop   chan struct{}
	all    sync.WaitGroup
	asked  atomic.Int64
	bought atomic.Int64

	mu     sync.Mutex
	dials  int
	failed []string
}

// keepAsking starts it. One request in four buys, each for an account of its own.
func keepAsking(addr string) *loop {
	l := &loop{stop: make(chan struct{})}
	for i := range loopers {
		l.all.Go(func() {
			c := &client{addr: addr}
			defer c.close()
			for n := 0; !closed(l.stop); n++ {
				if why := l.turn(c, i, n); why != "" {
					l.mu.Lock()
					l.failed = append(l.failed, fmt.Sprintf("customer %d, request %d: %s", i, n, why))
					l.mu.Unlock()
				}
			}
			l.mu.Lock()
			l.dials += c.dials
			l.mu.Unlock()
		})
	}
	return l
}

// turn asks once, and says what was wrong.
func (l *loop) turn(c *client, i, n int) string {
	ask, want := request("GET", "/", ""), http.StatusOK
	if n%4 == 3 {
		ask, want = request("POST", "/buy.php", "qty=1", fmt.Sprintf("X-Account: %d-%d", i, n)), http.StatusCreated
	}
	r, err := c.do(ask)
	l.asked.Add(1)
	switch {
	case err != nil:
		return err.Error()
	case r.status != want || r.reason() != "admitted":
		return fmt.Sprintf("got %d %q, want %d", r.status, r.reason(), want)
	case want == http.StatusCreated:
		l.bought.Add(1)
	}
	return ""
}

// goesOn waits until the crowd has had so many more answers.
func (l *loop) goesOn(t *testing.T, n int64) {
	t.Helper()
	until := l.asked.Load() + n
	eventually(t, fmt.Sprintf("%d more answers", n), func() bool { return l.asked.Load() >= until })
}

// end stops the crowd, and asserts that nothing failed, and that the shop and the stock
// agree with what the customers were told.
func (l *loop) end(t *testing.T, g *gateway, s *shop) {
	t.Helper()
	close(l.stop)
	l.all.Wait()
	for i, why := range l.failed {
		if i == 10 {
			t.Errorf("and %d more", len(l.failed)-10)
			break
		}
		t.Error(why)
	}
	t.Logf("%d requests over %d connections, %d failed, %d units sold", l.asked.Load(), l.dials, len(l.failed), l.bought.Load())
	b := s.books(t)
	if int64(b.Count) != l.bought.Load() || b.Duplicates != 0 || b.Checkouts != b.Count {
		t.Errorf("the shop has %d orders from %d checkouts, %d repeated, want the %d that customers heard of", b.Count, b.Checkouts, b.Duplicates, l.bought.Load())
	}
	states, all := g.stock(t, "phone")
	if int64(states["sold"]) != l.bought.Load() || states["sold"]+states["free"] != all {
		t.Errorf("stock is %v, want %d sold and the rest free", states, l.bought.Load())
	}
}

// watch asks for readiness and for the API all the time, on a connection of its own each
// time. stop says what has failed.
func watch(health, admin string) (stop func() (asked int, failed []string)) {
	over, done := make(chan struct{}), make(chan struct{})
	asked, failed := 0, []string(nil)
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for !closed(over) {
			for _, url := range []string{"http://" + health + "/readyz", "http://" + admin + "/readyz", "http://" + admin + "/api/v1/sales", "http://" + admin + "/metrics"} {
				resp, err := once.Get(url)
				asked++
				if err != nil {
					failed = append(failed, err.Error())
					continue
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					failed = append(failed, url+": "+resp.Status)
				}
			}
			<-tick.C
		}
	}()
	return func() (int, []string) {
		close(over)
		<-done
		return asked, failed
	}
}

// anywhere is an address that was free a moment ago.
func anywhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestUpgradesOnEmbeddedStoreLoseNothing(t *testing.T) { upgrades(t, embeddedStore) }

func TestUpgradesOnRedisLoseNothing(t *testing.T) { upgrades(t, redisStore(t)) }

// upgrades changes the gateway under a crowd, by signal and by command in turn.
func upgrades(t *testing.T, store string) {
	s := startShop(t, paced...)
	health := anywhere(t)
	file := write(t, t.TempDir(), steady, "SHOP", s.addr, "STORE", store, "HEALTH", health)
	l := found(t, exec.Command(penstock, "run", "-config", file))
	before := descriptors(t, l.pid())
	crowd := keepAsking(l.proxy)
	probes := watch(health, l.admin)
	for n := range restarts(t) {
		crowd.goesOn(t, 2*loopers)
		old := l.pid()
		if n%2 == 0 {
			l.signal(t, syscall.SIGUSR2)
		} else if code, said := operate(t, l.gateway, "upgrade", "-by", "ann", "-why", "test"); code != 0 {
			t.Fatalf("upgrade: exit code %d: %s", code, said)
		}
		l.next(t)
		if code := l.ended(t, old); code != 0 {
			t.Errorf("gateway %d: exit code %d, want 0", n+1, code)
		}
	}
	crowd.goesOn(t, 2*loopers)
	asked, failed := probes()
	if len(failed) > 0 {
		t.Errorf("%d of %d probes and calls of operators failed: %.2000s", len(failed), asked, fmt.Sprint(failed))
	}
	crowd.end(t, l.gateway, s)
	t.Logf("%d probes and calls of operators; pauses in ms: %v", asked, regexp.MustCompile(`"paused_ms":\d+`).FindAllString(l.text(t), -1))
	if after := descriptors(t, l.pid()); !maps.Equal(before, after) {
		t.Errorf("the last gateway has %v open, the first had %v", after, before)
	}
	l.signal(t, syscall.SIGTERM)
	if code := l.ended(t, l.pid()); code != 0 {
		t.Errorf("the last gateway: exit code %d, want 0", code)
	}
}
