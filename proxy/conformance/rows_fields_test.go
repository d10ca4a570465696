package conformance

// Rows about header lines on their way through: hazards 16 to 20, 29 and 30.

import (
	"fmt"
	"strings"
)

func fieldRows() []row {
	var rows []row
	rows = append(rows, cookieRows()...)
	rows = append(rows, hops()...)
	rows = append(rows, forged()...)
	rows = append(rows, unchanged()...)
	return rows
}

// ugly are cookies as they are met in the wild.
var ugly = []string{
	`a=1; wr=tok; bad cookie; j={"k": "v;w"}; e=`,
	`consent={"stamp":"x+/=","necessary":true,"utc":1700000000000,"region":"de"}`,
	`_ga=GA1.2.3.4; _gid=GA1.2.5.6; _gat_UA-1-1=1`,
	`euconsent-v2=CPx.YAAA-_; OptanonConsent=isIABGlobal=false&datestamp=Fri+Nov+27+2026+20%3A00%3A00+GMT%2B0100&version=6.1`,
	`PHPSESSID=abc; PHPSESSID=def`,
	`laravel_session=eyJpdiI6Ik==%3D; XSRF-TOKEN=eyJ%3D%3D`,
	`wp-settings-1=libraryContent%3Dbrowse; wordpress_logged_in_0=bob%7C17%7Ctok`,
	`"quoted"="va\"lue"`, `a="b; c"`, `=noname`, `noname`, `;`, `; ;`, `a=b;`, `a=b;;c=d`, ` a=b`, `a=b ;c=d`, `a = b`, `a=b,c=d`,
	`$Version=1; a=b; $Path="/"`, `a=caf` + "\xc3\xa9", `a=` + "\xff\xfe", `a=<script>`, `a=b\c`, `a=[1,2]`, `a={}`, `a=@`, `a==b==`, `a=%00`, `a=%zz`, `ключ=значение`, `a=b; Path=/; HttpOnly`,
}

func cookieRows() []row {
	var rows []row
	for _, c := range ugly {
		want := get("Cookie: " + strings.Trim(c, " "))
		rows = append(rows, passes(16, fmt.Sprintf("cookie %+q", c), get("Cookie: "+c), want))
	}
	all := make([]string, len(ugly))
	for i, c := range ugly {
		all[i] = "Cookie: " + strings.Trim(c, " ")
	}
	return append(rows,
		same(16, "all of them in lines", get(all...)),
		same(16, "all of them in one line", get("Cookie: "+strings.Join(ugly[:14], "; "))),
		passes(16, "ours among them", get(`Cookie: a=1; penstock_visitor=x; j={"k": "v"}; penstock_pass=y;z`), get(`Cookie: a=1; j={"k": "v"};z`)),
		passes(16, "ours alone", get("Cookie: penstock_pass=y"), get()),
		same(16, "nearly ours", get("Cookie: xpenstock_pass=y; Penstock=z")),
		same(16, "two lines in order", get("cookie: b=2", "X: y", "COOKIE: a=1", "Cookie: c=3")),
		same(16, "long cookie", get("Cookie: a="+strings.Repeat("x", 8000))),
	)
}

func hops() []row {
	var rows []row
	for _, line := range []string{"Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: trailers", "TE: gzip;q=1, trailers", "Trailer: X-A", "Upgrade: h2c", "Upgrade: foo/2",
		"keep-alive: x", "TRAILER: x", "Connection:", "Connection: keep-alive"} {
		rows = append(rows, passes(29, "hop by hop "+line, get(line), get()))
	}
	const forged = "X-Forwarded-For: 9.9.9.9"
	return append(rows,
		passes(29, "named in Connection", get("X-A: 1", "Connection: X-A", "X-B: 2"), get("X-B: 2")),
		passes(29, "named in Connection in odd case", get("x-a: 1", "CONNECTION: X-A"), get()),
		passes(29, "named in a list", get("X-A: 1", "X-B: 2", "Connection: keep-alive ,\tX-A,,  X-B"), get()),
		passes(29, "named in the second line", get("Connection: keep-alive", "X-A: 1", "Connection: X-A"), get()),
		passes(29, "named behind an empty line", get("Connection:", "X-A: 1", "Connection: X-A"), get()),
		passes(29, "ours named in Connection", get("Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, X-Real-Ip", forged), get()),
		passes(29, "Host named in Connection", get("Connection: Host"), get()),
		passes(29, "framing named in Connection", post("hello", "Connection: Content-Length", "Content-Length: 5"), post("hello", "Content-Length: 5")),
		passes(29, "chunks named in Connection", post("1\r\na\r\n0\r\n\r\n", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked"), post("0001\r\na\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
		passes(29, "h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), get()),
		row{hazard: 29, name: "Connection: close", sent: get("Connection: close"), origin: []string{get()}, closed: true},
		row{hazard: 29, name: "Connection: Close, X-A", sent: get("Connection: Close, X-A", "X-A: 1"), origin: []string{get()}, closed: true},
		row{hazard: 29, name: "close in the second line", sent: get("Connection: keep-alive", "Connection: close"), origin: []string{get()}, closed: true},
		passes(30, "forwarded address as a trailer that is allowed", post("0\r\nX-A: 9.9.9.9\r\n\r\n", "Transfer-Encoding: chunked", "Trailer: X-A"), post("0\r\n\r\n", "Transfer-Encoding: chunked")),
		row{hazard: 30, name: "X-Forwarded-For as a trailer", sent: post("0\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n", "Transfer-Encoding: chunked"), status: 400, begins: true},
		row{hazard: 30, name: "Host as a trailer", sent: post("0\r\nHost: evil\r\n\r\n", "Transfer-Encoding: chunked"), status: 400, begins: true},
		row{hazard: 30, name: "Content-Length as a trailer", sent: post("0\r\nContent-Length: 5\r\n\r\n", "Transfer-Encoding: chunked"), status: 400, begins: true},
		row{hazard: 30, name: "Transfer-Encoding as a trailer", sent: post("0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked"), status: 400, begins: true},
		row{hazard: 30, name: "Cookie as a trailer", sent: post("0\r\nCookie: a=b\r\n\r\n", "Transfer-Encoding: chunked"), status: 400, begins: true},
	)
}

func forged() []row {
	var rows []row
	for _, name := range []string{"X-Forwarded-For", "x-forwarded-for", "X-FORWARDED-FOR", "X_Forwarded_For", "X-Forwarded_For", "x_FORWARDED-for", "X-Forwarded-Proto", "x-forwarded-proto", "X_Forwarded_Proto", "X-Forwarded-Host", "X-Forwarded-Port",
		"X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded", "Forwarded", "forwarded", "Forwarded-For", "X-Real-IP", "x-real-ip", "X_Real_Ip", "X-Client-IP", "Client-IP", "client_ip", "True-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP",
		"X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-Original-URL", "X-Rewrite-URL", "x-original-url", "X_Rewrite_Url", "X-Request-Id", "x-request-id", "Penstock-Reservation", "penstock-deadline", "PENSTOCK_PASS", "Penstock-Outcome"} {
		rows = append(rows, passes(17, "forged "+name, get(name+": 9.9.9.9"), get()))
	}
	sale := func(line string) string {
		return head("POST /checkout HTTP/1.1", "Host: shop", line, "Content-Length: 0")
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http-method-override", "X_HTTP_METHOD_OVERRIDE"} {
		rows = append(rows,
			bad(14, "override by "+name, sale(name+": PUT")),
			same(14, "override elsewhere by "+name, get(name+": PUT")))
	}
	return rows
}

func unchanged() []row {
	multipart := "preamble\r\n--b\r\nX-Odd:  y\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\r\n\r\n\x00\xff1\r\n--b--\r\nepilogue"
	return []row{
		same(17, "order, case and repeats", get("x-B: 1", "X-a: 2", "x-b: 3", "ACCEPT: */*", "accept: text/x", "X_c: 4")),
		same(18, "User-Agent twice", get("User-Agent: a", "user-agent: b")),
		same(18, "Accept-Encoding twice", get("Accept-Encoding: gzip", "Accept-Encoding: br")),
		same(18, "Content-Encoding twice", post("", "Content-Encoding: gzip", "Content-Encoding: br")),
		same(18, "Authorization twice", get("Authorization: a", "Authorization: b")),
		passes(19, "multipart byte for byte", post(multipart, "Content-Type: multipart/form-data; boundary=b", fmt.Sprintf("Content-Length: %d", len(multipart))),
			post(multipart, "Content-Type: multipart/form-data; boundary=b", fmt.Sprintf("Content-Length: %d", len(multipart)))),
		passes(19, "multipart without a boundary", post(multipart, "Content-Type: multipart/form-data", fmt.Sprintf("Content-Length: %d", len(multipart))),
			post(multipart, "Content-Type: multipart/form-data", fmt.Sprintf("Content-Length: %d", len(multipart)))),
		same(20, "nothing made up for GET", get()),
		same(20, "nothing made up for POST", post("")),
		same(20, "nothing made up for a body", post("ab", "Content-Length: 2")),
		same(20, "nothing made up for DELETE", head("DELETE /x HTTP/1.1", "Host: shop")),
		same(20, "empty User-Agent", get("User-Agent: ")),
		same(17, "Range and conditions", get("Range: bytes=0-1,5-", "If-Match: \"x\"", "If-Modified-Since: never", "If-Range: y")),
		same(17, "Max-Forwards and Via", get("Max-Forwards: 0", "Via: 1.1 cdn")),
	}
}
