package cache

import (
	"strings"
	"testing"
	"time"
)

func TestUnchanged(t *testing.T) {
	const monday, tuesday = "Mon, 23 Nov 2026 08:00:00 GMT", "Tue, 24 Nov 2026 08:00:00 GMT"
	tagged := page200("", "ETag", `"v1"`, "Last-Modified", monday)
	weak := page200("", "etag", `W/"v1"`)
	for _, c := range []struct {
		a           *Answer
		match, when string
		want        bool
	}{
		{tagged, `"v1"`, "", true},
		{tagged, `W/"v1"`, "", true},
		{weak, `"v1"`, "", true},
		{tagged, `"v0", "v1"`, "", true},
		{tagged, `"v0","v1"`, "", true},
		{tagged, `"a,b", "v1"`, "", true},
		{tagged, "*", "", true},
		{tagged, `"v2"`, "", false},
		{tagged, "v1", "", false},
		{tagged, `"v1`, "", false},
		{tagged, `"v2"`, tuesday, false}, // the tag counts, the date does not
		{tagged, "", tuesday, true},
		{tagged, "", monday, true},
		{tagged, "", "Sun, 22 Nov 2026 08:00:00 GMT", false},
		{tagged, "", "yesterday", false},
		{weak, "", tuesday, false},
		{page200(""), `""`, "", false},
		{page200("", "ETag", `"v1"`, "ETag", `"v2"`), `"v1"`, "", false},
		{tagged, "", "", false},
		{answering(404, "", "ETag", `"v1"`), `"v1"`, "", false},
	} {
		if got := c.a.Unchanged(c.match, c.when); got != c.want {
			t.Errorf("%v, asked with %q and %q: %v, want %v", c.a.Header, c.match, c.when, got, c.want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Unix(1000, 0)
	for aged, want := range map[string]int64{"": 1, "5": 6, "x": 1, "-5": 1, "5, 6": 1} {
		a := &Answer{Aged: aged, received: now}
		if got := a.Age(now.Add(1999 * time.Millisecond)); got != want {
			t.Errorf("Age %q, 1.999 s later: %d, want %d", aged, got, want)
		}
	}
	if got := (&Answer{received: now}).Age(now.Add(-time.Hour)); got != 0 {
		t.Errorf("before it came: %d, want 0", got)
	}
}

func TestAnonymous(t *testing.T) {
	ignore := []string{"PHPSESSID", "_ga"}
	for line, want := range map[string]bool{
		"": true, "PHPSESSID=1": true, "PHPSESSID=1; _ga=2": true, "_ga=2;PHPSESSID=1;": true, " ; ;PHPSESSID = 1": true, "PHPSESSID=": true,
		"penstock_visitor=1": true, "penstock_pass=1; PHPSESSID=2": true,
		"customer=7": false, "PHPSESSID=1; customer=7": false, "phpsessid=1": false, "PHPSESSID": false, "=PHPSESSID": false, "=": false,
		"PHPSESSID=1; x": false, "PHPSESSIDx=1": false, "xpenstock_pass=1": false, "__Host-PHPSESSID=1": false, "PHPSESSID\t=1": true,
		`_ga="a; customer=7"`: false,
	} {
		if got := Anonymous(line, ignore, "penstock_"); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

// What the origin is asked, byte for byte: nothing else of a client's may ever be in it.
func TestHead(t *testing.T) {
	target := &Target{Target: []byte("/p/1?a=%2F&b"), Host: []byte("shop.example"), Proto: []byte("https"), ForwardedHost: []byte("www.shop.example"), ID: "0a"}
	client := headers{
		"accept-encoding": "br, gzip", "user-agent": "curl", "accept": "text/html", "accept-language": "de", "cookie": "a=b", "x-evil": "1",
	}
	c, now := open(1<<20), time.Unix(1000, 0)
	f := lead(t, c, ask("k", client), now)
	want := "GET /p/1?a=%2F&b HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Penstock\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n" +
		"X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.shop.example\r\nX-Request-Id: 0a\r\n\r\n"
	if got := string(f.AppendHead(nil, target)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f.Keep(page200("", "Vary", "User-Agent, Accept-Language, Accept, X-None"), now)
	f = lead(t, c, ask("k", client), now)
	target.ForwardedHost = nil
	want = "GET /p/1?a=%2F&b HTTP/1.1\r\nHost: shop.example\r\nAccept-Encoding: gzip\r\naccept: text/html\r\naccept-language: de\r\nuser-agent: curl\r\n" +
		"X-Forwarded-Proto: https\r\nX-Request-Id: 0a\r\n\r\n"
	if got := string(f.AppendHead(nil, target)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDiffers(t *testing.T) {
	one := func(body string, lines ...string) *Answer { return page200(body, lines...) }
	for _, c := range []struct {
		a, b *Answer
		want []string // what each line begins with
	}{
		{one("x", "Date", "1", "ETag", "1"), one("x", "Date", "2", "ETag", "2"), nil},
		{one("x"), answering(404, "x"), []string{"status: 200, then 404"}},
		{one("x", "Content-Language", "de"), one("x"), []string{`content-language: "de", then ""`}},
		{one("token=1a"), one("token=2a"), []string{`body: from byte 6 on: "token=1a", then "token=2a"`}},
		{one("x"), one("xy"), []string{"body: from byte 1 on"}},
		{&Answer{Status: 200, Cookies: []string{"s=12345678"}, Body: []byte("12345678")}, one("12345678"), []string{"answer 1: holds the value of a cookie"}},
	} {
		got := Differs(c.a, c.b)
		if len(got) != len(c.want) {
			t.Errorf("got %q, want %q", got, c.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("got %q, want %q", got[i], c.want[i])
			}
		}
	}
}
