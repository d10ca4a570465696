package embedded

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/limiter/stock"
	"penstock/proxy/gate"
	"penstock/rules"
)

func testBook(units int, t stock.Terms) *book {
	b := newBook("sale", 1, t)
	i := b.item("red")
	i.Loaded, i.Free = units, units
	return b
}

func TestRecordReadsBack(t *testing.T) {
	for _, e := range []entry{
		{state: stock.Reserved, item: &item{name: "red"}, holder: &holder{account: "c:alice"}, units: 2, due: 1764273600000, changed: 1764273500000},
		{state: stock.Sold, item: &item{}, holder: &holder{account: "\xff \n"}, units: 1, over: 3, itself: true},
		{state: stock.Held, item: &item{name: " 3 \x00"}, holder: &holder{account: "a b"}, units: 9999, more: &more{by: gate.Token{1, 15: 2}, ref: "A-1"}},
		{state: stock.Sold, over: 1},
		{state: stock.Cancelled, changed: 7},
		{state: stock.Adjusted, changed: 8},
	} {
		var got entry
		record := e.record()
		item, account, ref, err := got.read(record)
		same := got.state == e.state && got.units == e.units && got.over == e.over && got.due == e.due && got.changed == e.changed && got.sentBy() == e.sentBy()
		if err != nil || !same || ref != e.ref() || e.holder != nil && (string(item) != e.item.name || string(account) != e.holder.account) {
			t.Errorf("record %q reads back as %+v, %q, %q, %q, %v, want %+v", record, got, item, account, ref, err, e)
		}
		whole, whose := e.record(), e.holder
		for n := range whole {
			if _, account, _, err := new(entry).read(whole[:n]); err == nil && whose == nil {
				t.Errorf("the first %d bytes of %q were read, of %q", n, whole, account)
			}
		}
	}
}

// TestForgettingKeepsUp: more tokens are cancelled in a second than one Sweep may move.
func TestForgettingKeepsUp(t *testing.T) {
	const cancels = 1000
	b := testBook(1, stock.Terms{})
	for n := range cancels {
		b.settle(&stock.Settlement{Token: gate.Token{byte(n), byte(n >> 8)}, Outcome: rules.OutcomeFree}, 0)
	}
	b.sweep("gateway", stock.Remembered.Milliseconds()-1)
	if n := len(b.tokens); n != cancels {
		t.Fatalf("%d cancelled tokens are known while they must be, want %d", n, cancels)
	}
	b.sweep("gateway", stock.Remembered.Milliseconds())
	if n := len(b.tokens) + len(b.late); n != 0 {
		t.Errorf("%d cancelled tokens are left after a Sweep, want none", n)
	}
}

// TestNothingPilesUp: whatever is sold or given back leaves nothing but its token, and in
// the end not even that.
func TestNothingPilesUp(t *testing.T) {
	b := testBook(10, stock.Terms{PerAccount: 1, ReserveFor: time.Hour})
	const buyers = 20_000
	for n := range buyers {
		a := stock.Ask{Account: fmt.Sprint(n), Item: "red", Units: 1, Token: gate.Token{byte(n), byte(n >> 8), byte(n >> 16)}}
		if d, _, err := b.decide(&a, 1); d.Reason != gate.Admitted || err != nil {
			t.Fatalf("buyer %d: %+v, %v", n, d, err)
		}
		b.settle(&stock.Settlement{Token: a.Token, Outcome: rules.OutcomeFree}, 1)
	}
	if n := len(b.due); n > 4*stock.SweepLimit {
		t.Errorf("%d deadlines wait for tokens that were given back, want few", n)
	}
	for range buyers/stock.ForgetLimit + 1 {
		b.sweep("gateway", 1+stock.Remembered.Milliseconds())
	}
	if n := len(b.tokens) + len(b.holders) + len(b.journal.parts) + len(b.leavers) + len(b.late); n != 0 {
		t.Errorf("%d tokens, accounts and the like are left, want none", n)
	}
}

// TestJournal holds the list of lists against a plain map.
func TestJournal(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var j journal
		seq, all := uint64(0), make(map[int]*holder)
		few := rapid.IntRange(1, 3000).Draw(r, "accounts")
		for range rapid.IntRange(0, 4*few).Draw(r, "first changes") { // at random, but not drawn: fast
			n := int(seq*2654435761) % few
			change(&j, all, n, &seq)
		}
		r.Repeat(map[string]func(*rapid.T){
			"change": func(r *rapid.T) { change(&j, all, rapid.IntRange(0, few).Draw(r, "account"), &seq) },
			"forget": func(r *rapid.T) {
				n := rapid.IntRange(0, few).Draw(r, "account")
				if h := all[n]; h != nil {
					j.remove(h)
					delete(all, n)
				}
			},
			"": func(r *rapid.T) { agree(r, &j, all, uint64(rapid.IntRange(0, int(seq)+1).Draw(r, "since"))) },
		})
	})
}

func change(j *journal, all map[int]*holder, n int, seq *uint64) {
	h := all[n]
	if h == nil {
		h = &holder{}
		all[n] = h
	}
	j.remove(h)
	*seq++
	h.seq = *seq
	j.add(h)
}

func agree(r *rapid.T, j *journal, all map[int]*holder, since uint64) {
	want := slices.SortedFunc(maps.Values(all), func(a, b *holder) int { return cmp.Compare(a.seq, b.seq) })
	want = slices.DeleteFunc(want, func(h *holder) bool { return h.seq <= since })
	if got := slices.Collect(j.after(since)); !slices.Equal(got, want) {
		r.Fatalf("after %d there are %d, want %d", since, len(got), len(want))
	}
	for n := 1; n < len(j.parts); n++ {
		if len(j.parts[n-1])+len(j.parts[n]) < journalPart/2 && n < len(j.parts)-1 {
			r.Fatalf("parts %d and %d have %d and %d: they should be one", n-1, n, len(j.parts[n-1]), len(j.parts[n]))
		}
	}
}

// TestPagesAddUp: pages of Look, with changes between them, tell of every account.
func TestPagesAddUp(t *testing.T) {
	b := testBook(10_000, stock.Terms{PerAccount: 2, ReserveFor: time.Hour})
	buy := func(account, n int) {
		a := stock.Ask{Account: fmt.Sprint(account), Item: "red", Units: 1, Token: gate.Token{byte(n), byte(n >> 8), byte(n >> 16)}}
		b.decide(&a, 1)
		b.settle(&stock.Settlement{Token: a.Token, Outcome: rules.OutcomeSold}, 1)
	}
	for n := range 3500 {
		buy(n, n)
	}
	heard, since := make(map[string]stock.Holding), uint64(0)
	for round := 0; ; round++ {
		page, upto := b.page(since)
		if len(page) > stock.LookLimit {
			t.Fatalf("a page has %d accounts", len(page))
		}
		maps.Copy(heard, page)
		if since = upto; since == b.Seq {
			break
		}
		buy(round, 10_000+round) // of somebody that was told of already
	}
	for n := range 3500 {
		if h := b.holders[fmt.Sprint(n)]; heard[h.account] != h.holding() {
			t.Fatalf("of %s was told %+v, want %+v", h.account, heard[h.account], h.holding())
		}
	}
}

// TestFreeze: it ends once all have told, and no sooner.
func TestFreeze(t *testing.T) {
	b := testBook(2, stock.Terms{PerAccount: 2, ReserveFor: time.Hour, SendingFor: time.Hour})
	b.sweep("long gone", 0)
	now := stock.AliveFor.Milliseconds() + 1
	b.sweep("one", now)
	b.sweep("two", now)
	freeze, _ := b.freezeNow(now)
	lost := []stock.Entry{
		{Token: gate.Token{1}, State: stock.Sold, Account: "alice", Item: "red", Units: 2, Ref: "A-1"},
		{Token: gate.Token{2}, State: stock.Sending, By: gate.Token{2}, Account: "bob", Item: "red", Units: 1},
		{Token: gate.Token{3}, State: stock.Cancelled},
	}
	say := func(gateway string, last, want bool) {
		t.Helper()
		a := stock.Assertion{Gateway: gateway, Freeze: freeze, Entries: lost, Last: last}
		if thawed, _ := b.reassert(&a, now); thawed != want {
			t.Fatalf("%s has told (all: %v), thawed: %v, want %v", gateway, last, thawed, want)
		}
	}
	say("one", true, false)
	now += stock.ThawAfter.Milliseconds()
	say("two", false, false)
	if c := b.items["red"].Counts; c != (stock.Counts{Loaded: 2, Free: -1, Sending: 1, Sold: 2}) {
		t.Fatalf("counts are %+v, want one unit less than none", c)
	}
	if _, _, err := b.start(&stock.Launch{Token: gate.Token{2}, By: gate.Token{2}}, now); err != nil {
		t.Fatalf("the repeat of a Start: %v", err)
	}
	b.sweep("three", now)
	say("two", true, false)
	say("three", true, true)
	if b.freeze != 0 || b.refs["A-1"] == nil || b.holders["alice"].bought != 2 {
		t.Fatalf("after: freeze %d, ref %v, alice %+v", b.freeze, b.refs["A-1"], b.holders["alice"])
	}
	say("one", true, true) // late, and about a freeze that is over
}

// TestTwoOpenTokens: gateways may assert more than an account can have. None is lost.
func TestTwoOpenTokens(t *testing.T) {
	b := testBook(9, stock.Terms{PerAccount: 9, ReserveFor: time.Hour})
	freeze, _ := b.freezeNow(0)
	a := stock.Assertion{Gateway: "one", Freeze: freeze, Last: true}
	for n := range 3 {
		a.Entries = append(a.Entries, stock.Entry{Token: gate.Token{byte(n)}, State: stock.Reserved, Account: "alice", Item: "red", Units: 1})
	}
	if thawed, _ := b.reassert(&a, stock.ThawAfter.Milliseconds()); !thawed {
		t.Fatal("still frozen")
	}
	for _, n := range []int{1, 0, 2} {
		if !b.holders["alice"].holding().Open {
			t.Fatalf("before token %d ends alice has none", n)
		}
		b.settle(&stock.Settlement{Token: gate.Token{byte(n)}, Outcome: rules.OutcomeFree}, 1)
	}
	if b.holders["alice"].holding().Open || b.open != 0 || len(b.beside) != 0 || b.items["red"].Free != 9 {
		t.Fatalf("after: %+v, %d open, %+v", b.holders["alice"], b.open, b.items["red"].Counts)
	}
}
