package conformance

// The tests of the standard library's reverse proxy, one by one: where their scenarios are
// shown here, or why there is nothing to show.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	noHooks = "it is about the Go interface of httputil: Penstock is no library and has no hooks"
	noPaths = "it is about joining two paths: an origin has an address and no path, and the target goes as it is"
)

var scenarios = map[string]string{
	"TestReverseProxy": "TestHostileTable (29, 17), TestAnswersByteForByte; trailers are dropped; an origin that hangs up: its row \"nothing\"",
	"TestReverseProxyStripHeadersPresentInConnection":                 "TestHostileTable (29), TestAnswersByteForByte (\"hop by hop\")",
	"TestReverseProxyStripEmptyConnection":                            "TestHostileTable (\"named behind an empty line\")",
	"TestXForwardedFor":                                               "TestHostileTable (17: forged ones), proxy.TestTrustedHopsAreKept",
	"TestXForwardedFor_Omit":                                          noHooks + "; the header is always made",
	"TestReverseProxyRewriteStripsForwarded":                          "TestHostileTable (17)",
	"TestReverseProxyQuery":                                           "TestHostileTable (15)",
	"TestReverseProxyFlushInterval":                                   "TestPiecesComeThroughAtOnce",
	"TestReverseProxyResponseControllerFlushInterval":                 "TestPiecesComeThroughAtOnce",
	"TestReverseProxyFlushIntervalHeaders":                            "TestPiecesComeThroughAtOnce: the head comes before the first piece is sent",
	"TestReverseProxyCancellation":                                    "the contrary is wanted: what was sent is seen through, client or no client; a client that leaves before is TestThoseWhoLeftAreNotServed",
	"TestNilBody":                                                     "TestHostileTable (20: nothing made up)",
	"TestUserAgentHeader":                                             "TestHostileTable (20, \"empty User-Agent\")",
	"TestReverseProxyGetPutBuffer":                                    noHooks,
	"TestReverseProxy_Post":                                           "TestHostileTable (22, \"length at the limit\")",
	"TestReverseProxy_NilBody":                                        "TestHostileTable (20)",
	"TestReverseProxy_AllocatedHeader":                                noHooks,
	"TestReverseProxyModifyResponse":                                  noHooks,
	"TestReverseProxyErrorHandler":                                    "TestAnswersByteForByte: refused answers",
	"TestReverseProxy_CopyBuffer":                                     "TestAnswersCutAtEveryByte",
	"TestServeHTTPDeepCopy":                                           "TestEveryPageGoesToWhomItBelongs",
	"TestClonesRequestHeaders":                                        noHooks,
	"TestModifyResponseClosesBody":                                    noHooks,
	"TestReverseProxy_PanicBodyError":                                 "TestAnswersCutAtEveryByte",
	"TestReverseProxy_PanicClosesIncomingBody":                        "TestRequestsCutAtEveryByte, TestLongUploadsCut",
	"TestSelectFlushInterval":                                         "TestPiecesComeThroughAtOnce: nothing is to be selected",
	"TestReverseProxyWebSocket":                                       "proxy.TestWebSocket, TestWebSocketCarriesMuch",
	"TestReverseProxyWebSocketCancellation":                           "proxy.TestWebSocketBreaks",
	"TestReverseProxyWebSocketHalfTCP":                                "proxy.TestWebSocket, TestShopEndsFirst",
	"TestReverseProxyUpgradeNoCloseWrite":                             "proxy.TestShopEndsFirst",
	"TestReverseProxyHijackCopyError":                                 "proxy.TestWebSocketBreaks",
	"TestUnannouncedTrailer":                                          "trailers are dropped: TestAnswersByteForByte (\"chunks with trailers\")",
	"TestSetURL":                                                      noPaths,
	"TestSingleJoinSlash":                                             noPaths,
	"TestJoinURLPath":                                                 noPaths,
	"TestReverseProxyRewriteReplacesOut":                              noHooks,
	"Test1xxHeadersNotModifiedAfterRoundTrip":                         "TestAnswersByteForByte: interim answers end at the gateway and leave nothing behind",
	"Test1xxResponses":                                                "TestAnswersByteForByte: interim answers end at the gateway",
	"TestReverseProxyQueryParameterSmugglingDirectorDoesNotParseForm": "TestHostileTable (15)",
	"TestReverseProxyQueryParameterSmugglingDirectorParsesForm":       "TestHostileTable (15, \"form that was read for its sale\")",
	"TestReverseProxyQueryParameterSmugglingRewrite":                  "TestHostileTable (15)",
	"TestReverseProxyQueryParameterSmugglingRewritePreservesRawQuery": "TestHostileTable (15)",
	"TestReverseProxyInvalidUpstream100ContinueDoNotHang":             "TestExpectationIsMetWhenTheBodyIsWanted (\"for an origin that is not there\")",
}

// testName is how tests are named where they are told of.
var testName = regexp.MustCompile(`\b(Test|Fuzz)[A-Z0-9]\w*`)

func TestEveryScenarioOfHttputilIsAccountedFor(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := testsOf(t, filepath.Join(strings.TrimSpace(string(root)), "src/net/http/httputil/reverseproxy_test.go"))
	if len(theirs) == 0 {
		t.Log("this Go comes without its tests") // distributions leave them out
	}
	for name := range theirs {
		if scenarios[name] == "" {
			t.Errorf("httputil's %s is not accounted for", name)
		}
	}
	for name := range scenarios {
		if len(theirs) > 0 && !theirs[name] {
			t.Errorf("httputil has no %s", name)
		}
	}
	known := ours(t)
	for name, where := range scenarios {
		told(t, known, name, where)
	}
}

// told checks that the tests a text tells of exist.
func told(t *testing.T, known map[string]bool, what, text string) {
	t.Helper()
	for _, name := range testName.FindAllString(text, -1) {
		if !known[name] {
			t.Errorf("%s: there is no %s", what, name)
		}
	}
}

// ours are all tests of this tree.
func ours(t *testing.T) map[string]bool {
	t.Helper()
	dirs := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, "_test.go") {
			dirs[filepath.Dir(path)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return testsOf(t, slices.Collect(maps.Keys(dirs))...)
}

// testsOf are the names of tests in files, or in the files of directories.
func testsOf(t *testing.T, paths ...string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, p := range paths {
		files, _ := filepath.Glob(filepath.Join(p, "*_test.go"))
		if strings.HasSuffix(p, ".go") {
			files = []string{p}
		}
		for _, f := range files {
			if _, err := os.Stat(f); err != nil {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && testName.MatchString(fn.Name.Name) {
					names[fn.Name.Name] = true
				}
			}
		}
	}
	return names
}

// hazards is how many there are.
const hazards = 45

func TestEveryHazardIsAccountedFor(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^//\t ?(\d+)  .+:\n//\t    (.+)$`).FindAllStringSubmatch(string(doc), -1)
	if len(lines) != hazards {
		t.Fatalf("doc.go tells of %d hazards, want %d", len(lines), hazards)
	}
	rows := map[int]bool{}
	for _, r := range table() {
		rows[r.hazard] = true
	}
	known := ours(t)
	for i, l := range lines {
		if l[1] != strconv.Itoa(i+1) {
			t.Errorf("hazard %s stands in place of %d", l[1], i+1)
		}
		if !testName.MatchString(l[2]) && l[2][0] != '(' {
			t.Errorf("hazard %d: neither a test nor a reason: %s", i+1, l[2])
		}
		if strings.Contains(l[2], "TestHostileTable") && !rows[i+1] {
			t.Errorf("hazard %d has no row in the table", i+1)
		}
		told(t, known, "hazard "+l[1], l[2])
	}
}
