package stock

// The shop's own list of orders, as CSV. Columns are known by the names in the first
// line; a file of nothing but tokens needs no names. It refuses what it cannot read for
// certain, above all times without an offset: from a list that is misread, units of real
// orders would be freed.

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"penstock/proxy/gate"
)

// OrderKey is what ties an order of the shop to a token of ours.
type OrderKey byte

// The keys, the surest first: a list goes by the first that it has columns for.
const (
	ByToken OrderKey = iota + 1
	ByRef
	ByAccount // and time
)

// Orders is a list of orders, in the order of its lines.
type Orders struct {
	Key  OrderKey
	List []Order
}

// Order is one line of the list.
type Order struct {
	Line    int
	Token   gate.Token // with ByToken; zero: what stands there is not a token
	Text    string     // with ByToken: what stands there
	Ref     string
	Account string
	At      time.Time // with ByAccount
	Units   int       // 0: the list does not say
}

// columns are where a list keeps what; -1: it does not.
type columns struct{ token, ref, account, at, units int }

// columnNames are the names by which columns are known, in any case.
var columnNames = map[string]func(*columns) *int{
	"token": func(c *columns) *int { return &c.token }, "reservation": func(c *columns) *int { return &c.token },
	"penstock-reservation": func(c *columns) *int { return &c.token },
	"order":                func(c *columns) *int { return &c.ref }, "order_ref": func(c *columns) *int { return &c.ref },
	"ref": func(c *columns) *int { return &c.ref }, "account": func(c *columns) *int { return &c.account },
	"time": func(c *columns) *int { return &c.at }, "qty": func(c *columns) *int { return &c.units },
	"quantity": func(c *columns) *int { return &c.units }, "units": func(c *columns) *int { return &c.units },
}

// ReadOrders reads a list. Other columns than the known ones are passed over.
func ReadOrders(text []byte) (Orders, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	if first, _, _ := bytes.Cut(text, []byte("\n")); !bytes.Contains(first, []byte(",")) && bytes.Contains(first, []byte(";")) {
		r.Comma = ';'
	}
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return Orders{}, errors.New("the list of orders is empty: it needs at least a line with the columns' names")
	}
	if err != nil {
		return Orders{}, fmt.Errorf("read orders: %w", err)
	}
	at, o, err := headOf(head)
	if err != nil {
		return Orders{}, err
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return Orders{}, fmt.Errorf("read orders: %w", err)
		}
		line, _ := r.FieldPos(0)
		order, err := orderOf(row, at, o.Key)
		if err != nil {
			return Orders{}, fmt.Errorf("orders, line %d: %w", line, err)
		}
		order.Line = line
		o.List = append(o.List, order)
	}
}

// headOf finds the columns, and takes a first line that is a token itself as an order.
func headOf(head []string) (at columns, o Orders, err error) {
	at = columns{-1, -1, -1, -1, -1}
	if t, ok := ParseToken(head[0]); ok && len(head) == 1 {
		at.token = 0
		return at, Orders{ByToken, []Order{{Line: 1, Token: t, Text: strings.TrimSpace(head[0])}}}, nil
	}
	for i, name := range head {
		column, ok := columnNames[strings.ToLower(strings.TrimSpace(name))]
		if !ok {
			continue
		}
		if *column(&at) >= 0 {
			return at, o, fmt.Errorf("orders, line 1: two columns say the same, the second is %q", name)
		}
		*column(&at) = i
	}
	switch {
	case at.token >= 0:
		o.Key = ByToken
	case at.ref >= 0:
		o.Key = ByRef
	case at.account >= 0 && at.at >= 0:
		o.Key = ByAccount
	default:
		return at, o, errors.New(`orders, line 1: there is no column that names an order: want "token", or "ref", or "account" and "time"`)
	}
	return at, o, nil
}

func orderOf(row []string, at columns, key OrderKey) (o Order, err error) {
	field := func(i int) string {
		if i < 0 || i >= len(row) {
			return ""
		}
		return strings.TrimSpace(row[i])
	}
	o = Order{Ref: field(at.ref), Account: field(at.account)}
	if key == ByToken {
		o.Text = field(at.token)
		o.Token, _ = ParseToken(o.Text)
	}
	if q := field(at.units); q != "" {
		if o.Units, err = strconv.Atoi(q); err != nil || o.Units < 1 {
			return o, fmt.Errorf("%q is not a quantity", q)
		}
	}
	if key == ByAccount {
		if o.Account == "" {
			return o, errors.New("the account is missing")
		}
		o.At, err = orderTime(field(at.at))
	}
	return o, err
}

// orderTime reads a time that can mean one instant only.
func orderTime(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		switch {
		case n >= 1e9 && n < 1e11:
			return time.Unix(n, 0), nil
		case n >= 1e12 && n < 1e14:
			return time.UnixMilli(n), nil
		}
		return time.Time{}, fmt.Errorf("%q is not a time in Unix seconds or milliseconds", s)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time with its offset: write it like 2026-11-27T20:00:03+08:00, or in Unix seconds", s)
}

// ParseToken reads a token as 32 hexadecimal digits, dashes or not. Zero is none.
func ParseToken(s string) (t gate.Token, ok bool) {
	s = strings.ReplaceAll(strings.TrimSpace(s), "-", "")
	if len(s) != 2*len(t) {
		return t, false
	}
	if _, err := hex.Decode(t[:], []byte(s)); err != nil {
		return gate.Token{}, false
	}
	return t, t != gate.Token{}
}
