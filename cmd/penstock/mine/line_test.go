package mine

import (
	"net/netip"
	"reflect"
	"testing"

	"penstock/proxy/gate"
)

// FuzzLine: what is read by hand is what encoding/json reads.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		`{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"sold_out","o":152,"would":"challenge","won":true}`,
		`{"t":1,"sale":"a","step":"look","reason":"admitted","o":-5}` + "\r", `{"t":01,"sale":"a"}`, `{"t":-0,"sale":"a\u0041"}`,
		`{"t":1,"sale":"a","sale":"b","step":"buy"}`, `{"t":1,"o":}`, `{"t":1,"won":true,"sale":"x"}`, `{"t":1}}`, `{"t":1e3}`, `{"t":1,"won":true,"won":false}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var quick, json raw
		if !fast(b, &quick) {
			return
		}
		if !slow(b, &json) {
			t.Fatalf("%q is no JSON", b)
		}
		for _, p := range []*[]byte{&quick.sale, &quick.acct, &quick.ip, &quick.step, &quick.reason, &quick.would} {
			*p = append([]byte{}, *p...)
		}
		if !reflect.DeepEqual(quick, json) {
			t.Fatalf("%q: by hand %+v, by encoding/json %+v", b, quick, json)
		}
	})
}

// FuzzSite: what is read by hand is what net/netip reads.
func FuzzSite(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "01.2.3.4", "1.2.3", "256.1.1.1", "2001:db8:1:2:3::4", "::ffff:1.2.3.4", "fe80::1%eth0", "0.0.0.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := readSite([]byte(s))
		a, err := netip.ParseAddr(s)
		if s == "" {
			return
		}
		if ok != (err == nil) {
			t.Fatalf("%q: %v, %v", s, ok, err)
		}
		if !ok {
			return
		}
		facts := gate.Facts{IP: a.Unmap().WithZone("")}
		if got.addr() != facts.Subject() {
			t.Fatalf("%q: %v, want %v", s, got, facts.Subject())
		}
	})
}

// FuzzRecord: a record says what its line said.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"2001:db8::7","step":"order","reason":"sold_out","o":-152,"would":"challenge","won":true}`), uint16(7))
	w := newWords()
	f.Fuzz(func(t *testing.T, b []byte, sale uint16) {
		var e entry
		if !w.read(b, &e) {
			return
		}
		got, n := readRecord(appendRecord(nil, &e, sale))
		if !e.timed {
			e.off = 0
		}
		got.sale = e.sale
		if string(got.acct) != string(e.acct) {
			t.Fatalf("account %q, want %q", got.acct, e.acct)
		}
		got.acct = e.acct
		if n != sale || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v of %d, want %+v of %d", got, n, e, sale)
		}
	})
}
