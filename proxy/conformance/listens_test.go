//go:build referees || slowhttptest

package conformance

import (
	"net"
	"testing"
)

// listens waits until somebody does.
func listens(t *testing.T, addr string) {
	t.Helper()
	eventually(t, addr+" to listen", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
