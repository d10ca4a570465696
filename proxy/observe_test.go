package proxy

import (
	"fmt"
	"strings"
	"testing"

	"penstock/rules"
)

// watching makes all sales of the rig observe only.
func watching(s *rules.Set) {
	for _, sale := range s.Sales {
		sale.Enforce = false
	}
}

func TestObservedSaleTurnsNobodyAway(t *testing.T) {
	post := func(path, kind, body string) string {
		return crlf("POST "+path+" HTTP/1.1", "Host: shop", "Cookie: customer=a", "Content-Type: "+kind, fmt.Sprintf("Content-Length: %d", len(body))) + body
	}
	big := strings.Repeat("x", 100000)
	requests := map[string]string{
		"another method":     crlf("GET /buy.php HTTP/1.1", "Host: shop"),
		"a crooked path":     post("//buy.php", formType, "qty=1"),
		"an overridden one":  crlf("POST /buy.php HTTP/1.1", "Host: shop", "Cookie: customer=a", "X-HTTP-Method-Override: PUT", "Content-Length: 0"),
		"a large body":       post("/buy.php", formType, big),
		"a broken body":      post("/buy.php", jsonType, "{"),
		"a foreign body":     post("/buy.php", "text/plain", "qty=1"),
		"a doubtful fact":    post("/buy.php", formType, "qty=1&qty=2"),
		"no account, a body": strings.Replace(post("/buy.php", formType, big), "customer", "nobody", 1),
	}
	for name, raw := range requests {
		g := newRig(t, func(s *rules.Set) { watching(s); s.Sales[0].Account = s.Sales[0].Account[:2] })
		if a := g.send(raw); a.reason() != "admitted" {
			t.Errorf("%s: got %d %q, want the shop's answer", name, a.StatusCode, a.reason())
			continue
		}
		_, body, _ := strings.Cut(raw, "\r\n\r\n")
		if got := <-g.shop.arrived; !strings.HasSuffix(got, "\r\n\r\n"+body) {
			t.Errorf("%s: the shop got %.200q, want the body as it was sent", name, got)
		}
		g.settled()
	}
	for name, body := range map[string]string{"small": "sku=CASE", "large": big, "broken": "{"} {
		for _, kind := range []string{formType, jsonType, "text/plain"} {
			g := newRig(t, func(s *rules.Set) {
				watching(s)
				s.Sales[0].Match = rules.Match{Methods: []string{"POST"}, Path: "/cart", Form: map[string]string{"sku": "PHONE"}}
			})
			if a := g.send(post("/cart", kind, body)); a.reason() != "admitted" {
				t.Errorf("matched by body, %s %s: got %d %q, want the shop's answer", name, kind, a.StatusCode, a.reason())
			}
			g.settled()
		}
	}
}

func TestEnforcedSaleBesideAnObservedOneStillRefuses(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		watching(s)
		strict := sale()
		strict.Name, strict.Match.Path = "strict", "/strict.php"
		s.Sales = append(s.Sales, strict)
	})
	for raw, want := range map[string]string{
		crlf("GET /strict.php HTTP/1.1", "Host: shop"):                                                      "method",
		crlf("POST //strict.php HTTP/1.1", "Host: shop", "Content-Length: 0"):                               "bad_request",
		crlf("POST /strict.php HTTP/1.1", "Host: shop", "X-HTTP-Method-Override: PUT", "Content-Length: 0"): "bad_request",
		crlf("GET /buy.php HTTP/1.1", "Host: shop"):                                                         "admitted",
		crlf("GET /a%00 HTTP/1.1", "Host: shop"):                                                            "bad_request",
		crlf("PUT /buy.php HTTP/1.1", "Host: shop", "Content-Length: 2000000") + "x":                        "body_too_large",
		crlf("POST /buy.php HTTP/1.1", "Host: shop", "Cookie: customer=a", "Content-Length: 2000000") + "x": "body_too_large",
	} {
		if a := g.send(raw); a.reason() != want {
			t.Errorf("%.60q: got %q, want %q", raw, a.reason(), want)
		}
	}
	g.settled()
}
