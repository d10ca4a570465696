package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

func TestImagesAndSounds(t *testing.T) {
	g, _ := challenged(t, nil)
	p := buys(g, "Cookie: customer=alice").asked(t)
	for path, want := range map[string]struct{ kind, body string }{
		p.Challenge.Captcha.Image: {"image/png", "\x89PNG"}, p.Challenge.Captcha.Sound: {"audio/wav", "RIFFtoken-0"},
	} {
		a := g.send(crlf("GET "+path+" HTTP/1.1", "Host: shop.example"))
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != want.kind || !strings.HasPrefix(a.body, want.body) ||
			a.Header.Get("Cache-Control") != "no-store" || a.reason() != "challenge" {
			t.Errorf("%s: %d %v %.20q", path, a.StatusCode, a.Header, a.body)
		}
	}
	if a := g.send(crlf("GET "+imagePath+"?token=other HTTP/1.1", "Host: shop.example")); a.StatusCode != 403 || a.asked(t).Error != "foreign" {
		t.Errorf("of a token that is not ours: %d %s", a.StatusCode, a.body)
	}
	for event, want := range map[int]float64{puzzlesShown: 1, imagesShown: 1, soundsPlayed: 1, answeredForeign: 1, answeredRight: 0} {
		if got := total(counted(t, g.proxy.challenges.events[event])); got != want {
			t.Errorf("%s is counted %v times, want %v", challengeEventNames[event], got, want)
		}
	}

}

// TestOwnAddresses: whatever is asked below our prefix, the shop hears nothing of it.
func TestOwnAddresses(t *testing.T) {
	g, c := challenged(t, nil)
	for _, k := range []struct {
		name, raw string
		status    int
		allow     string
	}{
		{"nothing", crlf("GET /.penstock/x HTTP/1.1", "Host: shop"), 404, ""},
		{"the prefix", crlf("GET /.penstock/ HTTP/1.1", "Host: shop"), 404, ""},
		{"in another form", crlf("GET /%2epenstock/challenge HTTP/1.1", "Host: shop"), 404, ""},
		{"through another", crlf("GET /a/../.penstock/challenge HTTP/1.1", "Host: shop"), 404, ""},
		{"with a slash", crlf("GET "+answerPath+"/ HTTP/1.1", "Host: shop"), 404, ""},
		{"method of an answer", crlf("DELETE "+answerPath+" HTTP/1.1", "Host: shop"), 405, "GET, HEAD, POST"},
		{"method of an image", crlf("POST "+imagePath+" HTTP/1.1", "Host: shop", "Content-Length: 0"), 405, "GET"},
		{"no preflight", crlf("OPTIONS "+answerPath+" HTTP/1.1", "Host: shop"), 405, "GET, HEAD, POST"},
		{"no token of an image", crlf("GET "+imagePath+" HTTP/1.1", "Host: shop"), 400, ""},
		{"two tokens of a sound", crlf("GET "+soundPath+"?token=a&token=b HTTP/1.1", "Host: shop"), 400, ""},
		{"asked without a body", crlf("HEAD "+answerPath+" HTTP/1.1", "Host: shop"), 200, ""},
	} {
		a := g.send(k.raw)
		if a.StatusCode != k.status || a.Header.Get("Allow") != k.allow || a.Header.Get("Cache-Control") != "no-store" || a.reason() == "" {
			t.Errorf("%s: got %d %v", k.name, a.StatusCode, a.Header)
		}
	}
	if len(c.answers) != 0 || g.shop.count() != 0 {
		t.Errorf("%d answers were judged, %d requests forwarded", len(c.answers), g.shop.count())
	}
}

// TestHostileAnswers: none of them comes as far as the one who judges.
func TestHostileAnswers(t *testing.T) {
	g, c := challenged(t, nil)
	big := strings.Repeat("a", maxAnswer)
	for _, k := range []struct {
		name, path, kind, body string
		status                 int
	}{
		{"no body", answerPath, form, "", 400},
		{"no token", answerPath, form, "text=1", 400},
		{"two tokens", answerPath, form, "token=a&token=b", 400},
		{"a list", answerPath, form, "token[]=a", 400},
		{"a token in the query", answerPath + "?token=a", form, "text=1", 400},
		{"in both", answerPath + "?token=a", form, "token=a", 400},
		{"two texts", answerPath, form, "token=a&text=1&text=2", 400},
		{"no type", answerPath, "", "token=a", 400},
		{"plain text", answerPath, "text/plain", "token=a", 400},
		{"broken JSON", answerPath, "application/json", `{"token":`, 400},
		{"JSON that is no object", answerPath, "application/json", `["token"]`, 400},
		{"JSON with a list", answerPath, "application/json", `{"token":["a"]}`, 400},
		{"JSON twice", answerPath, "application/json", `{"token":"a","token":"b"}`, 400},
		{"too large", answerPath, form, "token=a&text=" + big, 413},
	} {
		a := post(g, k.path, k.kind, k.body)
		if a.StatusCode != k.status {
			t.Errorf("%s: got %d %s", k.name, a.StatusCode, a.body)
		}
	}
	chunks := "POST " + answerPath + " HTTP/1.1\r\nHost: shop\r\nContent-Type: " + form + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	if a := g.send(chunks + fmt.Sprintf("%x\r\n%s\r\n", 2*len(big), big+big) + "0\r\n\r\n"); a.StatusCode != 413 {
		t.Errorf("too large in chunks: got %d %s", a.StatusCode, a.body)
	}
	if len(c.answers) != 0 || g.shop.count() != 0 {
		t.Errorf("%d answers were judged, %d requests forwarded", len(c.answers), g.shop.count())
	}
	if a := g.send(chunks + "7\r\ntoken=a\r\n0\r\n\r\n"); a.StatusCode != 403 || len(c.answers) != 1 {
		t.Errorf("in chunks: got %d %s", a.StatusCode, a.body)
	}
}

// TestAnswersOfWidgets: a form that an operator has written has the provider's own name.
func TestAnswersOfWidgets(t *testing.T) {
	g, c := challenged(t, func(s *rules.Set) { s.Sales[0].Challenge.Remote = remote() })
	for i, v := range []url.Values{{"token": {"t"}, "w-response": {"w"}}, {"token": {"t"}, "remote": {"w"}, "w-response": {"x"}}} {
		reply(g, v)
		if got := c.answers[i].Remote; got != "w" {
			t.Errorf("%v: the widget said %q", v, got)
		}
	}
}

// TestDrawingIsBounded: who asks for more than half of the machine waits, and then is told.
func TestDrawingIsBounded(t *testing.T) {
	g, c := challenged(t, nil)
	buys(g, "Cookie: customer=alice")
	block := make(chan struct{})
	c.change(func() { c.block = block })
	done := make(chan *answered)
	n := drawnAtOnce()
	for range n + 1 {
		go func() { done <- g.send(crlf("GET "+imagePath+"?token=token-0 HTTP/1.1", "Host: shop.example")) }()
	}
	a := <-done // the one that found no place
	if a.StatusCode != 503 || a.reason() != "overloaded" || a.Header.Get("Retry-After") == "" || a.asked(t).Error != "busy" {
		t.Errorf("got %d %v %s", a.StatusCode, a.Header, a.body)
	}
	close(block)
	for range n {
		if a := <-done; a.StatusCode != 200 {
			t.Errorf("got %d %s", a.StatusCode, a.body)
		}
	}
	if len(g.proxy.challenges.drawing.all) != 0 || len(g.proxy.challenges.drawing.inside) != 0 {
		t.Error("somebody has not left")
	}
}

func TestTurnstileLetsFewWait(t *testing.T) {
	s := newTurnstile(1)
	if !s.enter(0) {
		t.Fatal("nobody is let in")
	}
	for range cap(s.all) - 1 {
		s.all <- struct{}{}
	}
	if s.enter(time.Hour) {
		t.Fatal("too many wait")
	}
	for range cap(s.all) - 1 {
		<-s.all
	}
	if s.enter(0) {
		t.Fatal("two are inside")
	}
	s.leave()
	if !s.enter(0) {
		t.Fatal("nobody is let in after one has left")
	}
}

func TestAnswersFromOtherOrigins(t *testing.T) {
	g, _ := challenged(t, func(s *rules.Set) { s.Sales[0].Origins = []string{page} })
	for origin, want := range map[string]string{page: page, "https://evil.example": ""} {
		pre := g.send(crlf("OPTIONS "+answerPath+" HTTP/1.1", "Host: shop.example", "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"))
		a := reply(g, url.Values{"token": {"t"}, "text": {"1"}}, "Origin: "+origin)
		for _, a := range []*answered{pre, a} {
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s, %d: allows %q", origin, a.StatusCode, got)
			}
			if len(a.Header.Values("Access-Control-Allow-Origin")) > 1 || !strings.Contains(a.Header.Get("Vary"), "Origin") {
				t.Errorf("%s: %v", origin, a.Header)
			}
		}
		if pre.StatusCode != 204 || pre.reason() != "preflight" {
			t.Errorf("%s: preflight %d %s", origin, pre.StatusCode, pre.reason())
		}
	}
}

func TestAnswersOverOneConnection(t *testing.T) {
	g, _ := challenged(t, nil)
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for i := range 20 {
		body := "token=t&text=" + strconv.Itoa(i)
		if _, err := io.WriteString(c, crlf("POST "+answerPath+" HTTP/1.1", "Host: shop.example", "Content-Type: "+form, "Content-Length: "+strconv.Itoa(len(body)))+body); err != nil {
			t.Fatal(err)
		}
		if a := read(t, br, false); a.StatusCode != 403 || a.Close {
			t.Fatalf("%d: got %d, closed: %v", i, a.StatusCode, a.Close)
		}
	}
}

func TestAnswersWhileLeaving(t *testing.T) {
	g, c := challenged(t, nil)
	g.proxy.leaving.Store(true)
	if a := reply(g, url.Values{"token": {"t"}}); a.StatusCode != 503 || a.reason() != "draining" || len(c.answers) != 0 {
		t.Errorf("got %d %s", a.StatusCode, a.reason())
	}
}

// FuzzAnswers: no body makes an answer with anything that was not given once, nor a panic.
func FuzzAnswers(f *testing.F) {
	f.Add(form, []byte("token=a&work=1,2&text=3&remote=4"), "")
	f.Add("application/json", []byte(`{"token":"a","work":"1"}`), "back=/")
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\na\r\n--b--\r\n"), "")
	s := sale()
	s.Challenge = &rules.Challenge{Remote: remote()}
	p := &Proxy{passes: newPasses(make(secret, 32))}
	u := &ruled{set: ruleSet("127.0.0.1:1", s)}
	f.Fuzz(func(t *testing.T, kind string, body []byte, query string) {
		r := &request{ruled: u}
		r.params.query = []byte(query)
		r.params.setBody([]byte(kind), body)
		a, fault := p.readAnswer(r)
		if fault != "" {
			return
		}
		if a.Token == "" || r.params.find(rules.FromForm, "token").n != 1 || a.Device != "" {
			t.Errorf("%q %q %q: %+v", kind, body, query, a)
		}
		if len(a.Token)+len(a.Work)+len(a.Text)+len(a.Remote) > len(body)*3 {
			t.Errorf("the answer is longer than its body: %+v", a)
		}
	})
}

// FuzzProofs: a proof that is found stands in the cookies under its sale's name.
func FuzzProofs(f *testing.F) {
	f.Add([]byte("a=b; penstock_cleared_phone=x; c=d"))
	f.Add([]byte("penstock_cleared_phone=;penstock_cleared_phone==;;"))
	f.Fuzz(func(t *testing.T, cookies []byte) {
		clearedIn(cookies, "phone", func(proof []byte) bool {
			if len(proof) == 0 || !strings.Contains(string(cookies), clearedCookie+"phone=") || strings.Contains(string(proof), ";") {
				t.Errorf("%q in %q", proof, cookies)
			}
			return false
		})
	})
}

// BenchmarkShowCleared: what a request of a sale with challenges pays for having no proof,
// or one; the Challenger's part is not in it.
func BenchmarkShowCleared(b *testing.B) {
	s := secret("0123456789abcdef0123456789abcdef")
	id, visitor := s.newVisitor()
	sale := sale()
	sale.Challenge = &rules.Challenge{}
	for name, cookie := range map[string]string{
		"none": "customer=alice; other=0123456789; " + visitorCookie + "=" + visitor,
		"one":  "customer=alice; " + visitorCookie + "=" + visitor + "; " + clearedCookie + "phone=proof." + id,
	} {
		b.Run(name, func(b *testing.B) {
			p := &Proxy{secret: s, passes: newPasses(s), challenges: &challenges{Challenger: believer{}}}
			r := &request{}
			r.facts.Sale = sale
			r.head.fields = []field{{name: []byte("Host"), known: hHost}, {name: []byte("Cookie"), value: []byte(cookie), known: hCookie}}
			b.ReportAllocs()
			for b.Loop() {
				p.showCleared(r)
			}
		})
	}
}

// believer takes every proof for good, at once.
type believer struct{ gate.Challenger }

func (believer) Cleared(string, *gate.Facts, string) gate.Clearance {
	return gate.Clearance{At: time.Unix(1, 0)}
}
