package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// keeper notes what it is asked for.
type keeper struct {
	got   []BanCommand
	asked []string
	err   error
}

func (k *keeper) Bans(context.Context) ([]Ban, error) {
	if len(k.got) == 0 {
		return nil, k.err
	}
	return []Ban{{Subject: k.got[0].Subject, Signal: "by_hand"}}, k.err
}

func (k *keeper) AddBan(ctx context.Context, c BanCommand) (BanDone, error) {
	k.got = append(k.got, c)
	return BanDone{What: "banned"}, errors.Join(k.err, ctx.Err())
}

func (k *keeper) RemoveBan(_ context.Context, c BanCommand) (BanDone, error) {
	k.got = append(k.got, c)
	return BanDone{}, k.err
}

func (k *keeper) Standing(_ context.Context, sale, account, ip string) (Standing, error) {
	k.asked = append(k.asked, sale+" "+account+" "+ip)
	return Standing{Sale: sale, Account: account, IP: ip, Rung: "challenge", Signals: []Signal{{Signal: "strikes", Of: account, Count: 3, Rung: "challenge"}}}, k.err
}

func TestBansAreSignedLoggedAndAnswered(t *testing.T) {
	b, k := newBench(t), &keeper{}
	b.o.Sales, b.o.Bans, b.o.Standings = nil, k, k // a gateway without stock has them as well
	if status, text := b.ask("GET", "/api/v1/bans", ""); status != 200 || strings.TrimSpace(text) != `{"bans":[]}` {
		t.Errorf("no bans: %d %s", status, text)
	}
	status, text := b.ask("POST", "/api/v1/bans/add", `{"by":" ann ","why":"resells","subject":"c:bob","for":"24h"}`)
	if status != 200 || strings.TrimSpace(text) != `{"what":"banned"}` {
		t.Errorf("add: %d %s", status, text)
	}
	until := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	b.ask("POST", "/api/v1/bans/add", `{"by":"ann","why":"x","subject":"192.0.2.0/24","until":"2026-11-28T00:00:00Z"}`)
	k.err = &Problem{404, "is not banned"}
	if status, text := b.ask("POST", "/api/v1/bans/remove", `{"by":"bob","why":"y","subject":"c:eve"}`); status != 404 || !strings.Contains(text, "is not banned") {
		t.Errorf("remove: %d %s", status, text)
	}
	want := []BanCommand{{By: "ann", Why: "resells", Subject: "c:bob", For: "24h"}, {By: "ann", Why: "x", Subject: "192.0.2.0/24", Until: &until}, {By: "bob", Why: "y", Subject: "c:eve"}}
	if !reflect.DeepEqual(k.got, want) {
		t.Errorf("done was %+v, want %+v", k.got, want)
	}
	if c := b.changes; len(c) != 3 || c[0] != (Change{By: "ann", Why: "resells", Action: "ban", What: "banned"}) ||
		c[2] != (Change{By: "bob", Why: "y", Action: "unban", What: "c:eve", Err: k.err}) {
		t.Errorf("the log has %+v", c)
	}
	k.err = errors.New("the store is away")
	if status, _ := b.ask("GET", "/api/v1/bans", ""); status != 503 {
		t.Errorf("bans that cannot be read: %d", status)
	}
}

// TestBanWhoseAskerHasLeft is seen through all the same.
func TestBanWhoseAskerHasLeft(t *testing.T) {
	b, k := newBench(t), &keeper{}
	b.o.Bans = k
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, "POST", "/api/v1/bans/add", strings.NewReader(`{"by":"ann","why":"x","subject":"c:bob","for":"24h"}`))
	r.Host = b.o.Listen
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	Handler(b.o).ServeHTTP(w, r)
	if w.Code != 200 || len(b.changes) != 1 || b.changes[0].Err != nil {
		t.Errorf("got %d, and the log has %+v", w.Code, b.changes)
	}
}

func TestNoBanByABadRequest(t *testing.T) {
	const good = `{"by":"ann","why":"x","subject":"c:bob","for":"24h"}`
	for name, c := range map[string]struct {
		method, path, body string
		head               []string
		want               int
	}{
		"no who":         {"POST", "/api/v1/bans/add", `{"why":"x","subject":"c:bob"}`, nil, 400},
		"no why":         {"POST", "/api/v1/bans/remove", `{"by":"x","subject":"c:bob"}`, nil, 400},
		"nobody":         {"POST", "/api/v1/bans/add", `{"by":"ann","why":"x","for":"24h"}`, nil, 400},
		"a field":        {"POST", "/api/v1/bans/add", `{"by":"ann","why":"x","subject":"a","sale":"s"}`, nil, 400},
		"no time":        {"POST", "/api/v1/bans/add", `{"by":"ann","why":"x","subject":"a","until":"tomorrow"}`, nil, 400},
		"two":            {"POST", "/api/v1/bans/add", good + good, nil, 400},
		"a form":         {"POST", "/api/v1/bans/add", good, []string{"Content-Type", "text/plain"}, 415},
		"another call":   {"POST", "/api/v1/bans/clear", good, nil, 404},
		"a GET":          {"GET", "/api/v1/bans/add", "", nil, 404},
		"another origin": {"POST", "/api/v1/bans/add", good, []string{"Origin", "http://evil.example"}, 403},
		"a rebound name": {"POST", "/api/v1/bans/add", good, []string{"Host", "evil.example"}, 403},
	} {
		b, k := newBench(t), &keeper{}
		b.o.Bans = k
		status, text := b.ask(c.method, c.path, c.body, c.head...)
		if status != c.want || !strings.HasPrefix(text, `{"error":"`) || len(k.got) != 0 || len(b.changes) != 0 {
			t.Errorf("%s: got %d %s, done %v, logged %v, want %d and nothing done", name, status, text, k.got, b.changes, c.want)
		}
	}
	b := newBench(t)
	for _, path := range []string{"/api/v1/bans", "/api/v1/sales/phone/standing?account=a"} {
		if status, _ := b.ask("GET", path, ""); status != 404 {
			t.Errorf("%s where there are none: %d", path, status)
		}
	}
}

func TestStanding(t *testing.T) {
	b, k := newBench(t), &keeper{}
	b.o.Standings = k
	status, text := b.ask("GET", "/api/v1/sales/phone%2F27/standing?account=c%3Aann&ip=192.0.2.7", "")
	if status != 200 || !strings.Contains(text, `"rung":"challenge"`) || !strings.Contains(text, `{"signal":"strikes","of":"c:ann","count":3,"rung":"challenge"}`) {
		t.Errorf("got %d %s", status, text)
	}
	if status, _ := b.ask("GET", "/api/v1/sales/phone/standing", ""); status != 400 || len(k.asked) != 1 || k.asked[0] != "phone/27 c:ann 192.0.2.7" {
		t.Errorf("nobody's: %d; asked %v", status, k.asked)
	}
	if len(b.changes) != 0 {
		t.Errorf("looking is logged: %+v", b.changes)
	}
}
