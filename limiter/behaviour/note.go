package behaviour

import (
	"math"

	"penstock/limiter/ladder"
	"penstock/proxy/gate"
)

// note is what is kept of one account, unpacked.
type note struct {
	last   uint32  // ms of the last request, wrapping; 0: none
	mean   float32 // of the intervals, ms, the last few counting most
	square float32 // of their distance from the mean
	base   uint32  // ms of which intervals may be multiples
	n      uint8   // intervals
	grid   uint8   // of them in a row that were multiples of base
	atOnce uint8   // requests sooner after the opening than anybody could be
	sooner uint16  // the soonest of those and of the ones nearly as soon, ms and one; 0: none
	moved  bool    // it asked while it was early, and from elsewhere than before
	nets   uint8   // that it was noted at
	pane   uint8   // in which

	rings int // not kept: see Score.inRings
}

func load(p *ladder.Notes) note {
	return note{
		last: p[0], mean: math.Float32frombits(p[1]), square: math.Float32frombits(p[2]), base: p[3],
		n: uint8(p[4]), grid: uint8(p[4] >> 8), atOnce: uint8(p[4] >> 16), sooner: uint16(p[5]), moved: p[5]>>24 != 0,
		nets: uint8(p[5] >> 16), pane: uint8(p[4] >> 24),
	}
}

func (n *note) store(p *ladder.Notes) {
	moved := uint32(0)
	if n.moved {
		moved = 1 << 24
	}
	*p = ladder.Notes{
		n.last, math.Float32bits(n.mean), math.Float32bits(n.square), n.base,
		uint32(n.n) | uint32(n.grid)<<8 | uint32(n.atOnce)<<16 | uint32(n.pane)<<24, uint32(n.sooner) | uint32(n.nets)<<16 | moved,
	}
}

// asked notes when a request came, and whether from elsewhere. Who was silent for a window is new.
func (n *note) asked(f *gate.Facts, elsewhere bool) {
	ms := uint32(f.At.UnixMilli()) | 1
	ago := ms - n.last
	switch {
	case n.last == 0 || int32(ago) < 0 && n.last-ms > 60_000:
		*n = note{}
	case int32(ago) < 0: // overtaken by a later one
		ms = n.last
	case int64(ago) > f.Sale.Ladder.Window.Milliseconds():
		*n = note{}
	case ago >= 2: // else it was sent together with the last
		n.interval(float32(ago))
	}
	n.last = ms
	if b := f.Sale.Behaviour; !f.Sale.Opens.IsZero() {
		after := f.At.Sub(f.Sale.Opens)
		if after < 0 { // of an opening before, or of this one when it was to be sooner
			n.sooner, n.atOnce, n.moved = 0, 0, false
		}
		if after >= 0 && after < early*b.Fastest {
			n.moved = n.moved || elsewhere
		}
		if after >= 0 && after < quickly*b.Fastest {
			ms := uint16(min(after.Milliseconds(), math.MaxUint16-1)) + 1
			if n.sooner == 0 || ms < n.sooner {
				n.sooner = ms
			}
			if after < b.Fastest {
				n.atOnce = min(n.atOnce, 254) + 1
			}
		}
	}
}

// How even is as even as a clock. Our own jitter is at least 14 % of what it is added to, or 500
// ms, in standard deviation; eight intervals of it look like less than a third of that about
// once in a thousand times.
const (
	memorable = 8    // intervals that count most
	even      = 0.05 // coefficient of variation
	evenMs    = 50   // standard deviation
	onGrid    = 5    // intervals in a row
	gridError = 0.03 // of the grid's step
)

func (n *note) interval(ms float32) {
	n.n = min(n.n, 254) + 1
	w := 1 / float32(min(n.n, memorable))
	d := ms - n.mean
	n.mean += w * d
	n.square = (1 - w) * (n.square + w*d*d)
	if n.base > 0 {
		times := float32(math.Round(float64(ms / float32(n.base))))
		off := ms - times*float32(n.base)
		if most := min(gridError*float32(n.base), evenMs); times >= 1 && off <= most && off >= -most {
			n.grid = min(n.grid, 254) + 1
			return
		}
	}
	n.base, n.grid = uint32(ms), 1
}

// regular reports whether it asks like a clock, or like something that waits multiples of one.
// Below 40 ms a network's own evenness is seen, and the clock we read is too coarse.
func (n *note) regular() bool {
	if n.base >= 40 && n.grid >= onGrid {
		return true
	}
	sd := float32(math.Sqrt(float64(n.square)))
	return n.n >= memorable && n.mean >= 40 && sd < even*n.mean && sd < evenMs
}
