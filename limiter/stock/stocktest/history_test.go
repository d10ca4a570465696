package stocktest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/anishathalye/porcupine"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
)

// repeating is a store that loses its replies to a sweep, and is asked again after others
// were served.
type repeating struct {
	stock.Store
	lost     func()
	meantime []func()
}

func (s *repeating) Sweep(ctx context.Context, ledger, by string) (stock.Swept, error) {
	for _, others := range s.meantime {
		if _, err := s.Store.Sweep(ctx, ledger, by); err != nil {
			return stock.Swept{}, err
		}
		s.lost()
		others()
	}
	return s.Store.Sweep(ctx, ledger, by)
}

// A call may have been done as often as replies to it were lost, and no oftener.
func TestHistoryKnowsHowOftenACallMayHaveBeenDone(t *testing.T) {
	for faults, want := range map[int64]porcupine.CheckResult{1: porcupine.Ok, 0: porcupine.Illegal} {
		store, err := embedded.Open(filepath.Join(t.TempDir(), "stock.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		lossy := NewLossy(t)
		broken := &repeating{Store: store, lost: func() { lossy.faults.Add(faults) }}
		h := newHistory(t, broken, []*Lossy{lossy}, func(t *stock.Terms) { t.ReserveFor = 0 })
		take := func(token int, account string) func() {
			return func() { h.record(1, call{kind: "decide", token: token, account: account, item: "blue", units: 1}) }
		}
		take(1, "alice")()
		broken.meantime = []func(){take(2, "bob"), take(3, "carol")}
		h.record(0, call{kind: "sweep"})
		h.record(0, call{kind: "look"})
		if got := h.check(); got != want {
			t.Errorf("with %d faults a reply check = %v, want %v:\n%s", faults, got, want, h)
		}
	}
}
