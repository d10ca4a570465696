package challenge

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// widget is a sale with a provider, and what that says.
type widget struct {
	sale  *rules.Sale
	desk  *Desk
	ok    bool
	err   error
	asked []string
}

func newWidget(outage rules.Outage) *widget {
	w := &widget{sale: phone(), ok: true}
	w.sale.Challenge.Remote = &rules.Remote{Verify: "https://provider.example/verify", Secret: "s", Timeout: time.Second, Outage: outage}
	w.desk = open(Options{Verify: func(ctx context.Context, r *rules.Remote, answer string, ip netip.Addr) (bool, error) {
		w.asked = append(w.asked, answer)
		if w.err == context.DeadlineExceeded {
			<-ctx.Done()
			return true, ctx.Err()
		}
		return w.ok, w.err
	}}, w.sale)
	return w
}

// answer makes a puzzle and answers it by the widget.
func (w *widget) answer(ctx context.Context) (gate.Puzzle, gate.Answer, error) {
	p := w.desk.Puzzle(alice(w.sale), "d")
	a := gate.Answer{Token: p.Token, Remote: "said", Device: "d"}
	solved, err := w.desk.Answer(ctx, a)
	if (err == nil) != (solved.Proof != "") {
		panic("a proof with an error, or neither")
	}
	return p, a, err
}

func (w *widget) admits() bool {
	return w.desk.Gate().Admit(context.Background(), alice(w.sale)).OK()
}

func TestWidget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWidget(rules.WorkInstead)
		p, a, err := w.answer(t.Context())
		if err != nil || p.Remote != w.sale.Challenge.Remote || p.Seed != "" || p.Parts != 0 || !p.Captcha {
			t.Fatalf("%+v, %v", p, err)
		}
		wrong(t, w.desk, a, gate.ErrSpent)
		w.ok = false
		_, a, err = w.answer(t.Context())
		if !errors.Is(err, gate.ErrWrongAnswer) {
			t.Errorf("the provider says no: %v", err)
		}
		w.ok = true
		wrong(t, w.desk, a, gate.ErrSpent)
		if len(w.asked) != 2 {
			t.Errorf("the provider was asked %d times for two challenges", len(w.asked))
		}
		// What no widget says does not reach the provider.
		p = w.desk.Puzzle(alice(w.sale), "d")
		for _, said := range []string{"a b", "é", "\x00", strings.Repeat("a", maxRemote+1)} {
			wrong(t, w.desk, gate.Answer{Token: p.Token, Remote: said, Device: "d"}, gate.ErrWrongAnswer)
		}
		wrong(t, w.desk, gate.Answer{Token: p.Token, Work: "1", Device: "d"}, gate.ErrWrongAnswer)
		if len(w.asked) != 2 {
			t.Errorf("it was asked about %q", w.asked[2:])
		}
		// What the form of a page without scripts sends along does not matter.
		if _, err := w.desk.Answer(t.Context(), gate.Answer{Token: p.Token, Work: "1", Text: look(t, w.desk, p), Device: "d"}); err != nil {
			t.Errorf("the image instead: %v", err)
		}
	})
}

// TestOutage follows each policy through an outage and its end.
func TestOutage(t *testing.T) {
	for _, outage := range []rules.Outage{rules.WorkInstead, rules.PassAll, rules.RefuseAll} {
		synctest.Test(t, func(t *testing.T) {
			w := newWidget(outage)
			early := w.desk.Puzzle(alice(w.sale), "d")
			w.err = errors.New("no route")
			for i := range failures {
				if w.admits() {
					t.Fatalf("policy %d: after %d failures everybody passes", outage, i)
				}
				if p, _, err := w.answer(t.Context()); !errors.Is(err, gate.ErrUnchecked) || !errors.Is(err, w.err) || p.Remote == nil {
					t.Fatalf("policy %d: failure %d: %v, with a widget %v", outage, i, err, p.Remote != nil)
				}
			}
			n := len(w.asked)
			if got, want := w.admits(), outage == rules.PassAll; got != want {
				t.Errorf("policy %d: while it is down everybody passes: %v", outage, got)
			}
			p := w.desk.Puzzle(alice(w.sale), "d")
			if instead := p.Remote == nil; instead != (outage == rules.WorkInstead) || instead != (p.Seed != "") {
				t.Errorf("policy %d: while it is down the puzzle is %+v", outage, p)
			}
			if _, err := w.desk.Answer(t.Context(), answered(p, "d")); (err == nil) != (outage == rules.WorkInstead) {
				t.Errorf("policy %d: work instead: %v", outage, err)
			}
			said := gate.Answer{Token: early.Token, Remote: "said", Device: "d"}
			wrong(t, w.desk, said, gate.ErrUnchecked)
			if len(w.asked) != n {
				t.Errorf("policy %d: it is asked while it is down", outage)
			}
			p = w.desk.Puzzle(alice(w.sale), "d")
			if _, err := w.desk.Answer(t.Context(), gate.Answer{Token: p.Token, Text: look(t, w.desk, p), Device: "d"}); err != nil {
				t.Errorf("policy %d: the image while it is down: %v", outage, err)
			}

			time.Sleep(rest) // it is tried again, and is still down
			if w.admits() {
				t.Errorf("policy %d: after the rest everybody still passes", outage)
			}
			w.answer(t.Context())
			if got := w.admits(); got != (outage == rules.PassAll) {
				t.Errorf("policy %d: one more failure is not enough: %v", outage, got)
			}
			w.desk.Use([]*rules.Sale{w.sale}) // a reload forgets nothing
			if got := w.admits(); got != (outage == rules.PassAll) {
				t.Errorf("policy %d: a reload forgets the outage", outage)
			}
			time.Sleep(rest)
			w.err = nil
			if _, err := w.desk.Answer(t.Context(), said); err != nil {
				t.Errorf("policy %d: an answer of before the outage: %v", outage, err)
			}
			w.err = errors.New("once")
			w.answer(t.Context())
			if w.admits() {
				t.Errorf("policy %d: one failure after the outage is taken for another", outage)
			}
		})
	}
}

// TestASlowProvider has its own time: not the client's, which may be no time at all.
func TestASlowProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, timeout := range []time.Duration{time.Second, 0} {
			w := newWidget(rules.RefuseAll)
			w.sale.Challenge.Remote.Timeout = timeout
			w.err = context.DeadlineExceeded
			ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
			defer leave()
			start := time.Now()
			_, _, err := w.answer(ctx)
			if took := time.Since(start); !errors.Is(err, gate.ErrUnchecked) || took != timeout && took != impatience {
				t.Errorf("%v after %v", err, took)
			}
		}
	})
}

func TestNoProvider(t *testing.T) {
	w := newWidget(rules.PassAll)
	w.desk.o.Verify = nil
	if _, _, err := w.answer(t.Context()); !errors.Is(err, gate.ErrUnchecked) {
		t.Errorf("without anybody who asks: %v", err)
	}
	// One that is no longer the sale's is not asked.
	p := w.desk.Puzzle(alice(w.sale), "d")
	none := phone()
	w.desk.Use([]*rules.Sale{none})
	wrong(t, w.desk, gate.Answer{Token: p.Token, Remote: "said", Device: "d"}, gate.ErrWrongAnswer)
}

// TestAnotherProviderBeginsAnew, and so does the same one with another secret: it may have
// been the old one that was wrong.
func TestAnotherProviderBeginsAnew(t *testing.T) {
	for name, change := range map[string]func(*rules.Remote){
		"the same":       func(*rules.Remote) {},
		"another":        func(r *rules.Remote) { r.Verify = "https://other.example/verify" },
		"another secret": func(r *rules.Remote) { r.Secret = "another" },
	} {
		w := newWidget(rules.RefuseAll)
		w.err = errors.New("out of reach")
		for range failures {
			w.answer(t.Context())
		}
		now, remote := phone(), *w.sale.Challenge.Remote
		change(&remote)
		now.Challenge.Remote = &remote
		w.desk.Use([]*rules.Sale{now})
		if down := w.desk.down("phone", time.Now()); down != (name == "the same") {
			t.Errorf("%s: down is %v", name, down)
		}
	}
}
