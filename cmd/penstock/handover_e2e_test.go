package main_test

// Hand-overs in which something goes wrong, or comes in between. Whatever it is, one
// gateway serves in the end, and the units are what they were.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/limiter/stock/stocktest"
)

const handing = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 20}
store: {STORE}
shutdown: {delay: DELAY, timeout: 20s}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 100}
`

// house is a line of gateways whose program can be changed: they are started by a link.
type house struct {
	*lineage
	t    *testing.T
	shop *shop
	dir  string
	file string
}

func newHouse(t *testing.T, store, delay string) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), shop: startShop(t, "-service=0", "-workers=20")}
	h.file = write(t, h.dir, handing, "SHOP", h.shop.addr, "STORE", store, "DELAY", delay)
	h.program(penstock)
	h.lineage = found(t, exec.Command(filepath.Join(h.dir, "penstock"), "run", "-config", h.file))
	return h
}

// program is what the next gateway will be.
func (h *house) program(path string) {
	h.t.Helper()
	link := filepath.Join(h.dir, "penstock")
	os.Remove(link)
	if err := os.Symlink(path, link); err != nil {
		h.t.Fatal(err)
	}
}

// script is a program of a shell's, with the sockets at 3 and 4, and the pipes at 5 and 6.
func (h *house) script(lines ...string) {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "script")
	text := "#!/bin/sh\necho $$ >" + h.pidFile() + "\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		h.t.Fatal(err)
	}
	h.program(path)
}

func (h *house) pidFile() string { return filepath.Join(h.dir, "pid") }

// scriptRuns waits until the script does, and returns its number.
func (h *house) scriptRuns() (pid int) {
	h.t.Helper()
	eventually(h.t, "the script to run", func() bool {
		b, _ := os.ReadFile(h.pidFile())
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid != 0
	})
	return pid
}

// sells asserts that the gateway sells one more, and that all that was sold is known.
func (h *house) sells(account string, sold int) {
	h.t.Helper()
	if r := buy(h.t, h.proxy, account); r.status != 201 {
		h.t.Errorf("%s: got %d %q, want 201", account, r.status, r.reason())
	}
	states, all := h.stock(h.t, "phone")
	if states["sold"] != sold || states["free"] != 100-sold || all != 100 {
		h.t.Errorf("stock is %v, want %d sold", states, sold)
	}
}

// upgradeFails asks for an upgrade and wants to be told why there is none.
func (h *house) upgradeFails(why string) {
	h.t.Helper()
	code, said := operate(h.t, h.gateway, "upgrade", "-by", "ann", "-why", "test")
	if code != 1 || !strings.Contains(said, "the old process goes on: ") || !strings.Contains(said, why) {
		h.t.Errorf("upgrade: exit code %d: %s, want 1 and %q", code, said, why)
	}
}

const (
	prepared = `echo '{"State":"prepared"}' >&5`
	waitsFor = `read word <&6`
)

func TestANewProgramThatFailsChangesNothing(t *testing.T) {
	for name, store := range map[string]string{"embedded": embeddedStore, "redis": redisStore(t)} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, store, "0s")
			h.sells("first", 1)
			before := descriptors(t, h.pid())
			h.script("exit 3")
			h.upgradeFails("exit status 3")
			h.script(prepared, "exit 4")
			h.upgradeFails("exit status 4")
			h.script("echo nonsense >&5", "exit 5")
			h.upgradeFails("exit status 5")
			h.program("/nowhere")
			h.upgradeFails("no such file")
			write(t, h.dir, "listen: 1\n")
			h.program(penstock)
			h.upgradeFails("penstock.yaml:1: ")
			if after := descriptors(t, h.pid()); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("after hand-overs that failed %v is open, before it was %v", after, before)
			}
			write(t, h.dir, handing, "SHOP", h.shop.addr, "STORE", store, "DELAY", "0s")
			h.sells("second", 2)
			old := h.pid()
			h.signal(t, syscall.SIGUSR2)
			h.next(t)
			h.ended(t, old)
			h.sells("third", 3)
		})
	}
}

// TestTheStoreIsOpenedAgain: the new process fails when the old one has closed it.
func TestTheStoreIsOpenedAgain(t *testing.T) {
	h := newHouse(t, embeddedStore, "0s")
	h.sells("first", 1)
	at, c := h.proxy, &client{addr: h.proxy}
	defer c.close()
	h.script(prepared, waitsFor, `echo '{"State":"failed","Why":"no luck"}' >&5`, "exit 1")
	if code, said := operate(t, h.gateway, "upgrade", "-by", "ann", "-why", "test"); code != 1 || !strings.Contains(said, "no luck") {
		t.Errorf("upgrade: exit code %d: %s, want 1 and why", code, said)
	}
	h.next(t) // the same process anew
	if h.pids[0] != h.pids[1] || h.proxy != at {
		t.Errorf("process %d at %s, want %d at %s", h.pids[1], h.proxy, h.pids[0], at)
	}
	h.pids = h.pids[:1]
	h.sells("second", 2)
	refused(t, "the first buyer", buy(t, h.proxy, "first"), "already_bought")
	h.signal(t, syscall.SIGTERM)
	if code := h.ended(t, h.pid()); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestNothingLeaksToTheNewProcess: a new program finds its sockets and two pipes open, and
// is told of them.
func TestNothingLeaksToTheNewProcess(t *testing.T) {
	h := newHouse(t, embeddedStore, "0s")
	list := filepath.Join(h.dir, "list")
	h.script(`ls /proc/$$/fd >`+list, `echo "$PENSTOCK_HANDOVER" >>`+list, "exit 1")
	h.upgradeFails("exit status 1")
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(b))
	var numbers []string
	for _, w := range words {
		if _, err := strconv.Atoi(w); err == nil && len(w) == 1 { // 10 and more are the shell's own
			numbers = append(numbers, w)
		}
	}
	slices.Sort(numbers)
	if got := strings.Join(numbers, ""); got != "0123456" {
		t.Errorf("descriptors %s are open, want 0 to 6", got)
	}
	if want := `{"Sockets":[{"Name":"proxy","Listen":"127.0.0.1:0"},{"Name":"admin","Listen":"127.0.0.1:0"}]}`; words[len(words)-1] != want {
		t.Errorf("it is told %s, want %s", words[len(words)-1], want)
	}
}

// TestSignalsDuringAHandOver: a second USR2 is of no use, HUP is kept for later, and TERM
// ends both processes.
func TestSignalsDuringAHandOver(t *testing.T) {
	h := newHouse(t, embeddedStore, "0s")
	h.script("exec sleep 600")
	h.signal(t, syscall.SIGUSR2)
	pid := h.scriptRuns()
	h.signal(t, syscall.SIGUSR2)
	logged(t, h, `"a hand-over is under way already"`)
	h.sells("while it waits", 1)
	h.signal(t, syscall.SIGHUP)
	syscall.Kill(pid, syscall.SIGKILL)
	logged(t, h, `"the hand-over failed: this process goes on"`)
	logged(t, h, `"reloaded"`)
	h.sells("afterwards", 2)

	os.Remove(h.pidFile())
	h.signal(t, syscall.SIGUSR2)
	pid = h.scriptRuns()
	h.signal(t, syscall.SIGTERM)
	if code := h.ended(t, h.pid()); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("the new process is still there")
	}
}

func logged(t *testing.T, h *house, words string) {
	t.Helper()
	h.says(t, regexp.QuoteMeta(words), 1)
}

// TestHangupDuringAHandOverReachesTheNewProcess: who asks for a reload gets one, whoever
// serves in the end.
func TestHangupDuringAHandOverReachesTheNewProcess(t *testing.T) {
	h := newHouse(t, embeddedStore, "0s")
	old := h.pid()
	h.signal(t, syscall.SIGUSR2)
	logged(t, h, `"the new process waits for the store"`)
	h.signal(t, syscall.SIGHUP)
	h.next(t)
	h.ended(t, old)
	logged(t, h, `"reloaded"`)
	if n := h.metrics(t)[`penstock_reload_total{result="applied"}`]; n != 1 {
		t.Errorf("the new process has reloaded %v times, want once", n)
	}
	h.sells("afterwards", 1)
}

// TestTheOldProcessIsKilledInBetween: the one that waits for the store takes it.
func TestTheOldProcessIsKilledInBetween(t *testing.T) {
	h := newHouse(t, embeddedStore, "60s") // so long would the old one wait for the silent
	h.sells("first", 1)
	h.signal(t, syscall.SIGUSR2)
	logged(t, h, `"the new process waits for the store"`)
	h.signal(t, syscall.SIGKILL)
	h.next(t)
	h.sells("second", 2)
	refused(t, "the first buyer", buy(t, h.proxy, "first"), "already_bought")
}

// TestTermWhileTheStoreIsWaitedFor ends the one that waits, and drains the other.
func TestTermWhileTheStoreIsWaitedFor(t *testing.T) {
	h := newHouse(t, embeddedStore, "2s")
	h.signal(t, syscall.SIGUSR2)
	logged(t, h, `"the new process waits for the store"`)
	h.signal(t, syscall.SIGTERM)
	if code := h.ended(t, h.pid()); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, pid := range successors(h.text(t)) {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d, which waited, is still there", pid)
		}
	}
	if n := len(announced.FindAllString(h.text(t), -1)); n != 1 {
		t.Errorf("%d processes have served, want 1", n)
	}
}

// TestOtherAddressesAndStores: what a reload cannot change an upgrade can.
func TestOtherAddressesAndStores(t *testing.T) {
	h := newHouse(t, embeddedStore, "0s")
	h.sells("first", 1)
	old, proxy, admin := h.pid(), h.proxy, h.admin
	elsewhere := anywhere(t)
	text := strings.Replace(handing, `listen: "127.0.0.1:0"`, `listen: "`+elsewhere+`"`, 1)
	write(t, h.dir, text, "SHOP", h.shop.addr, "STORE", fmt.Sprintf("redis: {addrs: [%q], timeout: 5s}", stocktest.StartRedis(t).Addr), "DELAY", "0s")
	if code, said := operate(t, h.gateway, "upgrade", "-by", "ann", "-why", "test"); code != 0 {
		t.Fatalf("upgrade: exit code %d: %s", code, said)
	}
	h.next(t)
	h.ended(t, old)
	if h.proxy != elsewhere || h.admin != admin {
		t.Errorf("the new process is at %s and %s, want %s and %s", h.proxy, h.admin, elsewhere, admin)
	}
	h.sells("second", 1) // of another store
	if c, err := net.DialTimeout("tcp", proxy, time.Second); err == nil {
		c.Close()
		t.Errorf("%s is still open", proxy)
	}
}

// TestALongDownloadHoldsNothingUp: what is no sale's is finished by the old process, long
// after the new one has the store.
func TestALongDownloadHoldsNothingUp(t *testing.T) {
	release := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun, ")
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "done")
	}))
	defer origin.Close()
	file := write(t, t.TempDir(), handing, "SHOP", origin.Listener.Addr().String(), "STORE", embeddedStore, "DELAY", "0s")
	l := found(t, exec.Command(penstock, "run", "-config", file))
	old := l.pid()
	resp, err := http.Get("http://" + l.proxy + "/film")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	l.signal(t, syscall.SIGUSR2)
	l.next(t)
	close(release)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "begun, done" {
		t.Errorf("the download is %q, %v", b, err)
	}
	if code := l.ended(t, old); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestAWebSocketHoldsNothingUp: it lives on in the old process, and nobody waits for the
// store because of it.
func TestAWebSocketHoldsNothingUp(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, both, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(c, both)
	}))
	defer origin.Close()
	file := write(t, t.TempDir(), handing, "SHOP", origin.Listener.Addr().String(), "STORE", embeddedStore, "DELAY", "0s")
	l := found(t, exec.Command(penstock, "run", "-config", file))
	old := l.pid()
	c, err := net.Dial("tcp", l.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(15 * time.Second)) // below shutdown.timeout
	io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	br := bufio.NewReader(c)
	if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("asked for a WebSocket: %v, %v", resp, err)
	}
	l.signal(t, syscall.SIGUSR2)
	l.next(t)
	io.WriteString(c, "still here\n")
	if said, err := br.ReadString('\n'); said != "still here\n" {
		t.Errorf("behind the hand-over the WebSocket says %q, %v", said, err)
	}
	c.Close()
	if code := l.ended(t, old); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
