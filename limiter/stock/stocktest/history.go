package stocktest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

// How many histories there are, and how long each is: short enough that every order of
// what ran at once can be tried.
const (
	histories = 25
	callers   = 4
	calls     = 8
	tryFor    = 3 * time.Second
	tardy     = 100 * time.Millisecond // less than stores that are broken wait before they ask again
)

// call is one call to a store, as the model takes it.
type call struct {
	kind      string
	token, by int
	account   string
	item      string
	units     int
	order     bool
	outcome   rules.Outcome
	unsent    bool
	terms     stock.Terms
}

// answer is what came of it. With trouble nobody knows, and nothing is compared.
type answer struct {
	trouble  bool
	decision stock.Decision
	reason   gate.Reason
	moved    int
	picture  stock.Picture
	err      error
}

// Histories lets several callers do what they like with few tokens, and checks that
// what they were told could have been told to them one after the other. A call that
// failed may have been done at any time since, or never. With breaking, which stand
// before the store's server, replies are lost meanwhile; a call that was under way then
// may have been done once more for each.
func Histories(t *testing.T, open func(testing.TB) stock.Store, breaking ...*Lossy) {
	store := open(t)
	seed := uint64(time.Now().UnixNano())
	undecided := 0
	for n := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, n))
		h := newHistory(t, store, breaking, func(t *stock.Terms) {
			t.Steps = r.IntN(2) == 0
			if r.IntN(3) == 0 {
				t.ReserveFor = 0
			}
		})
		h.play(r)
		switch h.check() {
		case porcupine.Illegal:
			t.Fatalf("history %d of seed %d could not have been in any order:\n%s", n, seed, h)
		case porcupine.Unknown:
			undecided++
		}
	}
	t.Logf("seed %d: %d of %d histories had too many orders to try", seed, undecided, histories)
	if undecided > histories/2 {
		t.Errorf("%d of %d histories had too many orders to try", undecided, histories)
	}
}

type history struct {
	*desk
	initial  *model
	breaking []*Lossy
	begun    time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

// newHistory is one in which nothing has happened yet.
func newHistory(t *testing.T, store stock.Store, breaking []*Lossy, terms func(*stock.Terms)) *history {
	d := newDesk(t, store, map[string]int{"red": 2, "blue": 1})
	d.change(terms)
	return &history{desk: d, initial: newModel(map[string]int{"red": 2, "blue": 1}, d.terms), breaking: breaking, begun: time.Now()}
}

func (h *history) play(r *rand.Rand) {
	var wg sync.WaitGroup
	for who := range callers {
		own := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		wg.Go(func() {
			for range calls {
				h.spoil(own)
				h.record(who, h.any(own, who))
			}
		})
	}
	wg.Wait()
	for _, l := range h.breaking {
		l.Heal()
	}
	h.record(callers, call{kind: "look"})
}

// spoil makes something go wrong before about every sixth call.
func (h *history) spoil(r *rand.Rand) {
	if len(h.breaking) == 0 || r.IntN(6) > 0 {
		return
	}
	switch l := h.breaking[r.IntN(len(h.breaking))]; r.IntN(5) {
	case 0, 1:
		l.Lose(1)
	case 2:
		l.Swallow(1)
	case 3:
		l.Cut(r.IntN(40))
	default:
		l.Release() // of what was held back before
		l.Hold(1)
	}
}

func (h *history) any(r *rand.Rand, who int) call {
	token := 1 + r.IntN(4)
	by := token
	if h.terms.Steps {
		by = 11 + 2*who + r.IntN(2)
	}
	account := []string{"alice", "bob", "alice", "carol"}[token-1]
	switch n := r.IntN(20); {
	case n < 7:
		return call{kind: "decide", token: token, account: account, item: []string{"red", "blue"}[token%2], units: 1 + token/4}
	case n < 8 && h.terms.Steps:
		return call{kind: "decide", token: 99, account: account, order: true}
	case n < 13:
		return call{kind: "start", token: token, by: by}
	case n < 17:
		o := []rules.Outcome{sold, free, free, unknown}[r.IntN(4)]
		return call{kind: "settle", token: token, by: by, outcome: o, unsent: o == free && r.IntN(2) == 0}
	case n < 18 && len(h.breaking) == 0: // done a second time it would undo another's
		terms := h.terms
		terms.ReserveFor, terms.SendingFor = hour*time.Duration(r.IntN(2)), hour*time.Duration(r.IntN(2))
		return call{kind: "terms", terms: terms}
	case n < 19:
		return call{kind: "sweep"}
	}
	return call{kind: "look"}
}

// record does the call and notes when it began and ended.
func (h *history) record(who int, c call) {
	before := h.happened()
	op := porcupine.Operation{ClientId: who, Input: c, Call: time.Since(h.begun).Nanoseconds()}
	a := h.do(c)
	op.Return = time.Since(h.begun).Nanoseconds()
	besides := h.happened() - before
	if len(h.breaking) > 0 && op.Return-op.Call > tardy.Nanoseconds() {
		besides++ // a slow machine takes a late reply for a lost one
	}
	if a.trouble {
		op.Return = math.MaxInt64
	}
	op.Output = a
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	if c.kind == "look" || c.order {
		return
	}
	op.Return, op.Output = math.MaxInt64, answer{trouble: true}
	for range besides {
		h.ops = append(h.ops, op)
	}
}

// happened counts the faults so far.
func (h *history) happened() (n int64) {
	for _, l := range h.breaking {
		n += l.Faults()
	}
	return n
}

func (h *history) do(c call) (a answer) {
	ctx := h.Context()
	switch c.kind {
	case "decide":
		a.decision, a.err = h.store.Decide(ctx, c.ask(h.ledger))
	case "start":
		a.reason, a.err = h.store.Start(ctx, c.launch(h.ledger))
	case "settle":
		a.err = h.store.Settle(ctx, c.settlement(h.ledger))
	case "terms":
		a.err = h.store.SetTerms(ctx, h.ledger, c.terms)
	case "sweep":
		var s stock.Swept
		s, a.err = h.store.Sweep(ctx, h.ledger, "gateway")
		a.moved = s.Moved
	case "look":
		a.picture, a.err = all(ctx, h.store, h.ledger, 0)
	}
	a.trouble = a.err != nil && !errors.Is(a.err, stock.ErrSold) && !errors.Is(a.err, stock.ErrOversold)
	return a
}

func (c call) ask(ledger string) stock.Ask {
	return stock.Ask{Ledger: ledger, Account: c.account, Token: Token(c.token), Item: c.item, Units: c.units, Order: c.order}
}

func (c call) launch(ledger string) stock.Launch {
	return stock.Launch{Ledger: ledger, Token: Token(c.token), By: Token(c.by)}
}

func (c call) settlement(ledger string) stock.Settlement {
	return stock.Settlement{Ledger: ledger, Token: Token(c.token), By: Token(c.by), Outcome: c.outcome, Unsent: c.unsent}
}

// told reports whether the model, which it changes, could have answered so.
func told(m *model, c call, a answer) bool {
	var want answer
	switch c.kind {
	case "decide":
		want.decision, want.err = m.decide(c.ask(""))
	case "start":
		want.reason, want.err = m.start(c.launch(""))
	case "settle":
		want.err = m.settle(c.settlement(""))
	case "terms":
		m.setTerms(c.terms)
	case "sweep":
		want.moved, _ = m.sweep()
	case "look":
		want.picture = m.picture()
	}
	if a.trouble {
		return true
	}
	a.decision.Epoch = 0
	if c.order && want.decision.Reason != gate.Admitted { // of no item
		a.decision.Free, a.decision.Pending = 0, 0
	}
	return a.decision == want.decision && a.reason == want.reason && a.moved == want.moved &&
		errors.Is(a.err, want.err) && (a.err == nil) == (want.err == nil) &&
		(c.kind != "look" || looksLike(a.picture, want.picture))
}

func looksLike(got, want stock.Picture) bool {
	return differs(got, want) == "" && got.Seq == want.Seq && maps.Equal(got.Holders, want.Holders)
}

// state is a model that nobody changes any more.
type state struct {
	m    *model
	text string
}

func (h *history) check() porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(porcupine.Model{
		Init: func() any { return state{h.initial, h.initial.String()} },
		Step: func(s, input, output any) (bool, any) {
			m := s.(state).m.clone()
			if !told(m, input.(call), output.(answer)) {
				return false, s
			}
			return true, state{m, m.String()}
		},
		Equal: func(a, b any) bool { return a.(state).text == b.(state).text },
	}, h.ops, tryFor)
}

// String lists what was called and told, in the order of the answers.
func (h *history) String() string {
	text := fmt.Sprintf("terms %+v\n", h.terms)
	for _, op := range h.ops {
		text += fmt.Sprintf("%d–%d caller %d: %+v -> %+v\n", op.Call, op.Return, op.ClientId, op.Input, op.Output)
	}
	return text
}
