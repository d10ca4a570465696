package stock

import (
	"slices"
	"testing"

	"penstock/rules"
)

// TestMarks: holders are looked at when an eighth of an item is left, and whenever that
// has halved; units that come back begin that again.
func TestMarks(t *testing.T) {
	l := newLatch()
	looks := func() (at []int) {
		for free := 1000; free >= 0; free-- {
			if l.halved(free) {
				at = append(at, free)
			}
		}
		return at
	}
	want := []int{125, 62, 31, 15, 7, 3, 1, 0}
	for range 2 {
		l.glance(Counts{Loaded: 1000, Free: 1000}, rules.Keep)
		if got := looks(); !slices.Equal(got, want) {
			t.Errorf("looks at %v free, want %v", got, want)
		}
		if l.halved(0) {
			t.Error("looks again where nothing was left before")
		}
	}
}
