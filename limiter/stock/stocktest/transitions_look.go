package stocktest

// What is seen of accounts, by everybody who looks again since he last looked.

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// all is Look, page by page until there are no more; since is where it begins. Accounts
// that hold nothing are left out.
func all(ctx context.Context, store stock.Store, ledger string, since uint64) (stock.Picture, error) {
	holders := make(map[string]stock.Holding)
	p, err := follow(ctx, store, ledger, since, holders)
	maps.DeleteFunc(holders, func(_ string, h stock.Holding) bool { return h == stock.Holding{} })
	p.Holders = holders
	return p, err
}

// follow brings what was known of accounts up to now.
func follow(ctx context.Context, store stock.Store, ledger string, since uint64, known map[string]stock.Holding) (stock.Picture, error) {
	for {
		p, err := store.Look(ctx, ledger, since)
		if err != nil {
			return p, err
		}
		maps.Copy(known, p.Holders)
		switch {
		case len(p.Holders) > stock.LookLimit:
			return p, fmt.Errorf("%d accounts in one look", len(p.Holders))
		case p.Upto > p.Seq, p.Upto < p.Seq && p.Upto <= since:
			return p, fmt.Errorf("looked since %d at seq %d: all are told up to %d", since, p.Seq, p.Upto)
		case p.Upto == p.Seq:
			return p, nil
		}
		since = p.Upto
	}
}

var looking = []test{
	{"changes since", func(d *desk) {
		d.decide("alice", "red", 1, 1, gate.Admitted)
		since := d.look().Seq
		d.decide("bob", "red", 2, 1, gate.Admitted)
		d.seen(since, map[string]stock.Holding{"bob": {Open: true}})
		d.settle(1, 1, sold, nil)
		d.seen(since, map[string]stock.Holding{"bob": {Open: true}, "alice": {Bought: 1}})
		since = d.look().Seq
		d.seen(since, nil)
		d.settle(2, 2, free, nil)
		d.seen(since, map[string]stock.Holding{"bob": {}})
		d.seen(d.look().Seq, nil)
	}},
	{"more accounts than one look shows", func(d *desk) {
		const many = stock.LookLimit + 300
		d.adjust(1<<21, "red", many, 0, nil)
		start := d.look().Seq
		want := make(map[string]stock.Holding)
		for n := 1; n <= many; n++ {
			account := fmt.Sprint("account ", n)
			d.decide(account, "red", n, 1, gate.Admitted)
			want[account] = stock.Holding{Open: true}
		}
		d.seen(start, want)
		since := d.look().Seq
		changed := make(map[string]stock.Holding)
		for n := 1; n <= many; n += 100 {
			account, outcome := fmt.Sprint("account ", n), []stock.Holding{{}, {Bought: 1}}[n/100%2]
			d.settle(n, n, map[bool]rules.Outcome{true: sold, false: free}[outcome.Bought > 0], nil)
			want[account], changed[account] = outcome, outcome
		}
		d.seen(since, changed)
		d.seen(start, want)
		first, err := d.store.Look(d.Context(), d.ledger, start)
		if err != nil || len(first.Holders) == 0 || first.Upto >= first.Seq {
			d.Fatalf("the first of several looks has %d accounts up to %d of %d, %v", len(first.Holders), first.Upto, first.Seq, err)
		}
	}},
	{"names are not text", func(d *desk) {
		accounts := []string{"a b", "ü", "\xff\x00\n", "1:2", "%d{}", "R 1 0 0 3 redx", "{}"}
		items := []string{"", " ", "5 \xfe\n", "}{", "\x00"}
		names := []string{"}{", "\xff\x00 ", "a:b\n"}
		for _, name := range names {
			d.ledger = name + Ledger()
			units := make(map[string]int)
			for _, item := range items {
				units[item] = 9
			}
			terms := Terms()
			terms.PerAccount = len(items)
			d.load(stock.Loading{Ledger: d.ledger, Items: units, Terms: terms}, true)
			for i, account := range accounts {
				for j, item := range items {
					n := 1 + i*len(items) + j
					d.decide(account, item, n, 1, gate.Admitted)
					d.start(n, n, gate.Admitted)
					d.settle(n, n, sold, nil)
					if e := d.stage(n, stock.Sold); e.Account != account || e.Item != item {
						d.Fatalf("entry is %+v, want %q's, %q", e, account, item)
					}
				}
			}
			for _, account := range accounts {
				d.holds(account, stock.Holding{Bought: len(items)})
			}
			for _, item := range items {
				d.counts(item, stock.Counts{Loaded: 9, Sold: len(accounts)})
			}
		}
	}},
	{"tokens are not text", func(d *desk) {
		tokens := []gate.Token{{0: 0xff, 15: 0xff}, {0: '{', 1: '}'}, {0: '\n', 8: ':'}}
		for i, token := range tokens {
			a := d.ask(fmt.Sprint("account ", i), "red", 0, 1)
			a.Token = token
			if got, err := d.store.Decide(d.Context(), a); err != nil || got.Reason != gate.Admitted {
				d.Fatalf("Decide(%+v) = %+v, %v", a, got, err)
			}
		}
		found, _, err := d.store.Entries(d.Context(), stock.Query{Ledger: d.ledger})
		for _, e := range found {
			if !slices.Contains(tokens, e.Token) {
				d.Errorf("there is a token %x, which nobody sent", e.Token)
			}
		}
		if err != nil || len(found) < len(tokens) {
			d.Fatalf("Entries = %+v, %v, want three", found, err)
		}
	}},
}

// seen checks what has changed since.
func (d *desk) seen(since uint64, want map[string]stock.Holding) {
	d.Helper()
	got := make(map[string]stock.Holding)
	if _, err := follow(d.Context(), d.store, d.ledger, since, got); err != nil || !maps.Equal(got, want) {
		d.Fatalf("since %d changed %+v, %v, want %+v", since, got, err, want)
	}
}
