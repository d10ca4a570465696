package ladder

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"penstock/proxy/gate"
	"penstock/rules"
)

// churned is the name of account i, in memory that is used again as a connection's is.
func churned(b *[8]byte, i int) string {
	binary.LittleEndian.PutUint64(b[:], uint64(i)|1<<63)
	return unsafe.String(&b[0], 8)
}

func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestChurnFlushesAndLaundersNobody: ten million accounts from as many addresses come once each,
// struck, among few that come again and again. Memory stays what it was; whoever had something
// against them has it, whoever had something for them too, and an attacker gets not one
// request more than without.
func TestChurnFlushesAndLaundersNobody(t *testing.T) {
	identities := 10_000_000
	if raceDetector {
		identities /= 20
	}
	before := held()
	s := newScene(t, Options{Accounts: 1 << 16, Addresses: 1 << 13})
	fresh := held()
	ip := func(i int) string { return fmt.Sprintf("c:%d", i) }
	for i := range 100 { // some are banned, some owe, and some people are known
		for range 8 {
			s.told(ip(i), address(1<<24-1), gate.RateLimited)
			if i < 50 {
				s.told(fmt.Sprintf("c:owes%d", i%50), address(1<<24-1), gate.Challenge)
			}
		}
		for range 4 {
			s.told(fmt.Sprintf("c:struck%d", i), address(1<<24-2), gate.RateLimited)
		}
		s.looks(fmt.Sprintf("c:person%d", i), address(1<<24-3))
	}
	got := 0
	churn(s, identities, func() {
		if s.ask("c:attacker", address(1<<24-4)).OK() {
			got++
			s.told("c:attacker", address(1<<24-4), gate.RateLimited)
		}
		for i := range 100 { // people come back now and then
			s.ask(fmt.Sprintf("c:person%d", i), address(1<<24-3))
		}
	})
	if got != 8 {
		t.Errorf("an attacker among the churn had %d requests, want 8 as without", got)
	}
	if after := held(); after > fresh+1<<20 || after-before > 60<<20 {
		t.Errorf("%d MB before, %d when made, %d after", before>>20, fresh>>20, after>>20)
	}
	for i := range 100 {
		if v := s.ask(ip(i), address(1<<24-1)); v.Reason != gate.Banned {
			t.Fatalf("banned account %d gets %v", i, v.Reason)
		}
		if _, _, owed := s.l.Owes(s.facts(fmt.Sprintf("c:struck%d", i), address(1<<24-2))); !owed {
			t.Fatalf("struck account %d owes nothing any more", i)
		}
		if e := s.l.Stands(s.facts(fmt.Sprintf("c:person%d", i), address(1<<24-3))); !e.Looked {
			t.Fatalf("person %d is not known to have looked", i)
		}
	}
	runtime.KeepAlive(s.l)
}

// churn lets identities come once each, with a strike, and calls between every now and then.
func churn(s *scene, identities int, between func()) {
	var name [8]byte
	f := gate.Facts{At: s.now, Sale: s.sale}
	d := gate.Decision{Facts: &f, Reason: gate.RateLimited}
	for i := range identities {
		f.Account, f.IP = churned(&name, i), address(i%(1<<23))
		s.g.Admit(context.Background(), &f)
		s.l.Decided(&d)
		if i%(identities/1000) == 0 {
			between()
		}
	}
}

// TestForgottenStrikesComeBack: an account too rare to stay is forgotten, and has its strikes
// when it returns.
func TestForgottenStrikesComeBack(t *testing.T) {
	s := newScene(t, Options{Accounts: 64, Addresses: 64})
	for range 3 {
		s.told("c:a", address(1), gate.RateLimited)
		for i := range 4000 {
			s.ask(fmt.Sprintf("c:churn%d", i), address(i))
		}
	}
	h := s.l.accounts.Look(s.facts("c:a", address(1)).HashAccount(), 0)
	h.Free()
	if h.V != nil {
		t.Fatal("the account was not forgotten: the test reaches nothing")
	}
	if e := s.l.Stands(s.facts("c:a", address(1))); e.Signals[0].Count < 3 {
		t.Errorf("it comes back with %d strikes, want 3", e.Signals[0].Count)
	}
}

// TestNoRoomForPenalties: the floor rises for whom nothing vouches, and falls.
func TestNoRoomForPenalties(t *testing.T) {
	s := newScene(t, Options{Accounts: 400, Addresses: 400})
	for i := range 150 {
		for range 8 {
			s.told(fmt.Sprintf("c:%d", i), address(i<<8), gate.RateLimited)
		}
	}
	if st := s.l.Stats(); st.Penalties != 100 || st.Room != 100 {
		t.Fatalf("%d penalties kept, room for %d, want 100 of 100", st.Penalties, st.Room)
	}
	banned := 0
	for i := range 100 {
		if v := s.ask(fmt.Sprintf("c:%d", i), address(i<<8)); v.Reason == gate.Banned {
			banned++
		}
	}
	if banned != 100 {
		t.Errorf("%d of the first hundred are banned, want all", banned)
	}
	s.want("c:new", address(1<<20), gate.Admitted, 0, true)
	f := s.facts("c:cleared", address(1<<20))
	f.Cleared.At = s.now
	if _, _, owed := s.l.Owes(f); owed {
		t.Error("who has solved a challenge owes one because memory is full")
	}
	s.now = s.now.Add(16 * time.Minute)
	for range 3 {
		s.ask("c:new", address(1<<20))
		s.l.Owes(s.facts("c:new", address(1<<20)))
	}
	s.want("c:new", address(1<<20), gate.Admitted, 0, false)
}

// TestConcurrent: strikes from everywhere at once ban exactly once.
func TestConcurrent(t *testing.T) {
	var mu sync.Mutex
	bans := map[string]int{}
	l := New(Options{Accounts: 1 << 10, Addresses: 1 << 8, Banned: func(f *gate.Facts, _ rules.Signal, _ time.Time) {
		mu.Lock()
		defer mu.Unlock()
		bans[f.Account]++
	}})
	sale, now := &rules.Sale{Name: "s", Ladder: steps()}, time.Now()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				f := &gate.Facts{At: now, Sale: sale, Account: fmt.Sprintf("c:%d", i%20), IP: address(w<<8 + i%40)}
				if l.Gate().Admit(context.Background(), f).OK() {
					l.Decided(&gate.Decision{Facts: f, Reason: gate.InFlight})
				}
				l.Owes(f)
				l.Stands(f)
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		if a := fmt.Sprintf("c:%d", i); bans[a] != 1 {
			t.Errorf("%s was banned %d times, want once", a, bans[a])
		}
	}
}
