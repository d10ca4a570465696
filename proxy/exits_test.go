package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// dial opens a connection to the rig that the test may close when it likes.
func (g *rig) dial() *net.TCPConn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func TestHalfClosedClientIsNeverToldThatItsOrderWorked(t *testing.T) {
	g := newRig(t, nil)
	asked, leave := make(chan struct{}), make(chan struct{})
	g.probes[slot].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
		if f.Sale != nil {
			close(asked)
			<-leave
		}
		return gate.Admit
	}
	c := g.dial()
	fmt.Fprint(c, buy)
	<-asked
	c.CloseWrite()
	waitGone(t, g)
	close(leave)
	if out, err := io.ReadAll(c); len(out) != 0 || err != nil {
		t.Errorf("the order was dropped and the client was told %q, %v; want nothing", out, err)
	}
	if n := g.shop.count(); n != 1 {
		t.Errorf("the shop got %d requests, want only the other client's", n)
	}
	g.settled()
}

func TestPanicWhileGivingBackLeavesTheRestGivenBack(t *testing.T) {
	for i := range gates {
		g := newRig(t, nil)
		g.probes[i].released = nil
		broken := &panicky{probe: g.probes[i]}
		g.proxy.gates[i] = broken
		if a := g.send(buy); a.StatusCode != 200 {
			t.Errorf("gate %s: got %d, want 200", gateNames[i], a.StatusCode)
		}
		if a := g.send(crlf("GET /stream HTTP/1.1", "Host: shop")); a.StatusCode != 200 {
			t.Errorf("gate %s, another request: got %d, want 200", gateNames[i], a.StatusCode)
		}
		g.settled()
	}
}

// panicky is a gate that gives back, and then panics.
type panicky struct{ *probe }

func (g *panicky) Release(f *gate.Facts, end gate.End) {
	g.probe.Release(f, end)
	panic("boom")
}

func TestOldClientsAreNotSentChunks(t *testing.T) {
	g := newRig(t, nil)
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
	c := g.dial()
	fmt.Fprint(c, crlf("GET /p HTTP/1.0", "Host: shop", "Connection: keep-alive"))
	raw, err := io.ReadAll(c)
	if err != nil || strings.Contains(string(raw), "hunked") || !strings.HasSuffix(string(raw), "\r\n\r\nhello world") {
		t.Errorf("a client of HTTP/1.0 got %q, %v; want the plain body and the end of the connection", raw, err)
	}
}

func TestOldClientsSeeACutAnswerAsCut(t *testing.T) {
	g := newRig(t, nil)
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\nCUT")
	for _, behind := range []string{"", "\r\n"} {
		c := g.dial()
		fmt.Fprint(c, crlf("GET /p HTTP/1.0", "Host: shop")+behind)
		if raw, err := io.ReadAll(c); err == nil {
			t.Errorf("with %q behind the request: got %q as if it were whole, want a reset", behind, raw)
		}
	}
	g.settled()
	if end := g.probes[slot].ends[0]; end.Kind != gate.Unknown {
		t.Errorf("the slot was told %+v, want unknown: a broken answer teaches nothing", end)
	}
}

func TestBodyCutByTheClientIsTheClientsFault(t *testing.T) {
	for name, raw := range map[string]string{
		"small": crlf("PUT /f HTTP/1.1", "Host: shop", "Content-Length: 100") + "half",
		"large": crlf("PUT /f HTTP/1.1", "Host: shop", "Content-Length: 300000") + strings.Repeat("x", 200000),
	} {
		g := newRig(t, nil)
		started := make(chan struct{})
		g.probes[start].says = func(context.Context, *gate.Facts) gate.Verdict { close(started); return gate.Admit }
		c := g.dial()
		fmt.Fprint(c, raw)
		if name == "large" {
			<-started // nobody looks any more whether the client is there
		}
		c.CloseWrite()
		a := read(t, bufio.NewReader(c), false)
		if a.reason() != "bad_request" {
			t.Errorf("%s: got %q, want bad_request", name, a.reason())
		}
		if n := g.shop.count(); n != 0 {
			t.Errorf("%s: the shop got a whole request", name)
		}
		switch ends := g.probes[slot].ends; {
		case name == "small" && len(ends) != 0:
			t.Errorf("%s: it stood in line for the origin", name)
		case name == "large" && (len(ends) != 1 || ends[0].Kind != gate.Refused):
			t.Errorf("%s: the slot was told %+v, want refused", name, ends)
		}
	}
}

func TestGetWithABodyStaysInStep(t *testing.T) {
	g := newRig(t, nil)
	c := g.dial()
	body := "GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
	fmt.Fprint(c, crlf("GET /one HTTP/1.1", "Host: shop", fmt.Sprintf("Content-Length: %d", len(body)))+body+crlf("GET /two HTTP/1.1", "Host: shop"))
	br := bufio.NewReader(c)
	read(t, br, false)
	read(t, br, false)
	if one, two := <-g.shop.arrived, <-g.shop.arrived; !strings.HasPrefix(one, "GET /one ") || !strings.HasSuffix(one, body) || !strings.HasPrefix(two, "GET /two ") {
		t.Errorf("the shop got %q and %q", one, two)
	}
}

func TestRefusalKeepsTheConnectionInStep(t *testing.T) {
	g := newRig(t, nil)
	g.probes[schedule].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
		if f.Sale != nil {
			return gate.Verdict{Reason: gate.SoldOut}
		}
		return gate.Admit
	}
	c := g.dial()
	br := bufio.NewReader(c)
	for i := range 5 {
		fmt.Fprint(c, buy)
		if a := read(t, br, false); a.reason() != "sold_out" || a.Close {
			t.Fatalf("refusal %d: got %q, close %v; want sold_out on a connection that stays", i, a.reason(), a.Close)
		}
	}
	fmt.Fprint(c, crlf("GET /p HTTP/1.1", "Host: shop"))
	if a := read(t, br, false); a.reason() != "admitted" || a.body != "ok" {
		t.Errorf("after refusals: got %q %q, want the shop's answer", a.reason(), a.body)
	}
}

func TestIdleConnectionEndsInSilence(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.Idle = 20 * time.Millisecond })
	c := g.dial()
	br := bufio.NewReader(c)
	fmt.Fprint(c, crlf("GET /p HTTP/1.1", "Host: shop"))
	if a := read(t, br, false); a.StatusCode != 200 {
		t.Fatalf("got %d", a.StatusCode)
	}
	if rest, err := io.ReadAll(br); len(rest) != 0 || err != nil {
		t.Errorf("an idle connection was told %q, %v; want nothing", rest, err)
	}
}

func TestLateWaitIsOneRequestInTheCounts(t *testing.T) {
	g, l := watchedRig(t, func(s *rules.Set) { s.Origin.ResponseTimeout = 20 * time.Millisecond })
	finish := make(chan struct{})
	g.probes[stock].released = make(chan gate.End, 1)
	g.shop.says(func(string) []byte {
		<-finish
		return []byte("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
	})
	g.proxy.current.Load().set.Origin.ResponseTimeout = time.Minute
	if a := g.send(buy); a.reason() != "origin_timeout" {
		t.Fatalf("got %q, want origin_timeout", a.reason())
	}
	close(finish)
	end := <-g.probes[stock].released
	g.proxy.late.Wait()
	if end.Took < 20*time.Millisecond {
		t.Errorf("the late answer took %v, want at least the 20ms that were waited for it before", end.Took)
	}
	counts := counted(t, g.proxy.metrics.requests)
	if n := counts["reason=origin_timeout route= sale=phone"]; n != 1 || total(counts) != 1 {
		t.Errorf("counted %v, want one origin_timeout", counts)
	}
	l.want(t, "a late wait", "c:alice 0 phone origin_timeout would=unset won=false")
	if !strings.Contains(g.log.String(), `"answer":"origin_timeout"`) {
		t.Errorf("the winner's line does not say what the client was told: %s", g.log.String())
	}
}

func TestClientThatLeavesAStreamSettlesIt(t *testing.T) {
	g := newRig(t, nil)
	g.probes[slot].released = make(chan gate.End, 1)
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + strings.Repeat("x", 1<<20))
	c := g.dial()
	fmt.Fprint(c, crlf("GET /p HTTP/1.1", "Host: shop"))
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	c.SetLinger(0)
	c.Close()
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	<-g.probes[slot].released
}

func TestPatienceWithOneBodyDoesNotEndTheConnection(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.Body = 30 * time.Millisecond })
	c := g.dial()
	br := bufio.NewReader(c)
	fmt.Fprint(c, crlf("PUT /f HTTP/1.1", "Host: shop", "Content-Length: 4")+"body")
	if a := read(t, br, false); a.StatusCode != 200 {
		t.Fatalf("got %d", a.StatusCode)
	}
	began := time.Now()
	for n := 2; n < maxRequests && time.Since(began) < 90*time.Millisecond; n++ {
		fmt.Fprint(c, crlf("GET /p HTTP/1.1", "Host: shop"))
		if a := read(t, br, false); a.StatusCode != 200 {
			t.Fatalf("got %d", a.StatusCode)
		}
	}
}

func TestUploadBeyondTheLimitIsCutOff(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.MaxBody = 100_000 })
	body := strings.Repeat("x", 60_000)
	a := g.send(crlf("PUT /f HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body, len(body), body))
	if a.reason() != "body_too_large" || !a.Close {
		t.Errorf("got %q, close %v; want body_too_large on a connection that closes", a.reason(), a.Close)
	}
	if n := g.shop.count(); n != 0 {
		t.Errorf("the shop got it as a whole request")
	}
	g.settled()
}

func TestHeadAnswersSayNothingTheOriginDidNot(t *testing.T) {
	for name, answer := range map[string]string{
		"no length": "HTTP/1.1 200 OK\r\nX-A: b\r\nConnection: close\r\n\r\n",
		"chunked":   "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		g := newRig(t, nil)
		g.shop.saysRaw(answer)
		a := g.send(crlf("HEAD /p HTTP/1.1", "Host: shop"))
		if a.StatusCode != 200 || a.Header.Get("X-A") != "b" || a.Header.Get("Content-Length") != "" {
			t.Errorf("%s: got %d %v; want no length", name, a.StatusCode, a.Header)
		}
	}
}

func TestHeadThatDripsIsToldSo(t *testing.T) {
	g := newRig(t, func(s *rules.Set) { s.Client.Header = time.Second })
	a := g.send("GET / HTTP/1.1\r\nHost: sh")
	if a.StatusCode != 408 || a.reason() != "body_timeout" || !a.Close {
		t.Errorf("got %d %q, close %v; want 408 body_timeout and a closed connection", a.StatusCode, a.reason(), a.Close)
	}
}

func TestOnlyWinnersCarryAReservation(t *testing.T) {
	for name, change := range map[string]func(*rules.Set){
		"no stock":     func(s *rules.Set) { s.Sales[0].Stock = nil },
		"another item": func(s *rules.Set) { s.Sales[0].Stock.Items = map[string]int{"red": 1} },
	} {
		g := newRig(t, change)
		g.send(buy)
		if got := <-g.shop.arrived; strings.Contains(got, "Penstock-") {
			t.Errorf("%s: the shop got %q, want no reservation", name, got)
		}
	}
}
