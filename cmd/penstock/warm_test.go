package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"penstock/rules"
)

// warming is a warmer on a clock that is moved, and what it asked for at which second.
type warming struct {
	*warmer
	asked map[int]int
	fails func() bool
	said  bytes.Buffer
}

func newWarming(opens, closes time.Time) *warming {
	w := &warming{asked: map[int]int{}, fails: func() bool { return false }}
	began := time.Now()
	w.warmer = &warmer{
		log: slog.New(slog.NewTextHandler(&w.said, nil)),
		sales: func() []*rules.Sale {
			return []*rules.Sale{{Name: "always"}, {Name: "phone", Opens: opens, Closes: closes}}
		},
		limit: func() int { return 40 },
		warm: func(_ context.Context, n int) error {
			w.asked[int(time.Since(began)/time.Second)] = n
			if w.fails() {
				return errors.New("refused")
			}
			return nil
		},
	}
	return w
}

// runs lets the clock run for d.
func (w *warming) runs(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	w.run(ctx)
}

func TestWarmBeforeTheSale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarming(time.Now().Add(2*time.Minute), time.Now().Add(time.Hour))
		if w.ready() == nil {
			t.Error("ready before the first look")
		}
		w.runs(20*time.Minute + time.Millisecond)
		if w.ready() != nil {
			t.Errorf("not ready: %v", w.ready())
		}
		for second := range 20 * 60 {
			want := 0
			switch {
			case second == 0:
				want = 1 // is the shop there at all?
			case second > 60 && second < 2*60+10*60:
				want = 40
			}
			if got := w.asked[second]; got != want {
				t.Fatalf("in second %d: asked for %d, want %d", second, got, want)
			}
		}
	})
}

func TestWarmEndsWithTheSale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarming(time.Now(), time.Now().Add(10*time.Second))
		w.runs(time.Minute)
		if w.asked[0] != 40 || w.asked[9] != 40 || len(w.asked) != 10 {
			t.Errorf("asked %v, want 40 in each of ten seconds", w.asked)
		}
	})
}

// A shop that cannot be reached is waited for a little, tried until then, and told of once.
func TestWarmWithoutAShop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarming(time.Time{}, time.Time{})
		w.fails = func() bool { return true }
		w.runs(warmWithin - time.Millisecond)
		if w.ready() == nil {
			t.Error("ready although the shop was never reached")
		}
		w = newWarming(time.Time{}, time.Time{})
		w.fails = func() bool { return true }
		w.runs(time.Minute)
		if w.ready() != nil || len(w.asked) != 6 {
			t.Errorf("%v after %d tries, want ready after 6", w.ready(), len(w.asked))
		}
		if n := strings.Count(w.said.String(), "refused"); n != 1 {
			t.Errorf("said %d times, want once:\n%s", n, w.said.String())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWarming(time.Time{}, time.Time{})
		began := time.Now()
		w.fails = func() bool { return time.Since(began) < 3*time.Second }
		w.runs(time.Minute)
		if w.ready() != nil || len(w.asked) != 4 {
			t.Errorf("%v after %d tries, want ready after the fourth", w.ready(), len(w.asked))
		}
	})
}
