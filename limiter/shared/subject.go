package shared

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Subject is who is banned: an account or a network, exactly one of them.
//
// An account is written as it stands in the facts, with the letter of its source
// ("c:alice"), or hashed as it stands in the log of decisions ("#0123456789abcdef"), or
// bare, and then it is meant from whatever source.
type Subject struct {
	Account string
	Network netip.Prefix
}

// literally comes before an account that would be read as something else.
const literally = "account:"

// The widest networks that can be banned: more would be a slip, or the end of the sale.
const (
	widest4 = 8
	widest6 = 16
)

// IsZero reports whether it is nobody.
func (s Subject) IsZero() bool { return s == Subject{} }

// ByAddress is the subject that limits per address count: an IPv4 address, or an IPv6
// address's /64, because that is the least that one subscriber is given.
func ByAddress(ip netip.Addr) Subject {
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // of the zero Addr there is none
	return Subject{Network: p}
}

// ParseSubject reads what an operator has typed: a network, an address, or else an account.
// "account:" before it makes an account of what looks like an address.
func ParseSubject(text string) (Subject, error) {
	if name, ok := strings.CutPrefix(text, literally); ok {
		return byAccount(name)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return byNetwork(p)
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.Zone() != "" {
			return Subject{}, errors.New("an address with a zone is nobody else's")
		}
		return ByAddress(ip), nil
	}
	return byAccount(text)
}

func byAccount(name string) (Subject, error) {
	switch {
	case name == "":
		return Subject{}, errors.New("it is empty: want an account, an address or a network")
	case len(name) > MostName:
		return Subject{}, fmt.Errorf("an account of %d bytes: want at most %d", len(name), MostName)
	}
	return Subject{Account: name}, nil
}

func byNetwork(p netip.Prefix) (Subject, error) {
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return Subject{}, fmt.Errorf("%s is neither IPv4 nor IPv6", p)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6 {
		return Subject{}, fmt.Errorf("%s is too wide: want /%d or narrower (IPv6: /%d); a sale is stopped by penstock sale pause", p, widest4, widest6)
	}
	return Subject{Network: p.Masked()}, nil
}

// String is what ParseSubject reads.
func (s Subject) String() string {
	switch {
	case s.Network.IsValid():
		if s.Network.Addr().Is4() && s.Network.IsSingleIP() {
			return s.Network.Addr().String()
		}
		return s.Network.String()
	case strings.HasPrefix(s.Account, literally) || isNetwork(s.Account):
		return literally + s.Account
	}
	return s.Account
}

func isNetwork(text string) bool {
	_, err := netip.ParsePrefix(text)
	_, err2 := netip.ParseAddr(text)
	return err == nil || err2 == nil
}

// Meets reports whether the account, as it stands in the facts, or the address is banned by
// it. What a hash stands for is not known here.
func (s Subject) Meets(account string, ip netip.Addr) bool {
	if s.Network.IsValid() {
		return s.Network.Contains(ip)
	}
	if account == "" || s.Account == "" {
		return false
	}
	return s.Account == account || !Sourced(s.Account) && Sourced(account) && s.Account == account[2:]
}

// Sourced reports whether an account is written with the letter of its source.
func Sourced(account string) bool { return len(account) > 2 && account[1] == ':' }
