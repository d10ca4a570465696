package report

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}

func TestText(t *testing.T) {
	golden(t, "result.txt", Text(sample(30), false))
}

func TestColourAddsNoWords(t *testing.T) {
	r := sample(30)
	coloured := Text(r, true)
	if bare := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured, ""); bare != Text(r, false) || bare == coloured {
		t.Errorf("without its colours the text is\n%s", bare)
	}
}

// TestTextWithstandsNames: what an origin or a client sends must not command a terminal,
// nor shift a column.
func TestTextWithstandsNames(t *testing.T) {
	r := sample(30)
	r.Sale, r.Origin = "a\x1b]0;owned\a", "b\r\nGO"
	r.Totals.Answers["status \x1b[2J"] = 5
	r.Totals.Answers["售罄"] = 4
	r.Classes[0].Name = "x\ny"
	r.Changes = append(r.Changes, "c\x1b[31m")
	r.Expectations[0].Why = "d\x1b[31m"
	got := Text(r, false)
	if strings.ContainsAny(got, "\x1b\a\r") || strings.Contains(got, "\nGO") {
		t.Errorf("control characters come through: %q", got)
	}
	for _, want := range []string{"售罄", "status ?[2J", "x?y"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	var ends []int
	for line := range strings.Lines(got) {
		if i := strings.LastIndex(line, " %\n"); i > 0 && strings.Count(line, ",") < 2 {
			ends = append(ends, width(line))
		}
	}
	for _, e := range ends {
		if e != ends[0] || len(ends) < 5 {
			t.Fatalf("the shares end in columns %v, want one and the same:\n%s", ends, got)
		}
	}
}

func TestProgress(t *testing.T) {
	s := Second{
		Requests: 11959, Goodput: 489, Best: 500, Answers: map[string]int64{"admitted": 489, "overloaded": 11000, "sold_out": 470},
		Classes: map[string]Moment{"buy": {Served: &Pair{20, 253}}, "page": {Served: &Pair{20, 100}}, "thanks": {}},
		Gateway: &Gauges{Limit: 64, InFlight: 62, Queue: map[string]int64{"winner": 9, "browse": 130}, Units: &Units{Sold: 750, Free: 250}},
	}
	for _, c := range []struct {
		s     Second
		cells int
		want  string
	}{
		{s, 200, "31 s  crowd  asked 11,959  useful 489 of 500  p99 253 ms  sold 750 of 1,000  in flight 62 of 64  waiting 139  admitted 489  overloaded 11,000  sold_out 470"},
		{s, 80, "31 s  crowd  asked 11,959  useful 489 of 500  p99 253 ms  sold 750 of 1,000"},
		{s, 56, "31 s  crowd  asked 11,959  useful 489 of 500  p99 253 ms"},
		{s, 55, "31 s  crowd  asked 11,959  useful 489 of 500"},
		{s, 3, ""},
		{Second{}, 80, "31 s  crowd  asked 0  useful 0"},
	} {
		if got := Progress(30, "crowd", &c.s, c.cells); got != c.want {
			t.Errorf("in %d cells: %q, want %q", c.cells, got, c.want)
		}
	}
}
