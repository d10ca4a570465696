package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// outcome asks what became of a token; the header and the body must say the same.
func outcome(t *testing.T, s *shop, token string) string {
	t.Helper()
	w := ask(s, "GET", "/-/order-status?token="+token, "")
	var got standing
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("status of %s: %d %s, %v, want 200 and JSON", token, w.Code, w.Body, err)
	}
	if h := w.Header().Get("Penstock-Outcome"); h != got.Outcome {
		t.Errorf("status of %s: header says %q, body %q", token, h, got.Outcome)
	}
	return strings.TrimSpace(got.Outcome + " " + got.Order)
}

func TestStatusOfWhatWasSold(t *testing.T) {
	for _, flow := range []string{"json", "redirect", "cart"} {
		s := open(t, "-service=0", "-flow="+flow)
		fill(s, "ann", "")
		checkout := map[string]string{"cart": "/checkout/place"}[flow]
		if checkout == "" {
			checkout = "/buy.php"
		}
		ask(s, "POST", checkout, "", "X-Account", "ann", "Penstock-Reservation", "aa")
		if got := outcome(t, s, "aa"); got != "sold 1" {
			t.Errorf("%s: %q, want sold 1", flow, got)
		}
	}
	s := open(t, "-service=0")
	for range 2 {
		buy(s, "Penstock-Reservation", "aa") // sent twice, sold twice
	}
	if got := outcome(t, s, "aa"); got != "sold 1" {
		t.Errorf("after two orders: %q, want the first", got)
	}
}

func TestStatusFreeFencesTheToken(t *testing.T) {
	s := open(t, "-service=0")
	if got := outcome(t, s, "aa"); got != "free" {
		t.Fatalf("never seen: %q, want free", got)
	}
	if w := buy(s, "Penstock-Reservation", "aa"); w.Code != 409 || !strings.Contains(w.Body.String(), "called_off") {
		t.Errorf("late checkout: %d %s, want 409 called_off", w.Code, w.Body)
	}
	if w := buy(s, "Penstock-Reservation", "bb"); w.Code != 201 {
		t.Errorf("another token: %d, want 201", w.Code)
	}
	if w := buy(s); w.Code != 201 {
		t.Errorf("no token: %d, want 201", w.Code)
	}
	if got := outcome(t, s, "aa"); got != "free" {
		t.Errorf("asked again: %q, want free", got)
	}
	s = openCart(t, "-service=0")
	outcome(t, s, "aa")
	fill(s, "ann", "")
	wantPage(t, "late order", place(s, "ann", "Penstock-Reservation", "aa"), "Order called off")
	if l := s.list(); l.Count != 0 || l.Left != 100 || l.Carts != 1 {
		t.Errorf("%+v, want no order, and the cart kept", l)
	}
}

func TestStatusOfWhatSoldNothing(t *testing.T) {
	s := open(t, "-service=0", "-decline-every=1")
	buy(s, "Penstock-Reservation", "aa")
	if got := outcome(t, s, "aa"); got != "free" {
		t.Errorf("declined: %q, want free", got)
	}
}

func TestStatusWhileACheckoutIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "-barrier=2")
		var wg sync.WaitGroup
		wg.Go(func() { buy(s, "Penstock-Reservation", "aa") })
		time.Sleep(time.Hour) // at the barrier
		if got := outcome(t, s, "aa"); got != "unknown" {
			t.Errorf("under way: %q, want unknown", got)
		}
		buy(s, "Penstock-Reservation", "bb")
		wg.Wait()
		if got := outcome(t, s, "aa"); !strings.HasPrefix(got, "sold ") {
			t.Errorf("afterwards: %q, want sold", got)
		}
	})
}

func TestStatusFencesWhatStillWaitsForAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "-workers=1", "-think=2h")
		var wg sync.WaitGroup
		wg.Go(func() { buy(s) })
		time.Sleep(time.Minute)
		wg.Go(func() { buy(s, "Penstock-Reservation", "aa") })
		time.Sleep(time.Hour) // in the queue
		if got := outcome(t, s, "aa"); got != "free" {
			t.Errorf("waiting: %q, want free", got)
		}
		wg.Wait()
		if l := s.list(); l.Count != 1 || l.Checkouts != 2 {
			t.Errorf("%d orders by %d checkouts, want 1 by 2", l.Count, l.Checkouts)
		}
	})
}

func TestStatusOfAStalledCheckout(t *testing.T) {
	s, client, base := serveTo(t, "-service=0", "-stall-every=1")
	// The token comes by the transport's hand: post sends none.
	client.Transport = tokened{client.Transport}
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := post(ctx, client, base)
		answered <- err
	}()
	for s.list().Checkouts == 0 {
		runtime.Gosched()
	}
	if got := outcome(t, s, "aa"); got != "unknown" {
		t.Errorf("stalled: %q, want unknown", got)
	}
	cancel()
	<-answered
	for outcome(t, s, "aa") == "unknown" { // until the shop notices
		runtime.Gosched()
	}
	if got := outcome(t, s, "aa"); got != "free" {
		t.Errorf("left: %q, want free", got)
	}
}

// TestFreeAndAnOrderExcludeEachOther asks while checkouts come, until each token has a
// final answer.
func TestFreeAndAnOrderExcludeEachOther(t *testing.T) {
	s := open(t, "-service=0", "-stock=1000")
	const tokens = 200
	said := make([]string, tokens)
	var wg sync.WaitGroup
	for i := range tokens {
		token := fmt.Sprint("t", i)
		wg.Go(func() { buy(s, "Penstock-Reservation", token) })
		wg.Go(func() {
			for said[i] = "unknown"; said[i] == "unknown"; runtime.Gosched() {
				said[i] = s.ledger.resolve(token).Outcome
			}
		})
	}
	wg.Wait()
	ordered := map[string]bool{}
	for _, o := range s.list().Orders {
		ordered[o.Token] = true
	}
	for i, got := range said {
		if want := map[bool]string{true: "sold", false: "free"}[ordered[fmt.Sprint("t", i)]]; got != want {
			t.Errorf("token %d: said %s, but it is %s", i, got, want)
		}
	}
}

func TestStatusWantsAToken(t *testing.T) {
	s := open(t, "-service=0")
	buy(s)
	if w := ask(s, "GET", "/-/order-status", ""); w.Code != 400 {
		t.Errorf("no token: %d, want 400", w.Code)
	}
	s = open(t, "-service=0", "-status=false")
	if w := ask(s, "GET", "/-/order-status?token=aa", ""); w.Code != 404 {
		t.Errorf("turned off: %d, want 404", w.Code)
	}
}

// tokened sends every request with the token aa.
type tokened struct{ next http.RoundTripper }

func (t tokened) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Penstock-Reservation", "aa")
	return t.next.RoundTrip(r)
}
