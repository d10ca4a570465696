package cache

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// headers are what a client sent, by name in lower case.
type headers map[string]string

func (h headers) Value(name string) (string, bool) { v, ok := h[name]; return v, ok }

var twoSeconds = &rules.Cache{TTL: 2 * time.Second, Stale: time.Minute, MaxEntry: 1 << 20}

// open makes a cache that may send every header but those of the gateway itself.
func open(max int64) *Cache {
	return New(Options{MaxBytes: max, Patience: 10 * time.Second, Sends: func(name string) bool { return name != "x-forwarded-for" }})
}

func ask(key string, h headers) *Asked { return &Asked{Key: key, Rule: twoSeconds, Header: h} }

// page200 is an answer with some header lines, as name and value in turn.
func page200(body string, lines ...string) *Answer { return answering(200, body, lines...) }

func answering(status int, body string, lines ...string) *Answer {
	a := &Answer{Status: status, Body: []byte(body)}
	for i := 0; i < len(lines); i += 2 {
		a.Header = append(a.Header, Field{lines[i], lines[i+1]})
	}
	return a
}

// lead gets a flight that the request has to make.
func lead(t testing.TB, c *Cache, a *Asked, now time.Time) *Flight {
	t.Helper()
	found := c.Get(a, now)
	if !found.Lead {
		t.Fatalf("%q is %v without a flight of its own", a.Key, found)
	}
	return found.Flight
}

// fill fetches an answer for a request and keeps it.
func fill(t testing.TB, c *Cache, a *Asked, answer *Answer, now time.Time) {
	t.Helper()
	if got := lead(t, c, a, now).Keep(answer, now); got != Stored {
		t.Fatalf("%q came to %v, want stored", a.Key, got)
	}
}

// shows asserts what a request is shown; body "" for nothing.
func shows(t testing.TB, c *Cache, a *Asked, now time.Time, state State, body string) {
	t.Helper()
	found := c.Get(a, now)
	got := ""
	if found.Answer != nil {
		got = string(found.Answer.Body)
	}
	if found.State != state || got != body {
		t.Errorf("%q: state %d with %q, want %d with %q", a.Key, found.State, got, state, body)
	}
}
