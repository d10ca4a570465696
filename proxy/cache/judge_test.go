package cache

import (
	"bytes"
	stdgzip "compress/gzip"
	"testing"
	"time"

	"penstock/rules"
)

// At a ttl of 2 s and a stale of 1 m.
func TestJudge(t *testing.T) {
	const day = "Fri, 27 Nov 2026 20:00:00 GMT"
	for _, c := range []struct {
		lines  []string
		result Result
		life   time.Duration // 0: the ttl
		strict bool          // not shown past it
	}{
		{nil, Stored, 0, false},
		{[]string{"Cache-Control", "public"}, Stored, 0, false},
		{[]string{"Cache-Control", "max-age=3600"}, Stored, 0, false},
		{[]string{"Cache-Control", "max-age=1"}, Stored, time.Second, false},
		{[]string{"Cache-Control", `max-age="1"`}, Stored, time.Second, false},
		{[]string{"Cache-Control", "MAX-AGE=1"}, Stored, time.Second, false},
		{[]string{"Cache-Control", "max-age=1, max-age=3600"}, Stored, time.Second, false},
		{[]string{"Cache-Control", "s-maxage=3600, max-age=0"}, Stored, 0, false},
		{[]string{"Cache-Control", "max-age=3600, s-maxage=1"}, Stored, time.Second, false},
		{[]string{"Cache-Control", "max-age=3600", "cache-control", "s-maxage=1"}, Stored, time.Second, false},
		{[]string{"Cache-Control", "max-age=99999999999999999999999999"}, Stored, 0, false},
		{[]string{"Cache-Control", "max-age=0"}, Expired, 0, false},
		{[]string{"Cache-Control", "s-maxage=0, max-age=3600"}, Expired, 0, false},
		{[]string{"Cache-Control", "max-age=-1"}, Expired, 0, false},
		{[]string{"Cache-Control", "max-age"}, Expired, 0, false},
		{[]string{"Cache-Control", "max-age=1.5"}, Expired, 0, false},
		{[]string{"Cache-Control", "private"}, Private, 0, false},
		{[]string{"Cache-Control", "max-age=3600, Private"}, Private, 0, false},
		{[]string{"Cache-Control", `private="set-cookie"`}, Private, 0, false},
		{[]string{"Cache-Control", `no-cache="a, b", max-age=5`}, Private, 0, false},
		{[]string{"Cache-Control", "max-age=5", "Cache-Control", " no-store "}, Private, 0, false},
		{[]string{"Cache-Control", "no-store=1"}, Private, 0, false},
		{[]string{"Cache-Control", "no-cache"}, Private, 0, false},
		{[]string{"Cache-Control", `ext="no-store"`}, Stored, 0, false},
		{[]string{"Cache-Control", `ext="a\", no-store, b"`}, Stored, 0, false},
		{[]string{"Cache-Control", "no-storex"}, Stored, 0, false},
		{[]string{"Cache-Control", "must-revalidate"}, Stored, 0, true},
		{[]string{"Cache-Control", "max-age=1,proxy-revalidate"}, Stored, time.Second, true},
		{[]string{"Pragma", "no-cache"}, Private, 0, false},
		{[]string{"Pragma", "no-cache", "Cache-Control", "max-age=5"}, Stored, 0, false},
		{[]string{"Expires", "Fri, 27 Nov 2026 20:00:01 GMT", "Date", day}, Stored, time.Second, false},
		{[]string{"Expires", "Fri, 27 Nov 2026 20:00:01 GMT", "Date", day, "Cache-Control", "max-age=5"}, Stored, 0, false},
		{[]string{"Expires", "Friday, 27-Nov-26 20:00:01 GMT", "Date", "Fri Nov 27 20:00:00 2026"}, Stored, time.Second, false},
		{[]string{"Expires", "Thu, 19 Nov 1981 08:52:00 GMT", "Date", day}, Expired, 0, false},
		{[]string{"Expires", "0", "Date", day}, Expired, 0, false},
		{[]string{"Expires", "Fri, 27 Nov 2026 20:00:01 GMT"}, Expired, 0, false},
		{[]string{"Age", "5", "Cache-Control", "max-age=6"}, Stored, time.Second, false},
		{[]string{"Age", "6", "Cache-Control", "max-age=6"}, Expired, 0, false},
		{[]string{"Age", "6"}, Stored, 0, false},
		{[]string{"Set-Cookie", "a=b", "Cache-Control", "public, max-age=5"}, Cookie, 0, false},
		{[]string{"Vary", "*"}, Varies, 0, false},
	} {
		a := page200("")
		for i := 0; i < len(c.lines); i += 2 {
			switch name, value := c.lines[i], c.lines[i+1]; name {
			case "Set-Cookie":
				a.Cookies = append(a.Cookies, value)
			case "Age":
				a.Aged = value
			default:
				a.Header = append(a.Header, Field{name, value})
			}
		}
		j := open(1<<20).judge(&Flight{Rule: twoSeconds}, a)
		if j.result != c.result {
			t.Errorf("%q: %v, want %v", c.lines, j.result, c.result)
			continue
		}
		if c.life == 0 {
			c.life = twoSeconds.TTL
		}
		if j.result == Stored && (j.life != c.life || (j.stale == 0) != c.strict) {
			t.Errorf("%q: for %v and %v, want %v and none: %v", c.lines, j.life, j.stale, c.life, c.strict)
		}
		// With force: true the operator's word is all that counts, but for what nobody
		// could be shown rightly.
		force := *twoSeconds
		force.Force = true
		want := Stored
		if c.result == Varies {
			want = Varies
		}
		if j := open(1<<20).judge(&Flight{Rule: &force}, a); j.result != want || j.life != force.TTL || j.stale != force.Stale {
			t.Errorf("%q forced: %v for %v and %v", c.lines, j.result, j.life, j.stale)
		}
	}
}

func TestJudgeStatus(t *testing.T) {
	for status, want := range map[int]Result{
		200: Stored, 301: Stored, 308: Stored, 404: Stored, 410: Stored, 429: Failed, 500: Failed, 503: Failed, 599: Failed,
		201: Status, 204: Status, 206: Status, 302: Status, 303: Status, 304: Status, 307: Status, 400: Status, 401: Status, 403: Status,
	} {
		for _, force := range []bool{false, true} {
			f := &Flight{Rule: &rules.Cache{TTL: time.Second, MaxEntry: 1000, Force: force}}
			if got := open(1<<20).judge(f, answering(status, "")); got.result != want || got.open != (want == Failed) {
				t.Errorf("%d: %+v, want %v", status, got, want)
			}
		}
	}
	if j := open(1<<20).judge(&Flight{Rule: twoSeconds}, answering(500, "", "Cache-Control", "private")); j.open {
		t.Error("a private page of an error is open to those who wait")
	}
}

func TestTooLarge(t *testing.T) {
	f := &Flight{Rule: &rules.Cache{TTL: time.Second, MaxEntry: 1000}}
	for size, want := range map[int]Result{1000: Stored, 1001: TooLarge} {
		if got := open(1<<20).judge(f, page200(string(make([]byte, size)))); got.result != want {
			t.Errorf("%d bytes: %v, want %v", size, got.result, want)
		}
	}
}

// With force a page that holds the session it was made for would be everybody's session.
func TestForcedPageWithASessionInIt(t *testing.T) {
	force := *twoSeconds
	force.Force = true
	pack := func(s string) string {
		var b bytes.Buffer
		w := stdgzip.NewWriter(&b)
		w.Write([]byte(s))
		w.Close()
		return b.String()
	}
	for _, c := range []struct {
		cookie string
		answer *Answer
		want   Result
	}{
		{"PHPSESSID=abcdef123456; path=/", page200("<a href=/cart>"), Stored},
		{"PHPSESSID=abcdef123456; path=/", page200("<a href=/cart?PHPSESSID=abcdef123456>"), Cookie},
		{"PHPSESSID=abcdef123456; path=/", answering(301, "", "Location", "/p?PHPSESSID=abcdef123456"), Cookie},
		{`s="abcdef123456"`, page200("abcdef123456"), Cookie},
		{"s=abc%2Bdef%2F12", page200("value=abc+def/12"), Cookie},
		{"lang=en; path=/", page200("<html lang=en>"), Stored},
		{"PHPSESSID=abcdef123456", page200(pack("x abcdef123456 y"), "Content-Encoding", "gzip"), Cookie},
		{"PHPSESSID=abcdef123456", page200(pack("x"), "Content-Encoding", "gzip"), Stored},
		{"PHPSESSID=abcdef123456", page200("no gzip", "Content-Encoding", "gzip"), Cookie},
	} {
		c.answer.Cookies = []string{"other=12345678", c.cookie}
		if got := open(1<<20).judge(&Flight{Rule: &force}, c.answer).result; got != c.want {
			t.Errorf("%s with %q: %v, want %v", c.cookie, c.answer.Body, got, c.want)
		}
	}
}

func TestResultsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Results() {
		if seen[r.String()] || r.String() == "" {
			t.Errorf("result %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
}
