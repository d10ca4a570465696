package proxy

// WebSockets (RFC 6455). The request that asks for one passes every gate like any other,
// holds a place and a slot until the origin has agreed, and ends there. From then on the
// two connections are one tunnel, of which nobody here understands a byte. Tunnels are
// counted by themselves, there is a most of them, each ends when both sides have been
// silent for long, and a gateway that leaves waits for them as long as it waits at all.
//
// It gives up all other upgrades, h2c first: they are asked for in vain, the request is
// then a plain one. So is a sale's.

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"penstock/proxy/gate"
	"penstock/proxy/upstream"
)

const (
	// tunnelIdle is how long both sides of a tunnel may be silent. Who keeps a WebSocket
	// open sends pings more often than that.
	tunnelIdle = 5 * time.Minute
	// tunnelHalf is the same when one side has said its last word.
	tunnelHalf = 30 * time.Second
	// tunnelPiece is how much is read from one side before it is written to the other.
	tunnelPiece = 16 << 10
	// mostTunnels is the most there are, where descriptors abound: a tunnel takes two.
	mostTunnels = 10_000
)

// webSocket reports whether a request asks to go on as a WebSocket, and as nothing else.
func (h *head) webSocket() bool {
	if h.http10 || h.length != 0 || string(h.method) != "GET" {
		return false
	}
	protocols, fit, agreed := 0, false, false
	for i := range h.fields {
		switch f := &h.fields[i]; {
		case f.known == hHop && f.is("Upgrade"):
			protocols++
			fit = equalFold(f.value, "websocket")
		case f.known == hConnection:
			if names(f.value, []byte("close")) {
				return false
			}
			agreed = agreed || names(f.value, []byte("upgrade"))
		}
	}
	return protocols == 1 && fit && agreed
}

// upgrade asks the origin to switch protocols; what it answers instead goes back as usual.
func (p *Proxy) upgrade(r *request, started time.Time) {
	v := gate.Verdict{Reason: gate.Overloaded, Retry: 5 * time.Second}
	if p.draining.Load() { // it would not last
		v = gate.Verdict{Reason: gate.Draining, Retry: time.Second}
	}
	if v.Reason == gate.Draining || !p.tunnels.enter() {
		r.end = gate.End{Kind: gate.Unsent}
		p.refuse(r, v, "")
		return
	}
	entered := true
	defer func() {
		if entered {
			p.tunnels.leave(nil)
		}
	}()
	ex, err := r.origin.Do(p.ctx, &upstream.Request{Head: r.originHead(started), Upgrade: "websocket"})
	if err != nil {
		p.failed(r, ex, err, nil, started)
		return
	}
	r.end.Kind = gate.Answered
	if ex.Status != 101 {
		p.streamAnswer(r, ex, started)
		return
	}
	r.end.Status, r.end.Took = ex.Status, time.Since(started)
	b, _ := p.copyHead(r, ex)
	b = append(b, r.lines...)
	r.out = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...)
	t := &tunnel{p: p, client: r.conn, origin: ex.Tunnel(), patience: r.set.Origin.IdleBodyTimeout}
	entered = false
	p.tunnels.add(t)
	r.c.HijackSetNoResponse(true)
	r.c.Hijack(t.run) // once parsed has returned, and with it the 101 is on its way
}

// tunnel is a client's connection and the origin's, joined.
type tunnel struct {
	p        *Proxy
	client   *conn
	origin   *upstream.Tunnel
	patience time.Duration // for the origin to take what is written; 0: for ever
	last     atomic.Int64  // when a byte last came from either side, Unix nanoseconds
	half     atomic.Bool   // one side has said its last word
	began    atomic.Bool   // run is at work, or is not to be
	over     atomic.Bool   // it was cut
}

// run carries bytes both ways until both sides have ended or one has failed. from reads
// the client's connection, from the first byte behind its request; it is closed later.
func (t *tunnel) run(from net.Conn) {
	if !t.began.CompareAndSwap(false, true) {
		return
	}
	t.p.tunnels.join(1)
	defer t.p.tunnels.leave(t)
	defer t.p.tunnels.join(-1) // first: its connection is still there
	defer t.cut()
	t.client.detach()
	t.last.Store(time.Now().UnixNano())
	var down sync.WaitGroup
	down.Go(func() {
		t.direction(t.origin.Read, t.origin.SetReadDeadline, t.client.send, func() error {
			return errors.Join(t.client.Conn.SetReadDeadline(time.Now().Add(tunnelHalf)), t.client.closeWrite())
		})
	})
	t.direction(from.Read, t.client.Conn.SetReadDeadline, t.say, func() error {
		return errors.Join(t.origin.SetReadDeadline(time.Now().Add(tunnelHalf)), t.origin.CloseWrite())
	})
	down.Wait()
}

// direction carries one direction and ends it on the other side, or cuts both.
func (t *tunnel) direction(read func([]byte) (int, error), until func(time.Time) error, write func([]byte) (int, error), end func() error) {
	whole := false
	defer func() {
		if e := recover(); e != nil {
			t.p.panicked(e)
		}
		if !whole {
			t.cut()
		}
	}()
	if whole = t.carry(read, until, write); whole {
		t.half.Store(true)
		whole = end() == nil && !t.over.Load() // whose deadlines end may have moved
	}
}

// carry copies until the end; false: until something failed or all is silent.
func (t *tunnel) carry(read func([]byte) (int, error), until func(time.Time) error, write func([]byte) (int, error)) bool {
	b := make([]byte, tunnelPiece)
	until(time.Now().Add(t.quiet()))
	for !t.over.Load() {
		n, err := read(b)
		if n > 0 {
			t.last.Store(time.Now().UnixNano())
			if _, err := write(b[:n]); err != nil {
				return false
			}
		}
		switch {
		case err == nil:
		case err == io.EOF:
			return true
		case errors.Is(err, os.ErrDeadlineExceeded) && t.quiet() > 0: // the other side was not silent
			until(time.Now().Add(t.quiet()))
		default:
			return false
		}
	}
	return false
}

// quiet is how much longer both sides may be silent.
func (t *tunnel) quiet() time.Duration {
	most := tunnelIdle
	if t.half.Load() {
		most = tunnelHalf
	}
	return most - time.Since(time.Unix(0, t.last.Load()))
}

// say writes to the origin, which must take it within its time.
func (t *tunnel) say(b []byte) (int, error) {
	if t.patience > 0 {
		t.origin.SetWriteDeadline(time.Now().Add(t.patience))
	}
	return t.origin.Write(b)
}

// cut ends both sides, and whatever is under way. More than one does no harm.
func (t *tunnel) cut() {
	t.over.Store(true) // first: who moves a deadline looks at it afterwards
	t.origin.Close()
	t.client.Conn.SetDeadline(time.Unix(1, 0))
	if t.began.CompareAndSwap(false, true) {
		t.p.tunnels.leave(t)
	}
}

// detach ends what c is to its server: it owes no request any more, and is never parked.
func (c *conn) detach() {
	c.handling(0)
	c.unask()
	c.lingers = false
}

// closeWrite ends what we say to the client.
func (c *conn) closeWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Conn.Close()
}

// tunnels counts those there are.
type tunnels struct {
	most   int
	mu     sync.Mutex
	n      int                       // asked for, or there
	runs   int                       // carry bytes: their requests have been settled
	open   map[*tunnel]chan struct{} // those that are there; closed when they have ended
	closed bool
}

// tunnelRoom is how many there may be: an eighth of the descriptors, at two each.
func tunnelRoom() int {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil {
		return minBudget
	}
	return int(min(mostTunnels, max(minBudget, files.Cur/16)))
}

func newTunnels(reg prometheus.Registerer) *tunnels {
	s := &tunnels{most: tunnelRoom(), open: map[*tunnel]chan struct{}{}}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "penstock", Name: "upgrades", Help: "WebSockets that go through here, those being agreed on included.",
	}, func() float64 { return float64(s.count()) }))
	return s
}

func (s *tunnels) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }

// joined is how many carry bytes.
func (s *tunnels) joined() int { s.mu.Lock(); defer s.mu.Unlock(); return s.runs }

func (s *tunnels) join(n int) { s.mu.Lock(); defer s.mu.Unlock(); s.runs += n }

// enter makes room for one more, which is owed a leave; false: there is none.
func (s *tunnels) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n >= s.most || s.closed {
		return false
	}
	s.n++
	return true
}

// add has t cut when all are.
func (s *tunnels) add(t *tunnel) {
	s.mu.Lock()
	s.open[t] = make(chan struct{})
	late := s.closed
	s.mu.Unlock()
	if late {
		t.cut()
	}
}

// leave gives room back; t is nil where none came about.
func (s *tunnels) leave(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
	if ended := s.open[t]; ended != nil {
		close(ended)
		delete(s.open, t)
	}
}

// shut waits until all have ended, cuts those that are still there when ctx ends, and
// answers how many those were.
func (s *tunnels) shut(ctx context.Context) (left int) {
	s.mu.Lock()
	all := maps.Clone(s.open)
	s.mu.Unlock()
	for _, ended := range all {
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	s.closed = true
	all = maps.Clone(s.open)
	s.mu.Unlock()
	for t, ended := range all {
		t.cut()
		<-ended
	}
	return len(all)
}
