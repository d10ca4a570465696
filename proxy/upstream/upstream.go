// Package upstream carries requests to one origin over HTTP/1.1 and brings the
// answers back, so that a request reaches the origin at most once.
//
// That one promise decides the rest. A connection is looked at before it is used
// again; a request is sent again only when not one byte of it was written; a
// connection is kept only when nothing about the last exchange was odd; an answer
// that was cut never ends as if it were whole; and an error says whether anything
// can have been sent.
//
// It gives up HTTP/2, pipelining, CONNECT and redirects, and makes no
// second attempt but the one above. It does not know headers beyond framing and
// persistence: what goes out is what the caller wrote. It cannot tell an answer
// nobody asked for from the right one if it crosses the next request on the wire;
// it sees all that come before that request or after its answer.
package upstream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config is one origin and the patience with it. A zero duration sets no limit.
type Config struct {
	Network string // "tcp" or "unix"
	Address string // "host:port" or the path of the socket
	// TLS: nil speaks plain. ServerName must be set; versions below 1.2 and protocols
	// other than http/1.1 are left out whatever it says.
	TLS *tls.Config

	Connect  time.Duration // to open a connection, TLS included
	Response time.Duration // from the last byte sent to the head of the answer
	IdleBody time.Duration // longest silence inside an answer's body, and while the origin takes none of ours

	MaxIdle int // connections kept for use again; 0 keeps none
}

// Origin is the way to one origin. It is safe for concurrent use. It sets no limit to
// the number of exchanges: that is the caller's to decide.
type Origin struct {
	conf  Config
	idle  pool
	open  atomic.Int64 // connections, tunnels not counted
	names *names
	bufs  sync.Pool // *[]byte, requests on their way out
	dials func(ctx context.Context, network, address string) (net.Conn, error)
}

// New makes an Origin; it opens no connection.
func New(c Config) *Origin { return newOrigin(c, net.DefaultResolver) }

func newOrigin(c Config, r *net.Resolver) *Origin {
	if c.TLS != nil {
		c.TLS = secured(c.TLS)
	}
	o := &Origin{
		conf:  c,
		idle:  pool{max: c.MaxIdle},
		bufs:  sync.Pool{New: func() any { return new([]byte) }},
		dials: dialer(c, r).DialContext,
	}
	o.names = follow(c, r, o.idle.leave)
	return o
}

// Close closes the idle connections and keeps no more. Exchanges under way go on, and
// Do goes on working, so that a reload can swap Origins under waiting requests.
func (o *Origin) Close() {
	o.names.stop()
	o.idle.shut()
}

// Warm sees to it that there are n connections, those in use included, and that at most
// MaxIdle lie idle; it ends at the first that fails. They go stale like all others, so
// before a sale it is called every second or so.
func (o *Origin) Warm(ctx context.Context, n int) error {
	now := time.Now()
	o.names.used(now)
	o.idle.prune(now)
	need := min(n-int(o.open.Load()), o.conf.MaxIdle-o.idle.size())
	if need <= 0 {
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	var begun atomic.Int64
	for range min(need, warming) {
		all.Go(func() {
			for begun.Add(1) <= int64(need) && ctx.Err() == nil {
				c, err := o.dial(ctx)
				if err != nil {
					stop(err) // the first counts
					return
				}
				o.keep(c, idleLimit)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// warming is how many connections are opened at a time.
const warming = 16

// keep puts c by for at most so long, unless it leads where the origin is no more.
func (o *Origin) keep(c *conn, most time.Duration) {
	if !o.names.has(c.to) {
		c.close()
		return
	}
	o.idle.put(c, time.Now().Add(most))
}

// Request is one request, ready to be sent.
type Request struct {
	// Head is the request line and the headers with the empty line, as they go out.
	// The caller has put the framing of Body there; a method of HEAD is read from it.
	Head []byte
	// Body is read until Length bytes or its end, never after Do has returned; nil: none.
	Body io.Reader
	// Length is the number of bytes of Body; -1: unknown, sent chunked.
	Length int64
	// Stop may be nil. It is called from another goroutine, at most once, when an answer
	// is there, or can no longer come, before all of Body was read: a Read under way
	// should then end soon, with whatever error. It is never called, nor does it still
	// run, when Do has returned.
	Stop func()
	// Upgrade is the protocol that Head asks to switch to, "" for none. Only then, and
	// without a body, may the answer be a 101. The connection is never used again.
	Upgrade string
}

// Do sends r once and reads the head of the answer. ctx holds until the first byte is
// written; after that the answer is waited for, because the request can no longer be
// taken back.
//
// Errors are *Error. When the head does not come in time, Do returns the error and an
// Exchange as well: Wait on it, or Close it. In all other cases it is one or the other.
func (o *Origin) Do(ctx context.Context, r *Request) (*Exchange, error) {
	s := sender{body: r.Body, left: r.Length, buf: r.Head}
	if r.Body != nil {
		spare := o.bufs.Get().(*[]byte)
		defer func() { *spare = s.buf; o.bufs.Put(spare) }()
		s.buf = append((*spare)[:0], r.Head...)
		if err := s.open(); err != nil {
			return nil, &Error{Op: OpBody, Unsent: true, Timeout: timedOut(err), Err: err}
		}
	}
	c, err := o.begin(ctx, s.buf)
	if c == nil {
		return nil, err
	}
	e := &Exchange{c: c, bodiless: isHEAD(r.Head)}
	if err == nil && !s.done && r.Body != nil {
		return e.settle(c.upload(&s, r.Stop))
	}
	if r.Upgrade != "" && r.Body == nil {
		c.asks, c.odd = r.Upgrade, true
	}
	return e.settle(c.answer(err))
}

// begin writes the first bytes of a request to a connection. It returns no connection
// if nothing was sent, and the connection with the raw error if only a part was.
func (o *Origin) begin(ctx context.Context, first []byte) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: OpDial, Unsent: true, Timeout: timedOut(err), Err: err}
	}
	now := time.Now()
	o.names.used(now)
	for c := o.idle.take(now); ; c = nil {
		fresh := c == nil
		if fresh {
			var err error
			if c, err = o.dial(ctx); err != nil {
				return nil, err
			}
		}
		c.reset()
		n, err := c.send(first)
		if n > 0 || err == nil {
			return c, err
		}
		c.close()
		if fresh || timedOut(err) {
			return nil, &Error{Op: OpWrite, Unsent: true, Timeout: timedOut(err), Err: err}
		}
	}
}
