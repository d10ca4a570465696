package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"penstock/rules"
)

// faultsOf loads a file that must not load.
func faultsOf(t *testing.T, path string) Faults {
	t.Helper()
	set, err := Load(path)
	var faults Faults
	if set != nil || !errors.As(err, &faults) || len(faults) == 0 {
		t.Fatalf("%s: got set %v and error %v, want no set and Faults", path, set != nil, err)
	}
	return faults
}

func badFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("testdata/bad: got %d files and error %v, want many", len(files), err)
	}
	return files
}

func TestBadFiles(t *testing.T) {
	for _, file := range badFiles(t) {
		want, err := os.ReadFile(strings.TrimSuffix(file, "yaml") + "want")
		if err != nil {
			t.Fatal(err)
		}
		faults := faultsOf(t, file)
		if got := faults.Error() + "\n"; got != string(want) {
			t.Errorf("%s:\ngot:\n%s\nwant:\n%s", file, got, want)
		}
		if !slices.IsSortedFunc(faults, func(a, b Fault) int { return a.Line - b.Line }) {
			t.Errorf("%s: faults are not sorted by line", file)
		}
	}
}

// Every kind of fault stands in a bad file, so its wording is seen by somebody.
func TestEveryFaultIsShown(t *testing.T) {
	shown := map[kind]bool{tooLarge: true} // TestFilesThatCannotBeRead
	for _, file := range badFiles(t) {
		for _, f := range faultsOf(t, file) {
			shown[f.kind] = true
			if strings.Contains(f.String(), "%!") || f.Line < 1 || f.Key == "" || f.Right == "" || f.Wrong == "" {
				t.Errorf("fault is not whole: %+v", f)
			}
		}
	}
	for k := range kinds {
		if !shown[k] {
			t.Errorf("fault %d (%q) stands in no file of testdata/bad", k, wording[k].wrong)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := func(path, want string) {
		t.Helper()
		if got := strings.ReplaceAll(faultsOf(t, path).Error(), dir, "DIR"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
		}
	}
	f(filepath.Join(dir, "none.yaml"), "DIR/none.yaml:1: file: none.yaml cannot be read (no such file or directory), name a file this user can read")
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(dir, "folder.yaml"), "DIR/folder.yaml:1: file: folder.yaml cannot be read (not a regular file), name a file this user can read")
	f(write("large.yaml", strings.Repeat("#", maxFile+1)), "DIR/large.yaml:1: file: large.yaml is larger than 4MiB, use a smaller file")
	write("large.html", strings.Repeat("x", maxBeside+1))
	f(write("page.yaml", "listen: \":8080\"\norigin: {url: http://127.0.0.1}\nanswers: {sold_out: {page: large.html}}\n"),
		"DIR/page.yaml:3: answers.sold_out.page: large.html is larger than 1MiB, use a smaller file")
}

// A name that is not relative is taken as it is.
func TestAbsolutePath(t *testing.T) {
	r := &reader{file: "etc/penstock.yaml"}
	if got := r.path("/run/a") + " " + r.path("a") + " " + r.path("../a"); got != "/run/a etc/a a" {
		t.Errorf("got %q, want %q", got, "/run/a etc/a a")
	}
}

func TestNearest(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := root.nearest(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	f("listen", "listen")
	f("Listen", "listen")
	f("lsiten", "listen")
	f("lists", "")
	f("sale", "sales")
	f("stores", "store")
	f("trustedproxies", "trusted_proxies")
	f("nothing_like_it", "")
	f("x", "")
	f(strings.Repeat("listen", 100), "")
}

func TestCovers(t *testing.T) {
	f := func(a, b string, covered, meet bool) {
		t.Helper()
		if got := pathCovers(a, b); got != covered {
			t.Errorf("%s covers %s: got %v, want %v", a, b, got, covered)
		}
		if got, back := pathsMeet(a, b), pathsMeet(b, a); got != meet || back != meet {
			t.Errorf("%s meets %s: got %v and back %v, want %v", a, b, got, back, meet)
		}
	}
	f("/a", "/a", true, true)
	f("/a", "/b", false, false)
	f("/*", "/a", true, true)
	f("/a", "/*", false, true)
	f("/*", "/*", true, true)
	f("/*", "/", false, false)
	f("/*", "/**", false, true)
	f("/**", "/*", true, true)
	f("/a/**", "/a", true, true)
	f("/a/**", "/a/b/c", true, true)
	f("/a/**", "/b", false, false)
	f("/a/*", "/a/b/c", false, false)
	f("/a/b", "/a", false, false)
	f("/a/*/c", "/*/b/*", false, true)

	all, get := &rules.Match{Path: "/a"}, &rules.Match{Path: "/a", Methods: []string{"GET"}}
	head := &rules.Match{Path: "/a", Methods: []string{"HEAD"}}
	for i, c := range []struct {
		a, b *rules.Match
		want bool
	}{{all, get, true}, {get, all, false}, {get, head, true}, {head, get, false}} {
		if got := covers(c.a, c.b); got != c.want {
			t.Errorf("methods %d: %v covers %v: got %v, want %v", i, c.a.Methods, c.b.Methods, got, c.want)
		}
	}
}

func TestMeet(t *testing.T) {
	f := func(a, b rules.Match, want bool) {
		t.Helper()
		if got, back := meet(&a, &b), meet(&b, &a); got != want || back != want {
			t.Errorf("%+v meets %+v: got %v and back %v, want %v", a, b, got, back, want)
		}
	}
	type m = rules.Match
	with := func(value string) map[string]string { return map[string]string{"do": value} }
	from := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	f(m{Path: "/a"}, m{Path: "/a"}, true)
	f(m{Path: "/a"}, m{Path: "/b"}, false)
	f(m{Path: "/a/"}, m{Path: "/a"}, true)
	f(m{Path: "/a/*"}, m{Path: "/a/b"}, true)
	f(m{Path: "/"}, m{Path: "/a"}, false)
	f(m{}, m{}, false) // no path: told already
	f(m{Path: "/a", Methods: []string{"GET"}}, m{Path: "/a", Methods: []string{"POST"}}, false)
	f(m{Path: "/a", Methods: []string{"GET"}}, m{Path: "/a", Methods: []string{"POST", "HEAD"}}, true)
	f(m{Path: "/a", Methods: []string{"GET"}}, m{Path: "/a"}, true)
	f(m{Path: "/a", Host: "x"}, m{Path: "/a", Host: "y"}, false)
	f(m{Path: "/a", Host: "x"}, m{Path: "/a"}, true)
	f(m{Path: "/a", From: from("10.0.0.0/8")}, m{Path: "/a", From: from("10.1.0.0/16")}, true)
	f(m{Path: "/a", From: from("10.0.0.0/8")}, m{Path: "/a", From: from("11.0.0.0/8")}, false)
	f(m{Path: "/a", From: from("10.0.0.0/8")}, m{Path: "/a"}, true)
	f(m{Path: "/a", Query: with("add")}, m{Path: "/a", Query: with("order")}, false)
	f(m{Path: "/a", Query: with("add")}, m{Path: "/a", Query: with("ADD")}, true)
	f(m{Path: "/a", Query: with("add")}, m{Path: "/a", Form: with("order")}, true) // one in each place
	f(m{Path: "/a", Form: with("add")}, m{Path: "/a", Form: with("order")}, false)
	f(m{Path: "/a", JSON: with("add")}, m{Path: "/a", JSON: with("order")}, false)
	f(m{Path: "/a", JSON: with("add")}, m{Path: "/a", JSON: map[string]string{"step": "2"}}, true)
}

// takeRoots takes the one part of a set that cannot be compared by its fields.
func takeRoots(set *rules.Set) (all [2]*x509.CertPool) {
	take := func(t *rules.ServerTLS) (roots *x509.CertPool) {
		if t != nil {
			roots, t.Roots = t.Roots, nil
		}
		return roots
	}
	all[0] = take(set.Origin.TLS)
	if r := set.Store.Redis; r != nil {
		all[1] = take(r.TLS)
	}
	return all
}

// FuzzLoad: no bytes make it panic, what loads has what the gateway relies on, and
// what does not says why.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := (&reader{file: "testdata/good/fuzz.yaml"}).compile(raw)
		var faults Faults
		switch {
		case err != nil && (set != nil || !errors.As(err, &faults) || len(faults) == 0):
			t.Fatalf("got set %v and error %v", set, err)
		case err == nil && (set.Listen == "" || set.Origin.Address == "" || len(set.Hash) != 64):
			t.Fatalf("got a set without listen, origin or hash: %+v", set)
		}
		for _, fault := range faults {
			if fault.Line < 1 || strings.Contains(fault.Wrong, "%!") {
				t.Fatalf("fault is not whole: %v", fault)
			}
		}
		if err == nil {
			again, _ := (&reader{file: "testdata/good/fuzz.yaml"}).compile(bytes.Clone(raw))
			one, two := takeRoots(set), takeRoots(again)
			if !one[0].Equal(two[0]) || !one[1].Equal(two[1]) || !reflect.DeepEqual(set, again) {
				t.Fatal("the same bytes gave two sets")
			}
			Warnings(set)
		}
	})
}
