package conformance

// What listens behind a gateway.

import (
	"net"
	"sync"
	"testing"
)

// backend serves every connection to ln, until stop or the end of the test. What has
// arrived at stop is still read.
func backend(t testing.TB, ln net.Listener, serve func(net.Conn)) (stop func()) {
	var (
		mu      sync.Mutex
		open    = map[net.Conn]bool{}
		serving sync.WaitGroup
	)
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			serving.Go(func() {
				serve(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	stop = sync.OnceFunc(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.(interface{ CloseRead() error }).CloseRead()
		}
		mu.Unlock()
		serving.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// loopback listens on a port of its own.
func loopback(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
