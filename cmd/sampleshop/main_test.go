package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveTo is a shop behind a real socket; stop ends it and what still hangs in it.
func serveTo(t *testing.T, args ...string) (s *shop, client *http.Client, base string) {
	t.Helper()
	s = open(t, args...)
	stop := make(chan struct{})
	s.stop = stop
	srv := httptest.NewServer(s.handler())
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(stop) })
	return s, srv.Client(), srv.URL
}

// post reports whether a whole answer came back.
func post(ctx context.Context, client *http.Client, base string) (body string, err error) {
	r, err := http.NewRequestWithContext(ctx, "POST", base+"/buy.php", strings.NewReader("qty=1"))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func TestHangUpSellsAndBreaksOff(t *testing.T) {
	for at, want := range map[string]string{"head": "", "body": `{"orde`, "chunk": `{"orde`} {
		for _, flow := range []string{"json", "redirect"} {
			s, client, base := serveTo(t, "-service=0", "-hangup-every=2", "-hangup-at="+at, "-flow="+flow)
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if _, err := post(t.Context(), client, base); err != nil {
				t.Errorf("%s, %s: first checkout: %v, want a whole answer", at, flow, err)
			}
			got, err := post(t.Context(), client, base)
			if err == nil || flow == "json" && !strings.HasPrefix(got, want) {
				t.Errorf("%s, %s: second checkout: %q, %v, want %q and an error", at, flow, got, err, want)
			}
			if got := s.list().Count; got != 2 {
				t.Errorf("%s, %s: %d orders, want both", at, flow, got)
			}
		}
	}
}

func TestRefusalsAreAnsweredWhole(t *testing.T) {
	_, client, base := serveTo(t, "-service=0", "-hangup-every=1", "-stock=0")
	if got, err := post(t.Context(), client, base); err != nil || !strings.Contains(got, "sold_out") {
		t.Errorf("sold out: %q, %v, want a whole answer", got, err)
	}
}

func TestBodyCutShortIsNoOrder(t *testing.T) {
	s, _, base := serveTo(t, "-service=0")
	for _, kind := range []string{"application/x-www-form-urlencoded", "application/json"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /buy.php HTTP/1.1\r\nHost: shop\r\nContent-Type: %s\r\nContent-Length: 9\r\n\r\nqty=1", kind)
		conn.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
			t.Errorf("%s: %q, %v, want 400", kind, got, err)
		}
	}
	if got := s.list().Count; got != 0 {
		t.Errorf("%d orders, want none", got)
	}
}

func TestStallNeverAnswersAndSellsNothing(t *testing.T) {
	s, client, base := serveTo(t, "-service=0", "-stall-every=1", "-workers=1", "-control")
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := post(ctx, client, base)
		answered <- err
	}()
	for s.list().Checkouts == 0 { // until it has a worker
		runtime.Gosched()
	}
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("stalled checkout: %v, want only the client's own leaving", err)
	}
	ask(s, "POST", "/-/control?stall=0", "")
	if got, err := post(t.Context(), client, base); err != nil || !strings.Contains(got, `"1"`) { // needs the one worker back
		t.Errorf("next checkout: %q, %v, want the first order", got, err)
	}
}

func TestFullBacklog(t *testing.T) {
	s, client, base := serveTo(t, "-workers=1", "-backlog=0", "-overflow=close")
	s.floor.enter()
	if got, err := post(t.Context(), client, base); err == nil {
		t.Errorf("close: answered %q, want a closed connection", got)
	}
	s, client, base = serveTo(t, "-workers=1", "-backlog=0", "-overflow=hang")
	s.floor.enter()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := post(ctx, client, base)
		answered <- err
	}()
	for s.list().TurnedAway == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("hang: %v, want no answer until the client left", err)
	}
	if got := s.list().Checkouts; got != 0 {
		t.Errorf("%d checkouts, want none", got)
	}
}

func TestClosingEndsWhatHangs(t *testing.T) {
	s := open(t, "-service=0", "-stall-every=2", "-barrier=2")
	stop := make(chan struct{})
	s.stop = stop
	srv := httptest.NewServer(s.handler())
	defer srv.Close()
	answered := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := post(t.Context(), srv.Client(), srv.URL)
			answered <- err
		}()
	}
	for s.list().Checkouts < 2 {
		runtime.Gosched()
	}
	close(stop)
	first, second := <-answered, <-answered
	if (first == nil) == (second == nil) {
		t.Errorf("answers: %v and %v, want the one at the barrier served and the stalled one cut", first, second)
	}
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"-listen=127.0.0.1:0", "-service=0", "-stock=7"}, in, io.Discard)
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	lines.Scan()
	base, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !ok {
		t.Fatalf("first line is %q, want the address", lines.Text())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got, err := post(t.Context(), client, base); err != nil || !strings.Contains(got, `"order":"1"`) {
		t.Errorf("checkout: %q, %v, want an order", got, err)
	}
	cancel()
	lines.Scan()
	if got, want := lines.Text(), "took 1 orders for 1 units of 7"; got != want {
		t.Errorf("last line is %q, want %q", got, want)
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
}

func TestRunRefusesWhatMakesNoSense(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel() // should the flags be taken, serving ends at once
	for arg, want := range map[string]int{
		"-help": 0, "-listen=127.0.0.1:x": 1, "-nonsense": 2, "extra": 2, "-workers=0": 2, "-workers=x": 2, "-backlog=-1": 2,
		"-stock=-1": 2, "-overflow=x": 2, "-flow=x": 2, "-hangup-at=x": 2, "-barrier=21": 2, "-think=-1s": 2, "-decline-every=-1": 2,
	} {
		var said strings.Builder
		if got := run(done, []string{"-listen=127.0.0.1:0", arg}, io.Discard, &said); got != want {
			t.Errorf("%s: exit code %d, want %d", arg, got, want)
		}
		if said.Len() == 0 {
			t.Errorf("%s: said nothing", arg)
		}
	}
}
