package bench

import (
	"regexp"
	"testing"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
)

const cartConf = `
listen: ADDR
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
    stock: {units: 150, reserve_for: 2m}
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

// BenchmarkCarts: what becomes of who got a unit while the browsing crowd is twenty times
// what the shop can take. Nobody asks a page twice.
func BenchmarkCarts(b *testing.B) {
	r := newReport("CARTS.md", "On the wire: carts in a crowd", "make bench-wire")
	s := sampleShop("-flow=cart")
	const load, buyers = 20.0, .03
	took := 30 * time.Second
	reached := func() (units, through int64) {
		behind := s.start(b)
		defer behind.stop()
		front := penstock(cartConf, 0).start(b, behind.addr)
		defer front.stop()
		buyer := crowd.Visitor{
			Name: "buyer", Weight: buyers, Steps: walk, OneShot: .2,
			Cookies: []string{"customer={account}"}, Header: []string{"X-Forwarded-For: {address}"},
		}
		looker := visitors(s.page)[0]
		looker.Weight = 1 - buyers
		c, err := crowd.New(crowd.Plan{
			Target: front.addr, Host: "shop.example", Seed: 1, Visitors: []crowd.Visitor{looker, buyer}, Connections: most,
			Phases: []crowd.Phase{{Name: "flat", For: took, Rate: load * pageCapacity}}, Grace: 30 * time.Second,
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
		b.Logf("carts: %d units, %d through, others: %v", units, through, ends)
		return units, through
	}
	units, through := reached()
	r.line("")
	r.line("Browsers at %g× of what the sample shop can do, for %v; of every hundred visitors %g buy. Of those who got a unit and did not give up, so many reached the thank-you page, asking for each page once:", load, took, 100*buyers)
	r.line("")
	r.line("| got a unit | reached the thank-you page | share |")
	r.line("|---|---|---|")
	r.line("| %d | %d | %.2f %% |", units, through, 100*ratio(float64(through), float64(units)))
	b.ReportMetric(100*ratio(float64(through), float64(units)), "%-of-units-to-thanks")
	b.ReportMetric(0, "ns/op")
	r.write(b)
}
