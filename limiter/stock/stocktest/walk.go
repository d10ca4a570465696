package stocktest

// A random walk: the same random things are done to a store and to the model, and after
// each the two are compared. Calls come one after the other; histories have several at once.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

type walker struct {
	*rapid.T
	ctx         context.Context
	store       stock.Store
	ledger      string
	m           *model
	freeze      uint64 // the last one's number
	adjustments int
	refs        int
	stamp       stock.Stamp
	known       map[string]stock.Holding // by looking since the last time only
	sold        map[gate.Token]stock.Entry
}

// Reservations have tokens 1 to 9, later requests with orders 21 to 24, adjustments
// those from 101.
var (
	anyToken   = rapid.IntRange(1, 9)
	anyOrder   = rapid.IntRange(21, 24)
	anyAccount = rapid.SampledFrom([]string{"alice", "bob", "carol"})
	anyItem    = rapid.SampledFrom([]string{"red", "blue", "", "green"})
	anyUnknown = rapid.SampledFrom([]rules.Unknown{rules.Keep, rules.Release, rules.Resolve})
	anyTime    = rapid.SampledFrom([]time.Duration{hour, hour, 0})
)

func walk(t *testing.T, store stock.Store) {
	ctx := t.Context()
	rapid.Check(t, func(r *rapid.T) {
		w := &walker{T: r, ctx: ctx, store: store, ledger: Ledger(), m: &model{}}
		w.load()
		r.Repeat(map[string]func(*rapid.T){
			"decide": w.step(w.decide), "decide more": w.step(w.decide), "order": w.step(w.order),
			"start": w.step(w.start), "start more": w.step(w.start),
			"settle": w.step(w.settle), "settle more": w.step(w.settle), "sweep": w.step(w.sweep),
			"terms": w.step(w.setTerms), "state": w.step(w.setState), "adjust": w.step(w.adjust),
			"freeze": w.step(w.freezeOrThaw), "reassert": w.step(w.reassert), "archive": w.step(w.archive),
			"": w.step(w.agree),
		})
	})
}

// step lends the walker the T of one action.
func (w *walker) step(do func()) func(*rapid.T) {
	return func(r *rapid.T) {
		w.T = r
		do()
	}
}

// want fails if the call's error is another.
func (w *walker) want(call string, got, want error) {
	if !errors.Is(got, want) || got != nil && want == nil {
		w.Fatalf("%s = %v, want %v", call, got, want)
	}
}

// load begins anew: nothing is left of what the store knew under the name.
func (w *walker) load() {
	terms := Terms()
	terms.Steps, terms.Unknown = rapid.Bool().Draw(w.T, "steps"), anyUnknown.Draw(w.T, "unknown")
	w.m = newModel(map[string]int{"red": 3, "blue": 2, "": 1}, terms)
	w.m.frozen = rapid.IntRange(0, 3).Draw(w.T, "frozen") == 0
	w.known, w.sold, w.stamp.Seq = map[string]stock.Holding{}, map[gate.Token]stock.Entry{}, 0
	l := stock.Loading{Ledger: w.ledger, Items: w.m.loaded, Terms: terms, Frozen: w.m.frozen}
	p, fresh, err := w.store.Load(w.ctx, l)
	if !fresh || err != nil || p.Epoch <= w.stamp.Epoch || p.Seq != 0 || w.m.frozen && p.Freeze == w.freeze {
		w.Fatalf("Load(%+v) = %+v, %v, %v, want it new after epoch %d, freeze %d", l, p, fresh, err, w.stamp.Epoch, w.freeze)
	}
	if w.stamp.Epoch = p.Epoch; w.m.frozen {
		w.freeze = p.Freeze
	}
}

func (w *walker) archive() {
	if rapid.IntRange(0, 3).Draw(w.T, "archive") > 0 {
		w.Skip("seldom")
	}
	want := w.m.archive()
	w.want("Archive", w.store.Archive(w.ctx, w.ledger), want)
	if want == nil {
		w.load()
	}
}

func (w *walker) decide() {
	a := stock.Ask{
		Ledger: w.ledger, Token: Token(anyToken.Draw(w.T, "token")), Account: anyAccount.Draw(w.T, "account"),
		Item: anyItem.Draw(w.T, "item"), Units: rapid.IntRange(1, 3).Draw(w.T, "units"),
	}
	w.ask(a)
}

func (w *walker) order() {
	w.ask(stock.Ask{
		Ledger: w.ledger, Token: Token(anyOrder.Draw(w.T, "order")), Account: anyAccount.Draw(w.T, "account"), Order: true,
	})
}

func (w *walker) ask(a stock.Ask) {
	want, fault := w.m.decide(a)
	got, err := w.store.Decide(w.ctx, a)
	w.want("Decide", err, fault)
	want.Epoch = w.stamp.Epoch
	if err == nil && got != want {
		w.Fatalf("Decide(%+v) = %+v, want %+v", a, got, want)
	}
}

// by is the request that places the order of the token.
func (w *walker) by(token int) gate.Token {
	if !w.m.terms.Steps {
		return Token(token)
	}
	return Token(anyOrder.Draw(w.T, "by"))
}

func (w *walker) start() {
	n := anyToken.Draw(w.T, "token")
	l := stock.Launch{Ledger: w.ledger, Token: Token(n), By: w.by(n)}
	want, fault := w.m.start(l)
	for range rapid.IntRange(1, 2).Draw(w.T, "times") {
		got, err := w.store.Start(w.ctx, l)
		w.want("Start", err, fault)
		if err == nil && got != want {
			w.Fatalf("Start(%+v) = %v, want %v", l, got, want)
		}
	}
}

func (w *walker) settle() {
	n := anyToken.Draw(w.T, "token")
	s := stock.Settlement{
		Ledger: w.ledger, Token: Token(n),
		Outcome: rapid.SampledFrom([]rules.Outcome{sold, free, unknown}).Draw(w.T, "outcome"),
	}
	if rapid.IntRange(0, 3).Draw(w.T, "operator") > 0 {
		s.By = w.by(n)
	}
	s.Unsent = s.Outcome == free && rapid.Bool().Draw(w.T, "unsent")
	if s.Outcome == sold && rapid.Bool().Draw(w.T, "reference") {
		w.refs++
		s.Ref = fmt.Sprint("order ", w.refs)
	}
	want := w.m.settle(s)
	for range rapid.IntRange(1, 2).Draw(w.T, "times") {
		w.want("Settle", w.store.Settle(w.ctx, s), want)
	}
}

func (w *walker) sweep() {
	want, ask := w.m.sweep()
	got, err := w.store.Sweep(w.ctx, w.ledger, "gateway")
	asked := map[gate.Token]bool{}
	for _, e := range got.Ask {
		asked[e.Token] = true
	}
	if err != nil || got.Moved != want || len(got.Ask) != len(ask) || !maps.Equal(asked, ask) {
		w.Fatalf("Sweep = %+v, %v, want %d moved, asked about %v", got, err, want, ask)
	}
}

// setTerms sweeps at once where tokens that were kept are kept no more: a store may give
// them their deadlines then only. In a frozen ledger it cannot.
func (w *walker) setTerms() {
	before := w.m.terms.Unknown
	t := stock.Terms{
		PerAccount: rapid.IntRange(1, 3).Draw(w.T, "per account"), Steps: rapid.Bool().Draw(w.T, "steps"), Unknown: before,
		ReserveFor: anyTime.Draw(w.T, "reserve for"), SendingFor: anyTime.Draw(w.T, "sending for"),
		UnknownAfter: anyTime.Draw(w.T, "unknown after"),
	}
	if !w.m.frozen {
		t.Unknown = anyUnknown.Draw(w.T, "unknown")
	}
	w.m.setTerms(t)
	w.want("SetTerms", w.store.SetTerms(w.ctx, w.ledger, t), nil)
	if before == rules.Keep && t.Unknown != rules.Keep {
		w.sweep()
	}
}

func (w *walker) setState() {
	w.m.state = rapid.SampledFrom([]stock.State{stock.Open, stock.Open, stock.Paused, stock.Closed}).Draw(w.T, "state")
	w.want("SetState", w.store.SetState(w.ctx, w.ledger, w.m.state), nil)
}

func (w *walker) adjust() {
	w.adjustments++
	a := stock.Adjustment{Ledger: w.ledger, Token: Token(100 + w.adjustments), Item: anyItem.Draw(w.T, "item")}
	n := rapid.IntRange(1, 2).Draw(w.T, "units")
	if rapid.Bool().Draw(w.T, "add") {
		a.Add = n
	} else {
		a.Remove = n
	}
	for range rapid.IntRange(1, 2).Draw(w.T, "times") {
		want, fault := w.m.adjust(a)
		got, err := w.store.Adjust(w.ctx, a)
		w.want("Adjust", err, fault)
		if err == nil && got != want {
			w.Fatalf("Adjust(%+v) = %+v, want %+v", a, got, want)
		}
	}
}

func (w *walker) freezeOrThaw() {
	if w.m.frozen {
		w.want("Thaw", w.store.Thaw(w.ctx, w.ledger), nil)
		w.m.frozen = false
		return
	}
	freeze, err := w.store.Freeze(w.ctx, w.ledger)
	w.want("Freeze", err, nil)
	if freeze == 0 || freeze == w.freeze {
		w.Fatalf("freeze %d follows freeze %d", freeze, w.freeze)
	}
	w.m.frozen, w.freeze = true, freeze
}

func (w *walker) reassert() {
	if !w.m.frozen {
		w.Skip("not frozen")
	}
	a := stock.Assertion{Ledger: w.ledger, Gateway: "gateway", Freeze: w.freeze}
	for range rapid.IntRange(1, 3).Draw(w.T, "entries") {
		if x, ok := w.assertion(); ok {
			w.m.assert(x)
			a.Entries = append(a.Entries, x)
		}
	}
	for range rapid.IntRange(1, 2).Draw(w.T, "times") {
		if thawed, err := w.store.Reassert(w.ctx, a); thawed || err != nil {
			w.Fatalf("Reassert(%+v) = %v, %v", a, thawed, err)
		}
	}
}

// assertion is of what could be: the account has no other open token, and a token that is
// known is the same account's and item's as ever.
func (w *walker) assertion() (x stock.Entry, ok bool) {
	n := anyToken.Draw(w.T, "token")
	account, item, units := anyAccount.Draw(w.T, "account"), anyItem.Draw(w.T, "item"), rapid.IntRange(1, 2).Draw(w.T, "units")
	stage := rapid.SampledFrom([]stock.Stage{stock.Cancelled, stock.Reserved, stock.Sending, stock.Held, stock.Sold}).Draw(w.T, "stage")
	t := w.m.tokens[Token(n)]
	if t.account != "" {
		account, item, units = t.account, t.item, t.units
	}
	if open := w.m.open(account); stage.Open() && t.stage != stock.Sold && open != (gate.Token{}) && open != Token(n) {
		return x, false
	}
	x = known(n, stage, account, item, units)
	if x.By != (gate.Token{}) {
		x.By = w.by(n)
	}
	if stage == stock.Sold {
		x.Over = rapid.IntRange(0, 1).Draw(w.T, "over")
	}
	return x, true
}
