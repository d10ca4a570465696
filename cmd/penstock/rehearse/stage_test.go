package rehearse

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
	"penstock/rules"
	"penstock/rules/config"
)

func load(t *testing.T, text string) (file string, set *rules.Set) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, set
}

const onRedis = `
listen: ":80"
health: {listen: ":9901"}
trusted_proxies: [10.0.0.0/8]
client_ip: {header: CF-Connecting-IP}
shutdown: {delay: 5s, timeout: 60s}
origin: {url: "https://10.0.0.9:80", tls: {server_name: shop.example}, queue: {max_wait: 2s}}
store: {redis: {addrs: ["10.0.0.2:6379"], key_prefix: shop, db: 3}}
decisions: {file: decisions.log}
sales:
  - {name: early, match: {path: /buy}, closes: "2030-01-01T00:00:00Z", stock: {units: 1}, account: [{visitor: true}]}
  - {name: late, match: {path: /buy}, opens: "2031-01-01T00:00:00Z", closes: "2031-01-01T01:00:00Z", stock: {units: 7}, account: [{visitor: true}]}
  - {name: other, match: {path: /other}, stock: {units: 2}, account: [{visitor: true}]}
`

// TestAdapt: the copy that is played opens soon, talks to what we have started, and
// shares no key and no file with the real sale.
func TestAdapt(t *testing.T) {
	file, set := load(t, onRedis)
	to := echo(t)
	l, err := openLink(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	now := time.Now()
	c := adapt(set, set.Sales[1], &origin{address: "127.0.0.1:1", about: "a test"}, l, "/scratch", now)
	text, err := config.Rewrite(file, c.changes)
	if err != nil {
		t.Fatal(err)
	}
	_, got := load(t, string(text))
	s := got.Sales[0]
	if len(got.Sales) != 2 || s.Name != "late" || s.Opens.Before(now.Add(lead)) || s.Opens.After(now.Add(curtain+time.Second)) || s.Closes.Before(s.Opens.Add(time.Hour)) || s.Stock.Items[""] != 7 {
		t.Errorf("sales are %+v, want late alone at its path, and open in a moment", s)
	}
	if r := got.Store.Redis; r.Addrs[0] != l.addr() || !strings.HasPrefix(r.KeyPrefix, "penstock-rehearsal-") || r.StateFile != "/scratch/penstock.state" || r.DB != 3 {
		t.Errorf("store is %+v, want the link, names of its own, and the rest as it was", r)
	}
	if got.Listen != "127.0.0.1:0" || got.Admin.Listen != "127.0.0.1:0" || got.Health != "" || got.Origin.Address != "127.0.0.1:1" || got.Origin.TLS != nil || got.Origin.QueueMaxWait != 2*time.Second {
		t.Errorf("set is %+v", got)
	}
	if len(got.TrustedProxies) != 1 || got.TrustedProxies[0].String() != "127.0.0.0/8" || got.ClientIPHeader != "X-Forwarded-For" {
		t.Errorf("trusts %v by %s, want this machine alone", got.TrustedProxies, got.ClientIPHeader)
	}
	if got.Decisions != nil {
		t.Errorf("decisions are written to %s, among those of the real sale", got.Decisions.File)
	}
	said := strings.Join(c.said, "\n")
	for _, want := range []string{"late opens", "early is left out", "under penstock-rehearsal-", "instead of shop", "a test"} {
		if !strings.Contains(said, want) {
			t.Errorf("said\n%s\nwant %q", said, want)
		}
	}
	again := adapt(set, set.Sales[1], nil, l, "/scratch", now)
	if strings.Join(again.said, "") == strings.Join(c.said, "") {
		t.Error("two rehearsals share their names in Redis")
	}

	fresh := adapt(set, set.Sales[2], nil, nil, "/scratch", now)
	if text, err = config.Rewrite(file, fresh.changes); err != nil {
		t.Fatal(err)
	}
	_, got = load(t, string(text))
	if got.Store.Redis != nil || got.Store.Embedded != "/scratch/penstock.db" || got.Origin.Address != "10.0.0.9:80" || got.Origin.TLS == nil || len(got.Sales) != 3 || !fresh.opens.IsZero() {
		t.Errorf("store %+v, origin %s, %d sales; want a fresh store, and the file's origin and sales", got.Store, got.Origin.Address, len(got.Sales))
	}
}

// The crowd speaks plain HTTP, without a PROXY header.
func TestAdaptTakesTLSAway(t *testing.T) {
	_, set := load(t, onRedis)
	set.TLS, set.ProxyProtocol = &rules.TLS{}, true
	c := adapt(set, set.Sales[2], nil, nil, "/scratch", time.Now())
	if !slices.Contains(c.changes, config.Change{Key: "tls"}) || !slices.Contains(c.changes, config.Change{Key: "client_ip", Value: "{header: X-Forwarded-For}"}) ||
		!strings.Contains(strings.Join(c.said, "\n"), "plain HTTP") {
		t.Errorf("changes are %v, said %q", c.changes, c.said)
	}
}

// TestPeopleAskForWhatIsSold: requests are made from the file's own words.
func TestPeopleAskForWhatIsSold(t *testing.T) {
	_, set := load(t, `
listen: ":80"
origin: {url: "http://127.0.0.1:1"}
store: {embedded: {path: x.db}}
routes:
  - {name: pay, match: {path: /pay/callback, from: [192.0.2.0/24]}, priority: checkout}
sales:
  - name: phone
    match: {methods: [POST], path: "/shop/*/buy", query: {ref: "a b"}, form: {sku: PHONE}}
    account: [{query: customer}]
    item: {form: variant}
    stock: {items: {red: 3, blue: 1}, quantity: {form: qty}}
  - name: watch
    match: {methods: [PUT], path: /cart/add, json: {sku: W}}
    account: [{cookie: PHPSESSID}, {visitor: true}]
    stock: {units: 3, quantity: {header: X-Quantity}}
    order: {match: {methods: [POST], path: /checkout/place}, without: refuse}
    sold_when: [{status: ["302"], location: "/pay*"}]
    free_when: [{status: ["200"], body_contains: "Sold out"}]
`)
	s, err := newScript(set, set.Sales[0], "/look", true)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, v := range s.visitors() {
		last := v.Steps[len(v.Steps)-1]
		seen[last.Method+" "+last.Path+" "+last.Body] += v.Weight
	}
	red, blue := seen["POST /shop/1/buy?customer={account}&ref=a+b qty=1&sku=PHONE&variant=red"], seen["POST /shop/1/buy?customer={account}&ref=a+b qty=1&sku=PHONE&variant=blue"]
	if red != 3*blue || blue == 0 || seen["GET /look "] == 0 || len(seen) != 3 {
		t.Errorf("they ask for %v, want red three times as often as blue", seen)
	}

	if s, err = newScript(set, set.Sales[1], "/", true); err != nil {
		t.Fatal(err)
	}
	steps := s.purchase("")
	var classes []string
	for _, st := range steps {
		classes = append(classes, st.Class)
	}
	if got := strings.Join(classes, " "); got != "claim checkout order checkout checkout thanks" {
		t.Errorf("the walk is %s", got)
	}
	if steps[0].Method != "PUT" || steps[0].Body != `{"sku":"W"}` || steps[2].Path != "/checkout/place" {
		t.Errorf("takes with %s %s, orders at %s", steps[0].Method, steps[0].Body, steps[2].Path)
	}
	if from := steps[4].Header; !steps[4].Elsewhere || len(from) != 1 || from[0] != "X-Forwarded-For: 192.0.2.1" {
		t.Errorf("the provider comes from %v, want where the route expects it", from)
	}
	if got := strings.Join(s.header, "|"); got != "X-Forwarded-For: {address}|X-Quantity: 1" || s.cookies[0] != "PHPSESSID={account}" {
		t.Errorf("everybody sends %s and %v", got, s.cookies)
	}
	for _, c := range []struct {
		a           crowd.Answer
		taken, sold bool
	}{
		{crowd.Answer{Status: 302, Location: []byte("/pay?order=1")}, true, true},
		{crowd.Answer{Status: 302, Location: []byte("/cart")}, true, false},
		{crowd.Answer{Status: 200, Body: []byte("<h1>Sold out</h1>")}, false, false},
		{crowd.Answer{Status: 404}, false, false},
	} {
		if taken, sold := s.taken()(&c.a), s.sold()(&c.a); taken != c.taken || sold != c.sold {
			t.Errorf("%d %s: taken %v, sold %v", c.a.Status, c.a.Location, taken, sold)
		}
	}
	if s, _ = newScript(set, set.Sales[1], "/", false); len(s.purchase("")) != 2 {
		t.Error("a shop whose pages are not known is walked through all the same")
	}
}

func TestReadGauges(t *testing.T) {
	g := readGauges(`# HELP penstock_origin_limit x
penstock_origin_limit 24
penstock_origin_in_flight 3
penstock_queue_depth{priority="browse"} 17
penstock_queue_depth{priority="winner"} 2
penstock_stock_units{item="red",sale="phone",state="sold"} 5
penstock_stock_units{item="blue",sale="phone",state="sold"} 2
penstock_stock_units{item="",sale="phone",state="free"} 1e+06
penstock_stock_units{item="",sale="not-phone",state="free"} 9
nonsense
penstock_origin_limit
`, "phone")
	if g.Limit != 24 || g.InFlight != 3 || g.Queue["browse"] != 17 || g.Queue["winner"] != 2 || g.Units == nil || g.Units.Sold != 7 || g.Units.Sum() != 1000007 {
		t.Errorf("%+v, units %+v", g, g.Units)
	}
	if g = readGauges("", "phone"); g.Units != nil {
		t.Errorf("units of nothing: %+v", g.Units)
	}
}

// TestModelSellsInTheFilesWords: what a modelled origin answers is a sale by the rules.
func TestModelSellsInTheFilesWords(t *testing.T) {
	for _, rule := range []string{`{status: ["302", "303"], location: "/thanks*"}`, `{status: ["201"]}`, `{header: {X-Order: "*"}, status: ["200"]}`, `{status: ["200"], body_contains: "thank you"}`} {
		_, set := load(t, `
listen: ":80"
origin: {url: "http://127.0.0.1:1"}
store: {embedded: {path: x.db}}
sales: [{name: phone, match: {path: /buy}, account: [{visitor: true}], stock: {units: 1}, sold_when: [`+rule+`]}]
`)
		o, err := startModel("O1", 1, set.Sales[0])
		if err != nil {
			t.Fatal(err)
		}
		a := post(t, "http://"+o.address+"/buy")
		if got := set.Sales[0].Outcome(a); got != rules.OutcomeSold {
			t.Errorf("%s: %d is %v, want sold", rule, a.Status, got)
		}
		if n, err := o.orders(t.Context()); n != 1 || err != nil || o.best(time.Now()) != 500 {
			t.Errorf("%d orders, %v, %v at best", n, err, o.best(time.Now()))
		}
		o.stop()
	}
}
