package ladder

import (
	"fmt"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// TestForgiven: who is forgiven asks on from nothing, and may be banned again; nobody else is.
func TestForgiven(t *testing.T) {
	s := newScene(t, Options{})
	other := &rules.Sale{Name: "other", Ladder: steps()}
	strike := func(account string) {
		for range 8 {
			s.told(account, address(1), gate.RateLimited)
		}
		s.want(account, address(1), gate.Banned, 1, true)
	}
	strike("c:a")
	strike("c:b")
	for _, x := range []struct {
		sale    *rules.Sale
		account string
		want    bool
	}{{other, "c:a", false}, {&rules.Sale{Name: "s"}, "c:a", false}, {s.sale, "", false}, {s.sale, "a", false}, {s.sale, "c:a", true}, {s.sale, "c:a", false}} {
		if got := s.l.Forgive(x.sale, x.account); got != x.want {
			t.Errorf("forgiving %q in sale %s: %v, want %v", x.account, x.sale.Name, got, x.want)
		}
	}
	if n := s.l.Stats().Accounts; n != 2 {
		t.Errorf("forgiving has left %d accounts in memory, want 2", n)
	}
	s.want("c:a", address(1), gate.Admitted, 1, true) // the challenge of the fourth strike
	s.want("c:b", address(1), gate.Banned, 1, true)
	if _, since, _ := s.l.Owes(s.facts("c:a", address(1))); !since.Equal(s.now) {
		t.Errorf("what was solved before the ban counts after it")
	}
	for range 7 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	if v := s.ask("c:a", address(1)); !v.OK() {
		t.Errorf("after seven strikes more got %v: those of before were not spent", v.Reason)
	}
	s.told("c:a", address(1), gate.RateLimited)
	if v := s.ask("c:a", address(1)); v.Reason != gate.Banned || v.Retry != 15*time.Minute {
		t.Errorf("after eight strikes more got %v, retry %v", v.Reason, v.Retry)
	}
}

// TestForgivenWhileForgotten: its account's record is gone, the ban is not.
func TestForgivenWhileForgotten(t *testing.T) {
	s := newScene(t, Options{Accounts: 64, Addresses: 64})
	for range 8 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	for i := range 2000 {
		a := fmt.Sprint("c:", i)
		s.ask(a, address(i))
		s.ask(a, address(i))
	}
	key := s.facts("c:a", address(1)).HashAccount()
	h := s.l.accounts.Look(key, 0)
	gone := h.V == nil
	h.Free()
	if !gone {
		t.Fatal("the account is still remembered")
	}
	if !s.l.Forgive(s.sale, "c:a") {
		t.Error("it was not forgiven")
	}
	if v := s.ask("c:a", address(1)); !v.OK() {
		t.Errorf("who is forgiven got %v", v.Reason)
	}
}

func TestWhatIsOverIsNotForgiven(t *testing.T) {
	s := newScene(t, Options{})
	s.now = s.now.Add(-16 * time.Minute)
	for range 8 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	if s.l.Forgive(s.sale, "c:a") {
		t.Error("a ban that has ended was forgiven")
	}
}

// TestForgivenScore: the points that have led to the ban lead to no other.
func TestForgivenScore(t *testing.T) {
	p := &points{n: 95}
	s := newScene(t, Options{Score: p})
	s.sale.Behaviour = &rules.Behaviour{Enforce: true}
	if v := s.ask("c:a", address(1)); v.Reason != gate.Banned {
		t.Fatalf("with 95 points got %v", v.Reason)
	}
	s.l.Forgive(s.sale, "c:a")
	s.want("c:a", address(1), gate.Admitted, 2, true)
	p.n = 96
	if v := s.ask("c:a", address(1)); v.Reason != gate.Banned {
		t.Errorf("with one more got %v", v.Reason)
	}
}
