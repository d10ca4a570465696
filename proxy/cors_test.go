package proxy

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"penstock/proxy/gate"
	"penstock/rules"
)

const page = "https://www.shop.example"

// shared is a rig whose sale may be asked by the page.
func shared(t testing.TB) *rig {
	return newRig(t, func(s *rules.Set) {
		s.Sales[0].Origins = []string{"https://other.example:8443", page}
		rare := sale()
		rare.Name, rare.Match.Query = "rare", map[string]string{"sku": "rare"}
		s.Sales = append([]*rules.Sale{rare}, s.Sales...)
		own := sale()
		own.Name, own.Match.Path = "own", "/own.php"
		s.Sales = append(s.Sales, own)
		s.Routes = []*rules.Route{{Name: "get", Match: rules.Match{Methods: []string{"GET", "OPTIONS"}, Path: "/buy.php"}}}
	})
}

// crossed are the headers of an answer that browsers look at.
func crossed(a *answered) map[string]string {
	got := map[string]string{}
	for name, values := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			got[name] = strings.Join(values, " | ")
		}
	}
	return got
}

func ask(g *rig, lines ...string) *answered {
	return g.send(crlf(append(lines, "Host: shop.example")...))
}

func TestPreflightsOfASaleAreAnsweredHere(t *testing.T) {
	g := shared(t)
	const vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	allowed := map[string]string{
		"Access-Control-Allow-Origin": page, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "POST",
		"Access-Control-Max-Age": "7200", "Vary": vary,
	}
	with := func(name, value string) map[string]string {
		m := maps.Clone(allowed)
		m[name] = value
		return m
	}
	for _, c := range []struct {
		name, headers string
		want          map[string]string
	}{
		{"allowed", "Origin: " + page, allowed},
		{"with headers", "Origin: " + page + "\r\nAccess-Control-Request-Headers: content-type, x-csrf",
			with("Access-Control-Allow-Headers", "content-type, x-csrf")},
		{"with odd headers", "Origin: " + page + "\r\nAccess-Control-Request-Headers: a\"b", allowed},
		{"with endless headers", "Origin: " + page + "\r\nAccess-Control-Request-Headers: " + strings.Repeat("a", maxAskedHeaders+1), allowed},
		{"another of the list", "Origin: https://other.example:8443", with("Access-Control-Allow-Origin", "https://other.example:8443")},
		{"not in the list", "Origin: https://evil.example", map[string]string{"Vary": vary}},
		{"almost in the list", "Origin: " + page + ".evil.example", map[string]string{"Vary": vary}},
		{"null", "Origin: null", map[string]string{"Vary": vary}},
	} {
		a := ask(g, "OPTIONS /buy.php?x=1 HTTP/1.1", c.headers, "Access-Control-Request-Method: POST")
		if got := crossed(a); a.StatusCode != 204 || a.reason() != "preflight" || a.Header.Get("Cache-Control") != "no-store" || !maps.Equal(got, c.want) {
			t.Errorf("%s: got %d %s %v, want %v", c.name, a.StatusCode, a.reason(), got, c.want)
		}
	}
	if g.shop.count() != 0 || g.probes[schedule].admits != 0 {
		t.Error("a preflight went further")
	}
	if n := counted(t, g.proxy.metrics.requests)["reason=preflight route= sale="]; n != 8 {
		t.Errorf("counted %v preflights, want 8", n)
	}
	// Kept in step: no body, and the next request on the connection is served.
	c := g.dialed(strings.Repeat(crlf("OPTIONS /buy.php HTTP/1.1", "Host: shop.example", "Origin: "+page, "Access-Control-Request-Method: POST"), 2))
	all := make([]byte, 4096)
	n := 0
	for strings.Count(string(all[:n]), "204 No Content") < 2 {
		m, err := c.Read(all[n:])
		if err != nil {
			t.Fatalf("got %q and error %v, want two answers", all[:n], err)
		}
		n += m
	}
	if strings.Contains(string(all[:n]), "Content-Length") {
		t.Errorf("got %q: 204 has no length", all[:n])
	}
}

// What is no preflight of a sale that shares goes on as it did.
func TestOtherPreflightsAreNotOurs(t *testing.T) {
	g := shared(t)
	for _, c := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"of a method that is not the sale's", []string{"OPTIONS /buy.php HTTP/1.1", "Origin: " + page, "Access-Control-Request-Method: GET"}, 200},
		{"without a method", []string{"OPTIONS /buy.php HTTP/1.1", "Origin: " + page}, 200},
		{"with two methods", []string{"OPTIONS /buy.php HTTP/1.1", "Origin: " + page, "Access-Control-Request-Method: POST", "Access-Control-Request-Method: POST"}, 200},
		{"without an origin", []string{"OPTIONS /buy.php HTTP/1.1", "Access-Control-Request-Method: POST"}, 200},
		{"with two origins", []string{"OPTIONS /buy.php HTTP/1.1", "Origin: " + page, "Origin: " + page, "Access-Control-Request-Method: POST"}, 200},
		{"elsewhere", []string{"OPTIONS /p/1 HTTP/1.1", "Origin: " + page, "Access-Control-Request-Method: POST"}, 200},
		{"of a sale that does not share", []string{"OPTIONS /own.php HTTP/1.1", "Origin: " + page, "Access-Control-Request-Method: POST"}, 405},
		{"crooked", []string{"OPTIONS //buy.php HTTP/1.1", "Origin: " + page, "Access-Control-Request-Method: POST"}, 400},
	} {
		if a := ask(g, c.lines...); a.StatusCode != c.status || a.reason() == "preflight" || a.Header.Get("Access-Control-Max-Age") != "" {
			t.Errorf("%s: got %d %s, want %d", c.name, a.StatusCode, a.reason(), c.status)
		}
	}
}

func TestRefusalsCanBeReadByThePagesOfTheList(t *testing.T) {
	g := shared(t)
	g.probes[stock].says = refusing(gate.SoldOut)
	readable := map[string]string{
		"Access-Control-Allow-Origin": page, "Access-Control-Allow-Credentials": "true",
		"Access-Control-Expose-Headers": "Penstock-Reason, Retry-After", "Vary": "Origin",
	}
	from := func(origin, raw string) string { return strings.Replace(raw, "\r\n", "\r\nOrigin: "+origin+"\r\n", 1) }
	own := strings.Replace(buy, "/buy.php", "/own.php", 1)
	for _, c := range []struct {
		name, raw string
		reason    string
		want      map[string]string
	}{
		{"sold out", from(page, buy), "sold_out", readable},
		{"sold out, to a stranger", from("https://evil.example", buy), "sold_out", map[string]string{"Vary": "Origin"}},
		{"sold out, to its own page", buy, "sold_out", map[string]string{}},
		{"of a sale that does not share", from(page, own), "sold_out", map[string]string{}},
		{"of one at the same path that does not", from(page, strings.Replace(buy, "/buy.php", "/buy.php?sku=rare", 1)), "sold_out", map[string]string{}},
		{"of none, elsewhere", from(page, crlf("DELETE /own.php HTTP/1.1", "Host: shop.example")), "method", map[string]string{}},
		{"before the sale is known", from(page, crlf("DELETE /buy.php HTTP/1.1", "Host: shop.example")), "method", readable},
		{"written crookedly", from(page, strings.Replace(buy, "/buy", "//buy", 1)), "bad_request", readable},
		{"not even parsed", from(page, strings.Replace(buy, "Host:", "Te st: x\r\nHost:", 1)), "bad_request", map[string]string{}},
	} {
		a := g.send(c.raw)
		if got := crossed(a); a.reason() != c.reason || !maps.Equal(got, c.want) {
			t.Errorf("%s: got %s %v, want %s %v", c.name, a.reason(), got, c.reason, c.want)
		}
	}
	g.settled()
}

// Forwarded answers are the shop's, whatever it says about pages, and so is the request.
func TestForwardedAnswersKeepTheShopsWord(t *testing.T) {
	g := shared(t)
	raw := strings.Replace(buy, "\r\n", "\r\nOrigin: "+page+"\r\n", 1)
	if got := crossed(g.send(raw)); len(got) != 0 {
		t.Errorf("got %v of a shop that says nothing", got)
	}
	if got := <-g.shop.arrived; !strings.Contains(got, "Origin: "+page+"\r\n") {
		t.Errorf("the shop got %q, want the origin", got)
	}
	g.shop.saysRaw("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n")
	if got := crossed(g.send(raw)); !maps.Equal(got, map[string]string{"Access-Control-Allow-Origin": "*", "Vary": "Accept"}) {
		t.Errorf("got %v, want the shop's", got)
	}
	g.shop.says(func(string) []byte { return nil }) // it hangs up
	if a := g.send(raw); a.StatusCode != http.StatusBadGateway || crossed(a)["Access-Control-Allow-Origin"] != page {
		t.Errorf("got %d %v, want our failure readable", a.StatusCode, crossed(a))
	}
}
