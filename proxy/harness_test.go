package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/proxy/gate"
	"penstock/rules"
)

// shop is an origin that records what reaches it, byte by byte.
type shop struct {
	addr string

	mu       sync.Mutex
	requests []string
	answer   func(request string) []byte // nil: 200 with a small body
	arrived  chan string
	close    func() // and takes no connections any more
}

func newShop(t testing.TB) *shop {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{addr: ln.Addr().String(), arrived: make(chan string, 10000)}
	var open sync.Map
	s.close = sync.OnceFunc(func() {
		ln.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	t.Cleanup(s.close)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			go s.serve(c)
		}
	}()
	return s
}

// serve answers each whole request; an answer that is empty closes the connection.
func (s *shop) serve(c net.Conn) {
	defer c.Close()
	var seen bytes.Buffer
	br := bufio.NewReader(io.TeeReader(c, &seen))
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		raw := seen.String()[:seen.Len()-br.Buffered()]
		seen.Next(len(raw))
		s.mu.Lock()
		s.requests = append(s.requests, raw)
		answer := s.answer
		s.mu.Unlock()
		s.arrived <- raw
		out := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if answer != nil {
			out = answer(raw)
		}
		if len(out) == 0 {
			return
		}
		if _, err := c.Write(out); err != nil || bytes.HasSuffix(out, []byte("\r\nCUT")) {
			return
		}
	}
}

func (s *shop) says(f func(string) []byte) { s.mu.Lock(); s.answer = f; s.mu.Unlock() }

func (s *shop) saysRaw(answer string) { s.says(func(string) []byte { return []byte(answer) }) }

func (s *shop) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.requests) }

// probe is a gate that counts, and refuses or panics when told to.
type probe struct {
	mu       sync.Mutex
	admits   int
	releases int
	ends     []gate.End
	facts    gate.Facts
	says     func(context.Context, *gate.Facts) gate.Verdict
	released chan gate.End

	onRelease func()
}

func (g *probe) Admit(ctx context.Context, f *gate.Facts) gate.Verdict {
	g.mu.Lock()
	says := g.says
	g.facts = *keep(f)
	g.mu.Unlock()
	v := gate.Admit
	if says != nil {
		v = says(ctx, f)
	}
	if v.OK() {
		g.mu.Lock()
		g.admits++
		g.mu.Unlock()
	}
	return v
}

func (g *probe) Release(f *gate.Facts, end gate.End) {
	g.mu.Lock()
	g.releases++
	g.ends = append(g.ends, end)
	g.mu.Unlock()
	if g.onRelease != nil {
		g.onRelease()
	}
	if g.released != nil {
		g.released <- end
	}
}

func (g *probe) held() int { g.mu.Lock(); defer g.mu.Unlock(); return g.admits - g.releases }

func refusing(r gate.Reason) func(context.Context, *gate.Facts) gate.Verdict {
	return func(context.Context, *gate.Facts) gate.Verdict { return gate.Verdict{Reason: r, Retry: time.Second} }
}

// rig is a proxy with a probe at every gate, in front of a recording shop.
type rig struct {
	t      testing.TB
	shop   *shop
	set    *rules.Set
	probes [gates]*probe
	proxy  *Proxy
	srv    *Server
	addr   string
	log    *bytes.Buffer
}

func sale() *rules.Sale {
	return &rules.Sale{
		Name:  "phone",
		Match: rules.Match{Methods: []string{"POST"}, Path: "/buy.php"},
		Account: []rules.Source{
			{Kind: rules.FromHeader, Name: "X-Account"},
			{Kind: rules.FromCookie, Name: "customer"},
			{Kind: rules.FromVisitor},
		},
		Stock: &rules.Stock{
			Ledger: "phone", Items: map[string]int{"": 100}, PerAccount: 1,
			Quantity: &rules.Source{Kind: rules.FromForm, Name: "qty"}, ReserveFor: time.Minute, SendingFor: time.Minute,
		},
		SoldWhen: []rules.Answered{{Status: []rules.StatusRange{{From: 200, To: 399}}}},
		FreeWhen: []rules.Answered{{Status: []rules.StatusRange{{From: 400, To: 499}}}},
		Limits: rules.Limits{
			IP: rules.Limit{Enforce: true}, Account: rules.Limit{Enforce: true},
			Body: 4096, BodyTimeout: 5 * time.Second,
		},
		Require: rules.Require{Enforce: true},
		Enforce: true,
	}
}

func ruleSet(origin string, sales ...*rules.Sale) *rules.Set {
	return &rules.Set{
		ClientIPHeader: "X-Forwarded-For",
		Client:         rules.Client{Header: 10 * time.Second, Body: 10 * time.Second, Idle: 30 * time.Second, MaxHeader: 16 << 10, MaxBody: 1 << 20},
		Origin: rules.Origin{
			Network: "tcp", Address: origin, MaxConcurrency: 64, ConnectTimeout: time.Second,
			ResponseTimeout: 5 * time.Second, IdleBodyTimeout: 5 * time.Second,
		},
		Sales: sales,
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// newRig starts it; change may alter the rules first.
func newRig(t testing.TB, change func(*rules.Set)) *rig {
	t.Helper()
	return newChallengedRig(t, nil, change)
}

// newChallengedRig is newRig with one who makes challenges.
func newChallengedRig(t testing.TB, c gate.Challenger, change func(*rules.Set)) *rig {
	t.Helper()
	g := &rig{t: t, shop: newShop(t), log: new(bytes.Buffer)}
	g.set = ruleSet(g.shop.addr, sale())
	if change != nil {
		change(g.set)
	}
	var list [gates]gate.Gate
	for i := range g.probes {
		g.probes[i] = &probe{}
		list[i] = g.probes[i]
	}
	g.proxy = New(Options{
		Gates: Gates{
			Schedule: list[schedule], Ban: list[ban], Ladder: list[ladder], Eligible: list[eligible],
			RateIP: list[rateIP], RateAccount: list[rateAccount],
			InFlightIP: list[inFlightIP], InFlightAccount: list[inFlightAccount], Lease: list[lease],
			SoldOut: list[soldOut], Challenge: list[challenge], Place: list[place], Stock: list[stock],
			Slot: list[slot], Start: list[start],
		},
		Secret: []byte("0123456789abcdef0123456789abcdef"), Log: slog.New(slog.NewJSONHandler(syncWriter(g.log), nil)),
		Registry: prometheus.NewRegistry(), Challenger: c,
	})
	g.proxy.Use(g.set)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	srv := g.proxy.Server(g.set)
	g.srv = srv
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return g
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func syncWriter(w io.Writer) io.Writer { return &lockedWriter{w: w} }

// send writes raw bytes on a connection of its own and reads one answer.
func (g *rig) send(raw string) *answered {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		g.t.Fatal(err)
	}
	return read(g.t, bufio.NewReader(c), strings.HasPrefix(raw, "HEAD "))
}

// answered is one answer as a client sees it.
type answered struct {
	*http.Response
	body string
	err  error // of reading the body
}

func read(t testing.TB, br *bufio.Reader, head bool) *answered {
	t.Helper()
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	resp, err := http.ReadResponse(br, req)
	for err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(br, req)
	}
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	return &answered{resp, string(body), err}
}

func (a *answered) reason() string { return a.Header.Get("Penstock-Reason") }

// settled asserts that every gate was given back what it gave.
func (g *rig) settled() {
	g.t.Helper()
	for i, p := range g.probes {
		if n := p.held(); n != 0 {
			g.t.Errorf("gate %s: %d admits were not released", gateNames[i], n)
		}
	}
}

const buy = "POST /buy.php HTTP/1.1\r\nHost: shop.example\r\nCookie: customer=alice\r\nContent-Length: 5\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nqty=1"
