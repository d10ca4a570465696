package rehearse

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Whom we may aim at: this machine, or a host that the operator has named twice. A crowd
// that is sent to the wrong address takes a shop down.

// resolver is how names become addresses.
type resolver func(ctx context.Context, host string) ([]netip.Addr, error)

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// pin gives the address to aim at, as numbers, so that a name cannot mean something else
// a moment later. address is host:port or unix:/PATH; named are the hosts that the
// operator has named, as often as they did.
func pin(ctx context.Context, resolve resolver, address string, named []string) (string, error) {
	if strings.HasPrefix(address, "unix:") {
		return address, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("aim at %q: %w", address, err)
	}
	var all []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		all = []netip.Addr{ip}
	} else if all, err = resolve(ctx, host); err != nil {
		return "", fmt.Errorf("aim at %q: %w", host, err)
	}
	if len(all) == 0 {
		return "", fmt.Errorf("aim at %q: it has no address", host)
	}
	here := true
	for _, ip := range all {
		here = here && ip.Unmap().IsLoopback() // 0.0.0.0 and :: are not: what they reach is the system's choice
	}
	times := 0
	for _, n := range named {
		if strings.EqualFold(strings.Trim(n, "[]"), host) {
			times++
		}
	}
	if !here && times < 2 {
		return "", &Aim{Host: host}
	}
	return net.JoinHostPort(all[0].Unmap().String(), port), nil
}

// Aim is the refusal to send a crowd to another machine.
type Aim struct{ Host string }

func (a *Aim) Error() string {
	return fmt.Sprintf("%s is not this machine: a crowd can take it down, and what it buys is bought. If that is what you want, name it twice: -to %[1]s -to %[1]s", a.Host)
}

// place reads a URL that says where a server is, and nothing else.
func place(text string) (address, host string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("read address: %w", err)
	case u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return "", "", fmt.Errorf("%q is not an address like http://127.0.0.1:8080", text)
	case u.User != nil:
		return "", "", fmt.Errorf("%q names a user before the host: the host would be %s", text, u.Hostname())
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", "", fmt.Errorf("%q says more than a host and a port", text)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), u.Host, nil
}
