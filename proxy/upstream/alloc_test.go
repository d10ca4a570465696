//go:build !race

package upstream

import (
	"strings"
	"testing"
)

// On a kept connection an exchange makes its Exchange and nothing else.
func TestAllocations(t *testing.T) {
	u, p := benchmark(t), make([]byte, 512)
	get := request("GET", "/", "")
	if n := testing.AllocsPerRun(200, func() { trip(t, u, get, p) }); n > 2 {
		t.Errorf("GET: %v allocations, want at most 2", n)
	}
	post, body := request("POST", "/", "qty=1"), strings.NewReader("")
	post.Body = body
	if n := testing.AllocsPerRun(200, func() { body.Reset("qty=1"); trip(t, u, post, p) }); n > 3 {
		t.Errorf("POST: %v allocations, want at most 3", n)
	}
}
