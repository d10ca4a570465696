package embedded

// What the file keeps, as bytes. Every record ends in a sum of itself and its key, and
// the heads keep digests of all records, so that a bit that flips, or a page that is lost,
// is found when the file is opened.

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

var errDamaged = errors.New("record is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed appends to a record the sum of it and its key.
func sealed(key, record []byte) (value []byte, sum uint32) {
	sum = crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, record)
	return binary.LittleEndian.AppendUint32(record, sum), sum
}

// unsealed is the reverse of sealed.
func unsealed(key, value []byte) (record []byte, sum uint32, err error) {
	if len(value) < 4 {
		return nil, 0, errDamaged
	}
	record = value[:len(value)-4]
	sum = crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, record)
	if binary.LittleEndian.Uint32(value[len(record):]) != sum {
		return nil, 0, errDamaged
	}
	return record, sum, nil
}

// digest tells whether the records are all those that were written, in any order.
type digest struct{ Count, Sum uint64 }

func (d *digest) add(sum uint32)  { d.Count, d.Sum = d.Count+1, d.Sum+uint64(sum) }
func (d *digest) drop(sum uint32) { d.Count, d.Sum = d.Count-1, d.Sum-uint64(sum) }

// writer and reader are records of numbers and strings.
type writer []byte

func (w *writer) num(n uint64) { *w = binary.AppendUvarint(*w, n) }
func (w *writer) int(n int64)  { *w = binary.AppendVarint(*w, n) }
func (w *writer) str(s string) { w.num(uint64(len(s))); *w = append(*w, s...) }

type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) num() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.skip(size)
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.rest)
	r.skip(size)
	return n
}

func (r *reader) skip(size int) {
	if size <= 0 {
		r.bad, r.rest = true, nil
		return
	}
	r.rest = r.rest[size:]
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// end reports a record that was not read whole.
func (r *reader) end() error {
	if r.bad || len(r.rest) > 0 {
		return errDamaged
	}
	return nil
}

// How a token's record says who has sent it.
const (
	byNone = iota
	byItself
	byAnother
)

func (e *entry) record() []byte {
	w := make(writer, 1, 64)
	w[0] = byte(e.state)
	w.num(uint64(e.units))
	w.num(uint64(e.over))
	w.int(e.due)
	w.int(e.changed)
	switch by := e.sentBy(); {
	case e.itself:
		w.num(byItself)
	case by != gate.Token{}:
		w.num(byAnother)
		w = append(w, by[:]...)
	default:
		w.num(byNone)
	}
	w.str(e.ref())
	if e.holder != nil {
		w.str(e.item.name)
		w = append(w, e.holder.account...)
	}
	return w
}

// read is the reverse of record. What it returns lies in the record.
func (e *entry) read(record []byte) (item, account []byte, ref string, err error) {
	r := reader{rest: record}
	if b := r.bytes(1); b != nil {
		e.state = stock.Stage(b[0])
	}
	e.units, e.over = int32(r.num()), int32(r.num())
	e.due, e.changed = r.int(), r.int()
	switch r.num() {
	case byItself:
		e.itself = true
	case byAnother:
		e.more = &more{}
		copy(e.more.by[:], r.bytes(uint64(len(e.more.by))))
	}
	ref = string(r.bytes(r.num()))
	if len(r.rest) > 0 {
		item = r.bytes(r.num())
		account, r.rest = r.rest, nil
	}
	known := e.state.Open() || e.state == stock.Sold || e.state == stock.Cancelled || e.state == stock.Adjusted
	if !known || e.state.Open() && len(account) == 0 {
		r.bad = true
	}
	return item, account, ref, r.end()
}

func (h *head) record() []byte {
	var w writer
	for _, n := range []uint64{h.Epoch, h.Seq, uint64(h.state), h.freeze, h.freezes, uint64(h.frozen), h.records.Count, h.records.Sum} {
		w.num(n)
	}
	t := h.terms
	for _, n := range []int64{int64(t.PerAccount), int64(t.ReserveFor), int64(t.SendingFor), int64(t.Unknown), int64(t.UnknownAfter)} {
		w.int(n)
	}
	if t.Steps {
		return append(w, 1)
	}
	return append(w, 0)
}

func (h *head) read(record []byte) error {
	r := reader{rest: record}
	h.Epoch, h.Seq, h.state = r.num(), r.num(), stock.State(r.num())
	h.freeze, h.freezes, h.frozen = r.num(), r.num(), int64(r.num())
	h.records = digest{r.num(), r.num()}
	t := &h.terms
	t.PerAccount, t.ReserveFor, t.SendingFor = int(r.int()), time.Duration(r.int()), time.Duration(r.int())
	t.Unknown, t.UnknownAfter = rules.Unknown(r.int()), time.Duration(r.int())
	t.Steps = r.num() == 1
	return r.end()
}

func (i *item) record() []byte {
	var w writer
	w.int(int64(i.Loaded))
	w.int(int64(i.Withdrawn))
	return w
}

func (i *item) read(record []byte) error {
	r := reader{rest: record}
	i.Loaded, i.Withdrawn = int(r.int()), int(r.int())
	i.Free = i.Loaded - i.Withdrawn
	return r.end()
}
