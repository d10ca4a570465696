package bench

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
)

const cartConf = `
listen: "ADDR"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP"}
store: {embedded: {path: penstock.db}}
routes:
  - {name: pay-callback, match: {methods: [POST], path: /pay/callback, from: [192.0.2.0/24]}, priority: checkout}
sales:
  - name: phone
    match: {methods: [POST], path: /cart/add}
    account: [{cookie: customer}]
    stock: {units: UNITS, reserve_for: 2m}
    order: {match: {methods: [POST], path: /checkout/place}, without: refuse}
    sold_when: [{status: ["302"], location: "/pay*"}]
    free_when: [{status: ["200"]}]
    limits: {ip: {rate: 100000/s, burst: 100000, in_flight: 0}}
`

// pageCapacity is what the sample shop of this package can do in pages/s: 20 workers, a
// quarter of 200 ms each, two and a half times slower when all are busy.
const pageCapacity = 160

// walk is the way from the cart to the thank-you page, pages in between included.
var walk = []crowd.Step{
	{Class: "claim", Method: "POST", Path: "/cart/add", Body: "qty=1", Good: func(a *crowd.Answer) bool { return a.Status == 303 }},
	{Class: "checkout", Method: "GET", Path: "/checkout", Think: time.Second},
	{Class: "order", Method: "POST", Path: "/checkout/place", Body: "confirm=1", Think: 2 * time.Second, Ref: regexp.MustCompile(`order=(\d+)`), Good: func(a *crowd.Answer) bool { return a.Status == 302 }},
	{Class: "pay", Method: "GET", Path: "/pay?order={ref}", Think: 200 * time.Millisecond},
	{Class: "callback", Method: "POST", Path: "/pay/callback", Body: "order={ref}", Think: 2 * time.Second, Elsewhere: true, Header: []string{"X-Forwarded-For: 192.0.2.9"}},
	{Class: "thanks", Method: "GET", Path: "/thanks?order={ref}", Think: 200 * time.Millisecond},
}

// sale is one way to sell in a crowd.
type sale struct {
	about  string
	units  int
	buyers float64 // part of the visitors
	lasts  time.Duration
}

// BenchmarkCarts: what becomes of who got a unit while the browsing crowd is twenty times
// what the shop can take. Nobody asks a page twice.
func BenchmarkCarts(b *testing.B) {
	const load = 20.0
	r := newReport("CARTS.md", "On the wire: carts in a crowd", "make bench-wire")
	r.line("")
	r.line("Browsers at %g× of what the sample shop can do, and buyers among them. Of those who got a unit and did not give up, so many reached the thank-you page, asking for each page once:", load)
	r.line("")
	r.line("| sale | got a unit | reached the thank-you page | share |")
	r.line("|---|---|---|---|")
	row := func(about string, units, through int64) {
		r.line("| %s | %d | %d | %.2f %% |", about, units, through, 100*ratio(float64(through), float64(units)))
	}
	var units, through int64
	for i, s := range []sale{
		{"all at once: 3 visitors of 100 buy", 150, .03, 30 * time.Second},
		{"the same again", 150, .03, 30 * time.Second},
		{"a long one: 3 of 1000 buy", 1000, .003, 100 * time.Second},
	} {
		u, t := s.hold(b, load, uint64(i+1))
		row(s.about, u, t)
		units, through = units+u, through+t
	}
	row("together", units, through)
	b.ReportMetric(100*ratio(float64(through), float64(units)), "%-of-units-to-thanks")
	b.ReportMetric(0, "ns/op")
	r.write(b)
}

// hold reports how many got a unit, and how many of them the thank-you page.
func (s sale) hold(b *testing.B, load float64, seed uint64) (units, through int64) {
	b.Helper()
	shop := sampleShop("-flow=cart")
	behind := shop.start(b)
	defer behind.stop()
	front := penstock(cartConf, "UNITS", strconv.Itoa(s.units)).start(b, behind.addr)
	defer front.stop()
	buyer := crowd.Visitor{
		Name: "buyer", Weight: s.buyers, Steps: walk, OneShot: .2,
		Cookies: []string{"customer={account}"}, Header: []string{"X-Forwarded-For: {address}"},
	}
	looker := visitors(shop.page)[0]
	looker.Weight = 1 - s.buyers
	c, err := crowd.New(crowd.Plan{
		Target: front.addr, Host: "shop.example", Seed: seed, Visitors: []crowd.Visitor{looker, buyer}, Connections: most,
		Phases: []crowd.Phase{{Name: "flat", For: s.lasts, Rate: load * pageCapacity}}, Grace: 30 * time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	ends := map[string]int64{}
	for _, j := range c.Run(b.Context(), nil).Journeys {
		if j.Visitor != "buyer" || j.Reached == "" {
			continue
		}
		units += j.Count
		if j.Through {
			through += j.Count
		} else {
			ends[j.Reached+", then "+j.Reason] += j.Count
		}
	}
	b.Logf("%s: %d units, %d through, others: %v", s.about, units, through, ends)
	return units, through
}
