package rehearse

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The link between the gateway and its Redis, which can be made slow, mute or broken
// while they use it. It knows nothing of what it carries.

// mood is how the link behaves.
type mood uint8

const (
	sound mood = iota
	mute       // takes everything and passes nothing on
	cut        // connections break, and new ones, too
)

type link struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	mood  mood
	delay time.Duration // of what the server says
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// openLink listens on a free port of this machine.
func openLink(to string) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for Redis: %w", err)
	}
	l := &link{ln: ln, to: to, conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	return l, nil
}

func (l *link) addr() string { return l.ln.Addr().String() }

// become changes how the link behaves from now on. Connections that have lost something
// cannot be healed: they end.
func (l *link) become(m mood, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m == cut || l.mood == mute && m != mute {
		for c := range l.conns {
			c.Close()
		}
	}
	l.mood, l.delay = m, delay
}

func (l *link) is() (mood, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mood, l.delay
}

func (l *link) close() {
	l.ln.Close()
	l.become(cut, 0)
	l.wg.Wait()
}

func (l *link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return // closed by us
		}
		if !l.keep(c) {
			continue
		}
		l.wg.Go(func() { l.carry(c) })
	}
}

// keep notes a connection, or closes it where there are none.
func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mood == cut {
		c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Close()
	delete(l.conns, c)
}

func (l *link) carry(c net.Conn) {
	defer l.drop(c)
	s, err := net.Dial("tcp", l.to)
	if err != nil || !l.keep(s) {
		return
	}
	defer l.drop(s)
	var back sync.WaitGroup
	back.Go(func() {
		l.pass(c, s, true)
		c.Close()
	})
	l.pass(s, c, false)
	s.Close()
	back.Wait()
}

// pass copies one direction until it ends. What is late leaves as late as it should, and
// in order, but a delay is no limit: much can be under way at once.
func (l *link) pass(to io.Writer, from io.Reader, late bool) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	way := make(chan parcel, 1024)
	var sender sync.WaitGroup
	sender.Go(func() {
		broken := false
		for p := range way {
			time.Sleep(time.Until(p.due))
			if m, _ := l.is(); m == mute || broken {
				continue
			}
			_, err := to.Write(p.bytes)
			broken = err != nil
		}
	})
	defer sender.Wait()
	defer close(way)
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p := parcel{bytes: append([]byte(nil), b[:n]...)}
			if _, delay := l.is(); late && delay > 0 {
				p.due = time.Now().Add(delay)
			}
			way <- p
		}
		if err != nil {
			return
		}
	}
}
