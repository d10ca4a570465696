package decisions

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"penstock/proxy/gate"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.UnixMicro(1764288000123456)

func hashed(account string) string {
	h := fnv.New64a()
	h.Write([]byte(account))
	return fmt.Sprintf("%016x", h.Sum64())
}

func decision(account string) *gate.Decision {
	return &gate.Decision{
		Facts:  &gate.Facts{At: at, IP: netip.MustParseAddr("192.0.2.7"), Account: account, Sale: &rules.Sale{Name: "phone", Opens: at.Add(-152 * time.Millisecond)}},
		Reason: gate.SoldOut, Would: gate.Challenge, Won: true,
	}
}

func newLog(t testing.TB) *Log {
	return New(hashed, func(err error) { t.Errorf("reported: %v", err) })
}

func lines(t testing.TB, name string) (all []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

func TestLineIsAsDocumented(t *testing.T) {
	l := newLog(t)
	defer l.Close()
	const want = `{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"sold_out","o":152,"would":"challenge","won":true}` + "\n"
	if got := string(l.append(nil, decision("c:alice"), false)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	bare := &gate.Decision{Facts: &gate.Facts{At: at, Sale: &rules.Sale{Name: "phone"}}, Step: gate.Orders, Reason: gate.Closed}
	if got, want := string(l.append(nil, bare, false)), `{"t":1764288000123456,"sale":"phone","step":"order","reason":"closed"}`+"\n"; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if got, want := string(l.append(nil, decision("c:alice"), true)), `"acct":"#`+hashed("c:alice")+`"`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
}

// FuzzAccount: whatever a client calls itself, a line is one line of valid JSON, and two
// accounts never read as one.
func FuzzAccount(f *testing.F) {
	f.Add("c:alice", "c:bob")
	f.Add("c:\"\\\n\x00\x7f", "c:\xff")
	f.Add("c:\xff", "c:\xfe")
	f.Add("#0123456789abcdef", "c:\u2028")
	l := New(hashed, func(error) {})
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, a, b string) {
		read := func(account string) string {
			line := l.append(nil, decision(account), false)
			if n := len(line); line[n-1] != '\n' || strings.Contains(string(line[:n-1]), "\n") || !json.Valid(line) || !utf8.Valid(line) {
				t.Fatalf("%q: %q is not one line of JSON", account, line)
			}
			var back struct{ Acct string }
			if err := json.Unmarshal(line, &back); err != nil {
				t.Fatal(err)
			}
			return back.Acct
		}
		x, y := read(a), read(b)
		if a != b && x == y {
			t.Errorf("%q and %q both read as %q", a, b, x)
		}
		if utf8.ValidString(a) && (a == "" || a[0] != '#') && x != a {
			t.Errorf("%q reads as %q", a, x)
		}
	})
}

func TestEverybodysLinesAreWrittenWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "decisions.log")
	l := newLog(t)
	l.Use(&rules.Decisions{File: file, Size: 1 << 30, Files: 3})
	var all sync.WaitGroup
	const people, each = 20, 500
	for p := range people {
		all.Go(func() {
			for range each {
				l.Decided(decision(fmt.Sprint("c:", p)))
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, line := range lines(t, file) {
		var d struct{ Acct string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[d.Acct]++
	}
	for p := range people {
		if n := seen[fmt.Sprint("c:", p)]; n != each {
			t.Errorf("%d lines of person %d, want %d", n, p, each)
		}
	}
	if s := l.Stats(); s != (Stats{Lines: people * each}) {
		t.Errorf("stats %+v", s)
	}
}

// TestTwoProcessesOneFile: as while one hands over to the other, and whichever begins
// another file, no line is lost or broken.
func TestTwoProcessesOneFile(t *testing.T) {
	dir := t.TempDir()
	d := &rules.Decisions{File: filepath.Join(dir, "a[1].log"), Size: 4000, Files: 100}
	var one, two file
	const rounds = 200
	for i := range rounds {
		for j, f := range []*file{&one, &two} {
			if _, err := f.write(d, fmt.Appendf(nil, "{\"line\":\"%d of %d, and some more of it to fill the file\"}\n", i, j)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(one.close(), two.close()); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range names {
		for _, line := range lines(t, filepath.Join(dir, n.Name())) {
			seen[line] = true
		}
	}
	if len(seen) != 2*rounds || len(names) < 4 {
		t.Errorf("%d lines in %d files, want %d in several", len(seen), len(names), 2*rounds)
	}
}

func TestOldFilesAreForgotten(t *testing.T) {
	dir := t.TempDir()
	d := &rules.Decisions{File: filepath.Join(dir, "d.log"), Size: 10, Files: 3}
	keep := filepath.Join(dir, "d.log.sha256") // somebody else's
	if err := os.WriteFile(keep, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var f file
	for range 8 {
		if _, err := f.write(d, []byte("{\"a\":\"line\"}\n")); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, "d.log.2*"))
	if len(names) != d.Files-1 {
		t.Errorf("%d old files, want %d: %v", len(names), d.Files-1, names)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Error("a file that is not ours is gone")
	}
}

// TestTroubleIsReportedOnceAndEndsByItself: a directory that is missing, and then is there.
func TestTroubleIsReportedOnceAndEndsByItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	reports := make(chan error, 100)
	l := New(hashed, func(err error) { reports <- err })
	l.Use(&rules.Decisions{File: filepath.Join(dir, "d.log"), Size: 1 << 20, Files: 2})
	for len(reports) == 0 || l.Stats().Failures < 3 {
		l.Decided(decision("c:lost"))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for {
		l.Decided(decision("c:found"))
		if info, err := os.Stat(filepath.Join(dir, "d.log")); err == nil && info.Size() > 0 {
			break
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(reports) != 1 {
		t.Errorf("%d reports, want 1", len(reports))
	}
}

// TestNobodyWaitsForTheDisk: what there is no room for is dropped, counted, and no more.
func TestNobodyWaitsForTheDisk(t *testing.T) {
	l := newLog(t)
	l.Use(&rules.Decisions{File: filepath.Join(t.TempDir(), "d.log"), Size: 1 << 30, Files: 2})
	l.mu.Lock()
	l.filling = append(l.filling, make([]byte, room-10)...) // the writer has not come by
	l.mu.Unlock()
	before := l.Stats()
	for l.Stats().Dropped == 0 && l.Stats().Lines < 1_000_000 {
		l.mu.Lock()
		l.filling = append(l.filling[:0], make([]byte, room-10)...)
		l.mu.Unlock()
		l.Decided(decision("c:one too many"))
	}
	if after := l.Stats(); after.Dropped == before.Dropped {
		t.Errorf("stats %+v: nothing was dropped", after)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyIsNamedInAFileOfHashes: accounts are written as hashes from one moment on, in
// another file, while everybody asks.
func TestNobodyIsNamedInAFileOfHashes(t *testing.T) {
	dir := t.TempDir()
	l := newLog(t)
	files := [2]*rules.Decisions{
		{File: filepath.Join(dir, "clear.log"), Size: 1 << 30, Files: 2},
		{File: filepath.Join(dir, "hashed.log"), Size: 1 << 30, Files: 2, Hash: true},
	}
	l.Use(files[0])
	var all sync.WaitGroup
	const people, each = 4, 500
	for range people {
		all.Go(func() {
			for range each {
				l.Decided(decision("c:alice"))
			}
		})
	}
	for i := range 50 {
		l.Decided(decision("c:alice"))
		l.Use(files[(i+1)%2])
	}
	all.Wait()
	l.Decided(decision("c:alice"))
	l.Use(nil)
	l.Decided(decision("c:nobody"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Decided(decision("c:nobody"))
	n := 0
	for _, d := range files {
		for _, line := range lines(t, d.File) {
			if n++; strings.Contains(line, "#") != d.Hash || strings.Contains(line, "nobody") {
				t.Fatalf("%s has %s", d.File, line)
			}
		}
	}
	if want := people*each + 51; n != want || l.Stats() != (Stats{Lines: uint64(want)}) {
		t.Errorf("%d lines, and stats %+v, want %d", n, l.Stats(), want)
	}
}

// TestWhatIsWrittenIsCounted, and nothing twice: of lines that are there although another
// file could not be begun, of those that a full disk has broken, of those behind a file that
// cannot be there.
func TestWhatIsWrittenIsCounted(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "d.log")
	for turn := range 2 { // what stands where the oldest files are to be forgotten cannot be removed
		if err := os.MkdirAll(filepath.Join(fmt.Sprint(name, ".2000010", turn, "T000000.000000"), "full"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var reports []error
	l := New(hashed, func(err error) { reports = append(reports, err) })
	l.Use(&rules.Decisions{File: name, Size: 1, Files: 1})
	l.Decided(decision("c:alice"))
	l.Use(&rules.Decisions{File: filepath.Join(dir, "missing", "d.log"), Size: 1, Files: 1})
	l.Decided(decision("c:lost"))
	l.Decided(decision("c:lost"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s != (Stats{Lines: 1, Dropped: 2, Failures: 2}) || len(reports) == 0 {
		t.Errorf("stats %+v, reports %v", s, reports)
	}
}

// TestNextLineAfterABrokenOneIsWhole: as when a disk was full in the middle of a line, and
// for the end of that, too.
func TestNextLineAfterABrokenOneIsWhole(t *testing.T) {
	d := &rules.Decisions{File: filepath.Join(t.TempDir(), "d.log"), Size: 1 << 20, Files: 1}
	if err := os.WriteFile(d.File, []byte(`{"a":"bro`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := file{name: d.File, torn: true}
	for range 2 {
		if _, err := f.write(d, []byte("{\"a\":\"line\"}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, d.File); len(got) != 3 || got[1] != `{"a":"line"}` || got[2] != got[1] {
		t.Errorf("%q", got)
	}
}

func TestDecidedAllocatesNothing(t *testing.T) {
	l := newLog(t)
	defer l.Close()
	l.Use(&rules.Decisions{File: filepath.Join(t.TempDir(), "d.log"), Size: 1 << 30, Files: 2})
	d := decision("c:alice")
	l.mu.Lock()
	l.filling, l.spare = make([]byte, 0, room), make([]byte, 0, room)
	l.mu.Unlock()
	if n := testing.AllocsPerRun(2000, func() { l.Decided(d) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkDecided(b *testing.B) {
	l := newLog(b)
	defer l.Close()
	l.Use(&rules.Decisions{File: filepath.Join(b.TempDir(), "d.log"), Size: 64 << 20, Files: 2})
	d := decision("c:0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		l.Decided(d)
	}
	b.ReportMetric(float64(l.Stats().Dropped)/float64(b.N), "dropped/op")
}
