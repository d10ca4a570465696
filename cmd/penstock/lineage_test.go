package main_test

// Gateways that follow each other: each is started by the one before, or all by a parent
// that keeps the sockets. All write to one file, because a pipe to the test would end with
// the first.

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lineage is a gateway and those that took over from it.
type lineage struct {
	*gateway        // by address only: its process is nil
	log      string // file
	pids     []int  // of those that have served, the one that serves last
	waited   map[int]int
}

var announced = regexp.MustCompile(`"msg":"listening","proxy":"([^"]+)","admin":"([^"]+)".*"pid":(\d+)`)

// found starts the first: a command that becomes a gateway. Whoever of the line is left in
// the end is killed.
func found(t *testing.T, cmd *exec.Cmd) *lineage {
	t.Helper()
	// Orphans become ours, so that their exit codes can be asked for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatalf("become the parent of orphans: %v", err)
	}
	l := &lineage{gateway: &gateway{}, log: filepath.Join(t.TempDir(), "log"), waited: map[int]int{}}
	t.Cleanup(func() {
		l.extinguish(t)
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	})
	l.start(t, cmd)
	return l
}

// start starts a process that writes to the log, and waits until it serves.
func (l *lineage) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := os.OpenFile(l.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %v: %v", cmd.Args, err)
	}
	l.next(t)
}

// next waits until one more serves.
func (l *lineage) next(t *testing.T) {
	t.Helper()
	n := len(l.pids)
	eventually(t, fmt.Sprintf("gateway %d to serve", n+1), func() bool {
		all := announced.FindAllStringSubmatch(l.text(t), -1)
		if len(all) <= n {
			return false
		}
		pid, _ := strconv.Atoi(all[n][3])
		l.proxy, l.admin, l.pids = all[n][1], all[n][2], append(l.pids, pid)
		return true
	})
}

func (l *lineage) text(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(l.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// says waits until n lines of the log match.
func (l *lineage) says(t *testing.T, pattern string, n int) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var all []string
	eventually(t, fmt.Sprintf("%d × %s in the log", n, pattern), func() bool {
		all = re.FindAllString(l.text(t), -1)
		return len(all) >= n
	})
	return all
}

func (l *lineage) pid() int { return l.pids[len(l.pids)-1] }

// signal goes to the one that serves.
func (l *lineage) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(l.pid(), s); err != nil {
		t.Fatalf("signal %v to %d: %v", s, l.pid(), err)
	}
}

// ended waits for the end of a process of the line, and returns its exit code; -1: a signal.
func (l *lineage) ended(t *testing.T, pid int) int {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d to end", pid), func() bool { return l.reap(pid) })
	return l.waited[pid]
}

// reap reports whether the process has ended. One that has a parent in the line is nobody's
// to ask for, and has not.
func (l *lineage) reap(pid int) bool {
	if _, done := l.waited[pid]; done {
		return true
	}
	var status syscall.WaitStatus
	got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	switch {
	case err == nil && got == pid:
		l.waited[pid] = status.ExitStatus()
	case err == syscall.ECHILD && syscall.Kill(pid, 0) == syscall.ESRCH:
		l.waited[pid] = -2 // its parent has asked
	default:
		return false
	}
	return true
}

// extinguish kills all that is left.
func (l *lineage) extinguish(t *testing.T) {
	if t.Failed() {
		text := l.text(t)
		t.Logf("last words of the line:\n%s", text[max(0, len(text)-8<<10):])
	}
	for _, pid := range append(l.pids, successors(l.text(t))...) {
		if !l.reap(pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for _, pid := range l.pids {
		l.ended(t, pid)
	}
}

// successors are processes that a gateway has spoken of.
func successors(log string) (pids []int) {
	for _, m := range regexp.MustCompile(`"msg":"(?:the new process waits for the store|handed over)","pid":(\d+)`).FindAllStringSubmatch(log, -1) {
		pid, _ := strconv.Atoi(m[1])
		pids = append(pids, pid)
	}
	return pids
}

// descriptors counts what a process has open that is not a connection, by kind.
//
// A file that is open for a moment only, as state is written now and then, does not count.
func descriptors(t *testing.T, pid int) (open map[string]int) {
	t.Helper()
	eventually(t, "twice the same descriptors", func() bool {
		last := open
		open = opened(t, pid)
		return last != nil && maps.Equal(open, last)
	})
	return open
}

func opened(t *testing.T, pid int) map[string]int {
	t.Helper()
	listening := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table)) // there may be no IPv6
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" {
				listening["socket:["+f[9]+"]"] = true
			}
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		kind, _, _ := strings.Cut(to, ":")
		switch {
		case err != nil: // closed meanwhile
		case listening[to]:
			kinds["listening"]++
		case kind != "socket":
			kinds[kind]++
		}
	}
	return kinds
}
