//go:build !race

package proxy

import (
	"testing"
	"time"
)

// A pass is looked for in every request, and checked in many: nothing may be allocated.
func TestPassAllocatesNothing(t *testing.T) {
	g := newPassRig(t, nil)
	pass, u := []byte(g.won()), g.proxy.current.Load()
	line := []byte(withPass(string(pass))[len("Cookie: "):])
	now := time.Now()
	var h head
	for name, f := range map[string]func(){
		"look": func() { h.passesShown = 0; h.notePasses(line) },
		"check": func() {
			k, sale := g.proxy.passes.read(u, h.passes[0], now)
			if sale == nil || !g.proxy.passes.enter(k.bearer) {
				t.Error("the pass is void")
			}
			g.proxy.passes.leave(k.bearer)
		},
		"void": func() { g.proxy.passes.read(u, pass[1:], now) },
	} {
		h.notePasses(line)
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// What is refused from memory makes no garbage, whoever hears of it.
func TestRefusalAllocatesNothing(t *testing.T) {
	loop, parsed, whole := refusals(t)
	for name, f := range map[string]func(){"gates": loop, "from fasthttp's head": parsed, "from the wire": whole} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
