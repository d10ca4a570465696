package stock_test

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/limiter/stock"
)

func TestAuditOfALedgerThatAddsUp(t *testing.T) {
	_, d := newDesk(t, oneUnit(1, stock.Sold, "c:a", "A-1"), oneUnit(2, stock.Held, "c:b", ""), oneUnit(3, stock.Reserved, "c:c", ""),
		oneUnit(4, stock.Sending, "c:d", ""), oneUnit(5, stock.Cancelled, "c:e", ""))
	r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone"})
	if err != nil || len(r.Faults) != 0 || r.Moving || r.Tokens != 4 {
		t.Errorf("Audit = %+v, %v, want 4 tokens and no fault", r, err)
	}
}

func TestAuditFindsWhatDoesNotAddUp(t *testing.T) {
	two := oneUnit(2, stock.Sold, "c:b", "A-1")
	two.Units = 2
	for want, tokens := range map[string][]stock.Entry{
		`account "c:a" has 2 open tokens`:            {oneUnit(1, stock.Held, "c:a", ""), oneUnit(2, stock.Reserved, "c:a", "")},
		`account "c:b" has 2 units, its limit is 1`:  {two},
		`reference "A-1" stands for 2 tokens`:        {oneUnit(1, stock.Sold, "c:a", "A-1"), two},
		`item "": 1 units are promised`:              {{Token: tokenNo(1), State: stock.Sold, Units: 11, Changed: eight}},
		`is of item "red", which the ledger does no`: {{Token: tokenNo(1), State: stock.Sold, Item: "red", Units: 1, Changed: eight}},
	} {
		_, d := newDesk(t, tokens...)
		r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone"})
		if err != nil || !slices.ContainsFunc(r.Faults, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("Audit: faults %q, %v, want one with %q", r.Faults, err, want)
		}
	}
}

// bent tells other counts than its tokens have.
type bent struct {
	stock.Store
	bend func(*stock.Picture)
}

func (b bent) Pulse(ctx context.Context, ledgers ...string) ([]stock.Picture, error) {
	p, err := b.Store.Pulse(ctx, ledgers...)
	for i := range p {
		b.bend(&p[i])
	}
	return p, err
}

func TestAuditCountsTokensAgain(t *testing.T) {
	for want, bend := range map[string]func(*stock.Counts){
		`the counts add up to 9, loaded were 10`:              func(c *stock.Counts) { c.Free-- },
		`1 held, 0 sold, its tokens 0 reserved, 0 sending, 0`: func(c *stock.Counts) { c.Held, c.Sold = 1, 0 },
	} {
		s, _ := newDesk(t, oneUnit(1, stock.Sold, "c:a", ""))
		d := stock.NewDesk(bent{s, func(p *stock.Picture) {
			c := p.Items[""]
			bend(&c)
			p.Items[""] = c
		}})
		r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone"})
		if err != nil || !strings.Contains(strings.Join(r.Faults, "\n"), want) {
			t.Errorf("Audit: faults %q, %v, want one with %q", r.Faults, err, want)
		}
	}
	s, _ := newDesk(t)
	d := stock.NewDesk(bent{s, func(p *stock.Picture) { p.Oversold = 3 }})
	if r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone"}); err != nil || len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "3 units are oversold, its tokens 0") {
		t.Errorf("Audit: faults %q, %v, want one about units that are oversold", r.Faults, err)
	}
}

// TestAuditOfALedgerThatMoves: two tokens of one account are seen open, one after the
// other. That is no fault, and the report says that it proves nothing.
func TestAuditOfALedgerThatMoves(t *testing.T) {
	for _, c := range []struct {
		moves  int
		moving bool
	}{{1, false}, {1000, true}} {
		s, d := newDesk(t, oneUnit(1, stock.Held, "c:a", ""))
		left, n := c.moves, byte(1)
		s.paged = func() {
			if left--; left >= 0 {
				s.put("phone", oneUnit(n, stock.Cancelled, "c:a", ""))
				n = n%100 + 1
				s.put("phone", oneUnit(n, stock.Held, "c:a", ""))
			}
		}
		r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone"})
		if err != nil || r.Moving != c.moving || len(r.Faults) != 0 {
			t.Errorf("after %d moves: %+v, %v, want moving %v and no fault", c.moves, r, err, c.moving)
		}
	}
}

func TestAuditComparesWithTheShop(t *testing.T) {
	_, d := newDesk(t, oneUnit(1, stock.Sold, "c:a", "A-1"), oneUnit(2, stock.Sold, "c:b", "A-2"), oneUnit(3, stock.Held, "c:c", ""),
		oneUnit(4, stock.Cancelled, "c:d", ""), oneUnit(5, stock.Sold, "c:e", "A-5"))
	list := "token,ref,qty\n" + hexNo(1) + ",A-1,1\n" + hexNo(1) + ",A-9,1\n" + hexNo(3) + ",A-3,1\n" + hexNo(4) + ",A-4,1\n" +
		hexNo(77) + ",A-7,1\n,A-8,1\n" + hexNo(5) + ",A-6,2\n"
	o, err := stock.ReadOrders([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone", Orders: &o})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range r.Differences {
		got = append(got, strings.TrimSpace(string(rune('0'+x.Order.Line))+" "+x.String()))
	}
	want := []string{
		"3 in the list once more for the same token or reference",
		"4 in the list, and not sold here: held",
		"5 in the list, and not sold here: free again",
		"6 in the list, and not sold here: unknown here",
		"7 in the list, and not sold here: unknown here",
		"8 the list says 2 units, here it is 1",
		`8 the list calls it "A-6", here it is "A-5"`,
		"0 sold here, and not in the list",
	}
	if !slices.Equal(got, want) || r.Matched != 4 {
		t.Errorf("%d matched, differences are\n%s\nwant\n%s", r.Matched, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestBulkSettlement: held tokens in the list are sold, old ones that are not are free,
// and one that was settled since stays as it is.
func TestBulkSettlement(t *testing.T) {
	young := oneUnit(4, stock.Held, "c:d", "")
	young.Changed = eight.Add(50 * time.Minute)
	s, d := newDesk(t, oneUnit(1, stock.Held, "c:a", ""), oneUnit(2, stock.Held, "c:b", ""), oneUnit(3, stock.Held, "c:c", ""),
		young, oneUnit(5, stock.Sold, "c:e", ""), oneUnit(6, stock.Held, "c:f", ""), oneUnit(7, stock.Reserved, "c:g", ""))
	o, err := stock.ReadOrders([]byte("token,ref\n" + hexNo(1) + ",A-1\n" + hexNo(5) + ",\n" + hexNo(6) + ",A-6\n"))
	if err != nil {
		t.Fatal(err)
	}
	q := stock.Inquiry{Ledger: "phone", Orders: &o, Now: eight.Add(time.Hour)}
	r, err := d.Audit(t.Context(), q)
	if err != nil || len(r.Plan.Sell) != 2 || len(r.Plan.Free) != 0 {
		t.Fatalf("plan %+v, %v, want two to sell and none to free", r.Plan, err)
	}
	q.FreeMissing = 30 * time.Minute
	if r, err = d.Audit(t.Context(), q); err != nil || len(r.Plan.Sell) != 2 || len(r.Plan.Free) != 2 {
		t.Fatalf("plan %+v, %v, want two to sell and two to free", r.Plan, err)
	}
	if got := freeUnits(t, d); got != 3 {
		t.Fatalf("%d units are free after an audit, want it to have changed nothing", got)
	}
	s.put("phone", oneUnit(3, stock.Sold, "c:c", "late"))  // its answer came after all
	s.put("phone", oneUnit(6, stock.Cancelled, "c:f", "")) // somebody has released it
	said := map[byte]string{}
	d.Apply(t.Context(), "phone", r.Plan, func(x stock.Settled) {
		said[x.Entry.Token[0]] = x.Outcome.String()
		if x.Err != nil {
			said[x.Entry.Token[0]] += " failed"
		}
	})
	want := map[byte]string{1: "sold", 2: "free", 3: "free failed", 6: "sold failed"}
	for n, w := range want {
		if said[n] != w || len(said) != len(want) {
			t.Errorf("told %v, want %v", said, want)
		}
	}
	for n, w := range map[byte]stock.Stage{1: stock.Sold, 2: stock.Cancelled, 3: stock.Sold, 4: stock.Held, 6: stock.Cancelled, 7: stock.Reserved} {
		if e := s.ledgers["phone"].tokens[tokenNo(n)]; e.State != w || n == 1 && e.Ref != "A-1" {
			t.Errorf("token %d is %+v, want %v", n, e, w)
		}
	}
}

func TestNoFreeingByAListThatCannotTell(t *testing.T) {
	_, d := newDesk(t, oneUnit(1, stock.Held, "c:a", ""), oneUnit(2, stock.Sold, "c:b", "A-2"))
	for list, want := range map[string]string{
		"ref\nA-2\n":                   "held tokens have no reference yet",
		"token\n" + hexNo(77) + "\n":   "no line of the list has a token here",
		"token\n":                      "no line of the list has a token here",
		"token\n" + hexNo(2) + "\n?\n": "some lines of the list have no token",
	} {
		o, err := stock.ReadOrders([]byte(list))
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone", Orders: &o, FreeMissing: time.Minute, Now: eight.Add(time.Hour)})
		if err != nil || len(r.Plan.Free) != 0 || !strings.Contains(r.Plan.NoFree, want) {
			t.Errorf("%q: plan %+v, %v, want none freed: %s", list, r.Plan, err, want)
		}
	}
}

// TestFreeingByAccountsAndTimes: a held token stays where an order of its account may be
// its own at another time, and where the shop cannot know the account.
func TestFreeingByAccountsAndTimes(t *testing.T) {
	_, d := newDesk(t, oneUnit(1, stock.Sold, "c:a", ""), oneUnit(2, stock.Held, "c:b", ""), oneUnit(3, stock.Held, "v:c", ""), oneUnit(4, stock.Held, "c:d", ""))
	o, err := stock.ReadOrders([]byte("account,time\na,2026-11-27T20:01:00Z\nb,2026-11-27T23:00:00Z\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone", Orders: &o, FreeMissing: time.Minute, Now: eight.Add(time.Hour)})
	if err != nil || len(r.Plan.Sell) != 0 || len(r.Plan.Free) != 1 || r.Plan.Free[0].Token != tokenNo(4) {
		t.Errorf("plan %+v, %v, want token 4 freed alone", r.Plan, err)
	}
}

func hexNo(n byte) string {
	t := tokenNo(n)
	return hex.EncodeToString(t[:])
}
