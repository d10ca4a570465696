package redis

// As much of MessagePack as tokens' records take: texts and numbers not below zero.

import (
	"encoding/binary"
	"math"
)

// field is a text or a number.
type field struct {
	s string
	n int
}

// unpack takes a field off the front. What is none of ours empties the rest.
func unpack(from *string) (f field) {
	s := *from
	*from = ""
	if s == "" {
		return f
	}
	kind, s := s[0], s[1:]
	size, number := 0, false
	switch {
	case kind < 0x80: // a small number
		*from = s
		return field{n: int(kind)}
	case kind&0xe0 == 0xa0: // a short text
		return cut(s, int(kind&0x1f), from)
	case 0xcc <= kind && kind <= 0xcf:
		size, number = 1<<(kind-0xcc), true
	case 0xd9 <= kind && kind <= 0xdb:
		size = 1 << (kind - 0xd9)
	default:
		return f
	}
	if len(s) < size {
		return f
	}
	var n uint64
	for _, b := range []byte(s[:size]) {
		n = n<<8 | uint64(b)
	}
	if s = s[size:]; number {
		*from = s
		return field{n: int(n)}
	}
	return cut(s, int(n), from)
}

func cut(s string, n int, rest *string) field {
	if n > len(s) {
		return field{}
	}
	*rest = s[n:]
	return field{s: s[:n]}
}

func packNumber(b []byte, n int64) []byte {
	if n = max(n, 0); n < 0x80 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), uint64(n))
}

func packText(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 0x20:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}
