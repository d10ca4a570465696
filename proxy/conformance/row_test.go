package conformance

// The hostile table: what a client sends, byte by byte, and what must come of it. A row
// is one connection. After it the connection is asked for one request more, which shows
// whether it goes on, and if so, that it is in step.

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// row is one line of the table.
type row struct {
	hazard int
	name   string
	sent   string

	// refused with this status, and the connection closed unless kept; 0: forwarded.
	status int
	kept   bool

	// What the origin gets, without what the gateway adds to every request. Of a refused
	// request it gets nothing, but for one whose body broke off while it was streamed.
	origin []string
	begins bool // the origin may see the beginning of a request that never becomes whole
	closed bool // forwarded, and the connection ends behind it all the same
}

// head writes the lines of a head as they stand on the wire.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// get is a GET with more lines, at the root.
func get(lines ...string) string {
	return head(append([]string{"GET / HTTP/1.1", "Host: shop"}, lines...)...)
}

// post is a POST with more lines, and bytes behind its head.
func post(body string, lines ...string) string {
	return head(append([]string{"POST /x HTTP/1.1", "Host: shop"}, lines...)...) + body
}

// bad is a row that is refused as unclear.
func bad(hazard int, name, sent string) row {
	return row{hazard: hazard, name: name, sent: sent, status: 400}
}

// passes is a row that reaches the origin.
func passes(hazard int, name, sent string, origin ...string) row {
	return row{hazard: hazard, name: name, sent: sent, origin: origin}
}

// same is a row that reaches the origin as it was sent.
func same(hazard int, name, sent string) row { return passes(hazard, name, sent, sent) }

const (
	probe     = "GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"
	probePath = "/probe"
)

func TestHostileTable(t *testing.T) {
	names := map[string]bool{}
	var streamed, others []row
	for _, r := range table() {
		if names[r.name] {
			t.Errorf("two rows are called %q", r.name)
		}
		if names[r.name] = true; r.begins {
			streamed = append(streamed, r)
		} else {
			others = append(others, r)
		}
	}
	if cut := playAll(t, others); len(cut) > 0 {
		t.Errorf("the origin got beginnings: %q", cut)
	}
	if cut := playAll(t, streamed); len(cut) > 2*len(streamed) {
		t.Errorf("the origin got more beginnings than there are rows: %q", cut)
	}
}

// playAll plays the rows one by one, and answers what the origin got of requests that
// never became whole.
func playAll(t *testing.T, rows []row) (cut []string) {
	o := newOrigin(t, nil)
	g := gateway(t, file, o.addr, nil)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for _, sends := range [][]string{{r.sent, probe}, {r.sent + probe}} { // whole requests are read by another than two at once
				replies := play(t, g.addr, &r, sends...)
				r.judge(t, replies)
				r.judgeOrigin(t, replies, o.took())
			}
		})
	}
	g.stop()
	o.stop()
	if late := o.took(); len(late) > 0 {
		t.Errorf("long after its connection had ended the origin got %q", late)
	}
	return o.cut
}

// play sends a row and its probe, piece by piece, and answers what came back until the
// probe's answer or the end of the connection.
func play(t testing.TB, addr string, r *row, pieces ...string) []*reply {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil && !ended(err) {
			t.Fatal(err)
		}
	}
	var all []*reply
	br := bufio.NewReader(c)
	for {
		method := "GET"
		if len(all) < len(r.origin) {
			method, _, _ = strings.Cut(r.origin[len(all)], " ")
		} else if r.status != 0 && len(all) == 0 && strings.HasPrefix(r.sent, "HEAD ") {
			method = "HEAD"
		}
		a, err := readReply(br, method)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("behind %d answers: %v", len(all), err)
		}
		all = append(all, a)
		if a.body == probePath {
			return all
		}
		if len(all) > 100 {
			t.Fatal("the answers do not end")
		}
	}
}

// judge looks at the answers.
func (r *row) judge(t *testing.T, replies []*reply) {
	want := len(r.origin)
	if r.status != 0 {
		want++
	}
	probed := len(replies) > 0 && replies[len(replies)-1].body == probePath
	if goes := r.status == 0 && !r.closed || r.kept; goes != probed {
		t.Errorf("the connection goes on: %v, want %v", probed, goes)
	}
	if probed {
		replies = replies[:len(replies)-1]
	}
	if len(replies) != want {
		t.Fatalf("%d answers, want %d: %s", len(replies), want, heads(replies))
	}
	for i, a := range replies {
		switch refused := i == len(r.origin); {
		case refused && (a.status != r.status || a.reason() == "admitted" || a.reason() == ""):
			t.Errorf("got %d %q, want it refused with %d", a.status, a.reason(), r.status)
		case refused && a.close == r.kept:
			t.Errorf("the refusal says close: %v", a.close)
		case !refused && (a.status != 200 || a.reason() != "admitted"):
			t.Errorf("answer %d: got %d %q, want the origin's", i, a.status, a.reason())
		}
	}
}

// judgeOrigin looks at what reached the origin.
func (r *row) judgeOrigin(t *testing.T, replies []*reply, whole []string) {
	got := make([]string, len(whole))
	for i, raw := range whole {
		got[i] = own(raw)
	}
	if n := len(replies); n > 0 && replies[n-1].body == probePath {
		if len(got) == 0 || got[len(got)-1] != probe {
			t.Errorf("the probe reached the origin as %q", got)
			return
		}
		got = got[:len(got)-1]
	}
	if !slices.Equal(got, r.origin) {
		t.Errorf("sent\n%q\nthe origin got\n%q, want\n%q", r.sent, got, r.origin)
	}
}

func heads(replies []*reply) string {
	var all []string
	for _, a := range replies {
		all = append(all, a.head+a.body)
	}
	return strings.Join(all, "")
}
