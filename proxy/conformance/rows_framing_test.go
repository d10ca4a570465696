package conformance

// Rows about where a request ends: hazards 1, 11, 12 and 23. Most of them come from
// published ways to smuggle one request inside another: two readers that disagree on the
// length of the first.

import (
	"fmt"
	"strings"
)

const inner = "GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"

func framingRows() []row {
	var rows []row
	rows = append(rows, bothFramings()...)
	rows = append(rows, lengths()...)
	rows = append(rows, codings()...)
	rows = append(rows, chunkRows()...)
	rows = append(rows, unreadBodies()...)
	return rows
}

func bothFramings() []row {
	const cl, te = "Content-Length: 5", "Transfer-Encoding: chunked"
	clte := fmt.Sprintf("Content-Length: %d", len("0\r\n\r\n"+inner))
	return []row{
		bad(11, "CL then TE", post("0\r\n\r\n", cl, te)),
		bad(11, "TE then CL", post("0\r\n\r\n", te, cl)),
		bad(11, "CL and TE in odd case", post("0\r\n\r\n", "cONTENT-lENGTH: 5", "tRANSFER-eNCODING: cHUNKED")),
		bad(11, "CL.TE with a request inside", post("0\r\n\r\n"+inner, clte, te)),
		bad(11, "TE.CL with a request inside", post(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner), te, "Content-Length: 4")),
		bad(11, "CL 0 and TE", post("0\r\n\r\n", "Content-Length: 0", te)),
		bad(11, "CL and TE identity", post("hello", cl, "Transfer-Encoding: identity")),
		bad(11, "CL and an empty TE", post("hello", cl, "Transfer-Encoding:")),
		bad(11, "CL and TE with underscore", post("hello", cl, "Transfer_Encoding: chunked")),
		bad(11, "CL with underscore and TE", post("0\r\n\r\n", "Content_Length: 5", te)),
		bad(11, "CL and TE on GET", get(cl, te)+"0\r\n\r\n"),
		bad(11, "CL and TE in HTTP/1.0", head("POST /x HTTP/1.0", "Host: shop", cl, te)+"0\r\n\r\n"),
	}
}

func lengths() []row {
	var rows []row
	for _, v := range []string{"+5", "-5", "5,5", "5, 5", "5 5", "5;", "0x5", "5.0", "5e0", "", "a", "\"5\"", "５",
		"99999999999999999999", "18446744073709551621", "9223372036854775808", "5\x0b", "\x0b5", "5\x00", "\xa05"} {
		rows = append(rows, bad(12, fmt.Sprintf("CL of %+q", v), post("hello", "Content-Length: "+v)))
	}
	return append(rows,
		bad(12, "CL twice the same", post("hello", "Content-Length: 5", "Content-Length: 5")),
		bad(12, "CL twice different", post("hello", "Content-Length: 5", "Content-Length: 0")),
		bad(12, "CL twice in odd case", post("hello", "Content-Length: 5", "content-length: 6")),
		bad(12, "CL and CL with underscore", post("hello", "Content-Length: 5", "Content_Length: 6")),
		bad(12, "CL of another name", post("hello", "Content-Length: 5", "Content-Length : 6")),
		bad(12, "CL folded", "POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length:\r\n 5\r\n\r\nhello"),
		bad(12, "CL continued", "POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n 5\r\n\r\nhello"),
		passes(12, "CL with leading zeros", post("hello", "Content-Length: 0005"), post("hello", "Content-Length: 5")),
		passes(12, "CL with space around", post("hello", "Content-Length: \t 5 \t"), post("hello", "Content-Length: 5")),
		same(12, "CL 0", post("", "Content-Length: 0")),
		same(12, "no body said", post("")),
		passes(12, "0.CL: GET with a body that is a request", get(fmt.Sprintf("Content-Length: %d", len(inner)))+inner,
			get(fmt.Sprintf("Content-Length: %d", len(inner)))+inner),
		passes(12, "HEAD with a body that is a request", head("HEAD /x HTTP/1.1", "Host: shop", fmt.Sprintf("Content-Length: %d", len(inner)))+inner,
			head("HEAD /x HTTP/1.1", "Host: shop", fmt.Sprintf("Content-Length: %d", len(inner)))+inner),
		passes(12, "CL.0: POST with a body that is a request", post(inner, fmt.Sprintf("Content-Length: %d", len(inner))),
			post(inner, fmt.Sprintf("Content-Length: %d", len(inner)))),
		passes(12, "DELETE with a body", head("DELETE /x HTTP/1.1", "Host: shop", "Content-Length: 2")+"ab",
			head("DELETE /x HTTP/1.1", "Host: shop", "Content-Length: 2")+"ab"),
		passes(12, "OPTIONS with a body", head("OPTIONS * HTTP/1.1", "Host: shop", "Content-Length: 2")+"ab",
			head("OPTIONS * HTTP/1.1", "Host: shop", "Content-Length: 2")+"ab"),
	)
}

func codings() []row {
	const body = "0\r\n\r\n"
	var rows []row
	for _, v := range []string{"identity", "", "gzip", "xchunked", "chunkedx", "chunked, identity", "identity, chunked", "gzip, chunked",
		"chunked, chunked", "chunked,", ",chunked", "chunked;q=1", "chunked; a=b", "\"chunked\"", "'chunked'", "chunk", "cow",
		"\x0bchunked", "\x0cchunked", "chunked\x0b", "chunked\x00", "\x00chunked", "chunked\xa0", "\xa0chunked", "chun\tked", "c hunked", "x chunked"} {
		rows = append(rows, bad(12, fmt.Sprintf("TE of %+q", v), post(body, "Transfer-Encoding: "+v)))
	}
	for _, line := range []string{"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked",
		"Transfer-Encoding\x00: chunked", "Transfer-Encoding\x0b: chunked", "Transfer Encoding: chunked", "Transfer-Encoding\xa0: chunked",
		"\x00Transfer-Encoding: chunked", "Transfer-Encoding\r: chunked", "X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked",
		"Transfer-Encoding:\r\n chunked", "Transfer-Encoding:\r\n\tchunked", "Transfer-Encoding: chunked\r\n , identity", "Transfer-Encoding:\n chunked"} {
		rows = append(rows, bad(12, fmt.Sprintf("TE line %+q", line), post(body, line)))
	}
	return append(rows,
		bad(12, "TE twice", post(body, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
		bad(12, "TE twice in odd case", post(body, "Transfer-Encoding: chunked", "transfer-encoding: identity")),
		bad(12, "TE twice, the second odd", post(body, "Transfer-Encoding: chunked", "Transfer-encoding: cow")),
		bad(12, "TE and TE with underscore", post(body, "Transfer-Encoding: chunked", "Transfer_Encoding: chunked")),
		bad(12, "TE in HTTP/1.0", head("POST /x HTTP/1.0", "Host: shop", "Transfer-Encoding: chunked")+body),
		bad(12, "TE with underscore", post(body, "Transfer_Encoding: chunked")),
		passes(12, "TE in odd case and space", post(body, "tRaNsFeR-EnCoDiNg: \t cHuNkEd \t"), post(body, "Transfer-Encoding: chunked")),
		passes(12, "TE without a space", post(body, "Transfer-Encoding:chunked"), post(body, "Transfer-Encoding: chunked")),
		passes(12, "TE.0: a chunked body that is a request", post(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner), "Transfer-Encoding: chunked"),
			post(fmt.Sprintf("%04x\r\n%s\r\n0\r\n\r\n", len(inner), inner), "Transfer-Encoding: chunked")),
		passes(12, "chunked GET", get("Transfer-Encoding: chunked")+"1\r\na\r\n0\r\n\r\n", get("Transfer-Encoding: chunked")+"0001\r\na\r\n0\r\n\r\n"),
	)
}

// chunkRows are bodies: a request is streamed, so of one that breaks off the origin may
// have seen the beginning, but never a whole.
func chunkRows() []row {
	const te = "Transfer-Encoding: chunked"
	var rows []row
	for _, c := range [][2]string{
		{"size in 0x", "0x5\r\nhello\r\n0\r\n\r\n"},
		{"negative size", "-5\r\nhello\r\n0\r\n\r\n"},
		{"size with a plus", "+5\r\nhello\r\n0\r\n\r\n"},
		{"size with an underline", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n"},
		{"size of 16 digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"},
		{"size that overflows", "fffffffffffffffb\r\nhello\r\n0\r\n\r\n"},
		{"size behind a space", " 5\r\nhello\r\n0\r\n\r\n"},
		{"size behind a tab", "\t5\r\nhello\r\n0\r\n\r\n"},
		{"size and a letter", "5g\r\nhello\r\n0\r\n\r\n"},
		{"size and NUL", "5\x00\r\nhello\r\n0\r\n\r\n"},
		{"no size", "\r\nhello\r\n0\r\n\r\n"},
		{"no size but extension", ";a=b\r\nhello\r\n0\r\n\r\n"},
		{"LF behind the size", "5\nhello\r\n0\r\n\r\n"},
		{"CR behind the size", "5\rhello\r\n0\r\n\r\n"},
		{"CR CR LF", "5\r\r\nhello\r\n0\r\n\r\n"},
		{"LF behind the data", "5\r\nhello\n0\r\n\r\n"},
		{"nothing behind data", "5\r\nhello0\r\n\r\n"},
		{"data too long", "5\r\nhelloo\r\n0\r\n\r\n"},
		{"LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"},
		{"request in extension", "0;\nPOST /smuggled HTTP/1.1\r\n\r\n"},
		{"CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"},
		{"trailer with CR", "5\r\nhello\r\n0\r\nX: y\rz\r\n\r\n"},
		{"LF behind the last", "5\r\nhello\r\n0\n\r\n"},
		{"letters behind last", "5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"},
	} {
		r := bad(12, "chunk: "+c[0], post(c[1], te))
		r.begins = true
		rows = append(rows, r)
	}
	const want = "0005\r\nhello\r\n0\r\n\r\n"
	for _, c := range [][2]string{
		{"extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"},
		{"quoted extension", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"},
		{"space behind size", "5 \r\nhello\r\n0\r\n\r\n"},
		{"leading zeros", "000005\r\nhello\r\n000\r\n\r\n"},
		{"trailer", "5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n"},
		{"trailer of our name", "5\r\nhello\r\n0\r\nPenstock-Reservation: mine\r\n\r\n"},
		{"last chunk written long", "5\r\nhello\r\n" + strings.Repeat("0", 15) + "\r\n\r\n"},
	} {
		rows = append(rows, passes(12, "chunk: "+c[0], post(c[1], te), post(want, te)))
	}
	return rows
}

// unreadBodies are refused before their bodies are read: what is in them is never a
// request.
func unreadBodies() []row {
	pad := strings.Repeat("x", 8192) + inner
	small := "hello" + inner
	chunks := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s), s) }
	sale := func(framing string) string {
		return head("PUT /checkout HTTP/1.1", "Host: shop", framing)
	}
	return []row{
		{hazard: 1, name: "short body behind a refusal", sent: sale(fmt.Sprintf("Content-Length: %d", len(small))) + small, status: 405, kept: true},
		{hazard: 1, name: "8 KiB and a request behind a refusal", sent: sale(fmt.Sprintf("Content-Length: %d", len(pad))) + pad, status: 405, kept: true},
		{hazard: 1, name: "chunks behind a refusal", sent: sale("Transfer-Encoding: chunked") + chunks(pad), status: 405},
		{hazard: 1, name: "short chunks behind a refusal", sent: sale("Transfer-Encoding: chunked") + chunks(small), status: 405},
		{hazard: 1, name: "long body behind a refusal", sent: sale("Content-Length: 100000") + strings.Repeat(inner, 100000/len(inner)+1)[:100000], status: 405},
	}
}
