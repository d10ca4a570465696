package ladder

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func steps() *rules.Ladder {
	return &rules.Ladder{
		Strikes:   rules.Steps{Observe: 2, Challenge: 4, Ban: 8},
		Accounts:  rules.Steps{Observe: 5, Challenge: 20, Ban: 60},
		Network:   rules.Steps{Challenge: 100},
		Addresses: rules.Steps{Observe: 3, Challenge: 5, Ban: 7},
		Ignored:   rules.Steps{Ban: 6},
		Score:     rules.Steps{Observe: 20, Challenge: 50, Ban: 90},
		Window:    10 * time.Minute, For: 15 * time.Minute, Enforce: true,
	}
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// scene is a ladder, a sale and a clock.
type scene struct {
	*testing.T
	l    *Ladder
	g    gate.Gate
	sale *rules.Sale
	now  time.Time
	bans []rules.Signal
}

func newScene(t *testing.T, o Options) *scene {
	s := &scene{T: t, sale: &rules.Sale{Name: "s", Ladder: steps()}, now: time.Now()}
	o.Banned = func(_ *gate.Facts, by rules.Signal, _ time.Time) { s.bans = append(s.bans, by) }
	if o.Accounts == 0 {
		o.Accounts, o.Addresses = 1<<12, 1<<10
	}
	s.l = New(o)
	s.g = s.l.Gate()
	return s
}

func (s *scene) facts(account string, ip netip.Addr) *gate.Facts {
	return &gate.Facts{At: s.now, Sale: s.sale, Account: account, IP: ip, Units: 1}
}

func (s *scene) ask(account string, ip netip.Addr) gate.Verdict {
	return s.g.Admit(context.Background(), s.facts(account, ip))
}

func (s *scene) told(account string, ip netip.Addr, r gate.Reason) {
	s.l.Decided(&gate.Decision{Facts: s.facts(account, ip), Reason: r})
}

func (s *scene) looks(account string, ip netip.Addr) {
	s.l.Decided(&gate.Decision{Facts: s.facts(account, ip), Reason: gate.Admitted, Step: gate.Looks})
}

func (s *scene) want(account string, ip netip.Addr, reason gate.Reason, level uint8, owed bool) {
	s.Helper()
	if v := s.ask(account, ip); v.Reason != reason {
		s.Errorf("%s is told %v, want %v", account, v.Reason, reason)
	}
	if l, _, o := s.l.Owes(s.facts(account, ip)); l != level || o != owed {
		s.Errorf("%s owes level %d, %v, want level %d, %v", account, l, o, level, owed)
	}
}

// TestGate: eight strikes ban; what never strikes is never refused.
func TestGate(t *testing.T) {
	start := time.Now()
	subject := func(r *rules.Ladder, capacity int) gatetest.Subject {
		sale := &rules.Sale{Name: "s", Ladder: r}
		return gatetest.Subject{
			New: func(testing.TB) gate.Gate { return &struckGate{l: New(Options{Accounts: 1 << 12, Addresses: 1 << 10})} },
			Facts: func(i int) *gate.Facts {
				return &gate.Facts{At: start, IP: address(i), Account: fmt.Sprintf("c:%d", i), Sale: sale}
			},
			Capacity: capacity,
			Memory:   2 << 20,
		}
	}
	t.Run("strikes", func(t *testing.T) {
		gatetest.Run(t, subject(&rules.Ladder{Strikes: rules.Steps{Ban: 8}, Window: time.Minute, For: time.Minute}, 8))
	})
	t.Run("none", func(t *testing.T) { gatetest.Run(t, subject(nil, -1)) })
}

// struckGate strikes everybody for every request that is let through.
type struckGate struct {
	mu sync.Mutex // from one strike to the next
	l  *Ladder
}

func (g *struckGate) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.l.Gate().Admit(ctx, f)
	if v.OK() {
		g.l.Decided(&gate.Decision{Facts: f, Reason: gate.RateLimited})
	}
	return v
}

func (g *struckGate) Release(f *gate.Facts, e gate.End) { g.l.Gate().Release(f, e) }

func TestStrikesClimbAndEnd(t *testing.T) {
	s := newScene(t, Options{})
	ip := address(1)
	for n := range 8 {
		s.want("c:a", ip, gate.Admitted, map[bool]uint8{true: 1}[n >= 4], n >= 4)
		s.told("c:a", ip, []gate.Reason{gate.RateLimited, gate.InFlight}[n%2])
	}
	v := s.ask("c:a", ip)
	if v.Reason != gate.Banned || v.Retry != 15*time.Minute {
		t.Fatalf("after eight strikes got %v, retry %v", v.Reason, v.Retry)
	}
	if len(s.bans) != 1 || s.bans[0] != rules.ByStrikes {
		t.Errorf("heard of bans %v, want one by strikes", s.bans)
	}
	s.now = s.now.Add(15*time.Minute - time.Millisecond)
	if v := s.ask("c:a", ip); v.Retry != time.Millisecond {
		t.Errorf("a millisecond before the end got %v, retry %v", v.Reason, v.Retry)
	}
	s.now = s.now.Add(time.Millisecond)
	s.want("c:a", ip, gate.Admitted, 0, false)
	s.want("c:b", ip, gate.Admitted, 0, false)
}

func TestOtherRefusalsAreNoStrikes(t *testing.T) {
	s := newScene(t, Options{})
	for _, r := range gate.Reasons() {
		if r != gate.RateLimited && r != gate.InFlight && r != gate.Challenge && r != gate.NotOpen {
			for range 20 {
				s.told("c:a", address(1), r)
			}
		}
	}
	s.want("c:a", address(1), gate.Admitted, 0, false)
	for range 8 { // by a limit that only watches
		s.l.Decided(&gate.Decision{Facts: s.facts("c:b", address(2)), Reason: gate.SoldOut, Would: gate.RateLimited})
	}
	s.want("c:b", address(2), gate.Banned, 1, true)
}

// TestWhoKeepsAskingBeforeTheOpening: the first time nobody knows when it opens.
func TestWhoKeepsAskingBeforeTheOpening(t *testing.T) {
	s := newScene(t, Options{})
	s.told("c:a", address(1), gate.NotOpen)
	if e := s.l.Stands(s.facts("c:a", address(1))); e.Signals[0].Count != 0 {
		t.Errorf("the first time counts %+v, want no strike", e.Signals[0])
	}
	for range 7 {
		s.told("c:a", address(1), gate.NotOpen)
	}
	if e := s.l.Stands(s.facts("c:a", address(1))); e.Signals[0].Count != 7 {
		t.Errorf("eight times count %+v, want 7 strikes", e.Signals[0])
	}
}

func TestWindowForgets(t *testing.T) {
	s := newScene(t, Options{})
	for range 3 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	s.now = s.now.Add(13 * time.Minute)
	s.told("c:a", address(1), gate.RateLimited)
	s.want("c:a", address(1), gate.Admitted, 0, false)
	for range 3 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	s.want("c:a", address(1), gate.Admitted, 1, true)
}

// TestFarmOwesFromTheFirstRequests: nobody of it gets past the step uncounted, and nobody is
// banned but who ignores.
func TestFarmOwesFromTheFirstRequests(t *testing.T) {
	s := newScene(t, Options{})
	ip := address(1)
	for i := range 200 {
		a := fmt.Sprintf("c:%d", i)
		s.want(a, ip, gate.Admitted, 0, i >= 19)
	}
	for range 2 {
		s.told("c:150", ip, gate.Challenge)
	}
	s.want("c:150", ip, gate.Admitted, 0, true)
	s.told("c:150", ip, gate.Challenge) // the third, at an address with more than 60
	if v := s.ask("c:150", ip); v.Reason != gate.Banned || s.bans[0] != rules.ByIgnored {
		t.Errorf("who ignored three at a farm's address got %v", v.Reason)
	}
	s.want("c:151", ip, gate.Admitted, 0, true)
	s.want("c:elsewhere", address(1<<16), gate.Admitted, 0, false)
	s.now = s.now.Add(30 * time.Minute)
	s.want("c:3", ip, gate.Admitted, 0, false)
}

// TestPeopleBehindOneAddress: an office and a campus have looked before they ask; a campus that
// has not is asked once, and let through for its answer.
func TestPeopleBehindOneAddress(t *testing.T) {
	crowd := func(n int, look time.Duration, challenge int) (owing int) {
		s := newScene(t, Options{})
		s.sale.Ladder.Accounts = rules.Steps{Challenge: challenge, Ban: 3 * challenge}
		s.sale.Ladder.Network = rules.Steps{}
		for i := range n {
			s.looks(fmt.Sprintf("c:%d", i), address(1))
		}
		s.now = s.now.Add(look)
		for range 3 {
			for i := range n {
				if v := s.ask(fmt.Sprintf("c:%d", i), address(1)); !v.OK() {
					t.Fatalf("account %d of %d got %v", i, n, v.Reason)
				}
			}
		}
		for i := range n {
			if _, _, owed := s.l.Owes(s.facts(fmt.Sprintf("c:%d", i), address(1))); owed {
				owing++
			}
		}
		return owing
	}
	f := func(name string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d owe a challenge, want %d", name, got, want)
		}
	}
	f("an office of 30", crowd(30, time.Minute, 20), 0)
	f("an office in a hurry", crowd(30, time.Second, 20), 30)
	f("a campus of 500, a step of 100", crowd(500, time.Minute, 100), 0)
	f("a campus of 500, a step of 20", crowd(500, time.Minute, 20), 500)
}

func TestFarmDoesNotTakeItsOfficeAlong(t *testing.T) {
	s := newScene(t, Options{})
	ip := address(1)
	for i := range 30 {
		s.looks(fmt.Sprintf("c:office%d", i), ip)
	}
	s.now = s.now.Add(time.Minute)
	for i := range 100 {
		s.ask(fmt.Sprintf("c:zombie%d", i), ip)
	}
	for i := range 30 {
		s.want(fmt.Sprintf("c:office%d", i), ip, gate.Admitted, 0, false)
	}
	s.want("c:zombie3", ip, gate.Admitted, 0, true)
}

func TestVouchedForAreNotCounted(t *testing.T) {
	s := newScene(t, Options{})
	ip := address(1)
	for i := range 100 {
		f := s.facts(fmt.Sprintf("c:%d", i), ip)
		f.Cleared = gate.Clearance{At: s.now}
		s.g.Admit(context.Background(), f)
		s.l.Decided(&gate.Decision{Facts: s.facts(fmt.Sprintf("c:w%d", i), ip), Reason: gate.Admitted, Won: true})
		s.ask(fmt.Sprintf("c:w%d", i), ip)
	}
	s.want("c:new", ip, gate.Admitted, 0, false)
	for i := range 30 { // a farm that then solves is taken out again
		s.ask(fmt.Sprintf("c:f%d", i), ip)
	}
	for i := range 30 {
		f := s.facts(fmt.Sprintf("c:f%d", i), ip)
		f.Cleared = gate.Clearance{At: s.now}
		s.g.Admit(context.Background(), f)
		if _, _, owed := s.l.Owes(f); owed {
			t.Errorf("account %d owes what it has solved", i)
		}
	}
	h := s.l.addresses.Look(s.facts("c:new", ip).HashIP(), 0)
	heavy, light := h.V.set.Count(pane(s.l.now(s.now), s.sale.Ladder))
	h.Free()
	if heavy != 1 || light != 0 {
		t.Errorf("the address counts %d, %d light, want one that nothing vouches for", heavy, light)
	}
}

func TestNetworks(t *testing.T) {
	s := newScene(t, Options{})
	for i := range 200 {
		s.ask(fmt.Sprintf("c:%d", i), address(i)) // one /24, each from its own address
	}
	s.want("c:5", address(5), gate.Admitted, 0, true)
	s.want("c:5b", address(1<<8), gate.Admitted, 0, false)
	six := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for i := range 200 {
		s.ask(fmt.Sprintf("c:six%d", i), six(fmt.Sprintf("2001:db8:1:%x::1", i)))
	}
	s.want("c:six", six("2001:db8:1:ffff::1"), gate.Admitted, 0, true)
	s.want("c:seven", six("2001:db8:2::1"), gate.Admitted, 0, false)
}

func TestAddressesOfOneAccount(t *testing.T) {
	s := newScene(t, Options{})
	for i := range 6 {
		s.want("c:a", address(i<<8), gate.Admitted, map[bool]uint8{true: 1}[i >= 4], i >= 4)
		s.ask("c:a", address(i<<8+1)) // the same network
	}
	if v := s.ask("c:a", address(6<<8)); v.Reason != gate.Banned {
		t.Errorf("from the seventh network got %v", v.Reason)
	}
}

func TestIgnoredChallenges(t *testing.T) {
	s := newScene(t, Options{})
	ip := address(1)
	for range 5 {
		s.told("c:a", ip, gate.Challenge)
	}
	f := s.facts("c:a", ip)
	s.now = s.now.Add(time.Second)
	f.At, f.Cleared.At = s.now, s.now.Add(-500*time.Millisecond) // it answers after all
	s.g.Admit(context.Background(), f)
	late := s.facts("c:a", ip)
	late.At = s.now.Add(-time.Second) // refused before, heard of after
	s.l.Decided(&gate.Decision{Facts: late, Reason: gate.Challenge})
	for range 6 {
		s.now = s.now.Add(time.Millisecond)
		s.want("c:a", ip, gate.Admitted, 0, false)
		s.told("c:a", ip, gate.Challenge)
	}
	s.want("c:a", ip, gate.Banned, 0, false)
}

// TestClearanceIsVoidAfterABan: since tells the challenge gate.
func TestClearanceIsVoidAfterABan(t *testing.T) {
	s := newScene(t, Options{})
	ip, asked := address(1), s.now
	for range 4 {
		s.told("c:a", ip, gate.RateLimited)
	}
	s.now = s.now.Add(time.Second)
	s.told("c:a", ip, gate.RateLimited) // no stricter: what was solved between counts
	if level, since, owed := s.l.Owes(s.facts("c:a", ip)); level != 1 || !owed || !since.Equal(asked) {
		t.Errorf("owes %d, %v, since %v, want 1 since the fourth strike", level, owed, since.Sub(asked))
	}
	banned := s.now
	for range 3 {
		s.told("c:a", ip, gate.RateLimited)
	}
	s.now = s.now.Add(16 * time.Minute)
	if _, since, owed := s.l.Owes(s.facts("c:a", ip)); owed || !since.Equal(banned) {
		t.Errorf("after the ban owed %v, since %v, want nothing since the ban", owed, since.Sub(banned))
	}
	for range 4 {
		s.told("c:a", ip, gate.RateLimited)
	}
	if level, since, owed := s.l.Owes(s.facts("c:a", ip)); level != 2 || !owed || !since.Equal(s.now) {
		t.Errorf("owes %d, %v, since %v, want 2 since now", level, owed, since.Sub(s.now))
	}
}
