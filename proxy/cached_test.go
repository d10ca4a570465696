package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/rules"
)

// keeping gives the rules a route that keeps answers.
func keepingPages(change func(*rules.Cache)) func(*rules.Set) {
	return func(s *rules.Set) {
		c := &rules.Cache{TTL: time.Minute, Stale: time.Minute, IgnoreCookies: []string{"PHPSESSID"}, MaxEntry: 1 << 20}
		if change != nil {
			change(c)
		}
		s.CacheBytes = 16 << 20
		s.Origin.QueueMaxWait = 5 * time.Second
		s.Routes = []*rules.Route{{Name: "product", Match: rules.Match{Path: "/p/**"}, Priority: rules.Browse, Cache: c}}
	}
}

// pageFor answers each request with a page that says what it is.
func pageFor(lines ...string) func(string) []byte {
	return func(request string) []byte {
		first, _, _ := strings.Cut(request, "\r\n")
		return saying("200 OK", "page of "+first, lines...)
	}
}

func saying(status, body string, lines ...string) []byte {
	head := "HTTP/1.1 " + status + "\r\n"
	for _, l := range lines {
		head += l + "\r\n"
	}
	return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

func (g *rig) get(path string, lines ...string) *answered {
	g.t.Helper()
	return g.send(crlf(append([]string{"GET " + path + " HTTP/1.1", "Host: shop.example"}, lines...)...))
}

// how says from where an answer came: hit, stale, miss, or "" for the origin.
func (a *answered) how() string { return a.Header.Get("Penstock-Cache") }

// TestReloadsCostOneRequest: 1,000 reloads over 20 connections, each client with a session
// of its own and pressing reload.
func TestReloadsCostOneRequest(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.shop.says(pageFor("Content-Type: text/html"))
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			c, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for j := range 50 {
				fmt.Fprintf(c, "GET /p/1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: %d\r\nCookie: PHPSESSID=s%d; penstock_visitor=v%d\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\r\n", j, i, i)
				a := read(t, br, false)
				if a.StatusCode != 200 || a.body != "page of GET /p/1 HTTP/1.1" || a.reason() != "admitted" || a.Header.Get("Age") == "" || a.how() == "" {
					t.Errorf("client %d: %d %q %v", i, a.StatusCode, a.body, a.Header)
					return
				}
			}
		})
	}
	clients.Wait()
	if n := g.shop.count(); n != 1 {
		t.Errorf("the shop saw %d requests, want 1", n)
	}
	want := "GET /p/1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Penstock\r\nAccept: */*\r\nAccept-Encoding: identity\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example\r\nX-Request-Id: "
	if got := g.shop.requests[0]; !strings.HasPrefix(got, want) || len(got) != len(want)+32+4 {
		t.Errorf("the shop was asked\n%s", got)
	}
	counts := counted(t, g.proxy.metrics.cached)
	if total(counts) != 1000 || counts["result=miss route=product"] < 1 || counts["result=hit route=product"] < 900 {
		t.Errorf("counted %v", counts)
	}
	if got := counted(t, g.proxy.metrics.fetches)["result=stored route=product"]; got != 1 {
		t.Errorf("%v fetches, want 1", got)
	}
	if got := counted(t, g.proxy.metrics.requests)["reason=admitted route=product sale="]; got != 1000 {
		t.Errorf("%v requests counted, want 1000", got)
	}
	g.settled()
	if n := g.probes[place].admits; n != 1 {
		t.Errorf("%d places were taken, want 1", n)
	}
}

// What is somebody's own, or no plain question for a whole page, passes by.
func TestWhatPassesBy(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		keepingPages(nil)(s)
		s.TrustedProxies = loopback
	})
	g.shop.says(pageFor())
	g.get("/p/1")
	for i, lines := range [][]string{
		{"Cookie: customer=7"}, {"Cookie: PHPSESSID=1; customer=7"}, {"Cookie: PHPSESSID=1", "Cookie: customer=7"}, {"Cookie: x"},
		{"Authorization: Basic eDp5"}, {"Range: bytes=0-1"}, {"If-Range: x"}, {"If-Match: *"}, {"X-Account: alice"},
		{"X-Http-Method-Override: POST"}, {"Content-Length: 1", "", "x"}, {"Connection: Upgrade", "Upgrade: websocket"},
	} {
		before := g.shop.count()
		raw := "GET /p/1 HTTP/1.1\r\nHost: shop.example\r\n" + strings.Join(lines, "\r\n")
		if !slices.Contains(lines, "") {
			raw += "\r\n\r\n"
		}
		if a := g.send(raw); a.how() != "" || a.StatusCode != 200 {
			t.Errorf("%q: %d from %q", lines, a.StatusCode, a.how())
		}
		if n := g.shop.count() - before; n != 1 {
			t.Errorf("%d, %q: the shop saw %d requests, want 1", i, lines, n)
		}
	}
	before := g.shop.count()
	g.send(crlf("POST /p/1 HTTP/1.1", "Host: shop.example", "Content-Length: 0"))
	g.get("/q/1")
	g.get("/q/1")
	if n := g.shop.count() - before; n != 3 {
		t.Errorf("of a POST and two of another path the shop saw %d, want 3", n)
	}
	if a := g.get("/p/1"); a.how() != "hit" {
		t.Errorf("after all that the page is a %q, want a hit", a.how())
	}
}

// Everything that the shop is told stands in the key.
func TestKeyOfAPage(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		keepingPages(nil)(s)
		s.TrustedProxies = loopback
	})
	g.shop.says(func(request string) []byte {
		_, rest, _ := strings.Cut(request, "\r\n")
		rest, _, _ = strings.Cut(rest, "X-Request-Id")
		return saying("200 OK", request[:strings.Index(request, "\r\n")]+rest)
	})
	seen := map[string]bool{}
	asks := []string{
		crlf("GET /p/1 HTTP/1.1", "Host: shop.example"),
		crlf("GET /p/1? HTTP/1.1", "Host: shop.example"),
		crlf("GET /p/1?a=1 HTTP/1.1", "Host: shop.example"),
		crlf("GET /p/1?a=%31 HTTP/1.1", "Host: shop.example"),
		crlf("GET /p/%31 HTTP/1.1", "Host: shop.example"),
		crlf("GET /p//1 HTTP/1.1", "Host: shop.example"),
		crlf("GET /p/1 HTTP/1.1", "Host: Shop.example"),
		crlf("GET /p/1 HTTP/1.1", "Host: shop.example:8080"),
		crlf("GET /p/1 HTTP/1.1", "Host: other.example"),
		crlf("GET /p/1 HTTP/1.1", "Host: shop.example", "X-Forwarded-Proto: https"),
		crlf("GET /p/1 HTTP/1.1", "Host: shop.example", "X-Forwarded-Host: evil.example"),
		crlf("GET /p/1 HTTP/1.1", "Host: shop.example", "X-Requested-With: XMLHttpRequest"),
		crlf("GET /p/1 HTTP/1.0"),
	}
	for _, raw := range asks {
		a := g.send(raw)
		if a.how() != "miss" || seen[a.body] {
			t.Errorf("%q: %q, shown what was made for another: %v", raw, a.how(), seen[a.body])
		}
		seen[a.body] = true
		if again := g.send(raw); again.how() != "hit" || again.body != a.body {
			t.Errorf("%q again: %q %q", raw, again.how(), again.body)
		}
	}
	// What stands in none of it makes no difference, and never reaches the shop.
	for i, line := range []string{
		"X-Forwarded-For: 9.9.9.9", "X-Original-URL: /admin", "X-Forwarded-Port: 1", "Forwarded: host=evil", "X-Evil: 1", "X-Request-Id: evil",
		"User-Agent: <script>", "Accept-Language: de", "Referer: http://evil", "Origin: http://evil", "Accept: evil", "Cookie: PHPSESSID=evil", "X_Forwarded_Host: evil", "X-Requested-With: evil",
	} {
		if a := g.send(crlf("GET /p/1 HTTP/1.1", "Host: shop.example", line)); a.how() != "hit" {
			t.Errorf("%s: %q", line, a.how())
		}
		path := "/p/new-" + fmt.Sprint(i)
		g.get(path, line)
		last := g.shop.requests[g.shop.count()-1]
		if strings.Contains(last, "vil") || strings.Contains(last, "9.9.9.9") || strings.Contains(last, "script") || !strings.HasPrefix(last, "GET "+path) {
			t.Errorf("%s reached the shop:\n%s", line, last)
		}
	}
	for labels := range counted(t, g.proxy.metrics.cached) {
		if !strings.HasSuffix(labels, " route=product") || strings.Count(labels, "=") != 2 {
			t.Errorf("a label that is not the file's: %s", labels)
		}
	}
}

// Ten thousand requests of two users whose pages are their own, each with cookies and
// without a cookie that is not listed: nobody ever sees the other's page or cookie.
func TestPrivatePagesAreNeverMixed(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.shop.says(func(request string) []byte {
		who := "nobody"
		for _, name := range []string{"alice", "bob"} {
			if strings.Contains(request, "PHPSESSID="+name) {
				who = name
			}
		}
		switch {
		case strings.HasPrefix(request, "GET /p/private"):
			return saying("200 OK", "page of "+who, "Cache-Control: private")
		case strings.HasPrefix(request, "GET /p/session"):
			return saying("200 OK", "page of "+who, "Set-Cookie: PHPSESSID="+who)
		}
		return saying("200 OK", "page of "+who, "Cache-Control: no-store, no-cache, must-revalidate", "Pragma: no-cache", "Expires: Thu, 19 Nov 1981 08:52:00 GMT")
	})
	const clients, each = 20, 500
	var wrong atomic.Int32
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			who := []string{"alice", "bob"}[i%2]
			c, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for j := range each {
				path := []string{"/p/private", "/p/session", "/p/php"}[j%3]
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shop.example\r\nCookie: PHPSESSID=%s\r\n\r\n", path, who)
				a := read(t, br, false)
				select { // the shop would wait for somebody to look
				case <-g.shop.arrived:
				default:
				}
				cookie := a.Header.Get("Set-Cookie")
				if a.body != "page of "+who || cookie != "" && cookie != "PHPSESSID="+who || a.how() != "" {
					wrong.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d answers were somebody else's", n, clients*each)
	}
	counts := counted(t, g.proxy.metrics.fetches)
	if counts["result=private route=product"] < 2 || counts["result=cookie route=product"] < 1 || counts["result=stored route=product"] != 0 {
		t.Errorf("fetched %v", counts)
	}
}

// With force cookies are dropped and the page is kept, but one that holds the session.
func TestForce(t *testing.T) {
	g := newRig(t, keepingPages(func(c *rules.Cache) { c.Force = true }))
	g.shop.says(func(request string) []byte {
		body := "a page"
		if strings.HasPrefix(request, "GET /p/links") {
			body = "<a href=/cart?PHPSESSID=0123456789>"
		}
		return saying("200 OK", body, "Cache-Control: no-store", "Set-Cookie: PHPSESSID=0123456789; path=/", "Set-Cookie: penstock_pass=forged")
	})
	for i, want := range []string{"miss", "hit", "hit"} {
		a := g.get("/p/1", "Cookie: PHPSESSID=mine")
		if a.how() != want || a.body != "a page" || len(a.Header["Set-Cookie"]) != 0 {
			t.Errorf("request %d: %q %q with %v, want a %s", i, a.how(), a.body, a.Header["Set-Cookie"], want)
		}
	}
	for range 3 {
		if a := g.get("/p/links"); a.how() != "" || a.Header.Get("Set-Cookie") == "" {
			t.Errorf("a page with a session in it came from the cache: %q", a.how())
		}
	}
}

// A client that does not read gzip, and one that does.
func TestVariesByEncoding(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.shop.says(func(request string) []byte {
		if strings.Contains(request, "Accept-Encoding: gzip\r\n") {
			return saying("200 OK", "packed", "Content-Encoding: gzip", "Vary: Accept-Encoding")
		}
		return saying("200 OK", "plain", "Vary: Accept-Encoding")
	})
	for range 3 {
		for _, c := range []struct{ accept, body string }{{"gzip, deflate, br, zstd", "packed"}, {"br;q=1.0, gzip;q=0.8", "packed"}, {"identity", "plain"}, {"gzip;q=0", "plain"}} {
			if a := g.get("/p/1", "Accept-Encoding: "+c.accept); a.body != c.body {
				t.Errorf("%s is shown %q, want %q", c.accept, a.body, c.body)
			}
		}
	}
	if n := g.shop.count(); n != 2 {
		t.Errorf("the shop saw %d requests, want 2", n)
	}
}

// HEAD, and clients that have the page already.
func TestHeadAndConditions(t *testing.T) {
	g := newRig(t, keepingPages(nil))
	g.shop.says(pageFor(`ETag: "v1"`, "Last-Modified: Mon, 23 Nov 2026 08:00:00 GMT", "Content-Type: text/html", "X-Kept: 1", "Content-Language: de"))
	head := g.send(crlf("HEAD /p/1 HTTP/1.1", "Host: shop.example"))
	if head.StatusCode != 200 || head.ContentLength != 25 || head.how() != "miss" {
		t.Errorf("HEAD: %d, %d bytes, %q", head.StatusCode, head.ContentLength, head.how())
	}
	for _, c := range []struct {
		line   string
		status int
	}{
		{`If-None-Match: "v0", W/"v1"`, 304}, {`If-None-Match: "v2"`, 200}, {"If-Modified-Since: Tue, 24 Nov 2026 08:00:00 GMT", 304},
		{"If-Modified-Since: Sun, 22 Nov 2026 08:00:00 GMT", 200},
	} {
		a := g.get("/p/1", c.line)
		if a.StatusCode != c.status || a.how() != "hit" || a.Header.Get("ETag") != `"v1"` || a.Header.Get("X-Kept") != "1" {
			t.Errorf("%s: %d %v, want %d", c.line, a.StatusCode, a.Header, c.status)
		}
		if describes := a.Header.Get("Content-Type") + a.Header.Get("Content-Language"); (describes == "") != (c.status == 304) {
			t.Errorf("%s: %d describes a body: %q", c.line, a.StatusCode, describes)
		}
		if want := map[int]string{200: "page of GET /p/1 HTTP/1.1"}[c.status]; a.body != want {
			t.Errorf("%s: %q, want %q", c.line, a.body, want)
		}
	}
	if got := g.shop.requests; len(got) != 1 || !strings.HasPrefix(got[0], "GET ") {
		t.Errorf("the shop saw %q", got)
	}
}

// What cannot be told to be whole is not kept, and what is too large streams by.
func TestOnlyWholeAnswersAreKept(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, answer := range map[string]string{
		"until close":     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nCUT",
		"cut":             "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin\r\nCUT",
		"cut chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\nCUT",
		"too large":       "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + long,
		"too many chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + long + "\r\n0\r\n\r\n",
		"a part":          "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok",
		"an event stream": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, keepingPages(func(c *rules.Cache) { c.MaxEntry = 50_000 }))
			g.shop.says(func(string) []byte { return []byte(answer) })
			for range 3 {
				c, err := net.Dial("tcp", g.addr)
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(c, crlf("GET /p/1 HTTP/1.1", "Host: shop.example"))
				a := read(t, bufio.NewReader(c), false)
				c.Close()
				if a.how() != "" {
					t.Errorf("it came from the cache: %q", a.how())
				}
				if strings.HasPrefix(name, "too") && (a.body != long || a.err != nil) {
					t.Errorf("the client got %d bytes and %v", len(a.body), a.err)
				}
			}
			if _, n := g.proxy.current.Load().kept.Stats(); n != 0 {
				t.Errorf("%d answers are kept", n)
			}
			g.settled()
		})
	}
}
