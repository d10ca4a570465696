package stock

import (
	"fmt"
	"strings"

	"penstock/proxy/gate"
)

// state of a token, and its letter in both stores' records.
type state byte

const (
	free      state = 'F' // no token's: of the units themselves
	reserved  state = 'R'
	sending   state = 'S'
	held      state = 'H'
	bought    state = 'B'
	cancelled state = 'X'
)

func (s state) open() bool { return s == reserved || s == sending || s == held }

// in is where units in the state are counted.
func (c *Counts) in(s state) *int {
	switch s {
	case reserved:
		return &c.Reserved
	case sending:
		return &c.Sending
	case held:
		return &c.Held
	case bought:
		return &c.Sold
	}
	return &c.Free
}

// entry is what a book knows of one token.
type entry struct {
	token   gate.Token
	state   state
	item    string
	account string // "": cancelled before it was seen
	units   int
	over    int    // units sold that were not there
	due     int64  // Unix ms, reserved and sending
	last    *batch // the commit that its last change is part of; nil: an earlier run's
}

// record is an entry as a line: the form record.lua keeps, too. Accounts and items may
// be any bytes, which JSON would bend; their lengths need no escapes.
func (e *entry) record() []byte {
	return fmt.Appendf(nil, "%c %d %d %d %d %s%s", e.state, e.units, e.over, e.due, len(e.item), e.item, e.account)
}

// read is the reverse of record.
func (e *entry) read(record string) error {
	fields := strings.SplitN(record, " ", 6)
	if len(fields) != 6 {
		return fmt.Errorf("read record %q: want six fields", record)
	}
	var length int
	_, err := fmt.Sscanf(strings.Join(fields[:5], " "), "%c %d %d %d %d", &e.state, &e.units, &e.over, &e.due, &length)
	if err != nil || length < 0 || length > len(fields[5]) {
		return fmt.Errorf("read record %q: bad state or number", record)
	}
	e.item, e.account = fields[5][:length], fields[5][length:]
	return nil
}
