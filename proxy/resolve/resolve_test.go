package resolve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/proxy/gate"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop answers with a status, a header "Penstock-Outcome" and a body.
func shop(t *testing.T, answer http.HandlerFunc) *rules.Resolver {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return &rules.Resolver{URL: s.URL + "/status?token={token}&ref={ref}", Timeout: 10 * time.Second}
}

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		status       int
		header, body string
		outcome      rules.Outcome
		ref          string
		err          string // part of it; "": none
	}{
		{200, "sold", "", rules.OutcomeSold, "", ""},
		{200, "free", "whatever", rules.OutcomeFree, "", ""},
		{200, "unknown", "", rules.OutcomeUnknown, "", ""},
		{200, "", `{"outcome":"sold","order":"A-1"}`, rules.OutcomeSold, "A-1", ""},
		{200, "sold", `{"outcome":"sold","order":"A-1"}`, rules.OutcomeSold, "A-1", ""},
		{200, "", `{"outcome":"free","order":"A-1"}`, rules.OutcomeFree, "", ""},
		{200, "", `{"outcome":"sold","order":"two words"}`, rules.OutcomeSold, "", ""},
		{200, "sold", `{"outcome":"free"}`, rules.OutcomeUnknown, "", `the header says "sold", the body "free"`},
		{200, "", "<html>not found</html>", rules.OutcomeUnknown, "", "read answer"},
		{200, "", `{}`, rules.OutcomeUnknown, "", `the outcome is ""`},
		{200, "SOLD", "", rules.OutcomeUnknown, "", `the outcome is "SOLD"`},
		{404, "free", `{"outcome":"free"}`, rules.OutcomeUnknown, "", "status 404"},
		{500, "sold", "", rules.OutcomeUnknown, "", "status 500"},
	} {
		r := shop(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Penstock-Outcome", c.header)
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		var client Client
		outcome, ref, err := client.Ask(t.Context(), r, gate.Token{}, "")
		if outcome != c.outcome || ref != c.ref || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("to %d %q %q: %v, %q, %v, want %v, %q, %q", c.status, c.header, c.body, outcome, ref, err, c.outcome, c.ref, c.err)
		}
		client.http.CloseIdleConnections()
	}
}

func TestAskNamesTheOrder(t *testing.T) {
	asked := ""
	r := shop(t, func(w http.ResponseWriter, q *http.Request) {
		asked = q.URL.RawQuery
		w.Header().Set("Penstock-Outcome", "unknown")
	})
	var client Client
	defer client.http.CloseIdleConnections()
	if _, _, err := client.Ask(t.Context(), r, gate.Token{0xab, 1}, "a&b c"); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("token=ab01%028d&ref=a%%26b+c", 0); asked != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// TestNoAnswer: a shop that is down, silent or slow says nothing about an order.
func TestNoAnswer(t *testing.T) {
	stop := make(chan struct{})
	silent := shop(t, func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-q.Context().Done():
		case <-stop:
		}
	})
	t.Cleanup(func() { close(stop) }) // before the server is closed, which waits
	silent.Timeout = time.Millisecond
	down := &rules.Resolver{URL: "http://127.0.0.1:1/{token}", Timeout: 10 * time.Second}
	for _, r := range []*rules.Resolver{silent, down} {
		var client Client
		if o, _, err := client.Ask(context.Background(), r, gate.Token{}, ""); err == nil || o != rules.OutcomeUnknown {
			t.Errorf("%s: %v, %v, want unknown and an error", r.URL, o, err)
		}
		client.http.CloseIdleConnections()
	}
}

func FuzzRead(f *testing.F) {
	f.Add("sold", []byte(`{"outcome":"sold","order":"1"}`))
	f.Add("", []byte(`{"outcome":"free"}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		o, ref, err := read(header, body)
		if err != nil && (o != rules.OutcomeUnknown || ref != "") {
			t.Errorf("an error with %v, %q", o, ref)
		}
		if ref != rules.CleanRef(ref) {
			t.Errorf("reference %q", ref)
		}
	})
}
