package lease

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"penstock/limiter/shared"
	"penstock/limiter/shared/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func saleOf(l rules.Limit) *rules.Sale {
	return &rules.Sale{Name: "s", Limits: rules.Limits{Account: l}}
}

func facts(account string, s *rules.Sale) *gate.Facts {
	return &gate.Facts{At: time.Now(), IP: netip.MustParseAddr("192.0.2.1"), Account: account, Sale: s}
}

func TestGate(t *testing.T) {
	at := time.Now().Add(time.Minute)
	f := func(name string, l rules.Limit, capacity int, holds bool) {
		t.Run(name, func(t *testing.T) {
			sale := saleOf(l)
			gatetest.Run(t, gatetest.Subject{
				New: func(testing.TB) gate.Gate { return New(shared.NewMemory(), "a", []byte("secret"), nil) },
				Facts: func(i int) *gate.Facts {
					return &gate.Facts{At: at, Account: fmt.Sprintf("c:%d", i), Sale: sale}
				},
				Capacity: capacity, Holds: holds, Memory: 48 << 20,
			})
		})
	}
	f("in flight", rules.Limit{InFlight: 3}, 3, true)
	f("rate", rules.Limit{Every: time.Hour, Burst: 4}, 4, false)
	f("none", rules.Limit{}, -1, false)
}

// several gateways that meet in one place.
type several struct {
	gates []*Gate
	stop  []func() // as a crash does: nothing is told any more
	down  atomic.Bool
	told  atomic.Int64 // trouble that was reported
	meet  Store
}

func (s *several) Exchange(ctx context.Context, gateway string, mine []shared.Lease) ([]shared.Lease, error) {
	if s.down.Load() {
		return nil, errors.New("down")
	}
	return s.meet.Exchange(ctx, gateway, mine)
}

func start(meet Store, n int) *several { return startAs("gateway", meet, n) }

func startAs(name string, meet Store, n int) *several {
	s := &several{meet: meet}
	for i := range n {
		g := New(s, fmt.Sprint(name, i), []byte("secret"), func(error) { s.told.Add(1) })
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { g.Run(ctx) })
		s.gates = append(s.gates, g)
		s.stop = append(s.stop, func() { cancel(); wg.Wait() })
	}
	return s
}

func (s *several) end() {
	for _, stop := range s.stop {
		stop()
	}
}

// heard is more than it takes until all gateways know.
const heard = 500 * time.Millisecond

func want(t *testing.T, g *Gate, f *gate.Facts, reason gate.Reason) gate.Verdict {
	t.Helper()
	v := g.Admit(context.Background(), f)
	if v.Reason != reason {
		t.Errorf("%s of %q got %v, want %v", g.gateway, f.Account, v.Reason, reason)
	}
	return v
}

func TestInFlightOverAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(shared.NewMemory(), 3)
		defer s.end()
		sale := saleOf(rules.Limit{InFlight: 2})
		a, b := facts("c:a", sale), facts("c:a", sale)
		want(t, s.gates[0], a, gate.Admitted)
		want(t, s.gates[1], b, gate.Admitted)
		time.Sleep(heard)
		for _, g := range s.gates {
			if v := want(t, g, facts("c:a", sale), gate.InFlight); v.Retry <= 0 {
				t.Error("no word of when to try again")
			}
			f := facts("c:b", sale)
			want(t, g, f, gate.Admitted)
			g.Release(f, gate.End{})
		}
		time.Sleep(10 * time.Second) // a long request goes on counting
		want(t, s.gates[2], facts("c:a", sale), gate.InFlight)
		s.gates[0].Release(a, gate.End{})
		time.Sleep(heard)
		want(t, s.gates[2], facts("c:a", sale), gate.Admitted)
		s.gates[1].Release(b, gate.End{})
	})
}

func TestADeadGatewayLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(shared.NewMemory(), 2)
		defer s.end()
		sale := saleOf(rules.Limit{InFlight: 1})
		want(t, s.gates[0], facts("c:a", sale), gate.Admitted)
		time.Sleep(heard)
		want(t, s.gates[1], facts("c:a", sale), gate.InFlight)
		s.stop[0]()
		time.Sleep(shared.LeaseFor + heard)
		want(t, s.gates[1], facts("c:a", sale), gate.Admitted)
	})
}

func TestWithoutTheStoreEachCountsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(shared.NewMemory(), 2)
		defer s.end()
		sale := saleOf(rules.Limit{InFlight: 1})
		want(t, s.gates[0], facts("c:a", sale), gate.Admitted)
		time.Sleep(heard)
		want(t, s.gates[1], facts("c:a", sale), gate.InFlight)
		s.down.Store(true)
		time.Sleep(shared.LeaseFor + heard)
		f := facts("c:a", sale)
		want(t, s.gates[1], f, gate.Admitted)
		want(t, s.gates[1], facts("c:a", sale), gate.InFlight)
		time.Sleep(time.Minute)
		if n := s.told.Load(); n != 2 {
			t.Errorf("two gateways reported one outage %d times", n)
		}
		s.gates[1].Release(f, gate.End{})
		s.down.Store(false)
		time.Sleep(heard)
		want(t, s.gates[1], facts("c:a", sale), gate.InFlight)
	})
}

// TestALongHistoryIsNotHeldAgainstAnybody: a gateway that comes later, or comes to the store
// again, hears what is owed, and not all that ever was.
func TestALongHistoryIsNotHeldAgainstAnybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := shared.NewMemory()
		s := start(memory, 1)
		defer s.end()
		sale := saleOf(rules.Limit{Every: 500 * time.Millisecond, Burst: 4})
		ask := func(g *Gate) {
			t.Helper()
			f := facts("c:a", sale)
			want(t, g, f, gate.Admitted)
			g.Release(f, gate.End{})
		}
		for range 1000 {
			ask(s.gates[0])
			time.Sleep(600 * time.Millisecond)
		}
		late := startAs("late", memory, 1)
		defer late.end()
		time.Sleep(heard)
		ask(late.gates[0])
		for range 20 {
			ask(s.gates[0])
			time.Sleep(700 * time.Millisecond)
		}
		s.down.Store(true)
		for range 20 {
			ask(s.gates[0])
			time.Sleep(700 * time.Millisecond)
		}
		s.down.Store(false)
		time.Sleep(heard)
		ask(late.gates[0])
		time.Sleep(700 * time.Millisecond)
		ask(s.gates[0])
	})
}

// TestHammered: whoever asks all gateways as often as he likes gets his rate, and no more
// than a burst of each.
func TestHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const k, burst, every, long = 4, 3, 250 * time.Millisecond, 30 * time.Second
		s := start(shared.NewMemory(), k)
		defer s.end()
		sale := saleOf(rules.Limit{Every: every, Burst: burst})
		admitted := 0
		for began := time.Now(); time.Since(began) < long; time.Sleep(7 * time.Millisecond) {
			for _, g := range s.gates {
				f := facts("c:a", sale)
				if g.Admit(t.Context(), f).OK() {
					admitted++
					g.Release(f, gate.End{})
				}
			}
		}
		rate := int(long / every)
		if admitted > rate+k*burst || admitted < rate*9/10 {
			t.Errorf("%d admitted in %v, want about %d and at most %d bursts of %d more", admitted, long, rate, k, burst)
		}
	})
}

// TestAgainstOneThatKnowsAll plays random crowds to several gateways and to one that knows
// everything at once. Nobody is refused without good reason, give or take the time it takes to
// hear of each other; nobody who is alone at a gateway notices the others; what is hammered
// is held to the bound that is promised.
func TestAgainstOneThatKnowsAll(t *testing.T) {
	type step struct{ gateway, account, pause, hold int }
	rapid.Check(t, func(r *rapid.T) {
		k := rapid.IntRange(1, 4).Draw(r, "gateways")
		limit := rules.Limit{
			Every: time.Duration(rapid.IntRange(20, 2000).Draw(r, "every")) * time.Millisecond,
			Burst: rapid.IntRange(1, 5).Draw(r, "burst"), InFlight: rapid.IntRange(1, 3).Draw(r, "in flight"),
		}
		steps := make([]step, rapid.IntRange(1, 80).Draw(r, "steps"))
		for i := range steps {
			steps[i] = step{rapid.IntRange(0, k-1).Draw(r, "gateway"), rapid.IntRange(0, 1).Draw(r, "account"),
				rapid.IntRange(0, 300).Draw(r, "pause"), rapid.IntRange(0, 600).Draw(r, "hold")}
		}
		alone := rapid.Bool().Draw(r, "alone")
		synctest.Test(t, func(t *testing.T) {
			s := start(shared.NewMemory(), k)
			defer s.end()
			sale := saleOf(limit)
			began := time.Now()
			tolerance := time.Duration(limit.Burst-1) * limit.Every
			type truth struct {
				tat      time.Duration
				ends     []time.Duration // of what was let in
				admitted int
			}
			var all [2]truth
			var open sync.WaitGroup
			for n, st := range steps {
				time.Sleep(time.Duration(st.pause) * time.Millisecond)
				if alone {
					st.gateway = st.account % k
				}
				now := time.Since(began)
				slack := heard
				if alone {
					slack = 0
				}
				of, running, lately := &all[st.account], 0, 0
				for _, end := range of.ends {
					if end > now {
						running++
					}
					if end >= now-slack { // one that ends now may, or may not, have
						lately++
					}
				}
				f := facts(fmt.Sprint("c:", st.account), sale)
				g := s.gates[st.gateway]
				v := g.Admit(context.Background(), f)
				owes := of.tat - now - tolerance
				switch {
				case v.Reason == gate.InFlight && lately < limit.InFlight:
					r.Errorf("step %d: refused as in flight, %d run and %d did lately, of %d", n, running, lately, limit.InFlight)
				case v.Reason == gate.RateLimited && v.Retry > owes+slack:
					r.Errorf("step %d: refused for %v, owes %v", n, v.Retry, owes)
				case v.OK() && (alone || k == 1) && (owes > 0 || running >= limit.InFlight):
					r.Errorf("step %d: admitted, owes %v and has %d running of %d", n, owes, running, limit.InFlight)
				case v.OK() && running >= k*limit.InFlight:
					r.Errorf("step %d: %d run at %d gateways, of %d", n, running+1, k, limit.InFlight)
				}
				if !v.OK() {
					continue
				}
				hold := time.Duration(st.hold) * time.Millisecond
				of.tat = max(of.tat, now) + limit.Every
				of.ends = append(of.ends, now+hold)
				of.admitted++
				open.Go(func() {
					time.Sleep(hold)
					g.Release(f, gate.End{})
				})
			}
			open.Wait()
			time.Sleep(time.Second)
			for _, g := range s.gates { // what is over is forgotten
				for i := range g.stripes {
					s := &g.stripes[i]
					s.Lock()
					for _, a := range s.all {
						if a.running != 0 || a.others != 0 {
							r.Errorf("account %x has %d running, %d elsewhere", a.key, a.running, a.others)
						}
					}
					s.Unlock()
				}
			}
		})
	})
}

// TestTheHottestAreToldOf: where there are too many, those that were charged most.
func TestTheHottestAreToldOf(t *testing.T) {
	g := New(shared.NewMemory(), "a", []byte("secret"), nil)
	sale := saleOf(rules.Limit{Every: time.Hour, Burst: 100})
	for i := range 2 * shared.MostLeases {
		f := facts(fmt.Sprintf("c:%d", i), sale)
		for range 2 + 3*(i%2) {
			want(t, g, f, gate.Admitted)
			g.Release(f, gate.End{})
		}
	}
	g.gather(time.Since(g.start), false)
	if len(g.talk.mine) != shared.MostLeases {
		t.Fatalf("%d are told of, want %d", len(g.talk.mine), shared.MostLeases)
	}
	for _, l := range g.talk.mine {
		if l.Owed != 5*time.Hour {
			t.Fatalf("one that owes %v is told of before one that owes more", l.Owed)
		}
	}
}

// TestKeysAreTheInstallations: the same at all gateways, and others elsewhere.
func TestKeysAreTheInstallations(t *testing.T) {
	f, other := facts("c:a", saleOf(rules.Limit{InFlight: 1})), facts("c:a", &rules.Sale{Name: "sc", Limits: rules.Limits{}})
	a, b, c := New(nil, "a", []byte("secret"), nil), New(nil, "b", []byte("secret"), nil), New(nil, "a", []byte("another"), nil)
	if a.key(f) != b.key(f) || a.key(f) == c.key(f) {
		t.Errorf("keys are %x, %x, and elsewhere %x", a.key(f), b.key(f), c.key(f))
	}
	other.Account = "a"
	if f.Sale.Name+f.Account == other.Sale.Name+":a" && a.key(f) == a.key(other) {
		t.Error("sale and account run together")
	}
}

// TestOverRedis: two gateways at a real Redis, and one that is killed.
func TestOverRedis(t *testing.T) {
	server := stocktest.StartRedis(t)
	one, two := redis.New(server.Rules()), redis.New(server.Rules())
	defer one.Close()
	defer two.Close()
	a, b := start(one, 1), startAs("another", two, 1)
	defer a.end()
	defer b.end()
	sale := saleOf(rules.Limit{InFlight: 1})
	eventually := func(g *Gate, account string, reason gate.Reason) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
			f := facts(account, sale)
			v := g.Admit(t.Context(), f)
			if v.OK() {
				g.Release(f, gate.End{})
			}
			if v.Reason == reason {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s gets %v to the end, want %v", account, v.Reason, reason)
			}
		}
	}
	f := facts("c:a", sale)
	want(t, a.gates[0], f, gate.Admitted)
	eventually(b.gates[0], "c:a", gate.InFlight)
	a.gates[0].Release(f, gate.End{})
	eventually(b.gates[0], "c:a", gate.Admitted)
	want(t, a.gates[0], facts("c:b", sale), gate.Admitted)
	eventually(b.gates[0], "c:b", gate.InFlight)
	a.stop[0]()
	began := time.Now()
	eventually(b.gates[0], "c:b", gate.Admitted)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a killed gateway's leases counted for %v", took)
	}
	want(t, a.gates[0], facts("c:c", sale), gate.Admitted)
}
