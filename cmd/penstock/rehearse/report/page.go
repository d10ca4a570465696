package report

// The page: one file that needs no network, no server and no other file. Its charts are
// drawn by uPlot (uplot/, MIT licence beside it), everything else is HTML that is read as
// well without scripts.
//
// Names that came from outside are escaped by html/template. Should one slip through all
// the same, the page's own policy runs no script but the two whose hashes it names, and
// loads nothing.

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

var (
	//go:embed page.html
	pageHTML string

	//go:embed page.css
	pageCSS string

	//go:embed page.js
	pageJS string

	//go:embed uplot/uPlot.iife.min.js
	plotJS string

	//go:embed uplot/uPlot.min.css
	plotCSS string

	//go:embed uplot/LICENSE
	plotLicense string
)

// page is what the template sees.
type page struct {
	*Result
	Charts   []chart
	Data     data
	Style    template.CSS
	Plot, JS template.JS
	Policy   string
	License  string
}

// data is what the script sees.
type data struct {
	Seconds int     `json:"seconds"`
	Phases  []mark  `json:"phases"`
	Faults  []mark  `json:"faults"`
	Charts  []chart `json:"charts"`
}

// mark is a stretch of time with a name, in seconds.
type mark struct {
	Name string  `json:"name"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// WritePage writes the page.
func WritePage(w io.Writer, r *Result) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"count": count, "span": span, "rate": decimal, "met": met, "add": func(a, b int) int { return a + b },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("parse page: %w", err)
	}
	p := page{
		Result: r, Charts: charts(r), Style: template.CSS(plotCSS + pageCSS), Plot: template.JS(plotJS), JS: template.JS(pageJS), License: plotLicense,
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; script-src " + hash(plotJS) + " " + hash(pageJS),
	}
	p.Data = data{Seconds: len(r.Seconds), Charts: []chart{}, Phases: []mark{}, Faults: []mark{}}
	for _, c := range p.Charts {
		if !c.Empty() {
			p.Data.Charts = append(p.Data.Charts, c)
		}
	}
	for _, f := range r.Phases {
		p.Data.Phases = append(p.Data.Phases, mark{f.Name, float64(f.From) / 1000, float64(f.To) / 1000})
	}
	for _, f := range r.Faults {
		to := float64(f.To) / 1000
		if f.To == 0 {
			to = float64(len(r.Seconds))
		}
		p.Data.Faults = append(p.Data.Faults, mark{f.What, float64(f.From) / 1000, to})
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// hash names a script to the page's policy.
func hash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Reasons are the totals by reason.
func (p page) Reasons() [][]string { return p.reasons() }

// Kinds are the latencies that were counted.
func (p page) Kinds() []kind {
	var all []kind
	for _, c := range p.Classes {
		for _, k := range c.kinds() {
			if k.Count > 0 {
				all = append(all, k)
			}
		}
	}
	return all
}

// When is a fault's time in words, for the page.
func (f Fault) When() string { return f.when() }

// Words and Shop say what the stock came to, for the page.
func (s Stock) Words() string { return s.Units.words() }
func (s Stock) Shop() string  { return s.shop() }
