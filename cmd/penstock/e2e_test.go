// The tests from outside: the real binary, the sample shop, a real Redis, each a
// process of its own, over loopback. What they prove is what customers see and what
// the shop has recorded, never what the gateway thinks of itself alone.
//
// They give up isolation from the machine: they need redis-server in PATH and a few
// thousand descriptors, and fail without. This file starts and stops the processes.
package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where TestMain has put the binaries.
var penstock, sampleshop string

// patience bounds every wait for something that should happen at once. It is long
// because the machine may be busy, and costs nothing where all is well.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "penstock-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make directory for binaries:", err)
		os.Exit(1)
	}
	build := exec.Command("go", "build", "-o", dir, "penstock/cmd/penstock", "penstock/cmd/sampleshop")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build binaries: %v\n%s", err, out)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	penstock, sampleshop = filepath.Join(dir, "penstock"), filepath.Join(dir, "sampleshop")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is one that the test has started and that ends with it.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    *logbook
	exited chan struct{} // closed once it has, and code is set
	code   int           // -1: by a signal
}

// start runs a binary. What it has printed is shown if the test fails.
func start(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(binary), cmd: exec.Command(binary, args...), log: &logbook{}, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		p.cmd.Wait() // its error is in ProcessState
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("last words of %s:\n%s", p.name, p.log.tail(6<<10))
		}
	})
	return p
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v to %s: %v", s, p.name, err)
	}
}

// wait returns the exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.code
	case <-time.After(patience):
		t.Fatalf("%s has not ended after %v", p.name, patience)
		return -1
	}
}

// says waits until the process has printed what the pattern matches, and returns the
// groups of the first match.
func (p *process) says(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(t, fmt.Sprintf("%s to print %s", p.name, pattern), func() bool {
		select {
		case <-p.exited:
			if found = re.FindStringSubmatch(p.log.text()); found == nil {
				t.Fatalf("%s ended with %d and did not print %s:\n%s", p.name, p.code, pattern, p.log.tail(4<<10))
			}
		default:
			found = re.FindStringSubmatch(p.log.text())
		}
		return found != nil
	})
	return found
}

// logbook keeps what a process prints.
type logbook struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.Write(b)
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.String()
}

func (l *logbook) tail(n int) string {
	s := l.text()
	return s[max(0, len(s)-n):]
}

// eventually waits until ok answers true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// gateway is a running penstock.
type gateway struct {
	*process
	proxy, admin string // host:port
}

// startGateway runs the gateway on a file and waits until it serves.
func startGateway(t *testing.T, file string) *gateway {
	t.Helper()
	g := &gateway{process: start(t, penstock, "run", "-config", file)}
	at := g.says(t, `"msg":"listening".*"proxy":"([^"]+)".*"admin":"([^"]+)"`)
	g.proxy, g.admin = at[1], at[2]
	eventually(t, "readiness", func() bool { return g.ready(t) })
	return g
}

// ready asks /readyz.
func (g *gateway) ready(t *testing.T) bool {
	t.Helper()
	status, _ := fetch(t, "http://"+g.admin+"/readyz")
	return status == http.StatusOK
}

// metrics are all series by name and labels as they are printed.
func (g *gateway) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	_, text := fetch(t, "http://"+g.admin+"/metrics")
	all := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		series, value, _ := cutLast(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(series, "#") {
			all[series] = v
		}
	}
	return all
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// stock are the units of a sale by state, summed over its items; all is their sum.
func (g *gateway) stock(t *testing.T, sale string) (units map[string]int, all int) {
	t.Helper()
	label := regexp.MustCompile(`[{,]state="([a-z]+)"`)
	units = map[string]int{}
	for series, v := range g.metrics(t) {
		state := label.FindStringSubmatch(series)
		if state == nil || !strings.HasPrefix(series, "penstock_stock_units{") || !strings.Contains(series, `sale="`+sale+`"`) {
			continue
		}
		units[state[1]] += int(v)
		all += int(v)
	}
	return units, all
}

// shop is a running sampleshop.
type shop struct {
	*process
	addr string // host:port
}

func startShop(t *testing.T, args ...string) *shop {
	t.Helper()
	s := &shop{process: start(t, sampleshop, append([]string{"-listen=127.0.0.1:0", "-control"}, args...)...)}
	s.addr = s.says(t, `listening on http://(\S+)`)[1]
	return s
}

// order is one line of the shop's books.
type order struct {
	Order, Account, Token string
	Qty                   int
	Paid                  bool
}

// books is what really reached the shop.
type books struct {
	Count, Units, Checkouts, Duplicates int
	Orders                              []order
}

func (s *shop) books(t *testing.T) (b books) {
	t.Helper()
	_, text := fetch(t, "http://"+s.addr+"/orders")
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatalf("read the shop's orders: %v", err)
	}
	return b
}

// told changes how the shop behaves, in the words of its flags: "service=1s&stall=1".
func (s *shop) told(t *testing.T, query string) {
	t.Helper()
	resp, err := http.Post("http://"+s.addr+"/-/control?"+query, "", nil)
	if err != nil {
		t.Fatalf("tell the shop %s: %v", query, err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("tell the shop %s: %d %s", query, resp.StatusCode, b)
	}
}

// last is the head of the checkout that reached the shop last.
func (s *shop) last(t *testing.T) http.Header {
	t.Helper()
	var head struct{ Header http.Header }
	_, text := fetch(t, "http://"+s.addr+"/-/last")
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		t.Fatalf("read the shop's last checkout: %v", err)
	}
	return head.Header
}

// fetch gets a page from a process of our own. Status 0: nobody listens there.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return 0, ""
	}
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	return resp.StatusCode, string(b)
}

// operate runs an operators' command against a gateway. It returns its exit code and all
// that it has said.
func operate(t *testing.T, g *gateway, words ...string) (code int, said string) {
	t.Helper()
	cmd := exec.Command(penstock, append(words, "-admin", g.admin)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("run %v: %v", words, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// write puts a configuration in a directory; names in pairs are replaced by values.
func write(t *testing.T, dir, text string, pairs ...string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "penstock.yaml")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(text)), 0o600); err != nil {
		t.Fatalf("write configuration: %v", err)
	}
	return file
}
