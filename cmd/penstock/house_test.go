package main

// Rules of the house, held by a machine.

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const top = "../.."

// mayImport is the import table: which packages of ours, and which foreign ones, a
// package may name outside its tests. One thing knows one thing.
var mayImport = map[string][]string{
	"rules":                 {},
	"rules/config":          {"penstock/rules", "gopkg.in/yaml.v3"},
	"proxy/gate":            {"penstock/rules"},
	"proxy/gate/gatetest":   {"penstock/proxy/gate", "penstock/rules", "pgregory.net/rapid"},
	"proxy/upstream":        {"penstock/proxy/socket", "golang.org/x/sys/unix"},
	"proxy/socket":          {"golang.org/x/sys/unix"},
	"proxy/pages":           {},
	"proxy/decisions":       {"penstock/proxy/gate", "penstock/rules", "github.com/hashicorp/golang-lru/v2"},
	"proxy/cache":           {"penstock/rules", "github.com/hashicorp/golang-lru/v2/simplelru"},
	"proxy/resolve":         {"penstock/proxy/gate", "penstock/rules"},
	"proxy/verify":          {"penstock/rules"},
	"proxy/admin":           {"github.com/prometheus/client_golang/"},
	"proxy/certs":           {"penstock/rules"},
	"proxy/certs/certstest": {},
	"proxy/proxyproto":      {},
	"proxy/conformance":     {},
	"proxy": {
		"penstock/proxy/cache", "penstock/proxy/certs", "penstock/proxy/gate", "penstock/proxy/pages", "penstock/proxy/proxyproto", "penstock/proxy/socket", "penstock/proxy/upstream", "penstock/rules",
		"github.com/valyala/fasthttp", "github.com/prometheus/client_golang/", "golang.org/x/sys/unix",
		"github.com/golang-jwt/jwt/v5", "github.com/hashicorp/golang-lru/v2",
	},
	"shedder":          {"penstock/proxy/gate", "penstock/rules"},
	"shedder/model":    {},
	"shedder/matrix":   {},
	"limiter/schedule": {"penstock/proxy/gate", "penstock/rules"},
	"limiter/rate":     {"penstock/proxy/gate", "penstock/rules"},
	"limiter/inflight": {"penstock/proxy/gate", "penstock/rules"},
	"limiter/challenge": {
		"penstock/proxy/gate", "penstock/rules", "github.com/dchest/captcha", "github.com/hashicorp/golang-lru/v2",
	},
	"limiter/challenge/challengetest": {"penstock/proxy/gate"},
	"limiter/stock":                   {"penstock/limiter/stock/guard", "penstock/proxy/gate", "penstock/rules"},
	"limiter/stock/guard":             {},
	"limiter/eligible":                {"penstock/proxy/gate", "penstock/rules"},
	"limiter/eligible/redis":          {"github.com/redis/go-redis/v9"},
	"limiter/ban":                     {"penstock/limiter/shared", "penstock/proxy/gate", "penstock/rules", "github.com/gaissmai/bart"},
	"limiter/lease":                   {"penstock/limiter/shared", "penstock/proxy/gate", "penstock/rules", "github.com/dchest/siphash"},
	"limiter/shared":                  {"penstock/rules"},
	"limiter/shared/redis": {
		"penstock/limiter/shared", "penstock/limiter/stock/redis", "penstock/rules", "github.com/redis/go-redis/v9",
	},
	"limiter/shared/embedded":   {"penstock/limiter/shared", "penstock/limiter/stock/embedded", "go.etcd.io/bbolt"},
	"limiter/shared/sharedtest": {"penstock/limiter/shared", "penstock/rules", "pgregory.net/rapid"},
	"limiter/ladder": {
		"penstock/limiter/ladder/distinct", "penstock/limiter/ladder/memory", "penstock/proxy/gate", "penstock/rules",
	},
	"limiter/ladder/memory":   {},
	"limiter/ladder/distinct": {},
	"limiter/behaviour": {
		"penstock/limiter/ladder", "penstock/limiter/ladder/distinct", "penstock/limiter/ladder/memory", "penstock/proxy/gate", "penstock/rules",
	},
	"limiter/stock/redis": {
		"penstock/limiter/stock", "penstock/limiter/stock/guard", "penstock/proxy/gate", "penstock/rules",
		"github.com/redis/go-redis/v9", "github.com/redis/go-redis/v9/",
	},
	"limiter/stock/embedded": {
		"penstock/limiter/stock", "penstock/limiter/stock/guard", "penstock/proxy/gate", "penstock/rules",
		"go.etcd.io/bbolt", "go.etcd.io/bbolt/errors", "golang.org/x/sys/unix",
	},
	"limiter/stock/stocktest": {
		"penstock/limiter/stock", "penstock/proxy/gate", "penstock/rules", "pgregory.net/rapid", "github.com/anishathalye/porcupine", "github.com/redis/go-redis/v9",
	},
	"limiter/stock/soak":           {},
	"cmd/sampleshop":               {},
	"cmd/penstock/testdata/bare":   {"github.com/valyala/fasthttp"},
	"cmd/penstock/rehearse/crowd":  {"github.com/HdrHistogram/hdrhistogram-go"},
	"cmd/penstock/rehearse/cheats": {"penstock/cmd/penstock/mine/judge", "penstock/proxy/gate", "penstock/rules"},
	"cmd/penstock/rehearse/report": {},
	"cmd/penstock/rehearse": {
		"penstock/cmd/penstock/rehearse/cheats", "penstock/cmd/penstock/rehearse/crowd", "penstock/cmd/penstock/rehearse/report", "penstock/limiter/challenge/challengetest", "penstock/rules", "penstock/rules/config",
		"penstock/proxy/gate", "penstock/shedder/model", "github.com/HdrHistogram/hdrhistogram-go",
	},
	"cmd/penstock/bench":      {},
	"cmd/penstock/mine":       {"penstock/proxy/gate"},
	"cmd/penstock/mine/judge": {},
	"cmd/penstock": {
		"penstock/", "github.com/prometheus/client_golang/", "golang.org/x/sys/unix", "github.com/schollz/progressbar/v3",
	},
}

// forbidden are imports of the standard library that would let a package know what is
// not its business.
var forbidden = map[string][]string{
	"rules":   {"net/http", "os"},
	"shedder": {"net/http", "log/slog"},
	"limiter": {"net/http", "log/slog", "log"},
	"proxy":   {"net/http"},
}

type source struct {
	dir, path string
	file      *ast.File
	lines     int
	test      bool
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(top, filepath.Dir(path))
		all = append(all, source{dir, path, f, fset.File(f.Pos()).LineCount(), strings.HasSuffix(path, "_test.go")})
		return err
	})
	if err != nil || len(all) < 20 {
		t.Fatalf("read the tree: %d files, %v", len(all), err)
	}
	return all
}

func TestImportTable(t *testing.T) {
	for _, s := range sources(t) {
		allowed, listed := mayImport[s.dir]
		if !listed {
			t.Errorf("%s: package %q is not in the import table", s.path, s.dir)
			continue
		}
		if s.test {
			continue
		}
		for _, i := range s.file.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			foreign := strings.HasPrefix(name, "penstock/") || strings.Contains(strings.Split(name, "/")[0], ".")
			if foreign && !slices.ContainsFunc(allowed, func(a string) bool { return name == a || strings.HasSuffix(a, "/") && strings.HasPrefix(name, a) }) {
				t.Errorf("%s may not import %s", s.path, name)
			}
			for root, names := range forbidden {
				if (s.dir == root || root == "limiter" && strings.HasPrefix(s.dir, "limiter/")) && slices.Contains(names, name) {
					t.Errorf("%s may not know %s", s.path, name)
				}
			}
		}
	}
}

func TestOneDocCommentPerPackage(t *testing.T) {
	docs := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		docs[s.dir] = append(docs[s.dir], "")
		if s.file.Doc != nil {
			docs[s.dir][0] += s.path + " "
		}
	}
	for dir, d := range docs {
		if n := len(strings.Fields(d[0])); n != 1 {
			t.Errorf("package %s has %d doc comments (%s), want 1", dir, n, d[0])
		}
	}
}

func TestFilesStaySmallAndHoldNoSurprises(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > 400 {
			t.Errorf("%s has %d lines, want at most 400", s.path, s.lines)
		}
		bubbles := strings.Contains(importsOf(s.file), "testing/synctest")
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s has an init function", s.path)
				}
			case *ast.SelectorExpr:
				x, _ := n.X.(*ast.Ident)
				if s.test && x != nil && x.Name == "time" && n.Sel.Name == "Sleep" && !bubbles {
					t.Errorf("%s sleeps in real time", s.path)
				}
				if s.test && (n.Sel.Name == "Skip" || n.Sel.Name == "SkipNow" || n.Sel.Name == "Skipf") && x != nil && x.Name == "t" {
					t.Errorf("%s skips a test", s.path)
				}
			}
			return true
		})
	}
}

func importsOf(f *ast.File) string {
	var b strings.Builder
	for _, i := range f.Imports {
		b.WriteString(i.Path.Value)
	}
	return b.String()
}

func TestTopLevelIsWhatWasAgreed(t *testing.T) {
	agreed := []string{
		"cmd", "proxy", "limiter", "shedder", "rules", "config.example.yaml", "Dockerfile", "Makefile",
		"go.mod", "go.sum", "README.md", "LICENSE", "CHANGELOG.md", "deploy", "bin",
	}
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(agreed, e.Name()) {
			t.Errorf("%s does not belong at the top", e.Name())
		}
	}
}

// TestFasthttpIsNotOlder: before v1.76 an unread body is read as the next request, and
// a downgrade of another module can silently bring an old one back.
func TestFasthttpIsNotOlder(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-json", "github.com/valyala/fasthttp").Output()
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Version string }
	d := json.NewDecoder(strings.NewReader(string(out)))
	if err := d.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if m.Version != "v1.77.0" {
		t.Errorf("fasthttp is %s, want v1.77.0: read what changed, then change this line", m.Version)
	}
}
