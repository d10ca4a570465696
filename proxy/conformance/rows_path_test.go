package conformance

// Rows about targets: hazards 14 and 15. The path is matched in every form that some
// server may make of it, and is forwarded in the one that was sent.

import "fmt"

func pathRows() []row {
	return append(append(saleForms(), odd()...), queries()...)
}

// saleForms are ways to write the path of a sale without writing it.
func saleForms() []row {
	order := func(target string) string {
		return head("POST "+target+" HTTP/1.1", "Host: shop", "Content-Length: 0")
	}
	var rows []row
	for _, target := range []string{
		"//checkout", "///checkout", "/./checkout", "/x/../checkout", "/x/y/../../checkout", "/../checkout", "/checkout/.", "/checkout/", "/checkout//", "/checkout/x/..", "/checkout/./", "/.//checkout",
		"/%63heckout", "/%43heckout/../checkout", "/checkou%74", "/%63%68%65%63%6b%6f%75%74", "/%2563heckout", "/%252563heckout", "/%2e/checkout", "/x/%2e%2e/checkout", "/x/%2E%2e/checkout", "/x/.%2e/checkout", "/x/%252e%252e/checkout",
		"/%2fcheckout", "/%2Fcheckout", "/checkout%2f", "/checkout%2F", "/x%2f..%2fcheckout", "/x/..%2fcheckout", "/x%2f../checkout", "/%2f/checkout", "/checkout%2f.", "/checkout%2fx%2f..",
		"/checkout;jsessionid=1", "/checkout;a=b;c", "/checkout;", "/;x/checkout", "/x;y/../checkout", "/x/..;/checkout", "/x/..;a=b/checkout", "/;/checkout", "/checkout;/", "/checkout/;x", "/.;/checkout", "/checkout%3bx", "/checkout%3Bx",
		"/\\checkout", "/x\\..\\checkout", "/x\\../checkout", "/x/..\\checkout", "/%5ccheckout", "/%5Ccheckout", "/x%5c..%5ccheckout", "/checkout\\", "/checkout%5c", "/checkout%5c.",
		"/checkout%3fx", "/checkout%3Fx=1", "/checkout%23x", "/checkout%20/../checkout", "/checkout%2500", "/checkout%253fx",
		"/%63heckout?x=1", "//checkout?x=http://y", "/x/../checkout?", "/x.php/../checkout", "/x.html/..;/checkout",
	} {
		rows = append(rows, bad(14, "sale at "+target, order(target)))
	}
	return append(rows,
		same(14, "sale as it is", order("/checkout")),
		same(14, "sale with a query", order("/checkout?x=1&y=%2f..%2f")),
		row{hazard: 14, name: "another method on a sale's path", sent: head("PUT /checkout HTTP/1.1", "Host: shop"), status: 405, kept: true},
		row{hazard: 14, name: "GET on a sale's path", sent: head("GET /checkout HTTP/1.1", "Host: shop"), status: 405, kept: true},
		row{hazard: 14, name: "HEAD on a sale's path", sent: head("HEAD /checkout HTTP/1.1", "Host: shop"), status: 405, kept: true},
		same(14, "other letters", order("/CHECKOUT")),
		same(14, "longer name", order("/checkouts")),
		same(14, "shorter name", order("/checkou")),
		same(14, "below the sale", order("/checkout/x")),
		same(14, "above and away", order("/checkout/../x")),
		same(14, "in the query only", order("/x?/../checkout")),
		same(14, "escaped other letters", order("/%43HECKOUT")),
	)
}

// odd targets go as they are, or not at all.
func odd() []row {
	var rows []row
	for _, target := range []string{
		"/a/%2e%2e/b//c/./%2Fd", "/a//b", "/a/./b", "/a/../b", "/..", "/.", "/%", "/%z", "/%zz", "/%c", "/a%", "/%C3%A9", "/%c3%a9", "/%ff", "/a+b", "/a%20b", "/a;b=c/d", "/%2561", "/%61", "/a%2fb", "/a%2Fb",
		"/<>\"{}|^`", "/\\", "/a\\b", "/~x", "/a:b", "/a,b", "/a=b&c", "/'x'", "/(x)", "/!$*", "/[x]", "/\xc3\xa9", "/\xff\xfe", "/%0a", "/%0d%0aX:%20y", "/%09", "/%1f", "/%7f", "/a%3Fb", "/a%23b", "/%u0041", "/a%25",
	} {
		rows = append(rows, same(14, fmt.Sprintf("path %+q", target), head("GET "+target+" HTTP/1.1", "Host: shop")))
	}
	for _, target := range []string{"/%00", "/a%00.php", "/a%00/b?x", "/#", "/a#b", "/?#", "/a?b#c", "/a\x7f", "/a\x01"} {
		rows = append(rows, bad(14, fmt.Sprintf("path %+q", target), head("GET "+target+" HTTP/1.1", "Host: shop")))
	}
	return rows
}

func queries() []row {
	var rows []row
	for _, q := range []string{
		"?", "??", "?a", "?a=", "?=", "?&", "?a&a", "?a=1&a=2", "?b=%2f+%41&c=1;d=2&e=%zz", "?a=%00", "?%00", "?a=b=c", "?a[]=1&a[0]=2", "?a=<>\"{}|^`\\", "?\xc3\xa9=\xff", "?a=http://x/?y", "?+%2B%20", "?;", "?a;b", "?%", "?a=%0d%0aX:y",
		"?sig=AbC%2Bd/e+f%3D&Expires=1&x-amz=%7E~", "?a=/../../checkout", "?a=%252f",
	} {
		rows = append(rows, same(15, fmt.Sprintf("query %+q", q), head("GET /a"+q+" HTTP/1.1", "Host: shop")))
	}
	const form = "Content-Type: application/x-www-form-urlencoded"
	body := "sku=OTHER&b=%2f+%41&c=1;d=2&e=%zz"
	rows = append(rows,
		same(15, "form that was read for its sale", head("POST /cart/add?b=%2f+%41;c&e=%zz HTTP/1.1", "Host: shop", form, fmt.Sprintf("Content-Length: %d", len(body)))+body),
		same(15, "form that is a sale's", head("POST /cart/add HTTP/1.1", "Host: shop", form, "Content-Length: 19")+"x=%zz&sku=PHONE&y=+"),
		same(15, "form that names its sale and another", head("POST /cart/add HTTP/1.1", "Host: shop", form, "Content-Length: 19")+"sku=PHONE&sku=OTHER"),
		bad(15, "form in a coding", head("POST /cart/add HTTP/1.1", "Host: shop", form, "Content-Encoding: gzip", "Content-Length: 9")+"sku=PHONE"),
		bad(15, "form of another type", head("POST /cart/add HTTP/1.1", "Host: shop", "Content-Type: text/plain", "Content-Length: 9")+"sku=PHONE"),
	)
	return rows
}
