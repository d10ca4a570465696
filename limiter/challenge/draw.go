package challenge

// Images and sounds of six digits. The digits follow from the token, so nothing is kept; who
// asks twice gets the same ones. They are drawn by dchest/captcha, which needs neither fonts
// nor the network, and speaks them, too; digits are read by people of any alphabet.

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dchest/captcha"

	"penstock/proxy/gate"
)

const (
	imageDigits = 6
	imageWidth  = 300 // pixels
	imageHeight = 100
	waiters     = 32 // for each that is drawn at once: some 0.1 s of images, 0.3 s of sounds
)

// Image is a PNG of 300 x 100 pixels. The error is ErrForeign, ErrLateAnswer, or, when too
// many are asked for at once, ErrUnchecked.
func (d *Desk) Image(token string) ([]byte, error) {
	return d.draw(token, func(id string, digits []byte) io.WriterTo {
		return captcha.NewImage(id, digits, imageWidth, imageHeight)
	})
}

// Sound is a WAV, in English, of some 20 s and 150 kB; its errors are those of Image.
func (d *Desk) Sound(token string) ([]byte, error) {
	return d.draw(token, func(id string, digits []byte) io.WriterTo {
		return captcha.NewAudio(id, digits, "en")
	})
}

func (d *Desk) draw(text string, what func(id string, digits []byte) io.WriterTo) ([]byte, error) {
	now := time.Now()
	t, err := d.challenges.open(text, now)
	if err != nil {
		return nil, err
	}
	if t.ways&byImage == 0 {
		return nil, gate.ErrForeign
	}
	if !d.easel.take() {
		return nil, fmt.Errorf("%w: too many images are drawn at once", gate.ErrUnchecked)
	}
	defer d.easel.give()
	digits := d.digits(&t, now)
	for i := range digits {
		digits[i] -= '0'
	}
	var b bytes.Buffer
	if _, err := what(seedOf(&t), digits[:]).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw an image: %w", err)
	}
	return b.Bytes(), nil
}

// seedOf names a challenge in public.
func seedOf(t *token) string { return base64.RawURLEncoding.EncodeToString(t.nonce[:]) }

// digits is what the image of a challenge says. Its key is of the challenge's day, so it is
// there wherever the challenge could be opened.
func (d *Desk) digits(t *token, at time.Time) (text [imageDigits]byte) {
	s := d.images.signer(t.day, at)
	w := s.pool.Get().(*work)
	defer s.pool.Put(w)
	w.in = part(part(w.in[:0], t.sale), string(t.nonce[:]))
	n := binary.BigEndian.Uint64(w.mac(w.in))
	for i := range text {
		text[i], n = '0'+byte(n%10), n/10
	}
	return text
}

// typed is what somebody has read, without what keyboards put in: spaces, and the wide
// digits of Chinese and Japanese ones.
func typed(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '\u3000':
			return -1
		case r >= '\uff10' && r <= '\uff19':
			return r - '\uff10' + '0'
		}
		return r
	}, text)
}

// easel bounds how many draw at once, and how many wait for that.
type easel struct {
	places  chan struct{}
	waiting *atomic.Int32
}

func newEasel(n int) easel { return easel{make(chan struct{}, n), new(atomic.Int32)} }

func (e easel) take() bool {
	if e.waiting.Add(1) > int32(cap(e.places)*(1+waiters)) {
		e.waiting.Add(-1)
		return false
	}
	e.places <- struct{}{}
	return true
}

func (e easel) give() {
	<-e.places
	e.waiting.Add(-1)
}
