package proxy

// Parameters of a request, read from the raw query and a raw body, for facts and
// matches only: what is forwarded is never touched.
//
// The reading errs towards finding more than the origin does: names are decoded,
// "a.b" and "a b" count as "a_b" as in PHP, ";" separates like "&". A fact that is
// found twice, in two places or in array form ("qty[]") is a fault.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"penstock/rules"
)

// params answers for the query and, once read, the body of one request.
type params struct {
	query  []byte
	body   []byte
	kind   bodyKind
	fields []pair // of a multipart or JSON body
}

type pair struct{ name, value string }

type bodyKind uint8

const (
	bodyNone bodyKind = iota
	bodyForm
	bodyMultipart
	bodyJSON
	bodyForeign // some other type: no facts can be read from it
)

var errBody = errors.New("the body cannot be read as its Content-Type says")

// setBody takes the body into account.
func (p *params) setBody(contentType, body []byte) error {
	p.body, p.fields = body, p.fields[:0]
	if len(body) == 0 {
		p.kind = bodyNone
		return nil
	}
	base, attrs, err := mime.ParseMediaType(string(contentType))
	switch {
	case base == "application/x-www-form-urlencoded" && err == nil:
		p.kind = bodyForm
	case base == "multipart/form-data" && err == nil:
		p.kind = bodyMultipart
		return p.readMultipart(attrs["boundary"])
	case err == nil && (base == "application/json" || strings.HasSuffix(base, "+json")):
		p.kind = bodyJSON
		return p.readJSON()
	default:
		p.kind = bodyForeign
	}
	return nil
}

func (p *params) readMultipart(boundary string) error {
	if boundary == "" {
		return errBody
	}
	r := multipart.NewReader(bytes.NewReader(p.body), boundary)
	for {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errBody
		}
		value, err := io.ReadAll(part)
		if err != nil || len(p.fields) == maxFields {
			return errBody
		}
		p.fields = append(p.fields, pair{part.FormName(), string(value)})
	}
}

// readJSON keeps the members of the top-level object, every one of them: a name that
// stands twice must be seen twice. Members that are not scalars have no value.
func (p *params) readJSON() error {
	d := json.NewDecoder(bytes.NewReader(p.body))
	d.UseNumber()
	if t, err := d.Token(); err != nil {
		return errBody
	} else if t != json.Delim('{') {
		p.kind = bodyForeign
		return nil
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || len(p.fields) == maxFields {
			return errBody
		}
		var v any
		if d.Decode(&v) != nil {
			return errBody
		}
		switch v := v.(type) {
		case string:
			p.fields = append(p.fields, pair{name, v})
		case json.Number:
			p.fields = append(p.fields, pair{name, v.String()})
		default:
			p.fields = append(p.fields, pair{name + "[]", ""})
		}
	}
	if _, err := d.Token(); err != nil {
		return errBody
	}
	if _, err := d.Token(); err != io.EOF {
		return errBody
	}
	return nil
}

// found is what a look for one parameter brought.
type found struct {
	value   string
	n       int // how often it is there, over all places
	inPlace int // how often in the place that was asked for
	array   bool
}

// find looks for a parameter in all places; kind is the one it belongs to.
func (p *params) find(kind rules.SourceKind, name string) (f found) {
	p.each(func(at rules.SourceKind, k, v string) {
		array := false
		if i := strings.IndexByte(k, '['); i >= 0 {
			k, array = k[:i], true
		}
		if !sameName(k, name) {
			return
		}
		f.n++
		f.array = f.array || array
		if at == kind {
			f.inPlace++
			f.value = v
		}
	})
	return f
}

// Has implements rules.Params. A value in another place than the rule names counts
// too: many shops read both, and a match protects.
func (p *params) Has(_ rules.SourceKind, name, value string) (is bool) {
	p.each(func(_ rules.SourceKind, k, v string) {
		if i := strings.IndexByte(k, '['); i >= 0 {
			k = k[:i]
		}
		is = is || v == value && sameName(k, name)
	})
	return is
}

func (p *params) each(see func(at rules.SourceKind, name, value string)) {
	eachPair(p.query, func(k, v string) { see(rules.FromQuery, k, v) })
	switch p.kind {
	case bodyForm:
		eachPair(p.body, func(k, v string) { see(rules.FromForm, k, v) })
	case bodyMultipart:
		for _, f := range p.fields {
			see(rules.FromForm, f.name, f.value)
		}
	case bodyJSON:
		for _, f := range p.fields {
			see(rules.FromJSON, f.name, f.value)
		}
	}
}

func eachPair(b []byte, see func(name, value string)) {
	for len(b) > 0 {
		piece := b
		if i := bytes.IndexAny(b, "&;"); i >= 0 {
			piece, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(piece) == 0 {
			continue
		}
		name, value, _ := bytes.Cut(piece, []byte("="))
		see(unescape(name), unescape(value))
	}
}

// unescape decodes percent escapes and "+"; what is no escape stays as it is.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]):
			out = append(out, unhex(b[i+1])<<4|unhex(b[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// sameName compares parameter names as PHP would store them.
func sameName(a, b string) bool {
	a = strings.TrimLeft(a, " ")
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	if c == '.' || c == ' ' {
		return '_'
	}
	return c
}
