package conformance

// Arbitrary answers through the whole gateway, judged by the standard library.

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// FuzzAnswer: whatever an origin answers, the client gets one answer that net/http can
// read, which is what net/http reads from the origin's bytes, or a refusal, or the end of
// the connection. The next answer on the client's connection is the next request's.
func FuzzAnswer(f *testing.F) {
	for _, w := range wholeAnswers[:4] {
		f.Add([]byte(w.answer), false)
		f.Add([]byte(w.answer[:len(w.answer)-3]), true)
	}
	for _, a := range answerRows() {
		f.Add([]byte(a.origin), a.method == "HEAD")
	}
	var says atomic.Pointer[[]byte]
	dial := between(f, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			var r request
			if r.read(br) != nil {
				return
			}
			if r.target != probePath {
				c.Write(*says.Load())
				return
			}
			if _, err := io.WriteString(c, echo(&r)); err != nil {
				return
			}
		}
	})
	f.Fuzz(func(t *testing.T, answer []byte, head bool) {
		says.Store(&answer)
		method := "GET"
		if head {
			method = "HEAD"
		}
		c := dial(t)
		defer c.Close()
		br := bufio.NewReader(c)
		io.WriteString(c, method+" /x HTTP/1.1\r\nHost: shop\r\n\r\n")
		got, err := readAnswer(br, method)
		if err == nil && got.reason == "admitted" {
			want, err := readAnswer(bufio.NewReader(bytes.NewReader(tame(answer))), method)
			if err != nil || want.status != got.status || want.body != string(tame([]byte(got.body))) {
				t.Errorf("%q: the client got %+v, net/http reads %+v, %v", answer, got, want, err)
			}
		}
		if err == nil && got.reason != "admitted" && got.status != http.StatusBadGateway {
			t.Errorf("%q: the client got %+v", answer, got)
		}
		if err != nil {
			return // cut, or not to be read by everybody
		}
		if got.close {
			if rest, _ := io.ReadAll(br); len(rest) > 0 {
				t.Errorf("%q: behind the last answer came %q", answer, rest)
			}
			return
		}
		if _, err := io.WriteString(c, probe); err != nil {
			return
		}
		// The origin closes its connections unannounced: the next request may come to nothing.
		if next, err := readAnswer(br, "GET"); err != nil || next.body != probePath && next.reason != "origin_failed" {
			t.Errorf("%q: the next answer is %+v, %v", answer, next, err)
		}
	})
}

// tame puts letters in place of control characters, which net/http does not take in header
// values. Those that would matter are not let through.
func tame(b []byte) []byte {
	b = bytes.Clone(b)
	for i, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			b[i] = 'x'
		}
	}
	return b
}

// answered is an answer as net/http reads it.
type answered struct {
	status       int
	reason, body string
	close        bool
}

func readAnswer(br *bufio.Reader, method string) (a answered, err error) {
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return a, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			body, err := io.ReadAll(resp.Body)
			return answered{resp.StatusCode, strings.Join(resp.Header["Penstock-Reason"], ","), string(body), resp.Close}, err
		}
	}
}
