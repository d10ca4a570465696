package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const example = "../../config.example.yaml"

// commented is a key that is not in use: a # without a space behind it.
var commented = regexp.MustCompile(`(?m)^( *)#([a-z-])`)

func exampleText(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestExampleLoads: it needs no file beside it and gives the defaults.
func TestExampleLoads(t *testing.T) {
	got, want := load(t, example), load(t, "testdata/good/smallest.yaml")
	got.File, got.Hash, got.Store, got.Routes = want.File, want.Hash, want.Store, nil
	got.Origin.StateFile = want.Origin.StateFile // beside the file
	same(t, "example against smallest file", got, want)
}

// Keys that are not in use must be right as well; what is expected is that they
// name files that are not there and exclude each other.
func TestExampleWithEveryKeyInUse(t *testing.T) {
	text := commented.ReplaceAllString(exampleText(t), "$1$2")
	_, err := (&reader{file: example}).compile([]byte(text))
	faults, ok := err.(Faults)
	if !ok {
		t.Fatalf("got error %v, want Faults", err)
	}
	for _, f := range faults {
		if !slices.Contains([]kind{unreadable, duplicate, notExactlyOne, needsHTTPS}, f.kind) {
			t.Errorf("got %v", f)
		}
	}
}

// places gathers every value under each key of the schema. What two keys have in
// common, such as the match of sales and routes, is one block in the schema and here.
func places(k *key, n *yaml.Node, found map[*key][]*yaml.Node) {
	switch {
	case len(k.kids) == 0:
	case n.Kind == yaml.SequenceNode && k.shape == list:
		for _, e := range n.Content {
			places(&key{kids: k.kids}, e, found)
		}
	case k.shape == table:
		for i := 1; i < len(n.Content); i += 2 {
			places(&key{kids: k.kids}, n.Content[i], found)
		}
	default:
		for i := 0; i < len(n.Content); i += 2 {
			if kid := k.kid(n.Content[i].Value); kid != nil {
				found[kid] = append(found[kid], n.Content[i+1])
				places(kid, n.Content[i+1], found)
			}
		}
	}
}

// everyKey calls f for each key below k.
func everyKey(k *key, path string, f func(k *key, path string)) {
	for i := range k.kids {
		kid := &k.kids[i]
		at := join(path, kid.name)
		f(kid, at)
		everyKey(kid, at+[...]string{"", "[]", "{}"}[kid.shape], f)
	}
}

func exampleKeys(t *testing.T, text string) map[*key][]*yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	found := map[*key][]*yaml.Node{}
	places(&root, doc.Content[0], found)
	return found
}

// equal compares two nodes by what they say.
func equal(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, equal)
}

// TestExampleNamesEveryKey: each key of the schema stands in the example, and what
// stands there is its default.
func TestExampleNamesEveryKey(t *testing.T) {
	text := exampleText(t)
	inUse, all := exampleKeys(t, text), exampleKeys(t, commented.ReplaceAllString(text, "$1$2"))
	everyKey(&root, "", func(k *key, path string) {
		if len(all[k]) == 0 {
			t.Errorf("%s does not stand in the example", path)
		}
		if k.def == "" || k.def == `""` {
			return
		}
		def := parseDefault(k.def)
		for _, n := range inUse[k] {
			// A route shows a priority of its own; the default stands in another.
			if !equal(n, def) && path != "routes[].priority" {
				t.Errorf("%s: the example says %q on line %d, the default is %s", path, n.Value, n.Line, k.def)
			}
		}
		if !slices.ContainsFunc(all[k], func(n *yaml.Node) bool { return equal(n, def) }) {
			t.Errorf("%s: the default %s does not stand in the example", path, k.def)
		}
	})
}

// Every default is a value that the key takes.
func TestDefaultsAreRead(t *testing.T) {
	var b strings.Builder
	var write func(k *key, indent string)
	write = func(k *key, indent string) {
		for i := range k.kids {
			kid := &k.kids[i]
			switch {
			case kid.name == "store" || kid.name == "tls" || kid.shape != single:
			case kid.name == "url":
				b.WriteString(indent + "url: https://127.0.0.1:8081\n")
			case kid.name == "listen" && kid.def == "":
				b.WriteString(indent + "listen: \":" + map[bool]string{true: "8080", false: "9901"}[indent == ""] + "\"\n")
			case len(kid.kids) > 0:
				b.WriteString(indent + kid.name + ":\n")
				write(kid, indent+"  ")
			case kid.def != "":
				b.WriteString(indent + kid.name + ": " + kid.def + "\n")
			}
		}
	}
	write(&root, "")
	if _, err := (&reader{file: "x"}).compile([]byte(b.String())); err != nil {
		t.Errorf("%s\n%v", b.String(), err)
	}
}

// Of keys that exclude each other only the first is read above, so each one that stands
// on a line of its own is tried alone.
func TestExampleAlternatives(t *testing.T) {
	tried := 0
	for line := range strings.Lines(exampleText(t)) {
		key, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		store, unknown, ref := "embedded: {path: x}", "unknown: keep", "order_ref: {body: x}"
		switch name, _, _ := strings.Cut(key, ": {"); {
		case !ok:
			continue
		case name == "redis":
			store = key
		case name == "unknown":
			unknown = key
		case name == "order_ref":
			ref = key
		default:
			continue
		}
		tried++
		text := "listen: \":80\"\norigin: {url: \"http://127.0.0.1:8081\"}\nstore: {" + store + "}\nsales:\n" +
			"  - {name: a, match: {path: /a}, account: [{visitor: true}], stock: {units: 1, " + unknown + "}, " + ref + "}\n"
		if _, err := (&reader{file: example}).compile([]byte(text)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if tried != 7 {
		t.Errorf("tried %d lines, want the 7 of redis, unknown and order_ref", tried)
	}
}
