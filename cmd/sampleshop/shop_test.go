package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// open is a shop as the flags make it, and closed with the test.
func open(t *testing.T, args ...string) *shop {
	t.Helper()
	cfg, err := parse(args, io.Discard)
	if err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	return newShop(cfg, t.Context().Done())
}

func ask(s *shop, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	return w
}

func buy(s *shop, header ...string) *httptest.ResponseRecorder {
	return ask(s, "POST", "/buy.php", "", header...)
}

// crowd buys n times at once and waits for all of them.
func crowd(s *shop, n int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { buy(s, "X-Account", fmt.Sprint(i)) })
	}
	wg.Wait()
}

func TestOneBuyerAfterTheOtherSellsTheStock(t *testing.T) {
	s := open(t, "-service=0", "-stock=3")
	for i, want := range []string{`{"order":"1"}`, `{"order":"2"}`, `{"order":"3"}`, `{"error":"sold_out"}`} {
		w := buy(s)
		if got := strings.TrimSpace(w.Body.String()); got != want {
			t.Errorf("buyer %d: %d %s, want %s", i, w.Code, got, want)
		}
	}
	if l := s.list(); l.Count != 3 || l.Left != 0 || l.Checkouts != 4 {
		t.Errorf("count %d, left %d, checkouts %d, want 3, 0, 4", l.Count, l.Left, l.Checkouts)
	}
}

func TestBuyersAtOnceOversell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "-stock=10", "-workers=20")
		crowd(s, 40)
		if l := s.list(); l.Units <= l.Stock {
			t.Errorf("40 buyers at once bought %d units of %d, want more than there are", l.Units, l.Stock)
		}
	})
}

func TestBarrierOversellsByItsSizeLessOne(t *testing.T) {
	// Without any service time only the barrier keeps a read and its write apart.
	s := open(t, "-service=0", "-stock=10", "-workers=20", "-barrier=20")
	crowd(s, 20)
	if l := s.list(); l.Units != 20 || l.Left != 9 {
		t.Fatalf("20 buyers through a barrier of 20: %d units, %d left, want 20 and 9", l.Units, l.Left)
	}
	for range 20 {
		buy(s)
	}
	if l := s.list(); l.Units != 10+19 {
		t.Errorf("sold out after %d units of 10, want 29", l.Units)
	}
}

func TestCheckoutsSlowEachOtherDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "-workers=4", "-stock=1000")
		took := func(n int) time.Duration {
			start := time.Now()
			crowd(s, n)
			return time.Since(start)
		}
		if got := took(1); got != 100*time.Millisecond {
			t.Errorf("one checkout took %v, want 100ms", got)
		}
		few, many := took(4), took(40)
		if many <= 10*few {
			t.Errorf("4 checkouts took %v, 40 took %v, want more than ten times that", few, many)
		}
		if got := s.list().Peak; got != 40 {
			t.Errorf("peak %d, want 40", got)
		}
	})
}

func TestPagesCostLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		for target, want := range map[string]time.Duration{
			"/": 25 * time.Millisecond, "/thanks?order=1": 25 * time.Millisecond,
			"/static/shop.css": 5 * time.Millisecond, "/orders": 0,
		} {
			start := time.Now()
			if w := ask(s, "GET", target, ""); w.Code != 200 {
				t.Errorf("GET %s: %d, want 200", target, w.Code)
			}
			if got := time.Since(start); got != want {
				t.Errorf("GET %s took %v, want %v", target, got, want)
			}
		}
	})
}

func TestThinkingTakesLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "-think=3s")
		start := time.Now()
		buy(s)
		if got, want := time.Since(start), 3100*time.Millisecond; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

func TestJSONFlow(t *testing.T) {
	s := open(t, "-service=0", "-stock=1", "-fail-every=2", "-decline-every=3")
	for i, want := range []int{201, 500, 409, 500, 409} {
		if w := buy(s); w.Code != want {
			t.Errorf("checkout %d: %d %s, want %d", i+1, w.Code, w.Body, want)
		}
	}
	s = open(t, "-service=0", "-decline-every=10")
	for i := 1; i <= 20; i++ {
		want := 201
		if i%10 == 0 {
			want = 402
		}
		if w := buy(s); w.Code != want {
			t.Errorf("checkout %d: %d, want %d", i, w.Code, want)
		}
	}
	if l := s.list(); l.Count != 18 || l.Left != 82 {
		t.Errorf("count %d, left %d, want 18 and 82", l.Count, l.Left)
	}
}

func TestRedirectFlow(t *testing.T) {
	s := open(t, "-service=0", "-flow=redirect", "-stock=1", "-fail-every=2", "-decline-every=3")
	s.left.Store(2)
	w := buy(s)
	if w.Code != 302 || w.Header().Get("Location") != "/thanks?order=1" {
		t.Errorf("success: %d to %q, want 302 to /thanks?order=1", w.Code, w.Header().Get("Location"))
	}
	for _, want := range []string{"Error", "Card declined", "Error"} {
		if w := buy(s); w.Code != 200 || !strings.Contains(w.Body.String(), "<h1>"+want+"</h1>") {
			t.Errorf("%d %s, want a 200 page titled %q", w.Code, w.Body, want)
		}
	}
	s.left.Store(0)
	if w := buy(s); w.Code != 200 || !strings.Contains(w.Body.String(), "<h1>Sold out</h1>") {
		t.Errorf("%d %s, want a 200 page titled Sold out", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/thanks?order=<17", ""); !strings.Contains(w.Body.String(), "order <b>&lt;17</b>") {
		t.Errorf("thanks: %s, want the order number, escaped", w.Body)
	}
}

func TestQuantity(t *testing.T) {
	for body, want := range map[string]int{
		"": 201, "qty=": 201, "qty=3": 201, "qty=100": 201, "qty=101": 409,
		"qty=0": 400, "qty=-1": 400, "qty=x": 400, "qty=10000": 400, "qty=%zz": 400,
	} {
		s := open(t, "-service=0")
		if w := ask(s, "POST", "/buy.php", body); w.Code != want {
			t.Errorf("%q: %d, want %d", body, w.Code, want)
		}
	}
	s := open(t, "-service=0")
	multi := "--b\r\nContent-Disposition: form-data; name=\"qty\"\r\n\r\n7\r\n--b--\r\n"
	r := httptest.NewRequest("POST", "/buy.php", strings.NewReader(multi))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	s.handler().ServeHTTP(httptest.NewRecorder(), r)
	if l := s.list(); l.Units != 7 || l.Left != 93 {
		t.Errorf("multipart qty=7: %d units, %d left, want 7 and 93", l.Units, l.Left)
	}
}

func TestAccount(t *testing.T) {
	all := []string{"Cookie", "PHPSESSID=p; customer=c", "X-Account", "x"}
	for _, c := range []struct {
		target string
		header []string
		want   string
	}{
		{"/buy.php?account=q", all, "c"},
		{"/buy.php?account=q", []string{"Cookie", "PHPSESSID=p", "X-Account", "x"}, "p"},
		{"/buy.php?account=q", []string{"X-Account", "x"}, "x"},
		{"/buy.php?account=q", nil, "q"},
	} {
		s := open(t, "-service=0")
		ask(s, "POST", c.target, "", c.header...)
		if l := s.list(); l.Count != 1 || l.Orders[0].Account != c.want {
			t.Errorf("%s %q: %+v, want one order of %q", c.target, c.header, l.Orders, c.want)
		}
	}
}

func TestSessionBeginsAtTheFirstVisit(t *testing.T) {
	s := open(t, "-service=0", "-stock=42")
	w := ask(s, "GET", "/", "")
	if !strings.Contains(w.Body.String(), "42 left") || !strings.Contains(w.Body.String(), `action="/buy.php"`) {
		t.Errorf("product page %s, want the stock and a form", w.Body)
	}
	cookie, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "PHPSESSID=") || len(cookie) < 30 {
		t.Fatalf("first visit set %q, want a session", cookie)
	}
	if w := ask(s, "GET", "/", "", "Cookie", cookie); w.Header().Get("Set-Cookie") != "" {
		t.Errorf("second visit set %q, want nothing", w.Header().Get("Set-Cookie"))
	}
	buy(s, "Cookie", cookie)
	if got := "PHPSESSID=" + s.list().Orders[0].Account; got != cookie {
		t.Errorf("order is of %q, want %q", got, cookie)
	}
}

func TestSoldOutPageSaysSo(t *testing.T) {
	s := open(t, "-service=0", "-stock=0")
	if got := ask(s, "GET", "/", "").Body.String(); !strings.Contains(got, "Sold out") || strings.Contains(got, "/buy.php") {
		t.Errorf("product page %s, want it sold out and no form", got)
	}
}

func TestEveryWayToWriteThePath(t *testing.T) {
	for target, want := range map[string]int{
		"/buy.php": 201, "//buy.php": 201, "/./buy.php": 201, "/x/../buy.php": 201, "/buy%2ephp": 201,
		"/%62uy.php": 201, "/buy.php/": 201, "/buy.php/info": 201, "/buy.php/a/b?c=d": 201,
		"/BUY.php": 404, "/x/buy.php": 404, "/buy.phpx": 404, "/buy%252ephp": 404,
	} {
		s := open(t, "-service=0")
		if w := ask(s, "POST", target, ""); w.Code != want {
			t.Errorf("POST %s: %d, want %d", target, w.Code, want)
		}
	}
	s := open(t, "-service=0")
	if w := ask(s, "GET", "/buy.php", ""); w.Code != 405 || s.list().Checkouts != 0 {
		t.Errorf("GET /buy.php: %d, %d checkouts, want 405 and none", w.Code, s.list().Checkouts)
	}
}

func TestOrdersAreListed(t *testing.T) {
	s := open(t, "-service=0")
	for _, token := range []string{"aa", "bb", "aa", "", ""} {
		ask(s, "POST", "/buy.php", "qty=2", "X-Account", `o'"neill, jr`, "Penstock-Reservation", token)
	}
	var l listing
	if err := json.Unmarshal(ask(s, "GET", "/orders", "").Body.Bytes(), &l); err != nil {
		t.Fatalf("read /orders: %v", err)
	}
	if l.Stock != 100 || l.Left != 90 || l.Count != 5 || l.Units != 10 || l.Duplicates != 1 || l.Repeated["aa"] != 2 || len(l.Repeated) != 1 || len(l.Orders) != 5 {
		t.Errorf("/orders: %+v, want 5 orders of 10 units, aa twice, 90 left of 100", l)
	}
	rows, err := csv.NewReader(ask(s, "GET", "/orders.csv", "").Body).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("/orders.csv: %d rows, %v, want 6", len(rows), err)
	}
	if got, want := fmt.Sprint(rows[0]), "[order account qty token at paid variant]"; got != want {
		t.Errorf("header is %s, want %s", got, want)
	}
	at := l.Orders[2].At.Format("2006-01-02T15:04:05.000Z07:00")
	if got, want := fmt.Sprint(rows[3]), fmt.Sprint([]string{"3", `o'"neill, jr`, "2", "aa", at, "false", ""}); got != want {
		t.Errorf("row 3 is %s, want %s", got, want)
	}
}

func TestNoOrdersIsAnEmptyList(t *testing.T) {
	if got := ask(open(t), "GET", "/orders", "").Body.String(); !strings.Contains(got, `"orders":[]`) {
		t.Errorf("/orders: %s, want an empty list", got)
	}
}

func TestControl(t *testing.T) {
	s := open(t, "-service=0", "-control", "-workers=2")
	change := func(query string) *httptest.ResponseRecorder { return ask(s, "POST", "/-/control?"+query, "") }

	if w := change("decline=1&flow=redirect"); w.Code != 200 || !strings.Contains(w.Body.String(), `"decline-every":"1"`) {
		t.Errorf("%d %s, want 200 and the new conduct", w.Code, w.Body)
	}
	if w := buy(s); !strings.Contains(w.Body.String(), "Card declined") {
		t.Errorf("checkout: %s, want it declined", w.Body)
	}
	for _, bad := range []string{"decline=-1", "fail=x", "nonsense=1", "stock=7", "flow=carrier-pigeon", "hangup-at=tail", "barrier=3", "fail=1&think=-1s"} {
		if w := change(bad); w.Code != 400 {
			t.Errorf("%s: %d, want 400", bad, w.Code)
		}
	}
	want := conduct{flow: "redirect", hangupAt: "body", declineEvery: 1}
	if got := *s.conduct.Load(); got != want {
		t.Errorf("conduct is %+v, want %+v", got, want)
	}
	if w := ask(s, "GET", "/-/control?decline=5", ""); w.Code != 200 || *s.conduct.Load() != want {
		t.Errorf("GET: %d, conduct %+v, want 200 and nothing changed", w.Code, *s.conduct.Load())
	}
}

func TestControlFreesTheBarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "-control", "-barrier=3")
		var wg sync.WaitGroup
		wg.Go(func() { crowd(s, 2) })
		time.Sleep(time.Hour)
		ask(s, "POST", "/-/control?think=1s", "")
		synctest.Wait()
		if got := s.list().Count; got != 0 {
			t.Errorf("%d orders before the barrier opens, want 0", got)
		}
		ask(s, "POST", "/-/control?barrier=0", "")
		wg.Wait()
		if got := s.list().Count; got != 2 {
			t.Errorf("%d orders after it, want 2", got)
		}
	})
}

func TestLastCheckoutIsShown(t *testing.T) {
	s := open(t, "-service=0", "-control")
	ask(s, "POST", "//buy.php?a=b", "", "x_odd", "1", "Penstock-Reservation", "aa")
	var got received
	if err := json.Unmarshal(ask(s, "GET", "/-/last", "").Body.Bytes(), &got); err != nil {
		t.Fatalf("read /-/last: %v", err)
	}
	if got.Target != "//buy.php?a=b" || got.Host != "example.com" || got.Header.Get("Penstock-Reservation") != "aa" || got.Header["X_odd"] == nil {
		t.Errorf("/-/last: %+v, want the request as it came", got)
	}
}

func TestControlIsOffUnlessAskedFor(t *testing.T) {
	s := open(t, "-service=0")
	for _, target := range []string{"/-/control", "/-/last"} {
		if w := ask(s, "GET", target, ""); w.Code != 404 {
			t.Errorf("GET %s: %d, want 404", target, w.Code)
		}
	}
	if w := ask(s, "POST", "/-/control?"+url.Values{"decline": {"1"}}.Encode(), ""); w.Code != http.StatusNotFound {
		t.Errorf("POST: %d, want 404", w.Code)
	}
}
