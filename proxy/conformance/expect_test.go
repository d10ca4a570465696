package conformance

// Bodies that are only sent when they are asked for.

import (
	"bufio"
	"io"
	"testing"
)

// Who waits to be asked for its body is asked when it is wanted, and not before: hazard 21.
func TestExpectationIsMetWhenTheBodyIsWanted(t *testing.T) {
	o := newOrigin(t, nil)
	ln := loopback(t)
	nobody := ln.Addr().String()
	ln.Close()
	const length, chunks = "Content-Length: 5", "Transfer-Encoding: chunked"
	for _, c := range []struct {
		name, origin, line, framing, body string
		asked                             bool
		status                            int
	}{
		{"streamed", o.addr, "POST /x HTTP/1.1", length, "hello", true, 200},
		{"streamed in chunks", o.addr, "POST /x HTTP/1.1", chunks, "5\r\nhello\r\n0\r\n\r\n", true, 200},
		{"a sale's", o.addr, "POST /cart/add HTTP/1.1", length, "sku=P", true, 200},
		{"refused", o.addr, "PUT /checkout HTTP/1.1", length, "", false, 405},
		{"refused in chunks", o.addr, "PUT /checkout HTTP/1.1", chunks, "", false, 405},
		{"too long", o.addr, "POST /x HTTP/1.1", "Content-Length: 9999999", "", false, 413},
		{"malformed", o.addr, "POST /x#y HTTP/1.1", length, "", false, 400},
		{"for an origin that is not there", nobody, "POST /x HTTP/1.1", length, "hello", true, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gateway(t, file, c.origin, nil)
			conn := dial(t, g.addr)
			io.WriteString(conn, head(c.line, "Host: shop", "Content-Type: application/x-www-form-urlencoded", "Expect: 100-continue", c.framing))
			br := bufio.NewReader(conn)
			a, err := readHead(br)
			if err != nil {
				t.Fatal(err)
			}
			if asked := a.status == 100; asked != c.asked {
				t.Fatalf("asked for the body: %v, want %v; got %s", asked, c.asked, a.head)
			}
			if c.asked {
				io.WriteString(conn, c.body)
				if a, err = readHead(br); err != nil {
					t.Fatal(err)
				}
			}
			if a.status != c.status || !c.asked && !a.close {
				t.Errorf("got %s, want %d", a.head, c.status)
			}
		})
	}
}
