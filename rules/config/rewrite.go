package config

// A file, changed in a few places: for a rehearsal, which plays an operator's file with
// other addresses and another hour. All that is not named stays as it was written. It
// does not check the result; Load does.

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

// Change puts a value at a key, or takes the key away. A key is a path like "origin/url"
// or "sales/phone/opens": entries of a list are called by their name, which may hold dots.
type Change struct {
	Key   string
	Value string // as YAML; "": the key is taken away
}

// Rewrite gives the file's text with the changes made, in their order.
func Rewrite(path string, changes []Change) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("read configuration: %s holds no keys", path)
	}
	for _, c := range changes {
		if err := c.apply(doc.Content[0]); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out.Bytes(), e.Close()
}

func (c *Change) apply(at *yaml.Node) error {
	keys := strings.Split(c.Key, "/")
	for _, k := range keys[:len(keys)-1] {
		next := child(at, k)
		if next == nil && c.Value == "" {
			return nil // what is not there need not be taken away
		}
		if next == nil {
			if at.Kind != yaml.MappingNode {
				return fmt.Errorf("change %s: there is no %q", c.Key, k)
			}
			next = &yaml.Node{Kind: yaml.MappingNode}
			at.Content = append(at.Content, scalar(k), next)
		}
		at = next
	}
	last := keys[len(keys)-1]
	if c.Value == "" {
		drop(at, last)
		return nil
	}
	var v yaml.Node
	if err := yaml.Unmarshal([]byte(c.Value), &v); err != nil || len(v.Content) != 1 {
		return fmt.Errorf("change %s: %q is no value", c.Key, c.Value)
	}
	if old := child(at, last); old != nil {
		*old = *v.Content[0]
		return nil
	}
	if at.Kind != yaml.MappingNode {
		return fmt.Errorf("change %s: there is no %q", c.Key, last)
	}
	at.Content = append(at.Content, scalar(last), v.Content[0])
	return nil
}

// child is the value of a key, or the entry of that name.
func child(at *yaml.Node, key string) *yaml.Node {
	switch at.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == key {
				return at.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for _, e := range at.Content {
			if n := child(e, "name"); e.Kind == yaml.MappingNode && n != nil && n.Value == key {
				return e
			}
		}
	}
	return nil
}

func drop(at *yaml.Node, key string) {
	switch gone := child(at, key); {
	case gone == nil:
	case at.Kind == yaml.MappingNode:
		for i := 0; i < len(at.Content); i += 2 {
			if at.Content[i+1] == gone {
				at.Content = append(at.Content[:i], at.Content[i+2:]...)
				return
			}
		}
	default:
		for i := range at.Content {
			if at.Content[i] == gone {
				at.Content = append(at.Content[:i], at.Content[i+1:]...)
				return
			}
		}
	}
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
