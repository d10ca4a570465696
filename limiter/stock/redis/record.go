package redis

// What the scripts keep, read and written in Go. Only they write it, so what cannot be
// read counts as zero, or as not there.

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"penstock/limiter/stock"
	"penstock/rules"
)

// unknowns are the letters of what becomes of held units.
const unknowns = "KRF" // by rules.Unknown

func termsText(t stock.Terms) string {
	steps := 0
	if t.Steps {
		steps = 1
	}
	return fmt.Sprintf("%d %d %d %c %d %d", max(t.PerAccount, 0), millis(t.ReserveFor), millis(t.SendingFor),
		unknowns[min(int(t.Unknown), len(unknowns)-1)], millis(t.UnknownAfter), steps)
}

func millis(d time.Duration) int64 { return max(d.Milliseconds(), 0) }

func terms(s string) (t stock.Terms) {
	f := strings.Fields(s)
	if len(f) != 6 {
		return t
	}
	ms := func(s string) time.Duration { return time.Duration(integer(s)) * time.Millisecond }
	return stock.Terms{
		PerAccount: integer(f[0]), ReserveFor: ms(f[1]), SendingFor: ms(f[2]),
		Unknown: rules.Unknown(max(strings.Index(unknowns, f[3]), 0)), UnknownAfter: ms(f[4]), Steps: f[5] == "1",
	}
}

// picture reads a ledger's head.
func picture(fields func(func(k, v string) bool)) (p stock.Picture) {
	for field, value := range fields {
		if strings.HasPrefix(field, ":") {
			if p.Items == nil {
				p.Items = make(map[string]stock.Counts)
			}
			p.Items[field[1:]] = counts(value)
			continue
		}
		switch field {
		case "seq":
			p.Seq = uint64(integer(value))
			if p.Items == nil { // known, though it need not have items
				p.Items = make(map[string]stock.Counts)
			}
		case "epoch":
			p.Epoch = uint64(integer(value))
		case "oversold":
			p.Oversold = integer(value)
		case "terms":
			p.Terms = terms(value)
		case "state":
			p.State = stock.State(value[0])
		case "freeze":
			p.Freeze = uint64(integer(value))
		case "frozen":
			p.Frozen = uint64(integer(value))
		case "after":
			p.After = uint64(integer(value))
		case "archived":
			p.Archived = true
		}
	}
	return p
}

func counts(s string) (c stock.Counts) {
	into := [...]*int{&c.Loaded, &c.Free, &c.Reserved, &c.Sending, &c.Held, &c.Sold, &c.Withdrawn}
	for i, f := range strings.Fields(s) {
		if i < len(into) {
			*into[i] = integer(f)
		}
	}
	return c
}

// holding reads "BOUGHT:OPEN".
func holding(s string) (h stock.Holding) {
	if i := strings.IndexAny(s, ":!"); i >= 0 {
		h.Bought, h.Open = integer(s[:i]), len(s) > i+1
	}
	return h
}

// entry reads a token's record.
func entry(hexed, packed string) stock.Entry {
	var f [9]field
	for i := range f {
		f[i] = unpack(&packed)
	}
	e := stock.Entry{
		Token: token(hexed), Units: f[1].n, Over: f[2].n, Due: instant(f[3].n), Changed: instant(f[4].n),
		Item: f[6].s, Account: f[7].s, Ref: f[8].s,
	}
	if f[0].s != "" {
		e.State = stock.Stage(f[0].s[0])
	}
	switch by := f[5].s; by {
	case "":
	case "=":
		e.By = e.Token
	default:
		e.By = token(by)
	}
	return e
}

// record writes what entry reads.
func record(e *stock.Entry) []byte {
	by := text(e.By)
	if e.By == e.Token {
		by = "="
	}
	due := int64(0)
	if !e.Due.IsZero() {
		due = e.Due.UnixMilli()
	}
	state := e.State
	if state == 0 {
		state = stock.Cancelled
	}
	b := packText(nil, string(rune(state)))
	for _, n := range []int64{int64(e.Units), int64(e.Over), due, 0} {
		b = packNumber(b, n)
	}
	for _, s := range []string{by, e.Item, e.Account, e.Ref} {
		b = packText(b, s)
	}
	return b
}

func instant(ms int) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

func integer(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// list reads a reply that is a list.
func list(reply any) []any {
	l, _ := reply.([]any)
	return l
}

// pairs goes through a flat list of texts two by two.
func pairs(l []any) func(func(k, v string) bool) {
	return func(yield func(k, v string) bool) {
		for i := 0; i+1 < len(l); i += 2 {
			k, _ := l[i].(string)
			v, _ := l[i+1].(string)
			if !yield(k, v) {
				return
			}
		}
	}
}
