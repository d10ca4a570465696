package conformance

// Rows about the request line and the lines under it: hazards 12 and 13.

import (
	"fmt"
	"strings"
)

func headRows() []row {
	var rows []row
	rows = append(rows, requestLines()...)
	rows = append(rows, methodRows()...)
	rows = append(rows, lineEnds()...)
	rows = append(rows, nameRows()...)
	rows = append(rows, hostRows()...)
	rows = append(rows, absoluteForms()...)
	return rows
}

func requestLines() []row {
	var rows []row
	for _, line := range []string{
		"GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/2", "GET / HTTP/0.9", "GET / HTTP/3.0", "GET / HTTP/1.01", "GET / HTTP/01.1", "GET / HTTP/1.1.1",
		"GET / HTTP/11", "GET / http/1.1", "GET / Http/1.1", "GET / HTTP/ 1.1", "GET / HTTP /1.1", "GET / HTTPS/1.1", "GET / HTTP/1,1", "GET / HTTP/+1.1", "GET / HTTP/1.1x",
		"GET / ICY/1.1", "GET /", "GET", "GET / ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ", "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1",
		"GET / HTTP/1.1\t", "GET / x HTTP/1.1", "GET /\x00 HTTP/1.1", "GET /\x0b HTTP/1.1", "GET /\r HTTP/1.1", "GET / HTTP/1.1\r", "GET / HTTP/1.1\x00",
		"PRI * HTTP/2.0", "\x00GET / HTTP/1.1", "\x16\x03\x01\x02\x00",
	} {
		rows = append(rows, bad(12, fmt.Sprintf("line %+q", line), head(line, "Host: shop")))
	}
	return append(rows,
		bad(12, "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		passes(12, "HTTP/1.0 kept alive", head("GET /x HTTP/1.0", "Host: shop", "Connection: keep-alive"), head("GET /x HTTP/1.1", "Host: shop")),
		row{hazard: 12, name: "HTTP/1.0", sent: head("GET /x HTTP/1.0", "Host: shop"), origin: []string{head("GET /x HTTP/1.1", "Host: shop")}, closed: true},
		passes(12, "leading empty lines", "\r\n\r\n"+get(), get()),
	)
}

func methodRows() []row {
	refused := func(name, sent string) row { return row{hazard: 12, name: name, sent: sent, status: 405, kept: true} }
	rows := []row{
		refused("TRACE", head("TRACE / HTTP/1.1", "Host: shop")),
		{hazard: 12, name: "CONNECT in origin form", sent: head("CONNECT /x HTTP/1.1", "Host: shop"), status: 405},
		{hazard: 12, name: "CONNECT", sent: head("CONNECT shop:80 HTTP/1.1", "Host: shop:80"), status: 405},
		{hazard: 12, name: "CONNECT with a body", sent: head("CONNECT shop:80 HTTP/1.1", "Host: shop:80", "Content-Length: 37") + inner, status: 405},
		{hazard: 12, name: "CONNECT and a request behind it", sent: head("CONNECT shop:80 HTTP/1.1", "Host: shop:80") + inner, status: 405},
	}
	for _, m := range []string{"get", "Get", "gET", "post", "M#$%&'*+.^_`|~", "G3T", "trace", "connect"} {
		rows = append(rows, refused("method "+m, head(m+" /checkout HTTP/1.1", "Host: shop")))
	}
	for _, m := range []string{"G(T", "G\"T", "G{T", "G/T", "G\x00T", "G\x7fT", "G\xe9T", "G@T", "G[T", "G:T", "G,T", "G;T"} {
		rows = append(rows, bad(12, fmt.Sprintf("method %+q", m), head(m+" / HTTP/1.1", "Host: shop")))
	}
	for _, m := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "BREW", "M-SEARCH"} {
		rows = append(rows, same(12, "method "+m, head(m+" /x HTTP/1.1", "Host: shop")))
	}
	return rows
}

func lineEnds() []row {
	return []row{
		bad(12, "all lines end in LF", "GET / HTTP/1.1\nHost: shop\n\n"+probe),
		bad(12, "a header ends in LF", "GET / HTTP/1.1\r\nHost: shop\nX-A: b\r\n\r\n"),
		bad(12, "the last header ends in LF", "GET / HTTP/1.1\r\nHost: shop\r\nX-A: b\n\r\n"),
		bad(12, "LF LF inside", "GET / HTTP/1.1\r\nHost: shop\n\nX-A: b\r\n\r\n"),
		bad(12, "CR alone ends a line", "GET / HTTP/1.1\r\nHost: shop\rX-A: b\r\n\r\n"),
		bad(12, "CR CR LF", "GET / HTTP/1.1\r\nHost: shop\r\r\nX-A: b\r\n\r\n"),
		bad(12, "CR in a value", get("X-A: b\rc")),
		bad(12, "CR in front of a name", get("\rX-A: b")),
		bad(12, "NUL in a value", get("X-A: b\x00c")),
		bad(12, "DEL in a value", get("X-A: b\x7fc")),
		bad(12, "control in a value", get("X-A: b\x01c")),
		bad(12, "escape in a value", get("X-A: b\x1b[31m")),
		bad(12, "folded with a space", get("X-A: b\r\n c")),
		bad(12, "folded with a tab", get("X-A: b\r\n\tc")),
		bad(12, "folded first line", "GET / HTTP/1.1\r\n Host: shop\r\nHost: shop\r\n\r\n"),
		bad(12, "folded Host", "GET / HTTP/1.1\r\nHost:\r\n shop\r\n\r\n"),
		bad(12, "folded empty line", "GET / HTTP/1.1\r\nHost: shop\r\nX: y\r\n \r\n\r\n"),
		bad(12, "folded Connection", get("Connection: close,\r\n X-Forwarded-For")),
		passes(12, "space around a value", get("X-A:\t  b c \t"), get("X-A: b c")),
		passes(12, "empty value", get("X-A:"), get("X-A: ")),
		same(12, "8-bit value", get("X-A: caf\xc3\xa9 \xff")),
		same(12, "tab inside a value", get("X-A: b\tc")),
	}
}

func nameRows() []row {
	var rows []row
	for _, line := range []string{"X A: b", "X-A : b", "X-A\t: b", "X\tA: b", ": b", " : b", "X-A", "X\x00A: b", "X-A\x00: b", "X-\xe9: b", "X(A): b", "X\"A: b", "X,A: b",
		"X/A: b", "X;A: b", "X=A: b", "X@A: b", "X[A]: b", "X{A}: b", "X\\A: b", "X\x7fA: b", "X\x0bA: b", "<X>: b", "GET / HTTP/1.1", "X?A: b"} {
		rows = append(rows, bad(12, fmt.Sprintf("name %+q", line), get(line)))
	}
	many := func(n int) string { return strings.Repeat("A: b\r\n", n) }
	return append(rows,
		same(12, "all the letters of a token", get("!#$%&'*+-.^_`|~0aZ: b")),
		same(12, "100 lines", "GET / HTTP/1.1\r\nHost: shop\r\n"+many(99)+"\r\n"),
		row{hazard: 12, name: "101 lines", sent: "GET / HTTP/1.1\r\nHost: shop\r\n" + many(100) + "\r\n", status: 431, kept: true},
		row{hazard: 12, name: "700 lines", sent: "GET / HTTP/1.1\r\nHost: shop\r\n" + many(700) + "\r\n", status: 431, kept: true},
		row{hazard: 12, name: "head larger than allowed", sent: get("X: " + strings.Repeat("a", 20000)), status: 431},
		row{hazard: 12, name: "target larger than allowed", sent: head("GET /"+strings.Repeat("a", 20000)+" HTTP/1.1", "Host: shop"), status: 431},
		row{hazard: 12, name: "name larger than allowed", sent: get(strings.Repeat("a", 20000) + ": b"), status: 431},
		bad(18, "Content-Type twice", post("", "Content-Length: 0", "Content-Type: text/plain", "Content-Type: application/json")),
		bad(18, "Content-Type and an alias", post("", "Content-Length: 0", "Content-Type: text/plain", "Content_Type: application/json")),
	)
}

func hostRows() []row {
	var rows []row
	for _, h := range []string{"bob:pw@shop", "bob@shop", "shop@evil", "shop/", "shop/../x", "shop?x", "shop#x", "shop:80:80", "shop:x", "shop:-1", "shop:+80", "shop: 80",
		"shop:080808", "shop evil", "shop\tevil", "shop,evil", "shop;evil", "sh\xc3\xb6p", "sh%6fp", "shop\\evil", "<shop>", "\"shop\"", "[::1", "::1", "[::1]x", "[::g]", "[shop]", "[]", ":80", "", ".", "http://shop",
		"shop\x00", "shop\x0b", "'shop'", "{shop}", "shop|x", "shop$x", "shop&x", "*", "shop..", ".shop", "shop..example", "sh!op"} {
		rows = append(rows, bad(13, fmt.Sprintf("Host %+q", h), head("GET / HTTP/1.1", "Host: "+h)))
	}
	for _, h := range []string{"shop", "SHOP", "shop.example", "shop.", "shop:", "shop:80", "shop:8080", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80", "sh_op", "xn--shp-sna.example", "a-b.c"} {
		rows = append(rows, same(13, "Host "+h, head("GET / HTTP/1.1", "Host: "+h)))
	}
	return append(rows,
		bad(13, "no Host", head("GET / HTTP/1.1")),
		bad(13, "no Host but another line", head("GET / HTTP/1.1", "X-A: b")),
		bad(13, "two Hosts", head("GET / HTTP/1.1", "Host: shop", "Host: evil")),
		bad(13, "two Hosts, the same", head("GET / HTTP/1.1", "Host: shop", "Host: shop")),
		bad(13, "two Hosts in odd case", head("GET / HTTP/1.1", "Host: shop", "hOST: evil")),
		bad(13, "two Hosts, one before a space", head("GET / HTTP/1.1", "Host: shop", "Host : evil")),
		bad(13, "two Hosts, one folded", "GET / HTTP/1.1\r\nHost: shop\r\n Host: evil\r\n\r\n"),
		bad(13, "two Hosts in HTTP/1.0", head("GET / HTTP/1.0", "Host: shop", "Host: evil")),
		passes(13, "Host is moved to the front", head("GET / HTTP/1.1", "X-A: b", "hOsT: shop"), head("GET / HTTP/1.1", "hOsT: shop", "X-A: b")),
	)
}

func absoluteForms() []row {
	var rows []row
	for _, target := range []string{"http://evil/p", "http://evil:80/p", "http://shop.evil/p", "http://shop@evil/p", "http://bob:pw@shop/p", "http://bob@shop/p", "http:///p", "http://", "http:/p", "http:p",
		"ftp://shop/p", "file:///etc/passwd", "javascript:x", "gopher://shop/p", "ws://shop/p", "http://shop?x", "http://shop", "http://shop#x", "http://shop\\p", "http://shop:/p", "http://shop:80/p", "http://shop./p", "http://shop:x/p", "http://[::1/p",
		"shop/p", "p", "?x", "#x", "*", "shop:80", "https//shop/p", "http:\\\\shop\\p", "http://shop%2fp/", "http://shop /p"} {
		rows = append(rows, bad(13, fmt.Sprintf("target %+q", target), head("GET "+target+" HTTP/1.1", "Host: shop")))
	}
	ask := func(target, host string) string { return head("GET "+target+" HTTP/1.1", "Host: "+host) }
	return append(rows,
		bad(13, "* with GET", ask("*", "shop")),
		bad(13, "POST * on a sale's host", head("POST * HTTP/1.1", "Host: shop", "Content-Length: 0")),
		same(13, "OPTIONS *", head("OPTIONS * HTTP/1.1", "Host: shop")),
		passes(13, "absolute form", ask("http://shop/p?q", "shop"), ask("/p?q", "shop")),
		passes(13, "absolute form in odd case", ask("HtTp://SHOP/p", "shop"), ask("/p", "shop")),
		passes(13, "absolute form of https", ask("https://shop/p", "shop"), ask("/p", "shop")),
		passes(13, "absolute form with a port", ask("http://shop:8080/p", "shop:8080"), ask("/p", "shop:8080")),
		passes(13, "absolute form with two slashes", ask("http://shop//p", "shop"), ask("//p", "shop")),
		bad(13, "absolute form onto a sale, crooked", head("POST http://shop//checkout HTTP/1.1", "Host: shop", "Content-Length: 0")),
		row{hazard: 13, name: "absolute form onto a sale", sent: head("GET http://shop/checkout HTTP/1.1", "Host: shop"), status: 405, kept: true},
		same(13, "origin form with a scheme in the query", ask("//evil.test/p?u=http://x", "shop")),
		same(13, "origin form with a scheme in the path", ask("/p/http://evil.test/q", "shop")),
		same(13, "origin form with two slashes", ask("//evil.test/p", "shop")),
		same(13, "origin form of two slashes", ask("//", "shop")),
		same(13, "at sign in the path", ask("/@evil.test/p", "shop")),
	)
}
