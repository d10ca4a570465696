package config

// What a file can say about carts: orders in steps, the servers several gateways
// share, and units whose order may or may not exist.

import (
	"crypto/x509"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"penstock/rules"
)

func TestOrders(t *testing.T) {
	s := load(t, "testdata/good/cart.yaml")
	phone, watch, index := s.Sales[0], s.Sales[1], s.Sales[2]
	place := rules.Match{Methods: []string{"POST"}, Host: "shop.example", Path: "/checkout/place"}
	same(t, "order of watch", watch.Order, &rules.OrderStep{Match: place, ForwardWithout: true})
	place.From = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	same(t, "order of phone", phone.Order, &rules.OrderStep{Match: place})
	same(t, "kept in the cart", []time.Duration{phone.Stock.ReserveFor, watch.Stock.ReserveFor}, []time.Duration{10 * time.Minute, 2 * time.Minute})
	same(t, "steps on one path", []string{index.Match.Query["do"], index.Order.Match.Query["do"]}, []string{"add", "order"})
	same(t, "by location", phone.Ref, &rules.OrderRef{Location: regexp.MustCompile(`order=(\d+)`)})
	same(t, "by body", watch.Ref, &rules.OrderRef{Body: regexp.MustCompile(`"id": ?"([^"]+)"`)})
	same(t, "by header", index.Ref, &rules.OrderRef{Header: regexp.MustCompile(`.+`), Name: "X-Order-Id"})
}

func TestUnknown(t *testing.T) {
	type rule struct {
		unknown  rules.Unknown
		after    time.Duration
		resolver *rules.Resolver
	}
	of := func(s *rules.Sale) rule { return rule{s.Stock.Unknown, s.Stock.UnknownAfter, s.Stock.Resolver} }
	cart, cluster := load(t, "testdata/good/cart.yaml"), load(t, "testdata/good/cluster.yaml")
	same(t, "every key", of(cart.Sales[0]), rule{
		rules.Resolve, time.Minute, &rules.Resolver{URL: "https://shop.example:8443/orders/{token}?ref={ref}", Timeout: 5 * time.Second},
	})
	same(t, "defaults", of(cart.Sales[1]), rule{
		rules.Resolve, 10 * time.Second, &rules.Resolver{URL: "http://shop.example/{token}", Timeout: 2 * time.Second},
	})
	same(t, "keep", of(cart.Sales[2]), rule{})
	same(t, "release", of(cluster.Sales[0]), rule{rules.Release, 30 * time.Minute, nil})
}

func TestRedisModes(t *testing.T) {
	r := load(t, "testdata/good/cart.yaml").Store.Redis
	ca, err := os.ReadFile("testdata/good/files/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) || r.TLS == nil || !roots.Equal(r.TLS.Roots) {
		t.Errorf("roots: got %+v, want those of ca.pem", r.TLS)
	}
	if len(r.TLS.Cert) != 1 || r.TLS.Cert[0].Leaf.Subject.CommonName != "penstock" || r.TLS.Cert[0].PrivateKey == nil {
		t.Errorf("certificate: got %+v, want that of client.pem with its key", r.TLS.Cert)
	}
	same(t, "server name", r.TLS.ServerName, "redis.example")
	r.TLS = nil
	same(t, "sentinel", r, &rules.Redis{
		Mode: rules.RedisSentinel, Addrs: []string{"10.0.0.1:26379", "10.0.0.2:26379", "sentinel.example:26379"}, MasterName: "shop", DB: 1,
		KeyPrefix: "penstock", Timeout: 100 * time.Millisecond, ReplicasAck: 1, StateFile: "testdata/good/penstock.state",
	})
	same(t, "cluster", load(t, "testdata/good/cluster.yaml").Store.Redis, &rules.Redis{
		Mode: rules.RedisCluster, Addrs: []string{"10.0.0.1:7000"}, TLS: &rules.ServerTLS{},
		KeyPrefix: "penstock", Timeout: 100 * time.Millisecond, StateFile: "testdata/good/penstock.state",
	})
}

func TestWarnings(t *testing.T) {
	f := func(file string, want ...string) {
		t.Helper()
		if got := Warnings(load(t, file)); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", file, got, want)
		}
	}
	f("testdata/good/smallest.yaml")
	f(example)
	f("testdata/good/observed.yaml", "origin.concurrency: nothing protects the shop below max_concurrency: it can get 64 requests at a time")
	f("testdata/good/everything.yaml",
		"origin.latency_target: has no effect: it moves what auto has found, and concurrency is 20",
		"routes[product].cache.force: answers are shown to everybody, also those that the shop calls private or that set cookies: nothing on them may be somebody's own",
		"sales[phone-nov27].match: requests to /cart/add with other values of a and sku pass as browse",
	)
	f("testdata/good/cart.yaml", "sales[watch].order.without: can oversell: orders without a reservation reach the shop")
	f("testdata/good/cheats.yaml",
		"sales[all].challenge.remote.outage: whoever asks is let through while the provider cannot be reached",
		"sales[all].challenge.remote.verify: the secret is sent without encryption",
		"sales[all].ladder: only watches: nobody is challenged or banned",
		"sales[defaults].require.terms[not suspect]: who leaves out the cookie of the shop is a visitor, who is on no list, and passes",
		"sales[defaults].require.terms[adult]: the token may be somebody else's: the account is not taken from Authorization as well",
		"sales[defaults].require.terms[invited]: the list is empty: nobody may take part",
		"sales[alone].ladder: nobody is challenged, because the sale has no challenge: suspects are only observed until they are banned",
		"sales[heavy].challenge.work: everybody has to compute 2000000 hashes before they can buy: about 20 s on a slow phone",
		"sales[idle].challenge.of: nobody is challenged: suspects are who climbs the ladder, and the sale has none",
		"sales[watching].ladder: only watches: nobody is challenged or banned",
		"sales[watching].ladder.score: nobody gets there: behaviour gives at most 20 points",
	)
	f("testdata/good/cluster.yaml",
		"sales[phone].match: requests to /cart/add with other values of sku pass as browse",
		"sales[phone].stock.unknown: can oversell: a held unit is free again after 30m, though its order may exist",
		"sales[phone].order.match: orders to /place with other values of a and c pass as browse",
		"sales[phone].order.without: can oversell: orders without a reservation reach the shop",
		"sales[watch].stock.unknown: nothing is found: an order without an answer has no {ref} yet, ask by {token}",
	)
}
