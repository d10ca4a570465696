// Package distinct counts different keys within a sliding window, in a fixed 268 bytes.
//
// Up to 64 keys the count is exact. Above, it is adaptive sampling (Flajolet: On adaptive
// sampling, Computing 43, 1990; the idea is Wegman's): when the sample is full, it is halved by
// a bit of the keys' hashes, and each key left stands for twice as many. The standard error is
// then about 1.2/sqrt(64) = 15 %.
//
// HyperLogLog would count to 10 % in as much memory, but it only grows: here a key leaves when
// its time is over, without a second sketch for each pane, and can be taken out when it is
// found not to belong. Both happen all the time to the accounts of an address.
//
// While a large count falls it may be said too low, by up to half and for up to one window,
// because who was not in the sample cannot come back into it before being seen again.
package distinct

const (
	room = 64 // keys in a sample

	// Panes are the parts of a window. A key counts in its own pane and the Panes that follow,
	// so for one to one and a quarter windows after it was last seen.
	Panes = 4
)

// Set is the keys seen. The zero Set is empty.
type Set struct {
	pane    uint32       // the newest
	n       uint8        // entries in use
	light   uint8        // of them
	level   uint8        // each entry stands for 1<<level keys
	entries [room]uint32 // fingerprint, light, pane
}

// An entry is 27 bits of the key, whether it is light, and the low bits of its last pane.
const (
	lightBit = 1 << 4
	paneBits = lightBit - 1
	fpShift  = 5
)

// Add sees a key in a pane. A light key is counted apart; seen again it is what it was last.
func (s *Set) Add(key uint64, light bool, pane uint32) {
	s.turn(pane)
	fp := uint32(key >> 37)
	if !s.samples(fp) {
		return
	}
	e := fp<<fpShift | s.pane&paneBits
	if light {
		e |= lightBit
	}
	if i := s.find(fp); i >= 0 {
		s.weigh(s.entries[i], -1)
		s.entries[i] = e
		s.weigh(e, 1)
		return
	}
	for s.n == room {
		s.level++
		s.keep(func(e uint32) bool { return s.samples(e >> fpShift) })
		if !s.samples(fp) {
			return
		}
	}
	s.entries[s.n] = e
	s.n++
	s.weigh(e, 1)
}

// Remove takes a key out.
func (s *Set) Remove(key uint64, pane uint32) {
	s.turn(pane)
	if i := s.find(uint32(key >> 37)); i >= 0 {
		s.weigh(s.entries[i], -1)
		s.n--
		s.entries[i] = s.entries[s.n]
	}
}

// Count is how many keys there are, and how many light ones besides.
func (s *Set) Count(pane uint32) (keys, light int) {
	s.turn(pane)
	return int(s.n-s.light) << s.level, int(s.light) << s.level
}

func (s *Set) samples(fp uint32) bool { return fp&(1<<s.level-1) == 0 }

func (s *Set) find(fp uint32) int {
	for i, e := range s.entries[:s.n] {
		if e>>fpShift == fp {
			return i
		}
	}
	return -1
}

func (s *Set) weigh(e uint32, n int8) {
	if e&lightBit != 0 {
		s.light += uint8(n)
	}
}

// turn forgets what is too old. A pane a little older than the newest is a request that was
// overtaken; one much older, or newer than a whole window, has nothing to do with what is here.
func (s *Set) turn(pane uint32) {
	d := int32(pane - s.pane)
	switch {
	case d == 0 || d == -1:
		return
	case d < 0 || d > Panes:
		*s = Set{pane: pane}
		return
	}
	s.pane = pane
	s.keep(func(e uint32) bool { return (pane-e)&paneBits <= Panes })
	if s.level > 0 && s.n <= room/8 { // one level a pane: what comes back has time to be seen
		if s.level--; s.n == 0 {
			s.level = 0
		}
	}
}

func (s *Set) keep(stays func(e uint32) bool) {
	n := uint8(0)
	for _, e := range s.entries[:s.n] {
		if stays(e) {
			s.entries[n] = e
			n++
		} else {
			s.weigh(e, -1)
		}
	}
	s.n = n
}
