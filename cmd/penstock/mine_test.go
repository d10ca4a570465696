package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mineLog is a bot and a person.
func mineLog() string {
	var b strings.Builder
	const opened = 1764288000_000000
	fmt.Fprintf(&b, `{"t":%d,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"look","reason":"admitted"}`+"\n", opened-5_000_000)
	fmt.Fprintf(&b, `{"t":%d,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"admitted","o":420,"won":true}`+"\n", opened+420_000)
	for i := range 50 {
		fmt.Fprintf(&b, `{"t":%d,"sale":"phone","acct":"c:bot","ip":"203.0.113.7","step":"buy","reason":"sold_out","o":%d}`+"\n", opened+20_000+i*100_000, 20+i*100)
	}
	return b.String()
}

func TestMineWritesWhatIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	log, labels, list := filepath.Join(dir, "decisions.log"), filepath.Join(dir, "labels"), filepath.Join(dir, "list.csv")
	write(t, log, mineLog()+"nonsense\n")
	write(t, labels, "c:alice,person\nc:bot,clock\n")
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{log}, 0, "c:alice", "1 of 53 lines cannot be read"},
		{[]string{"-min", "60", log}, 0, "never looked at the product page", ""},
		{[]string{"-format", "json", "-top", "1", log}, 0, `{"account":"c:bot"`, ""},
		{[]string{"-format", "list", "-"}, 0, "c:bot,score=", ""},
		{[]string{"-labels", labels, log}, 0, "clock                            1         1     1.000   1.000  1.000", ""},
		{[]string{"-format", "list", "-o", list, "-tmp", dir, log}, 0, "", ""},
		{[]string{"-sale", "other", log}, 0, "0 accounts", ""},
		{nil, 2, "", "no logs"},
		{[]string{"-format", "yaml", log}, 2, "", "want table, json or list"},
		{[]string{"-memory", "1KiB", log}, 2, "", "too little"},
		{[]string{"-memory", "much", log}, 2, "", "not a size"},
		{[]string{filepath.Join(dir, "nowhere")}, 1, "", "no such file"},
		{[]string{"-o", filepath.Join(dir, "no", "where"), log}, 1, "", "no such file"},
	} {
		var out, errs bytes.Buffer
		code := mines(c.args, strings.NewReader(mineLog()), &out, &errs)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
			t.Errorf("%q: %d, want %d\n%s%s", c.args, code, c.code, out.String(), errs.String())
		}
	}
	got, err := os.ReadFile(list)
	if err != nil || !strings.Contains(string(got), "\nc:bot,score=") || strings.Contains(string(got), "alice") {
		t.Errorf("list: %v\n%s", err, got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".penstock*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
