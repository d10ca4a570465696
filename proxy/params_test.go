package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"penstock/rules"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
	partType = "multipart/form-data; boundary=b"
)

// part is one part of a multipart body with the boundary b.
func part(name, value string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

func TestQuantity(t *testing.T) {
	for s, want := range map[string]int{
		"1": 1, "9": 9, "10": 10, "9999": 9999,
		"": 0, "0": 0, "01": 0, "10000": 0, "-1": 0, "+1": 0, "1.0": 0, "1e3": 0, " 1": 0, "1 ": 0, "١": 0, "1\x00": 0, "0x1": 0, "99999999999999999999": 0,
	} {
		if got, ok := quantity(s); ok != (want != 0) || ok && got != want {
			t.Errorf("quantity %q: got %d, %v; want %d", s, got, ok, want)
		}
	}
}

func TestFind(t *testing.T) {
	cases := []struct {
		name, query, kind, body string
		at                      rules.SourceKind
		want                    found
	}{
		{"absent", "a=1", "", "", rules.FromQuery, found{}},
		{"query", "a=1&qty=2", "", "", rules.FromQuery, found{value: "2", n: 1, inPlace: 1}},
		{"escaped", "%71%74%79=%32", "", "", rules.FromQuery, found{value: "2", n: 1, inPlace: 1}},
		{"semicolon", "a=1;qty=2", "", "", rules.FromQuery, found{value: "2", n: 1, inPlace: 1}},
		{"no value", "qty", "", "", rules.FromQuery, found{n: 1, inPlace: 1}},
		{"empty pieces", "&&qty=2&;&", "", "", rules.FromQuery, found{value: "2", n: 1, inPlace: 1}},
		{"twice", "qty=1&qty=2", "", "", rules.FromQuery, found{value: "2", n: 2, inPlace: 2}},
		{"capitals", "qty=1&QtY=2", "", "", rules.FromQuery, found{value: "2", n: 2, inPlace: 2}},
		{"blank in front", "qty=1&+qty=2", "", "", rules.FromQuery, found{value: "2", n: 2, inPlace: 2}},
		{"NUL behind", "qty=1&qty%00x=2", "", "", rules.FromQuery, found{value: "2", n: 2, inPlace: 2}},
		{"list", "qty[]=1", "", "", rules.FromQuery, found{value: "1", n: 1, inPlace: 1, array: true}},
		{"list with a key", "qty[x]=1", "", "", rules.FromQuery, found{value: "1", n: 1, inPlace: 1, array: true}},
		{"open bracket", "qty[=1", "", "", rules.FromQuery, found{value: "1", n: 1, inPlace: 1, array: true}},
		{"form", "", formType, "qty=2", rules.FromForm, found{value: "2", n: 1, inPlace: 1}},
		{"form with charset", "", formType + "; charset=UTF-8", "qty=2", rules.FromForm, found{value: "2", n: 1, inPlace: 1}},
		{"form and query", "qty=1", formType, "qty=2", rules.FromForm, found{value: "2", n: 2, inPlace: 1}},
		{"query asked, form there", "", formType, "qty=2", rules.FromQuery, found{n: 1}},
		{"multipart", "", partType, part("qty", "2") + "--b--\r\n", rules.FromForm, found{value: "2", n: 1, inPlace: 1}},
		{"multipart twice", "", partType, part("qty", "2") + part("q%74y", "x") + part("Qty", "3") + "--b--\r\n", rules.FromForm, found{value: "3", n: 2, inPlace: 2}},
		{"JSON number", "", jsonType, `{"a":{"qty":9},"qty":2}`, rules.FromJSON, found{value: "2", n: 1, inPlace: 1}},
		{"JSON string", "", jsonType, `{"qty":"2"}`, rules.FromJSON, found{value: "2", n: 1, inPlace: 1}},
		{"JSON twice", "", jsonType, `{"qty":1,"qty":2}`, rules.FromJSON, found{value: "2", n: 2, inPlace: 2}},
		{"JSON escaped twice", "", jsonType, `{"qty":1,"\u0071ty":2}`, rules.FromJSON, found{value: "2", n: 2, inPlace: 2}},
		{"JSON capitals", "", jsonType, `{"qty":1,"QTY":2}`, rules.FromJSON, found{value: "2", n: 2, inPlace: 2}},
		{"JSON list", "", jsonType, `{"qty":[2]}`, rules.FromJSON, found{n: 1, inPlace: 1, array: true}},
		{"JSON object", "", jsonType, `{"qty":{"x":2}}`, rules.FromJSON, found{n: 1, inPlace: 1, array: true}},
		{"JSON null", "", jsonType, `{"qty":null}`, rules.FromJSON, found{n: 1, inPlace: 1, array: true}},
		{"JSON of a kind", "", "application/vnd.shop+json", `{"qty":2}`, rules.FromJSON, found{value: "2", n: 1, inPlace: 1}},
	}
	for _, c := range cases {
		p := params{query: []byte(c.query)}
		if p.setBody([]byte(c.kind), []byte(c.body)); p.broken {
			t.Errorf("%s: the body counts as broken", c.name)
		}
		if got := p.find(c.at, "qty"); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, sent := range []string{"order_qty=1&order.qty=9", "order_qty=1&order[qty=9", "order_qty=1&order+qty=9"} {
		p := params{query: []byte(sent)}
		if got := p.find(rules.FromQuery, "order_qty"); got.n != 2 {
			t.Errorf("%q: found %d times, want 2: to PHP they are one", sent, got.n)
		}
	}
}

func TestBodiesOfDoubtfulShape(t *testing.T) {
	const foreign = "foreign"
	cases := []struct{ name, kind, body, want string }{
		{"no type", "", "qty=1", foreign},
		{"another type", "text/plain", "qty=1", foreign},
		{"broken type", "application/json;", "{}", ""},
		{"EBCDIC form", formType + "; charset=ibm037", "qty=1", foreign},
		{"UTF-16 JSON", jsonType + "; charset=utf-16", "{}", foreign},
		{"JSON list", jsonType, `[{"qty":1}]`, foreign},
		{"JSON cut", jsonType, `{"qty":1`, "error"},
		{"JSON with a tail", jsonType, `{"qty":1}{"qty":9}`, "error"},
		{"JSON with a mark", jsonType, "\ufeff{}", "error"},
		{"JSON bomb", jsonType, `{"a":` + strings.Repeat("[", 1<<16) + "}", "error"},
		{"JSON of many members", jsonType, "{" + strings.Repeat(`"a":1,`, 200) + `"b":1}`, "error"},
		{"no boundary", "multipart/form-data", part("a", "1") + "--b--", "error"},
		{"two boundaries", "multipart/form-data; xboundary=c; boundary=b", part("a", "1") + "--b--", "error"},
		{"extended boundary", "multipart/form-data; boundary*=utf-8''b", part("a", "1") + "--b--", "error"},
		{"comma in the boundary", `multipart/form-data; boundary="b,c"`, "--b,c--", "error"},
		{"no end", partType, part("a", "1"), "error"},
		{"part without a name", partType, "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--", "error"},
		{"part without a disposition", partType, "--b\r\nX: y\r\n\r\n1\r\n--b--", "error"},
		{"part with two names", partType, "--b\r\nContent-Disposition: form-data; name=a; name=qty\r\n\r\n1\r\n--b--", "error"},
		{"part with a name in two ways", partType, "--b\r\nContent-Disposition: form-data; name=qty; name*=utf-8''a\r\n\r\n1\r\n--b--", "error"},
		{"two dispositions", partType, "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=qty\r\n\r\n1\r\n--b--", "error"},
		{"encoded part", partType, "--b\r\nContent-Disposition: form-data; name=qty\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--b--", "error"},
		{"part behind a bare LF", partType, part("a", "x\n--b\r\nContent-Disposition: form-data; name=\"qty\"\r\n\r\n9") + "--b--", "error"},
		{"part behind the end", partType, part("a", "1") + "--b--\r\n" + part("qty", "9") + "--b--\r\n", "error"},
	}
	for _, c := range cases {
		var p params
		p.setBody([]byte(c.kind), []byte(c.body))
		got := ""
		switch {
		case p.broken:
			got = "error"
		case p.kind == bodyForeign:
			got = foreign
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFactsOfEveryPlace(t *testing.T) {
	post := func(target, kind, body string, lines ...string) string {
		return crlf(append([]string{"POST " + target + " HTTP/1.1", "Host: shop", "Cookie: customer=a", "Content-Type: " + kind, fmt.Sprintf("Content-Length: %d", len(body))}, lines...)...) + body
	}
	item, qty := rules.Source{Name: "item"}, rules.Source{Name: "qty"}
	cases := []struct {
		kind rules.SourceKind
		raw  string
		want string // "item units", or a reason
	}{
		{rules.FromForm, post("/buy.php", formType, "item=red&qty=2"), "red 2"},
		{rules.FromForm, post("/buy.php", formType, "item=red"), "red 1"},
		{rules.FromForm, post("/buy.php", formType, "qty=2"), "bad_request"},
		{rules.FromForm, post("/buy.php", formType, "item=red&qty=2", "Content-Encoding: gzip"), "bad_request"},
		{rules.FromForm, post("/buy.php", partType, part("item", "red")+part("qty", "2")+"--b--\r\n"), "red 2"},
		{rules.FromJSON, post("/buy.php", jsonType, `{"item":"red","qty":2}`), "red 2"},
		{rules.FromJSON, post("/buy.php", formType, "item=red&qty=2"), "bad_request"},
		{rules.FromQuery, post("/buy.php?item=red&qty=2", formType, ""), "red 2"},
		{rules.FromQuery, post("/buy.php?item=red", formType, "qty=2"), "bad_request"},
		{rules.FromHeader, post("/buy.php", formType, "", "item: red", "QTY: 2"), "red 2"},
		{rules.FromHeader, post("/buy.php", formType, "", "item: red", "item: blue"), "bad_request"},
	}
	for _, c := range cases {
		g := newRig(t, func(s *rules.Set) {
			item.Kind, qty.Kind = c.kind, c.kind
			s.Sales[0].Item, s.Sales[0].Stock.Quantity = &item, &qty
		})
		a := g.send(c.raw)
		got := a.reason()
		if f := g.probes[stock].facts; got == "admitted" {
			got = fmt.Sprint(f.Item, " ", f.Units)
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.raw, got, c.want)
		}
	}
	g := newRig(t, func(s *rules.Set) {
		s.Sales[0].Match.Path = "/buy/*"
		s.Sales[0].Item = &rules.Source{Kind: rules.FromPath, Name: "/buy/*"}
		s.Sales[0].Stock.Quantity = &rules.Source{Kind: rules.FromHeader, Name: "X-Qty"}
	})
	g.send(post("/buy/red", formType, "", "X-Qty: 3"))
	if f := g.probes[stock].facts; f.Item != "red" || f.Units != 3 {
		t.Errorf("item in the path: got %q, %d units; want red, 3", f.Item, f.Units)
	}
	if a := g.send(post("/buy/red", formType, "", "X_Qty: 3")); a.reason() != "bad_request" {
		t.Errorf("a header that only CGI takes for ours: got %s, want bad_request", a.reason())
	}
}

func TestMatchSeesWhatTheShopMayTakeForIt(t *testing.T) {
	p := params{query: []byte("sku=+phone+&a=1")}
	if !p.Has(rules.FromForm, "SKU", "PHONE") || p.Has(rules.FromForm, "sku", "PHONES") || p.Has(rules.FromForm, "a", "PHONE") {
		t.Error("want sku=PHONE seen in any case, with blanks, in any place, and nothing else")
	}
}

// exact is what the standard library reads for a name, if it reads it once.
func exact(kind bodyKind, contentType, query, body string, name string) (values []string, ok bool) {
	read := func(s string) bool {
		v, err := url.ParseQuery(strings.ReplaceAll(s, ";", "&"))
		values = append(values, v[name]...)
		return err == nil
	}
	ok = read(query)
	switch kind {
	case bodyForm:
		ok = read(body) && ok
	case bodyMultipart:
		_, attrs, _ := mime.ParseMediaType(contentType)
		form := multipart.NewReader(strings.NewReader(body), attrs["boundary"])
		for {
			part, err := form.NextRawPart()
			if err != nil {
				return values, ok && err == io.EOF
			}
			if v, _ := io.ReadAll(part); part.FormName() == name {
				values = append(values, string(v))
			}
		}
	case bodyJSON:
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(body), &members) != nil {
			return nil, false
		}
		if raw, there := members[name]; there {
			var v any
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			d.Decode(&v)
			values = append(values, fmt.Sprint(v))
		}
	}
	return values, ok
}

// FuzzParams: nothing panics, and what is found once is what the standard
// library finds.
func FuzzParams(f *testing.F) {
	f.Add("qty=1", formType, "a=1&qty[]=2;%71ty=3")
	f.Add("a", partType, part("qty", "2")+"--b--\r\n")
	f.Add("", jsonType, `{"qty":1,"a":{"qty":[2]}}`)
	f.Add("q.ty=1&+qty%00=2", jsonType+"; charset=utf-8", `{"\u0071ty":"x"}`)
	f.Fuzz(func(t *testing.T, query, kind, body string) {
		p := params{query: []byte(query)}
		if p.setBody([]byte(kind), []byte(body)); p.broken {
			return
		}
		got := p.find(rules.FromQuery, "qty")
		if at := (map[bodyKind]rules.SourceKind{bodyForm: rules.FromForm, bodyMultipart: rules.FromForm, bodyJSON: rules.FromJSON})[p.kind]; at != 0 && got.inPlace == 0 {
			got = p.find(at, "qty")
		}
		values, ok := exact(p.kind, kind, query, body, "qty")
		if len(values) > got.n {
			t.Errorf("found %d times, the standard library found %d", got.n, len(values))
		}
		if ok && got.n == 1 && len(values) == 1 && !got.array && values[0] != got.value {
			t.Errorf("query %q, %s %q: got %q, the standard library %q", query, kind, body, got.value, values[0])
		}
	})
}
