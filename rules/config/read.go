package config

// The way from YAML nodes to values that know their name, line and default. What
// cannot be read is told once and then passes for absent, so that one fault does not
// make others. It knows no key of the file: those stand in the schema.

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"penstock/rules"
)

// reader collects the faults of one file while it is compiled.
type reader struct {
	file   string
	faults Faults
	lists  map[listUse]*rules.List // those that terms have named
	redis  bool                    // store.redis stands in the file
}

// value is one place in the file, or its default where the file is silent.
type value struct {
	r     *reader
	key   *key
	name  string     // as faults print it
	line  int        // of the key; for what is absent, of the block it is missing from
	node  *yaml.Node // nil: nothing that can be read
	given bool       // it stands in the file, readable or not
}

// at is the value under a key of the block v. A name that the schema does not have
// is a mistake of this package.
func (v value) at(name string) value {
	c := value{r: v.r, key: v.key.kid(name), name: join(v.name, name), line: v.line}
	if c.key == nil {
		panic("config: the schema has no key " + c.name)
	}
	if v.node != nil && v.node.Kind == yaml.MappingNode {
		for i := 0; i < len(v.node.Content); i += 2 {
			if v.node.Content[i].Value == name {
				return c.with(v.node.Content[i].Line, v.node.Content[i+1])
			}
		}
	}
	return c.fallback()
}

func join(block, name string) string {
	if block == "" {
		return name
	}
	return block + "." + name
}

// fallback is v with its default in place of what the file says.
func (v value) fallback() value {
	v.node = nil
	if v.key.def != "" {
		v.node = parseDefault(v.key.def)
	}
	return v
}

func parseDefault(def string) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(def), &doc); err != nil {
		panic("config: default " + def + ": " + err.Error())
	}
	return doc.Content[0]
}

// with is v as the file gives it. What cannot be read at all is told once, here.
func (v value) with(line int, node *yaml.Node) value {
	v.line, v.given, v.node = line, true, nil
	switch {
	case node.Kind == yaml.AliasNode: // told by checkNodes
	case node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null":
		v.fault(noValue)
	default:
		v.node = node
		if word := v.key.word && node.Kind == yaml.ScalarNode; v.key.shape == single && len(v.key.kids) > 0 && !word {
			v.checkBlock()
		}
	}
	return v
}

// checkBlock tells what is wrong with v as a block of keys.
func (v *value) checkBlock() {
	if v.node.Kind != yaml.MappingNode {
		v.fault(notBlock, form(v.node), v.key.names())
		v.node = nil
		return
	}
	for _, i := range v.keysOf() {
		e := v.node.Content[i]
		near := v.key.nearest(e.Value)
		switch name := join(v.name, e.Value); {
		case v.key.kid(e.Value) != nil:
		case near != "":
			v.r.say(e.Line, name, misspelt, near)
		default:
			v.r.say(e.Line, name, unknown, v.key.names())
		}
	}
}

// keysOf gives where a mapping's keys stand in its node, each name once; others are
// told.
func (v value) keysOf() []int {
	var keys []int
	seen := map[string]int{}
	for i := 0; i < len(v.node.Content); i += 2 {
		k := v.node.Content[i]
		switch first, again := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode || k.Value == "":
			v.r.say(k.Line, join(v.name, "?"), badKey)
		case again:
			v.r.say(k.Line, join(v.name, k.Value), duplicate, first)
		default:
			seen[k.Value] = k.Line
			keys = append(keys, i)
		}
	}
	return keys
}

// entries gives the elements of the list v, empty where it is none.
func (v value) entries() []value {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.fault(notList, form(v.node))
		return nil
	}
	var all []value
	for i, node := range v.node.Content {
		one := *v.key
		one.shape = single
		e := value{r: v.r, key: &one, name: fmt.Sprintf("%s[%s]", v.name, label(i, node))}
		all = append(all, e.with(node.Line, node))
	}
	return all
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// label is what a list's element is called: its name, else its index.
func label(i int, node *yaml.Node) string {
	if node.Kind == yaml.MappingNode {
		for j := 0; j < len(node.Content); j += 2 {
			if v := node.Content[j+1]; node.Content[j].Value == "name" && nameForm.MatchString(v.Value) {
				return v.Value
			}
		}
	}
	return fmt.Sprint(i)
}

// pair is one entry of a table.
type pair struct {
	name string
	value
}

// pairs gives the entries of the table v in the order of the file.
func (v value) pairs() []pair {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.fault(notBlock, form(v.node), "name: value")
		return nil
	}
	one := *v.key
	one.shape = single
	var all []pair
	for _, i := range v.keysOf() {
		k := v.node.Content[i]
		e := value{r: v.r, key: &one, name: join(v.name, k.Value)}
		all = append(all, pair{k.Value, e.with(k.Line, v.node.Content[i+1])})
	}
	return all
}

// oneOf gives the one key of the block v that is set.
func (v value) oneOf(names ...string) (value, bool) {
	var set []string
	for _, name := range names {
		if v.at(name).given {
			set = append(set, name)
		}
	}
	if len(set) == 1 {
		return v.at(set[0]), true
	}
	if v.node != nil {
		had := "none"
		if len(set) > 0 {
			had = strings.Join(set, " and ")
		}
		v.fault(notExactlyOne, had, strings.Join(names, ", "))
	}
	return value{}, false
}

// require tells that v is missing, and says what to write.
func (v value) require(write string) bool {
	if !v.given {
		v.fault(missing, write)
	}
	return v.given
}

func (v value) fault(k kind, args ...any) { v.r.say(v.line, cmp.Or(v.name, "file"), k, args...) }

// form names the form of a node, for people.
func form(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a block of keys"
	}
	return "a single value"
}

// checkNodes tells of anchors, aliases and tags anywhere: they are ways to say one
// thing and mean another.
func (r *reader) checkNodes(n *yaml.Node) {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		r.say(n.Line, "yaml", aliased)
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.say(n.Line, "yaml", tagged, n.Tag)
	}
	for _, c := range n.Content {
		r.checkNodes(c)
	}
}

// beside reads a file that the file names, without the line ending it may end with.
func (v value) beside(limit int) ([]byte, bool) {
	name := v.text()
	if name == "" {
		return nil, false
	}
	raw, err := readFile(v.r.path(name), limit)
	switch {
	case err != nil:
		v.fault(unreadable, name, reasonOf(err))
	case len(raw) > limit:
		v.fault(tooLarge, name, sizeText(int64(limit)))
	default:
		s := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		return []byte(s), true
	}
	return nil, false
}

// path is a name in the file as seen from the working directory.
func (r *reader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(r.file), name)
}

// reasonOf is why a file cannot be read, without its path.
func reasonOf(err error) string {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
