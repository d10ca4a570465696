package cache

import (
	"strings"
	"testing"
	"time"
)

// FuzzJudge: no bytes of an origin make the judge panic, keep longer than the operator
// says, or keep what says plainly that it must not be kept.
func FuzzJudge(f *testing.F) {
	f.Add("max-age=1, s-maxage=\"2\"", "Accept, *", "gzip", "Thu, 01 Jan 1970 00:00:00 GMT", "7", 200)
	f.Add("private=\"a\\\", b\"", "User-Agent", "", "0", "", 503)
	f.Add("no-store", ",", "identity", "", "x", 404)
	f.Add("a=\"no-store", "\"", "br", "", "", 200)
	f.Fuzz(func(t *testing.T, control, vary, coding, expires, age string, status int) {
		a := answering(status, "body", "Cache-Control", control, "Vary", vary, "Expires", expires, "Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		if coding != "" {
			a.Header = append(a.Header, Field{"Content-Encoding", coding})
		}
		a.Aged = age
		j := open(1<<20).judge(&Flight{Rule: twoSeconds}, a)
		if j.result != Stored {
			return
		}
		if j.life <= 0 || j.life > twoSeconds.TTL || j.stale < 0 || j.stale > twoSeconds.Stale {
			t.Fatalf("kept for %v and %v", j.life, j.stale)
		}
		if strings.Contains(vary, "*") {
			t.Fatalf("kept with Vary %q", vary)
		}
		for _, name := range j.names {
			if !isToken(name) || name != strings.ToLower(name) {
				t.Fatalf("varies by %q", name)
			}
		}
		if !strings.Contains(control, `"`) {
			for member := range strings.SplitSeq(strings.ToLower(control), ",") {
				if m := trim(member); m == "no-store" || m == "private" || m == "no-cache" {
					t.Fatalf("kept with Cache-Control %q", control)
				}
			}
		}
	})
}

// FuzzRequest: no bytes of a client make the cache panic or say what it must not, and a
// line of cookies that is taken for nobody's holds no other name.
func FuzzRequest(f *testing.F) {
	f.Add("PHPSESSID=1; penstock_pass=2", "gzip;q=0.5, br", `W/"a", "b"`, "Thu, 01 Jan 1970 00:00:00 GMT", "de")
	f.Add("PHPSESSID; a=b", "gzip;q=", `"`, "0", "")
	f.Add(";;=;", ";q=;,", ",,*", "", "\x00")
	f.Fuzz(func(t *testing.T, cookie, encoding, match, since, language string) {
		if Anonymous(cookie, []string{"PHPSESSID"}, "penstock_") {
			rest := strings.NewReplacer("PHPSESSID", "", "penstock_", "").Replace(cookie)
			if strings.Contains(cookie, "=") && rest == cookie {
				t.Fatalf("%q is nobody's", cookie)
			}
			if !Anonymous(cookie+";", []string{"PHPSESSID"}, "penstock_") || Anonymous(cookie+";a=b", []string{"PHPSESSID"}, "penstock_") {
				t.Fatalf("%q: another piece does not count", cookie)
			}
		}
		if c := coding(encoding); c != gzip && c != identity || c == gzip && !strings.Contains(strings.ToLower(encoding), "gzip") {
			t.Fatalf("%q is %q", encoding, c)
		}
		tagged := page200("", "ETag", `"v"`, "Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")
		if tagged.Unchanged(match, since) && match != "" && !strings.Contains(match, `"v"`) && trim(match) != "*" {
			t.Fatalf("%q has the answer already", match)
		}
		c, now := open(1<<20), time.Unix(1000, 0)
		fill(t, c, ask("k", nil), page200("none", "Vary", "Accept-Language, Accept-Encoding"), now)
		a := ask("k", headers{"accept-language": language, "accept-encoding": encoding})
		if found := c.Get(a, now); found.Lead {
			found.Flight.Keep(page200("mine"), now)
			shows(t, c, a, now, Hit, "mine")
			shows(t, c, ask("k", nil), now, Hit, "none")
		}
	})
}
