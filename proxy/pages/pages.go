// Package pages holds what people see when Penstock answers itself: one small
// self-contained page, the same for every reason but for its words; one that checks
// whether somebody is a person; and one that says what came of it.
//
// No request ever puts markup into them: the words are ours, or the operator's own file
// replaces the page.
package pages

import (
	_ "embed"
	"html/template"
	"strings"
)

//go:embed refusal.html
var refusal string

//go:embed style.css
var style string

// Slots in a rendered page, for what is known only per request.
const (
	SlotDetail  = "{detail}"  // HTML-escaped text
	SlotSeconds = "{seconds}" // until asking again makes sense; 0: it does not
	SlotRepost  = "{repost}"  // "1" after a POST, else "0"
)

// Render makes the page of one reason, with its slots still open.
func Render(title string) string {
	return fill(refusal, words{Title: title, Style: template.CSS(style)})
}

// words are what the embedded templates ask for.
type words struct {
	Title   string
	Style   template.CSS
	Script  template.JS
	Captcha bool
}

func fill(text string, w words) string {
	var b strings.Builder
	t := template.Must(template.New("").Parse(text))
	if err := t.Execute(&b, w); err != nil {
		panic(err) // the embedded template and its only values are ours
	}
	return b.String()
}
