package rules

import (
	"bytes"
	"strings"
	"testing"
)

// found says how the pattern fits the path as sent: "plain", "crooked" or "no".
func found(pattern, raw string) string {
	var p Path
	p.Parse([]byte(raw))
	switch plain, crooked := p.match(pattern); {
	case plain && crooked:
		return "both"
	case plain:
		return "plain"
	case crooked:
		return "crooked"
	}
	return "no"
}

func TestPathForms(t *testing.T) {
	f := func(pattern, raw, want string) {
		t.Helper()
		if got := found(pattern, raw); got != want {
			t.Errorf("pattern %s, path %q: got %s, want %s", pattern, raw, got, want)
		}
	}
	f("/buy.php", "/buy.php", "plain")
	for _, raw := range []string{
		"//buy.php", "/%62uy.php", "/%62%75%79%2ephp", "/x/../buy.php", "/buy.php;jsessionid=1", "/buy.php/",
		"/buy.php/extra", "/buy.php/a/b", "/%2562uy.php", "/%252562uy.php", "/%25252562uy.php", "/%2525252562uy.php",
		`/a\..\buy.php`, "/./buy.php", "/buy.php/.", "/buy.php/x/..", "/x/..;/buy.php", "/;a=1/buy.php", "/buy.php;a/b;c",
		"/x/%2e%2e/buy.php", "/x/%2E./buy.php", "/x%2f..%2fbuy.php", "/..%5cbuy.php", "/%2fbuy.php", "/../../buy.php",
		"/x%2fy/../%62uy.php", "/buy.php%3bx", "/buy.php%2f", "/buy.php#x", "/buy.php%23x", "/buy.php%3fx=1", "/buy.php%00.jpg",
		"/buy.php%2500", "buy.php", "%62uy.php", "///./buy.php//", "/index.php/buy.php", "/app_dev.php//buy.php/x",
	} {
		f("/buy.php", raw, "crooked")
	}
	for _, raw := range []string{
		"/", "", "/buy", "/buy.phpx", "/xbuy.php", "/buy.php.bak", "/x/buy.php", "/BUY.PHP", "/%zzbuy.php", "/buy.ph%", "/buy%2",
		"/..", "/%", "/a.b/c.d/e.f", "/buy%2fphp",
	} {
		f("/buy.php", raw, "no")
	}
	f("/x/buy.php", "/x/;/../buy.php", "crooked")
	f("/cart/add", "/index.php/cart/add", "crooked")
	f("/shop/cart/add", "/shop/index.php/cart/add", "crooked")
	f("/cart/add", "/cart/add/", "crooked")
	f("/cart/add", "/cart/add/more", "no")
	f("/cart/add", "/v1.0/cart/add", "no")
	f("/cart/add/", "/cart/add/", "plain")
	f("/cart/add/", "/cart/add", "crooked")
	f("/cart/add/", "/cart/%61dd", "crooked")
	f("/", "/", "plain")
	f("/", "//", "crooked")
	f("/", "", "crooked")
	f("/index.php/buy", "/index.php/buy", "plain")
}

func TestPathPatterns(t *testing.T) {
	f := func(pattern, raw, want string) {
		t.Helper()
		if got := found(pattern, raw); got != want {
			t.Errorf("pattern %s, path %q: got %s, want %s", pattern, raw, got, want)
		}
	}
	f("/p/*", "/p/red", "plain")
	f("/p/*", "/p/", "no")
	f("/p/*", "/p", "no")
	f("/p/*", "/p/red/xl", "no")
	f("/p/*", "/p//red", "crooked")
	f("/p/*/buy", "/p/red/buy", "plain")
	f("/p/*/buy", "/p/red/sell", "no")
	f("/p/*/buy", "/p/x%2fred/buy", "plain") // as sent it is one segment
	f("/p/**", "/p", "plain")
	f("/p/**", "/p/", "plain")
	f("/p/**", "/p/a/b/c", "plain")
	f("/p/**", "/pp", "no")
	f("/p/**", "/%70/a", "crooked")
	f("/**", "/", "plain")
	f("/**", "/any/thing", "plain")
}

// A path with more forms than are kept may be any path.
func TestPathBeyondItsBounds(t *testing.T) {
	many := strings.Repeat("/a.b;c", 200)
	long := "/%25" + strings.Repeat("25", 30_000) + "62"
	for _, raw := range []string{many, long} {
		if got := found("/buy.php", raw); got != "crooked" {
			t.Errorf("path of %d bytes beginning %.20q: got %s, want crooked", len(raw), raw, got)
		}
	}
	var p Path
	p.Parse([]byte(long))
	if len(p.buf) > maxBytes || len(p.forms) > maxForms {
		t.Errorf("kept %d bytes and %d forms, want at most %d and %d", len(p.buf), len(p.forms), maxBytes, maxForms)
	}
	p.Parse([]byte("/buy.php"))
	if plain, crooked := p.match("/x.php"); plain || crooked || string(p.Raw()) != "/buy.php" {
		t.Errorf("parsed again: raw %s, other pattern plain %v crooked %v, want /buy.php and neither", p.Raw(), plain, crooked)
	}
}

func TestCapture(t *testing.T) {
	f := func(pattern, path, want string, ok bool) {
		t.Helper()
		if got, found := Capture(pattern, []byte(path)); got != want || found != ok {
			t.Errorf("%s of %s: got %q %v, want %q %v", pattern, path, got, found, want, ok)
		}
	}
	f("/p/*", "/p/red", "red", true)
	f("/p/*/buy", "/p/red/buy", "red", true)
	f("/*/x/**", "/red/x/y/z", "red", true)
	f("/p/*", "/p/red/blue", "", false)
	f("/p/*", "/p/", "", false)
	f("/p/x", "/p/x", "", false)
	f("/**", "/p/x", "", false)
}

// reading is one thing servers do to a path, written apart from the code under test.
type reading func(string) string

func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i] == '%' && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

func hexValue(c byte) byte {
	return byte(strings.Index("0123456789abcdef", strings.ToLower(string(rune(c)))))
}

func clean(s string) string {
	s = strings.ReplaceAll(s, `\`, "/")
	var kept []string
	segs := strings.Split(s, "/")
	for i, seg := range segs {
		switch {
		case seg == ".":
		case seg == "..":
			if n := len(kept); n > 0 {
				kept = kept[:n-1]
			}
		case seg == "" && i < len(segs)-1:
		default:
			kept = append(kept, seg)
		}
	}
	return "/" + strings.Join(kept, "/")
}

func withoutParams(s string) string {
	segs := strings.Split(strings.ReplaceAll(s, `\`, "/"), "/")
	for i := range segs {
		segs[i], _, _ = strings.Cut(segs[i], ";")
	}
	return clean(strings.Join(segs, "/"))
}

func withoutSlash(s string) string {
	if len(s) > 1 {
		return strings.TrimSuffix(s, "/")
	}
	return s
}

// FuzzPath: never panics, and no chain of readings leads to a sale's path unseen.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/buy.php", "/x%2fy/../%62uy.php", "/%252e%252e/buy.php", `/a\..;x/b;y/..//%2562uy.php/`, "/;/..%3b/buy.php/.", "%2Fbuy.php",
	} {
		f.Add(s, []byte{0, 1, 2, 3})
		f.Add(s, []byte{1, 0, 2, 0})
	}
	readings := []reading{decode, clean, withoutParams, withoutSlash}
	f.Fuzz(func(t *testing.T, raw string, chain []byte) {
		const pattern = "/buy.php"
		form := raw
		for _, c := range chain[:min(len(chain), 6)] {
			form = readings[int(c)%len(readings)](form)
		}
		got := found(pattern, raw)
		if form == pattern && got == "no" {
			t.Errorf("path %q read by %v is %s and was not seen", raw, chain, pattern)
		}
		if got == "plain" && raw != pattern || got == "both" {
			t.Errorf("path %q: got %s", raw, got)
		}
	})
}

func FuzzCapture(f *testing.F) {
	f.Add("/p/*/buy", []byte("/p/red/buy"))
	f.Fuzz(func(t *testing.T, pattern string, path []byte) {
		if got, ok := Capture(pattern, path); ok && !bytes.Contains(path, []byte(got)) {
			t.Errorf("%s of %s: got %q, which is not in the path", pattern, path, got)
		}
	})
}
