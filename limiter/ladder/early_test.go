package ladder

import (
	"fmt"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// counted is the count of one signal, of an account at an address.
func (s *scene) counted(by rules.Signal, account string, at int) int {
	s.Helper()
	for _, c := range s.l.Stands(s.facts(account, address(at))).Signals {
		if c.Signal == by {
			return c.Count
		}
	}
	s.Errorf("%v is not counted", by)
	return 0
}

// TestWhoAsksBeforeTheOpeningHasArrived: counted where from, scored, and banned for asking on.
func TestWhoAsksBeforeTheOpeningHasArrived(t *testing.T) {
	p := &points{}
	s := newScene(t, Options{Score: p})
	s.sale.Behaviour = &rules.Behaviour{Enforce: true}
	for i := range 3 {
		s.told(fmt.Sprint("c:", i), address(1), gate.NotOpen)
	}
	if n := s.counted(rules.ByAccounts, "c:0", 1); n != 3 {
		t.Errorf("three accounts before the opening count %d at their address", n)
	}
	for range 8 {
		s.told("c:0", address(1), gate.NotOpen)
	}
	if v := s.ask("c:0", address(1)); v.Reason != gate.Banned || s.bans[0] != rules.ByStrikes {
		t.Errorf("after eight strikes before the opening got %v", v.Reason)
	}
	for i := range 5 {
		s.told("c:0", address(i<<8), gate.NotOpen) // banned: nothing more is counted
	}
	if n := s.counted(rules.ByAddresses, "c:0", 1); n != 1 {
		t.Errorf("while it is banned it has come from %d networks", n)
	}
	p.n = 95
	s.told("c:1", address(1), gate.NotOpen)
	if len(s.bans) != 2 || s.bans[1] != rules.ByScore {
		t.Errorf("with 95 points before the opening the bans are %v", s.bans)
	}
}

// TestLookingIsComingFromANetwork: who looks from one and asks from another has both.
func TestLookingIsComingFromANetwork(t *testing.T) {
	s := newScene(t, Options{})
	s.looks("c:a", address(0))
	s.ask("c:a", address(1<<8))
	if n := s.counted(rules.ByAddresses, "c:a", 1<<8); n != 2 {
		t.Errorf("came from %d networks, want 2", n)
	}
}

// TestWhoLookedIsNotJudgedByAFarm: at an address with more than the ban step only those that
// nothing vouches for have less patience.
func TestWhoLookedIsNotJudgedByAFarm(t *testing.T) {
	s := newScene(t, Options{})
	s.looks("c:person", address(1))
	s.now = s.now.Add(time.Minute)
	for i := range 70 {
		s.ask(fmt.Sprint("c:zombie", i), address(1))
	}
	for range 5 {
		s.told("c:person", address(1), gate.Challenge)
		s.told("c:zombie0", address(1), gate.Challenge)
	}
	if v := s.ask("c:person", address(1)); !v.OK() {
		t.Errorf("a person who looked got %v for five challenges", v.Reason)
	}
	if v := s.ask("c:zombie0", address(1)); v.Reason != gate.Banned {
		t.Errorf("one of the farm got %v for five challenges", v.Reason)
	}
}
