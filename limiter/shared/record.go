package shared

// How notes and leases are written in stores. A note is text, so that Redis' scripts can
// read the head of it: at and until in Unix ms (0: none), the signal, l if it is lifted and
// - if not, the length of by; then by and why.

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"penstock/rules"
)

var errRecord = errors.New("it is not as a gateway writes it")

// Record is the note without its subject.
func (n *Note) Record() string {
	b := make([]byte, 0, 64+len(n.By)+len(n.Why))
	b = append(strconv.AppendInt(b, ms(n.At), 10), ' ')
	b = append(strconv.AppendInt(b, ms(n.Until), 10), ' ')
	b = append(strconv.AppendUint(b, uint64(n.Signal), 10), ' ')
	if n.Lifted {
		b = append(b, "l "...)
	} else {
		b = append(b, "- "...)
	}
	b = append(strconv.AppendInt(b, int64(len(n.By)), 10), ' ')
	return string(append(append(b, n.By...), n.Why...))
}

// ReadNote reads what Record wrote, and Subject.String.
func ReadNote(subject, record string) (n Note, err error) {
	parts := strings.SplitN(record, " ", 6)
	if len(parts) < 6 {
		return n, errRecord
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	until, err2 := strconv.ParseInt(parts[1], 10, 64)
	signal, err3 := strconv.ParseUint(parts[2], 10, 8)
	by, err4 := strconv.ParseUint(parts[4], 10, 16)
	text := parts[5]
	if errors.Join(err1, err2, err3, err4) != nil || at < 0 || until < 0 || parts[3] != "l" && parts[3] != "-" || int(by) > len(text) {
		return n, errRecord
	}
	n = Note{At: fromMS(at), Until: fromMS(until), Signal: rules.Signal(signal), Lifted: parts[3] == "l", By: text[:by], Why: text[by:]}
	if n.Subject, err = ParseSubject(subject); err == nil {
		err = n.Check()
	}
	return n, err
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// Rounded is the note as a store gives it back: times to the ms, in local time.
func (n Note) Rounded() Note {
	n.At, n.Until = fromMS(ms(n.At)), fromMS(ms(n.Until))
	return n
}

// PackLeases writes a gateway's leases: for each its key, eight bytes, and its numbers.
func PackLeases(leases []Lease) []byte {
	b := make([]byte, 0, 16*len(leases))
	for i := range leases {
		l := &leases[i]
		b = binary.BigEndian.AppendUint64(b, l.Key)
		b = binary.AppendUvarint(b, uint64(max(l.Running, 0)))
		b = binary.AppendUvarint(b, uint64(max(l.Owed, 0)))
		b = binary.AppendUvarint(b, uint64(max(l.Debt, 0)))
	}
	return b
}

// mostOwed keeps sums of what gateways say far from overflow.
const mostOwed = uint64(1) << 60

// UnpackLeases adds to all what PackLeases wrote, as the gateway's.
func UnpackLeases(all []Lease, gateway string, b []byte) ([]Lease, error) {
	for n := 0; len(b) > 0; n++ {
		if len(b) < 8 || n == MostLeases {
			return all, errRecord
		}
		l := Lease{Gateway: gateway, Key: binary.BigEndian.Uint64(b)}
		b = b[8:]
		var numbers [3]uint64
		for i := range numbers {
			v, size := binary.Uvarint(b)
			if size <= 0 || v > mostOwed {
				return all, errRecord
			}
			numbers[i], b = v, b[size:]
		}
		l.Running, l.Owed, l.Debt = int(min(numbers[0], 1<<30)), time.Duration(numbers[1]), time.Duration(numbers[2])
		all = append(all, l)
	}
	return all, nil
}
