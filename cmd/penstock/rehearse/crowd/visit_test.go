package crowd

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// one makes a plan for a handful of visitors, of whom the first is looked at.
func one(v Visitor) Plan {
	return Plan{Seed: 3, Phases: flat(5, time.Second), Visitors: []Visitor{v}, Grace: 2 * time.Minute}
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		answer string
		kind   Kind
		reason string
	}{
		{fine, Served, "served"},
		{status(303, "Location: /checkout"), Served, "status 303"},
		{status(200, "Penstock-Reason: admitted"), Served, "admitted"},
		{status(404, "Penstock-Reason: admitted"), Declined, "status 404"},
		{status(503, "Penstock-Reason: admitted"), Failed, "status 503"},
		{status(500, "Penstock-Reason: admitted"), Failed, "status 500"},
		{status(409, "Penstock-Reason: sold_out"), Refused, "sold_out"},
		{status(200, "penstock-reason: sold_out"), Refused, "sold_out"},
		{status(503, "Penstock-Reason: overloaded"), Refused, "overloaded"},
		{status(502, "Penstock-Reason: origin_failed"), Failed, "origin_failed"},
		{status(500, "Penstock-Reason: internal"), Failed, "internal"},
		{status(503), Refused, "status 503"},
		{status(429), Refused, "status 429"},
		{status(502), Failed, "status 502"},
		{status(403), Declined, "status 403"},
		{"", Reset, "reset"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", Reset, "reset"},
		{"NONSENSE\r\n\r\n", Reset, "malformed"},
	} {
		s := &server{answer: func(r *http.Request, _ string) string {
			if strings.HasSuffix(c.answer, "he") {
				r.Close = true
			}
			return c.answer
		}}
		if c.reason == "reset" {
			s.answer = func(r *http.Request, _ string) string { r.Close = true; return c.answer }
		}
		var got []Outcome
		tally := s.run(t, one(Visitor{Steps: page()}), func(o *Outcome) { got = append(got, *o) })
		if len(got) == 0 {
			t.Fatalf("%q: nobody came", c.answer)
		}
		reason := c.reason
		if c.kind == Served && reason == "served" {
			reason = "status 200"
		}
		if o := got[0]; o.Kind != c.kind || o.Reason != reason || o.Waited {
			t.Errorf("%q: %v for %q, want %v for %q", c.answer, o.Kind, o.Reason, c.kind, reason)
		}
		if j := tally.Journeys[0]; j.Through != (c.kind == Served) || j.End != c.kind {
			t.Errorf("%q: journey %+v", c.answer, j)
		}
	}
}

// TestNoAnswer: dialling that fails, for reasons of the target's or of ours.
func TestNoAnswer(t *testing.T) {
	for err, want := range map[error]Kind{
		syscall.ECONNREFUSED: Unreached, syscall.EMFILE: Trouble, syscall.EADDRNOTAVAIL: Trouble, syscall.ECONNRESET: Reset,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := New(Plan{Target: "x:1", Phases: flat(10, time.Second), Visitors: []Visitor{{Steps: page()}}})
			c.pool.dial = func(context.Context, time.Time) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: err}
			}
			if tally := c.Run(t.Context(), nil); total(tally, want) != tally.Requests || tally.Requests == 0 || c.pool.open != 0 {
				t.Errorf("%v: %+v, %d open, want all %v", err, tally.Groups, c.pool.open, want)
			}
		})
	}
}

// TestTimeouts: what ends a wait, and what it is called.
func TestTimeouts(t *testing.T) {
	slow := func(d time.Duration, a string) func(*http.Request, string) string {
		return func(*http.Request, string) string { time.Sleep(d); return a }
	}
	for _, c := range []struct {
		name    string
		timeout time.Duration
		v       Visitor
		answer  func(*http.Request, string) string
		kind    Kind
		reason  string
		waited  time.Duration
	}{
		{"patient", 9 * time.Second, Visitor{}, slow(8*time.Second, fine), Served, "status 200", 8 * time.Second},
		{"timeout", 7 * time.Second, Visitor{Patience: 9 * time.Second}, slow(8*time.Second, fine), Timeout, "timeout", 7 * time.Second},
		{"left", 9 * time.Second, Visitor{Patience: 3 * time.Second}, slow(8*time.Second, fine), Left, "left", 3 * time.Second},
		{"end", 0, Visitor{Patience: 40 * time.Second}, slow(30*time.Second, fine), Left, AtTheEnd, 0},
		{"waited", 0, Visitor{}, slow(time.Second, status(503)), Refused, "status 503", time.Second},
	} {
		p := one(c.v)
		p.Visitors[0].Steps, p.Timeout = page(), c.timeout
		if c.name == "end" {
			p.Grace = 5 * time.Second
		}
		var got []Outcome
		s := &server{answer: c.answer}
		tally := s.run(t, p, func(o *Outcome) { got = append(got, *o) })
		o := got[0]
		if o.Kind != c.kind || o.Reason != c.reason || c.waited > 0 && o.Latency() != c.waited || o.Waited != (c.kind == Refused) {
			t.Errorf("%s: %+v, want %v for %q after %v", c.name, o, c.kind, c.reason, c.waited)
		}
		if c.kind == Refused && tally.Waited == 0 {
			t.Errorf("%s: the tally knows of no refusal after a wait", c.name)
		}
	}
}

// TestLeavers: a share leaves early, each at a moment of their own.
func TestLeavers(t *testing.T) {
	s := &server{answer: func(*http.Request, string) string { time.Sleep(10 * time.Second); return fine }}
	p := Plan{Seed: 1, Phases: flat(200, 5*time.Second), Grace: time.Minute, Visitors: []Visitor{{Patience: 20 * time.Second, Leave: 0.3, Steps: page()}}}
	tally := s.run(t, p, nil)
	// Half of the 30 % draw a moment before the answer.
	if left, n := total(tally, Left), tally.Arrivals; left < n*10/100 || left > n*20/100 || total(tally, Served) != n-left {
		t.Errorf("%d of %d left, want about 15 %%", left, n)
	}
}

// TestAgain: who comes back, and when.
func TestAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		v      Visitor
		answer string
		tries  int
		gap    time.Duration // 0: any
	}{
		{"no retries", Visitor{}, status(503, "Retry-After: 1"), 1, 0},
		{"as told", Visitor{Retries: 2, Obey: 1}, status(503, "Retry-After: 7"), 3, 7 * time.Second},
		{"not told to", Visitor{Retries: 2, Obey: 1}, status(409, "Penstock-Reason: sold_out"), 1, 0},
		{"failed", Visitor{Retries: 2, Obey: 1}, status(500), 3, 0},
		{"impatient", Visitor{Retries: 2}, status(409, "Penstock-Reason: sold_out"), 3, 0},
		{"impatient all the same", Visitor{Retries: 3, Pause: 10 * time.Millisecond}, status(503, "Retry-After: 60"), 4, 0},
		{"the shop said no", Visitor{Retries: 3}, status(404), 1, 0},
		{"served", Visitor{Retries: 3}, fine, 1, 0},
		{"too late to come back", Visitor{Retries: 3, Obey: 1}, status(503, "Retry-After: 600"), 1, 0},
	} {
		c.v.Steps = page()
		var mine []Outcome
		s := &server{answer: says(c.answer)}
		p := one(c.v)
		p.Phases = append(p.Phases, Phase{For: 2 * time.Minute}) // time to come back
		s.run(t, p, func(o *Outcome) {
			if o.Visitor == 1 {
				mine = append(mine, *o)
			}
		})
		if len(mine) != c.tries {
			t.Errorf("%s: %d tries, want %d", c.name, len(mine), c.tries)
		}
		for i := range mine {
			if mine[i].Try != i {
				t.Errorf("%s: try %d says it is %d", c.name, i, mine[i].Try)
			}
			if i > 0 && c.gap > 0 && mine[i].Due-mine[i-1].Done != c.gap {
				t.Errorf("%s: came back after %v, want %v", c.name, mine[i].Due-mine[i-1].Done, c.gap)
			}
		}
	}
}

// TestTooLate: who has got nothing does not come back once the last have come; who has
// got something does.
func TestTooLate(t *testing.T) {
	steps := []Step{{Class: "page", Method: "GET", Path: "/"}, {Class: "buy", Method: "POST", Path: "/buy"}}
	for _, served := range []bool{false, true} {
		s := &server{answer: func(r *http.Request, _ string) string {
			if r.Method == "GET" && served {
				return fine
			}
			return status(503, "Retry-After: 9")
		}}
		tries := 0
		tally := s.run(t, one(Visitor{Steps: steps, Retries: 1, Obey: 1}), func(o *Outcome) { tries += o.Try })
		if came := tries > 0; came != served || tally.Arrivals == 0 {
			t.Errorf("served before: %v, came back: %v", served, came)
		}
	}
}

// TestDoubleClick: a press that has no answer is abandoned for a second one.
func TestDoubleClick(t *testing.T) {
	buy := []Step{{Class: "buy", Method: "POST", Path: "/buy"}}
	for _, c := range []struct {
		takes time.Duration
		want  []Kind
	}{{time.Second, []Kind{Left, Served}}, {100 * time.Millisecond, []Kind{Served}}} {
		s := &server{answer: func(*http.Request, string) string { time.Sleep(c.takes); return fine }}
		var got []Kind
		p := one(Visitor{Double: 1, Steps: buy})
		s.run(t, p, func(o *Outcome) {
			if o.Visitor == 1 {
				got = append(got, o.Kind)
			}
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("answers after %v: %v, want %v", c.takes, got, c.want)
		}
	}
}

// TestWalk walks through a shop with a cart: cookies, the order's number, somebody else's
// callback, pauses.
func TestWalk(t *testing.T) {
	steps := []Step{
		{Class: "page", Method: "GET", Path: "/"},
		{Class: "claim", Method: "POST", Path: "/cart/add", Body: "qty=1", Think: time.Second},
		{Class: "order", Method: "POST", Path: "/checkout/place", Ref: regexp.MustCompile(`order=(\d+)`), Think: time.Second},
		{Class: "callback", Method: "POST", Path: "/pay/callback", Body: "order={ref}&by={account}", Elsewhere: true},
		{Class: "thanks", Method: "GET", Path: "/thanks?order={ref}", Good: func(a *Answer) bool { return strings.Contains(string(a.Body), "paid") }},
	}
	s := &server{answer: func(r *http.Request, _ string) string {
		switch r.URL.Path {
		case "/":
			return status(200, "Set-Cookie: PHPSESSID=s1; Path=/", "Set-Cookie: gone=1")
		case "/cart/add":
			return status(303, "Set-Cookie: penstock_pass=p; HttpOnly", "Set-Cookie: gone=; Max-Age=0", "Penstock-Reason: admitted")
		case "/checkout/place":
			return status(302, "Location: /pay?order=42")
		case "/thanks":
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nis p\r\n3\r\naid\r\n0\r\n\r\n"
		}
		return fine
	}}
	p := one(Visitor{Name: "buyer", Steps: steps, Cookies: []string{"lang=en"}, Header: []string{"X-Forwarded-For: {address}"}})
	p.Names, p.Phases[0].Rate = "t-", 3
	tally := s.run(t, p, nil)
	n := int(tally.Arrivals)
	if n == 0 || len(tally.Journeys) != 1 || tally.Journeys[0] != (Journey{"buyer", "thanks", true, Served, "status 200", int64(n)}) {
		t.Fatalf("journeys of %d: %+v, want all through to thanks", n, tally.Journeys)
	}
	want := map[string]request{
		"GET /":                {cookie: "lang=en", from: "100.64.0.1"},
		"POST /cart/add":       {cookie: "lang=en; PHPSESSID=s1; gone=1", from: "100.64.0.1", body: "qty=1"},
		"POST /checkout/place": {cookie: "lang=en; PHPSESSID=s1; penstock_pass=p", from: "100.64.0.1"},
		"POST /pay/callback":   {body: "order=42&by=t-1"},
		"GET /thanks?order=42": {cookie: "lang=en; PHPSESSID=s1; penstock_pass=p", from: "100.64.0.1"},
	}
	found := 0
	for _, r := range s.seen {
		w := want[r.line]
		if r.from == w.from && r.cookie == w.cookie && r.body == w.body {
			found++
		}
	}
	if found < len(want) || len(s.seen) != n*len(want) {
		t.Errorf("%d requests, %d as they should be for the first visitor; saw %+v", len(s.seen), found, s.seen)
	}
	if took := s.seen[len(s.seen)-1].at.Sub(s.seen[0].at); took == 0 {
		t.Error("nobody paused")
	}
}

// TestConnections: kept ones are shared, one-shot ones are not, and what does not fit
// under the cap is the generator's trouble, not a delay.
func TestConnections(t *testing.T) {
	s := &server{answer: says(fine)}
	kept := s.run(t, Plan{Phases: flat(100, 5*time.Second), Visitors: []Visitor{{Steps: page()}}}, nil)
	if kept.Dials > 10 || kept.Requests < 400 {
		t.Errorf("%d connections for %d requests, want a few", kept.Dials, kept.Requests)
	}
	s = &server{answer: says(fine)}
	shot := s.run(t, Plan{Phases: flat(100, 5*time.Second), Visitors: []Visitor{{OneShot: 1, Steps: page()}}}, nil)
	if shot.Dials != shot.Requests {
		t.Errorf("%d connections for %d requests, want one each", shot.Dials, shot.Requests)
	}
	s = &server{answer: func(*http.Request, string) string { time.Sleep(time.Second); return fine }}
	full := s.run(t, Plan{Connections: 20, Phases: flat(100, 5*time.Second), Visitors: []Visitor{{Steps: page()}}}, nil)
	if full.Connections != 20 || total(full, Served) > 120 || total(full, Trouble) != full.Requests-total(full, Served) {
		t.Errorf("%d open at the peak, %d served, %d trouble of %d, want 20, about 100 and the rest", full.Connections, total(full, Served), total(full, Trouble), full.Requests)
	}
	if lag := full.Lag.Max(); lag != 0 {
		t.Errorf("a full house made us late by %d µs", lag)
	}
}

func TestSessionsHaveHeavyTails(t *testing.T) {
	steps := []Step{{Class: "page", Method: "GET", Path: "/", Tail: 1.2, Times: 30, Think: time.Second}, {Class: "buy", Method: "POST", Path: "/buy"}}
	s := &server{answer: says(fine)}
	views := map[uint64]int{}
	tally := s.run(t, Plan{Phases: append(flat(100, 10*time.Second), Phase{For: 5 * time.Minute}), Visitors: []Visitor{{Steps: steps}}}, func(o *Outcome) {
		if o.Step == 0 {
			views[o.Visitor]++
		}
	})
	once, most := 0, 0
	for _, n := range views {
		most = max(most, n)
		if n == 1 {
			once++
		}
	}
	if len(views) != int(tally.Arrivals) || once < len(views)/2 || most != 30 {
		t.Errorf("%d of %d looked once, one looked %d times, want more than half and 30", once, len(views), most)
	}
}

// TestStopping: a crowd that is called off goes at once, whatever it waits for.
func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s := &server{answer: func(*http.Request, string) string { <-hang; return "" }}
		c, err := New(Plan{Target: "x:1", Phases: flat(100, time.Minute), Visitors: []Visitor{{Steps: page()}}})
		if err != nil {
			t.Fatal(err)
		}
		s.connect(c)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		tally := c.Run(ctx, nil)
		if tally.Took != 2500*time.Millisecond || total(tally, Left) != tally.Arrivals || tally.Arrivals < 200 {
			t.Errorf("after %v: %+v, want everybody sent home at 2.5 s", tally.Took, tally.Groups)
		}
		if n, sec, ok := c.Tick(); !ok || n != 1 || sec.Open == 0 || sec.Arrivals == 0 {
			t.Errorf("tick is %d, %+v, %v, want the second second", n, sec, ok)
		}
		close(hang)
		s.conns.Wait()
	})
}

func TestPlansThatMakeNoSense(t *testing.T) {
	steps, phases := page(), flat(1, time.Second)
	for want, p := range map[string]Plan{
		"no target":    {Phases: phases, Visitors: []Visitor{{Steps: steps}}},
		"no phases":    {Target: "x", Visitors: []Visitor{{Steps: steps}}},
		"no visitors":  {Target: "x", Phases: phases},
		"has no steps": {Target: "x", Phases: phases, Visitors: []Visitor{{}}},
		"Weight":       {Target: "x", Phases: phases, Visitors: []Visitor{{Steps: steps}, {Steps: steps, Weight: 1}}},
		"a step needs": {Target: "x", Phases: phases, Visitors: []Visitor{{Steps: []Step{{Class: "page"}}}}},
		"spikes need":  {Target: "x", Phases: []Phase{{For: 1, Shape: Spikes}}, Visitors: []Visitor{{Steps: steps}}},
		"For must be":  {Target: "x", Phases: []Phase{{}}, Visitors: []Visitor{{Steps: steps}}},
	} {
		if _, err := New(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTheSameSeedMakesTheSamePeople(t *testing.T) {
	who := func(seed uint64) (all []string) {
		s := &server{answer: says(fine)}
		p := Plan{Seed: seed, Phases: flat(50, 2*time.Second), Visitors: []Visitor{{Name: "a", Weight: 3, Steps: page(), OneShot: 0.5}, {Name: "b", Weight: 1, Steps: page(), Header: []string{"X-Forwarded-For: {address}"}, Sharing: 10}}}
		s.run(t, p, func(o *Outcome) { all = append(all, fmt.Sprint(o.Visitor, o.Person, o.Due)) })
		slices.Sort(all)
		return all
	}
	if a, b, c := who(1), who(1), who(2); !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("want the same crowd for the same seed, and another for another")
	}
}
