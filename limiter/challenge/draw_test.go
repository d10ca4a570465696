package challenge

import (
	"bytes"
	"errors"
	"image/png"
	"sync"
	"testing"
	"testing/synctest"

	"penstock/proxy/gate"
)

func TestDrawings(t *testing.T) {
	s := phone()
	d := open(Options{}, s)
	p := d.Puzzle(alice(s), "d")
	b, err := d.Image(p.Token)
	if err != nil {
		t.Fatal(err)
	}
	i, err := png.Decode(bytes.NewReader(b))
	if err != nil || i.Bounds().Dx() != imageWidth || i.Bounds().Dy() != imageHeight || len(b) > 32<<10 {
		t.Errorf("the image: %v, %d bytes, %v", i.Bounds(), len(b), err)
	}
	if again, _ := d.Image(p.Token); !bytes.Equal(b, again) {
		t.Error("the same challenge has two images")
	}
	if other, _ := d.Image(d.Puzzle(alice(s), "d").Token); bytes.Equal(b, other) {
		t.Error("two challenges have the same image")
	}
	w, err := d.Sound(p.Token)
	if err != nil || !bytes.HasPrefix(w, []byte("RIFF")) || len(w) < 10<<10 || len(w) > 512<<10 {
		t.Errorf("the sound: %d bytes, %v", len(w), err)
	}
	for _, token := range []string{"", "x", p.Token[1:], solve(t, d, s, "d").Proof} {
		if b, err := d.Image(token); b != nil || !errors.Is(err, gate.ErrForeign) {
			t.Errorf("the image of %q: %v", token, err)
		}
	}
	if len(d.easel.places) != 0 || d.easel.waiting.Load() != 0 {
		t.Error("places are not given back")
	}
}

// TestTooManyDrawings: so many at once, so many wait, and the others are told.
func TestTooManyDrawings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEasel(2)
		var all sync.WaitGroup
		var drawing, most, refused int
		var mu sync.Mutex
		hold := make(chan struct{})
		for range 2*(1+waiters) + 5 {
			all.Go(func() {
				if !e.take() {
					mu.Lock()
					refused++
					mu.Unlock()
					return
				}
				defer e.give()
				mu.Lock()
				drawing++
				most = max(most, drawing)
				mu.Unlock()
				<-hold
				mu.Lock()
				drawing--
				mu.Unlock()
			})
		}
		synctest.Wait()
		if drawing != 2 || refused != 5 {
			t.Errorf("%d draw and %d are refused, want 2 and 5", drawing, refused)
		}
		close(hold)
		all.Wait()
		if most > 2 || !e.take() {
			t.Errorf("%d drew at once, want at most 2; or no place is left", most)
		}
	})
	s := phone()
	d := open(Options{}, s)
	p := d.Puzzle(alice(s), "d")
	d.easel.waiting.Store(1 << 20)
	if b, err := d.Image(p.Token); b != nil || !errors.Is(err, gate.ErrUnchecked) {
		t.Errorf("one image too many: %v", err)
	}
}
