// Package proxyproto reads the PROXY protocol, versions 1 and 2: the few bytes with which
// a load balancer that does not speak HTTP says whose connection it passes on.
//
// The source is haproxy's doc/proxy-protocol.txt (2.1, 2.2). A header is taken or refused
// as a whole: addresses that are written in more than one way, lengths that do not add up
// and a checksum that is wrong are faults. What it does not do: it keeps no extension
// (TLV) but for checking the checksum, and it decides nobody's trust.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
)

// The largest headers that are read, in bytes. The protocol bounds version 1; version 2
// could have 64 KiB, of which no balancer sends a tenth.
const (
	MaxV1 = 107
	MaxV2 = 16 + 4096
)

// Header is what one header says.
type Header struct {
	Source, Destination netip.AddrPort // of the connection that is passed on; zero where they are not told
	Local               bool           // the hop speaks for itself (version 2, LOCAL): to see whether we are alive
}

// Why a header is refused.
var (
	ErrMissing   = errors.New("no PROXY header") // the first bytes are something else
	ErrMalformed = errors.New("malformed PROXY header")
	ErrTooLong   = errors.New("PROXY header too long")
)

// Short says that the bytes are the beginning of a header, and how many its beginning
// has at least.
type Short int

// Error implements error.
func (Short) Error() string { return "the PROXY header goes on" }

const (
	v1Name    = "PROXY "
	v2Name    = "\r\n\r\n\x00\r\nQUIT\n"
	v2Fixed   = 16
	tlvFixed  = 3
	tlvCRC32C = 0x03
)

// Parse reads the header that b begins with, and answers its length in bytes; b may go on
// behind it. The error is a Short where b ends too soon, else one of those above.
func Parse(b []byte) (h Header, n int, err error) {
	switch {
	case len(b) == 0:
		return Header{}, 0, Short(1)
	case begins(b, v2Name):
		return parseV2(b)
	case begins(b, v1Name):
		return parseV1(b)
	}
	return Header{}, 0, ErrMissing
}

// begins reports whether b and name are the same as far as both go.
func begins(b []byte, name string) bool {
	n := min(len(b), len(name))
	return string(b[:n]) == name[:n]
}

// parseV1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n" or its like.
func parseV1(b []byte) (Header, int, error) {
	end := bytes.IndexByte(b[:min(len(b), MaxV1)], '\n')
	switch {
	case end < 0 && len(b) >= MaxV1:
		return Header{}, 0, ErrTooLong
	case end < 0:
		return Header{}, 0, Short(len(b) + 1)
	case b[end-1] != '\r':
		return Header{}, 0, ErrMalformed
	}
	line := string(b[len(v1Name) : end-1])
	if line == "UNKNOWN" || strings.HasPrefix(line, "UNKNOWN ") {
		return Header{}, end + 1, nil
	}
	part := strings.Split(line, " ")
	if len(part) != 5 || part[0] != "TCP4" && part[0] != "TCP6" {
		return Header{}, 0, ErrMalformed
	}
	source, ok := addrPort(part[1], part[3], part[0] == "TCP6")
	destination, ok2 := addrPort(part[2], part[4], part[0] == "TCP6")
	if !ok || !ok2 {
		return Header{}, 0, ErrMalformed
	}
	return Header{Source: source, Destination: destination}, end + 1, nil
}

func addrPort(addr, port string, v6 bool) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(addr)
	if err != nil || ip.Zone() != "" || ip.Is6() != v6 {
		return netip.AddrPort{}, false
	}
	n := 0
	for _, c := range []byte(port) {
		if c < '0' || c > '9' || len(port) > 5 {
			return netip.AddrPort{}, false
		}
		n = n*10 + int(c-'0')
	}
	if len(port) == 0 || len(port) > 1 && port[0] == '0' || n > 65535 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), true
}

// parseV2 reads the binary form: twelve bytes of signature, version and command, family
// and protocol, the length of the rest; addresses; extensions.
func parseV2(b []byte) (h Header, n int, err error) {
	if len(b) < v2Fixed {
		return Header{}, 0, Short(v2Fixed)
	}
	command := b[12]
	if command != 0x20 && command != 0x21 {
		return Header{}, 0, ErrMalformed
	}
	n = v2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	if n > MaxV2 {
		return Header{}, 0, ErrTooLong
	}
	if len(b) < n {
		return Header{}, 0, Short(n)
	}
	if command == 0x20 { // the rest must be skipped, whatever it holds
		return Header{Local: true}, n, nil
	}
	length, ok := addressBytes(b[13])
	if !ok || n < v2Fixed+length || !extensionsOK(b[:n], v2Fixed+length) {
		return Header{}, 0, ErrMalformed
	}
	switch a := b[v2Fixed:]; b[13] {
	case 0x11:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a)), binary.BigEndian.Uint16(a[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:])), binary.BigEndian.Uint16(a[10:]))
	case 0x21:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a)).Unmap(), binary.BigEndian.Uint16(a[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a[16:])).Unmap(), binary.BigEndian.Uint16(a[34:]))
	}
	return h, n, nil
}

// addressBytes is how long the addresses of a family and protocol are; not ok for those
// that the protocol does not have. Of datagrams and Unix sockets no address is taken.
func addressBytes(family byte) (n int, ok bool) {
	switch family {
	case 0x00:
		return 0, true
	case 0x11, 0x12:
		return 12, true
	case 0x21, 0x22:
		return 36, true
	case 0x31, 0x32:
		return 216, true
	}
	return 0, false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extensionsOK walks the extensions from i to the end of the header (2.2, 2.2.3). The
// checksum is over the header with zeros in its place. Without a family nobody says
// where they begin, so they are not looked at.
func extensionsOK(header []byte, i int) bool {
	if header[13] == 0 {
		return true
	}
	for i < len(header) {
		if len(header)-i < tlvFixed {
			return false
		}
		kind, length := header[i], int(binary.BigEndian.Uint16(header[i+1:]))
		i += tlvFixed
		if length > len(header)-i {
			return false
		}
		if kind == tlvCRC32C {
			if length != 4 {
				return false
			}
			sum := crc32.Update(0, castagnoli, header[:i])
			sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0})
			if sum = crc32.Update(sum, castagnoli, header[i+4:]); sum != binary.BigEndian.Uint32(header[i:]) {
				return false
			}
		}
		i += length
	}
	return true
}
