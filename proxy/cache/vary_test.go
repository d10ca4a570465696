package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCoding(t *testing.T) {
	for accept, want := range map[string]string{
		"": identity, "gzip": gzip, "x-gzip": gzip, "GZIP": gzip, "br, gzip": gzip, "deflate, gzip;q=1.0, *;q=0.5": gzip, "gzip ; q=0.001": gzip,
		"br": identity, "*": identity, "gzip;q=0": identity, "gzip;q=0.000": identity, "gzip; Q=0": identity, "gzip;q=x": identity,
		"gzipped": identity, "identity": identity, "gzip;q=": identity, ",,gzip,": gzip, "gzip;level=1;q=0": identity,
	} {
		if got := coding(accept); got != want {
			t.Errorf("%q: got %s, want %s", accept, got, want)
		}
	}
}

// Two things that are asked for have one key only if they are the same.
func TestKeysTellApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SliceOfN(rapid.SampledFrom([]byte("ab/\x00\x01\x02,: ")), 0, 4)
		parts := rapid.SliceOfN(part, 0, 4)
		x, y := parts.Draw(t, "x"), parts.Draw(t, "y")
		same := slices.EqualFunc(x, y, func(a, b []byte) bool { return string(a) == string(b) })
		if got := Key(make([]byte, 3), x...) == Key(nil, y...); got != same {
			t.Fatalf("%q and %q have one key: %v", x, y, got)
		}
	})
}

// The property that all others stand on: nobody is shown an answer that the origin made
// for a request which differs from theirs in what the origin has looked at.
func TestNobodyIsShownWhatWasMadeForAnother(t *testing.T) {
	names := []string{"accept-encoding", "accept-language", "user-agent", "x-currency"}
	value := rapid.SampledFrom([]string{"", "a", "b", "gzip", "gzip, br", "a, b"})
	rapid.Check(t, func(t *rapid.T) {
		c, now := open(1<<20), time.Unix(1000, 0)
		// What the origin looks at for each page, and says so.
		looks := map[string][]string{}
		for _, key := range []string{"/1", "/2"} {
			looks[key] = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(t, "looks")
		}
		made := func(key string, says func(string) (string, bool)) string {
			text := key
			for _, name := range looks[key] {
				v, ok := says(name)
				text += fmt.Sprintf(" %s=%q,%v", name, v, ok)
			}
			return text
		}
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			h := headers{}
			for _, name := range names {
				if rapid.Bool().Draw(t, "there") {
					h[name] = value.Draw(t, name)
				}
			}
			key := rapid.SampledFrom([]string{"/1", "/2"}).Draw(t, "key")
			a := ask(key, h)
			mine := made(key, func(name string) (string, bool) {
				v, ok := h.Value(name)
				if name == acceptEncoding {
					return coding(v), true
				}
				return v, ok
			})
			for round := 0; ; round++ {
				found := c.Get(a, now)
				if found.Answer != nil {
					if got := string(found.Answer.Body); got != mine {
						t.Fatalf("shown %q, want %q", got, mine)
					}
				}
				if found.Lead {
					f := found.Flight
					body := made(key, func(name string) (string, bool) {
						if name == acceptEncoding {
							return codings[f.zip], true
						}
						i := slices.IndexFunc(f.Send, func(s Field) bool { return s.Name == name })
						if i < 0 {
							return "", false
						}
						return f.Send[i].Value, true
					})
					f.Keep(page200(body, "Vary", strings.Join(looks[key], ", ")), now)
					if got, _, _ := f.Share(a); got != nil && string(got.Body) != mine {
						t.Fatalf("given %q, want %q", got.Body, mine)
					}
				}
				if found.State != Miss {
					break
				}
				if round == 3 {
					t.Fatal("after three fetches there is still no answer")
				}
			}
		}
	})
}

func TestVary(t *testing.T) {
	c := open(1 << 20)
	for _, test := range []struct {
		lines []string
		want  string // "-": not kept
	}{
		{nil, ""},
		{[]string{"Vary", ""}, ""},
		{[]string{"Vary", "Accept-Encoding"}, "accept-encoding"},
		{[]string{"vary", "User-Agent,accept-LANGUAGE", "Vary", "accept-language, User-Agent"}, "accept-language user-agent"},
		{[]string{"Vary", "Cookie, Authorization, Host, X-Forwarded-Proto, Range"}, ""},
		{[]string{"Vary", "*"}, "-"},
		{[]string{"Vary", "Accept", "Vary", "*"}, "-"},
		{[]string{"Vary", "Accept, *"}, "-"},
		{[]string{"Vary", "X-Forwarded-For"}, "-"},
		{[]string{"Vary", "If-None-Match"}, "-"},
		{[]string{"Vary", "Cache-Control"}, "-"},
		{[]string{"Vary", "a b"}, "-"},
		{[]string{"Vary", `"Accept`}, "-"},
		{[]string{"Vary", "a,b,c,d,e,f,g,h"}, "a b c d e f g h"},
		{[]string{"Vary", "a,b,c,d,e,f,g,h,i"}, "-"},
		{[]string{"Content-Encoding", "gzip"}, "accept-encoding"},
		{[]string{"Content-Encoding", "gzip", "Vary", "Accept, Accept-Encoding"}, "accept accept-encoding"},
		{[]string{"Content-Encoding", "identity"}, ""},
		{[]string{"Content-Encoding", "br"}, "-"},
		{[]string{"Content-Encoding", "gzip", "Content-Encoding", "gzip"}, "-"},
	} {
		names, ok := c.varies(page200("", test.lines...))
		if got := strings.Join(names, " "); ok != (test.want != "-") || ok && got != test.want {
			t.Errorf("%q: varies by %q, %v, want %q", test.lines, got, ok, test.want)
		}
	}
}

// An answer in gzip without a Vary is not for those who cannot read it.
func TestUnsaidVary(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	reads, plain := ask("k", headers{"accept-encoding": "br, gzip"}), ask("k", headers{})
	fill(t, c, reads, page200("packed", "Content-Encoding", "gzip"), now)
	shows(t, c, reads, now, Hit, "packed")
	fill(t, c, plain, page200("plain"), now)
	shows(t, c, reads, now, Hit, "packed")
	shows(t, c, plain, now, Hit, "plain")
}

// A page learns what it varies by from all of its answers.
func TestNamesAddUp(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	a := ask("k", headers{"x": "1", "y": "1"})
	f := lead(t, c, a, now)
	if f.Keep(page200("without x", "Vary", "X"), now) != Stored || f.answer == nil {
		t.Fatal("not kept")
	}
	if got, _, _ := f.Share(a); got != nil {
		t.Error("who said x was given what was made without")
	}
	if f = lead(t, c, a, now); len(f.Send) != 1 || f.Send[0] != (Field{"x", "1"}) {
		t.Errorf("the second fetch says %v, want x", f.Send)
	}
	f.Keep(page200("x, without y", "Vary", "Y"), now)
	f = lead(t, c, a, now)
	f.Keep(page200("x and y"), now)
	shows(t, c, a, now, Hit, "x and y")
	shows(t, c, ask("k", headers{"x": "1"}), now, Hit, "x, without y")
	shows(t, c, ask("k", headers{"y": "1"}), now, Miss, "")
}

// Values that are too long to be found by go by, and do not fill the cache.
func TestLongValues(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	fill(t, c, ask("k", headers{}), page200("none", "Vary", "X"), now)
	shows(t, c, ask("k", headers{"x": strings.Repeat("x", maxValues)}), now, Pass, "")
}

// A page with more variants than are kept keeps those used last.
func TestVariantsAreBounded(t *testing.T) {
	c, now := open(1<<20), time.Unix(1000, 0)
	x := func(i int) *Asked { return ask("k", headers{"x": fmt.Sprint(i)}) }
	fill(t, c, ask("k", nil), page200("none", "Vary", "X"), now)
	for i := range maxVariants + 5 {
		fill(t, c, x(i), page200(fmt.Sprint(i), "Vary", "X"), now)
		shows(t, c, x(0), now, Hit, "0")
	}
	shows(t, c, x(1), now, Miss, "")
	if _, answers := c.Stats(); answers != maxVariants {
		t.Errorf("%d answers, want %d", answers, maxVariants)
	}
}
