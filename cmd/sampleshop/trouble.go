package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// What the shop does wrong when told to: stall, hang up, and line up checkouts so
// that they oversell for certain rather than by luck.

// every reports whether the nth checkout, counted from 1, meets what every Nth meets.
func every(nth, n int) bool { return nth > 0 && n%nth == 0 }

// abandon leaves the request unanswered until its client or the shop goes away, and
// does not return. The body must have been read, or the client's leaving goes unnoticed.
func (s *shop) abandon(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.stop:
	}
	panic(http.ErrAbortHandler) // closes the connection, silently
}

// hangUp sends a part of the answer and closes the connection, as a worker does that
// is killed. Cut in the head, nothing of the answer can be used; cut in the body, the
// length betrays it; cut between chunks, only the missing last chunk does, which
// careless readers take for the end.
func hangUp(w http.ResponseWriter, a *answer, at string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // not HTTP/1: cut the answer off before its first byte
	}
	defer conn.Close()
	half := a.body[:len(a.body)/2]
	switch head := a.head(); at {
	case "head":
		fmt.Fprintf(conn, "%sContent-Le", head)
	case "body":
		fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(a.body), half)
	case "chunk":
		fmt.Fprintf(conn, "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", head, len(half), half)
	}
}

// head is the answer's head as far as the fields that say how long its body is.
func (a *answer) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", a.status, http.StatusText(a.status), a.kind)
	if a.location != "" {
		fmt.Fprintf(&b, "Location: %s\r\n", a.location)
	}
	return b.String()
}

// barrier holds checkouts until enough of them have come, once; later ones pass. It
// does not form anew by itself, because the last ones of a sale would wait at it for
// good. The zero barrier lets everybody pass.
type barrier struct {
	mu      sync.Mutex
	missing int
	open    chan struct{} // closed when nobody is missing
}

// set lets whoever waits pass and waits for n anew; 0: for nobody.
func (b *barrier) set(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missing > 0 {
		close(b.open)
	}
	b.missing, b.open = n, make(chan struct{})
}

// wait counts the caller in and returns once everybody has come, or stop is closed.
func (b *barrier) wait(stop <-chan struct{}) {
	b.mu.Lock()
	if b.missing == 0 {
		b.mu.Unlock()
		return
	}
	if b.missing--; b.missing == 0 {
		close(b.open)
	}
	open := b.open
	b.mu.Unlock()
	select {
	case <-open:
	case <-stop:
	}
}
