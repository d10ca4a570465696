package main

// `penstock ban …` against the API as it is served, on a book of bans.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/limiter/shared"
	"penstock/proxy/admin"
	"penstock/rules"
)

// toldStandings tells what it is asked for.
type toldStandings struct{ asked []string }

func (s *toldStandings) Standing(_ context.Context, sale, account, ip string) (admin.Standing, error) {
	if s.asked = append(s.asked, fmt.Sprintf("%q %q %q", sale, account, ip)); sale != "phone" {
		return admin.Standing{}, &admin.Problem{Status: 404, Text: fmt.Sprintf("there is no sale %q", sale)}
	}
	at := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	return admin.Standing{
		Sale: sale, Account: account, IP: ip, Rung: "challenge", Until: &at, Enforce: false, Score: 60,
		Signals: []admin.Signal{{Signal: "strikes", Of: account, Count: 12, Rung: "challenge", Until: &at}, {Signal: "accounts_per_address", Of: "192.0.2.7", Count: 2, Rung: "pass"}},
		Points:  []admin.Points{{Points: 40, Reason: "asked 3 ms after the opening"}, {Points: 20, Reason: "never saw the page"}},
		Bans:    []admin.Ban{{Subject: "192.0.2.0/24", At: at, By: "ann", Why: "a \x1b[2J farm", Signal: "by_hand"}},
	}, nil
}

// newBanCounter is a counter whose API bans with a book of its own.
func newBanCounter(t *testing.T, store shared.Store) (*counter, *shared.Book, *toldStandings) {
	t.Setenv("SUDO_USER", "")
	t.Setenv("USER", "ann")
	c, book, of := &counter{t: t}, shared.NewBook(store, nil, nil), &toldStandings{}
	const token = "a-token-for-tests"
	server := httptest.NewServer(admin.Handler(admin.Options{
		Token: token, Registry: prometheus.NewRegistry(), Bans: &banOffice{book}, Standings: of,
		Changed: logChange(slog.New(slog.NewTextHandler(&c.log, nil))),
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "admin.token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	c.flags = []string{"-admin", server.Listener.Addr().String(), "-token-file", file}
	return c, book, of
}

func TestOperatorsBan(t *testing.T) {
	store := shared.NewMemory()
	c, book, _ := newBanCounter(t, store)
	elsewhere := shared.NewBook(store, nil, nil)
	if _, err := elsewhere.Add(t.Context(), shared.Note{Subject: shared.Subject{Account: "c:elsewhere"}, By: "eve", Why: "x"}); err != nil {
		t.Fatal(err)
	}
	why := []string{"-why", "a test"}
	for _, x := range []struct {
		code int
		text string
		line []string
	}{
		{0, "c:bob is banned until ", []string{"ban", "add", "c:bob", "-for", "24h"}},
		{0, "192.0.2.0/24 is banned for ever", []string{"ban", "add", "-for", "ever", "192.0.2.7/24"}},
		{0, "2001:db8::/64 is banned until ", []string{"ban", "add", "2001:db8::7", "-for", "1h30m"}},
		{0, "c:bob is banned for ever", []string{"ban", "add", "c:bob", "-for", "ever"}}, // in place of the first
		{1, `\"0.0.0.0/0\" cannot be banned`, []string{"ban", "add", "0.0.0.0/0", "-for", "1h"}},
		{1, "not a time like 24h", []string{"ban", "add", "c:eve", "-for", "soon"}},
		{1, "not a time like 24h", []string{"ban", "add", "c:eve", "-for", "-1h"}},
		{0, "2001:db8::/64 is not banned any more", []string{"ban", "remove", "2001:db8::9"}},
		{0, "c:elsewhere is not banned any more", []string{"ban", "remove", "c:elsewhere"}}, // just made at another gateway
		{1, "is not banned by that name", []string{"ban", "remove", "c:nobody"}},
	} {
		c.log.Reset()
		c.want(x.code, strings.ReplaceAll(x.text, `\"`, `"`), append(x.line, why...)...)
		action := map[string]string{"add": "ban", "remove": "unban"}[x.line[1]]
		if log := c.log.String(); !strings.Contains(log, `by=ann why="a test" sale="" action=`+action+" what=") || strings.Contains(log, "failed") != (x.code == 1) {
			t.Errorf("%v is logged as %q", x.line, log)
		}
	}
	if l := book.List(); len(l) != 2 || l[0].By != "ann" || l[0].Why != "a test" || l[0].Signal != rules.ByHand || !l[0].Until.IsZero() {
		t.Errorf("in force are %+v", l)
	}
	if err := elsewhere.Refresh(t.Context()); err != nil || len(elsewhere.List()) != 2 {
		t.Errorf("another gateway has %+v, %v", elsewhere.List(), err)
	}
	c.log.Reset()
	golden(t, "bans", sorted(c.want(0, "", "ban", "list")))
	var all struct{ Bans []admin.Ban }
	if err := json.Unmarshal([]byte(c.want(0, "", "ban", "list", "-json")), &all); err != nil || len(all.Bans) != 2 || all.Bans[0].By != "ann" {
		t.Errorf("list -json = %+v, %v", all, err)
	}
	if c.log.Len() > 0 {
		t.Errorf("looking is logged: %s", c.log.String())
	}
}

func TestOperatorsAskWhy(t *testing.T) {
	c, _, of := newBanCounter(t, shared.NewMemory())
	golden(t, "why", c.want(0, "", "ban", "why", "-sale", "phone", "-account", "c:bob", "-ip", "192.0.2.7"))
	c.want(0, `"count": 12`, "ban", "why", "phone", "-ip", "192.0.2.7", "-json")
	c.want(1, `no sale "cart"`, "ban", "why", "-sale", "cart", "-account", "bob")
	if want := `["phone" "c:bob" "192.0.2.7" "phone" "" "192.0.2.7" "cart" "bob" ""]`; fmt.Sprint(of.asked) != want {
		t.Errorf("asked for %v, want %v", of.asked, want)
	}
	if c.log.Len() > 0 {
		t.Errorf("looking is logged: %s", c.log.String())
	}
}

func TestOperatorsAreToldWhatIsWrongWithABan(t *testing.T) {
	c, book, _ := newBanCounter(t, shared.NewMemory())
	for _, x := range []struct{ text, line string }{
		{"one of its commands", "ban"},
		{"one of its commands", "ban everybody"},
		{"whom to ban or not is missing", "ban add -for 1h -why x"},
		{"whom to ban or not is missing", "ban remove -why x"},
		{"-for is missing", "ban add c:bob -why x"},
		{"-why TEXT, and -by NAME", "ban add c:bob -for 1h"},
		{"-why TEXT, and -by NAME", "ban remove c:bob"},
		{"one word too many", "ban add c:bob c:eve -for 1h -why x"},
		{"one word too many", "ban list c:bob"},
		{"not defined: -for", "ban remove c:bob -for 1h -why x"},
		{"the sale's name is missing", "ban why -account c:bob"},
		{"want -account NAME or -ip ADDRESS", "ban why -sale phone"},
	} {
		c.want(2, x.text, strings.Fields(x.line)...)
	}
	if c.log.Len() > 0 || len(book.List()) > 0 {
		t.Errorf("a wrong line reached the gateway: %s, %v", c.log.String(), book.List())
	}
	if code := command([]string{"ban", "add", "-h"}, new(bytes.Buffer), new(bytes.Buffer)); code != 0 {
		t.Errorf("-h: exit code %d, want 0", code)
	}
}

func TestABanHasAnEndOrSaysThatItHasNone(t *testing.T) {
	now := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	later, before := now.Add(time.Hour), now.Add(-time.Hour)
	for _, x := range []struct {
		c    admin.BanCommand
		want time.Time
		ok   bool
	}{
		{admin.BanCommand{For: "24h"}, now.Add(24 * time.Hour), true},
		{admin.BanCommand{For: "ever"}, time.Time{}, true},
		{admin.BanCommand{Until: &later}, later, true},
		{admin.BanCommand{Until: &before}, time.Time{}, false},
		{admin.BanCommand{Until: &now}, time.Time{}, false},
		{admin.BanCommand{}, time.Time{}, false},
		{admin.BanCommand{For: "1h", Until: &later}, time.Time{}, false},
		{admin.BanCommand{For: "0s"}, time.Time{}, false},
	} {
		got, err := banEnd(x.c, now)
		var p *admin.Problem
		if !got.Equal(x.want) || (err == nil) != x.ok || err != nil && (!errors.As(err, &p) || p.Status != 400) {
			t.Errorf("the end of %+v is %v, %v, want %v", x.c, got, err, x.want)
		}
	}
}

// away is a store that cannot be reached, or has no room.
type away struct {
	shared.Store
	err error
}

func (a away) Put(context.Context, shared.Note) (shared.Note, error) { return shared.Note{}, a.err }

func (a away) Since(context.Context, shared.Rev) (shared.Changes, error) {
	return shared.Changes{}, a.err
}

func TestABanThatNoStoreHasIsNotSaidToBe(t *testing.T) {
	c, book, _ := newBanCounter(t, away{err: errors.New("the store is away")})
	c.want(1, "the store is away", "ban", "add", "c:bob", "-for", "1h", "-why", "x")
	c.want(1, "the store is away", "ban", "remove", "c:bob", "-why", "x")
	if len(book.List()) > 0 || strings.Count(c.log.String(), "failed") != 2 {
		t.Errorf("in force are %v, logged is %s", book.List(), c.log.String())
	}
	c, _, _ = newBanCounter(t, away{err: shared.ErrFull})
	c.want(1, "room for no more", "ban", "add", "c:bob", "-for", "1h", "-why", "x")
}
