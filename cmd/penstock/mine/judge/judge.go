// Package judge says how well a score tells kinds of accounts from people.
//
// It gives up nothing: all scores are kept, and the area under the curve is by rank, with
// ties counted half. It does not know what the score is made of.
package judge

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Person is the kind that is honest. All others are to be found.
const Person = "person"

// All is the name of the row that takes all other kinds together.
const All = "all"

// Row is how well one kind is told from people. What it needs and there is none of is -1.
type Row struct {
	Kind      string  `json:"kind"`
	Accounts  int     `json:"accounts"`
	Found     int     `json:"found"`     // at or above the threshold
	Precision float64 `json:"precision"` // of all found among this kind and people, the share that is this kind
	Recall    float64 `json:"recall"`    // of this kind, the share that was found
	AUC       float64 `json:"auc"`       // the chance that one of this kind scores above a person
}

// Tally gathers scores by kind. The zero Tally is empty and ready.
type Tally struct{ scores map[string][]float64 }

// Add counts one account.
func (t *Tally) Add(kind string, score float64) {
	if t.scores == nil {
		t.scores = map[string][]float64{}
	}
	t.scores[kind] = append(t.scores[kind], score)
}

// Table has a row for each kind by name, then All, then Person, whose recall is the share of
// people that would be wronged.
func (t *Tally) Table(threshold float64) []Row {
	people := slices.Sorted(slices.Values(t.scores[Person]))
	wronged := atLeast(people, threshold)
	var rows []Row
	var all []float64
	for _, kind := range slices.Sorted(maps.Keys(t.scores)) {
		if kind != Person {
			rows = append(rows, row(kind, t.scores[kind], people, threshold, wronged))
			all = append(all, t.scores[kind]...)
		}
	}
	rows = append(rows, row(All, all, people, threshold, wronged))
	return append(rows, Row{Kind: Person, Accounts: len(people), Found: wronged, Precision: -1, Recall: ratio(wronged, len(people)), AUC: -1})
}

func row(kind string, scores, people []float64, threshold float64, wronged int) Row {
	scores = slices.Sorted(slices.Values(scores))
	found := atLeast(scores, threshold)
	return Row{
		Kind: kind, Accounts: len(scores), Found: found,
		Precision: ratio(found, found+wronged), Recall: ratio(found, len(scores)), AUC: AUC(scores, people),
	}
}

func ratio(part, whole int) float64 {
	if whole == 0 {
		return -1
	}
	return float64(part) / float64(whole)
}

func atLeast(sorted []float64, threshold float64) int {
	i, _ := slices.BinarySearch(sorted, threshold)
	return len(sorted) - i
}

// AUC is the chance that one drawn from high is above one drawn from low, where ties count
// half (Mann and Whitney's U over the product of their numbers). Both are in rising order.
// It is -1 where one is empty.
func AUC(high, low []float64) float64 {
	if len(high) == 0 || len(low) == 0 {
		return -1
	}
	var u float64
	below, upTo := 0, 0 // of low: how many are below, and not above, the one at hand
	for _, h := range high {
		for below < len(low) && low[below] < h {
			below++
		}
		for upTo < len(low) && low[upTo] <= h {
			upTo++
		}
		u += float64(below+upTo) / 2
	}
	return u / float64(len(high)) / float64(len(low))
}

// Write writes the rows as a table for people.
func Write(w io.Writer, rows []Row, threshold float64) error {
	_, err := fmt.Fprintf(w, "%-24s %9s %9s %9s %7s %6s   (threshold %g)\n", "kind", "accounts", "found", "precision", "recall", "auc", threshold)
	for _, r := range rows {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-24s %9d %9d %9s %7s %6s\n", r.Kind, r.Accounts, r.Found, share(r.Precision), share(r.Recall), share(r.AUC))
		}
	}
	return err
}

func share(x float64) string {
	if x < 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", x)
}

// Labels reads lines "account,kind". The kind is what follows the last comma. Empty lines,
// and those of "#" and a blank, say nothing.
func Labels(r io.Reader) (map[string]string, error) {
	kinds := map[string]string{}
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line == "#" || strings.HasPrefix(line, "# ") {
			continue
		}
		i := strings.LastIndexByte(line, ',')
		if i <= 0 || i == len(line)-1 {
			return nil, fmt.Errorf("line %d is not account,kind", n)
		}
		kinds[line[:i]] = line[i+1:]
	}
	return kinds, s.Err()
}
