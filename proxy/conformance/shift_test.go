package conformance

// Whose page is it? Hazard 26: once an origin has sent bytes nobody asked for, the next to
// use its connection reads them, and every answer after that is shifted by one. The origin
// here does so in every way that has been met, and every page says whose it is.
//
// What no proxy can do is not asked: bytes that come between the look at an idle connection
// and the request that goes out on it are taken for the answer. So what comes that late
// is a timeout here, which belongs to nobody, and never a page.

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	visitors = 16
	visits   = 10_000
)

// habit is one way an origin answers. page is the answer with the target as its body.
type habit struct {
	name string
	send func(c net.Conn, target string, later func(func())) (goesOn bool)
}

func page(target string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target)
}

const lateTimeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate"

// habits by what follows "/" in the target.
var habits = []habit{
	{"plain", func(c net.Conn, target string, _ func(func())) bool {
		_, err := io.WriteString(c, page(target))
		return err == nil
	}},
	{"chunks", func(c net.Conn, target string, _ func(func())) bool {
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(target), target)
		return err == nil
	}},
	{"hints", func(c net.Conn, target string, _ func(func())) bool {
		_, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+page(target))
		return err == nil
	}},
	{"nothing", func(c net.Conn, target string, _ func(func())) bool { // with a body all the same
		_, err := io.WriteString(c, strings.Replace(page(target), "200 OK", "204 No Content", 1))
		return err == nil
	}},
	{"unchanged", func(c net.Conn, target string, _ func(func())) bool {
		_, err := io.WriteString(c, strings.Replace(page(target), "200 OK", "304 Not Modified", 1))
		return err == nil
	}},
	{"twice", func(c net.Conn, target string, _ func(func())) bool {
		_, err := io.WriteString(c, page(target)+page(target))
		return err == nil
	}},
	{"more", func(c net.Conn, target string, _ func(func())) bool {
		_, err := io.WriteString(c, page(target)+"and some more")
		return err == nil
	}},
	{"empty-line", func(c net.Conn, target string, _ func(func())) bool {
		_, err := io.WriteString(c, page(target)+"\r\n")
		return err == nil
	}},
	{"leaves", func(c net.Conn, target string, _ func(func())) bool {
		io.WriteString(c, page(target))
		return false
	}},
	{"resets", func(c net.Conn, target string, later func(func())) bool {
		io.WriteString(c, page(target))
		later(func() { c.(*net.TCPConn).SetLinger(0); c.Close() })
		return true
	}},
	{"late", func(c net.Conn, target string, later func(func())) bool {
		_, err := io.WriteString(c, page(target))
		later(func() { io.WriteString(c, lateTimeout); c.Close() })
		return err == nil
	}},
	{"two-framings", func(c net.Conn, target string, _ func(func())) bool {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(target), target)
		return true
	}},
	{"early", func(c net.Conn, target string, _ func(func())) bool { // answers before it has read the body
		_, err := io.WriteString(c, page(target))
		return err == nil
	}},
}

// strange is an origin with all these habits.
type strange struct {
	mu      sync.Mutex
	pending []func() // done when some other request has been answered
	seen    map[string]int
}

func (s *strange) serve(c net.Conn) {
	br := bufio.NewReader(c)
	for {
		var r request
		if r.readHead(br) != nil {
			return
		}
		name, _, _ := strings.Cut(r.target[1:], "/")
		if name != "early" && r.readBody(br) != nil {
			return
		}
		s.mu.Lock()
		s.seen[r.target]++
		s.mu.Unlock()
		for _, h := range habits {
			if h.name == name && !h.send(c, r.target, s.later) {
				return
			}
		}
		s.sooner()
		if name == "early" && r.readBody(br) != nil {
			return
		}
	}
}

// later keeps what an origin does to an idle connection; sooner does it, some requests
// later: the delay is other people's requests, so it needs no clock.
func (s *strange) later(do func()) {
	s.mu.Lock()
	s.pending = append(s.pending, do)
	s.mu.Unlock()
}

func (s *strange) sooner() {
	s.mu.Lock()
	var do func()
	if n := len(s.pending); n > 0 && rand.IntN(3) == 0 {
		at := rand.IntN(n)
		do = s.pending[at]
		s.pending[at] = s.pending[n-1]
		s.pending = s.pending[:n-1]
	}
	s.mu.Unlock()
	if do != nil {
		do()
	}
}

// ask is the request for a target. HEAD is answered with a body, too.
func ask(target string, i int) (method, raw string) {
	switch {
	case strings.HasPrefix(target, "/early/"):
		body := strings.Repeat("x", 70_000)
		return "POST", head("POST "+target+" HTTP/1.1", "Host: shop", fmt.Sprintf("Content-Length: %d", len(body))) + body
	case i%5 == 0:
		return "HEAD", head("HEAD "+target+" HTTP/1.1", "Host: shop")
	case i%5 == 1:
		return "POST", head("POST "+target+" HTTP/1.1", "Host: shop", "Content-Length: 5") + "hello"
	}
	return "GET", head("GET "+target+" HTTP/1.1", "Host: shop")
}

// tally counts what visitors were told.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(what string) { c.mu.Lock(); c.counts[what]++; c.mu.Unlock() }

func TestEveryPageGoesToWhomItBelongs(t *testing.T) {
	s, ln := &strange{seen: map[string]int{}}, loopback(t)
	stop := backend(t, ln, s.serve)
	g := gateway(t, file, ln.Addr().String(), nil)
	told := &tally{counts: map[string]int{}}
	var all sync.WaitGroup
	for v := range visitors {
		all.Go(func() { visit(t, g.addr, v, told) })
	}
	all.Wait()
	g.stop()
	stop()
	for target, n := range s.seen {
		if n != 1 {
			t.Errorf("%s reached the origin %d times", target, n)
		}
	}
	t.Logf("%v", told.counts)
	if n := told.counts["own page"]; n < visits/2 {
		t.Errorf("only %d of %d got their page: %v", n, visits, told.counts)
	}
}

func visit(t *testing.T, addr string, visitor int, told *tally) {
	random := rand.New(rand.NewPCG(26, uint64(visitor)))
	var c net.Conn
	var br *bufio.Reader
	for i := range visits / visitors {
		if c == nil {
			c = dial(t, addr)
			br = bufio.NewReader(c)
		}
		target := fmt.Sprintf("/%s/%d/%d", habits[random.IntN(len(habits))].name, visitor, i)
		method, raw := ask(target, i)
		c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, raw); err != nil && !ended(err) {
			t.Errorf("%s: %v", target, err)
			return
		}
		a, err := readReply(br, method)
		if err != nil {
			t.Errorf("%s %s: %v", method, target, err)
			return
		}
		told.add(whose(t, method, target, a))
		if a.close {
			c.Close()
			c = nil
		}
	}
}

// whose says what an answer is, and complains if it is somebody else's.
func whose(t *testing.T, method, target string, a *reply) string {
	name, _, _ := strings.Cut(target[1:], "/")
	switch {
	case a.status == 200 && method == "HEAD" && a.body == "":
		return "head of a page"
	case a.status == 200 && a.body == target:
		return "own page"
	case a.status == 204 && name == "nothing", a.status == 304 && name == "unchanged":
		return "no page"
	case a.status == 408 && (a.body == "late" || method == "HEAD"):
		return "late timeout"
	case a.status == 502 && a.reason() != "admitted":
		return a.reason()
	}
	t.Errorf("%s %s got %d %q", method, target, a.status, a.body)
	return "wrong"
}
