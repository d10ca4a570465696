package upstream

import (
	"context"
	"io"
	"strings"
	"testing"
)

// loop answers every 4 KiB or less with the same bytes: the least an origin can cost.
func loop(p *peer) {
	in, out := make([]byte, 4096), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
	for {
		if _, err := p.Read(in); err != nil {
			return
		}
		p.Write(out)
	}
}

// trip is one exchange that makes nothing of its own.
func trip(t testing.TB, u *Origin, r *Request, p []byte) {
	e, err := u.Do(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = e.Read(p)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	e.Close()
}

func BenchmarkGet(b *testing.B) {
	u := benchmark(b)
	r, p := request("GET", "/", ""), make([]byte, 512)
	for b.Loop() {
		trip(b, u, r, p)
	}
}

func BenchmarkPost(b *testing.B) {
	u := benchmark(b)
	r, p, body := request("POST", "/", "qty=1"), make([]byte, 512), strings.NewReader("qty=1")
	r.Body = body
	for b.Loop() {
		body.Reset("qty=1")
		trip(b, u, r, p)
	}
}

// benchmark is reach for both kinds of tests, over the plainest origin.
func benchmark(t testing.TB) *Origin {
	o := serve(t, loop)
	u := reach(t, o, nil)
	b := make([]byte, 512)
	trip(t, u, request("GET", "/", ""), b)
	return u
}
