package main_test

// Sockets that somebody else has opened, as systemd does: they outlive the process, so stop
// and start is enough, and whoever comes in between waits.

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// activate is a gateway that is given its sockets as systemd does. The shell is there to
// know the process's own number before it begins.
func activate(names string, files []*os.File, file string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" run -config "$1"`, penstock, file)
	cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	return cmd
}

// sockets are listening ones, held open by the test as systemd would.
func openSockets(t *testing.T, n int) (files []*os.File) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

func TestActivatedRestartsLoseNothing(t *testing.T) {
	s := startShop(t, paced...)
	file := write(t, t.TempDir(), steady, "SHOP", s.addr, "STORE", embeddedStore, "HEALTH", "127.0.0.1:0")
	files := openSockets(t, 3)
	l := found(t, activate("proxy:admin:health", files, file))
	before := descriptors(t, l.pid())
	crowd := keepAsking(l.proxy)
	for n := range restarts(t) {
		crowd.goesOn(t, 2*loopers)
		l.signal(t, syscall.SIGTERM)
		if code := l.ended(t, l.pid()); code != 0 {
			t.Errorf("gateway %d: exit code %d, want 0", n+1, code)
		}
		l.start(t, activate("proxy:admin:health", files, file))
	}
	// And what was activated can be handed on.
	crowd.goesOn(t, 2*loopers)
	old := l.pid()
	l.signal(t, syscall.SIGUSR2)
	l.next(t)
	if code := l.ended(t, old); code != 0 {
		t.Errorf("the activated gateway that handed over: exit code %d, want 0", code)
	}
	crowd.goesOn(t, 2*loopers)
	crowd.end(t, l.gateway, s)
	if after := descriptors(t, l.pid()); !maps.Equal(before, after) {
		t.Errorf("the last gateway has %v open, the first had %v", after, before)
	}
}

// TestActivationNamesWhatDoesNotFit: a socket that no key asks for is a mistake that should
// not wait for somebody to notice.
func TestActivationNamesWhatDoesNotFit(t *testing.T) {
	files := openSockets(t, 1)
	plain, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	file := write(t, t.TempDir(), steady, "SHOP", "127.0.0.1:1", "STORE", embeddedStore, "HEALTH", "127.0.0.1:0")
	fails := func(want string, cmd *exec.Cmd) {
		t.Helper()
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("got %v and %s, want %q", err, out, want)
		}
	}
	fails(`: neither listen, admin.listen nor health.listen asks for it`, activate("web", files, file))
	fails(`socket "web" at 127.0.0.1:`, activate("web", files, file))
	fails(`descriptor 3 is not a listening socket`, activate("proxy", []*os.File{plain}, file))
	many := activate("proxy", files, file)
	many.Env = append(many.Env, "LISTEN_FDS=many")
	fails(`LISTEN_FDS is "many"`, many)

	other := exec.Command(penstock, "run", "-config", file)
	other.Env = append(os.Environ(), "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	found(t, other) // what is meant for another process is nothing to us
}
