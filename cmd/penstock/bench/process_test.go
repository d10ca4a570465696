package bench

// Processes: the proxies and the shops, each on ports and in a directory of its own,
// started anew for every crowd, because a shop that was drowned has a past.

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

// bins holds our own binaries.
var bins string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if addr := os.Getenv(bareAddr); addr != "" {
		fmt.Fprintln(os.Stderr, serveBare(addr))
		return 1
	}
	dir, err := os.MkdirTemp("", "penstock-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make directory for binaries:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "penstock/cmd/penstock", "penstock/cmd/sampleshop")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build binaries: %v\n%s", err, out)
		return 1
	}
	bins = dir
	return m.Run()
}

// server is a running process that listens.
type server struct {
	addr string
	pid  int
	stop func()
}

// start runs a server until stop, and waits until it accepts connections on addr.
func start(tb testing.TB, addr, dir, binary string, args ...string) server {
	tb.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(binary)+".log"))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	// Apache ends with its whole group, and that must not be ours; nobody outlives us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that its children end, too
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v (make bench-wire, bench-legacy and bench-peers install what they need)", binary, err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait() // its error is in ProcessState
		close(exited)
	}()
	s := server{addr: addr, pid: cmd.Process.Pid, stop: func() {
		cancel()
		<-exited
		log.Close()
	}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return s
		}
		select {
		case <-exited:
		case <-tick.C:
			if time.Now().Before(end) {
				continue
			}
		}
		s.stop()
		said, _ := os.ReadFile(log.Name())
		tb.Fatalf("%s does not listen on %s:\n%s", binary, addr, said)
	}
}

// free is an address that nobody listens on.
func free(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// write makes a file with the words in pairs replaced.
func write(tb testing.TB, dir, name, text string, pairs ...string) string {
	tb.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(text)), 0o644); err != nil {
		tb.Fatal(err)
	}
	return file
}
