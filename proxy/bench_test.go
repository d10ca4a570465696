package proxy

import (
	"bufio"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"penstock/limiter/inflight"
	"penstock/limiter/rate"
	schedules "penstock/limiter/schedule"
	stocks "penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/proxy/gate"
	"penstock/rules"
	"penstock/shedder"
)

// soldOutProxy is a proxy with the real gates and nothing left to sell.
func soldOutProxy(t testing.TB) (*Proxy, *rules.Set) {
	t.Helper()
	s := sale()
	s.Limits.IP = rules.Limit{Every: time.Nanosecond, Burst: 1 << 30, InFlight: 1000, Enforce: true}
	s.Limits.Account = s.Limits.IP
	s.Stock.Items = map[string]int{"": 1}
	set := ruleSet("127.0.0.1:1", s)
	store, err := embedded.Open(filepath.Join(t.TempDir(), "stock.db"))
	if err != nil {
		t.Fatal(err)
	}
	st := stocks.New(store, stocks.Options{})
	if err := st.Load(t.Context(), set.Sales); err != nil {
		t.Fatal(err)
	}
	running := make(chan struct{})
	go func() { st.Run(t.Context()); close(running) }()
	t.Cleanup(func() { <-running; store.Close() }) // the test's context ends first
	sh := shedder.New(set.Origin, shedder.Outside{})
	p := New(Options{
		Gates: Gates{
			Schedule: schedules.New(), RateIP: rate.ByIP(1 << 12), RateAccount: rate.ByAccount(1 << 12),
			InFlightIP: inflight.ByIP(), InFlightAccount: inflight.ByAccount(), SoldOut: st.SoldOut(),
			Place: sh.Places(), Stock: st.Unit(), Slot: sh.Slots(), Start: st.Fence(),
		},
		Watcher: deaf{}, Secret: make([]byte, 32), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	p.Use(set)
	unit := st.Unit()
	for i := 0; st.SoldOut().Admit(t.Context(), asking(s, 999)).OK(); i++ { // until the latch has closed
		unit.Admit(t.Context(), asking(s, i))
	}
	return p, set
}

// deaf is a watcher that does nothing with what it hears.
type deaf struct{}

func (deaf) Decided(*gate.Decision) {}

func asking(s *rules.Sale, i int) *gate.Facts {
	return &gate.Facts{
		At: time.Now(), IP: netip.MustParseAddr("192.0.2.1"), Account: "c:" + string(rune('a'+i%26)), Token: gate.Token{byte(i >> 8), byte(i), 1},
		Sale: s, Units: 1, Priority: rules.Order,
	}
}

// nowhere is a connection whose client takes everything at once.
type nowhere struct{ net.Conn }

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// pinned is a context with one request parsed into it, again and again.
func pinned(t testing.TB, raw string) *fasthttp.RequestCtx {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	c := new(fasthttp.RequestCtx)
	c.Init2(newWatch(rules.Client{}, 1).admit(nowhere{a}), quiet{}, false)
	go b.Write([]byte(raw))
	if err := c.Request.Header.Read(bufio.NewReader(a)); err != nil {
		t.Fatal(err)
	}
	return c
}

// refusals prepares one refusal in the gate loop, one from the head as fasthttp has parsed
// it, and one from the bytes on the wire.
func refusals(t testing.TB) (loop, parsed, whole func()) {
	p, set := soldOutProxy(t)
	raw := "POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=z\r\nContent-Length: 0\r\n\r\n"
	c := pinned(t, raw)
	r := new(request)
	p.begin(r, nil, time.Now(), 0)
	r.facts = *asking(set.Sales[0], 999)
	r.kind = r.bySale[set.Sales[0]]
	loop = func() {
		if p.pass(r, 0, soldOut) && p.pass(r, soldOut, gates) {
			panic("admitted")
		}
		for i := gates - 1; i >= 0; i-- {
			if r.held&(1<<i) != 0 {
				p.gates[i].Release(&r.facts, r.end)
			}
		}
		r.held = 0
	}
	parsed = func() {
		p.parsed(c)
	}
	wire := []byte(raw)
	whole = func() {
		if !p.whole(c.Conn().(*conn), wire) {
			panic("not plain")
		}
	}
	return loop, parsed, whole
}

func BenchmarkRefusal(b *testing.B) {
	loop, parsed, whole := refusals(b)
	for _, c := range []struct {
		name string
		do   func()
	}{{"gates", loop}, {"from fasthttp's head", parsed}, {"from the wire", whole}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.do()
			}
		})
	}
}

// BenchmarkPass is what a pass costs the request that shows it, and looking for one costs
// a request that has other cookies.
func BenchmarkPass(b *testing.B) {
	p := newPasses(make(secret, 32))
	u := &ruled{withPasses: map[string]*kind{"phone": {counts: &counts{sale: "phone"}}}}
	now := time.Now()
	text := []byte(p.write("phone", pass2(now.Add(time.Hour))))
	cookies := []byte("_ga=GA1.2.1234567890.1234567890; PHPSESSID=0123456789abcdef0123456789abcdef; consent=yes; cart=7f3a9c")
	b.Run("shown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k, sale := p.read(u, text, now)
			if sale == nil || !p.enter(k.bearer) {
				b.Fatal("the pass is void")
			}
			p.leave(k.bearer)
		}
	})
	b.Run("looked for", func(b *testing.B) {
		b.ReportAllocs()
		var h head
		for b.Loop() {
			h.notePasses(cookies)
		}
	})
}
