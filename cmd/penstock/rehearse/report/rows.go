package report

// The figures of a chart as a table, for those who do not see it. A row is a stretch of
// seconds, so that ten minutes are as short to hear as one.

import (
	"fmt"
	"math"
)

// table is what stands under a chart.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
}

func (r *Result) table(c chart) table {
	step := stretch(len(r.Seconds))
	t := table{Caption: fmt.Sprintf("%s, mean of each %s", c.Unit, few(int64(step), "second", "seconds")), Head: []string{"from"}}
	if c.Log {
		t.Caption = fmt.Sprintf("the worst second in each %s", few(int64(step), "second", "seconds"))
	}
	for _, s := range c.Series {
		t.Head = append(t.Head, s.Label)
	}
	for from := 0; from < len(r.Seconds) && len(c.Series) > 0; from += step {
		row := []string{fmt.Sprintf("%d s", from)}
		for _, s := range c.Series {
			row = append(row, s.cell(s.Values[from:min(from+step, len(s.Values))], c.Unit))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// stretch is how many seconds make a row: a round number.
func stretch(seconds int) int {
	for _, step := range []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800} {
		if seconds <= step*mostRows {
			return step
		}
	}
	return (seconds + mostRows - 1) / mostRows
}

// cell sums up some seconds.
func (s *series) cell(values column, unit string) string {
	n, sum, most := 0, 0.0, 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			n, sum, most = n+1, sum+v, max(most, v)
		}
	}
	switch {
	case n == 0:
		return "–"
	case unit == "ms" && s.worst:
		return span(Millis(most))
	case s.worst:
		return decimal(most)
	}
	return decimal(sum / float64(n))
}
