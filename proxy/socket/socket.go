// Package socket asks of a socket what must not wait: to take bytes, and what has happened
// to it. It does so without telling the scheduler, which costs a small write a tenth of its
// time; that is sound because the sockets are non-blocking, as all of package net's are. It
// does not wait, keep deadlines or know what stands above the socket, such as TLS.
package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Writer writes to sockets, to one at a time. It is not safe for concurrent use.
type Writer struct {
	do  func(fd uintptr)
	buf []byte
	n   int
	err error
}

// Write writes what the socket takes at once: n is below len(b), with or without an error,
// if that is not all.
func (w *Writer) Write(to syscall.RawConn, b []byte) (n int, err error) {
	if w.do == nil {
		w.do = w.write
	}
	w.buf, w.n, w.err = b, 0, nil
	err = to.Control(w.do)
	w.buf = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

func (w *Writer) write(fd uintptr) {
	for {
		n, err := write(fd, w.buf)
		switch err {
		case nil:
			w.n = n
		case unix.EINTR:
			continue
		case unix.EAGAIN:
		default:
			w.err = err
		}
		return
	}
}

// Prober looks at sockets, at one at a time. It is not safe for concurrent use.
type Prober struct {
	do   func(fd uintptr)
	poll [1]unix.PollFd
}

// Poll answers which of the events (poll(2)) there are. Errors and hang-ups are told
// unasked; a closed socket is POLLNVAL.
func (p *Prober) Poll(of syscall.RawConn, events int16) (got int16) {
	if p.do == nil {
		p.do = p.look
	}
	p.poll[0] = unix.PollFd{Events: events}
	if of.Control(p.do) != nil {
		return unix.POLLNVAL
	}
	return p.poll[0].Revents
}

func (p *Prober) look(fd uintptr) {
	p.poll[0].Fd = int32(fd)
	for {
		var at unix.Timespec // now
		_, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.poll)), 1, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		switch e {
		case 0:
		case unix.EINTR: // the runtime's own signals
			continue
		default:
			p.poll[0].Revents = unix.POLLNVAL
		}
		return
	}
}
