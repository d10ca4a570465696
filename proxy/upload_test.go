package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"penstock/proxy/gate"
)

// TestBodyIsAskedForLate: who waits to be told gets its refusal first, or a 100 when
// somebody wants the body.
func TestBodyIsAskedForLate(t *testing.T) {
	const shopBody = "qty=1"
	heads := map[string]string{
		"fixed":   "Content-Length: 5\r\n",
		"chunked": "Transfer-Encoding: chunked\r\n",
	}
	bodies := map[string]string{"fixed": shopBody, "chunked": "5\r\nqty=1\r\n0\r\n\r\n"}
	for framing, head := range heads {
		for name, c := range map[string]struct {
			line string
			gate int // that refuses; -1: none
		}{
			"an order":                 {"POST /buy.php", -1},
			"an upload":                {"PUT /files/1", -1},
			"an order refused":         {"POST /buy.php", inFlightIP},
			"an order without a place": {"POST /buy.php", place},
			"an upload refused":        {"PUT /files/1", schedule},
			"an upload without a slot": {"PUT /files/1", slot},
		} {
			t.Run(framing+"/"+name, func(t *testing.T) {
				g := newRig(t, nil)
				if c.gate >= 0 {
					g.probes[c.gate].says = refusing(gate.RateLimited)
				}
				cl := g.open()
				fmt.Fprint(cl, c.line+" HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n"+head+"\r\n")
				asked := c.gate < 0 || c.gate > inFlightAccount
				if asked {
					want := string(sayContinue)
					got := make([]byte, len(want))
					if _, err := io.ReadFull(cl, got); err != nil || string(got) != want {
						t.Fatalf("got %q, %v; want to be told to go on", got, err)
					}
					io.WriteString(cl, bodies[framing])
				}
				a := read(t, cl.Reader, false)
				if c.gate >= 0 {
					if a.StatusCode != 429 || a.Close != !asked || g.shop.count() != 0 {
						t.Errorf("got %d, close: %v, %d sent", a.StatusCode, a.Close, g.shop.count())
					}
				} else if got := <-g.shop.arrived; a.StatusCode != 200 || strings.Contains(got, "Expect") ||
					!strings.HasSuffix(got, "\r\n\r\n"+shopBody) && !strings.HasSuffix(got, "\r\n\r\n0005\r\n"+shopBody+"\r\n0\r\n\r\n") {
					t.Errorf("got %d, and the shop %q", a.StatusCode, got)
				}
				if a.Close {
					return
				}
				fmt.Fprint(cl, look) // the connection is in step
				if a := read(t, cl.Reader, false); c.gate < 0 && a.StatusCode != 200 {
					t.Errorf("the next request got %d", a.StatusCode)
				}
			})
		}
	}
}

// TestWhoDoesNotWaitIsUnderstood: a client that sends Expect and the body at once.
func TestWhoDoesNotWaitIsUnderstood(t *testing.T) {
	for name, raw := range map[string]string{
		"fixed":          "PUT /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
		"chunked":        "PUT /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"no body":        "PUT /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
		"no length":      "GET /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\n\r\n",
		"HTTP/1.0":       "PUT /f HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
		"empty lines":    "\r\n\r\nPUT /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
		"behind another": look + "PUT /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
		"behind chunks":  "PUT /g HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nPUT /f HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
	} {
		g := newRig(t, nil)
		puts, hellos := 0, 0
		for cut := range len(raw) + 1 { // in two packets, cut anywhere
			c := g.open()
			io.WriteString(c, raw[:cut])
			io.WriteString(c, raw[cut:]+look)
			for range strings.Count(raw, " HTTP/1.") + 1 {
				if a := read(t, c.Reader, false); a.StatusCode != 200 {
					t.Fatalf("%s, cut at %d: got %d", name, cut, a.StatusCode)
				}
				got := <-g.shop.arrived
				if strings.HasPrefix(got, "PUT /f") || strings.HasPrefix(got, "GET /f") {
					puts++
				}
				req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(got)))
				if err != nil {
					t.Fatal(err)
				}
				if body, _ := io.ReadAll(req.Body); string(body) == "hello" {
					hellos++
				}
			}
			c.Close()
		}
		want := len(raw) + 1
		if puts != want || strings.Contains(raw, "hello") && hellos != want {
			t.Errorf("%s: the shop got %d requests, %d of them with their body; want %d", name, puts, hellos, want)
		}
	}
}

// TestRefusalOfALargeBodyIsSeen: closed at once, the connection would end in a reset.
func TestRefusalOfALargeBodyIsSeen(t *testing.T) {
	body := strings.Repeat("x", 3<<20)
	for name, raw := range map[string]string{
		"fixed":   fmt.Sprintf("POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		"chunked": fmt.Sprintf("POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"bad":     "POST /buy.php HTTP/1.1\r\nHost: shop\r\nHost: shop\r\nContent-Length: 3145728\r\n\r\n" + body,
	} {
		for range 5 {
			g := newRig(t, nil)
			g.probes[schedule].says = refusing(gate.NotOpen)
			c := g.open()
			if _, err := io.WriteString(c, raw); err != nil {
				t.Fatalf("%s: the client could not send its body: %v", name, err)
			}
			a := read(t, c.Reader, false)
			if a.err != nil || a.StatusCode < 400 || !a.Close {
				t.Errorf("%s: got %d, close: %v, %v", name, a.StatusCode, a.Close, a.err)
			}
		}
	}
}

// Request lines that end in LF make what a client has sent look less than it is. No byte of
// what is behind the body is taken for the body, nor is one made up.
func TestMiscountedExpectationIsRefused(t *testing.T) {
	const ask = "GET /p HTTP/1.1\nHost: shop\r\n\r\n"
	g := newRig(t, nil)
	for _, before := range []int{0, 1, 40} {
		for _, body := range []string{"X", "X" + look} {
			cl := g.open()
			for range before {
				io.WriteString(cl, ask)
				read(t, cl.Reader, false)
				<-g.shop.arrived
			}
			io.WriteString(cl, "PUT /f HTTP/1.1\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"+body)
			a := read(t, cl.Reader, false)
			if a.StatusCode == 200 {
				if got := <-g.shop.arrived; !strings.HasSuffix(got, "\r\n\r\nX") {
					t.Errorf("behind %d, with %q: the shop got %q", before, body, got)
				}
				if len(body) > 1 {
					if a := read(t, cl.Reader, false); a.StatusCode != 200 {
						t.Fatalf("behind %d: the next was answered %d", before, a.StatusCode)
					}
					if got := <-g.shop.arrived; !strings.HasPrefix(got, "GET /p/1 ") {
						t.Errorf("behind %d: the shop got %q", before, got)
					}
				}
			} else if a.StatusCode != 400 || !a.Close {
				t.Errorf("behind %d, with %q: got %d, close: %v", before, body, a.StatusCode, a.Close)
			}
			cl.Close()
		}
	}
	select {
	case got := <-g.shop.arrived:
		t.Errorf("the shop also got %q", got)
	default:
	}
}

// What a client sends while it is told why its connection ends must not cost it the answer.
func TestRefusalIsSeenByWhoStillSends(t *testing.T) {
	const order = "POST /buy.php HTTP/1.1\r\nHost: shop\r\nCookie: customer=a\r\nContent-Length: 10000\r\n"
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"told to close": {order + "Connection: close\r\n\r\nx", 403},
		"HTTP/1.0":      {strings.Replace(order, "1.1", "1.0", 1) + "\r\nx", 403},
		"too long":      {"GET /p HTTP/1.1\r\nHost: shop\r\nX: " + strings.Repeat("x", 64<<10), 431},
		"malformed":     {"GET /p HTTP/1.1\r\nHost: shop\r\nX Y\x00: \r\n\r\n" + strings.Repeat("x", 64<<10), 400},
	} {
		g := newRig(t, nil)
		g.probes[schedule].says = refusing(gate.NotOpen)
		cl := g.open()
		io.WriteString(cl, c.head)
		a := read(t, cl.Reader, false)
		if a.StatusCode != c.status || !a.Close {
			t.Errorf("%s: got %d, close: %v", name, a.StatusCode, a.Close)
		}
		if _, err := cl.ReadByte(); err != io.EOF {
			t.Errorf("%s: behind the answer got error %v, want the end", name, err)
		}
		for range 10 {
			if _, err := io.WriteString(cl, strings.Repeat("x", 1000)); err != nil {
				t.Fatalf("%s: what the client still sends is not taken: %v", name, err)
			}
		}
	}
}

func TestDrippingBodiesEnd(t *testing.T) {
	const perByte = 5 * time.Second
	const whole, hurries = 1, 2
	for name, c := range map[string]struct {
		every time.Duration
		piece int
		size  int
		how   int
		want  time.Duration // until it is cut; 0: it is not
	}{
		"a byte now and then":        {perByte, 1, 200_000, 0, patience.Body},
		"nothing":                    {time.Hour, 1, 200_000, 0, patience.Body},
		"slow and honest":            {time.Second, 20_000, 200_000, 0, 0},
		"as slow as may be":          {time.Second, minRate + 10, 200_000, 0, 0},
		"a little slower":            {time.Second, minRate / 2, 200_000, 0, 2 * patience.Body},
		"a time for the whole":       {time.Second, 1000, 200_000, whole, patience.Body},
		"within it":                  {time.Second, 20_000, 200_000, whole, 0},
		"with a slot, and honest":    {time.Second, 20_000, 5_000_000, hurries, 0},
		"with a slot, half the rate": {time.Second, slotRate / 2, 5_000_000, hurries, 2 * patience.Body},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, theirs := watched(t)
				k.handling(0)
				go func() {
					for left := c.size; left > 0; left -= c.piece {
						time.Sleep(c.every)
						if _, err := theirs.Write(make([]byte, min(c.piece, left))); err != nil {
							return
						}
					}
				}()
				r := &request{conn: k, c: &fasthttp.RequestCtx{}}
				r.head.length = c.size
				u := r.upload(0, patience.Body, c.how == whole)
				u.from = k
				if c.how == hurries {
					u.hurry()
				}
				began := time.Now()
				n, err := io.Copy(io.Discard, io.LimitReader(u, int64(c.size)))
				took := time.Since(began)
				theirs.Close()
				time.Sleep(2 * c.every) // until the client has noticed
				switch {
				case c.want == 0 && (err != nil || n != int64(c.size)):
					t.Errorf("cut after %v and %d bytes: %v", took, n, err)
				case c.want > 0 && (!errors.Is(err, os.ErrDeadlineExceeded) || took < c.want-time.Second || took > c.want+time.Second):
					t.Errorf("ended after %v and %d bytes with %v, want a cut after %v", took, n, err, c.want)
				}
			})
		})
	}
}
