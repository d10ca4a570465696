package gatetest

import (
	"context"
	"testing"
	"unsafe"

	"penstock/proxy/gate"
)

// twin is one request twice: kept in memory of its own, lent in memory that is taken
// back when the request is over, as the proxy takes back a connection's buffers.
type twin struct {
	asked  gate.Facts
	kept   *gate.Facts
	lent   *gate.Facts
	buffer []byte // under the strings of lent
}

func newTwin(f *gate.Facts) *twin {
	lent := *f
	t := &twin{asked: *f, kept: f, lent: &lent, buffer: []byte(f.Account + f.Item)}
	n := len(f.Account)
	lent.Account = unsafe.String(unsafe.SliceData(t.buffer), n)
	lent.Item = unsafe.String(unsafe.SliceData(t.buffer[n:]), len(f.Item))
	return t
}

func (t *twin) admit(r failer, lent, kept gate.Gate) bool {
	got := ask(r, context.Background(), lent, t.lent)
	want := ask(r, context.Background(), kept, t.kept)
	t.unchanged(r, "Admit")
	if got.Reason != want.Reason {
		r.Fatalf("where earlier facts were overwritten after their request Admit answered %v, else %v", got.Reason, want.Reason)
	}
	if !got.OK() {
		t.takeBack()
	}
	return got.OK()
}

func (t *twin) release(r failer, lent, kept gate.Gate, end gate.End) {
	lent.Release(t.lent, end)
	kept.Release(t.kept, end)
	t.unchanged(r, "Release")
	t.takeBack()
}

func (t *twin) unchanged(r failer, by string) {
	if *t.lent != t.asked {
		r.Fatalf("%s changed the facts to %+v, want %+v", by, *t.lent, t.asked)
	}
}

func (t *twin) takeBack() {
	for i := range t.buffer {
		t.buffer[i] = 'x'
	}
	*t.lent = gate.Facts{}
}

// scope is a testing.TB whose Cleanup ends with one random run, not with the test.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}
