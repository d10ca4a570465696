package cheats

import (
	"os"
	"path/filepath"
	"testing"

	"penstock/limiter/behaviour"
	"penstock/limiter/challenge"
	"penstock/limiter/inflight"
	"penstock/limiter/ladder"
	"penstock/limiter/rate"
	"penstock/limiter/schedule"
	"penstock/proxy/gate"
	"penstock/rules"
	"penstock/rules/config"
)

// defaults is a file that names the protections and leaves all their numbers to the
// defaults: what is judged is what an operator gets who changes nothing.
const defaults = `
listen: ":8080"
origin: {url: "http://127.0.0.1:1"}
sales:
  - name: phone
    match: {path: /buy.php}
    opens: "2026-11-27T20:00:00+08:00"
    account: [{cookie: PHPSESSID}]
    challenge: {}
    ladder: {}
    behaviour: {page: "/p/**"}
`

// guardedSale is its sale.
func guardedSale(t testing.TB) *rules.Sale {
	t.Helper()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(file, []byte(defaults), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s := set.Sales[0]
	s.Opens = opens
	return s
}

// guarded are the gates of that sale.
func guarded(s *rules.Sale) Gates {
	l := ladder.New(ladder.Options{Score: behaviour.New(), Accounts: 1 << 16, Addresses: 1 << 15})
	desk := challenge.New(challenge.Options{Secret: make([]byte, 32), Owes: l.Owes})
	desk.Use([]*rules.Sale{s})
	return Gates{
		Before: []gate.Gate{
			schedule.New(), l.Gate(), rate.ByIP(rate.Keys), rate.ByAccount(rate.Keys), inflight.ByIP(), inflight.ByAccount(),
		},
		After:   []gate.Gate{desk.Gate()},
		Watches: []gate.Watcher{l},
		Puzzle:  func(f *gate.Facts) gate.Puzzle { return desk.Puzzle(f, "") },
		Score:   func(f *gate.Facts) float64 { return suspicion(l, f) },
		Rung: func(f *gate.Facts) rules.Rung {
			st := l.Stands(f)
			return st.Rung
		},
	}
}

// suspicion is what the gateway shows to operators of an account, as one number: the rung,
// and the points within it.
func suspicion(l *ladder.Ladder, f *gate.Facts) float64 {
	s, n := l.Stands(f), 0.0
	rung := s.Rung
	for _, c := range s.Signals {
		if c.Signal == rules.ByScore {
			rung = max(rung, c.Rung)
		}
		if c.Signal == rules.ByStrikes || c.Signal == rules.ByIgnored {
			n += float64(c.Count)
		}
	}
	return 100*float64(rung) + float64(s.Points) + 5*min(n, 100)
}
