package conformance

// Rows about bodies that are announced, limited, or followed by more: hazards 21, 22 and
// 45.

import (
	"fmt"
	"strings"
)

func bodyRows() []row {
	return append(append(expectations(), limits()...), pipelines()...)
}

func expectations() []row {
	expect := func(v string) string { return post("hello", "Expect: "+v, "Content-Length: 5") }
	var rows []row
	for _, v := range []string{"gifts", "x, 100-continue", "100-continue, x", "100-continue;x", "100-continue 100-continue", "200-ok", "", "y 100-continue", "100", "continue"} {
		rows = append(rows, bad(21, fmt.Sprintf("Expect: %q", v), expect(v)))
	}
	want := post("hello", "Content-Length: 5")
	return append(rows,
		passes(21, "100-continue", expect("100-continue"), want),
		passes(21, "100-Continue", expect("100-Continue"), want),
		passes(21, "100-continue without a body", get("Expect: 100-continue"), get()),
		passes(21, "100-continue with chunks", post("1\r\na\r\n0\r\n\r\n", "Expect: 100-continue", "Transfer-Encoding: chunked"), post("0001\r\na\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
		row{hazard: 21, name: "100-continue in HTTP/1.0", sent: head("POST /x HTTP/1.0", "Host: shop", "Expect: 100-continue", "Content-Length: 5") + "hello", origin: []string{want}, closed: true},
		bad(21, "Expect twice, one odd", post("hello", "Expect: 100-continue", "Expect: x", "Content-Length: 5")),
		bad(21, "Expect with underscore is none", post("hello", "Expect : 100-continue", "Content-Length: 5")),
		row{hazard: 21, name: "100-continue on a refused path", sent: head("PUT /checkout HTTP/1.1", "Host: shop", "Expect: 100-continue", "Content-Length: 50000"), status: 405},
	)
}

func limits() []row {
	const most = 1 << 20
	large := strings.Repeat("x", 700_000)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(large), large)
	sale := strings.Repeat("y", 70_000)
	return []row{
		{hazard: 22, name: "length above the limit", sent: post("", fmt.Sprintf("Content-Length: %d", most+1)), status: 413},
		{hazard: 22, name: "length far above the limit", sent: post("", "Content-Length: 9223372036854775807"), status: 413},
		{hazard: 22, name: "chunks above the limit", sent: post(chunk+chunk+"0\r\n\r\n", "Transfer-Encoding: chunked"), status: 413, begins: true},
		{hazard: 22, name: "a sale's length above its limit", sent: head("POST /cart/add HTTP/1.1", "Host: shop", "Content-Length: 70000") + sale, status: 413},
		{hazard: 22, name: "a sale's chunks above its limit", sent: head("POST /cart/add HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(sale), sale), status: 413},
		passes(22, "length at the limit", post(strings.Repeat("z", most), fmt.Sprintf("Content-Length: %d", most)), post(strings.Repeat("z", most), fmt.Sprintf("Content-Length: %d", most))),
	}
}

func pipelines() []row {
	one, two := get("X: 1"), post("hello", "Content-Length: 5")
	three := head("PUT /y HTTP/1.1", "Host: shop", "Transfer-Encoding: chunked")
	var many []string
	for i := range 50 {
		many = append(many, head(fmt.Sprintf("GET /%d HTTP/1.1", i), "Host: shop"))
	}
	return []row{
		passes(45, "three in one packet", one+two+three+"2\r\nab\r\n0\r\n\r\n", one, two, three+"0002\r\nab\r\n0\r\n\r\n"),
		passes(45, "fifty in one packet", strings.Join(many, ""), many...),
		passes(45, "empty lines between two", one+"\r\n\r\n"+two, one, two),
		passes(45, "empty line behind a body", two+"\r\n"+one, two, one),
		{hazard: 45, name: "a good one, a bad one and another", sent: one + get("X : y") + two, origin: []string{one}, status: 400},
		{hazard: 45, name: "a good one and letters", sent: two + "x:y" + one, origin: []string{two}, status: 400},
		{hazard: 45, name: "a body longer than said", sent: post("helloGET", "Content-Length: 5") + "\r\n\r\n", origin: []string{two}, status: 400},
		{hazard: 45, name: "Connection: close and another", sent: get("Connection: close") + two, origin: []string{get()}, closed: true},
	}
}
