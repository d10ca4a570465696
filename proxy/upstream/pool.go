package upstream

// Idle connections: the one used last is used first, so that the others grow old and
// go. It gives up the exact moment: an unwanted connection may stay open for up to
// twice the idle limit. It does not count connections in use.

import (
	"net/netip"
	"sync"
	"time"
)

// idleLimit is below the 5 s of Apache's KeepAliveTimeout, the shortest in common use:
// we want to be the one who closes.
const idleLimit = 4 * time.Second

type pool struct {
	max int

	mu    sync.Mutex
	conns []*conn // oldest first
	timer *time.Timer
	done  bool
}

// take gives the newest connection that is neither too old nor spoken on since, or nil.
func (p *pool) take(now time.Time) *conn {
	for {
		c := p.pop()
		if c == nil || c.fit(now) {
			return c
		}
		c.close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.conns)
	if n == 0 {
		return nil
	}
	c := p.conns[n-1]
	p.conns[n-1] = nil
	p.conns = p.conns[:n-1]
	return c
}

// put keeps c for use until then, or closes it if there is no room.
func (p *pool) put(c *conn, until time.Time) {
	c.until = until
	p.mu.Lock()
	full := p.done || len(p.conns) >= p.max
	if !full {
		p.conns = append(p.conns, c)
		if p.timer == nil {
			p.timer = time.AfterFunc(idleLimit, p.sweep)
		}
	}
	p.mu.Unlock()
	if full {
		c.close()
	}
}

// sweep runs while there are idle connections and at no other time.
func (p *pool) sweep() {
	p.prune(time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer = nil; len(p.conns) > 0 {
		p.timer = time.AfterFunc(idleLimit, p.sweep)
	}
}

// prune closes the connections that take would not give.
func (p *pool) prune(now time.Time) { p.weed(func(c *conn) bool { return c.fit(now) }) }

// leave closes the connections that lead to addresses the origin no longer has.
func (p *pool) leave(has func(netip.Addr) bool) { p.weed(func(c *conn) bool { return has(c.to) }) }

// weed closes the connections that are not worth keeping.
func (p *pool) weed(worth func(*conn) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.conns[:0]
	for _, c := range p.conns {
		if worth(c) {
			kept = append(kept, c)
		} else {
			c.close()
		}
	}
	clear(p.conns[len(kept):])
	p.conns = kept
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *pool) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	for _, c := range p.conns {
		c.close()
	}
	p.conns = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}
