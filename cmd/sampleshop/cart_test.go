package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func openCart(t *testing.T, args ...string) *shop {
	t.Helper()
	return open(t, append([]string{"-flow=cart"}, args...)...)
}

func fill(s *shop, account, form string) *httptest.ResponseRecorder {
	return ask(s, "POST", "/cart/add", form, "X-Account", account)
}

func place(s *shop, account string, header ...string) *httptest.ResponseRecorder {
	return ask(s, "POST", "/checkout/place", "", append([]string{"X-Account", account}, header...)...)
}

// wantPage is for answers that only their title tells apart.
func wantPage(t *testing.T, what string, w *httptest.ResponseRecorder, title string) {
	t.Helper()
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<h1>"+title+"</h1>") {
		t.Errorf("%s: %d %s, want a 200 page titled %q", what, w.Code, w.Body, title)
	}
}

func TestCartFlow(t *testing.T) {
	s := openCart(t, "-service=0")
	if got := ask(s, "GET", "/", "").Body.String(); !strings.Contains(got, `action="/cart/add"`) || strings.Contains(got, "/buy.php") {
		t.Errorf("product page %s, want a form that fills the cart and no other", got)
	}
	if w := fill(s, "ann", "qty=2&variant=%3Cred%3E"); w.Code != 303 || w.Header().Get("Location") != "/checkout" {
		t.Errorf("add: %d to %q, want 303 to /checkout", w.Code, w.Header().Get("Location"))
	}
	if got := s.list(); got.Left != 100 || got.Carts != 1 || got.Checkouts != 0 {
		t.Errorf("a filled cart: %+v, want no stock taken and no checkout", got)
	}
	cart := ask(s, "GET", "/checkout", "", "X-Account", "ann")
	wantPage(t, "cart", cart, "Checkout")
	if !strings.Contains(cart.Body.String(), "2 &times; The Phone, &lt;red&gt;,") {
		t.Errorf("cart: %s, want what was added, escaped", cart.Body)
	}
	if w := place(s, "ann", "Penstock-Reservation", "aa"); w.Code != 302 || w.Header().Get("Location") != "/pay?order=1" {
		t.Errorf("place: %d to %q, want 302 to /pay?order=1", w.Code, w.Header().Get("Location"))
	}
	wantPage(t, "payment", ask(s, "GET", "/pay?order=1", ""), "Payment")
	l := s.list()
	if l.Count != 1 || l.Left != 98 || l.Carts != 0 || l.Checkouts != 1 {
		t.Fatalf("%+v, want one order of 2 units and an empty cart", l)
	}
	want := order{Order: "1", Account: "ann", Qty: 2, Token: "aa", At: l.Orders[0].At, Variant: "<red>"}
	if l.Orders[0] != want {
		t.Errorf("order is %+v, want %+v", l.Orders[0], want)
	}
}

func TestNothingIsOrderedFromAnEmptyCart(t *testing.T) {
	s := openCart(t, "-service=0")
	fill(s, "ann", "")
	place(s, "ann")
	wantPage(t, "placed again", place(s, "ann"), "Your cart is empty")
	wantPage(t, "somebody else", place(s, "bob"), "Your cart is empty")
	wantPage(t, "cart", ask(s, "GET", "/checkout", "", "X-Account", "ann"), "Your cart is empty")
	if l := s.list(); l.Count != 1 || l.Checkouts != 3 {
		t.Errorf("%d orders by %d checkouts, want 1 by 3", l.Count, l.Checkouts)
	}
}

func TestWhatIsAddedReplacesTheCart(t *testing.T) {
	s := openCart(t, "-service=0")
	fill(s, "ann", "qty=5&variant=black")
	fill(s, "ann", "variant=white")
	for _, bad := range []string{"qty=0", "qty=x", "qty=10000", "variant=" + strings.Repeat("v", 101)} {
		wantPage(t, bad, fill(s, "ann", bad), "Bad request")
	}
	place(s, "ann")
	if l := s.list(); l.Units != 1 || l.Orders[0].Variant != "white" {
		t.Errorf("ordered %+v, want one white", l.Orders)
	}
}

func TestNothingIsAddedThatTheShopBelievesSoldOut(t *testing.T) {
	s := openCart(t, "-service=0", "-stock=1")
	fill(s, "ann", "")
	fill(s, "bob", "") // carts hold no stock
	wantPage(t, "two of one", fill(s, "cid", "qty=2"), "Sold out")
	place(s, "ann")
	wantPage(t, "the next cart", fill(s, "cid", ""), "Sold out")
	wantPage(t, "the last cart", place(s, "bob"), "Sold out")
	if l := s.list(); l.Count != 1 || l.Carts != 1 {
		t.Errorf("%d orders, %d carts, want 1 and the one that came too late", l.Count, l.Carts)
	}
}

func TestCartsOrderedAtOnceOversell(t *testing.T) {
	// Without any service time only the barrier keeps a read and its write apart.
	s := openCart(t, "-service=0", "-stock=10", "-workers=20", "-barrier=20")
	for i := range 20 {
		fill(s, fmt.Sprint(i), "") // none of them waits at the barrier
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { place(s, fmt.Sprint(i)) })
	}
	wg.Wait()
	if l := s.list(); l.Units != 20 || l.Left != 9 {
		t.Errorf("20 carts through a barrier of 20: %d units of 10, %d left, want 20 and 9", l.Units, l.Left)
	}
}

func TestCartFlowFailsAsTold(t *testing.T) {
	s := openCart(t, "-service=0", "-fail-every=2", "-decline-every=3")
	fill(s, "ann", "")
	fill(s, "bob", "")
	place(s, "bob")
	wantPage(t, "second checkout", place(s, "ann"), "Error")
	wantPage(t, "third checkout", place(s, "ann"), "Card declined")
	if l := s.list(); l.Count != 1 || l.Left != 99 || l.Carts != 1 {
		t.Errorf("%+v, want bob's order alone, and ann's cart kept", l)
	}
}

func TestCartFlowHangsUp(t *testing.T) {
	s, client, base := serveTo(t, "-flow=cart", "-service=0", "-hangup-every=1", "-hangup-at=head")
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"/cart/add?account=ann", "/checkout/place?account=ann"} {
		res, err := client.Post(base+path, "", nil)
		if err == nil {
			res.Body.Close()
		}
		if broke := err != nil; broke != strings.Contains(path, "place") {
			t.Errorf("%s: %v, want only the order's answer to break off", path, err)
		}
	}
	if l := s.list(); l.Count != 1 || l.Carts != 0 {
		t.Errorf("%d orders, %d carts, want the order taken and the cart empty", l.Count, l.Carts)
	}
}

func TestPaymentIsHeardOfFromElsewhere(t *testing.T) {
	s, customer, base := serveTo(t, "-flow=cart", "-service=0")
	customer.Jar, _ = cookiejar.New(nil)                                          // never fails
	provider := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // another connection, no cookies
	do := func(client *http.Client, method, path string, form url.Values) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return res, string(b)
	}
	do(customer, "POST", "/cart/add", url.Values{"qty": {"1"}}) // follows to the cart
	if res, body := do(customer, "POST", "/checkout/place", nil); res.Request.URL.RequestURI() != "/pay?order=1" || !strings.Contains(body, "Payment") {
		t.Fatalf("placing led to %s %s, want the payment page", res.Request.URL, body)
	}
	if _, body := do(customer, "GET", "/thanks?order=1", nil); !strings.Contains(body, "not paid yet") {
		t.Errorf("thanks: %s, want it not paid yet", body)
	}
	for range 2 { // providers repeat themselves
		res, body := do(provider, "POST", "/pay/callback", url.Values{"order": {"1"}})
		if res.StatusCode != 200 || body != "ok" || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("callback: %d %q %v, want 200 ok and no session", res.StatusCode, body, res.Header)
		}
	}
	if _, body := do(customer, "GET", "/thanks?order=1", nil); !strings.Contains(body, "is paid") {
		t.Errorf("thanks: %s, want it paid", body)
	}
	if got := ask(s, "GET", "/orders.csv", "").Body.String(); !strings.Contains(got, "Z,true,\n") {
		t.Errorf("/orders.csv: %s, want the order paid", got)
	}
}

func TestUnknownOrders(t *testing.T) {
	s := openCart(t, "-service=0")
	fill(s, "ann", "")
	place(s, "ann")
	for _, number := range []string{"", "0", "2", "-1", "01", "%2B1", "x"} {
		for _, w := range []*httptest.ResponseRecorder{
			ask(s, "POST", "/pay/callback", "order="+number), ask(s, "GET", "/pay?order="+number, ""), ask(s, "GET", "/thanks?order="+number, ""),
		} {
			if w.Code != 404 {
				t.Errorf("order %q: %d %s, want 404", number, w.Code, w.Body)
			}
		}
	}
	if s.list().Orders[0].Paid {
		t.Error("an order is paid that nobody paid for")
	}
}

func TestCartFlowCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openCart(t, "-think=3s")
		for _, c := range []struct {
			method, target string
			want           time.Duration
		}{
			{"GET", "/", 25 * time.Millisecond},
			{"POST", "/cart/add?account=q", 100 * time.Millisecond},
			{"GET", "/checkout?account=q", 25 * time.Millisecond},
			{"POST", "/checkout/place?account=q", 3100 * time.Millisecond},
			{"GET", "/pay?order=1", 25 * time.Millisecond},
			{"POST", "/pay/callback?account=q", 25 * time.Millisecond},
			{"GET", "/thanks?order=1", 25 * time.Millisecond},
		} {
			start := time.Now()
			ask(s, c.method, c.target, "")
			if got := time.Since(start); got != c.want {
				t.Errorf("%s %s took %v, want %v", c.method, c.target, got, c.want)
			}
		}
	})
}

func TestEachFlowHasItsOwnPaths(t *testing.T) {
	for _, c := range []struct{ method, target, flows string }{
		{"POST", "/buy.php", "json redirect"},
		{"POST", "/cart/add", "cart"}, {"GET", "/checkout", "cart"}, {"POST", "/checkout/place", "cart"},
	} {
		for _, flow := range []string{"json", "redirect", "cart"} {
			s := open(t, "-service=0", "-flow="+flow)
			w := ask(s, c.method, c.target, "")
			if found := w.Code != 404; found != strings.Contains(c.flows, flow) {
				t.Errorf("%s %s in the %s flow: %d, want it found in %s only", c.method, c.target, flow, w.Code, c.flows)
			}
		}
	}
	s := openCart(t, "-service=0")
	if w := ask(s, "POST", "//cart/./add%2f", ""); w.Code != 303 {
		t.Errorf("another spelling of /cart/add: %d, want 303", w.Code)
	}
}
