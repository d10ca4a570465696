package mine

// An account between the pass that studies it and the one that judges it.

import (
	"encoding/binary"
	"math"
)

// Account is what is known of one account in the end.
type Account struct {
	Name  string
	All   Seen
	In    []Seen   // by sale
	Sales []uint16 // which
	Hops  bool     // in one of them
}

// numbers are the fields of s that are whole.
func (s *Seen) numbers() [18]*uint32 {
	return [...]*uint32{
		&s.Asks, &s.Looks, &s.Watched, &s.Wins, &s.Early, &s.LooksBefore, &s.Gaps, &s.Quick, &s.Addresses, &s.Networks,
		&s.Switches, &s.Challenged, &s.Ignored, &s.Solved, &s.Sales, &s.Rapid,
		&s.Moved, &s.Nearly,
	}
}

func appendSeen(b []byte, s *Seen) []byte {
	for _, n := range s.numbers() {
		b = binary.AppendUvarint(b, uint64(*n))
	}
	for r, n := range s.Refusals {
		if n > 0 {
			b = binary.AppendUvarint(append(b, byte(r)), uint64(n))
		}
	}
	b = append(b, 0xff)
	b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, s.First), s.Lead), s.Beat)
	for _, f := range [...]float64{s.Mean, s.CV, s.Even} {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(f))
	}
	return b
}

func readSeen(b []byte, s *Seen) []byte {
	*s = Seen{}
	for _, n := range s.numbers() {
		v, k := binary.Uvarint(b)
		*n, b = uint32(v), b[k:]
	}
	for b[0] != 0xff {
		v, k := binary.Uvarint(b[1:])
		s.Refusals[b[0]], b = uint32(v), b[1+k:]
	}
	b = b[1:]
	for _, n := range [...]*int64{&s.First, &s.Lead, &s.Beat} {
		v, k := binary.Varint(b)
		*n, b = v, b[k:]
	}
	for _, f := range [...]*float64{&s.Mean, &s.CV, &s.Even} {
		*f, b = math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:]
	}
	return b
}

// appendAccount writes what a study has come to.
func appendAccount(b []byte, name []byte, all *Seen, s *study) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	b = appendSeen(b, all)
	if s.hops() {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(s.sales)))
	for i := range s.sales {
		b = binary.BigEndian.AppendUint16(b, s.ids[i])
		if len(s.sales) > 1 { // else it is the same as all of them
			b = appendSeen(b, &s.sales[i])
		}
	}
	return b
}

// readAccount reads what appendAccount wrote into room that is used again.
func readAccount(b []byte, a *Account) {
	n, k := binary.Uvarint(b)
	a.Name, b = string(b[k:k+int(n)]), b[k+int(n):]
	b = readSeen(b, &a.All)
	a.Hops = b[0] == 1
	n, k = binary.Uvarint(b[1:])
	b = b[1+k:]
	a.In, a.Sales = a.In[:0], a.Sales[:0]
	for range n {
		a.Sales, b = append(a.Sales, binary.BigEndian.Uint16(b)), b[2:]
		s := a.All
		if n > 1 {
			b = readSeen(b, &s)
		}
		a.In = append(a.In, s)
	}
}

func (s *study) hops() bool {
	for i := range s.sales {
		if hops(&s.sales[i]) {
			return true
		}
	}
	return false
}
