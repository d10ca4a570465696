package crowd

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestKeptConnectionsThatWereClosed: over real sockets, a server that closes a connection
// between two requests, without a word, makes nobody fail.
func TestKeptConnectionsThatWereClosed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for range 3 {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					c.Write([]byte(fine))
				}
			})
		}
	})
	defer wg.Wait()
	defer ln.Close()
	c, err := New(Plan{Target: ln.Addr().String(), Phases: flat(20, 3*time.Second), Visitors: []Visitor{{Steps: page()}}})
	if err != nil {
		t.Fatal(err)
	}
	tally := c.Run(t.Context(), nil)
	if total(tally, Served) != tally.Requests || tally.Dials < tally.Requests/3 || tally.Requests == 0 {
		t.Errorf("%d of %d served over %d connections: %+v", total(tally, Served), tally.Requests, tally.Dials, tally.Groups)
	}
	if c.pool.open != 0 {
		t.Errorf("%d connections are left open", c.pool.open)
	}
}

// TestNobodyListens: a refused connection is the target's, not ours.
func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	c, err := New(Plan{Target: address, Phases: flat(50, time.Second), Visitors: []Visitor{{Steps: page()}}})
	if err != nil {
		t.Fatal(err)
	}
	if tally := c.Run(t.Context(), nil); total(tally, Unreached) != tally.Requests || tally.Requests == 0 {
		t.Errorf("%+v, want all unreached", tally.Groups)
	}
}
