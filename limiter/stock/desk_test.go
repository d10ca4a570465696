package stock_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/rules"
)

var deskTerms = stock.Terms{PerAccount: 1, ReserveFor: time.Minute, SendingFor: time.Minute}

// newDesk has a ledger "phone" of ten units with these tokens.
func newDesk(t *testing.T, tokens ...stock.Entry) (*shelf, *stock.Desk) {
	t.Helper()
	s := newShelf()
	if _, _, err := s.Load(t.Context(), stock.Loading{Ledger: "phone", Items: map[string]int{"": 10}, Terms: deskTerms}); err != nil {
		t.Fatal(err)
	}
	for _, e := range tokens {
		s.put("phone", e)
	}
	return s, stock.NewDesk(s)
}

// freeUnits are the free units of the ledger's only item.
func freeUnits(t *testing.T, d *stock.Desk) int {
	t.Helper()
	p, err := d.Show(t.Context(), "phone")
	if err != nil {
		t.Fatal(err)
	}
	return p[0].Items[""].Free
}

func TestDeskFindsTokensByWhateverIsKnown(t *testing.T) {
	_, d := newDesk(t,
		oneUnit(1, stock.Reserved, "c:ann", ""), oneUnit(2, stock.Sending, "c:bob", ""), oneUnit(3, stock.Held, "c:cem", ""),
		oneUnit(4, stock.Sold, "c:dan", "A-4"), oneUnit(5, stock.Sold, "h:ann", "A-5"), oneUnit(6, stock.Sold, "c:eve", "A-6"),
		oneUnit(7, stock.Sold, "c:fay", "A-7"), oneUnit(8, stock.Held, "ann", ""), oneUnit(9, stock.Cancelled, "c:gil", ""))
	for _, c := range []struct {
		search stock.Search
		want   []byte
	}{
		{stock.Search{}, []byte{1, 2, 3, 8}},
		{stock.Search{All: true}, []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{stock.Search{Stage: stock.Held}, []byte{3, 8}},
		{stock.Search{Account: "ann"}, []byte{1, 5, 8}},
		{stock.Search{Account: "h:ann"}, []byte{5}},
		{stock.Search{Account: "ann", Stage: stock.Sold}, []byte{5}},
		{stock.Search{Account: "nn"}, nil},
		{stock.Search{Ref: "A-6"}, []byte{6}},
		{stock.Search{Token: tokenNo(9)}, []byte{9}},
		{stock.Search{Token: tokenNo(10)}, nil},
	} {
		var got []byte
		for more := true; more; more = c.search.Cursor != "" {
			c.search.Ledger = "phone"
			found, next, err := d.Find(t.Context(), c.search)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				got = append(got, e.Token[0])
			}
			c.search.Cursor = next
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("Find(%+v) = tokens %v, want %v", c.search, got, c.want)
		}
	}
}

func TestDeskFindsAcrossPagesInOneCall(t *testing.T) {
	s, d := newDesk(t)
	for n := byte(1); n <= 20; n++ {
		s.put("phone", oneUnit(n, stock.Sold, "c:"+string('a'+rune(n)), ""))
	}
	found, _, err := d.Find(t.Context(), stock.Search{Ledger: "phone", Account: "u"})
	if err != nil || len(found) != 1 || found[0].Token != tokenNo(20) {
		t.Errorf("Find = %+v, %v, want the last token at once", found, err)
	}
}

func TestDeskCommitsAndReleases(t *testing.T) {
	_, d := newDesk(t, oneUnit(1, stock.Held, "c:ann", ""), oneUnit(2, stock.Held, "c:bob", ""), oneUnit(3, stock.Sending, "c:cem", ""))
	ctx := t.Context()

	if e, err := d.Commit(ctx, "phone", tokenNo(1), "A-1"); err != nil || e.State != stock.Sold || e.Ref != "A-1" {
		t.Errorf("Commit = %+v, %v, want it sold as A-1", e, err)
	}
	if e, err := d.Release(ctx, "phone", tokenNo(2)); err != nil || e.State != stock.Cancelled {
		t.Errorf("Release = %+v, %v, want it given back", e, err)
	}
	if _, err := d.Release(ctx, "phone", tokenNo(1)); !errors.Is(err, stock.ErrSold) || !strings.Contains(err.Error(), "add its 1 units") {
		t.Errorf("Release of a sold one: %v, want ErrSold and what to do", err)
	}
	if _, err := d.Release(ctx, "phone", tokenNo(3)); !errors.Is(err, stock.ErrSending) {
		t.Errorf("Release of one that is being sent: %v, want ErrSending", err)
	}
	for _, unseen := range [][16]byte{tokenNo(77), {}} {
		if _, err := d.Release(ctx, "phone", unseen); !errors.Is(err, stock.ErrNoToken) {
			t.Errorf("Release(%x): %v, want ErrNoToken", unseen, err)
		}
		if _, err := d.Commit(ctx, "phone", unseen, ""); !errors.Is(err, stock.ErrNoToken) {
			t.Errorf("Commit(%x): %v, want ErrNoToken", unseen, err)
		}
	}
	if got := freeUnits(t, d); got != 8 {
		t.Errorf("%d units are free, want 8", got)
	}
}

func TestDeskTellsThatALateOrderIsOversold(t *testing.T) {
	gone := oneUnit(1, stock.Cancelled, "c:ann", "")
	all := oneUnit(2, stock.Sold, "c:bob", "")
	all.Units = 10
	_, d := newDesk(t, gone, all)
	e, err := d.Commit(t.Context(), "phone", tokenNo(1), "A-1")
	if !errors.Is(err, stock.ErrOversold) || e.State != stock.Sold || e.Over != 1 {
		t.Errorf("Commit = %+v, %v, want it sold, and ErrOversold", e, err)
	}
}

func TestDeskAddsAndWithdrawsOnceForATokenAtATime(t *testing.T) {
	_, d := newDesk(t)
	ctx := t.Context()
	for range 2 {
		if c, err := d.Add(ctx, "phone", tokenNo(1), "", 5); err != nil || c.Free != 15 {
			t.Fatalf("Add = %+v, %v, want 15 free", c, err)
		}
	}
	for range 2 {
		if c, err := d.Withdraw(ctx, "phone", tokenNo(2), "", 12); err != nil || c.Free != 3 || c.Withdrawn != 12 {
			t.Fatalf("Withdraw = %+v, %v, want 3 free", c, err)
		}
	}
	if _, err := d.Withdraw(ctx, "phone", tokenNo(3), "", 4); !errors.Is(err, stock.ErrTooFew) {
		t.Errorf("Withdraw of more than is free: %v, want ErrTooFew", err)
	}
	for _, units := range []int{0, -1} {
		if _, err := d.Add(ctx, "phone", tokenNo(4), "", units); err == nil {
			t.Errorf("Add(%d) was done", units)
		}
	}
	if _, err := d.Add(ctx, "phone", [16]byte{}, "", 1); err == nil {
		t.Error("Add without a token was done")
	}
}

func TestDeskLoads(t *testing.T) {
	s, d := newDesk(t)
	ctx := t.Context()
	other := deskTerms
	other.PerAccount = 3
	l := stock.Loading{Ledger: "phone", Items: map[string]int{"": 99}, Terms: other}

	p, fresh, err := d.Load(ctx, l)
	if err != nil || fresh || p.Terms != other || p.Items[""].Loaded != 10 || s.ledgers["phone"].p.Terms != other {
		t.Errorf("Load of a known ledger = %+v, %v, %v, want its units and the new terms", p, fresh, err)
	}
	l.Ledger = "lost"
	if p, fresh, err = d.Load(ctx, l); err != nil || !fresh || p.Freeze == 0 {
		t.Errorf("Load of a lost ledger = %+v, %v, %v, want it frozen", p, fresh, err)
	}
	if err := d.Thaw(ctx, "lost"); err != nil || s.ledgers["lost"].p.Freeze != 0 {
		t.Errorf("Thaw: %v, want no freeze", err)
	}
	if err := d.Archive(ctx, "lost"); err != nil {
		t.Fatal(err)
	}
	if p, fresh, err = d.Load(ctx, l); err != nil || !fresh || p.Freeze != 0 {
		t.Errorf("Load of an archived ledger = %+v, %v, %v, want it fresh and not frozen", p, fresh, err)
	}
}

func TestDeskSetsTheState(t *testing.T) {
	s, d := newDesk(t)
	for _, to := range []stock.State{stock.Paused, stock.Closed, stock.Open} {
		if err := d.SetState(t.Context(), "phone", to); err != nil || s.ledgers["phone"].p.State != to {
			t.Errorf("SetState(%c): %v, state %c", to, err, s.ledgers["phone"].p.State)
		}
	}
}

func TestDeskSaysWhatTroubleIs(t *testing.T) {
	s, d := newDesk(t)
	if _, err := d.Audit(t.Context(), stock.Inquiry{Ledger: "cart"}); !errors.Is(err, stock.ErrNotLoaded) {
		t.Errorf("Audit of a ledger that is not there: %v, want ErrNotLoaded", err)
	}
	s.trouble = errors.New("no connection")
	_, show := d.Show(t.Context(), "phone")
	_, _, find := d.Find(t.Context(), stock.Search{Ledger: "phone"})
	_, commit := d.Commit(t.Context(), "phone", tokenNo(1), "")
	_, audit := d.Audit(t.Context(), stock.Inquiry{Ledger: "phone"})
	for what, err := range map[string]error{"Show": show, "Find": find, "Commit": commit, "Audit": audit} {
		if !errors.Is(err, s.trouble) {
			t.Errorf("%s: %v, want it to say: %v", what, err, s.trouble)
		}
	}
}

func TestTermsOfAFile(t *testing.T) {
	sale := &rules.Sale{Order: &rules.OrderStep{}, Stock: &rules.Stock{
		PerAccount: 2, ReserveFor: time.Minute, SendingFor: time.Hour, Unknown: rules.Release, UnknownAfter: 30 * time.Minute,
	}}
	want := stock.Terms{PerAccount: 2, ReserveFor: time.Minute, SendingFor: time.Hour, Unknown: rules.Release, UnknownAfter: 30 * time.Minute, Steps: true}
	if got := stock.TermsOf(sale); got != want {
		t.Errorf("TermsOf = %+v, want %+v", got, want)
	}
}

func TestTermsDifferInEveryField(t *testing.T) {
	base := stock.Terms{PerAccount: 1, ReserveFor: time.Minute, SendingFor: time.Minute, Unknown: rules.Resolve, UnknownAfter: time.Minute}
	if d := base.Differences(base); len(d) != 0 || len(base.Hash()) != 16 {
		t.Errorf("terms differ from themselves: %q, hash %q", d, base.Hash())
	}
	hashes := map[string]bool{base.Hash(): true}
	for word, change := range map[string]func(*stock.Terms){
		"per_account is 1, the file says 2":             func(t *stock.Terms) { t.PerAccount = 2 },
		"reserve_for is 1m0s, the file says 2m0s":       func(t *stock.Terms) { t.ReserveFor *= 2 },
		"held is 1m0s, the file says 2m0s":              func(t *stock.Terms) { t.SendingFor *= 2 },
		"resolve every 1m0s, the file says keep":        func(t *stock.Terms) { t.Unknown = rules.Keep },
		"resolve every 1m0s, the file says resolve eve": func(t *stock.Terms) { t.UnknownAfter *= 2 },
		"later request is false, the file says true":    func(t *stock.Terms) { t.Steps = true },
	} {
		file := base
		change(&file)
		d := base.Differences(file)
		if len(d) != 1 || !strings.Contains(d[0], word) || hashes[file.Hash()] {
			t.Errorf("differences are %q, hash %s, want one with %q and a new hash", d, file.Hash(), word)
		}
		hashes[file.Hash()] = true
	}
}
