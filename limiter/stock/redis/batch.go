package redis

// What a batch is sent as, and how its reply is read: one text, because hundreds of small
// replies would cost more than the decisions they tell.

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"penstock/limiter/stock"
	"penstock/limiter/stock/guard"
	"penstock/proxy/gate"
	"penstock/rules"
)

// kind is in the order in which a batch is sent.
type kind uint8

const (
	selling kind = iota
	freeing
	unsending
	unknowing
	starting
	ordering
	deciding
	kinds
)

// answer is what becomes of a call.
type answer struct {
	letter byte
	stock.Decision
}

// batch is calls by kind.
type batch struct {
	calls  [kinds][]*call
	counts [kinds]int
}

// sort brings together what is asked for alike, so that it is said once.
func (b *batch) sort(all []*call) {
	for k := range b.calls {
		clear(b.calls[k])
		b.calls[k] = b.calls[k][:0]
	}
	alike := true
	for _, c := range all {
		to := &b.calls[c.kind]
		*to = append(*to, c)
		if first := (*to)[0]; c.kind == deciding && !c.alike(first) {
			alike = false
		}
	}
	if !alike {
		slices.SortStableFunc(b.calls[deciding], func(c, d *call) int {
			return cmp.Or(strings.Compare(c.item, d.item), c.units-d.units)
		})
	}
}

func (c *call) alike(d *call) bool { return c.item == d.item && c.units == d.units }

// fill adds what lua/ask.lua takes. Pointers to strings are no allocations.
func (b *batch) fill(args []any) []any {
	for k := range deciding {
		b.counts[k] = len(b.calls[k])
		args = append(args, &b.counts[k])
	}
	for k := range ordering {
		for _, c := range b.calls[k] {
			args = append(args, &c.token)
		}
	}
	for _, c := range b.calls[ordering] {
		args = append(args, &c.account)
	}
	for rest := b.calls[deciding]; len(rest) > 0; {
		first, n := rest[0], 1
		for n < len(rest) && rest[n].alike(first) {
			n++
		}
		args = append(args, &first.item, &first.units, n)
		for _, c := range rest[:n] {
			args = append(args, &c.token, &c.account)
		}
		rest = rest[n:]
	}
	return args
}

// retry has nothing to do, because a token is the same however often it is sent.
func (b *batch) retry() {
	if !guard.Off("retry token") {
		return
	}
	for _, c := range b.calls[deciding] {
		var other gate.Token
		rand.Read(other[:])
		c.token = hex.EncodeToString(other[:])
	}
}

// read gives every call its answer.
func (b *batch) read(reply any, seen *stock.Stamp) error {
	said, items, ok := "", []any(nil), false
	switch r := reply.(type) {
	case string:
		said, ok = r, true
	case []any:
		if len(r) > 0 {
			said, ok = r[0].(string)
			items = r[1:]
		}
	}
	if !ok {
		return errReply
	}
	if said == "" {
		return stock.ErrNotLoaded
	}
	line, rest, _ := strings.Cut(said, "\n")
	first, err := stamp(line)
	if err != nil {
		return err
	}
	last := *seen
	*seen = first
	if first.Epoch == last.Epoch && first.Seq < last.Seq {
		return stock.ErrCut
	}
	before := stock.Decision{Stamp: stock.Stamp{Epoch: first.Epoch}}
	for _, calls := range b.calls {
		for _, c := range calls {
			line, rest, _ = strings.Cut(rest, "\n")
			if line == "" {
				return errReply
			}
			items = c.read(line, &before, items)
			seen.Seq = max(seen.Seq, c.answer.Seq)
		}
	}
	return nil
}

// stamp reads how far the ledger had come before the batch.
func stamp(line string) (s stock.Stamp, err error) {
	epoch, seq, _ := strings.Cut(line, " ")
	if s.Epoch, err = strconv.ParseUint(epoch, 10, 64); err == nil {
		s.Seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil {
		return s, errReply
	}
	return s, nil
}

// read reads one line: a letter, then numbers, or none where they are as before. An order
// that was found takes an item.
func (c *call) read(line string, before *stock.Decision, items []any) []any {
	a := &c.answer
	a.letter, line = line[0], line[1:]
	if c.kind < ordering {
		return items
	}
	if a.letter == 'a' {
		a.letter = 'A'
		before.Free -= c.units
		before.Pending += c.units
		before.Seq++
	}
	if line != "" {
		before.Free = number(&line)
		before.Pending = number(&line)
		before.Seq = uint64(number(&line))
		a.Bought = number(&line)
	}
	a.Stamp, a.Free, a.Pending = before.Stamp, before.Free, before.Pending
	if len(line) > 1 && len(items) > 0 {
		var hexed string
		hexed, line, _ = strings.Cut(line[1:], " ")
		line = " " + line
		a.Decision.Token, a.Units = token(hexed), number(&line)
		a.Item, _ = items[0].(string)
		items = items[1:]
	}
	return items
}

// number takes a space and a number off the line. Only scripts write it, so what is no
// number is none.
func number(line *string) (n int) {
	s := *line
	i, minus := 1, false
	if len(s) > 1 && s[1] == '-' {
		i, minus = 2, true
	}
	for ; i < len(s) && s[i] != ' '; i++ {
		n = 10*n + int(s[i]-'0')
	}
	*line = s[min(i, len(s)):]
	if minus {
		return -n
	}
	return n
}

// words are a token, by whom, and a reference, as lua/ask.lua splits them.
func words(t, by gate.Token, ref string) string {
	if t == by && ref == "" {
		return hex.EncodeToString(t[:])
	}
	if by == (gate.Token{}) {
		return hex.EncodeToString(t[:]) + strings.Repeat("-", 2*len(by)) + ref
	}
	return hex.EncodeToString(t[:]) + hex.EncodeToString(by[:]) + ref
}

// reason reads a letter of lua/batch.lua.
func (a *answer) reason() (gate.Reason, error) {
	switch a.letter {
	case 'A':
		return gate.Admitted, nil
	case 'E':
		return gate.ReservationExpired, nil
	case 'N':
		a.Stranger = true
		return gate.ReservationExpired, nil
	case 'P':
		return gate.OrderPending, nil
	case 'B':
		return gate.AlreadyBought, nil
	case 'L':
		return gate.Limit, nil
	case 'F':
		return gate.Unset, stock.ErrFrozen
	case 'U':
		return gate.Paused, nil
	case 'C':
		return gate.Closed, nil
	case 'I':
		return gate.UnknownItem, nil
	case 'S':
		return gate.SoldOut, nil
	}
	return gate.Unset, errReply
}

func (s *Store) Decide(ctx context.Context, a stock.Ask) (stock.Decision, error) {
	if err := a.Check(); err != nil {
		return stock.Decision{}, err
	}
	c := newCall(deciding)
	if a.Order {
		c.kind = ordering
	}
	c.token, c.account, c.item, c.units = hex.EncodeToString(a.Token[:]), a.Account, a.Item, a.Units
	r, err := s.way(a.Ledger).all.do(ctx, c)
	if err == nil {
		r.Reason, err = r.reason()
	}
	if err != nil {
		return stock.Decision{}, fmt.Errorf("decide in ledger %q: %w", a.Ledger, err)
	}
	return r.Decision, nil
}

// Start is acknowledged by replicas where they are asked for; with fewer it fails, and
// nothing may be sent.
func (s *Store) Start(ctx context.Context, l stock.Launch) (gate.Reason, error) {
	c := newCall(starting)
	c.token = words(l.Token, l.By, "")
	r, err := s.way(l.Ledger).starts.do(ctx, c)
	reason := gate.Unset
	if err == nil {
		reason, err = r.reason()
	}
	if err != nil {
		return gate.Unset, fmt.Errorf("start in ledger %q: %w", l.Ledger, err)
	}
	return reason, nil
}

// Settle needs no acknowledgement of replicas: a settlement that is lost leaves its token
// sending, and so held in the end, which oversells nothing.
func (s *Store) Settle(ctx context.Context, t stock.Settlement) error {
	c := newCall(unknowing)
	switch {
	case t.Outcome == rules.OutcomeSold:
		c.kind = selling
	case t.Outcome == rules.OutcomeFree && t.Unsent:
		c.kind = unsending
	case t.Outcome == rules.OutcomeFree:
		c.kind = freeing
	}
	c.token = words(t.Token, t.By, t.Ref)
	r, err := s.way(t.Ledger).all.do(ctx, c)
	if err == nil {
		switch r.letter {
		case 'B':
			err = stock.ErrSold
		case 'O':
			err = stock.ErrOversold
		case 'J':
			err = fmt.Errorf("token %s is an adjustment's", text(t.Token))
		}
	}
	if err != nil {
		return fmt.Errorf("settle in ledger %q: %w", t.Ledger, err)
	}
	return nil
}
