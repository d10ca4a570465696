package main_test

// Rehearsals, as operators see them: the command, its exit code, and what it leaves.

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"penstock/cmd/penstock/rehearse/report"
)

const rehearsed = `
listen: ":8080"
origin: {url: "http://192.0.2.1:80"} # never asked
store: {embedded: {path: real.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    opens: "2031-01-01T00:00:00+00:00"
    account: [{cookie: PHPSESSID}, {visitor: true}]
    stock: {units: 40}
`

// rehearse runs the command on a file. Times are not asked for: the machine may be busy.
func rehearse(t *testing.T, text string, args ...string) (code int, said string, r report.Result) {
	t.Helper()
	dir := t.TempDir()
	file, out := write(t, dir, text), filepath.Join(dir, "result.json")
	args = append([]string{"rehearse", "-config", file, "-json", out, "-html", filepath.Join(dir, "result.html"), "-refuse-within", "0", "-max-lag", "20s", "-goodput", "0"}, args...)
	cmd := exec.Command(penstock, args...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("run rehearsal: %v", err)
	}
	code, said = cmd.ProcessState.ExitCode(), string(b)
	if code < 2 {
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatalf("read result: %v\n%s", err, said)
		}
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatalf("read result: %v", err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	hidden, err2 := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for _, name := range append(left, hidden...) {
		if n := filepath.Base(name); n != "penstock.yaml" && n != "result.json" && n != "result.html" {
			t.Errorf("the rehearsal has left %s", n)
		}
	}
	return code, said, r
}

func TestRehearsalGoes(t *testing.T) {
	t.Parallel()
	code, said, r := rehearse(t, rehearsed, "-crowd", "60", "-for", "3s", "-capacity", "1000", "-shop", "-service 2ms", "-seed", "5")
	if code != 0 || r.Verdict != report.Go || !strings.Contains(said, "GO: ") {
		t.Fatalf("exit code %d, verdict %q:\n%s", code, r.Verdict, said)
	}
	if s := r.Stock; s.Loaded != 40 || s.Units.Sold != 40 || s.Orders != 40 || s.Oversold != 0 {
		t.Errorf("stock is %+v, want all 40 sold, and 40 orders at the shop", s)
	}
	if r.Totals.Answers["not_open"] == 0 || r.Totals.Answers["sold_out"] == 0 || r.Totals.Failed != 0 {
		t.Errorf("answers are %v, want some before it opened and some when all was sold", r.Totals.Answers)
	}
	gateway := 0
	for _, s := range r.Seconds {
		if s.Gateway != nil {
			gateway++
		}
	}
	if gateway < 4 || len(r.Seconds) < 6 || len(r.Changes) == 0 || r.Seed != 5 {
		t.Errorf("%d seconds, %d with the gateway's own figures, changes %v", len(r.Seconds), gateway, r.Changes)
	}
	if !strings.Contains(said, "sold 40 of 40") {
		t.Errorf("no progress in\n%s", said)
	}
}

func TestRehearsalDoesNotGo(t *testing.T) {
	t.Parallel()
	file := strings.Replace(rehearsed, `    opens: "2031-01-01T00:00:00+00:00"`+"\n", "", 1)
	code, said, r := rehearse(t, file, "-crowd", "60", "-for", "2s", "-capacity", "1000", "-shop", "-service 2ms -fail-every 3")
	if code != 1 || r.Verdict != report.NoGo || r.Totals.Failed == 0 || !strings.Contains(said, "NO GO: ") {
		t.Errorf("exit code %d, verdict %q, %d failed:\n%s", code, r.Verdict, r.Totals.Failed, said)
	}
}

func TestRehearsalsThatAreNotPlayed(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"192.0.2.1 is not this machine":   {"-origin", "real"},
		"name it twice":                   {"-origin", "real", "-to", "192.0.2.1"},
		"names a user before the host":    {"-gateway", "http://127.0.0.1@192.0.2.1"},
		"203.0.113.1 is not this machine": {"-gateway", "http://203.0.113.1", "-to", "203.0.113.1", "-crowd", "1"},
		"0.0.0.0 is not this machine":     {"-gateway", "http://0.0.0.0:80", "-crowd", "1"},
		"a gateway that runs has its own": {"-gateway", "http://127.0.0.1", "-origin", "shop"},
		"there is no sale":                {"-sale", "watch"},
		"nothing can be done to Redis":    {"-redis-dead", "5s"},
		"is not a time":                   {"-redis-slow", "5s,x"},
		"-shape":                          {"-shape", "flood"},
		"there is no \"O99\"":             {"-origin", "model:O99"},
		"want shop, model:NAME or real":   {"-origin", "x"},
		"-config FILE is missing":         {"-config", ""},
		"find the sample shop":            {"-sampleshop", "/nowhere"},
	} {
		code, said, _ := rehearse(t, rehearsed, args...)
		if code != 2 || !strings.Contains(said, want) {
			t.Errorf("%v: exit code %d, want 2 and %q in\n%s", args, code, want, said)
		}
	}
}
