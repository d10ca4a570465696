package upstream

// A scripted origin on a real socket: it counts the requests that reached it whole and
// answers with the bytes it is told to.

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type origin struct {
	ln    net.Listener
	tls   *tls.Config // nil: it speaks plain
	all   sync.WaitGroup
	mu    sync.Mutex
	got   map[string]int // complete requests by path
	conns int
	open  map[net.Conn]bool

	once    sync.Once
	stopped chan bool
}

// peer is the origin's side of one connection.
type peer struct {
	halfConn
	tcp *net.TCPConn // beneath TLS, if there is any
	br  *bufio.Reader
	n   int // 0: the first connection
	o   *origin
}

type halfConn interface {
	net.Conn
	CloseWrite() error
}

func serve(t testing.TB, script func(*peer)) *origin { return serveOver(t, nil, script) }

// serveOver is serve with the origin's side of TLS.
func serveOver(t testing.TB, c *tls.Config, script func(*peer)) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveAt(t, ln, c, script)
}

func serveAt(t testing.TB, ln net.Listener, c *tls.Config, script func(*peer)) *origin {
	o := &origin{ln: ln, tls: c, got: map[string]int{}, open: map[net.Conn]bool{}, stopped: make(chan bool)}
	o.all.Go(func() { o.accept(script) })
	t.Cleanup(o.stop)
	return o
}

func (o *origin) accept(script func(*peer)) {
	for {
		c, err := o.ln.Accept()
		if err != nil {
			return
		}
		p := &peer{halfConn: c.(*net.TCPConn), tcp: c.(*net.TCPConn), o: o}
		if o.tls != nil {
			p.halfConn = tls.Server(c, o.tls)
		}
		p.br = bufio.NewReader(p)
		o.mu.Lock()
		p.n = o.conns
		o.conns++
		o.open[c] = true
		o.mu.Unlock()
		o.all.Go(func() {
			defer p.Close()
			if t, ok := p.halfConn.(*tls.Conn); ok && t.Handshake() != nil {
				return
			}
			script(p)
		})
	}
}

func (o *origin) stop() {
	o.once.Do(func() { close(o.stopped) })
	o.ln.Close()
	o.mu.Lock()
	for c := range o.open {
		c.Close()
	}
	o.mu.Unlock()
	o.all.Wait()
}

// delivered is how often path arrived.
func (o *origin) delivered(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got[path]
}

func (o *origin) deliveries() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.got)
}

func (o *origin) dialled() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns
}

// next reads one request whole and counts it; false: there is none.
func (p *peer) next() (path, body string, ok bool) {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return "", "", false
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return "", "", false
	}
	p.o.mu.Lock()
	p.o.got[r.URL.Path]++
	p.o.mu.Unlock()
	return r.URL.Path, string(b), true
}

func (p *peer) say(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// ok answers 200 with body.
func (p *peer) ok(body string) {
	p.say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func (p *peer) reset() {
	p.tcp.SetLinger(0)
	p.tcp.Close()
}

// echo answers every request with its path.
func echo(p *peer) {
	for {
		path, _, ok := p.next()
		if !ok {
			return
		}
		p.ok(path)
	}
}

// reach gives the way to o, closed with the test.
func reach(t testing.TB, o *origin, change func(*Config)) *Origin {
	c := Config{
		Network: "tcp", Address: o.ln.Addr().String(),
		Connect: time.Minute, Response: time.Minute, IdleBody: time.Minute, MaxIdle: 8,
	}
	if o.tls != nil {
		c.TLS = believing()
	}
	if change != nil {
		change(&c)
	}
	u := New(c)
	t.Cleanup(func() {
		u.Close()
		if n := u.open.Load(); n != 0 && !t.Failed() {
			t.Errorf("%d connections are neither closed nor anybody's", n)
		}
	})
	return u
}

// request makes a request with a body of known length, or none.
func request(method, path, body string) *Request {
	if body == "" {
		return &Request{Head: fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: shop\r\n\r\n", method, path)}
	}
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", method, path, len(body))
	return &Request{Head: head, Body: strings.NewReader(body), Length: int64(len(body))}
}

// stream makes a request with a body of unknown length.
func stream(path string, body io.Reader) *Request {
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n", path)
	return &Request{Head: head, Body: body, Length: -1}
}

// carry takes r through a whole exchange.
func carry(u *Origin, r *Request) (status int, body string, err error) {
	e, err := u.Do(context.Background(), r)
	if e == nil {
		return 0, "", err
	}
	defer e.Close()
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(e)
	return e.Status, string(b), err
}
