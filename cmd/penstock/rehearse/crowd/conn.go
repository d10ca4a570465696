package crowd

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Connections, and who uses them. Visitors that keep connections open share them, as
// behind a load balancer: the one that was used last goes first, so that what a crowd has
// opened at its peak is left to idle. There are never more than a fixed number.

var errFull = errors.New("no connection left")

const stale = 100 * time.Millisecond // an idle connection older than this is looked at before use

type conn struct {
	net.Conn
	in    *bufio.Reader
	reply reply
	since time.Time // idle
	used  bool      // it has carried an answer
}

type pool struct {
	dial func(ctx context.Context, deadline time.Time) (net.Conn, error)
	most int

	mu    sync.Mutex
	idle  []*conn
	all   map[*conn]struct{} // idle ones, too
	open  int                // and those that are being made
	peak  int
	dials int64
	ended bool
}

func newPool(target string, most int) *pool {
	network, address := "tcp", target
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		network, address = "unix", path
	}
	dial := func(ctx context.Context, deadline time.Time) (net.Conn, error) {
		d := net.Dialer{Deadline: deadline}
		return d.DialContext(ctx, network, address)
	}
	return &pool{dial: dial, most: most, all: map[*conn]struct{}{}}
}

// take lends a connection until done. fresh makes a new one in any case.
func (p *pool) take(ctx context.Context, fresh bool, deadline time.Time) (*conn, error) {
	for !fresh {
		c := p.pop()
		if c == nil {
			break
		}
		if time.Since(c.since) < stale || c.alive() {
			return c, nil
		}
		p.drop(c)
	}
	if err := p.reserve(); err != nil {
		return nil, err
	}
	nc, err := p.dial(ctx, deadline)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.open--
		return nil, err
	}
	c := &conn{Conn: nc, in: bufio.NewReaderSize(nc, 8<<10)}
	p.all[c] = struct{}{}
	return c, nil
}

// arm bounds what is done with the connection next.
func (p *pool) arm(c *conn, deadline time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		deadline = time.Unix(1, 0)
	}
	c.SetDeadline(deadline)
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return c
}

// reserve counts one more connection; the one that was idle longest makes room.
func (p *pool) reserve() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open >= p.most {
		if len(p.idle) == 0 {
			return errFull
		}
		c := p.idle[0]
		p.idle = p.idle[1:]
		p.dropLocked(c)
	}
	p.open++
	p.dials++
	p.peak = max(p.peak, p.open)
	return nil
}

// done takes a connection back.
func (p *pool) done(c *conn, keep bool) {
	if !keep || c.in.Buffered() > 0 { // bytes that nobody has asked for
		p.drop(c)
		return
	}
	c.since, c.used = time.Now(), true
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		p.dropLocked(c)
		return
	}
	p.idle = append(p.idle, c)
}

func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(c)
}

func (p *pool) dropLocked(c *conn) {
	c.Close()
	delete(p.all, c)
	p.open--
}

func (p *pool) opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// end wakes everybody who waits for an answer, and closes what is idle.
func (p *pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, c := range p.idle {
		p.dropLocked(c)
	}
	p.idle = nil
	for c := range p.all {
		c.SetDeadline(time.Unix(1, 0))
	}
}

// alive reports whether the other side has neither closed an idle connection nor sent
// something on it.
func (c *conn) alive() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	c.SetDeadline(time.Time{})
	var seen error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, seen = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(seen, syscall.EAGAIN)
}

// exchange sends a request and reads its answer. A server may answer and close before it
// has read everything, so the answer is looked for even when writing fails.
func (c *conn) exchange(request []byte, head bool) error {
	_, wrote := c.Write(request)
	if err := c.reply.read(c.in, head); err != nil {
		return errors.Join(err, wrote)
	}
	if wrote != nil {
		c.reply.closes = true
	}
	return nil
}
