package upstream

// Names whose addresses change, addresses that swallow everything, and dead peers: with a
// name server of our own on a socket.

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nameServer answers every question for an address with what it is told to.
type nameServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	ips  []netip.Addr // empty: it fails
	n    int          // questions
}

func newNameServer(t *testing.T, ips ...string) *nameServer {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: c}
	s.say(ips...)
	var done sync.WaitGroup
	done.Go(s.run)
	t.Cleanup(func() { c.Close(); done.Wait() })
	return s
}

func (s *nameServer) say(ips ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ips = nil
	for _, ip := range ips {
		s.ips = append(s.ips, netip.MustParseAddr(ip))
	}
}

func (s *nameServer) asked() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *nameServer) run() {
	b := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(b)
		if err != nil {
			return
		}
		s.conn.WriteTo(s.answer(b[:n]), from)
	}
}

// answer is a response to one question, RFC 1035 section 4.
func (s *nameServer) answer(q []byte) []byte {
	const header = 12
	end := header
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5 // the root, type and class
	kind := binary.BigEndian.Uint16(q[end-4:])
	r := append([]byte(nil), q[:end]...)
	r[2], r[3] = 0x85, 0x80 // an answer, with authority, recursion available
	copy(r[4:header], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if len(s.ips) == 0 {
		r[3] |= 2 // SERVFAIL
	}
	for _, ip := range s.ips {
		if ip.Is4() != (kind == 1) {
			continue
		}
		r[7]++
		r = append(r, 0xc0, header, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(ip.AsSlice())))
		r = append(r, ip.AsSlice()...)
	}
	return r
}

// byName gives the way to a name whose answers come from s, at a port.
func byName(t *testing.T, s *nameServer, port string, c Config) *Origin {
	c.Network, c.Address = "tcp", net.JoinHostPort("shop.test.", port)
	if c.Connect == 0 {
		c.Connect = time.Minute
	}
	u := newOrigin(c, s.resolver())
	t.Cleanup(u.Close)
	return u
}

// twins are two origins at one port of two addresses; each says its address.
func twins(t *testing.T) (port string) {
	t.Helper()
	for range 20 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(a.Addr().String())
		b, err := net.Listen("tcp", "127.0.0.2:"+port)
		if err != nil {
			a.Close()
			continue
		}
		for _, ln := range []net.Listener{a, b} {
			serveAt(t, ln, nil, func(p *peer) {
				here, _, _ := net.SplitHostPort(p.LocalAddr().String())
				for _, _, ok := p.next(); ok; _, _, ok = p.next() {
					p.ok(here)
				}
			})
		}
		return port
	}
	t.Fatal("no port is free at two addresses")
	return ""
}

func TestNameMoves(t *testing.T) {
	s := newNameServer(t, "127.0.0.1")
	u := byName(t, s, twins(t), Config{Response: time.Minute, MaxIdle: 4})
	ask := func(want string) {
		t.Helper()
		if _, body, err := carry(u, request("GET", "/", "")); err != nil || body != want {
			t.Fatalf("got %q, %v; want %s", body, err, want)
		}
	}
	ask("127.0.0.1")
	under, err := u.Do(context.Background(), request("GET", "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Warm(context.Background(), 3); err != nil || u.idle.size() != 2 {
		t.Fatalf("warm: %v, %d idle", err, u.idle.size())
	}

	s.say() // it fails: what we know stays
	u.names.refresh()
	if u.idle.size() != 2 {
		t.Fatal("a name server that fails costs connections")
	}
	s.say("127.0.0.2", "127.0.0.1")
	u.names.refresh()
	if u.idle.size() != 2 {
		t.Fatal("a second address costs the connections to the first")
	}
	s.say("127.0.0.2")
	u.names.refresh()
	if n := u.idle.size(); n != 0 {
		t.Fatalf("%d connections to an address that is gone are kept", n)
	}
	if b, err := io.ReadAll(under); err != nil || string(b) != "127.0.0.1" {
		t.Errorf("exchange under way: %q, %v", b, err)
	}
	if under.Close(); u.idle.size() != 0 {
		t.Error("a connection to an address that is gone is kept after its exchange")
	}
	ask("127.0.0.2")
	s.say("127.0.0.1") // known to a dial before it is to us
	u.idle.take(time.Now()).close()
	ask("127.0.0.1")
	if u.idle.size() != 1 {
		t.Error("a connection to a new address is not kept")
	}
}

// The name is looked up again only while it is used, and not by every request.
func TestNameIsLookedUpNowAndThen(t *testing.T) {
	looked := make(chan bool, 10)
	n := follow(Config{Network: "tcp", Address: "shop.test:80"}, net.DefaultResolver, func(func(netip.Addr) bool) { looked <- true })
	defer n.stop()
	n.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	now := time.Now()
	for _, at := range []time.Duration{0, 1, resolveEvery - 1} {
		n.used(now.Add(at))
	}
	if len(looked) != 0 || n.known != nil {
		t.Error("looked up too early: the first dial did")
	}
	n.used(now.Add(resolveEvery))
	n.used(now.Add(resolveEvery))
	<-looked
	n.used(now.Add(3 * resolveEvery))
	<-looked
	if len(looked) != 0 || n.has(netip.MustParseAddr("192.0.2.2")) || !n.has(netip.MustParseAddr("192.0.2.1")) {
		t.Errorf("known: %v", n.known)
	}
	for _, c := range []Config{{Network: "tcp", Address: "192.0.2.1:80"}, {Network: "tcp", Address: "[::1]:80"}, {Network: "unix", Address: "/run/a:b"}} {
		if n := follow(c, net.DefaultResolver, nil); n.host != "" {
			t.Errorf("%s is looked up", c.Address)
		}
	}
}

// Both families are tried, and an address where nobody listens does not matter if there
// is another.
func TestSeveralAddresses(t *testing.T) {
	o := serve(t, echo)
	_, port, _ := net.SplitHostPort(o.ln.Addr().String())
	for _, ips := range [][]string{{"127.0.0.1"}, {"::1", "127.0.0.1"}, {"127.0.0.3", "127.0.0.1"}} {
		u := byName(t, newNameServer(t, ips...), port, Config{Response: time.Minute})
		if _, body, err := carry(u, request("POST", "/order", "qty=1")); err != nil || body != "/order" {
			t.Errorf("%v: got %q, %v", ips, body, err)
		}
	}
	s := newNameServer(t)
	u := byName(t, s, port, Config{Response: time.Minute})
	if _, _, err := carry(u, request("POST", "/order", "qty=1")); !Unsent(err) || ended(err) != OpDial || s.asked() == 0 {
		t.Errorf("without an answer of the name server: %v after %d questions", err, s.asked())
	}
}

// blackHole is an address that neither takes nor refuses a connection: the queue behind
// its listener is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port)).String()
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill")
	return ""
}

func TestBlackHole(t *testing.T) {
	u := New(Config{Network: "tcp", Address: blackHole(t), Connect: 20 * time.Millisecond})
	defer u.Close()
	_, err := u.Do(context.Background(), request("POST", "/order", "qty=1"))
	var late *Error
	if !errors.As(err, &late) || !late.Timeout || !late.Unsent || late.Op != OpDial {
		t.Errorf("got %v, want a timeout, unsent", err)
	}
	gone, cancel := context.WithCancel(context.Background())
	u.conf.Connect = 0
	go cancel()
	if _, err := u.Do(gone, request("POST", "/order", "qty=1")); !Unsent(err) {
		t.Errorf("a client that left: %v", err)
	}
}

// A peer that vanishes is noticed by the kernel, but not before our own patience ends.
func TestDeadPeers(t *testing.T) {
	o := serve(t, func(p *peer) { <-p.o.stopped })
	for idle, want := range map[time.Duration]int{0: 0, time.Minute: 75_000} {
		u := reach(t, o, func(c *Config) { c.IdleBody = idle })
		c, err := u.dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		option := func(level, name int) (n int) {
			raw, _ := c.nc.(syscall.Conn).SyscallConn()
			raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), level, name) })
			return n
		}
		timeout, alive, every := option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT), option(unix.SOL_SOCKET, unix.SO_KEEPALIVE), option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
		if timeout != want || alive != 1 || every != 5 || err != nil {
			t.Errorf("idle body %v: user timeout %d ms, want %d; keep-alive %d every %d s, %v", idle, timeout, want, alive, every, err)
		}
		c.close()
	}
}
