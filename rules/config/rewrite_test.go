package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRewrite(t *testing.T) {
	const before = `# ours
listen: ":8080"
origin: {url: "http://127.0.0.1:8081", concurrency: 7}
admin: {listen: "127.0.0.1:9900", token_file: x}
sales:
  - name: a.b
    opens: "2026-11-27T20:00:00+08:00"
  - name: phone # the one
    opens: "2026-11-27T20:00:00+08:00"
    stock: {units: 5}
`
	const after = `# ours
listen: ":8080"
origin: {url: "http://127.0.0.1:1", concurrency: 7}
admin: {listen: "127.0.0.1:9900"}
sales:
  - name: phone # the one
    stock: {units: 5, per_account: 2}
store:
  embedded:
    path: /x/y.db
`
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Rewrite(file, []Change{
		{"origin/url", `"http://127.0.0.1:1"`}, {"admin/token_file", ""}, {"nothing/here", ""}, {"sales/phone/opens", ""},
		{"sales/phone/stock/per_account", "2"}, {"store/embedded/path", "/x/y.db"}, {"sales/a.b", ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != after {
		t.Errorf("got\n%s\nwant\n%s", got, after)
	}
	for _, c := range []Change{{"sales/watch/opens", "1"}, {"listen/x", "1"}, {"listen", "{"}} {
		if _, err := Rewrite(file, []Change{c}); err == nil {
			t.Errorf("%v: want an error", c)
		}
	}
	if _, err := Rewrite(file+"x", nil); err == nil {
		t.Error("no file: want an error")
	}
}
