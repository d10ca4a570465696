package upstream

// Patience, on a clock that is moved: pipes instead of sockets.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a way to an origin whose ends of the connections come out of far.
func pipe(t *testing.T, c Config) (u *Origin, far chan net.Conn) {
	silent, w, err := os.Pipe() // has a descriptor to ask, which a net.Pipe has not
	if err != nil {
		t.Fatal(err)
	}
	u, far = New(c), make(chan net.Conn, 8)
	t.Cleanup(func() { u.Close(); silent.Close(); w.Close() })
	u.dials = func(context.Context, string, string) (net.Conn, error) {
		near, other := net.Pipe()
		far <- other
		return askable{near, silent}, nil
	}
	return u, far
}

// askable is a connection that is asked about somewhere else.
type askable struct {
	net.Conn
	about syscall.Conn
}

func (a askable) SyscallConn() (syscall.RawConn, error) { return a.about.SyscallConn() }

// after is bytes that an origin says some time after the ones before.
type after struct {
	wait time.Duration
	say  string
}

// play reads one request from c and says lines.
func play(c net.Conn, lines []after) {
	c.Read(make([]byte, 1<<20))
	for _, l := range lines {
		time.Sleep(l.wait) // inside the bubble
		if _, err := io.WriteString(c, l.say); err != nil {
			break
		}
	}
	c.Read(make([]byte, 1)) // until the other side is done
	c.Close()
}

// used makes one exchange, so that the next is not the first on its connection.
func used(t *testing.T, u *Origin, far chan net.Conn) (c net.Conn) {
	answered := make(chan bool)
	go func() {
		c = <-far
		c.Read(make([]byte, 1<<10))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		io.WriteString(c, "first")
		close(answered)
	}()
	if _, body, err := carry(u, request("GET", "/first", "")); err != nil || body != "first" {
		t.Fatalf("first exchange: %q, %v", body, err)
	}
	<-answered
	return c
}

func TestPatience(t *testing.T) {
	const s = time.Second
	conf := Config{Response: 15 * s, IdleBody: 60 * s, MaxIdle: 1}
	head := "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
	cases := []struct {
		name    string
		conf    Config
		lines   []after
		body    string
		op      string // of the error; "": none
		took    time.Duration
		atLeast bool // took up to an eighth of IdleBody more
	}{
		{"at once", conf, []after{{0, head + "abc"}}, "abc", "", 0, false},
		{"just in time", conf, []after{{15*s - 1, head + "abc"}}, "abc", "", 15*s - 1, false},
		{"too late", conf, []after{{15*s + 1, head}}, "", OpHead, 15 * s, false},
		{"half a head does not buy time", conf, []after{{10 * s, head[:20]}, {6 * s, head[20:]}}, "", OpHead, 15 * s, false},
		{"interim answers do not buy time", conf, []after{{10 * s, "HTTP/1.1 103 Hints\r\n\r\n"}, {6 * s, head}}, "", OpHead, 15 * s, false},
		{"slow body", conf, []after{{0, head}, {60 * s, "a"}, {60 * s, "b"}, {60 * s, "c"}}, "abc", "", 180 * s, false},
		{"silent body", conf, []after{{0, head}, {30 * s, "a"}, {80 * s, "b"}}, "a", OpAnswer, 90 * s, true},
		{"body shorter in patience than head", Config{Response: 60 * s, IdleBody: 8 * s, MaxIdle: 1}, []after{{0, head + "a"}, {30 * s, "bc"}}, "a", OpAnswer, 8 * s, true},
		{"no limits", Config{MaxIdle: 1}, []after{{time.Hour, head}, {24 * time.Hour, "abc"}}, "abc", "", 25 * time.Hour, false},
		{"limit for the head only", Config{Response: s, MaxIdle: 1}, []after{{0, head}, {24 * time.Hour, "abc"}}, "abc", "", 24 * time.Hour, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, far := pipe(t, c.conf)
				side := used(t, u, far)
				var origin sync.WaitGroup
				defer origin.Wait()
				origin.Go(func() { play(side, c.lines) })
				start := time.Now()
				_, body, err := carry(u, request("POST", "/order", "qty=1"))
				took := time.Since(start)
				most := c.took
				if c.atLeast {
					most += c.conf.IdleBody / 8
				}
				if took < c.took || took > most {
					t.Errorf("took %v, want %v to %v", took, c.took, most)
				}
				if err != nil {
					body = c.body // carry gives none
				}
				if body != c.body || ended(err) != c.op {
					t.Errorf("got %q, %v; want %q, error %q", body, err, c.body, c.op)
				}
				if c.op != "" && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error %v is no timeout", err)
				}
			})
		})
	}
}

// ended is the step an error names, "" for none.
func ended(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Op
	}
	return ""
}

// TestDeadlineIsNotTheLastExchanges: a connection keeps a deadline that was told it for an
// exchange, for as long as that comes before the next one's.
func TestDeadlineIsNotTheLastExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, far := pipe(t, Config{Response: 15 * time.Second, IdleBody: time.Minute, MaxIdle: 1})
		go func() {
			c := <-far
			for _, took := range []time.Duration{0, 14 * time.Second, 16 * time.Second} {
				c.Read(make([]byte, 1<<10))
				time.Sleep(took)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}()
		for i, want := range []string{"", "", OpHead} {
			if _, _, err := carry(u, request("GET", "/", "")); ended(err) != want {
				t.Fatalf("exchange %d: %v, want error %q", i, err, want)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

// TestInterruptedBeforeItReads: nor does a deadline that is told later make it wait.
func TestInterruptedBeforeItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, far := pipe(t, Config{Response: 15 * time.Second, IdleBody: time.Minute, MaxIdle: 1})
		go play(used(t, u, far), []after{{0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"}})
		e, err := u.Do(t.Context(), request("GET", "/", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		start := time.Now()
		e.Interrupter()()
		if _, err := e.Read(make([]byte, 2)); err == nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestWaitIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, far := pipe(t, Config{Response: 15 * time.Second, IdleBody: time.Minute, MaxIdle: 1})
		go play(used(t, u, far), []after{{20 * time.Second, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"}})
		start := time.Now()
		e, err := u.Do(t.Context(), request("POST", "/order", "qty=1"))
		if e == nil || ended(err) != OpHead || time.Since(start) != 15*time.Second {
			t.Fatalf("do: %v after %v", err, time.Since(start))
		}
		defer e.Close()
		if err := e.Wait(30 * time.Second); err != nil || e.Status != 201 || time.Since(start) != 20*time.Second {
			t.Fatalf("wait: %v, status %d, after %v", err, e.Status, time.Since(start))
		}
		if b, err := io.ReadAll(e); string(b) != "ok" || err != nil {
			t.Errorf("body %q, %v", b, err)
		}
	})
}

// An origin that takes only so much of a request, and how long that may last.
func TestOriginStopsReading(t *testing.T) {
	const kib = 1 << 10
	for _, c := range []struct {
		body, takes int
		unsent      bool
		silence     time.Duration // before it is given up
	}{
		{kib, 0, true, time.Minute},
		{kib, 1, false, time.Minute + lastWords},
		{1024 * kib, 200 * kib, false, time.Minute + lastWords},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.takes, c.body), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, far := pipe(t, Config{Response: 15 * time.Second, IdleBody: time.Minute})
				stop := make(chan bool)
				go func() {
					conn := <-far
					io.ReadFull(conn, make([]byte, c.takes))
					<-stop
					conn.Close()
				}()
				start := time.Now()
				e, err := u.Do(t.Context(), request("POST", "/upload", string(make([]byte, c.body))))
				took := time.Since(start)
				close(stop)
				if e != nil || ended(err) != OpWrite || Unsent(err) != c.unsent || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, unsent %v; want a write timeout, unsent %v", err, Unsent(err), c.unsent)
				}
				if took < c.silence || took > c.silence+time.Minute/8 {
					t.Errorf("took %v, want %v and at most an eighth of a minute more", took, c.silence)
				}
			})
		})
	}
}

// The clock for the answer starts with the last byte sent, however slow the client.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, far := pipe(t, Config{Response: 15 * time.Second, IdleBody: time.Minute, MaxIdle: 1})
		c := used(t, u, far)
		go func() {
			io.ReadFull(c, make([]byte, 100<<10))
			time.Sleep(14 * time.Second)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			c.Close()
		}()
		slow, client := io.Pipe()
		go func() {
			for range 100 {
				time.Sleep(time.Second)
				client.Write(make([]byte, 1<<10))
			}
			client.Close()
		}()
		r := &Request{Head: []byte("POST / HTTP/1.1\r\n\r\n"), Body: slow, Length: 100 << 10}
		if status, _, err := carry(u, r); status != 200 || err != nil {
			t.Errorf("got %d, %v; want 200", status, err)
		}
	})
}

// An early answer is the answer, whatever the client and the sender are at.
func TestEarlyAnswerWins(t *testing.T) {
	const slow = 10 * time.Second // long enough for the write deadline to be moved
	cases := []struct {
		name string
		read func(p []byte) (int, error) // the body after its first piece
		took time.Duration
	}{
		{"client fails later", func([]byte) (int, error) { time.Sleep(slow); return 0, io.ErrNoProgress }, slow},
		{"client goes on later", func(p []byte) (int, error) { time.Sleep(slow); return len(p), nil }, slow},
		{"origin takes no more", func(p []byte) (int, error) { return len(p), nil }, time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, far := pipe(t, Config{Response: 15 * time.Second, IdleBody: time.Minute})
				stop := make(chan bool)
				defer close(stop)
				go func() {
					c := <-far
					c.Read(make([]byte, 1<<20))
					time.Sleep(time.Second)
					io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
					<-stop
					c.Close()
				}()
				reads := 0
				body := readerFunc(func(p []byte) (int, error) {
					if reads++; reads == 1 {
						return len(p), nil
					}
					return c.read(p)
				})
				start := time.Now()
				status, _, err := carry(u, &Request{Head: []byte("POST / HTTP/1.1\r\n\r\n"), Length: 1 << 20, Body: body})
				if took := time.Since(start); status != 413 || err != nil || took != c.took {
					t.Errorf("got %d, %v after %v; want 413 after %v", status, err, took, c.took)
				}
			})
		})
	}
}
