// Package pages holds what people see when Penstock answers itself: one small
// self-contained page, the same for every reason but for its words.
//
// No request ever puts markup into it: the words are ours, or the operator's own file
// replaces the page.
package pages

import (
	_ "embed"
	"html/template"
	"strings"
)

//go:embed refusal.html
var refusal string

// Slots in a rendered page, for what is known only per request.
const (
	SlotDetail  = "{detail}"  // HTML-escaped text
	SlotSeconds = "{seconds}" // until asking again makes sense; 0: it does not
	SlotRepost  = "{repost}"  // "1" after a POST, else "0"
)

// Render makes the page of one reason, with its slots still open.
func Render(title string) string {
	var b strings.Builder
	t := template.Must(template.New("refusal").Parse(refusal))
	if err := t.Execute(&b, struct{ Title string }{title}); err != nil {
		panic(err) // the embedded template and its only value are ours
	}
	return b.String()
}
