package challenge

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSpent(3)
		f := func(id string, first bool, want error) {
			t.Helper()
			if got, err := s.Claim(t.Context(), []byte(id), time.Minute); got != first || !errors.Is(err, want) {
				t.Errorf("%s: %v, %v, want %v, %v", id, got, err, first, want)
			}
		}
		f("a", true, nil)
		f("a", false, nil)
		f("b", true, nil)
		f("c", true, nil)
		f("d", false, errFull)
		f("c", false, nil)
		time.Sleep(time.Minute - 1)
		f("a", false, nil)
		time.Sleep(1)
		f("d", true, nil)
		f("a", true, nil)
		for i := range 10_000 { // what has run out goes
			time.Sleep(time.Minute)
			f(strconv.Itoa(i), true, nil)
		}
		if n := len(s.until); n > 3 {
			t.Errorf("%d are kept", n)
		}
	})
}
