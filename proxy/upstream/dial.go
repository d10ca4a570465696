package upstream

// New connections, and the addresses they may lead to. A name is looked up at every dial
// and its addresses are tried as net.Dialer does (RFC 8305, all within Connect), so new
// connections follow the name by themselves. Kept ones do not: while the origin is in use
// the name is looked up again in the background, and connections to addresses that it no
// longer has are let go. An answer that cannot be had changes nothing.
//
// It gives up spreading load: which address is taken is the resolver's choice. A name
// whose answers show a few of many addresses in turn costs new connections every time.

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	resolveEvery = 10 * time.Second
	resolveTime  = 5 * time.Second // for an answer; below resolveEvery, so there is one at a time
)

// dialer makes raw connections that notice a peer that is gone: an idle one after half a
// minute, one that does not acknowledge what we sent a while after our own patience with
// it, which is IdleBody.
func dialer(c Config, r *net.Resolver) *net.Dialer {
	d := &net.Dialer{Resolver: r}
	d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	if c.Network == "tcp" && c.IdleBody > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((c.IdleBody + c.IdleBody/4).Milliseconds()))
			})
		}
	}
	return d
}

func (o *Origin) dial(ctx context.Context) (*conn, error) {
	if o.conf.Connect > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.conf.Connect)
		defer cancel()
	}
	c, err := o.connect(ctx)
	if err != nil {
		return nil, &Error{Op: OpDial, Unsent: true, Timeout: timedOut(err), Err: err}
	}
	return c, nil
}

func (o *Origin) connect(ctx context.Context) (*conn, error) {
	nc, err := o.dials(ctx, o.conf.Network, o.conf.Address)
	if err != nil {
		return nil, err
	}
	to := addressOf(nc)
	o.names.met(to)
	if o.conf.TLS == nil {
		return newConn(o, nc, to), nil
	}
	t, w, err := handshake(ctx, nc, o.conf.TLS)
	if err != nil {
		return nil, err
	}
	c := newConn(o, t, to)
	c.tls, c.wire = t, w
	return c, nil
}

// addressOf is the address behind nc; the zero value if it has none.
func addressOf(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// names follows the addresses of the origin's name.
type names struct {
	host   string // "": there is no name
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	left   func(has func(netip.Addr) bool) // is told when the addresses have changed

	next  atomic.Int64 // when the name is looked up again, Unix nanoseconds; 0: it was never used
	mu    sync.RWMutex
	known map[netip.Addr]bool // nil: it was not looked up yet; never changed
	ctx   context.Context
	stop  context.CancelFunc
}

// follow makes names for an address; left is called while mu is not held.
func follow(c Config, r *net.Resolver, left func(func(netip.Addr) bool)) *names {
	n := &names{left: left, lookup: r.LookupNetIP}
	n.ctx, n.stop = context.WithCancel(context.Background())
	host, _, err := net.SplitHostPort(c.Address)
	if _, literal := netip.ParseAddr(host); c.Network == "tcp" && err == nil && literal != nil {
		n.host = host
	}
	return n
}

// used looks the name up again if it is time. Nothing runs while the origin is not used.
func (n *names) used(now time.Time) {
	if n.host == "" {
		return
	}
	next := n.next.Load()
	if now.UnixNano() < next || !n.next.CompareAndSwap(next, now.Add(resolveEvery).UnixNano()) || next == 0 {
		return
	}
	go n.refresh()
}

func (n *names) refresh() {
	ctx, cancel := context.WithTimeout(n.ctx, resolveTime)
	defer cancel()
	all, err := n.lookup(ctx, "ip", n.host)
	if err != nil || len(all) == 0 {
		return
	}
	known := map[netip.Addr]bool{}
	for _, a := range all {
		known[a.Unmap().WithZone("")] = true
	}
	n.mu.Lock()
	n.known = known
	n.mu.Unlock()
	n.left(n.has)
}

// met adds an address that a dial was led to: its answer is newer than ours.
func (n *names) met(a netip.Addr) {
	if n.host == "" || n.has(a) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	known := maps.Clone(n.known)
	known[a] = true
	n.known = known
}

// has reports whether a is an address of the name, as far as is known.
func (n *names) has(a netip.Addr) bool {
	if n.host == "" {
		return true
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.known == nil || n.known[a] || !a.IsValid()
}
