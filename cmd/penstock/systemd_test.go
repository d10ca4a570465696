package main_test

// What systemd is told, and what the units for it say.

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// supervisor is the socket at which a service says how it is.
func supervisor(t *testing.T) (path string, told func(want ...string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func(want ...string) {
		t.Helper()
		b := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("wait for %q: %v", want, err)
		}
		lines := slices.DeleteFunc(strings.Split(string(b[:n]), "\n"), func(l string) bool { return strings.HasPrefix(l, "MONOTONIC_USEC=") })
		if !slices.Equal(lines, want) {
			t.Fatalf("the supervisor is told %q, want %q", lines, want)
		}
	}
}

func TestTheSupervisorIsTold(t *testing.T) {
	path, told := supervisor(t)
	s := startShop(t, "-service=0")
	dir := t.TempDir()
	file := write(t, dir, handing, "SHOP", s.addr, "STORE", embeddedStore, "DELAY", "0s")
	cmd := exec.Command(penstock, "run", "-config", file)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	l := found(t, cmd)
	told("READY=1")
	l.signal(t, syscall.SIGHUP)
	told("RELOADING=1")
	told("READY=1")

	write(t, dir, faulty)
	l.signal(t, syscall.SIGUSR2)
	told("RELOADING=1")
	told("READY=1") // it is what it was

	write(t, dir, handing, "SHOP", s.addr, "STORE", embeddedStore, "DELAY", "0s")
	l.signal(t, syscall.SIGUSR2)
	l.next(t)
	told("RELOADING=1")
	told("MAINPID="+l.says(t, `"msg":"handed over","pid":\d+`, 1)[0][len(`"msg":"handed over","pid":`):], "READY=1")
	l.ended(t, l.pids[0]) // before the next does: that one is its child as long as it is there
	l.signal(t, syscall.SIGTERM)
	told("STOPPING=1")
	l.ended(t, l.pids[1])
}

// TestUnitsSayWhatTheGatewayNeeds, and systemd, where it is there, finds no fault.
func TestUnitsSayWhatTheGatewayNeeds(t *testing.T) {
	dir := t.TempDir()
	for name, lines := range map[string][]string{
		"penstock.service": {
			"Type=notify", "NotifyAccess=main", "ExecReload=/bin/kill -HUP $MAINPID", "KillMode=mixed", "Sockets=penstock.socket",
			"Requires=penstock.socket", "StateDirectory=penstock", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=",
			"ExecStart=/usr/local/bin/penstock run -config /etc/penstock/penstock.yaml",
		},
		"penstock.socket": {"ListenStream=80", "FileDescriptorName=proxy"},
	} {
		b, err := os.ReadFile(filepath.Join("../../deploy/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		has := strings.Split(string(b), "\n")
		for _, line := range lines {
			if !slices.Contains(has, line) {
				t.Errorf("%s does not say %s", name, line)
			}
		}
		// The program and its user are not on this machine.
		text := strings.NewReplacer("/usr/local/bin/penstock ", penstock+" ", "User=penstock", "User=daemon", "Group=penstock", "Group=daemon").Replace(string(b))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		out, err := exec.Command(analyze, "verify", filepath.Join(dir, "penstock.service"), filepath.Join(dir, "penstock.socket")).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}
