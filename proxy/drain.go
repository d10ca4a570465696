package proxy

// Leaving a listener without cutting anybody off. A client may ask again on a kept
// connection at any moment, so such a connection is closed after an answer that said so
// (Connection: close, RFC 9112 section 9.6), or when it has been silent for long. Nothing
// is refused meanwhile.
//
// It gives up the client that breaks a long silence at the very moment we end it: nobody
// can keep that one, and HTTP clients know (RFC 9112 section 9.3.1).

import (
	"context"
	"time"
)

// Leave makes every answer the last of its connection, and ends connections on which
// nothing has been asked for as long as grace, counted from now at the earliest. It does
// not stop accepting. grace is rounded up to a sweep.
func (s *Server) Leave(grace time.Duration) {
	s.watch.mu.Lock()
	s.watch.draining, s.watch.grace = s.watch.now.Load(), grace
	s.watch.mu.Unlock()
	s.p.draining.Store(true)
}

// Stay takes Leave back.
func (s *Server) Stay() {
	s.p.draining.Store(false)
	s.watch.mu.Lock()
	s.watch.draining = 0
	s.watch.mu.Unlock()
}

// Open is how many connections there are, idle ones included.
func (s *Server) Open() int {
	all, _ := s.watch.size()
	return all
}

// Asking is how many connections there are that may ask for something: those that carry a
// WebSocket never will.
func (s *Server) Asking() int {
	all := s.Open() // first: a tunnel that begins meanwhile must not be taken off before it is one
	return all - s.p.tunnels.joined()
}

// Drain waits, after Leave and with nothing accepted any more, until no connection is left.
func (s *Server) Drain(ctx context.Context) error {
	select {
	case <-s.watch.drain():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
