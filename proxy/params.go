package proxy

// Parameters of a request, read from the raw query and a raw body, for facts and
// matches only: what is forwarded is never touched.
//
// The reading errs towards finding more than the origin does: names are decoded and
// compared as the laxest shop would, ";" separates like "&". A fact that is found twice,
// in two places or in array form ("qty[]") is a fault, and so is a body of which two
// readers may see different parts.

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
	broken bool
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

var errBody = errors.New("read body: not what its type says")

// setBody takes the body into account. One that cannot be read as its type says is
// broken, and foreign.
func (p *params) setBody(contentType, body []byte) {
	if p.broken = p.readBody(contentType, body) != nil; p.broken {
		p.kind = bodyForeign
	}
}

func (p *params) readBody(contentType, body []byte) error {
	p.body, p.fields = body, p.fields[:0]
	if len(body) == 0 {
		p.kind = bodyNone
		return nil
	}
	base, attrs, err := mime.ParseMediaType(string(contentType))
	switch {
	case err != nil || !asciiLike(attrs["charset"]):
		p.kind = bodyForeign
	case base == "application/x-www-form-urlencoded":
		p.kind = bodyForm
	case base == "multipart/form-data":
		p.kind = bodyMultipart
		return p.readMultipart(contentType, attrs)
	case base == "application/json" || strings.HasSuffix(base, "+json"):
		p.kind = bodyJSON
		return p.readJSON()
	default:
		p.kind = bodyForeign
	}
	return nil
}

// asciiLike reports whether ASCII in a charset is ASCII. In some it is not (UTF-16,
// IBM037), and a shop that knows them reads another body than we do.
func asciiLike(charset string) bool {
	charset = strings.ToLower(charset)
	for _, known := range []string{"utf-8", "utf8", "us-ascii", "iso-8859-", "windows-125", "gb", "big5", "euc-", "shift_jis"} {
		if strings.HasPrefix(charset, known) {
			return true
		}
	}
	return charset == ""
}

// readMultipart keeps the fields of a form. Readers of such bodies differ in much, so
// everything is refused that is not written as browsers write it.
func (p *params) readMultipart(contentType []byte, attrs map[string]string) error {
	delimiter := "--" + attrs["boundary"]
	delete(attrs, "charset")
	if !boundaryOK(delimiter[2:]) || len(attrs) != 1 || bytes.ContainsAny(contentType, `*\`) {
		return errBody
	}
	r := multipart.NewReader(bytes.NewReader(p.body), delimiter[2:])
	for {
		part, err := r.NextRawPart()
		if err == io.EOF {
			// One more would be a part that only other readers see.
			if bytes.Count(p.body, []byte(delimiter)) != len(p.fields)+1 {
				return errBody
			}
			return nil
		}
		if err != nil || !partOK(part) {
			return errBody
		}
		value, err := io.ReadAll(part)
		if err != nil || len(p.fields) == maxFields {
			return errBody
		}
		p.fields = append(p.fields, pair{part.FormName(), string(value)})
	}
}

// boundaryOK: RFC 2046, 5.1.1, without blanks and the comma, where PHP ends it.
func boundaryOK(b string) bool {
	return len(b) > 0 && len(b) <= 70 && strings.Trim(b, "'()+_-./:=?0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// partOK reports whether a part has one name and is not encoded.
func partOK(part *multipart.Part) bool {
	says := part.Header["Content-Disposition"]
	switch strings.ToLower(part.Header.Get("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
		return len(says) == 1 && part.FormName() != "" && !strings.ContainsAny(says[0], "*\\\x00")
	}
	return false
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
		is, array := named(k, name)
		if !is {
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
// too: many shops read both, and a match protects. So does one that differs in case or
// in blanks around it, which most databases take for the same.
func (p *params) Has(_ rules.SourceKind, name, value string) (has bool) {
	p.each(func(_ rules.SourceKind, k, v string) {
		if !has && strings.EqualFold(strings.TrimSpace(v), value) {
			has, _ = named(k, name)
		}
	})
	return has
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

// named reports whether a shop may read a parameter's or cookie's name as want, and
// whether as that of a list. PHP drops blanks in front, ends names at a NUL, and has "_"
// for ".", " " and a "[" that is not closed; others do not tell case apart.
func named(name, want string) (is, list bool) {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	if i := strings.IndexByte(name, '['); i >= 0 && alike(name[:i], want) {
		return true, true
	}
	return alike(name, want), false
}

func alike(a, b string) bool {
	return a == b || strings.EqualFold(strings.Map(underscored, a), strings.Map(underscored, b))
}

func underscored(c rune) rune {
	if c == '.' || c == ' ' || c == '[' {
		return '_'
	}
	return c
}
