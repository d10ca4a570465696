package gatetest

import (
	"context"
	"runtime"
	"testing"

	"penstock/proxy/gate"
)

// memory lets a million clients come and go.
func memory(t testing.TB, s Subject) {
	if s.Memory == 0 {
		return
	}
	clients := 1_000_000
	if race { // twenty times slower; this is not about races
		clients /= 20
	}
	before := heap()
	g := s.New(t)
	for i := range clients {
		if f := s.Facts(i); g.Admit(t.Context(), f).OK() {
			g.Release(f, back)
		}
	}
	if after := heap(); after > before+s.Memory {
		t.Errorf("after %d clients the gate holds %d bytes, want at most %d", clients, after-before, s.Memory)
	}
	runtime.KeepAlive(g)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// allocations counts them over refusals. The race detector allocates on its own.
func allocations(t testing.TB, s Subject) {
	if s.Capacity < 0 || s.Store || race {
		return
	}
	g := s.New(t)
	for range s.Capacity {
		ask(t, t.Context(), g, s.Facts(0))
	}
	ctx, f := context.Background(), s.Facts(0)
	var v gate.Verdict
	n := testing.AllocsPerRun(200, func() { v = g.Admit(ctx, f) })
	if v.OK() || n != 0 {
		t.Errorf("%v allocations for a verdict of %v, want 0 for a refusal", n, v.Reason)
	}
}
