package mine

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"penstock/cmd/penstock/mine/judge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write golden files")

func tallied(t *testing.T, p *people) ([]judge.Row, *Result) {
	t.Helper()
	r := mined(t, strings.Join(p.lines(), "\n")+"\n", Options{Workers: 2})
	var tally judge.Tally
	seen := 0
	err := r.Ranked(t.Context(), 0, 0, func(a *Ranked) error {
		seen++
		tally.Add(p.kinds[a.Name], float64(a.Score))
		if p.kinds[a.Name] == "person" && a.Score >= Threshold {
			t.Errorf("%s: %d: %s", a.Name, a.Score, a.Reasons)
		}
		return nil
	})
	if err != nil || seen != len(p.kinds) {
		t.Fatalf("ranked %d accounts of %d, %v", seen, len(p.kinds), err)
	}
	return tally.Table(Threshold), r
}

func TestCheatsAreFoundAndPeopleAreNot(t *testing.T) {
	for seed := range uint64(2) {
		rows, r := tallied(t, crowd(seed))
		for _, row := range rows {
			if row.Kind != judge.Person && (row.AUC < .99 || row.Recall < .9 || row.Precision < 1) {
				t.Errorf("seed %d: %+v", seed, row)
			}
		}
		var out bytes.Buffer
		judge.Write(&out, rows, Threshold)
		t.Logf("%s%v", out.String(), r.Rings)
		if len(r.Rings) < 4 || r.Rings[0].Accounts < 70 || r.Rings[0].Accounts > 90 {
			t.Errorf("seed %d: rings %v", seed, r.Rings)
		}
	}
}

func TestHonestCrowdsAreNoRings(t *testing.T) {
	for seed := range uint64(2) {
		p := newPeople(seed, "phone")
		p.honest(1500, 200, 2000, 400)
		_, r := tallied(t, p)
		for _, ring := range r.Rings {
			if ring.Accounts > 4 || ring.Opening || ring.Moments {
				t.Errorf("seed %d: %v", seed, ring)
			}
		}
	}
}

// everything is all that a run says.
func everything(t testing.TB, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(r.JSON(t.Context(), &b, 0, 0), r.Table(t.Context(), &b, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(t.Context(), &b, 1, 0); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRoomDoesNotShow: neither partitions, memory, workers nor the order of lines change a byte.
func TestRoomDoesNotShow(t *testing.T) {
	p := newPeople(3, "phone")
	p.honest(15, 8, 15, 8)
	p.house("house", 20, "203.0.113.7")
	p.rotating("rot", 18, 8)
	p.herd("herd", 12)
	q := newPeople(4, "console")
	q.honest(10, 8, 5, 8)
	q.house("house", 20, "203.0.113.7")
	lines := append(p.lines(), q.lines()...)
	want := everything(t, mined(t, strings.Join(lines, "\n"), Options{Workers: 1, Parts: 1}))
	rapid.Check(t, func(rt *rapid.T) {
		shuffled := rapid.Permutation(lines).Draw(rt, "lines")
		o := Options{
			Workers: rapid.IntRange(1, 4).Draw(rt, "workers"), Parts: 1 << rapid.IntRange(0, 8).Draw(rt, "parts"),
			keep: rapid.SampledFrom([]int64{1, 1 << 18, 1 << 30}).Draw(rt, "keep"), sort: rapid.SampledFrom([]int{1, 1 << 17, 1 << 30}).Draw(rt, "sort"),
		}
		if got := everything(t, mined(t, strings.Join(shuffled, "\n"), o)); got != want {
			rt.Fatalf("with %+v:\n%s", o, difference(want, got))
		}
	})
}

func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "want " + w[i] + "\ngot  " + g[i]
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func TestGolden(t *testing.T) {
	p := newPeople(1, "phone")
	p.honest(6, 4, 0, 2)
	p.clock("c:clock", "10.200.0.1")
	p.house("house", 12, "203.0.113.7")
	q := newPeople(2, "console")
	q.honest(3, 4, 0, 0)
	q.acts = append(q.acts, act{opening + 5e6, "console", "#0123456789abcdef", "2001:db8::1", "order", "challenge", ""},
		act{opening + 6e6, "console", "#0123456789abcdef", "2001:db8::2", "order", "admitted", `,"would":"rate_limited","won":true`})
	r := mined(t, strings.Join(append(p.lines(), q.lines()...), "\n"), Options{Workers: 2})
	var table, list, js bytes.Buffer
	if err := errors.Join(r.Table(t.Context(), &table, 0, 20), r.JSON(t.Context(), &js, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(t.Context(), &list, Threshold, 0); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(js.Bytes()) {
		t.Error("not JSON")
	}
	for name, got := range map[string]string{"table.txt": table.String(), "list.csv": list.String(), "all.json": js.String()} {
		file := filepath.Join("testdata", name)
		if *update {
			os.MkdirAll("testdata", 0o755)
			os.WriteFile(file, []byte(got), 0o644)
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != got {
			t.Errorf("%s: %v\n%s", name, err, difference(string(want), got))
		}
	}
}

// TestListIsReadAsItIsMeant reads a list by the rules for lists: a subject up to the first
// comma, and comments of # and a blank.
func TestListIsReadAsItIsMeant(t *testing.T) {
	names := []string{"c:alice", "#0123456789abcdef", "j:ö b", "c:a,b", "c::1", "10.0.0.1", "c:a\nc:b", "# note", " c:x", "h:10.0.0.0/8", "c:a\u2028b"}
	var lines []string
	for _, n := range names {
		b, _ := json.Marshal(n)
		for i := range 60 {
			lines = append(lines, fmt.Sprintf(`{"t":%d,"sale":"s","acct":%s,"step":"buy","reason":"sold_out"}`, opening+int64(i)*50_000, b))
		}
	}
	r := mined(t, strings.Join(lines, "\n"), Options{})
	var out bytes.Buffer
	left, err := r.List(t.Context(), &out, 1, 0)
	if err != nil || left != 7 {
		t.Errorf("left out %d, %v", left, err)
	}
	got := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		if line == "#\n" || strings.HasPrefix(line, "# ") {
			continue
		}
		subject, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ",")
		if !found || !strings.HasPrefix(value, "score=") {
			t.Errorf("line %q", line)
		}
		got[subject] = true
	}
	for _, n := range []string{"c:alice", "#0123456789abcdef", "j:ö b", "h:10.0.0.0/8"} {
		if !got[n] {
			t.Errorf("%s is not listed: %v", n, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("listed %v", got)
	}
}

func TestWhatCannotBeReadIsCounted(t *testing.T) {
	good := `{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"sold_out","o":152,"would":"challenge","won":true}`
	long := strings.Repeat("x", 3*chunkSize)
	text := good + "\n\nnonsense\n" + long + "\n" + good + "\r\n" + strings.Repeat("y", chunkSize) + "\n" + `{"sale":"phone","new":[1],"t":1764288000123457,"step":"look","acct":"c:alice"}` + "\n" + good[:60]
	r := mined(t, text, Options{})
	if r.Lines != 7 || r.Unreadable != 4 || r.Accounts != 1 || r.Sales[0].Lines != 3 || r.Sales[0].Looks != 1 {
		t.Errorf("%+v", r)
	}
	if r.Sales[0].Opened != 1764288000123456-152000 || r.Sales[0].Guessed {
		t.Errorf("opened %d", r.Sales[0].Opened)
	}
	if want := fmt.Sprintf("-: at byte %d", len(good)+2); len(r.Examples) == 0 || !strings.Contains(strings.Join(r.Examples, " "), want) {
		t.Errorf("examples %q, want %s", r.Examples, want)
	}
}

func TestOpeningIsGuessedFromAnswers(t *testing.T) {
	line := func(at int64, reason string) string {
		return act{opening - 9e6 + at, "s", "c:a", "10.0.0.1", "buy", reason, ""}.String() + "\n"
	}
	r := mined(t, line(0, "not_open")+line(1e6, "preflight")+line(2e6, "sold_out")+line(2.5e6, "sold_out"), Options{})
	if s := r.Sales[0]; s.Opened != opening-7e6 || !s.Guessed {
		t.Errorf("%+v", s)
	}
	r.Ranked(t.Context(), 0, 0, func(a *Ranked) error {
		if a.All.First != 0 || a.All.Early != 2 || a.All.Asks != 4 || a.All.Lead != 1e6 {
			t.Errorf("%+v", a.All)
		}
		return nil
	})
}

func TestPackedLogsMayBeCutOff(t *testing.T) {
	dir := t.TempDir()
	text := strings.Join(newCrowdLines(), "\n")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(text))
	z.Close()
	whole, cut := filepath.Join(dir, "a.gz"), filepath.Join(dir, "b.gz")
	os.WriteFile(whole, packed.Bytes(), 0o600)
	os.WriteFile(cut, packed.Bytes()[:packed.Len()/2], 0o600)
	for name, cuts := range map[string]int{whole: 0, cut: 1} {
		r, err := Run(t.Context(), Options{Logs: []string{name}, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Cut) != cuts || r.Unreadable > int64(cuts) || r.Lines == 0 || (cuts == 0) != (r.Lines == int64(len(newCrowdLines()))) {
			t.Errorf("%s: %+v", name, r)
		}
		r.Close()
	}
}

func newCrowdLines() []string {
	p := newPeople(9, "phone")
	p.honest(20, 0, 0, 5)
	return p.lines()
}

func TestOneSaleOfMany(t *testing.T) {
	p, q := newPeople(1, "phone"), newPeople(1, "console")
	p.honest(20, 0, 0, 0)
	q.honest(20, 0, 0, 0)
	r := mined(t, strings.Join(append(p.lines(), q.lines()...), "\n"), Options{Sale: "phone"})
	if len(r.Sales) != 1 || r.Sales[0].Name != "phone" || r.Sales[0].Lines != int64(len(p.acts)) {
		t.Errorf("%+v", r.Sales)
	}
	if _, err := Run(t.Context(), Options{Logs: []string{"/nowhere"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log that is not there: %v", err)
	}
}

// endless is a log without an end.
type endless struct{ line []byte }

func (e endless) Read(b []byte) (int, error) { return copy(b, e.line), nil }

func TestInterruptLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{
		Logs: []string{"-"}, In: endless{[]byte(newCrowdLines()[0] + "\n")}, Tmp: dir, Workers: 2, keep: 1,
		Progress: func(_ string, done, _ int64) {
			if done > 4<<20 {
				cancel()
			}
		},
	}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
