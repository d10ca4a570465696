package stocktest

// What must be true after every step of the walk.

import (
	"maps"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
)

// agree compares all that can be seen of the store with the model.
func (w *walker) agree() {
	p, err := all(w.ctx, w.store, w.ledger, 0)
	w.want("Look", err, nil)
	want := w.m.picture()
	if fault := differs(p, want); fault != "" {
		w.Fatal(fault)
	}
	if fault := unbalanced(p); fault != "" {
		w.Fatal(fault)
	}
	if !maps.Equal(p.Holders, want.Holders) {
		w.Fatalf("holders are %+v, want %+v", p.Holders, want.Holders)
	}
	if p.Freeze != 0 && p.Freeze != w.freeze {
		w.Fatalf("freeze is %d, want %d", p.Freeze, w.freeze)
	}
	if p.Epoch != w.stamp.Epoch || p.Seq != want.Seq || p.Seq < w.stamp.Seq {
		w.Fatalf("stamp is %+v, want seq %d, after %+v", p.Stamp, want.Seq, w.stamp)
	}
	w.follow(p)
	w.entries()
}

// follow checks that whoever looks since his last look knows as much as who looks at all.
func (w *walker) follow(p stock.Picture) {
	_, err := follow(w.ctx, w.store, w.ledger, w.stamp.Seq, w.known)
	w.want("Look since", err, nil)
	maps.DeleteFunc(w.known, func(_ string, h stock.Holding) bool { return h == stock.Holding{} })
	if !maps.Equal(w.known, p.Holders) {
		w.Fatalf("who has looked since %d knows %+v, want %+v", w.stamp.Seq, w.known, p.Holders)
	}
	w.stamp = p.Stamp
}

// entries compares the tokens one by one. An account has at most one that is open, and a
// sold one is never anything else again.
func (w *walker) entries() {
	found, next, err := w.store.Entries(w.ctx, stock.Query{Ledger: w.ledger})
	if err != nil || next != "" {
		w.Fatalf("Entries = %+v, %q, %v", found, next, err)
	}
	listed, open := map[gate.Token]stock.Entry{}, map[string]gate.Token{}
	for _, e := range found {
		listed[e.Token] = e
		w.matches(e)
		if other, two := open[e.Account]; two && e.State.Open() {
			w.Fatalf("%q has open tokens %x and %x", e.Account, other, e.Token)
		}
		if e.State.Open() {
			open[e.Account] = e.Token
		}
	}
	for n, t := range w.m.tokens {
		if e, ok := listed[n]; ok != (t.stage.Open() || t.stage == stock.Sold) {
			w.Fatalf("token %x is listed: %v, as %+v, want %+v", n, ok, e, t)
		}
	}
	for n := range w.sold {
		if listed[n].State != stock.Sold {
			w.Fatalf("token %x was sold, and is %+v now", n, listed[n])
		}
	}
	w.sold = maps.Clone(listed)
	maps.DeleteFunc(w.sold, func(_ gate.Token, e stock.Entry) bool { return e.State != stock.Sold })
	w.find()
}

// find looks for some tokens one by one: cancelled ones are not listed.
func (w *walker) find() {
	for n, t := range w.m.tokens {
		if t.stage == stock.Cancelled || t.stage == stock.Adjusted {
			w.query(stock.Query{Ledger: w.ledger, Token: n}, n, t.stage == stock.Cancelled)
		}
		if t.ref != "" {
			w.query(stock.Query{Ledger: w.ledger, Ref: t.ref}, n, true)
		}
	}
}

func (w *walker) query(q stock.Query, n gate.Token, want bool) {
	found, next, err := w.store.Entries(w.ctx, q)
	if err != nil || next != "" || (len(found) == 1) != want || want && found[0].Token != n {
		w.Fatalf("Entries(%+v) = %+v, %q, %v, want token %x: %v", q, found, next, err, n, want)
	}
	for _, e := range found {
		w.matches(e)
	}
}

// matches compares all of an entry but its times, of which the model knows only whether
// there is a deadline.
func (w *walker) matches(e stock.Entry) {
	want, _ := w.m.entry(e.Token)
	want.Due, want.Changed = e.Due, e.Changed
	if due := w.m.tokens[e.Token].due; e != want || e.Due.IsZero() != (due == never) || e.Changed.IsZero() {
		w.Fatalf("token is %+v, want %+v, %v", e, want, w.m.tokens[e.Token])
	}
}
