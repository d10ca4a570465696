package stock

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/proxy/gate"
)

// naive compares as plainly as it can be said: for every order it looks through all
// tokens again. It answers with lines of text, sorted.
func naive(entries []Entry, o Orders, window time.Duration) (lines []string) {
	taken := make(map[int]int) // token's index → order's index
	paired := func(order int) (int, bool) {
		for e, by := range taken {
			if by == order {
				return e, true
			}
		}
		return 0, false
	}
	if o.Key == ByAccount {
		for {
			be, bo := naiveNearest(entries, o, window, taken, paired)
			if be < 0 {
				break
			}
			taken[be] = bo
		}
	} else {
		naiveByName(entries, o, taken)
	}
	for i, order := range o.List {
		e, ok := paired(i)
		switch {
		case ok:
			lines = append(lines, naiveDifferences(entries[e], order)...)
		case naiveSecond(o, i):
			lines = append(lines, fmt.Sprintf("twice %d", order.Line))
		default:
			lines = append(lines, fmt.Sprintf("unknown %d", order.Line))
		}
	}
	for i, e := range entries {
		if _, ok := taken[i]; !ok && e.State == Sold {
			lines = append(lines, fmt.Sprintf("missing %d", e.Token[0]))
		}
	}
	slices.Sort(lines)
	return lines
}

func naiveDifferences(e Entry, o Order) (lines []string) {
	if e.State != Sold {
		lines = append(lines, fmt.Sprintf("not sold %d %c", o.Line, e.State))
	}
	if o.Units != 0 && o.Units != e.Units+e.Over && e.State != Cancelled {
		lines = append(lines, fmt.Sprintf("units %d", o.Line))
	}
	if o.Ref != "" && e.Ref != "" && o.Ref != e.Ref {
		lines = append(lines, fmt.Sprintf("ref %d", o.Line))
	}
	return lines
}

// naiveSecond: an earlier line names the same.
func naiveSecond(o Orders, i int) bool {
	for j := range i {
		switch a, b := o.List[i], o.List[j]; {
		case o.Key == ByToken && a.Token == b.Token && a.Token != gate.Token{}, o.Key == ByRef && a.Ref == b.Ref && a.Ref != "":
			return true
		}
	}
	return false
}

func naiveByName(entries []Entry, o Orders, taken map[int]int) {
	for i, order := range o.List {
		best := -1
		for e, x := range entries {
			if _, used := taken[e]; used {
				continue
			}
			same := o.Key == ByToken && x.Token == order.Token || o.Key == ByRef && x.Ref == order.Ref && order.Ref != ""
			if same && (best < 0 || naiveBefore(x, entries[best])) {
				best = e
			}
		}
		if best >= 0 {
			taken[best] = i
		}
	}
}

func naiveBefore(a, b Entry) bool {
	if (a.State == Sold) != (b.State == Sold) {
		return a.State == Sold
	}
	return string(a.Token[:]) < string(b.Token[:])
}

func naiveNearest(entries []Entry, o Orders, window time.Duration, taken map[int]int, paired func(int) (int, bool)) (be, bo int) {
	be, bo = -1, -1
	var near time.Duration
	for i, order := range o.List {
		if _, ok := paired(i); ok {
			continue
		}
		for e, x := range entries {
			apart := max(x.Changed.Sub(order.At), order.At.Sub(x.Changed))
			_, used := taken[e]
			mine := x.Account == order.Account || strings.HasSuffix(x.Account, ":"+order.Account) && len(x.Account) == len(order.Account)+2
			if used || !mine || apart > window || x.State == Reserved || x.State == Cancelled {
				continue
			}
			if be < 0 || apart < near || apart == near && i == bo && naiveBefore(x, entries[be]) {
				be, bo, near = e, i, apart
			}
		}
	}
	return be, bo
}

// lines are a comparison as naive tells it.
func (c *comparison) lines() (lines []string) {
	for _, d := range c.differences {
		switch d.Kind {
		case NotInShop:
			lines = append(lines, fmt.Sprintf("missing %d", d.Entry.Token[0]))
		case SoldTwice:
			lines = append(lines, fmt.Sprintf("twice %d", d.Order.Line))
		case OtherUnits:
			lines = append(lines, fmt.Sprintf("units %d", d.Order.Line))
		case OtherRef:
			lines = append(lines, fmt.Sprintf("ref %d", d.Order.Line))
		case NotSold:
			if d.Stage() == unknownToken {
				lines = append(lines, fmt.Sprintf("unknown %d", d.Order.Line))
			} else {
				lines = append(lines, fmt.Sprintf("not sold %d %c", d.Order.Line, d.Entry.State))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func drawEntries(r *rapid.T, at time.Time) (all []Entry) {
	for n := range rapid.IntRange(0, 8).Draw(r, "tokens") {
		all = append(all, Entry{
			Token:   gate.Token{byte(n + 1)},
			State:   rapid.SampledFrom([]Stage{Reserved, Sending, Held, Sold, Sold, Cancelled}).Draw(r, "stage"),
			Account: rapid.SampledFrom([]string{"c:a", "h:a", "c:b", "a", "c:c:a", "v:z", ""}).Draw(r, "account"),
			Units:   rapid.IntRange(0, 2).Draw(r, "units"), Over: rapid.IntRange(0, 1).Draw(r, "over"),
			Ref:     rapid.SampledFrom([]string{"", "A", "B"}).Draw(r, "ref"),
			Changed: at.Add(time.Duration(rapid.IntRange(0, 12).Draw(r, "minute")) * time.Minute),
		})
	}
	return all
}

func drawOrders(r *rapid.T, at time.Time) Orders {
	o := Orders{Key: rapid.SampledFrom([]OrderKey{ByToken, ByRef, ByAccount}).Draw(r, "key")}
	for n := range rapid.IntRange(0, 8).Draw(r, "orders") {
		order := Order{Line: n + 2, Units: rapid.IntRange(0, 2).Draw(r, "units"), Ref: rapid.SampledFrom([]string{"", "A", "B", "C"}).Draw(r, "ref")}
		switch o.Key {
		case ByToken:
			order.Token = gate.Token{byte(rapid.IntRange(0, 10).Draw(r, "token"))}
		case ByAccount:
			order.Account = rapid.SampledFrom([]string{"a", "b", "c:a", "z"}).Draw(r, "account")
			order.At = at.Add(time.Duration(rapid.IntRange(0, 12).Draw(r, "minute")) * time.Minute)
		}
		o.List = append(o.List, order)
	}
	return o
}

func TestCompareAgreesWithTheNaiveComparison(t *testing.T) {
	at := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	rapid.Check(t, func(r *rapid.T) {
		entries, o := drawEntries(r, at), drawOrders(r, at)
		c := compare(entries, o, 4*time.Minute)
		if got, want := c.lines(), naive(entries, o, 4*time.Minute); !slices.Equal(got, want) {
			r.Fatalf("differences are\n%q, want\n%q", got, want)
		}
	})
}

// TestAPlanFreesNothingThatAnOrderMayBelongTo: whatever the list, a held token is sold
// only with an order of its own, and free only if no line can be its order.
func TestAPlanFreesNothingThatAnOrderMayBelongTo(t *testing.T) {
	at := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	rapid.Check(t, func(r *rapid.T) {
		entries, o := drawEntries(r, at), drawOrders(r, at)
		for i := range entries { // mostly held ones, or hardly any plan frees anything
			if rapid.IntRange(0, 2).Draw(r, "held") > 0 {
				entries[i].State = Held
			}
		}
		now, age := at.Add(time.Hour), 50*time.Minute
		p := planOf(entries, o, compare(entries, o, 4*time.Minute).pairs, age, now)
		sell := make(map[gate.Token]bool)
		for _, s := range p.Sell {
			if s.Entry.State != Held || sell[s.Entry.Token] {
				r.Fatalf("sells %+v, which is not held or is sold twice", s)
			}
			sell[s.Entry.Token] = true
		}
		for _, e := range p.Free {
			if e.State != Held || sell[e.Token] || now.Sub(e.Changed) < age || p.NoFree != "" || o.Key == ByRef {
				r.Fatalf("frees %+v by %d, no_free %q", e, o.Key, p.NoFree)
			}
			for _, order := range o.List {
				if o.Key == ByToken && (order.Token == e.Token || order.Token == gate.Token{}) || o.Key == ByAccount && (sameAccount(order.Account, e.Account) || e.Account == "v:z") {
					r.Fatalf("frees %+v, whose order may be %+v", e, order)
				}
			}
		}
	})
}
