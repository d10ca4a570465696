package stock

// What differs between a ledger's tokens and the shop's list of orders. Pure functions
// over slices: the audit reads, these compare.
//
// By account and time it is a guess, the nearest pair first. It is as good as the
// shop's clock, and two orders of one account within the window can change places.

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"penstock/proxy/gate"
)

// DifferenceKind is how the two differ.
type DifferenceKind string

// The kinds of differences.
const (
	NotInShop    DifferenceKind = "not_in_shop"  // sold here, and the shop has no order
	NotSold      DifferenceKind = "not_sold"     // the shop has an order, and it is not sold here
	SoldTwice    DifferenceKind = "sold_twice"   // the shop has a second order for one token
	OtherUnits   DifferenceKind = "other_units"  // the shop's order is for another quantity
	OtherRef     DifferenceKind = "other_ref"    // the shop calls the order by another name
	unknownToken                = "unknown here" // what a token that nobody has seen is called
)

// Difference is one of them. Entry is zero where there is no token here, Order where
// there is no order there.
type Difference struct {
	Kind  DifferenceKind
	Entry Entry
	Order Order
}

// Stage says where the token is, in words.
func (d *Difference) Stage() string {
	switch {
	case d.Entry.Token == gate.Token{}:
		return unknownToken
	case d.Entry.State == Cancelled:
		return "free again"
	}
	return d.Entry.State.String()
}

// String says the difference in one sentence.
func (d *Difference) String() string {
	switch d.Kind {
	case NotInShop:
		return "sold here, and not in the list"
	case NotSold:
		return "in the list, and not sold here: " + d.Stage()
	case SoldTwice:
		return "in the list once more for the same token or reference"
	case OtherUnits:
		return fmt.Sprintf("the list says %d units, here it is %d", d.Order.Units, d.Entry.asked())
	}
	return fmt.Sprintf("the list calls it %q, here it is %q", d.Order.Ref, d.Entry.Ref)
}

// asked are the units the token's order is for, those that were not there included.
func (e *Entry) asked() int { return e.Units + e.Over }

// pair is an order of the shop and its token here.
type pair struct {
	order Order
	entry Entry
}

// comparison is what a list of orders says about the tokens of a ledger.
type comparison struct {
	pairs       []pair
	differences []Difference
}

// compare finds every difference: first those of orders, by line, then the tokens that
// are sold and in no line. entries has each token once.
func compare(entries []Entry, o Orders, window time.Duration) comparison {
	var match []int // by order: the index of its token, or -1; -2: a second order for one
	if o.Key == ByAccount {
		match = matchByTime(entries, o.List, window)
	} else {
		match = matchByName(entries, o)
	}
	var c comparison
	listed := make([]bool, len(entries))
	for i, order := range o.List {
		if match[i] < 0 {
			kind := NotSold
			if match[i] == listedTwice {
				kind = SoldTwice
			}
			c.differences = append(c.differences, Difference{Kind: kind, Order: order})
			continue
		}
		listed[match[i]] = true
		p := pair{order, entries[match[i]]}
		c.pairs = append(c.pairs, p)
		c.differences = append(c.differences, p.differences()...)
	}
	for i := range entries {
		if e := &entries[i]; e.State == Sold && !listed[i] {
			c.differences = append(c.differences, Difference{Kind: NotInShop, Entry: *e})
		}
	}
	return c
}

// The matches that are none.
const (
	nowhere     = -1
	listedTwice = -2
)

func (p *pair) differences() (all []Difference) {
	say := func(kind DifferenceKind) { all = append(all, Difference{kind, p.entry, p.order}) }
	if p.entry.State != Sold {
		say(NotSold)
	}
	if p.order.Units > 0 && p.entry.State != Cancelled && p.order.Units != p.entry.asked() {
		say(OtherUnits)
	}
	if p.order.Ref != "" && p.entry.Ref != "" && p.order.Ref != p.entry.Ref {
		say(OtherRef)
	}
	return all
}

// matchByName pairs orders and tokens of one name one by one, sold tokens first.
func matchByName(entries []Entry, o Orders) []int {
	byName := make(map[string][]int, len(entries))
	for i := range entries {
		if name := entryName(&entries[i], o.Key); name != "" {
			byName[name] = append(byName[name], i)
		}
	}
	for _, is := range byName {
		slices.SortFunc(is, func(a, b int) int { return soldFirst(&entries[a], &entries[b]) })
	}
	match := make([]int, len(o.List))
	met := make(map[string]int)
	for i := range o.List {
		name := o.List[i].name(o.Key)
		is, n := byName[name], met[name]
		met[name]++
		switch {
		case name != "" && n < len(is):
			match[i] = is[n]
		case name != "" && n > 0:
			match[i] = listedTwice
		default:
			match[i] = nowhere
		}
	}
	return match
}

func soldFirst(a, b *Entry) int {
	if as, bs := a.State == Sold, b.State == Sold; as != bs {
		if as {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.Token[:], b.Token[:])
}

func entryName(e *Entry, key OrderKey) string {
	if key == ByToken {
		return string(e.Token[:])
	}
	return e.Ref
}

// name is "" where the line names nothing that a token could have.
func (o *Order) name(key OrderKey) string {
	switch {
	case key == ByRef:
		return o.Ref
	case o.Token == gate.Token{}:
		return ""
	}
	return string(o.Token[:])
}

// matchByTime pairs each order with a token of its account that may have placed it, and
// that changed within the window of the order's time. The nearest pair of all is made
// first, and none is in two.
func matchByTime(entries []Entry, orders []Order, window time.Duration) []int {
	type candidate struct {
		order, entry int
		apart        time.Duration
	}
	bySpelling := make(map[string][]int)
	for i := range entries {
		if e := &entries[i]; e.Account != "" && (e.State == Sending || e.State == Held || e.State == Sold) {
			bySpelling[e.Account] = append(bySpelling[e.Account], i)
			if b := bareAccount(e.Account); b != e.Account {
				bySpelling[b] = append(bySpelling[b], i)
			}
		}
	}
	var near []candidate
	match := make([]int, len(orders))
	for i := range orders {
		match[i] = nowhere
		for _, j := range bySpelling[orders[i].Account] {
			if apart := entries[j].Changed.Sub(orders[i].At).Abs(); apart <= window {
				near = append(near, candidate{i, j, apart})
			}
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.apart, b.apart), cmp.Compare(a.order, b.order), soldFirst(&entries[a.entry], &entries[b.entry]))
	})
	used := make([]bool, len(entries))
	for _, c := range near {
		if match[c.order] == nowhere && !used[c.entry] {
			match[c.order], used[c.entry] = c.entry, true
		}
	}
	return match
}

// bareAccount is the account without the letter that says where it was found.
func bareAccount(a string) string {
	if len(a) >= 2 && a[1] == ':' {
		return a[2:]
	}
	return a
}

// sameAccount reports whether asked, with or without its letter, means account.
func sameAccount(asked, account string) bool {
	return asked == account || account != "" && asked == bareAccount(account)
}
