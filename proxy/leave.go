package proxy

// Clients that leave while their requests wait.

import (
	"context"
	"time"
)

// presence is the context of a request that may wait: it ends when its client leaves. As
// long as nobody asks for Done nothing is watched, so that a request that need not wait
// pays nothing. It is used again after end.
type presence struct {
	context.Context // what it ends with in any case
	conn            *conn

	inner  context.Context
	cancel context.CancelFunc
	since  time.Time // when it began to wait
}

// Done is closed when the client has left.
func (p *presence) Done() <-chan struct{} {
	if p.inner == nil {
		p.since = time.Now()
		p.inner, p.cancel = context.WithCancel(p.Context)
		p.conn.watch.follow(p.conn, p.cancel)
	}
	return p.inner.Done()
}

// Err is context.Canceled once the client has left.
func (p *presence) Err() error {
	if p.inner != nil {
		return p.inner.Err()
	}
	return p.Context.Err()
}

// waited is how long the request has waited.
func (p *presence) waited() time.Duration {
	if p.inner == nil {
		return 0
	}
	return time.Since(p.since)
}

// end ends the watch and reports whether the client had left.
func (p *presence) end() (left bool) {
	if p.inner == nil {
		return false
	}
	p.conn.watch.unfollow(p.conn)
	left = p.inner.Err() != nil && p.Context.Err() == nil
	p.cancel()
	return left
}
