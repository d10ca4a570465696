package rehearse

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names are what the resolver of these tests knows.
func names(_ context.Context, host string) ([]netip.Addr, error) {
	known := map[string][]string{
		"localhost":    {"127.0.0.1", "::1"},
		"half.example": {"127.0.0.1", "192.0.2.1"}, // some of it is here
		"shop.example": {"192.0.2.1"},
		"nowhere":      {},
		"tricky":       {"::ffff:192.0.2.1"},
		"here":         {"::ffff:127.0.0.9"},
	}
	list, ok := known[strings.ToLower(host)]
	if !ok {
		return nil, errors.New("no such host")
	}
	var all []netip.Addr
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

func TestAimsAtThisMachineOnly(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "127.99.0.1:80": "127.99.0.1:80", "[::1]:80": "[::1]:80", "localhost:8080": "127.0.0.1:8080",
		"[::ffff:127.0.0.1]:80": "127.0.0.1:80", "here:80": "127.0.0.9:80", "LOCALHOST:80": "127.0.0.1:80", "unix:/run/shop.sock": "unix:/run/shop.sock",
	} {
		if got, err := pin(t.Context(), names, address, nil); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %s", address, got, err, want)
		}
	}
	for _, address := range []string{
		"192.0.2.1:80", "10.0.0.1:80", "0.0.0.0:80", "[::]:80", "shop.example:80", "half.example:80", "tricky:80", "[2001:db8::1]:80",
		"[::ffff:192.0.2.1]:80", "169.254.169.254:80", "[fe80::1]:80", "128.0.0.1:80", "[::ffff:0.0.0.0]:80",
	} {
		var aim *Aim
		if got, err := pin(t.Context(), names, address, nil); !errors.As(err, &aim) {
			t.Errorf("%s: %q, %v, want it refused", address, got, err)
		}
	}
	for _, address := range []string{"nowhere:80", "gone:80", "127.0.0.1", "", ":80", "127.1:80", "2130706433:80", "0x7f.1:80"} {
		if got, err := pin(t.Context(), names, address, []string{"", ""}); err == nil {
			t.Errorf("%q: %s, want an error", address, got)
		}
	}
}

func TestAHostThatIsNamedTwiceIsMeant(t *testing.T) {
	for _, c := range []struct {
		address string
		named   []string
		want    string // "": refused
	}{
		{"shop.example:80", []string{"shop.example"}, ""},
		{"shop.example:80", []string{"shop.example", "Shop.Example"}, "192.0.2.1:80"},
		{"shop.example:80", []string{"shop.example", "shop.example.org"}, ""},
		{"shop.example:80", []string{"192.0.2.1", "192.0.2.1"}, ""}, // the name is what was typed
		{"192.0.2.1:80", []string{"192.0.2.1", "192.0.2.1"}, "192.0.2.1:80"},
		{"[2001:db8::1]:80", []string{"[2001:db8::1]", "2001:db8::1"}, "[2001:db8::1]:80"},
		{"192.0.2.1:80", []string{"shop.example", "192.0.2.2", "127.0.0.1"}, ""},
		{"192.0.2.1:80", []string{"192.0.2.1:80", "192.0.2.1:80"}, ""},
	} {
		got, err := pin(t.Context(), names, c.address, c.named)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s, named %q: %q, %v, want %q", c.address, c.named, got, err, c.want)
		}
	}
}

func TestAddressesSayNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8080": "127.0.0.1:8080", "http://shop.example/": "shop.example:80", "http://[::1]:80": "[::1]:80",
	} {
		if got, _, err := place(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"http://127.0.0.1@shop.example/", "http://127.0.0.1:80@shop.example", "http://localhost:x@shop.example:80", "https://127.0.0.1",
		"127.0.0.1:8080", "http:127.0.0.1", "http://", "http://127.0.0.1/shop", "http://127.0.0.1?x", "http://127.0.0.1#@x", "http://127.0.0.1\\@shop.example", "http://127.0.0.1 .example", "",
	} {
		if got, _, err := place(text); err == nil {
			t.Errorf("%q: %s, want an error", text, got)
		}
	}
}
