package config

// Where in a request a value stands: who asks, what for, how many.

import (
	"slices"

	"penstock/rules"
)

// accounts reads where a request says whose it is.
func accounts(v value, set *rules.Set) []rules.Source {
	var all []rules.Source
	visitor := false
	for _, e := range v.some() {
		if visitor {
			e.fault(afterVisitor)
		}
		at, ok := e.oneOf("header", "cookie", "query", "jwt", "visitor")
		if !ok {
			continue
		}
		src := rules.Source{Kind: kindOf(at.key.name)}
		switch src.Kind {
		case rules.FromVisitor:
			visitor = true
			if !at.boolean() && at.node != nil && at.node.Value == "false" {
				at.fault(notVisitor)
			}
		case rules.FromJWT:
			src.JWT = jwt(at)
		case rules.FromHeader:
			if len(set.TrustedProxies) == 0 {
				at.fault(neverBelieved)
			}
			fallthrough
		default:
			src.Name = sourceName(at, src.Kind)
		}
		all = append(all, src)
	}
	return all
}

func kindOf(name string) rules.SourceKind {
	names := []string{"header", "cookie", "query", "form", "json", "path", "jwt", "visitor"}
	return rules.SourceKind(slices.Index(names, name))
}

// sourceName reads what a value is called where it stands.
func sourceName(v value, k rules.SourceKind) string {
	switch k {
	case rules.FromHeader, rules.FromCookie:
		return v.token()
	case rules.FromPath:
		return v.pattern()
	}
	return v.text()
}

// source reads where one value of a request stands; nil where that cannot be known.
func source(v value, m *rules.Match, names ...string) *rules.Source {
	at, ok := v.oneOf(names...)
	if !ok {
		return nil
	}
	s := &rules.Source{Kind: kindOf(at.key.name)}
	s.Name = sourceName(at, s.Kind)
	if s.Kind.InBody() {
		at.needsBody(m)
	}
	return s
}
