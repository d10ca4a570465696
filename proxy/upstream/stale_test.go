package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// spoken waits until something, or the end, has come in on every idle connection.
func spoken(u *Origin) {
	for {
		u.idle.mu.Lock()
		quiet := 0
		for _, c := range u.idle.conns {
			if c.fit(c.until.Add(-1)) {
				quiet++
			}
		}
		u.idle.mu.Unlock()
		if quiet == 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestOriginClosesIdle(t *testing.T) { everyWire(t, originClosesIdle) }

func originClosesIdle(t *testing.T, c *tls.Config) {
	o := serveOver(t, c, func(p *peer) {
		if path, _, ok := p.next(); ok {
			p.ok(path)
		}
	})
	u := reach(t, o, nil)
	for i := range some(c, 300) {
		path := fmt.Sprintf("/order/%d", i)
		if _, body, err := carry(u, request("POST", path, "qty=1")); err != nil || body != path {
			t.Fatalf("%s: %q, %v", path, body, err)
		}
		spoken(u)
	}
	for path, n := range o.deliveries() {
		if n != 1 {
			t.Errorf("%s delivered %d times", path, n)
		}
	}
}

// Bytes nobody asked for must not become the next customer's page.
func TestNobodyElsesPage(t *testing.T) { everyWire(t, nobodyElsesPage) }

func nobodyElsesPage(t *testing.T, c *tls.Config) {
	rude := []struct {
		name  string
		after string // what the origin says too much, %s: the path
		late  bool   // only when the answer has been read and the connection lies idle
	}{
		{"second answer in the same breath", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice", false},
		{"late second answer", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice", true},
		{"late 408", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", true},
		{"late line end", "\r\n", true},
	}
	for _, r := range rude {
		t.Run(r.name, func(t *testing.T) {
			idle := make(chan bool)
			o := serveOver(t, c, func(p *peer) {
				for {
					path, _, ok := p.next()
					if !ok {
						return
					}
					if !r.late {
						p.say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(path), path, r.after)
						continue
					}
					if p.ok(path); <-idle {
						p.say("%s", r.after)
					}
				}
			})
			u := reach(t, o, nil)
			for i := range some(c, 500) {
				path := fmt.Sprintf("/page/%d", i)
				if _, body, err := carry(u, request("GET", path, "")); err != nil || body != path {
					t.Fatalf("%s: got %q, %v", path, body, err)
				}
				if r.late {
					if idle <- i%3 == 0; i%3 == 0 {
						spoken(u)
					}
				}
			}
		})
	}
}

// An origin that answers HEAD, 204 and 304 with a body, at any moment, with many
// customers at once.
func TestBodyWhereNoneBelongs(t *testing.T) { everyWire(t, bodyWhereNoneBelongs) }

func bodyWhereNoneBelongs(t *testing.T, c *tls.Config) {
	o := serveOver(t, c, func(p *peer) {
		for {
			path, _, ok := p.next()
			if !ok {
				return
			}
			status := map[byte]string{'h': "200 OK", 'n': "204 No Content", 'm': "304 Not Modified", 'g': "200 OK"}[path[1]]
			p.say("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n", status, len(path))
			runtime.Gosched()
			p.say("%s", path)
		}
	})
	u := reach(t, o, nil)
	var all sync.WaitGroup
	for customer := range 4 {
		all.Go(func() {
			for i := range some(c, 500) {
				kind := "ghnm"[rand.IntN(4)]
				path := fmt.Sprintf("/%c/%d/%d", kind, customer, i)
				method, want := "GET", ""
				switch kind {
				case 'h':
					method = "HEAD"
				case 'g':
					want = path
				}
				if _, body, err := carry(u, request(method, path, "")); err != nil || body != want {
					t.Errorf("%s %s: got %q, %v; want %q", method, path, body, err, want)
				}
			}
		})
	}
	all.Wait()
}

// Which answers leave a connection that is used again.
func TestUsedAgain(t *testing.T) {
	cases := []struct {
		name, method, answer string
		want                 bool
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true},
		{"not found", "POST", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", true},
		{"1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", true},
		{"keep-alive with time", "GET", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=99\r\nContent-Length: 0\r\n\r\n", true},
		{"keep-alive without time", "GET", "HTTP/1.1 200 OK\r\nKeep-Alive: max=99, Timeout=1\r\nContent-Length: 0\r\n\r\n", false},
		{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", false},
		{"close in a second line", "GET", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"204", "GET", "HTTP/1.1 204 OK\r\n\r\n", false},
		{"304", "GET", "HTTP/1.1 304 OK\r\n\r\n", false},
		{"408", "GET", "HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n", false},
		{"100 unasked", "GET", "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", false},
		{"length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", false},
		{"byte too many", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\n", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := serve(t, func(p *peer) {
				for {
					if _, _, ok := p.next(); !ok {
						return
					}
					p.say("%s", c.answer)
				}
			})
			u := reach(t, o, nil)
			if _, _, err := carry(u, request(c.method, "/", "")); err != nil {
				t.Fatal(err)
			}
			if got := u.idle.size() == 1; got != c.want {
				t.Errorf("kept %v, want %v", got, c.want)
			}
		})
	}
}

func TestUnreadAnswerIsNotUsedAgain(t *testing.T) {
	o := serve(t, echo)
	u := reach(t, o, nil)
	e, err := u.Do(context.Background(), request("GET", "/page", ""))
	if err != nil {
		t.Fatal(err)
	}
	e.Read(make([]byte, 1))
	e.Close()
	if n := u.idle.size(); n != 0 {
		t.Errorf("%d idle connections after a half-read answer, want 0", n)
	}
	if n, err := e.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read after close: %d, %v", n, err)
	}
}

// A second Close must not touch the connection, which is another's by then.
func TestCloseTwice(t *testing.T) {
	o := serve(t, echo)
	u := reach(t, o, nil)
	first, err := u.Do(context.Background(), request("GET", "/first", ""))
	if err != nil {
		t.Fatal(err)
	}
	first.Read(make([]byte, 100))
	first.Close()
	second, err := u.Do(context.Background(), request("GET", "/second", ""))
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if b, err := io.ReadAll(second); err != nil || string(b) != "/second" {
		t.Errorf("second exchange after the first closed twice: %q, %v", b, err)
	}
	second.Close()
	if n := o.dialled(); n != 1 || u.idle.size() != 1 {
		t.Errorf("%d connections dialled, %d idle; want 1, 1", n, u.idle.size())
	}
}

func TestPool(t *testing.T) {
	o := serve(t, func(p *peer) { p.next() })
	u := reach(t, o, nil)
	now := time.Now()
	dial := func() *conn {
		c, err := u.dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b, c := dial(), dial(), dial()
	p := pool{max: 2}
	defer p.shut()
	p.put(a, now.Add(idleLimit))
	p.put(b, now.Add(time.Second))
	p.put(c, now.Add(idleLimit)) // no room
	if p.size() != 2 || c.fit(now) {
		t.Fatalf("%d idle of at most 2, the third open: %v", p.size(), c.fit(now))
	}
	if got := p.take(now); got != b {
		t.Fatal("take did not give the newest")
	}
	p.put(b, now.Add(time.Second))
	if got := p.take(now.Add(time.Second)); got != a || b.fit(now) {
		t.Fatal("take gave an old connection or left it open")
	}
	p.put(a, now.Add(idleLimit))
	if p.prune(now.Add(idleLimit)); p.size() != 0 || a.fit(now) {
		t.Fatal("prune left an old connection")
	}
	d := dial()
	p.shut()
	if p.put(d, now.Add(idleLimit)); p.size() != 0 || d.fit(now) {
		t.Fatal("a closed pool keeps connections")
	}
}

// Idle connections are closed without anybody asking, and then nothing runs any more.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, far := pipe(t, Config{MaxIdle: 2})
		for n := range 2 {
			time.Sleep(idleLimit / 2) // inside the bubble
			if err := u.Warm(t.Context(), n+1); err != nil {
				t.Fatal(err)
			}
		}
		if n := u.idle.size(); n != 2 {
			t.Fatalf("%d idle, want 2", n)
		}
		start := time.Now()
		for range 2 {
			(<-far).Read(make([]byte, 1)) // until it is closed
		}
		if took := time.Since(start); took > 2*idleLimit {
			t.Errorf("closed after %v, want at most %v", took, 2*idleLimit)
		}
		synctest.Wait()
		if u.idle.timer != nil {
			t.Error("the sweep goes on with nothing to sweep")
		}
	})
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer ln.Close()
	all.Go(func() {
		c, err := ln.Accept() // one connection is enough for all
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 4096)
		for _, err := c.Read(b); err == nil; _, err = c.Read(b) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	u := New(Config{Network: "unix", Address: path, Response: time.Minute, MaxIdle: 1})
	defer u.Close()
	for range 3 {
		if _, body, err := carry(u, request("GET", "/", "")); err != nil || body != "ok" {
			t.Fatalf("got %q, %v", body, err)
		}
	}
}
