package main

// The listening sockets of a gateway: opened here, or received from systemd or from the
// process before this one. Accepting can halt and go on again; connections wait in the
// kernel's queue meanwhile, and no client notices but by waiting.
//
// It does not use SO_REUSEPORT: what waits in the queue of a socket that closes is lost.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"penstock/rules"
)

// haltPatience bounds the wait for an accept loop to notice that it is halted.
const haltPatience = 2 * time.Second

// socket is one listening socket. It has one accept loop.
type socket struct {
	*net.TCPListener
	name   string // proxy, admin or health
	listen string // the key's value, which stays what it was where it asks for any port

	mu     sync.Mutex
	halted chan struct{} // closed when accepting goes on; nil: it is on
	parked chan struct{} // closed when the accept loop waits for that
	left   bool          // this wrapper accepts no more, whatever becomes of the socket
}

// Accept waits while accepting is halted.
func (s *socket) Accept() (net.Conn, error) {
	for {
		if wait, left := s.park(); left {
			return nil, net.ErrClosed
		} else if wait != nil {
			<-wait
			continue
		}
		c, err := s.TCPListener.AcceptTCP()
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) { // which is how halt wakes us
			return nil, err
		}
	}
}

func (s *socket) park() (wait chan struct{}, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halted != nil && s.parked != nil {
		close(s.parked)
		s.parked = nil
	}
	return s.halted, s.left
}

// halt returns when nothing is accepted any more, and what was has been handed on.
func (s *socket) halt() {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.halted != nil || s.left {
		s.mu.Unlock()
		return
	}
	parked := make(chan struct{})
	s.halted, s.parked = make(chan struct{}), parked
	s.TCPListener.SetDeadline(time.Unix(1, 0)) // a closed one needs no waking
	s.mu.Unlock()
	late := time.NewTimer(haltPatience) // its loop may be gone, or wait for descriptors
	defer late.Stop()
	select {
	case <-parked:
	case <-late.C:
	}
}

// resume accepts again.
func (s *socket) resume() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeLocked()
}

func (s *socket) wakeLocked() {
	if s.halted == nil {
		return
	}
	s.TCPListener.SetDeadline(time.Time{})
	close(s.halted)
	s.halted, s.parked = nil, nil
}

// leave ends the accept loop, and leaves the socket open for another.
func (s *socket) leave() {
	if s == nil {
		return
	}
	s.halt()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	s.wakeLocked()
}

// Close closes the socket, if this one is still its user.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return nil
	}
	s.left = true
	s.wakeLocked()
	return s.TCPListener.Close()
}

// duplicate is a descriptor to hand on. TCPListener.File would make the socket blocking as
// soon as it is handed on, for us as well, and an accept that blocks cannot be halted.
func (s *socket) duplicate() (f *os.File, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var copied int
		if copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstActivated); failed == nil {
			f = os.NewFile(uintptr(copied), s.name)
		}
	})
	return f, errors.Join(err, failed)
}

// sockets are those of one gateway. health may be nil.
type sockets struct{ proxy, admin, health *socket }

func (l *sockets) all() []*socket {
	all := []*socket{l.proxy, l.admin}
	if l.health != nil {
		all = append(all, l.health)
	}
	return all
}

// again are the same sockets for another life; those here are left.
func (l *sockets) again() *sockets {
	anew := func(s *socket) *socket {
		if s == nil {
			return nil
		}
		s.leave()
		return &socket{TCPListener: s.TCPListener, name: s.name, listen: s.listen}
	}
	return &sockets{anew(l.proxy), anew(l.admin), anew(l.health)}
}

// given is a socket that somebody has opened for us.
type given struct {
	*net.TCPListener
	name   string // "" or a stranger's word: known by its address
	listen string // what its opener was told; "": not known
}

// take makes a listener of an inherited descriptor, and closes that.
func take(fd int, name string) (*net.TCPListener, error) {
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, fmt.Errorf("socket %q: descriptor %d is not open", name, fd)
	}
	defer f.Close()
	if on, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || on != 1 {
		return nil, fmt.Errorf("socket %q: descriptor %d is not a listening socket", name, fd)
	}
	l, err := net.FileListener(f) // a duplicate, closed on exec
	if err != nil {
		return nil, fmt.Errorf("socket %q: %w", name, err)
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("socket %q: %s is not TCP", name, l.Addr())
	}
	return t, nil
}

// open gives every key of the file its socket: one of those that were given, or a new one.
// On an error all are closed.
func open(set *rules.Set, from []given, foreign bool) (l *sockets, err error) {
	l = &sockets{}
	keys := []struct {
		name, key, listen string
		to                **socket
	}{{"proxy", "listen", set.Listen, &l.proxy}, {"admin", "admin.listen", set.Admin.Listen, &l.admin}, {"health", "health.listen", set.Health, &l.health}}
	defer func() {
		if err == nil {
			return
		}
		for _, k := range keys {
			if *k.to != nil {
				(*k.to).Close()
			}
		}
		for _, g := range from {
			g.Close() // again, for some of them
		}
		l = nil
	}()
	used := make([]bool, len(from))
	for _, k := range keys {
		for i, g := range from {
			if k.listen != "" && *k.to == nil && !used[i] && g.fits(k.name, k.listen) {
				*k.to, used[i] = &socket{TCPListener: g.TCPListener, name: k.name, listen: k.listen}, true
			}
		}
	}
	for i, g := range from {
		switch {
		case used[i]:
		case foreign:
			return l, fmt.Errorf("socket %q at %s: neither listen, admin.listen nor health.listen asks for it", g.name, g.Addr())
		default:
			g.Close() // the file has been changed
		}
	}
	for _, k := range keys {
		if *k.to != nil || k.listen == "" {
			continue
		}
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", k.listen)
		if err != nil {
			return l, fmt.Errorf("listen on %s (%s): %w", k.listen, k.key, err)
		}
		*k.to = &socket{TCPListener: ln.(*net.TCPListener), name: k.name, listen: k.listen}
	}
	return l, nil
}

// fits reports whether this is the socket for a key. A name that is one of ours binds, and
// the address must be the key's in any case: what stands in the file has been judged there.
func (g *given) fits(name, listen string) bool {
	switch {
	case g.listen != "":
		return g.name == name && g.listen == listen
	case (g.name == "proxy" || g.name == "admin" || g.name == "health") && g.name != name:
		return false
	}
	want, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return false
	}
	have := g.Addr().(*net.TCPAddr).AddrPort()
	return (want.Port == 0 && g.name == name || want.Port == int(have.Port())) && sameHost(want, have.Addr())
}

// sameHost: every unspecified address is all of them.
func sameHost(want *net.TCPAddr, have netip.Addr) bool {
	w := want.AddrPort().Addr().Unmap()
	if have = have.Unmap(); len(want.IP) == 0 || w.IsUnspecified() {
		return have.IsUnspecified()
	}
	return w.WithZone("") == have.WithZone("")
}
