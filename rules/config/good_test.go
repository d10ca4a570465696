package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"penstock/rules"
)

func load(t *testing.T, path string) *rules.Set {
	t.Helper()
	s, err := Load(path)
	if err != nil {
		t.Fatalf("%s:\n%v", path, err)
	}
	return s
}

// same compares one part of a set.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

func answeredWith(from, to int) []rules.Answered {
	return []rules.Answered{{Status: []rules.StatusRange{{From: from, To: to}}}}
}

// The smallest file that protects a sale, whole: every default is spelled out here.
func TestSmallest(t *testing.T) {
	same(t, "set", load(t, "testdata/good/smallest.yaml"), &rules.Set{
		File:           "testdata/good/smallest.yaml",
		Hash:           "8d03803a9ad5eda308ae737b4e736ac43c6e99db1067c4322184def5605be9ea",
		Listen:         ":8080",
		ClientIPHeader: "X-Forwarded-For",
		Client:         rules.Client{Header: 10 * time.Second, Body: 30 * time.Second, Idle: 75 * time.Second, MaxHeader: 32 << 10, MaxBody: 10 << 20},
		Shutdown:       rules.Shutdown{Delay: 5 * time.Second, Timeout: time.Minute},
		Admin:          rules.Admin{Listen: "127.0.0.1:9900"},
		Origin: rules.Origin{
			Network: "tcp", Address: "127.0.0.1:8081", MaxConcurrency: 256, StateFile: "testdata/good/penstock.origin",
			QueueDepth: 500, QueueMaxWait: time.Second, WinnersMaxWait: 30 * time.Second,
			ConnectTimeout: time.Second, ResponseTimeout: 15 * time.Second, IdleBodyTimeout: time.Minute,
		},
		Store:      rules.Store{Embedded: "testdata/good/penstock.db"},
		CacheBytes: 64 << 20,
		Bans:       rules.Bans{Enforce: true},
		Sales: []*rules.Sale{{
			Name:    "phone",
			Match:   rules.Match{Methods: []string{"POST"}, Path: "/buy.php"},
			Account: []rules.Source{{Kind: rules.FromCookie, Name: "PHPSESSID"}, {Kind: rules.FromVisitor}},
			Stock: &rules.Stock{
				Ledger: "phone", Items: map[string]int{"": 1000}, PerAccount: 1,
				ReserveFor: 2 * time.Minute, SendingFor: time.Second + 3*15*time.Second + time.Minute,
			},
			SoldWhen: answeredWith(200, 399),
			FreeWhen: answeredWith(400, 499),
			Limits: rules.Limits{
				IP:      rules.Limit{Every: 10 * time.Millisecond, Burst: 200, InFlight: 100, Enforce: true},
				Account: rules.Limit{Every: 500 * time.Millisecond, Burst: 4, InFlight: 1, Enforce: true},
				Body:    64 << 10, BodyTimeout: 5 * time.Second,
			},
			Enforce: true,
		}},
	})
}

func TestEverythingOutsideSales(t *testing.T) {
	s := load(t, "testdata/good/everything.yaml")
	prefix := netip.MustParsePrefix
	same(t, "listen", s.Listen, "127.0.0.1:8080")
	same(t, "trusted proxies", s.TrustedProxies, []netip.Prefix{prefix("10.0.0.0/8"), prefix("192.0.2.1/32"), prefix("2001:db8::/32")})
	same(t, "client header", s.ClientIPHeader, "CF-Connecting-IP")
	same(t, "proxy protocol", s.ProxyProtocol, true)
	same(t, "client", s.Client, rules.Client{Header: time.Second, Body: 2 * time.Second, Idle: 3 * time.Second, MaxHeader: 4 << 10, MaxBody: 1 << 30})
	same(t, "health", s.Health, ":9901")
	same(t, "shutdown", s.Shutdown, rules.Shutdown{Timeout: 90 * time.Second})
	same(t, "secret", string(s.Secret), "0123456789abcdef0123456789abcdef")
	same(t, "admin", s.Admin, rules.Admin{Listen: "0.0.0.0:9900", Token: "token-for-operators"})
	same(t, "origin", s.Origin, rules.Origin{
		Network: "unix", Address: "/run/shop.sock", Host: "shop.example", Concurrency: 20, MaxConcurrency: 64, LatencyTarget: 250 * time.Millisecond,
		StateFile:    "/var/lib/penstock/origin",
		QueueMaxWait: 500 * time.Millisecond, WinnersDepth: 100, WinnersMaxWait: 10 * time.Second,
		ConnectTimeout: 2 * time.Second, ResponseTimeout: 5 * time.Second, IdleBodyTimeout: 7 * time.Second,
	})
	same(t, "redis", s.Store, rules.Store{Redis: &rules.Redis{
		Addrs: []string{"[::1]:6379"}, Username: "penstock", Password: "pass word", DB: 3, KeyPrefix: "shop:", Timeout: 50 * time.Millisecond,
		ReplicasAck: 2, StateFile: "testdata/good/run/state",
	}})
	same(t, "routes", s.Routes, []*rules.Route{
		{Name: "assets", Match: rules.Match{Methods: []string{"GET", "HEAD"}, Path: "/static/**"}, Priority: rules.Static},
		{
			Name:     "pay-callback",
			Match:    rules.Match{Path: "/pay/callback", Host: "shop.example", Query: map[string]string{"v": "2"}, From: []netip.Prefix{prefix("192.0.2.0/24")}},
			Priority: rules.Checkout,
			Answers:  map[string]*rules.Answer{"overloaded": {Redirect: "https://status.example/"}},
		},
		{
			Name: "product", Match: rules.Match{Path: "/p/**"}, Priority: rules.Browse,
			Cache: &rules.Cache{TTL: 500 * time.Millisecond, Stale: 30 * time.Second, IgnoreCookies: []string{"PHPSESSID", "_ga"}, Force: true, MaxEntry: 64 << 10},
		},
		{
			Name: "list", Match: rules.Match{Methods: []string{"GET", "POST"}, Path: "/list"}, Priority: rules.Browse,
			Cache: &rules.Cache{TTL: 2 * time.Second, Stale: time.Minute, MaxEntry: 1 << 20},
		},
	})
	same(t, "bytes of the cache", s.CacheBytes, int64(1<<30))
	same(t, "answers", s.Answers, map[string]*rules.Answer{"not_open": {Status: 425, Redirect: "/soon"}})
}

func TestEverythingInSales(t *testing.T) {
	s := load(t, "testdata/good/everything.yaml")
	phone, watch, draw := s.Sales[0], s.Sales[1], s.Sales[2]
	same(t, "match", phone.Match, rules.Match{
		Methods: []string{"POST"}, Host: "shop.example", Path: "/cart/add",
		Query: map[string]string{"a": "b"}, Form: map[string]string{"sku": "PHONE"}, JSON: map[string]string{"sku": "1"},
	})
	same(t, "opens", phone.Opens.UTC(), time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	same(t, "closes", phone.Closes.UTC(), time.Date(2026, 11, 27, 14, 0, 0, 5e8, time.UTC))
	same(t, "item", phone.Item, &rules.Source{Kind: rules.FromForm, Name: "variant"})
	same(t, "stock", phone.Stock, &rules.Stock{
		Ledger: "phone-nov27", Items: map[string]int{"red": 600, "36": 400}, ForwardOther: true, PerAccount: 2,
		Quantity: &rules.Source{Kind: rules.FromJSON, Name: "qty"}, ReserveFor: 10 * time.Minute, SendingFor: 24 * time.Second,
	})
	same(t, "sold when", phone.SoldWhen, []rules.Answered{
		{Status: []rules.StatusRange{{From: 201, To: 201}}},
		{
			Status: []rules.StatusRange{{From: 302, To: 302}, {From: 303, To: 303}}, Location: "/thanks*",
			Header: map[string]string{"X-Order": "*"}, BodyContains: []byte("thank you"),
		},
	})
	same(t, "free when", phone.FreeWhen, append(answeredWith(400, 499), rules.Answered{BodyContains: []byte("sold out")}))
	same(t, "limits", phone.Limits, rules.Limits{
		IP:      rules.Limit{Every: 2 * time.Second, Burst: 5},
		Account: rules.Limit{Every: 12 * time.Minute, Burst: 1, InFlight: 2, Enforce: true},
		Body:    512, BodyTimeout: time.Second,
	})
	same(t, "answers", phone.Answers, map[string]*rules.Answer{
		"sold_out": {Status: 410, Page: []byte("<p>Sold out.</p>"), JSON: []byte(`{"sold": true}`)},
	})
	same(t, "origins", phone.Origins, []string{"https://shop.example", "http://shop.example:8080", "https://[2001:db8::1]:8443", "https://10.0.0.1"})
	same(t, "no origins", watch.Origins, []string(nil))
	same(t, "observed ledger", watch.Stock.Ledger, "observe:watch")
	same(t, "item in the path", watch.Item, &rules.Source{Kind: rules.FromPath, Name: "/w/*"})
	same(t, "enforce", []bool{phone.Enforce, watch.Enforce}, []bool{true, false})
	same(t, "never sold", draw.SoldWhen, []rules.Answered(nil))
	same(t, "no stock, no account", []bool{draw.Stock == nil, draw.Account == nil}, []bool{true, true})
}

// What is observed is not enforced, and what is kept nowhere has no path.
func TestObservedOrigin(t *testing.T) {
	o := load(t, "testdata/good/observed.yaml").Origin
	same(t, "origin", []any{o.Concurrency, o.ObserveConcurrency, o.MaxConcurrency, o.StateFile}, []any{0, true, 64, ""})
}

func TestAccounts(t *testing.T) {
	got := load(t, "testdata/good/everything.yaml").Sales[0].Account
	secret := []byte("0123456789abcdef0123456789abcdef")
	want := []rules.Source{
		{Kind: rules.FromHeader, Name: "X-Customer"},
		{Kind: rules.FromCookie, Name: "customer"},
		{Kind: rules.FromQuery, Name: "customer"},
		{Kind: rules.FromJWT, JWT: &rules.JWT{Header: "X-Token", Claim: "sub", Issuer: "shop", Audience: "gateway", Keys: got[3].JWT.Keys}},
		{Kind: rules.FromJWT, JWT: &rules.JWT{Header: "Authorization", Claim: "sub", Keys: []rules.JWTKey{{Alg: "HS256", Key: secret}}}},
		{Kind: rules.FromVisitor},
	}
	same(t, "accounts", got, want)
}

// The set holds the keys of the PEM files, and keys that are not for signatures or
// not supported, which are passed over.
func TestKeys(t *testing.T) {
	pem := func(name string) rules.JWTKey {
		raw, err := os.ReadFile("testdata/good/files/" + name)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := keyFile(raw)
		if err != nil || len(keys) != 1 {
			t.Fatalf("%s: got %v and error %v, want one key", name, keys, err)
		}
		return keys[0]
	}
	set := load(t, "testdata/good/everything.yaml").Sales[0].Account[3].JWT.Keys
	f := func(i int, id, alg, file string) {
		t.Helper()
		if k := set[i]; k.ID != id || k.Alg != alg {
			t.Errorf("key %d: got %s for %s, want %s for %s", i, k.ID, k.Alg, id, alg)
		}
		same(t, file, set[i].Key, pem(file).Key)
	}
	if len(set) != 6 {
		t.Fatalf("got %d keys, want 6", len(set))
	}
	f(0, "r", "RS256", "rsa.pem")
	f(1, "r-pss", "PS512", "rsa-pkcs1.pem")
	f(2, "e1", "ES256", "p256.pem")
	f(3, "e2", "ES384", "p384.pem")
	f(4, "d", "EdDSA", "ed25519.pem")
	same(t, "secret", set[5], rules.JWTKey{ID: "o", Alg: "HS512", Key: []byte("0123456789abcdef0123456789abcdef")})
	types := fmt.Sprintf("%T %T %T", pem("rsa.pem").Key, pem("p256.pem").Key, pem("ed25519.pem").Key)
	same(t, "types", types, fmt.Sprintf("%T %T %T", &rsa.PublicKey{}, &ecdsa.PublicKey{}, ed25519.PublicKey{}))
	same(t, "algorithms", pem("rsa.pem").Alg+pem("p256.pem").Alg+pem("p384.pem").Alg+pem("ed25519.pem").Alg, "RS256ES256ES384EdDSA")
}

func TestOriginURL(t *testing.T) {
	f := func(url, network, address string) {
		t.Helper()
		s, err := (&reader{file: "x"}).compile([]byte("listen: \":80\"\norigin: {url: \"" + url + "\"}\n"))
		if address == "" {
			if err == nil {
				t.Errorf("%s: got %+v, want a fault", url, s.Origin)
			}
			return
		}
		if err != nil || s.Origin.Network != network || s.Origin.Address != address {
			t.Errorf("%s: got %+v and error %v, want %s %s", url, s, err, network, address)
		}
	}
	f("http://shop.example", "tcp", "shop.example:80")
	f("http://shop.example/", "tcp", "shop.example:80")
	f("http://10.0.0.1:8081", "tcp", "10.0.0.1:8081")
	f("http://[::1]:8081", "tcp", "[::1]:8081")
	f("http://[2001:db8::1]", "tcp", "[2001:db8::1]:80")
	f("https://shop.example", "tcp", "shop.example:443")
	f("https://shop.example:8443/", "tcp", "shop.example:8443")
	f("unix:/run/shop.sock", "unix", "/run/shop.sock")
	f("unix:///run/shop.sock", "unix", "/run/shop.sock")
	for _, bad := range []string{
		"http://127.0.0.1", "http://", "http://shop.example:", "http://shop.example:0", "http://shop.example:080",
		"http://user@shop.example", "http://shop.example?x", "http://shop.example/#", "http://%zz", "ftp://shop.example",
		"HTTP//shop", "unix:", "unix:shop.sock", "http://shop_example!", "https://shop.example/x", "https://",
	} {
		f(bad, "", "")
	}
}
