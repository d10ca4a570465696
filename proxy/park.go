package proxy

// Idle connections lie in a lot, without a goroutine, a buffer or fasthttp knowing of
// them: about 1 KB each instead of 17. When bytes come, or the end, they are served again.
// One epoll instance watches them all (epoll(7)); the runtime's poller watches that.
//
// It gives up nothing that a busy connection would notice: only after a second of silence
// does one go to the lot, and back costs a goroutine's start. What they leave behind is
// given back to the system now and then (tidy), because the collector, with little to do
// while a crowd is idle, would keep it for minutes.

import (
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lot is where idle connections lie. Its fields but the descriptors are guarded by
// watch.mu.
type lot struct {
	file  *os.File // the epoll instance, for the runtime's poller
	raw   syscall.RawConn
	epoll int
	byFD  []*conn
	serve func(*conn)
}

// newLot makes one that has serve called, in a goroutine of its own, for a connection
// that has something to say.
func newLot(serve func(*conn)) (*lot, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &lot{file: os.NewFile(uintptr(fd), "epoll"), epoll: fd, serve: serve}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, err
	}
	return l, nil
}

// park puts c in the lot; false: it cannot, and c must end.
func (w *watch) park(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lot == nil || c.at < 0 {
		return false
	}
	parked := false
	c.raw.Control(func(fd uintptr) {
		if int(fd) >= len(w.lot.byFD) {
			w.lot.byFD = append(w.lot.byFD, make([]*conn, int(fd)+1-len(w.lot.byFD))...)
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
		err := unix.EpollCtl(w.lot.epoll, unix.EPOLL_CTL_MOD, int(fd), &event)
		if err == unix.ENOENT {
			err = unix.EpollCtl(w.lot.epoll, unix.EPOLL_CTL_ADD, int(fd), &event)
		}
		if parked = err == nil; parked {
			w.lot.byFD[fd] = c
		}
	})
	if parked {
		c.parked = true
		w.nparked++
		w.parks++
	}
	return parked
}

// unpark takes c out of the lot; mu is held.
func (w *watch) unpark(c *conn) {
	c.parked = false
	w.nparked--
	c.raw.Control(func(fd uintptr) {
		if int(fd) < len(w.lot.byFD) && w.lot.byFD[fd] == c {
			w.lot.byFD[fd] = nil
		}
	})
}

// wake serves parked connections again until the lot is closed.
func (w *watch) wake() {
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		err := w.lot.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if err != nil {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if c := w.claim(int(e.Fd)); c != nil {
				go w.lot.serve(c)
			}
		}
	}
}

// claim takes the connection with that descriptor out of the lot. An event can be stale
// and the descriptor another's by now: that one is served without need, and parks again.
func (w *watch) claim(fd int) *conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fd >= len(w.lot.byFD) || w.lot.byFD[fd] == nil {
		return nil
	}
	c := w.lot.byFD[fd]
	w.lot.byFD[fd] = nil
	c.parked = false
	w.nparked--
	return c
}

const (
	// tidyEvery and tidyAfter are how often, and after how many that were parked, memory is
	// given back: a collection costs as much as some thousand requests.
	tidyEvery = 15 * time.Second
	tidyAfter = 1000
)

// tidy gives back the memory of goroutines and buffers that parked connections have left.
// fasthttp's goroutines outlive their connections by up to ten seconds, and its buffers one
// collection, so it is done twice.
func (w *watch) tidy() {
	w.mu.Lock()
	now := w.now.Load()
	due := now-w.tidied >= tidyEvery.Milliseconds() && (w.parks >= tidyAfter || w.untidy)
	if due {
		w.untidy = w.parks >= tidyAfter
		w.parks, w.tidied = 0, now
	}
	w.mu.Unlock()
	if due {
		go func() {
			runtime.GC()
			debug.FreeOSMemory()
		}()
	}
}
