package judge

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAUCIsTheShareOfPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 6), func(i int) float64 { return float64(i) }), 1, 30)
		high, low := slices.Sorted(slices.Values(scores.Draw(t, "high"))), slices.Sorted(slices.Values(scores.Draw(t, "low")))
		var above float64
		for _, h := range high {
			for _, l := range low {
				if h > l {
					above++
				} else if h == l {
					above += .5
				}
			}
		}
		if want := above / float64(len(high)*len(low)); math.Abs(AUC(high, low)-want) > 1e-9 {
			t.Fatalf("AUC %v, want %v", AUC(high, low), want)
		}
	})
}

func TestTable(t *testing.T) {
	var all Tally
	for kind, scores := range map[string][]float64{"person": {0, 10, 60, 5}, "ring": {60, 61, 5, 90}, "clock": {70}} {
		for _, s := range scores {
			all.Add(kind, s)
		}
	}
	want := []Row{
		{"clock", 1, 1, .5, 1, 1}, {"ring", 4, 3, .75, .75, (3.5 + 4 + 1.5 + 4) / 16},
		{All, 5, 4, .8, .8, (4 + 3.5 + 4 + 1.5 + 4) / 20}, {Person, 4, 1, -1, .25, -1},
	}
	got := all.Table(60)
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var out bytes.Buffer
	if err := Write(&out, got, 60); err != nil || !strings.Contains(out.String(), "clock                            1         1     0.500   1.000  1.000\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestLabels(t *testing.T) {
	got, err := Labels(strings.NewReader("# who is who\nc:alice,person\nc:a,b,ring\n\n#0123456789abcdef,clock\n"))
	if err != nil || len(got) != 3 || got["c:a,b"] != "ring" || got["#0123456789abcdef"] != "clock" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Labels(strings.NewReader("c:alice\n")); err == nil {
		t.Error("a line without a kind is read")
	}
}
