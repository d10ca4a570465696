package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// desk notes what it is asked for.
type desk struct {
	asked  []string
	search Search
	got    Command
	err    error
}

func (d *desk) Sales(context.Context) ([]Sale, error) {
	return []Sale{{Name: "phone", Items: []Item{{Free: 3}}}}, d.err
}

func (d *desk) Tokens(_ context.Context, sale string, s Search) (Page, error) {
	d.asked, d.search = append(d.asked, "tokens "+sale), s
	return Page{Tokens: []Token{{Token: "01"}}, Next: "n"}, d.err
}

func (d *desk) Do(ctx context.Context, sale, action string, c Command) (Done, error) {
	if err := ctx.Err(); err != nil {
		return Done{}, err
	}
	d.asked, d.got = append(d.asked, action+" "+sale), c
	if d.err != nil {
		return Done{}, d.err
	}
	return Done{What: "did it"}, nil
}

func (d *desk) Audit(_ context.Context, sale string, c Command, settled func(string, error)) (Report, error) {
	d.asked, d.got = append(d.asked, "audit "+sale), c
	if c.Apply {
		settled("one", nil)
		settled("two", errors.New("no"))
	}
	return Report{Orders: 2}, d.err
}

// bench is an API and who asks it.
type bench struct {
	t       *testing.T
	o       Options
	desk    desk
	changes []Change
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t}
	b.o = Options{
		Listen: "127.0.0.1:9900", Registry: prometheus.NewRegistry(), Ready: func(context.Context) error { return nil },
		Sales: &b.desk, Changed: func(c Change) { b.changes = append(b.changes, c) },
	}
	return b
}

// ask sends one request; head is pairs of names and values.
func (b *bench) ask(method, path, body string, head ...string) (status int, answer string) {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:9900"
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(head); i += 2 {
		if head[i] == "Host" {
			r.Host = head[i+1]
			continue
		}
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	Handler(b.o).ServeHTTP(w, r)
	if kind := w.Header().Get("Content-Type"); strings.HasPrefix(path, "/api/") && w.Code != 401 && kind != "application/json" {
		b.t.Errorf("%s %s is answered as %q", method, path, kind)
	}
	return w.Code, w.Body.String()
}

const signedBody = `{"by":"ann","why":"test"}`

func TestEveryActionReachesTheDeskAndTheLog(t *testing.T) {
	b := newBench(t)
	for _, action := range Actions {
		status, text := b.ask("POST", "/api/v1/sales/phone%2F27/"+action, `{"by":" ann ","why":"test","units":3,"item":"red","token":"t","ref":"r"}`)
		if status != 200 || !strings.Contains(text, `"what":"did it"`) {
			t.Errorf("%s: %d %s", action, status, text)
		}
		want := Command{By: "ann", Why: "test", Units: 3, Item: "red", Token: "t", Ref: "r"}
		if got := b.desk.asked[len(b.desk.asked)-1]; got != action+" phone/27" || b.desk.got != want {
			t.Errorf("the desk was asked for %q with %+v", got, b.desk.got)
		}
		if got, want := b.changes[len(b.changes)-1], (Change{By: "ann", Why: "test", Sale: "phone/27", Action: action, What: "did it"}); !reflect.DeepEqual(got, want) {
			t.Errorf("the log has %+v, want %+v", got, want)
		}
	}
}

func TestChangesThatFailAreLoggedToo(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		err    error
		status int
	}{{&Problem{409, "is sold"}, 409}, {fmt.Errorf("far away: %w", &Problem{404, "is sold"}), 404}, {errors.New("is sold, or the store is gone"), 503}} {
		b.desk.err = c.err
		status, text := b.ask("POST", "/api/v1/sales/phone/release", `{"by":"ann","why":"test","token":"77"}`)
		var answer struct{ Error string }
		if err := json.Unmarshal([]byte(text), &answer); status != c.status || err != nil || answer.Error != c.err.Error() {
			t.Errorf("got %d %s, want %d and %q", status, text, c.status, c.err)
		}
		if got := b.changes[len(b.changes)-1]; got.Err != c.err || !strings.Contains(got.What, "token=77") {
			t.Errorf("the log has %+v, want the error and the token", got)
		}
	}
}

func TestNothingIsChangedByABadRequest(t *testing.T) {
	const path = "/api/v1/sales/phone/pause"
	for name, c := range map[string]struct {
		method, path, body string
		head               []string
		want               int
	}{
		"no why":             {"POST", path, `{"by":"ann"}`, nil, 400},
		"no who":             {"POST", path, `{"by":" ","why":"x"}`, nil, 400},
		"a long why":         {"POST", path, `{"by":"ann","why":"` + strings.Repeat("x", 201) + `"}`, nil, 400},
		"not JSON":           {"POST", path, `by=ann&why=x`, nil, 400},
		"null":               {"POST", path, `null`, nil, 400},
		"a list":             {"POST", path, `[` + signedBody + `]`, nil, 400},
		"an unknown field":   {"POST", path, `{"by":"ann","why":"x","unit":3}`, nil, 400},
		"two objects":        {"POST", path, signedBody + signedBody, nil, 400},
		"half an object":     {"POST", path, `{"by":"ann","why":"x"`, nil, 400},
		"too long":           {"POST", path, `{"by":"ann","why":"x","ref":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413},
		"long after the end": {"POST", path, signedBody + strings.Repeat(" ", maxBody), nil, 413},
		"a form":             {"POST", path, signedBody, []string{"Content-Type", "text/plain"}, 415},
		"a multipart form":   {"POST", path, signedBody, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		"no type":            {"POST", path, signedBody, []string{"Content-Type", ""}, 415},
		"another action":     {"POST", "/api/v1/sales/phone/empty", signedBody, nil, 404},
		"another call":       {"POST", "/api/v2/sales", signedBody, nil, 404},
		"a GET":              {"GET", path, signedBody, nil, 404},
		"a PUT":              {"PUT", path, signedBody, nil, 404},
		"another origin":     {"POST", path, signedBody, []string{"Origin", "http://evil.example"}, 403},
		"no origin":          {"POST", path, signedBody, []string{"Origin", "null"}, 403},
		"another port":       {"POST", path, signedBody, []string{"Origin", "http://127.0.0.1:8080"}, 403},
		"a rebound name":     {"POST", path, signedBody, []string{"Host", "evil.example:9900", "Origin", "http://evil.example:9900"}, 403},
		"apply without who":  {"POST", "/api/v1/sales/phone/audit", `{"orders":"token","apply":true}`, nil, 400},
	} {
		b := newBench(t)
		status, text := b.ask(c.method, c.path, c.body, c.head...)
		if status != c.want || !strings.HasPrefix(text, `{"error":"`) || len(b.desk.asked) != 0 || len(b.changes) != 0 {
			t.Errorf("%s: got %d %s, asked %v, logged %v, want %d and nothing done", name, status, text, b.desk.asked, b.changes, c.want)
		}
	}
}

func TestWhoMayAsk(t *testing.T) {
	for name, c := range map[string]struct {
		token string
		head  []string
		want  int
	}{
		"here":                  {"", nil, 200},
		"the console":           {"", []string{"Origin", "http://127.0.0.1:9900"}, 200},
		"by the loopback name":  {"", []string{"Host", "localhost:9900"}, 200},
		"by the IPv6 loopback":  {"", []string{"Host", "[::1]:9900"}, 200},
		"without the token":     {"s3cret", nil, 401},
		"with another token":    {"s3cret", []string{"Authorization", "Bearer s3cre"}, 401},
		"with the token":        {"s3cret", []string{"Authorization", "Bearer s3cret"}, 200},
		"by name, with a token": {"s3cret", []string{"Authorization", "Bearer s3cret", "Host", "shop.example:9900"}, 200},
		"elsewhere, with it":    {"s3cret", []string{"Authorization", "Bearer s3cret", "Origin", "http://evil.example"}, 403},
	} {
		for _, call := range [][3]string{{"POST", "/api/v1/sales/phone/pause", signedBody}, {"GET", "/api/v1/sales", ""}, {"GET", "/api/v1/sales/phone/tokens", ""}} {
			b := newBench(t)
			b.o.Token = c.token
			if status, text := b.ask(call[0], call[1], call[2], c.head...); status != c.want || status != 200 && len(b.desk.asked) != 0 {
				t.Errorf("%s: %s %s: got %d %s, want %d", name, call[0], call[1], status, text, c.want)
			}
		}
	}
}

func TestReadingAsksForNoReason(t *testing.T) {
	b := newBench(t)
	if status, text := b.ask("GET", "/api/v1/sales", ""); status != 200 || !strings.Contains(text, `"name":"phone"`) || !strings.Contains(text, `"free":3`) {
		t.Errorf("sales: %d %s", status, text)
	}
	status, text := b.ask("GET", "/api/v1/sales/phone/tokens?stage=held&account=c%3Aann&ref=A&token=01&cursor=c", "")
	if want := (Search{Token: "01", Ref: "A", Account: "c:ann", Stage: "held", Cursor: "c"}); status != 200 || b.desk.search != want || !strings.Contains(text, `"next":"n"`) {
		t.Errorf("tokens: %d %s, searched %+v, want %+v", status, text, b.desk.search, want)
	}
	list := strings.Repeat("x", 2*maxBody)
	if status, text = b.ask("POST", "/api/v1/sales/phone/audit", `{"orders":"`+list+`"}`); status != 200 || b.desk.got.Orders != list || !strings.Contains(text, `"orders":2`) {
		t.Errorf("audit: %d %s", status, text)
	}
	if len(b.changes) != 0 {
		t.Errorf("reading is logged as a change: %+v", b.changes)
	}
}

func TestEveryTokenThatAnAuditSettlesIsLogged(t *testing.T) {
	b := newBench(t)
	if status, text := b.ask("POST", "/api/v1/sales/phone/audit", `{"by":"ann","why":"test","apply":true}`); status != 200 {
		t.Errorf("audit: %d %s", status, text)
	}
	if len(b.changes) != 2 || b.changes[0].What != "one" || b.changes[1].Err == nil || b.changes[1].By != "ann" {
		t.Errorf("the log has %+v, want two changes by ann, the second failed", b.changes)
	}
}

// TestAChangeIsSeenThroughWhenItsAskerLeaves: a client that has gone must not leave a
// change half done.
func TestAChangeIsSeenThroughWhenItsAskerLeaves(t *testing.T) {
	b := newBench(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, "POST", "/api/v1/sales/phone/pause", strings.NewReader(signedBody))
	r.Host = "127.0.0.1:9900"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if Handler(b.o).ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("got %d %s, want it done", w.Code, w.Body)
	}
}

func TestUpgradeIsSignedLoggedAndAnswered(t *testing.T) {
	const path = "/api/v1/upgrade"
	b := newBench(t)
	if status, text := b.ask("POST", path, signedBody); status != 404 {
		t.Errorf("where there is no upgrade: %d %s", status, text)
	}
	for name, c := range map[string]struct {
		body, want string
		err        error
		status     int
		changes    int
	}{
		"done":    {signedBody, `{"what":"done"}`, nil, 200, 1},
		"busy":    {signedBody, `{"error":"busy"}`, &Problem{409, "busy"}, 409, 1},
		"failed":  {signedBody, `{"error":"no"}`, errors.New("no"), 503, 1},
		"no who":  {`{"why":"test"}`, `{"error":`, nil, 400, 0},
		"no JSON": {`by=ann`, `{"error":`, nil, 400, 0},
	} {
		b := newBench(t)
		asked := 0
		b.o.Sales = nil // a gateway without stock is upgraded as well
		b.o.Upgrade = func(_ context.Context, got Command) (Done, error) {
			if asked++; got.By != "ann" || got.Why != "test" {
				t.Errorf("%s: asked with %+v", name, got)
			}
			if c.err != nil {
				return Done{}, c.err
			}
			return Done{What: "done"}, nil
		}
		status, text := b.ask("POST", path, c.body)
		if status != c.status || !strings.HasPrefix(text, c.want) || asked != c.changes || len(b.changes) != c.changes {
			t.Errorf("%s: got %d %s, asked %d times, logged %+v", name, status, text, asked, b.changes)
		}
		if c.changes > 0 && (b.changes[0].Action != "upgrade" || b.changes[0].Err != c.err || b.changes[0].By != "ann") {
			t.Errorf("%s: the log has %+v", name, b.changes[0])
		}
		if status, _ := b.ask("GET", "/api/v1/sales", ""); status != 404 {
			t.Errorf("%s: sales of a gateway without stock: %d", name, status)
		}
	}
}
