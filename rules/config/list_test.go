package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"penstock/rules"
)

// readText reads a list as if it were a file.
func readText(text []byte, of content) (*rules.List, Faults) {
	r, l := &reader{file: "list"}, &rules.List{}
	if err := (&lines{r: r, into: l, of: of}).read(bytes.NewReader(text), int64(len(text))); err != nil {
		panic(err)
	}
	return l, r.faults
}

func TestReadList(t *testing.T) {
	l, err := ReadList("testdata/good/lists/bans.txt")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "list", []int{len(l.Values), len(l.Networks)}, []int{4, 4})
	same(t, "empty", func() *rules.List {
		path := filepath.Join(t.TempDir(), "empty")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ReadList(path)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}(), &rules.List{})

	l, err = ReadList("testdata/bad/lists/bans.txt")
	var faults Faults
	if l != nil || !errors.As(err, &faults) || len(faults) != 17 {
		t.Fatalf("got list %v and error %v, want 17 faults", l, err)
	}
	same(t, "fault", faults[0].String(), "testdata/bad/lists/bans.txt:3: list: has nothing in front of the comma, write whom it is about: alice,3")
	if _, err := ReadList("testdata/bad/lists/none.txt"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want not exist", err)
	}
}

func TestListTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(maxList+1), f.Close()); err != nil { // takes no room on the disk
		t.Fatal(err)
	}
	if _, err := ReadList(path); !errors.Is(err, errTooLarge) {
		t.Errorf("got error %v, want %v", err, errTooLarge)
	}
	text := "listen: \":80\"\norigin: {url: \"http://127.0.0.1:8081\"}\nbans: {lists: [" + path + "]}\n"
	_, err = (&reader{file: "x"}).compile([]byte(text))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].kind != tooLarge {
		t.Errorf("got error %v, want that it is too large", err)
	}
}

// Whatever is no text at all is given up after its first part.
func TestNoLines(t *testing.T) {
	_, faults := readText(bytes.Repeat([]byte("x"), 3*listRead), banned)
	if len(faults) != 1 || faults[0].kind != longLine {
		t.Errorf("got %v, want one fault", faults)
	}
}

func TestAddressed(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if got := addressed(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{
		"192.0.2.7", "1.2.3.400", "10.0.0.0/8", "10.0/8", "2001:db8::/32", "2001:db8::/129", "2001:DB8::1", "::1", "fe80::1%eth0", "10.0.0.0/8 x", "::1 x",
	} {
		f(s, true)
	}
	for _, s := range []string{"", "1.2.3.4.", "alice", "c:alice", "c:12", "c:1:2", "2026", "2026.11", "10/8", "a.b.c.d", "c:1.2.3.4", "de:ad:be:ef", "alice b", "c:1%41", "x::1"} {
		f(s, false)
	}
}

func TestUncomment(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := uncomment(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	f("", "")
	f("#", "")
	f("# a", "")
	f("#\ta", "")
	f("#a", "#a")
	f("a#", "a#")
	f("a #", "a ")
	f("a # b # c", "a ")
	f("#a #b # c", "#a #b ")
	f("a#b#c", "a#b#c")
}

// However lines fall into the blocks that are read, every one of them is seen.
func TestListOfAnyLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text bytes.Buffer
		want := map[string]string{}
		for i := range rapid.IntRange(0, 2000).Draw(t, "lines") {
			name := fmt.Sprintf("c:%d%s", i, strings.Repeat("x", rapid.IntRange(0, 500).Draw(t, "length")))
			value := rapid.SampledFrom([]string{"", "1", "score=9 a b"}).Draw(t, "value")
			want[name] = value
			text.WriteString(rapid.SampledFrom([]string{"", " ", "# a\n", "\r\n"}).Draw(t, "before") + name)
			if value != "" {
				text.WriteString("," + value)
			}
			text.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", " # b\n"}).Draw(t, "end"))
		}
		l, faults := readText(text.Bytes(), banned)
		if len(faults) > 0 || !maps.Equal(l.Values, want) {
			t.Fatalf("got %d of %d lines and faults %v", len(l.Values), len(want), faults)
		}
	})
}

// FuzzReadList: no bytes make it panic, every line has its place in the list or is told,
// and what was read is read again from what it is written as.
func FuzzReadList(f *testing.F) {
	for _, pattern := range []string{"testdata/good/lists/*", "testdata/bad/lists/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, uint8(banned))
			f.Add(raw, uint8(words))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, of uint8) {
		use := content(of) % (times + 1)
		l, faults := readText(text, use)
		if len(faults) > maxTold+1 {
			t.Fatalf("got %d faults", len(faults))
		}
		for _, fault := range faults {
			if fault.Line < 1 || strings.Contains(fault.Wrong, "%!") && !bytes.Contains(text, []byte("%!")) {
				t.Fatalf("fault is not whole: %v", fault)
			}
		}
		var again bytes.Buffer
		for name, value := range l.Values {
			if name == "" || name != strings.Trim(name, " \t") || strings.ContainsAny(name+value, "\n\r\x00") || strings.Contains(name, ",") {
				t.Fatalf("got account %q with %q", name, value)
			}
			if again.WriteString(name); value != "" {
				again.WriteString("," + value)
			}
			again.WriteByte('\n')
		}
		for _, n := range l.Networks {
			if n.Bits() == 0 || n != n.Masked() || n.Addr().Is4In6() || use != banned {
				t.Fatalf("got network %v", n)
			}
			again.WriteString(n.String() + "\n")
		}
		two, faults := readText(again.Bytes(), use)
		if len(faults) > 0 || !maps.Equal(two.Values, l.Values) || !slices.Equal(two.Networks, l.Networks) || two.Hashed != l.Hashed {
			t.Fatalf("got %v and %v again, want %v", two, faults, l)
		}
	})
}

// A list of a million accounts as `penstock mine` writes it.
func BenchmarkReadList(b *testing.B) {
	var text bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "c:customer-%d,score=%d many accounts at 203.0.113.7\n", i, i%100)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		l, faults := readText(text.Bytes(), banned)
		if len(l.Values) != 1_000_000 || len(faults) > 0 {
			b.Fatalf("got %d accounts and faults %v", len(l.Values), faults)
		}
	}
}
