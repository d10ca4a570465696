package main_test

// The customers' side of the wire: connections that are kept and used again, requests
// as bytes, and a reader that takes nothing but what a strict client takes. net/http
// would forgive, retry and normalise what these tests are about.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client is one connection at a time to one address.
type client struct {
	addr  string
	conn  net.Conn
	r     *bufio.Reader
	dials int
}

// reply is one answer. Its header names are canonical.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) reason() string { return r.header.Get("Penstock-Reason") }

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) dial() error {
	conn, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return err
	}
	c.conn, c.r = conn, bufio.NewReaderSize(conn, 4<<10)
	c.dials++
	return nil
}

// send writes a request, on a new connection if there is none.
func (c *client) send(request []byte) error {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	c.conn.SetDeadline(time.Now().Add(2 * patience))
	_, err := c.conn.Write(request)
	return err
}

// do sends a request and reads its answer. A connection that failed, or that the
// answer closes, is closed.
func (c *client) do(request []byte) (*reply, error) {
	if err := c.send(request); err != nil {
		c.close()
		return nil, err
	}
	return c.read(bytes.HasPrefix(request, []byte("HEAD ")))
}

// read reads one answer; one to HEAD has no body.
func (c *client) read(head bool) (*reply, error) {
	a, err := c.answer(head)
	switch {
	case err != nil:
		c.close()
		return nil, err
	case c.r.Buffered() > 0:
		c.close()
		return nil, errors.New("there are bytes behind the answer")
	case a.header.Get("Connection") == "close":
		c.close()
	}
	return a, nil
}

func (c *client) answer(head bool) (*reply, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	a := &reply{header: http.Header{}}
	if len(line) < 13 || line[:9] != "HTTP/1.1 " || line[12] != ' ' {
		return nil, fmt.Errorf("status line %q", line)
	}
	if a.status, err = strconv.Atoi(line[9:12]); err != nil || a.status < 200 {
		return nil, fmt.Errorf("status line %q", line)
	}
	for {
		if line, err = c.line(); err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, found := strings.Cut(line, ": ")
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("header line %q", line)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		a.header[name] = append(a.header[name], value)
	}
	if head || a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		return a, nil
	}
	return a, c.bodyOf(a)
}

// line is the next one, which must end in CR LF.
func (c *client) line() (string, error) {
	b, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text, found := bytes.CutSuffix(b, []byte("\r\n"))
	if !found || bytes.IndexByte(text, '\r') >= 0 {
		return "", fmt.Errorf("line %q does not end in CR LF", b)
	}
	return string(text), nil
}

// bodyOf reads a body that says how long it is in exactly one way.
func (c *client) bodyOf(a *reply) error {
	length, coding := a.header["Content-Length"], a.header["Transfer-Encoding"]
	switch {
	case len(length) == 1 && coding == nil:
		n, err := strconv.Atoi(length[0])
		if err != nil || n < 0 || n > 1<<20 {
			return fmt.Errorf("Content-Length %q", length[0])
		}
		a.body = make([]byte, n)
		_, err = io.ReadFull(c.r, a.body)
		return err
	case length == nil && len(coding) == 1 && coding[0] == "chunked":
		return c.chunks(a)
	}
	return fmt.Errorf("Content-Length %q and Transfer-Encoding %q", length, coding)
}

func (c *client) chunks(a *reply) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(line, 16, 20)
		if err != nil {
			return fmt.Errorf("chunk size %q", line)
		}
		piece := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, piece); err != nil {
			return err
		}
		if !bytes.HasSuffix(piece, []byte("\r\n")) {
			return fmt.Errorf("chunk ends in %q", piece[n:])
		}
		a.body = append(a.body, piece[:n]...)
		if n == 0 {
			return nil
		}
	}
}

// request makes the bytes of one without body, or of a POST of a form.
func request(method, target, form string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: shop.example\r\n", method, target)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if form != "" {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(form))
	}
	b.WriteString("\r\n" + form)
	return b.Bytes()
}

// ask sends one request on a connection of its own and wants an answer.
func ask(t *testing.T, addr string, request []byte) *reply {
	t.Helper()
	c := &client{addr: addr}
	defer c.close()
	a, err := c.do(request)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return a
}

// buy asks for one unit as an account of the proxy in front.
func buy(t *testing.T, addr, account string) *reply {
	t.Helper()
	return ask(t, addr, request("POST", "/buy.php", "qty=1", "X-Account: "+account))
}

// Whether a refusal says when to come back.
type again int

const (
	never again = iota
	always
	whileNotFinal // iff its JSON says "final": false
)

// refusals is the table of answers: what a client may rely on.
var refusals = map[string]struct {
	status int
	again  again
}{
	"not_open": {403, always}, "closed": {410, never}, "no_account": {403, never},
	"rate_limited": {429, always}, "in_flight": {429, always},
	"sold_out": {409, whileNotFinal}, "already_bought": {409, never}, "order_pending": {409, never},
	"reservation_expired": {409, never}, "limit": {409, never}, "unknown_item": {404, never},
	"overloaded": {503, always}, "paused": {503, always}, "draining": {503, always}, "store_unavailable": {503, always},
	"origin_unreachable": {502, always}, "origin_failed": {502, never}, "origin_timeout": {504, never},
	"bad_request": {400, never}, "method": {405, never}, "body_timeout": {408, never}, "body_too_large": {413, never},
}

// problem is the body of a refusal, as RFC 9457 has it and with our members.
type problem struct {
	Title, Reason, Detail string
	Status                int
	RetryAfter            int64 `json:"retry_after_ms"`
	Final                 *bool
}

// check says what is wrong with a refusal, or nothing.
func (r *reply) check(html bool) error {
	if n := len(r.header["Penstock-Reason"]); n != 1 {
		return fmt.Errorf("%d Penstock-Reason headers", n)
	}
	want, known := refusals[r.reason()]
	retry, err := strconv.Atoi(r.header.Get("Retry-After"))
	comes := r.header["Retry-After"] != nil
	switch {
	case !known:
		return fmt.Errorf("reason %q", r.reason())
	case r.status != want.status:
		return fmt.Errorf("status %d, want %d", r.status, want.status)
	case r.header.Get("Cache-Control") != "no-store":
		return fmt.Errorf("Cache-Control %q", r.header.Get("Cache-Control"))
	case comes && (err != nil || retry < 1) || comes && want.again == never || !comes && want.again == always:
		return fmt.Errorf("Retry-After %q", r.header["Retry-After"])
	case html:
		return r.checkPage()
	}
	return r.checkProblem(retry)
}

func (r *reply) checkPage() error {
	page := string(r.body)
	if kind := r.header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
		return fmt.Errorf("Content-Type %q", kind)
	}
	if !strings.HasPrefix(page, "<!doctype html>") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
		return fmt.Errorf("page %.40q…", page)
	}
	return nil
}

func (r *reply) checkProblem(retry int) error {
	if kind := r.header.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("Content-Type %q", kind)
	}
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		return fmt.Errorf("body %q: %w", r.body, err)
	}
	switch {
	case p.Reason != r.reason() || p.Status != r.status || p.Title == "" || p.Detail == "":
		return fmt.Errorf("body %s", r.body)
	case (p.RetryAfter > 0) != (retry > 0) || p.RetryAfter > int64(retry)*1000:
		return fmt.Errorf("retry_after_ms %d, Retry-After %d", p.RetryAfter, retry)
	case (p.Final != nil) != (p.Reason == "sold_out") || p.Final != nil && *p.Final == (retry > 0):
		return fmt.Errorf("final in %s, Retry-After %d", r.body, retry)
	}
	return nil
}

// refused asserts a well-formed refusal for one of the reasons.
func refused(t *testing.T, what string, r *reply, reasons ...string) {
	t.Helper()
	for _, want := range reasons {
		if r.reason() == want {
			if err := r.check(false); err != nil {
				t.Errorf("%s: refused as %s with %v", what, want, err)
			}
			return
		}
	}
	t.Errorf("%s: got %d %q, want a refusal for %v", what, r.status, r.reason(), reasons)
}
