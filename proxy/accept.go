package proxy

// Accepting connections: what passes by itself is waited out, and there is a budget, so
// that a crowd gets answers and not resets. Over the budget the longest idle connection
// makes room; where none is idle, the newcomer is served one refusal. It gives up
// fairness between addresses, which is the limits' business.

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"penstock/rules"
)

// listener wraps what fasthttp accepts from.
type listener struct {
	net.Listener
	front  *front
	watch  *watch
	failed func(error) // told of every accept that failed for want of something
}

// Accept retries what passes by itself. fasthttp would stop serving for good, with
// the listening socket still open, at the first accept that finds no descriptor.
func (l *listener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if k := l.watch.admit(l.front.wrap(c)); k != nil {
				return k, nil
			}
			continue
		case !passing(err):
			return nil, err
		}
		l.failed(err)
		time.Sleep(wait)
		wait = min(2*wait, time.Second)
	}
}

func passing(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

const (
	// ownFiles is how many descriptors are left to all that is no connection of a client
	// or of the origin: listeners, the store, logs, operators.
	ownFiles = 128
	// surplus is how many connections over the budget are answered at a time.
	surplus = 256
	// minBudget is what a process with too few descriptors serves all the same.
	minBudget = 16
)

// budget is how many connections of clients the process may have: descriptors allow no
// more (RLIMIT_NOFILE, whose soft limit the runtime has raised to the hard one).
func budget(set *rules.Set) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return minBudget
	}
	files := int(min(limit.Cur, 1<<24))
	return max(files-ownFiles-2*set.Origin.MaxConcurrency-tunnelRoom()-surplus, minBudget)
}

// admit puts a new connection under watch. Over the budget it is one that will be
// refused; far over it there is no answer left but the end: nil.
func (w *watch) admit(c net.Conn) *conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := len(w.conns) - w.limit
	if over >= 0 && w.evict() {
		over--
	}
	if over >= surplus {
		w.refused.Add(1)
		c.Close()
		return nil
	}
	k := w.enter(c)
	if k.surplus = over >= 0; k.surplus {
		w.refused.Add(1)
		k.due.Store(w.now.Load() + surplusPatience.Milliseconds())
	}
	return k
}

// surplusPatience is how long one that will be refused may take to say what it wants.
const surplusPatience = 2 * time.Second

// evict closes a connection that has been idle for long, if there is one. Few are looked
// at: when many are idle, one of few is idle for long enough.
func (w *watch) evict() bool {
	var oldest *conn
	for range min(len(w.conns), 64) {
		w.hand = (w.hand + 1) % len(w.conns)
		if c := w.conns[w.hand]; c.parked && (oldest == nil || c.due.Load() > oldest.due.Load()) { // idle ones count below zero
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	w.unpark(oldest)
	w.leave(oldest)
	oldest.Conn.Close()
	return true
}
