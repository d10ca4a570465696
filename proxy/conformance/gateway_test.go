package conformance

// A gateway as its binary makes it, but for the gates: all of them are open, so that
// whatever is refused is refused for what it is on the wire.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/proxy"
	"penstock/rules"
	"penstock/rules/config"
)

// patience is how long a test waits for what must happen; it is a bound, not a measure.
const patience = time.Minute

// file is the gateway's file; ORIGIN is where the origin listens.
const file = `
listen: "127.0.0.1:0"
client: {header: 10s, body: 10s, idle: 30s, max_header: 16KiB, max_body: 1MiB}
origin:
  url: "http://ORIGIN"
  state_file: ""
  timeout: {connect: 5s, response: 20s, idle_body: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /checkout}
  - name: basket
    match: {methods: [POST], path: /cart/add, form: {sku: PHONE}}
`

// front is a running gateway. stop lets running requests end; more than one does no harm.
type front struct {
	addr string
	stop func()
}

// gateway starts one in front of origin, until stop or the end of the test. gates may be nil.
func gateway(t testing.TB, text, origin string, gates func(*rules.Set) proxy.Gates) *front {
	t.Helper()
	return serve(t, loopback(t), strings.ReplaceAll(text, "ORIGIN", origin), gates)
}

// serve starts a gateway on ln.
func serve(t testing.TB, ln net.Listener, text string, gates func(*rules.Set) proxy.Gates) *front {
	t.Helper()
	path := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var open proxy.Gates
	if gates != nil {
		open = gates(set)
	}
	p := proxy.New(proxy.Options{
		Gates: open, Secret: bytes.Repeat([]byte("s"), 32),
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	p.Use(set)
	srv := p.Server(set)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	f := &front{addr: ln.Addr().String(), stop: sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})}
	t.Cleanup(f.stop)
	f.serves(t, ln.Addr())
	return f
}

// serves waits until the gateway does: one that is stopped before would begin after.
func (f *front) serves(t testing.TB, at net.Addr) {
	t.Helper()
	c, err := net.DialTimeout(at.Network(), at.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, head("TRACE / HTTP/1.1", "Host: probe", "Connection: close"))
	if a, err := readReply(bufio.NewReader(c), "TRACE"); err != nil || a.status != 405 {
		t.Fatalf("the gateway does not serve: %+v, %v", a, err)
	}
}

// dial opens a connection that the end of the test closes.
func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// reply is an answer, read strictly from the bytes.
type reply struct {
	status int
	head   string // with its empty line
	body   string
	close  bool // it says that the connection ends
}

func (r *reply) reason() string {
	_, after, _ := strings.Cut(r.head, "\r\nPenstock-Reason: ")
	reason, _, _ := strings.Cut(after, "\r\n")
	return reason
}

// readReply reads one final answer. io.EOF means that the connection ended before it.
func readReply(br *bufio.Reader, method string) (*reply, error) {
	for {
		r, err := readHead(br)
		if err != nil {
			return nil, err
		}
		if r.status >= 200 {
			return r, r.readBody(br, method)
		}
	}
}

func readHead(br *bufio.Reader) (*reply, error) {
	r := &reply{}
	for !strings.HasSuffix(r.head, "\r\n\r\n") {
		line, err := br.ReadString('\n')
		if err != nil {
			if line+r.head == "" && ended(err) {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("head of an answer ends in %q: %w", r.head+line, err)
		}
		if !strings.HasSuffix(line, "\r\n") {
			return nil, fmt.Errorf("line %q of an answer", line)
		}
		r.head += line
	}
	if n, err := fmt.Sscanf(r.head, "HTTP/1.1 %d ", &r.status); n != 1 || err != nil {
		return nil, fmt.Errorf("answer begins %.40q", r.head)
	}
	r.close = strings.Contains(strings.ToLower(r.head), "\r\nconnection: close\r\n")
	return r, nil
}

func (r *reply) readBody(br *bufio.Reader, method string) error {
	if method == "HEAD" || r.status == 204 || r.status == 304 {
		return nil
	}
	head := strings.ToLower(r.head)
	if strings.Contains(head, "\r\ntransfer-encoding: chunked\r\n") {
		return r.readChunks(br)
	}
	_, after, found := strings.Cut(head, "\r\ncontent-length: ")
	if !found {
		body, err := io.ReadAll(br)
		r.body, r.close = string(body), true
		return err
	}
	var n int
	if _, err := fmt.Sscan(after, &n); err != nil {
		return err
	}
	body := make([]byte, n)
	_, err := io.ReadFull(br, body)
	r.body = string(body)
	return err
}

func (r *reply) readChunks(br *bufio.Reader) error {
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return cutShort(err)
		}
		var n int
		if _, err := fmt.Sscanf(line, "%x\r\n", &n); err != nil {
			return fmt.Errorf("chunk size %q: %w", line, err)
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(br, chunk); err != nil {
			return cutShort(err)
		}
		if r.body += string(chunk[:n]); n == 0 {
			return nil
		}
	}
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ended reports whether an error of a connection is its end, orderly or not.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
