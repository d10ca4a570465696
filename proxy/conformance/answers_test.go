package conformance

// The origin's answers on their way to the client, byte for byte: hazards 18, 20, 27, 29,
// 30 and 32.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// answerRow is what an origin answers, and what the client gets: without the reason and,
// where the origin sent none, without the date.
type answerRow struct {
	name   string
	method string // GET, unless given
	origin string
	client string // "": it is told that the origin failed
}

// through is an answer that comes through as it is.
func through(name, answer string) answerRow {
	return answerRow{name: name, origin: answer, client: answer}
}

// fails is an answer that is none.
func fails(name, answer string) answerRow { return answerRow{name: name, origin: answer} }

// ok is an answer of two bytes with more header lines.
func ok(lines ...string) string {
	return head(append(append([]string{"HTTP/1.1 200 OK"}, lines...), "Content-Length: 2")...) + "ok"
}

func answerRows() []answerRow {
	return append(append(passedOn(), refusedAnswers()...), bodiless()...)
}

func passedOn() []answerRow {
	rows := []answerRow{
		through("minimal", ok()),
		through("names in their case, in their order, repeated", ok("x-B: 1", "X-a: 2", "x-b: 3", "SERVER: Apache", "server: x")),
		through("Date of the origin", ok("Date: Fri, 27 Nov 2026 20:00:00 GMT")),
		through("cookies", ok("Set-Cookie: a=1; Path=/", "Set-Cookie: a=2; Path=/x", `set-cookie: j={"k": "v;w"}`, "Set-Cookie: =", "Set-Cookie: a=\xff")),
		through("Content-Encoding twice", ok("Content-Encoding: gzip", "Content-Encoding: br")),
		through("Content-Type twice", ok("Content-Type: a/b", "Content-Type: c/d")),
		through("no Content-Type", ok()),
		through("empty value", ok("X-A: ")),
		through("long value", ok("X-A: "+strings.Repeat("x", 20_000))),
		through("8-bit value", ok("X-A: caf\xc3\xa9\xff")),
		through("Retry-After and Cache-Control", ok("Retry-After: 5", "Cache-Control: public, max-age=5", "Vary: *")),
		through("empty body", head("HTTP/1.1 200 OK", "Content-Length: 0")),
		{name: "Trailers is not Trailer", origin: ok("Trailers: x", "Trailer: X-A"), client: ok("Trailers: x")},
		{name: "hop by hop", origin: ok("Connection: keep-alive, X-A, X-Request-Id", "X-Request-Id: 7", "X-A: 1", "x-a: 2", "Keep-Alive: timeout=50", "Proxy-Authenticate: Basic", "Proxy-Connection: x", "TE: x", "Upgrade: h2c"), client: ok()},
		{name: "a request id of its own", origin: ok("Connection: keep-alive", "X-Request-Id: 7"), client: ok("X-Request-Id: 7")},
		{name: "ours", origin: ok("Penstock-Reason: sold_out", "penstock-outcome: sold", "Set-Cookie: penstock_pass=stolen", "Set-Cookie: =penstock_visitor=x", "X: y"), client: ok("X: y")},
		{name: "the origin closes, the client stays", origin: ok("Connection: close"), client: ok()},
		{name: "space around a value", origin: ok("X-A:\t b \t"), client: ok("X-A: b")},
		{name: "no reason phrase", origin: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", client: ok()},
		{name: "another reason phrase", origin: "HTTP/1.1 200 Alright \xff\r\nContent-Length: 2\r\n\r\nok", client: ok()},
		{name: "HTTP/1.0", origin: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", client: ok()},
		{name: "lines that end in LF", origin: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", client: ok()},
		{name: "length twice the same", origin: ok("Content-Length: 2"), client: ok()},
		{name: "100 in front", origin: "HTTP/1.1 100 Continue\r\n\r\n" + ok(), client: ok()},
		{name: "103 in front, and another", origin: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" + ok(), client: ok()},
		{name: "102 in front", origin: "HTTP/1.1 102 Processing\r\n\r\n" + ok(), client: ok()},
		{name: "more behind", origin: ok() + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", client: ok()},
		{name: "chunks", origin: head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "2;x\r\nok\r\n0\r\n\r\n", client: "ok"},
		{name: "chunks with trailers", origin: head("HTTP/1.1 200 OK", "Trailer: X-A", "Transfer-Encoding: chunked") + "2\r\nok\r\n0\r\nX-A: 1\r\nSet-Cookie: a=b\r\n\r\n", client: "ok"},
		{name: "until close", origin: head("HTTP/1.1 200 OK", "Connection: close") + "ok", client: "ok"},
		{name: "until close in HTTP/1.0", origin: head("HTTP/1.0 200 OK") + "ok", client: "ok"},
	}
	for _, status := range []string{"201 Created", "206 Partial Content", "301 Moved Permanently", "302 Found", "401 Unauthorized", "404 Not Found", "418 I'm a teapot", "429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable"} {
		rows = append(rows, through("status "+status, strings.Replace(ok("X: y"), "200 OK", status, 1)))
	}
	return rows
}

func refusedAnswers() []answerRow {
	var rows []answerRow
	for _, start := range []string{"HTTP/1.1 200-OK", "HTTP/1.1 20", "HTTP/1.1 2000 OK", "HTTP/1.1 600 x", "HTTP/1.1 999 x", "HTTP/1.1 099 x", "HTTP/1.1  200 OK", "HTTP/1.2 200 OK", "HTTP/2 200 OK", "http/1.1 200 OK", "ICY 200 OK", "<html>", "HTTP/1.1 101 Switching Protocols"} {
		rows = append(rows, fails(fmt.Sprintf("begins %q", start), strings.Replace(ok(), "HTTP/1.1 200 OK", start, 1)))
	}
	for _, line := range []string{"X A: b", "X-A : b", " folded", "X-A: b\r\n folded", "X-A", ": b", "X-A: b\x00", "X-A: b\rc", "Content-Length: 3", "Content-Length: +2", "Content-Length: 2, 2", "Content-Length: -1", "Content-Length: ",
		"Content-Length : 2", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"} {
		rows = append(rows, fails(fmt.Sprintf("line %q", line), ok(line)))
	}
	return append(rows,
		fails("coding in HTTP/1.0", head("HTTP/1.0 200 OK", "Transfer-Encoding: chunked")+"2\r\nok\r\n0\r\n\r\n"),
		fails("nothing", ""),
		fails("an empty line in front", "\r\n"+ok()),
		fails("head without end", "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 70_000)),
		fails("interim ones without end", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20)+ok()),
		fails("an interim one alone", "HTTP/1.1 100 Continue\r\n\r\n"),
	)
}

// bodiless answers end with their heads, whatever these say, and whatever comes.
func bodiless() []answerRow {
	return []answerRow{
		{name: "204", origin: head("HTTP/1.1 204 No Content", "X: y"), client: head("HTTP/1.1 204 No Content", "X: y")},
		{name: "204 with a length", origin: head("HTTP/1.1 204 No Content", "Content-Length: 6") + "stolen", client: head("HTTP/1.1 204 No Content")},
		{name: "304", origin: head("HTTP/1.1 304 Not Modified", `ETag: "x"`), client: head("HTTP/1.1 304 Not Modified", `ETag: "x"`)},
		{name: "304 with a length and a body", origin: head("HTTP/1.1 304 Not Modified", "Content-Length: 6") + "stolen", client: head("HTTP/1.1 304 Not Modified", "Content-Length: 6")},
		{name: "HEAD", method: "HEAD", origin: head("HTTP/1.1 200 OK", "Content-Length: 1234"), client: head("HTTP/1.1 200 OK", "Content-Length: 1234")},
		{name: "HEAD with a body", method: "HEAD", origin: ok("X: y"), client: head("HTTP/1.1 200 OK", "X: y", "Content-Length: 2")},
		{name: "HEAD without a length", method: "HEAD", origin: head("HTTP/1.1 200 OK", "X: y"), client: head("HTTP/1.1 200 OK", "X: y")},
		{name: "HEAD in chunks", method: "HEAD", origin: head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), client: head("HTTP/1.1 200 OK")},
	}
}

var (
	ownDate = regexp.MustCompile(`Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n`)
	reason  = "Penstock-Reason: admitted\r\n"
)

func TestAnswersByteForByte(t *testing.T) {
	o := newOrigin(t, nil)
	g := gateway(t, file, o.addr, nil)
	for _, r := range answerRows() {
		t.Run(r.name, func(t *testing.T) {
			o.says(func(q *request) string {
				switch {
				case q.target == probePath:
					return echo(q)
				case r.client == "" || strings.HasPrefix(r.name, "until close"):
					return r.origin + "CUT"
				}
				return r.origin
			})
			c := dial(t, g.addr)
			br := bufio.NewReader(c)
			method := r.method
			if method == "" {
				method = "GET"
			}
			io.WriteString(c, head(method+" / HTTP/1.1", "Host: shop")+probe)
			got, err := readReply(br, method)
			if err != nil {
				t.Fatal(err)
			}
			r.judge(t, got)
			if next, err := readReply(br, "GET"); got.close != errors.Is(err, io.EOF) || err == nil && next.body != probePath {
				t.Errorf("the next answer is %+v, %v", next, err)
			}
		})
	}
}

func (r *answerRow) judge(t *testing.T, got *reply) {
	if r.client == "" {
		if got.status != 502 || got.reason() != "origin_failed" {
			t.Errorf("got %s%s, want it told that the origin failed", got.head, got.body)
		}
		return
	}
	if n := strings.Count(got.head, reason); n != 1 {
		t.Errorf("%d reasons in %s", n, got.head)
	}
	head := strings.Replace(got.head, reason, "", 1)
	if n := len(ownDate.FindAllString(head, -1)); n != 1 {
		t.Errorf("%d dates in %s", n, head)
	}
	if !strings.Contains(r.origin, "Date: ") {
		head = ownDate.ReplaceAllString(head, "")
	}
	if !strings.HasPrefix(r.client, "HTTP/") { // the framing is the gateway's, the body is not
		if got.status != 200 || got.body != r.client || strings.Contains(head, "Trailer") {
			t.Errorf("got %s%s, want %s", head, got.body, r.client)
		}
		return
	}
	head = sortLength(head)
	if head+got.body != sortLength(r.client) {
		t.Errorf("the origin answered\n%q\nthe client got\n%q, want\n%q", r.origin, head+got.body, r.client)
	}
}

// sortLength moves the length to the end of a head: where it stands is the gateway's.
func sortLength(answer string) string {
	at := regexp.MustCompile(`Content-Length: \d+\r\n`).FindStringIndex(answer)
	end := strings.Index(answer, "\r\n\r\n") + 2
	if at == nil || at[1] > end {
		return answer
	}
	return answer[:at[0]] + answer[at[1]:end] + answer[at[0]:at[1]] + answer[end:]
}
