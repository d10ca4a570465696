package mine

// A record is what is kept of a line: its order is by account, sale and time.

import (
	"encoding/binary"
	"math/bits"

	"penstock/proxy/gate"
)

// spread is a hash that is the same in every process, so that results are too. Nobody gains
// by names that meet: names are compared as well.
func spread(s []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range s {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return hi ^ lo
}

const (
	wonBit   = 0x80
	timedBit = 0x40
)

// appendRecord writes hash, account, sale, time, what was asked and answered, and address.
func appendRecord(b []byte, e *entry, sale uint16) []byte {
	b = binary.BigEndian.AppendUint64(b, spread(e.acct))
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.acct)))
	b = append(b, e.acct...)
	b = binary.BigEndian.AppendUint16(b, sale)
	b = binary.BigEndian.AppendUint64(b, uint64(e.t))
	what := byte(e.step)
	if e.won {
		what |= wonBit
	}
	if e.timed {
		what |= timedBit
	}
	b = append(b, what, byte(e.reason), byte(e.would), e.site.kind)
	if e.site.kind == 6 {
		b = binary.BigEndian.AppendUint64(b, e.site.bits)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(e.site.bits))
	}
	if e.timed {
		b = binary.BigEndian.AppendUint32(b, uint32(int32(e.off)))
	}
	return b
}

// readRecord reads what appendRecord wrote. The account is lent.
func readRecord(b []byte) (e entry, sale uint16) {
	n := binary.BigEndian.Uint16(b[8:])
	e.acct, b = b[10:10+n], b[10+n:]
	sale = binary.BigEndian.Uint16(b)
	e.t = int64(binary.BigEndian.Uint64(b[2:]))
	what := b[10]
	e.step, e.won, e.timed = gate.Step(what&0x3f), what&wonBit != 0, what&timedBit != 0
	e.reason, e.would, e.site.kind = gate.Reason(b[11]), gate.Reason(b[12]), b[13]
	if e.site.kind == 6 {
		e.site.bits, b = binary.BigEndian.Uint64(b[14:]), b[22:]
	} else {
		e.site.bits, b = uint64(binary.BigEndian.Uint32(b[14:])), b[18:]
	}
	if e.timed {
		e.off = int64(int32(binary.BigEndian.Uint32(b)))
	}
	return e, sale
}
