package stocktest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

// crowd is 200 buyers for 10 units. Each asks twice at once with one token, as a client
// does whose reply was lost.
func crowd(t *testing.T, store stock.Store) {
	const units, buyers = 10, 200
	d := newDesk(t, store, map[string]int{"red": units})
	var wins atomic.Int64
	var wg sync.WaitGroup
	for n := range 2 * buyers {
		wg.Go(func() {
			token := 1 + n/2
			won, err := d.buy(fmt.Sprint("buyer ", token), token)
			if err != nil {
				t.Errorf("buyer %d: %v", token, err)
			}
			if won {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	d.counts("red", stock.Counts{Loaded: units, Sold: units})
	if got := wins.Load(); got < units || got > 2*units || len(d.look().Holders) != units {
		t.Errorf("%d wins, %d holders, want %d buyers, each told once or twice", got, len(d.look().Holders), units)
	}
}

// buy goes the whole way. The second of two who go it may find the first ahead.
func (d *desk) buy(account string, token int) (won bool, err error) {
	got, err := d.store.Decide(d.Context(), d.ask(account, "red", token, 1))
	if err != nil || got.Reason == gate.SoldOut {
		return false, err
	}
	if got.Reason != gate.Admitted {
		return false, fmt.Errorf("decided %v, want admitted or sold out", got.Reason)
	}
	started, err := d.store.Start(d.Context(), stock.Launch{Ledger: d.ledger, Token: Token(token), By: Token(token)})
	if err != nil || started != gate.Admitted && started != gate.AlreadyBought {
		return false, fmt.Errorf("started %v, %w", started, err)
	}
	return true, d.store.Settle(d.Context(), stock.Settlement{Ledger: d.ledger, Token: Token(token), By: Token(token), Outcome: sold})
}
