package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"

	"penstock/proxy/gate"
	"penstock/rules"
)

var varying = regexp.MustCompile(`(X-Request-Id|Penstock-Reservation|Penstock-Deadline): \w+`)

var date = regexp.MustCompile(`Date: [^\r]*\r\n`)

// crlf writes the lines of a head as they stand on the wire.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func TestBytesAtTheShop(t *testing.T) {
	const added = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop\r\nX-Request-Id: …"
	cases := []struct{ name, sent, want string }{
		{"odd target as it is",
			crlf("GET /a/%2e%2e//B;x=1/./c%2Fd?q=%zz&b=+%41;d HTTP/1.1", "Host: shop"),
			crlf("GET /a/%2e%2e//B;x=1/./c%2Fd?q=%zz&b=+%41;d HTTP/1.1", "Host: shop", added)},
		{"empty query kept", crlf("GET /a? HTTP/1.1", "Host: shop"), crlf("GET /a? HTTP/1.1", "Host: shop", added)},
		{"absolute form", crlf("GET http://SHOP:80/a?b HTTP/1.1", "Host: shop:80"),
			crlf("GET /a?b HTTP/1.1", "Host: shop:80", strings.Replace(added, "Host: shop", "Host: shop:80", 1))},
		{"order, case and repeats of headers",
			crlf("GET / HTTP/1.1", "x-B: 1", "Host: shop", "X-a: 2", "x-b: 3", "user-AGENT: me", "Accept: */*", "accept: text/x"),
			crlf("GET / HTTP/1.1", "Host: shop", "x-B: 1", "X-a: 2", "x-b: 3", "user-AGENT: me", "Accept: */*", "accept: text/x", added)},
		{"nothing made up", crlf("GET / HTTP/1.1", "Host: shop"), crlf("GET / HTTP/1.1", "Host: shop", added)},
		{"hop by hop",
			crlf("GET / HTTP/1.1", "Host: shop", "Connection: keep-alive, X-Secret, Host", "X-Secret: 1", "Keep-Alive: 5", "TE: trailers", "Upgrade: h2c", "Proxy-Authorization: x", "Proxy-Connection: y", "Trailer: z"),
			crlf("GET / HTTP/1.1", "Host: shop", added)},
		{"forged addresses and our own names",
			crlf("GET / HTTP/1.1", "Host: shop", "x-forwarded-for: 1.2.3.4", "X_Forwarded_For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Forwarded-Proto: https", "CF-Connecting-IP: 1.2.3.4", "Penstock-Reservation: mine", "penstock_deadline: 1", "X-Account: bob", "X-Request-Id: mine"),
			crlf("GET / HTTP/1.1", "Host: shop", added)},
		{"ugly cookies untouched",
			crlf("GET / HTTP/1.1", "Host: shop", `Cookie: a=1; bad cookie; j={"k": "v;w"}; e=`, "Cookie: z=2;;y"),
			crlf("GET / HTTP/1.1", "Host: shop", `Cookie: a=1; bad cookie; j={"k": "v;w"}; e=`, "Cookie: z=2;;y", added)},
		{"our cookies taken out",
			crlf("GET / HTTP/1.1", "Host: shop", "Cookie: penstock_visitor=x; a=1;b=2; penstock_pass=y", "Cookie: penstock_visitor=z"),
			crlf("GET / HTTP/1.1", "Host: shop", "Cookie: a=1;b=2", added)},
		{"HTTP/1.0", crlf("GET / HTTP/1.0", "Host: shop"), crlf("GET / HTTP/1.1", "Host: shop", added)},
		{"expectation ends here", crlf("POST /x HTTP/1.1", "Host: shop", "Expect: 100-continue", "Content-Length: 0"),
			crlf("POST /x HTTP/1.1", "Host: shop", added, "Content-Length: 0")},
		{"body of known length", crlf("POST /x HTTP/1.1", "Host: shop", "Content-Length: 3") + "abc",
			crlf("POST /x HTTP/1.1", "Host: shop", added, "Content-Length: 3") + "abc"},
		{"chunked body", crlf("POST /x HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked") + "3;x=y\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n",
			crlf("POST /x HTTP/1.1", "Host: shop", added, "Transfer-Encoding: chunked") + "0003\r\nabc\r\n0\r\n\r\n"},
		{"multipart with preamble", crlf("POST /x HTTP/1.1", "Host: shop", "Content-Type: multipart/form-data; boundary=b", "Content-Length: 37") + "preamble\r\n--b\r\nX: y\r\n\r\n1\r\n--b--\r\ntail",
			crlf("POST /x HTTP/1.1", "Host: shop", "Content-Type: multipart/form-data; boundary=b", added, "Content-Length: 37") + "preamble\r\n--b\r\nX: y\r\n\r\n1\r\n--b--\r\ntail"},
		{"a winner's order", buy,
			crlf("POST /buy.php HTTP/1.1", "Host: shop.example", "Cookie: customer=alice", "Content-Type: application/x-www-form-urlencoded",
				strings.Replace(added, "Host: shop", "Host: shop.example", 1), "Content-Length: 5", "Penstock-Reservation: …", "Penstock-Deadline: …") + "qty=1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			if a := g.send(c.sent); a.StatusCode >= 300 {
				t.Fatalf("got %d %s", a.StatusCode, a.body)
			}
			got := varying.ReplaceAllString(<-g.shop.arrived, "$1: …")
			if got != c.want {
				t.Errorf("sent\n%q\nthe shop got\n%q, want\n%q", c.sent, got, c.want)
			}
		})
	}
}

func TestTrustedHopsAreKept(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.TrustedProxies = loopback })
	g.send(crlf("GET / HTTP/1.1", "Host: inner", "X-Forwarded-For: 8.8.8.8, 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example", "X-Account: bob", "X-Request-Id: abc", "X-Forwarded-For: 7.7.7.7"))
	got := <-g.shop.arrived
	want := crlf("GET / HTTP/1.1", "Host: inner", "X-Account: bob", "X-Request-Id: abc",
		"X-Forwarded-For: 8.8.8.8, 9.9.9.9, 7.7.7.7, 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example")
	if got != want {
		t.Errorf("the shop got\n%q, want\n%q", got, want)
	}
	if ip := g.probes[schedule].facts.IP.String(); ip != "7.7.7.7" {
		t.Errorf("the client is %s, want 7.7.7.7", ip)
	}
}

func TestHostileRequestsReachNobody(t *testing.T) {
	cases := []struct {
		name, raw string
		status    int
	}{
		{"CL and TE", crlf("POST /x HTTP/1.1", "Host: shop", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"TE and CL", crlf("POST /x HTTP/1.1", "Host: shop", "tRANSFER-encoding: chunked", "content-LENGTH: 5") + "0\r\n\r\n", 400},
		{"CL twice", crlf("POST /x HTTP/1.1", "Host: shop", "Content-Length: 1", "Content-Length: 1") + "a", 400},
		{"CL with underscore", crlf("POST /x HTTP/1.1", "Host: shop", "Content-Length: 1", "Content_Length: 9") + "a", 400},
		{"TE identity", crlf("POST /x HTTP/1.1", "Host: shop", "Transfer-Encoding: identity"), 400},
		{"TE list", crlf("POST /x HTTP/1.1", "Host: shop", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", 400},
		{"folded line", "GET / HTTP/1.1\r\nHost: shop\r\nX-A: b\r\n c\r\n\r\n", 400},
		{"bare LF", "GET / HTTP/1.1\r\nHost: shop\nX-A: b\r\n\r\n", 400},
		{"space in a name", crlf("GET / HTTP/1.1", "Host: shop", "X A: b"), 400},
		{"space before the colon", crlf("GET / HTTP/1.1", "Host: shop", "X-A : b"), 400},
		{"no Host", crlf("GET / HTTP/1.1"), 400},
		{"two Hosts", crlf("GET / HTTP/1.1", "Host: shop", "Host: evil"), 400},
		{"userinfo", crlf("GET / HTTP/1.1", "Host: bob:pw@shop"), 400},
		{"conflicting hosts", crlf("GET http://evil/p HTTP/1.1", "Host: shop"), 400},
		{"version", crlf("GET / HTTP/1.2", "Host: shop"), 400},
		{"HTTP/2 in the line", crlf("GET / HTTP/2.0", "Host: shop"), 400},
		{"CONNECT", crlf("CONNECT shop:80 HTTP/1.1", "Host: shop:80"), 405},
		{"TRACE", crlf("TRACE / HTTP/1.1", "Host: shop"), 405},
		{"lower-case method", crlf("post /buy.php HTTP/1.1", "Host: shop", "Content-Length: 0"), 405},
		{"target without a path", crlf("GET evil HTTP/1.1", "Host: shop"), 400},
		{"NUL in the path", crlf("GET /a%00.php HTTP/1.1", "Host: shop"), 400},
		{"forbidden trailer", crlf("POST /x HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked") + "0\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n", 400},
		{"fragment", crlf("GET /a#b HTTP/1.1", "Host: shop"), 400},
		{"unknown expectation", crlf("POST /x HTTP/1.1", "Host: shop", "Expect: gifts", "Content-Length: 0"), 400},
		{"too many headers", "GET / HTTP/1.1\r\nHost: shop\r\n" + strings.Repeat("a: b\r\n", 120) + "\r\n", 431},
		{"too large headers", "GET / HTTP/1.1\r\nHost: shop\r\nX: " + strings.Repeat("a", 20000) + "\r\n\r\n", 431},
		{"GET on the sale's path", crlf("GET /buy.php HTTP/1.1", "Host: shop"), 405},
		{"HEAD on the sale's path", crlf("HEAD /buy.php HTTP/1.1", "Host: shop"), 405},
		{"PUT on the sale's path", crlf("PUT /buy.php HTTP/1.1", "Host: shop", "Content-Length: 0"), 405},
		{"merged slashes", crlf("POST //buy.php HTTP/1.1", "Host: shop", "Content-Length: 0"), 400},
		{"escaped path", crlf("POST /%62uy.php HTTP/1.1", "Host: shop", "Content-Length: 0"), 400},
		{"twice escaped", crlf("POST /%2562uy.php HTTP/1.1", "Host: shop", "Content-Length: 0"), 400},
		{"dots", crlf("POST /x/../buy.php HTTP/1.1", "Host: shop", "Content-Length: 0"), 400},
		{"path info", crlf("POST /buy.php/x HTTP/1.1", "Host: shop", "Content-Length: 0"), 400},
		{"path parameter", crlf("POST /buy.php;a=b HTTP/1.1", "Host: shop", "Content-Length: 0"), 400},
		{"origin-form with a scheme in it", crlf("POST //evil.test/buy.php?u=http://x HTTP/1.1", "Host: shop", "Content-Length: 0"), 0},
		{"method override", crlf("POST /buy.php HTTP/1.1", "Host: shop", "X-HTTP-Method-Override: PUT", "Content-Length: 0"), 400},
		{"method override with underscores", crlf("POST /buy.php HTTP/1.1", "Host: shop", "X_HTTP_METHOD_OVERRIDE: PUT", "Content-Length: 0"), 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			a := g.send(c.raw)
			if c.status == 0 { // not the sale's path for anybody: forwarded as it is
				if got := <-g.shop.arrived; !strings.HasPrefix(got, "POST //evil.test/buy.php?u=http://x ") {
					t.Errorf("the shop got %q", got)
				}
				if g.probes[stock].facts.Sale != nil {
					t.Error("it took a unit")
				}
				return
			}
			if a.StatusCode != c.status || a.reason() == "" || a.reason() == "admitted" {
				t.Errorf("got %d %q, want %d with a reason", a.StatusCode, a.reason(), c.status)
			}
			if n := g.shop.count(); n != 0 {
				t.Errorf("the shop got %d requests", n)
			}
			if g.probes[stock].facts.Sale != nil {
				t.Error("it took a unit")
			}
		})
	}
}

func TestNothingSmuggledBehindARefusal(t *testing.T) {
	for _, framing := range []string{"Content-Length: 8300", "Transfer-Encoding: chunked"} {
		g := newRig(t, nil)
		g.probes[schedule].says = refusing(gate.NotOpen)
		inner := strings.Repeat("x", 8192) + crlf("GET /smuggled HTTP/1.1", "Host: shop")
		inner += strings.Repeat("y", 8300-len(inner))
		if strings.HasPrefix(framing, "T") {
			inner = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
		}
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, crlf("POST /buy.php HTTP/1.1", "Host: shop", "Cookie: customer=a", framing)+inner+crlf("GET /next HTTP/1.1", "Host: shop"))
		br := bufio.NewReader(c)
		if a := read(t, br, false); a.reason() != "not_open" {
			t.Errorf("%s: got %q, want not_open", framing, a.reason())
		}
		if strings.HasPrefix(framing, "C") { // short enough to be drained: the connection goes on, in step
			if a := read(t, br, false); a.reason() != "not_open" && a.reason() != "admitted" {
				t.Errorf("%s: the next request got %q", framing, a.reason())
			}
		} else if rest, _ := io.ReadAll(br); len(rest) != 0 {
			t.Errorf("%s: %q came behind the refusal", framing, rest)
		}
		c.Close()
		for range g.shop.count() {
			if got := <-g.shop.arrived; !strings.HasPrefix(got, "GET /next ") {
				t.Errorf("%s: the shop got %q", framing, got)
			}
		}
	}
}

func TestAnswersComeThroughUnchanged(t *testing.T) {
	cases := []struct{ name, request, answer, want string }{
		{"minimal", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200 OK\r\nPenstock-Reason: admitted\r\nContent-Length: 2\r\n\r\nhi"},
		{"names, order, cookies", "GET",
			"HTTP/1.1 200 OK\r\nserver: Apache\r\nx-ODD: 1\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: a=2; Path=/x\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 200 OK\r\nserver: Apache\r\nx-ODD: 1\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: a=2; Path=/x\r\nContent-Type: text/html\r\nPenstock-Reason: admitted\r\nContent-Length: 2\r\n\r\nhi"},
		{"hop by hop and ours", "GET",
			"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nPenstock-Secret: x\r\nSet-Cookie: penstock_pass=stolen\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 200 OK\r\nPenstock-Reason: admitted\r\nContent-Length: 2\r\n\r\nhi"},
		{"HEAD keeps its length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nPenstock-Reason: admitted\r\n\r\n"},
		{"the origin's own date, and what it says twice", "GET",
			"HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 1980 00:00:00 GMT\r\nContent-Encoding: a\r\nContent-Encoding: b\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 1980 00:00:00 GMT\r\nContent-Encoding: a\r\nContent-Encoding: b\r\nPenstock-Reason: admitted\r\nContent-Length: 2\r\n\r\nhi"},
		{"another protocol is wanted", "GET", "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: TLS/1.3\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.3\r\nConnection: Upgrade\r\nPenstock-Reason: admitted\r\nContent-Length: 0\r\n\r\n"},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", "HTTP/1.1 204 No Content\r\nX-A: b\r\nPenstock-Reason: admitted\r\n\r\n"},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nPenstock-Reason: admitted\r\n\r\n"},
		{"the origin closes, the client stays", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200 OK\r\nPenstock-Reason: admitted\r\nContent-Length: 2\r\n\r\nhi"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			g.shop.saysRaw(c.answer)
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for i := range 2 { // the connection stays in step
				fmt.Fprint(conn, crlf(c.request+" / HTTP/1.1", "Host: shop"))
				length := len(c.want)
				if !strings.Contains(c.answer, "Date:") {
					length += len("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n")
				}
				b := make([]byte, length)
				if n, err := io.ReadFull(conn, b); err != nil {
					t.Fatalf("answer %d: got only %q", i, b[:n])
				}
				got := string(b)
				if !strings.Contains(c.answer, "Date:") {
					got = date.ReplaceAllString(got, "")
				}
				if got != c.want {
					t.Errorf("answer %d: got\n%q, want\n%q", i, got, c.want)
				}
			}
		})
	}
}

func TestUnaskedTimeoutIsNeverAnswered(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.Header = 1 })
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("a silent connection was told %q, %v; want nothing", b, err)
	}
}

func TestMethodNotAllowedSaysWhatIs(t *testing.T) {
	g := newRig(t, nil)
	a := g.send(crlf("GET /buy.php HTTP/1.1", "Host: shop"))
	if a.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q, want POST", a.Header.Get("Allow"))
	}
}
