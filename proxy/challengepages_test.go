package proxy

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/pages"
	"penstock/rules"
)

// remote is a provider as an operator's file has it.
func remote() *rules.Remote {
	return &rules.Remote{Script: "https://widgets.example/api.js", Class: "w-box", Field: "w-response", SiteKey: "public", Secret: "hidden", Verify: "https://widgets.example/verify"}
}

// TestGoldenPuzzles: the page and the problem, of each kind of puzzle.
func TestGoldenPuzzles(t *testing.T) {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, z := range map[string]gate.Puzzle{
		"work":    {Level: 1, Parts: 8, Bits: 15, Until: until},
		"captcha": {Level: 2, Parts: 8, Bits: 15, Captcha: true, Until: until},
		"remote":  {Level: 1, Parts: 8, Bits: 15, Remote: remote(), Until: until},
		"typed":   {Level: 1, Captcha: true, Until: until},
	} {
		g, c := challenged(t, nil)
		c.next = z
		for ext, accept := range map[string]string{".json": asJSON, ".html": asHTML} {
			c.asked = map[string]string{}
			a := buys(g, accept, "Cookie: customer=alice", "Referer: http://shop.example/p/1?a=<b>&c")
			if strings.Contains(a.body, "hidden") && ext == ".json" || strings.Contains(a.body, "/verify") {
				t.Errorf("%s%s tells a secret", name, ext)
			}
			for name, want := range map[string]string{"Penstock-Reason": "challenge", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
				if a.Header.Get(name) != want {
					t.Errorf("%s%s: %s is %q", name, ext, name, a.Header.Get(name))
				}
			}
			if got := a.Header.Get("Content-Security-Policy"); (got != "") != (ext == ".html") || ext == ".html" && strings.Contains(got, "strict-dynamic") != (z.Remote != nil) {
				t.Errorf("%s%s: policy %q", name, ext, got)
			}
			path := filepath.Join("testdata", "challenge", name+ext)
			if *update {
				if err := os.WriteFile(path, []byte(a.body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if a.body != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s", path, a.body, want)
			}
		}
	}
}

func TestOperatorsOwnAnswerToAChallenge(t *testing.T) {
	const slots = `<script>go({challenge})</script><input value="{token}"><a href="{back}">`
	for _, k := range []struct {
		name, accept string
		own          rules.Answer
		puzzle       bool
		body         string
	}{
		{"page", asHTML, rules.Answer{Page: []byte("<p>own</p>")}, false, "<p>own</p>"},
		{"page with slots", asHTML, rules.Answer{Page: []byte(slots), Status: 401}, true, `<script>go({"token":"token-0",`},
		{"page, to an app", asJSON, rules.Answer{Page: []byte(slots)}, true, `"challenge":{"token":"token-0"`},
		{"redirect", asHTML, rules.Answer{Redirect: "/check"}, false, ""},
		{"redirect, to an app", asJSON, rules.Answer{Redirect: "/check"}, true, `"challenge":{`},
		{"json", asJSON, rules.Answer{JSON: []byte(`{"own":1}`)}, false, `{"own":1}`},
		{"json, to a person", asHTML, rules.Answer{JSON: []byte(`{"own":1}`)}, true, `id="puzzle"`},
	} {
		g, c := challenged(t, func(s *rules.Set) { s.Answers = map[string]*rules.Answer{"challenge": &k.own} })
		a := buys(g, k.accept, "Cookie: customer=alice")
		if len(c.asked) > 0 != k.puzzle || !strings.Contains(a.body, k.body) || strings.Contains(a.body, "{token}") {
			t.Errorf("%s: %d puzzles and %d %q", k.name, len(c.asked), a.StatusCode, a.body)
		}
		if k.own.Status != 0 && a.StatusCode != k.own.Status || k.own.Redirect != "" && k.accept == asHTML && a.Header.Get("Location") != "/check" {
			t.Errorf("%s: %d, to %q", k.name, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

func TestChallengesNeedASaleThatHasThem(t *testing.T) {
	g, c := challenged(t, func(s *rules.Set) { s.Sales[0].Challenge = nil })
	a := buys(g, "Cookie: customer=alice")
	if a.StatusCode != 403 || strings.Contains(a.body, `"challenge":{`) || len(c.asked) != 0 {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	if a := g.send(crlf("GET "+answerPath+" HTTP/1.1", "Host: shop")); a.StatusCode != 200 || g.shop.count() != 1 {
		t.Errorf("without challenges the path is the shop's: %d, %d requests", a.StatusCode, g.shop.count())
	}
}

func TestPagesToReturnTo(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/p/1?a=b": "/p/1?a=b", "": "/", "p": "/", "//evil.example": "/", `/\evil.example`: "/", "/\t/evil.example": "/",
		"https://evil.example/": "/", "/a b": "/", "/ü": "/", "/" + strings.Repeat("a", maxBack): "/", `/p//x\y`: `/p//x\y`,
	} {
		if got := localPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	for _, k := range []struct{ method, target, referer, want string }{
		{"GET", "/sale?x=1", "http://shop.example/p", "/sale?x=1"},
		{"POST", "/sale", "http://shop.example/p?q=1", "/p?q=1"},
		{"POST", "/sale", "https://shop.example/p", "/p"},
		{"POST", "/sale", "https://shop.example", "/"},
		{"POST", "/sale", "https://shop.example.evil.example/p", "/"},
		{"POST", "/sale", "https://evil.example/p", "/"},
		{"POST", "/sale", "", "/"},
	} {
		r := &request{}
		r.head.method, r.head.target, r.head.hostValue = []byte(k.method), []byte(k.target), []byte("shop.example")
		if k.referer != "" {
			r.head.fields = []field{{name: []byte("Referer"), value: []byte(k.referer)}}
		}
		if got := r.cameFrom(); got != k.want {
			t.Errorf("%+v: %q", k, got)
		}
	}
}

var errDown = errors.New("the store is down")

func TestWhatIsSaidOfAnswers(t *testing.T) {
	g, c := challenged(t, nil)
	for _, k := range []struct {
		err    error
		status int
		name   string
		words  string
	}{
		{gate.ErrWrongAnswer, 403, "wrong", "press the button again"},
		{gate.ErrEarlyAnswer, 503, "early", "in a moment"},
		{gate.ErrLateAnswer, 403, "late", "too late"},
		{gate.ErrSpent, 403, "spent", "answered before"},
		{gate.ErrForeign, 403, "foreign", "Allow cookies"},
		{fmt.Errorf("%w: %w", gate.ErrUnchecked, errDown), 503, "unchecked", "right now"},
		{errDown, 503, "unchecked", "right now"},
		{fmt.Errorf("sale x: %w", gate.ErrSpent), 403, "spent", "answered before"},
	} {
		c.change(func() { c.err = k.err })
		v := url.Values{"token": {"t"}, "text": {"1"}, "back": {"/p/1"}}
		a := reply(g, v, asJSON)
		p := a.asked(t)
		if a.StatusCode != k.status || p.Status != k.status || p.Error != k.name || p.Reason != "challenge" || !strings.Contains(p.Detail, k.words) || a.reason() != "challenge" {
			t.Errorf("%v: got %d %s", k.err, a.StatusCode, a.body)
		}
		if (a.Header.Get("Retry-After") != "") != (k.status == 503) || a.Header.Get("Cache-Control") != "no-store" || a.cookie("penstock_cleared_phone") != "" {
			t.Errorf("%v: headers %v", k.err, a.Header)
		}
		a = reply(g, v, asHTML)
		if a.StatusCode != k.status || !strings.Contains(a.body, k.words) || !strings.Contains(a.body, `href="/p/1"`) || strings.Contains(a.body, "down") {
			t.Errorf("%v: as a page: %d %s", k.err, a.StatusCode, a.body)
		}
	}
	if got := g.shop.count(); got != 0 {
		t.Errorf("%d requests reached the shop", got)
	}
	if log := g.log.String(); strings.Contains(log, "sent again later") || !strings.Contains(log, errDown.Error()) {
		t.Errorf("want trouble in the log, and only that: %s", log)
	}
}

func TestFormsWithoutScripts(t *testing.T) {
	g, c := challenged(t, nil)
	visitor := buys(g, asHTML).cookie(visitorCookie)
	a := reply(g, url.Values{"token": {"token-0"}, "text": {digits}, "back": {"/p/1?x=%2F&y"}}, asHTML, "Cookie: "+visitor)
	to := a.Header.Get("Location")
	if a.StatusCode != 303 || !strings.HasPrefix(to, answerPath+"?sale=phone&back=%2Fp%2F1") || a.body != "" {
		t.Fatalf("got %d to %q", a.StatusCode, to)
	}
	set := a.Header.Get("Set-Cookie")
	for _, part := range []string{"penstock_cleared_phone=proof.", "; Path=/", "; Max-Age=3600", "; HttpOnly", "; SameSite=Lax"} {
		if !strings.Contains(set, part) {
			t.Errorf("cookie %q has no %q", set, part)
		}
	}
	thanks := g.send(crlf("GET "+to+" HTTP/1.1", "Host: shop.example", asHTML, "Cookie: "+visitor+"; "+a.cookie("penstock_cleared_phone")))
	if thanks.StatusCode != 200 || !strings.Contains(thanks.body, "Thank you") || !strings.Contains(thanks.body, `href="/p/1?x=%2F&amp;y"`) {
		t.Errorf("got %d %s", thanks.StatusCode, thanks.body)
	}
	off := g.send(crlf("GET "+to+" HTTP/1.1", "Host: shop.example", asHTML))
	if off.StatusCode != 200 || !strings.Contains(off.body, "Cookies are off") {
		t.Errorf("without cookies: %d %s", off.StatusCode, off.body)
	}
	evil := g.send(crlf("GET "+answerPath+"?back=//evil.example HTTP/1.1", "Host: shop.example", asHTML))
	if strings.Contains(evil.body, "evil") {
		t.Error("the page leads to another shop")
	}
	if c.answers[0].Text != digits {
		t.Errorf("judged %+v", c.answers[0])
	}
}

func TestCookieOfAProofOverTLS(t *testing.T) {
	g, _ := challenged(t, func(s *rules.Set) { s.TrustedProxies = loopback })
	buys(g, "Cookie: customer=alice")
	a := reply(g, url.Values{"token": {"token-0"}, "text": {digits}}, "X-Forwarded-Proto: https")
	if set := a.Header.Get("Set-Cookie"); !strings.Contains(set, "; Secure; SameSite=None") {
		t.Errorf("behind TLS: %q", set)
	}
}

// TestThePageToReturnToIsNoMarkup: it is what a client says, between quotes of ours.
func TestThePageToReturnToIsNoMarkup(t *testing.T) {
	r := &request{}
	r.head.method, r.head.hostValue = []byte("POST"), []byte("shop.example")
	r.head.fields = []field{{name: []byte("Referer"), value: []byte(`https://shop.example/"><script>alert(1)</script>`)}}
	page := string(r.puzzlePage(pages.Challenge("title", true), &gate.Puzzle{Captcha: true}))
	if strings.Contains(page, "alert(1)</script>") || !strings.Contains(page, "/&#34;&gt;&lt;script&gt;alert(1)") {
		t.Error("markup of the client's stands in the page as it came")
	}
}
