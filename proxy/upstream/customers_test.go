package upstream

// The experiment that this package exists for: alice, bob and carol share connections to
// an origin that says more than it was asked, and each must get her own page.

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// rudeness is what the origin says too much on a connection, some requests later.
type rudeness struct {
	p    *peer
	text string
	due  int
}

// rude is an origin whose ill manners are timed by whoever plays with it.
type rude struct {
	mu    sync.Mutex
	step  int
	later []rudeness
}

const alice = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice"

// serve answers with the path, and then has more to say: /kind/delay/n.
func (r *rude) serve(p *peer) {
	for path, _, ok := p.next(); ok; path, _, ok = p.next() {
		var kind byte
		var delay, n int
		fmt.Sscanf(path, "/%c/%d/%d", &kind, &delay, &n)
		answer, more := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path), ""
		switch kind {
		case 'h': // its request was a HEAD
			answer, more = answer[:len(answer)-len(path)], path
		case 'n':
			answer, more = "HTTP/1.1 204 No Content\r\n\r\n", path
		case 't':
			more = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
		case 'a':
			more = alice
		}
		if delay == 0 || more == "" {
			p.say("%s%s", answer, more)
			continue
		}
		r.mu.Lock() // before the answer: once it is there the next step may come
		r.later = append(r.later, rudeness{p, more, r.step + delay})
		r.mu.Unlock()
		p.say("%s", answer)
	}
}

// next says what is due, and waits until it has come where it does not belong.
func (r *rude) next(u *Origin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step++
	rest := r.later[:0]
	for _, l := range r.later {
		if l.due > r.step {
			rest = append(rest, l)
			continue
		}
		if _, err := l.p.Write([]byte(l.text)); err == nil {
			heardBy(u, l.p.RemoteAddr().String())
		}
	}
	r.later = rest
}

// heardBy waits until an idle connection is not fit any more, if there is one to addr.
func heardBy(u *Origin, addr string) {
	for {
		waits := false
		u.idle.mu.Lock()
		for _, c := range u.idle.conns {
			waits = waits || c.nc.LocalAddr().String() == addr && c.fit(c.until.Add(-1))
		}
		u.idle.mu.Unlock()
		if !waits {
			return
		}
		runtime.Gosched()
	}
}

func TestAliceBobCarol(t *testing.T) {
	everyWire(t, func(t *testing.T, c *tls.Config) {
		r := &rude{}
		o := serveOver(t, c, r.serve)
		u := reach(t, o, nil)
		for n := range some(c, 10_000) {
			r.next(u)
			kind := "pphnta"[rand.IntN(6)]
			path := fmt.Sprintf("/%c/%d/%d", kind, []int{0, 1, 3}[rand.IntN(3)], n)
			method, want := "GET", path
			switch kind {
			case 'h':
				method, want = "HEAD", ""
			case 'n':
				want = ""
			}
			if _, body, err := carry(u, request(method, path, "")); err != nil || body != want {
				t.Fatalf("%s %s: got %q, %v", method, path, body, err)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		for path, times := range o.got {
			if times != 1 {
				t.Errorf("%s was delivered %d times", path, times)
			}
		}
	})
}
