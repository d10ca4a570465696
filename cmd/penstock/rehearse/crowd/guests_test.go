package crowd

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuestsDecide: who is told of each answer decides what comes next, when, and from
// where, and keeps cookies and accounts apart.
func TestGuestsDecide(t *testing.T) {
	s := &server{answer: func(r *http.Request, body string) string {
		if r.URL.Path == "/buy" {
			return status(429, "Retry-After: 2", "Penstock-Reason: rate_limited")
		}
		return status(200, "Set-Cookie: seen="+r.URL.Query().Get("who"))
	}}
	v := Visitor{
		Cookies: []string{"id={account}"}, Header: []string{"X-Forwarded-For: {address}"},
		Steps: []Step{
			{Class: "page", Method: "GET", Path: "/?who={account}"},
			{Class: "buy", Method: "POST", Path: "/buy", Body: "a={account}"},
		},
	}
	guest := func(name, at string) Guest {
		return Guest{Account: name, Next: func(got *Told, next []Deed) []Deed {
			switch {
			case got == nil:
				return append(next, Deed{Due: time.Second, Address: at}, Deed{Due: 3 * time.Second, Address: at})
			case got.Deed.Step == 0 && got.Deed.Due == 3*time.Second:
				return append(next, Deed{Due: got.Outcome.Done, Step: 1, Address: "2001:db8::1"})
			case got.Deed.Step == 1 && got.Deed.Body == "":
				if got.Outcome.Kind != Refused || got.Outcome.Reason != "rate_limited" || got.Answer.RetryAfter != 2*time.Second {
					t.Errorf("told %+v, %+v", got.Outcome, got.Answer)
				}
				return append(next, Deed{Due: got.Outcome.Done + got.Answer.RetryAfter, Step: 1, Address: at, Body: "b=2"}, Deed{Due: time.Hour, Address: at})
			}
			return next
		}}
	}
	var tally *Tally
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Plan{Target: "shop:80", Names: "n", Phases: flat(0, 10*time.Second), Visitors: []Visitor{v}})
		if err != nil {
			t.Fatal(err)
		}
		s.connect(c)
		began := time.Now()
		tally = c.Entertain(t.Context(), []Guest{guest("x", "192.0.2.1"), guest("y", "192.0.2.2")}, nil)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the party took %v, want 5s: until nothing is left that could be done", took)
		}
		s.conns.Wait()
		var got []string
		for _, r := range s.seen {
			got = append(got, fmt.Sprintf("%v %s %s %s %s", r.at.Sub(began), r.line, r.cookie, r.from, r.body))
		}
		slices.Sort(got)
		var want []string
		for who, at := range map[string]string{"nx": "192.0.2.1", "ny": "192.0.2.2"} {
			want = append(want,
				"1s GET /?who="+who+" id="+who+" "+at+" ",
				"3s GET /?who="+who+" id="+who+"; seen="+who+" "+at+" ",
				"3s POST /buy id="+who+"; seen="+who+" 2001:db8::1 a="+who,
				"5s POST /buy id="+who+"; seen="+who+" "+at+" b=2")
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("sent\n%q\nwant\n%q", got, want)
		}
	})
	if tally.Arrivals != 2 || tally.Requests != 8 || total(tally, Refused) != 4 {
		t.Errorf("%d guests, %d requests, %d refused", tally.Arrivals, tally.Requests, total(tally, Refused))
	}
}
