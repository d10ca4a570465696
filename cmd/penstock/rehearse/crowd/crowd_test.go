package crowd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is one in memory: what it answers to a request, as bytes; "" closes the
// connection. In a bubble all its time is virtual.
type server struct {
	answer func(r *http.Request, body string) string
	conns  sync.WaitGroup

	mu   sync.Mutex
	seen []request
}

type request struct {
	at     time.Time
	line   string
	cookie string
	from   string
	body   string
	conn   int
}

func (s *server) connect(c *Crowd) {
	n := 0
	c.pool.dial = func(context.Context, time.Time) (net.Conn, error) {
		ours, theirs := net.Pipe()
		s.mu.Lock()
		n++
		id := n
		s.mu.Unlock()
		s.conns.Go(func() { s.serve(theirs, id) })
		return ours, nil
	}
}

func (s *server) serve(c net.Conn, id int) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, request{time.Now(), r.Method + " " + r.RequestURI, r.Header.Get("Cookie"), r.Header.Get("X-Forwarded-For"), string(b), id})
		s.mu.Unlock()
		a := s.answer(r, string(b))
		if a == "" {
			return
		}
		if _, err := io.WriteString(c, a); err != nil || r.Close {
			return
		}
	}
}

// run runs a crowd of a plan against the server, in a bubble.
func (s *server) run(t *testing.T, p Plan, each func(*Outcome)) (tally *Tally) {
	t.Helper()
	if p.Target == "" {
		p.Target = "shop:80"
	}
	synctest.Test(t, func(t *testing.T) {
		c, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		s.connect(c)
		tally = c.Run(t.Context(), each)
		s.conns.Wait() // every connection is closed
	})
	return tally
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func status(code int, header ...string) string {
	h := ""
	for _, l := range header {
		h += l + "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Length: 0\r\n%s\r\n", code, h)
}

func says(a string) func(*http.Request, string) string {
	return func(*http.Request, string) string { return a }
}

func page() []Step { return []Step{{Class: "page", Method: "GET", Path: "/"}} }

func flat(rate float64, d time.Duration) []Phase { return []Phase{{Name: "flat", For: d, Rate: rate}} }

// total counts outcomes of a kind in all classes.
func total(t *Tally, k Kind) (n int64) {
	for _, g := range t.Groups {
		if g.Kind == k {
			n += g.Count
		}
	}
	return n
}

// TestOpenLoop: a server that stalls for two seconds of five neither delays an arrival
// nor hides what those who came meanwhile have waited.
func TestOpenLoop(t *testing.T) {
	arrivals := func(stall time.Duration) (due []time.Duration, tally *Tally) {
		s := &server{}
		var begin time.Time
		var once sync.Once
		s.answer = func(*http.Request, string) string {
			once.Do(func() { begin = time.Now().Truncate(time.Second) })
			if at := time.Since(begin); at >= time.Second && at < time.Second+stall {
				time.Sleep(time.Second + stall - at)
			}
			return fine
		}
		tally = s.run(t, Plan{Seed: 7, Phases: flat(100, 5*time.Second), Visitors: []Visitor{{Steps: page()}}}, func(o *Outcome) {
			due = append(due, o.Due)
			if o.Sent != o.Due {
				t.Errorf("visitor %d was sent at %v, due at %v", o.Visitor, o.Sent, o.Due)
			}
		})
		return due, tally
	}
	even, quick := arrivals(0)
	stalled, slow := arrivals(2 * time.Second)
	if len(even) < 400 || len(even) > 600 || len(even) != len(stalled) {
		t.Fatalf("%d and %d arrivals, want the same and about 500", len(even), len(stalled))
	}
	came := map[time.Duration]bool{}
	for _, d := range stalled {
		came[d] = true
	}
	var late int64
	for _, d := range even {
		if !came[d] {
			t.Errorf("nobody came at %v when the server stalled", d)
		}
		if d >= time.Second && d < 3*time.Second {
			late++
		}
	}
	if got := quick.Groups[0].Latency.Max(); got != 0 {
		t.Errorf("an instant server took %d µs", got)
	}
	h := slow.Groups[0].Latency
	if max := time.Duration(h.Max()) * time.Microsecond; max < 1900*time.Millisecond || max > 2100*time.Millisecond {
		t.Errorf("the longest wait was %v, want the stall's two seconds", max)
	}
	var waited int64
	for _, b := range h.Distribution() {
		if b.From > 0 {
			waited += b.Count
		}
	}
	if late < 150 || waited < late-2 || waited > late {
		t.Errorf("%d have waited, want the %d who came while it stalled", waited, late)
	}
}
