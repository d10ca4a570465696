package ladder

import (
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// points is a Scorer that says so many.
type points struct {
	Scorer
	n int
}

func (p *points) Asked(*gate.Facts, Seen, *Notes) int { return p.n }
func (p *points) Explain(*gate.Facts, Seen, *Notes) []Point {
	return []Point{{p.n, "because"}}
}

func TestScore(t *testing.T) {
	p := &points{n: 50}
	s := newScene(t, Options{Score: p})
	s.sale.Behaviour = &rules.Behaviour{Enforce: true}
	s.want("c:a", address(1), gate.Admitted, 1, true)
	p.n = 90
	s.want("c:a", address(1), gate.Banned, 1, true)
	s.now = s.now.Add(15 * time.Minute)
	s.want("c:a", address(1), gate.Admitted, 2, true) // the same points do not ban twice
	p.n = 91
	if v := s.ask("c:a", address(1)); v.Reason != gate.Banned || len(s.bans) != 2 {
		t.Errorf("with more points got %v, %v", v.Reason, s.bans)
	}
}

func TestScoreThatOnlyWatches(t *testing.T) {
	s := newScene(t, Options{Score: &points{n: 90}})
	s.sale.Behaviour = &rules.Behaviour{}
	if v := s.ask("c:a", address(1)); v != (gate.Verdict{Reason: gate.Admitted, Would: gate.Banned}) {
		t.Errorf("got %+v, want admitted, would be banned", v)
	}
	if _, _, owed := s.l.Owes(s.facts("c:a", address(1))); owed || len(s.bans) > 0 {
		t.Errorf("owes %v, bans %v because of a score that only watches", owed, s.bans)
	}
	e := s.l.Stands(s.facts("c:a", address(1)))
	if e.Would != rules.RungBan || e.Rung != rules.RungPass || e.Points != 90 || e.Reasons[0].Why != "because" {
		t.Errorf("explained as %+v", e)
	}
}

func TestExplain(t *testing.T) {
	s := newScene(t, Options{})
	for range 3 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	e := s.l.Explain(s.sale, "c:a", address(1))
	if e.Rung != rules.RungObserve || e.By != rules.ByStrikes || e.Signals[0] != (Count{rules.ByStrikes, 3, rules.RungObserve}) {
		t.Errorf("three strikes are explained as %+v", e)
	}
	for range 5 {
		s.told("c:a", address(1), gate.RateLimited)
	}
	if e := s.l.Explain(s.sale, "c:a", address(1)); e.Rung != rules.RungBan || !e.Until.Equal(s.now.Add(15*time.Minute)) || e.Bans != 1 {
		t.Errorf("a ban is explained as %+v", e)
	}
	if e := s.l.Explain(s.sale, "c:nobody", address(9)); e.Rung != rules.RungPass || s.l.Stats().Accounts != 1 {
		t.Errorf("nobody is explained as %+v, of %+v", e, s.l.Stats())
	}
}

func TestWithoutALadderNothingIsCounted(t *testing.T) {
	s := newScene(t, Options{})
	s.sale.Ladder = nil
	for range 100 {
		s.want("c:a", address(1), gate.Admitted, 0, false)
		s.told("c:a", address(1), gate.RateLimited)
	}
	if got := s.l.Stats(); got.Accounts+got.Addresses+got.Networks != 0 {
		t.Errorf("remembered %+v", got)
	}
}
