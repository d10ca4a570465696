package stock

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
)

const (
	oneHex = "01000000000000000000000000000000"
	twoHex = "02000000-0000-0000-0000-000000000000"
)

func TestReadOrders(t *testing.T) {
	eight := time.Date(2026, 11, 27, 20, 0, 3, 0, time.UTC)
	one, two := gate.Token{1}, gate.Token{2}
	for name, c := range map[string]struct {
		text string
		want Orders
	}{
		"tokens without a name": {oneHex + "\n" + twoHex + "\n", Orders{ByToken, []Order{{Line: 1, Token: one, Text: oneHex}, {Line: 2, Token: two, Text: twoHex}}}},
		"tokens and more": {"\ufeffID,Token , QTY,order\r\n7," + oneHex + ",2,A-1\r\n8,what?,,\r\n", Orders{ByToken, []Order{
			{Line: 2, Token: one, Text: oneHex, Units: 2, Ref: "A-1"}, {Line: 3, Text: "what?"}}}},
		"references":           {"order_ref;account\nA-1;ann\n\n;bob\n", Orders{ByRef, []Order{{Line: 2, Ref: "A-1", Account: "ann"}, {Line: 4, Account: "bob"}}}},
		"a token before a ref": {"ref,token\nA-1," + oneHex + "\n", Orders{ByToken, []Order{{Line: 2, Token: one, Text: oneHex, Ref: "A-1"}}}},
		"accounts and times": {"time,account,quantity\n2026-11-27T21:00:03+01:00,ann,1\n2026-11-27 20:00:03Z,\"b,b\",\n" +
			"1795809603,c,\n1795809603000,d,\n", Orders{ByAccount, []Order{
			{Line: 2, Account: "ann", At: eight, Units: 1}, {Line: 3, Account: "b,b", At: eight}, {Line: 4, Account: "c", At: eight}, {Line: 5, Account: "d", At: eight}}}},
		"no orders":  {"token\n", Orders{Key: ByToken}},
		"short rows": {"token,ref,qty\n" + oneHex + "\n", Orders{ByToken, []Order{{Line: 2, Token: one, Text: oneHex}}}},
	} {
		got, err := ReadOrders([]byte(c.text))
		same := func(a, b Order) bool {
			at := a.At.Equal(b.At)
			a.At, b.At = time.Time{}, time.Time{}
			return at && a == b
		}
		if err != nil || got.Key != c.want.Key || !slices.EqualFunc(got.List, c.want.List, same) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestReadOrdersSaysWhatItCannotRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "empty",
		"id,name\n1,x\n":                "no column that names an order",
		"account\nann\n":                "no column that names an order",
		"token,reservation\n":           "two columns say the same",
		"token,qty\n" + oneHex + ",0\n": "line 2: \"0\" is not a quantity",
		"token,qty\n" + oneHex + ",x\n": "not a quantity",
		"account,time\nann,2026-11-27 20:00:03\n":  "line 2: \"2026-11-27 20:00:03\" is not a time with its offset",
		"account,time\nann,12\n":                   "not a time in Unix",
		"account,time\nann,\n":                     "not a time",
		"account,time\n,2026-11-27T20:00:03Z\n":    "the account is missing",
		"token\n\"" + oneHex + "\n":                "read orders",
		"account,time\nx,2026-11-27T20:00:03Z\n\"": "read orders",
	} {
		if o, err := ReadOrders([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want an error with %q", text, o, err, want)
		}
	}
}

// FuzzReadOrders: what is read can be compared, and no line is made up.
func FuzzReadOrders(f *testing.F) {
	for _, s := range []string{
		oneHex, "token\n" + twoHex, "ref;qty\nA;3", "account,time\nann,1795809603\nc:ann,2026-11-27T20:00:03+08:00", "\ufeffTOKEN,ref\n,\n\"\n\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ReadOrders(text)
		if err != nil {
			return
		}
		if o.Key < ByToken || o.Key > ByAccount || len(o.List) > bytes.Count(text, []byte("\n"))+1 {
			t.Fatalf("%d orders by %d from %q", len(o.List), o.Key, text)
		}
		line := 0
		for _, order := range o.List {
			if order.Line <= line || order.Units < 0 || order.Token != (gate.Token{}) && o.Key != ByToken || order.At.IsZero() == (o.Key == ByAccount) {
				t.Fatalf("%+v by %d from %q", order, o.Key, text)
			}
			line = order.Line
		}
		entries := []Entry{{Token: gate.Token{1}, State: Sold, Account: "c:ann", Ref: "A", Units: 1, Changed: time.Unix(1795809603, 0)}}
		c := compare(entries, o, NearBy)
		if len(c.pairs) > 1 || len(c.pairs) > len(o.List) {
			t.Fatalf("%d pairs with one token", len(c.pairs))
		}
	})
}
