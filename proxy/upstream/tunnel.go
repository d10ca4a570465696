package upstream

// A connection that stops speaking HTTP, RFC 9110 section 7.8: asked for by Upgrade,
// agreed to by 101, and from then on the caller's. It was nobody's before and is nobody's
// after. What the new protocol is, and how long it may be silent, is not known here.

import (
	"bytes"
	"io"
	"time"
)

// Tunnel is a connection to the origin that has switched protocols. One goroutine may
// read while another writes.
type Tunnel struct{ c *conn }

// Tunnel takes over the connection of an answer with status 101; nil for all others. The
// exchange is over; who takes the tunnel owes it a Close.
func (e *Exchange) Tunnel() *Tunnel {
	c := e.c
	if c == nil || e.Status != switched {
		return nil
	}
	e.c, e.Header = nil, nil
	c.leave()
	c.rolling = false
	c.read.at(time.Time{})
	c.write.at(time.Time{})
	return &Tunnel{c}
}

// Read gives what the origin says, from the first byte behind its 101. io.EOF is the end
// of that direction only.
func (t *Tunnel) Read(p []byte) (int, error) { return t.c.br.Read(p) }

// Write says p to the origin.
func (t *Tunnel) Write(p []byte) (int, error) { return t.c.nc.Write(p) }

// CloseWrite ends our direction; the origin may go on speaking.
func (t *Tunnel) CloseWrite() error {
	if h, ok := t.c.nc.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return t.c.nc.Close()
}

// SetReadDeadline ends reads under way and to come at a time; zero: never.
func (t *Tunnel) SetReadDeadline(at time.Time) error { return t.c.nc.SetReadDeadline(at) }

// SetWriteDeadline is the same for writes. One that it ends leaves the tunnel unusable.
func (t *Tunnel) SetWriteDeadline(at time.Time) error { return t.c.nc.SetWriteDeadline(at) }

// Close ends both directions, and what is under way in them.
func (t *Tunnel) Close() error {
	t.c.close()
	return nil
}

var _ io.ReadWriteCloser = (*Tunnel)(nil)

const switched = 101

// switches reports whether a 101 is the one that was asked for: it names that protocol
// and no other.
func (a *answer) switches(asked string) bool {
	names, other, agreed := 0, false, false
	for _, f := range a.fields {
		each(f.Value, func(token []byte) {
			switch {
			case named(f, "Upgrade"):
				names++
				other = other || !bytes.EqualFold(token, []byte(asked))
			case named(f, "Connection"):
				agreed = agreed || bytes.EqualFold(token, []byte("upgrade"))
			}
		})
	}
	return names == 1 && !other && agreed
}
