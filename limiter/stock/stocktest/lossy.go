package stocktest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Lossy is a TCP proxy that does to a connection what networks do. It knows no protocol:
// a reply is what one read from the server gives. Bytes are never left out of the middle
// of a stream and never sent twice, because TCP does not do that either.
type Lossy struct {
	Addr   string
	to     atomic.Pointer[string]
	split  atomic.Bool
	faults atomic.Int64

	mu    sync.Mutex
	plan  []fault       // for the next replies
	hold  int           // requests to hold back
	open  chan struct{} // closed by Release
	conns map[net.Conn]bool
	over  bool
}

// fault is what happens to one reply.
type fault struct {
	silent bool // nothing more comes; else the connection is closed
	pass   int  // after so many of its bytes
}

// NewLossy listens; it is of no use before Front.
func NewLossy(t testing.TB) *Lossy {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lossy{Addr: in.Addr().String(), open: make(chan struct{}), conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		in.Close()
		l.stop()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := in.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { l.serve(client) })
		}
	})
	return l
}

// Front says for whom the proxy stands.
func (l *Lossy) Front(addr string) { l.to.Store(&addr) }

// Lose closes the connection instead of passing the reply on, for the next n replies:
// what was asked for has been done.
func (l *Lossy) Lose(n int) { l.add(n, fault{}) }

// Swallow does not pass on the next n replies nor anything after them on their
// connections, which stay open.
func (l *Lossy) Swallow(n int) { l.add(n, fault{silent: true}) }

// Cut passes so many bytes of the next reply and then closes the connection.
func (l *Lossy) Cut(after int) { l.add(1, fault{pass: after}) }

// Hold keeps the next n requests back until Release, longer than their senders wait:
// they are done then, whether anybody still wants it or not.
func (l *Lossy) Hold(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold += n
}

// Release lets go of what is held back, and holds back nothing more.
func (l *Lossy) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = 0
	close(l.open)
	l.open = make(chan struct{})
}

// Split passes everything on byte by byte.
func (l *Lossy) Split(on bool) { l.split.Store(on) }

// Heal forgets the faults that have not happened yet.
func (l *Lossy) Heal() {
	l.mu.Lock()
	l.plan = nil
	l.mu.Unlock()
	l.Release()
}

// Faults is how many have happened.
func (l *Lossy) Faults() int64 { return l.faults.Load() }

func (l *Lossy) add(n int, f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.plan = append(l.plan, f)
	}
}

func (l *Lossy) stop() {
	l.mu.Lock()
	l.over = true
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.Release()
}

// keep notes the connection, so that it does not outlive the test.
func (l *Lossy) keep(c net.Conn) (drop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[c] = true; l.over {
		c.Close()
	}
	return func() {
		c.Close()
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	}
}

func (l *Lossy) serve(client net.Conn) {
	defer l.keep(client)()
	to := l.to.Load()
	if to == nil {
		return
	}
	server, err := net.Dial("tcp", *to)
	if err != nil {
		return
	}
	defer l.keep(server)()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		// What was sent is delivered, and its replies read, after the client has gone, too.
		l.requests(server, client)
		server.(*net.TCPConn).CloseWrite()
	})
	l.replies(client, server)
	client.Close()
}

func (l *Lossy) requests(server, client net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 {
			if wait := l.held(); wait != nil {
				<-wait
			}
			if l.pass(server, buf[:n]) != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// held is what to wait for; nil: nothing.
func (l *Lossy) held() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hold == 0 || l.over {
		return nil
	}
	l.hold--
	l.faults.Add(1)
	return l.open
}

func (l *Lossy) replies(client, server net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if f, broken := l.next(); broken {
			l.pass(client, buf[:min(f.pass, n)])
			if f.silent {
				io.Copy(io.Discard, server)
			}
			return
		}
		if l.pass(client, buf[:n]) != nil {
			io.Copy(io.Discard, server)
			return
		}
	}
}

func (l *Lossy) next() (f fault, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.plan) == 0 {
		return f, false
	}
	f, l.plan = l.plan[0], l.plan[1:]
	l.faults.Add(1)
	return f, true
}

func (l *Lossy) pass(to io.Writer, b []byte) error {
	step := len(b)
	if l.split.Load() {
		step = 1
	}
	for len(b) > 0 {
		n := min(step, len(b))
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
