package proxyproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// v2 writes a header of version 2 around addresses and extensions.
func v2(command, family byte, rest string) string {
	b := append([]byte(v2Name), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// summed fills in the checksum at the end of a header.
func summed(header string) string {
	sum := crc32.Checksum([]byte(header), crc32.MakeTable(crc32.Castagnoli))
	return header[:len(header)-4] + string(binary.BigEndian.AppendUint32(nil, sum))
}

const (
	four = "\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb" // 192.0.2.1:56324 to 192.0.2.2:443
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xdc\x04\x01\xbb"
)

func port(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var (
	said4 = Header{Source: port("192.0.2.1:56324"), Destination: port("192.0.2.2:443")}
	said6 = Header{Source: port("[2001:db8::1]:56324"), Destination: port("[2001:db8::2]:443")}
)

// whole are headers, and what they say.
var whole = []struct {
	name, header string
	want         Header
}{
	{"v1 TCP4", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", said4},
	{"v1 TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", said6},
	{"v1 mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 56324 443\r\n", said4},
	{"v1 longest", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535" + strings.Repeat(" ", 48) + "\r\n", Header{}},
	{"v1 port 0", "PROXY TCP4 0.0.0.0 0.0.0.0 0 65535\r\n", Header{Source: port("0.0.0.0:0"), Destination: port("0.0.0.0:65535")}},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", Header{}},
	{"v2 TCP4", v2(0x21, 0x11, four), said4},
	{"v2 TCP6", v2(0x21, 0x21, six), said6},
	{"v2 LOCAL", v2(0x20, 0x00, ""), Header{Local: true}},
	{"v2 LOCAL with anything", v2(0x20, 0xff, "\x01\x00"), Header{Local: true}},
	{"v2 UNSPEC", v2(0x21, 0x00, "whatever"), Header{}},
	{"v2 datagram", v2(0x21, 0x12, four), Header{}},
	{"v2 Unix", v2(0x21, 0x31, strings.Repeat("/", 216)), Header{}},
	{"v2 extensions", v2(0x21, 0x11, four+tlv(0x04, "")+tlv(0x02, "shop.example")+tlv(0xea, "\x01vpce-1")), said4},
	{"v2 checksum", summed(v2(0x21, 0x11, four+tlv(0x04, "pad")+tlv(0x03, "\x00\x00\x00\x00"))), said4},
	{"v2 longest", v2(0x21, 0x11, four+tlv(0x04, strings.Repeat("x", 4096-12-3))), said4},
}

func TestHeaders(t *testing.T) {
	if n := len(whole[3].header); n != MaxV1 {
		t.Fatalf("the longest header of version 1 in this table has %d bytes, want %d", n, MaxV1)
	}
	for _, c := range whole {
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n", "\r\n", "PROXY UNKNOWN\r\n"} {
			h, n, err := Parse([]byte(c.header + behind))
			if err != nil || n != len(c.header) || h != c.want {
				t.Errorf("%s before %q: got %+v, length %d and error %v, want %+v and %d", c.name, behind, h, n, err, c.want, len(c.header))
			}
		}
	}
}

// A header is taken from its last byte on, and not before; what it asks for meanwhile is
// never more than it has.
func TestHeadersCutAtEveryOffset(t *testing.T) {
	for _, c := range whole {
		for i := range len(c.header) {
			_, _, err := Parse([]byte(c.header[:i]))
			var short Short
			if !errors.As(err, &short) || int(short) <= i || int(short) > len(c.header) {
				t.Fatalf("%s, its first %d bytes: got error %#v, want Short of %d to %d", c.name, i, err, i+1, len(c.header))
			}
		}
	}
}

func TestFaults(t *testing.T) {
	bad := summed(v2(0x21, 0x11, four+tlv(0x03, "\x00\x00\x00\x00")))
	for _, c := range []struct {
		text string
		want error
	}{
		{"GET / HTTP/1.1\r\n", ErrMissing},
		{"\x16\x03\x01", ErrMissing},
		{"proxy TCP4", ErrMissing},
		{"PROXY\tTCP4", ErrMissing},
		{"\r\n\r\n\x00\r\nQUIT\r", ErrMissing},
		{"PROXY \r\n", ErrMalformed},
		{"PROXY \n", ErrMalformed},
		{"PROXY UNKNOWN\n", ErrMalformed},
		{"PROXY UNKNOWNS\r\n", ErrMalformed},
		{"PROXY TCP4\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", ErrMalformed},
		{"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", ErrMalformed},
		{"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", ErrMalformed},
		{"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n", ErrMalformed},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", ErrMalformed},
		{"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", ErrMalformed},
		{"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", ErrTooLong},
		{"PROXY UNKNOWN " + strings.Repeat("x", 93), ErrTooLong},
		{v2(0x11, 0x11, four), ErrMalformed},
		{v2(0x22, 0x11, four), ErrMalformed},
		{v2(0x21, 0x13, four), ErrMalformed},
		{v2(0x21, 0x41, four), ErrMalformed},
		{v2(0x21, 0x11, four[:11]), ErrMalformed},
		{v2(0x21, 0x21, six[:35]), ErrMalformed},
		{v2(0x21, 0x31, four), ErrMalformed},
		{v2(0x21, 0x11, four+"\x04"), ErrMalformed},
		{v2(0x21, 0x11, four+"\x04\x00"), ErrMalformed},
		{v2(0x21, 0x11, four+"\x04\x00\x01"), ErrMalformed},
		{v2(0x21, 0x11, four+tlv(0x03, "\x00\x00\x00")), ErrMalformed},
		{v2(0x21, 0x11, four+tlv(0x03, "\x00\x00\x00\x00")), ErrMalformed},
		{bad[:20] + "\x00" + bad[21:], ErrMalformed},
		{v2(0x21, 0x11, four+tlv(0x04, strings.Repeat("x", 4096-12-2))), ErrTooLong},
		{v2(0x20, 0x00, strings.Repeat("x", 4097))[:16], ErrTooLong},
	} {
		if h, n, err := Parse([]byte(c.text)); !errors.Is(err, c.want) || n != 0 && err != nil || h != (Header{}) {
			t.Errorf("%.120q: got %+v, length %d and error %v, want %v", c.text, h, n, err, c.want)
		}
	}
}

// Whatever addresses there are, both versions carry them.
func TestHeadersCarryAnyAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		any4 := rapid.Custom(func(t *rapid.T) netip.Addr {
			return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		})
		any6 := rapid.Custom(func(t *rapid.T) netip.Addr {
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
		})
		from, name, family := any4, "TCP4", byte(0x11)
		if rapid.Bool().Draw(t, "six") {
			from, name, family = any6, "TCP6", 0x21
		}
		a, b := from.Draw(t, "source"), from.Draw(t, "destination")
		p, q := rapid.Uint16().Draw(t, "source port"), rapid.Uint16().Draw(t, "destination port")
		want := Header{Source: netip.AddrPortFrom(a.Unmap(), p), Destination: netip.AddrPortFrom(b.Unmap(), q)}
		ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, p), q)
		binary2 := v2(0x21, family, string(a.AsSlice())+string(b.AsSlice())+string(ports))
		for _, text := range []string{fmt.Sprintf("PROXY %s %s %s %d %d\r\n", name, a, b, p, q), binary2} {
			if h, n, err := Parse([]byte(text + "x")); err != nil || n != len(text) || h != want {
				t.Fatalf("%q: got %+v, length %d and error %v, want %+v", text, h, n, err, want)
			}
		}
	})
}

// FuzzParse: no bytes make it panic or take more than there is; what it takes, it takes
// whatever follows, and nothing shorter.
func FuzzParse(f *testing.F) {
	for _, c := range whole {
		f.Add([]byte(c.header))
	}
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		var short Short
		switch {
		case errors.As(err, &short):
			if int(short) <= len(b) || int(short) > MaxV2 {
				t.Fatalf("%q: Short(%d) of %d bytes", b, short, len(b))
			}
		case err != nil:
			if _, _, again := Parse(append(b[:len(b):len(b)], "\r\n more"...)); again != err {
				t.Fatalf("%q: %v, and with more behind it %v", b, err, again)
			}
		default:
			if n < 15 || n > len(b) || n > MaxV2 || h.Source.IsValid() != h.Destination.IsValid() {
				t.Fatalf("%q: got %+v and length %d", b, h, n)
			}
			again, m, err := Parse(b[:n])
			if _, _, cut := Parse(b[:n-1]); again != h || m != n || err != nil || !errors.As(cut, &short) {
				t.Fatalf("%q: got %+v, %d, %v of its first %d bytes, and %v without the last", b, again, m, err, n, cut)
			}
		}
	})
}
