package main

// What systemd tells a service and is told by it: sockets it has opened (sd_listen_fds(3))
// and how the service is (sd_notify(3)). Both are a few lines, so there is no library.

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const firstActivated = 3

// activated takes over the sockets that systemd has opened for this process; none if it
// was not started that way. The variables are unset: they are for nobody we start.
func activated() (all []given, err error) {
	pid, fds, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 || n > 64 {
		return nil, fmt.Errorf("LISTEN_FDS is %q: want the number of sockets", fds)
	}
	for i := range n {
		name := ""
		if len(names) == n {
			name = names[i]
		}
		l, err := take(firstActivated+i, name)
		if err != nil {
			return nil, err
		}
		all = append(all, given{TCPListener: l, name: name})
	}
	return all, nil
}

// notify tells systemd, if it asks to be told, how the service is: lines of NAME=VALUE.
func notify(lines ...string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] != '/' && path[0] != '@' {
		return fmt.Errorf("NOTIFY_SOCKET is %q: want a path", path)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// reloading are the lines that begin a reload, which ends with READY=1.
func reloading() []string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return []string{"RELOADING=1"}
	}
	return []string{"RELOADING=1", "MONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)}
}

// tell notifies and logs where that fails: nothing depends on it but the supervisor.
func (g *gateway) tell(lines ...string) {
	if err := notify(lines...); err != nil {
		g.log.Warn("the supervisor cannot be told", "err", err)
	}
}
